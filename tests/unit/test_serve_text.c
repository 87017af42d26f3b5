/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The generated configuration files, whole where they are short.
 */
#include "cow_test.h"

#include "serve_text.h"

struct world {
	struct cow_config *config;
	struct cow_serve_net net;
	struct cow_serve_paths paths;
	struct cow_herd herd;
	struct cow_herd_client client[3];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w || cow_config_new(&w->config) < 0)
		return -1;
	w->net = (struct cow_serve_net){.address = "10.77.0.1",
					.subnet = "10.77.0.0",
					.netmask = "255.255.255.0",
					.prefix_len = 24,
					.interface = "br0"};
	w->paths = (struct cow_serve_paths){.store = "/srv/store",
					    .run = "/run/cow",
					    .plugin_dir = "/lib/plug",
					    .state = "/srv/store/state"};
	w->client[0] = (struct cow_herd_client){.mac = {{0xdc, 0xa6, 0x32, 1, 2, 3}},
						.id = "dc-a6-32-01-02-03",
						.export_id = 7,
						.name = "pi-1",
						.address = "10.77.0.101",
						.bound = "10.77.0.101"};
	w->client[1] = (struct cow_herd_client){.mac = {{0xdc, 0xa6, 0x32, 1, 2, 4}},
						.id = "dc-a6-32-01-02-04",
						.export_id = 8,
						.name = "not a host name"};
	w->herd = (struct cow_herd){.client = w->client, .clients = 2};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	cow_config_free(w->config);
	free(w);
	return 0;
}

static void set(struct world *w, const char *section, const char *key, const char *value)
{
	assert_int_equal(cow_config_set(w->config, section, key, value, NULL), 0);
}

static void bound_export_lets_in_its_address_alone(void **state)
{
	struct world *w = *state;
	cow_autofree char *text = NULL;

	assert_int_equal(cow_text_exports(w->config, &w->net, &w->herd, &text), 0);
	assert_string_equal(text, "# Written by cowherd from the store; changes are lost.\n"
				  "EXPORT {\n"
				  "\tExport_Id = 7;\n"
				  "\tPath = \"/clients/dc-a6-32-01-02-03\";\n"
				  "\tPseudo = \"/clients/dc-a6-32-01-02-03\";\n"
				  "\tAccess_Type = NONE;\n"
				  "\tSquash = no_root_squash;\n"
				  "\tSecType = sys;\n"
				  "\tCLIENT {\n"
				  "\t\tClients = 10.77.0.101;\n"
				  "\t\tAccess_Type = RW;\n"
				  "\t}\n"
				  "\tFSAL {\n\t\tName = COWHERD;\n\t}\n"
				  "}\n"
				  "EXPORT {\n"
				  "\tExport_Id = 8;\n"
				  "\tPath = \"/clients/dc-a6-32-01-02-04\";\n"
				  "\tPseudo = \"/clients/dc-a6-32-01-02-04\";\n"
				  "\tAccess_Type = NONE;\n"
				  "\tSquash = no_root_squash;\n"
				  "\tSecType = sys;\n"
				  "\tFSAL {\n\t\tName = COWHERD;\n\t}\n"
				  "}\n");
}

static void subnet_and_open_let_in_more(void **state)
{
	struct world *w = *state;
	cow_autofree char *subnet = NULL, *open = NULL;

	set(w, "nfs", "access", "subnet");
	assert_int_equal(cow_text_exports(w->config, &w->net, &w->herd, &subnet), 0);
	assert_non_null(strstr(subnet, "Clients = 10.77.0.0/24;"));
	set(w, "nfs", "access", "open");
	assert_int_equal(cow_text_exports(w->config, &w->net, &w->herd, &open), 0);
	assert_non_null(strstr(open, "Clients = *;"));
}

static void server_configuration_names_what_it_must(void **state)
{
	static const char *const words[] = {
	    "Bind_addr = 10.77.0.1;",
	    "NFS_Port = 2049;",
	    "MNT_Port = 20048;",
	    "Plugins_Dir = \"/lib/plug\";",
	    "mount_path_pseudo = true;",
	    "Enable_NLM = false;",
	    "NFSACL_Program = 536870912;",
	    "Graceless = false;",
	    "Lease_Lifetime = 17;",
	    "Grace_Period = 17;",
	    "RecoveryRoot = \"/srv/store/state/ganesha\";",
	    "Only_Numeric_Owners = true;",
	    "RPC_Ioq_ThrdMax = 67;",
	    "Dir_Chunk = 0;",
	    "Entries_HWMark = 12345;",
	    "Store = \"/srv/store\";",
	    "%include \"/run/cow/exports.conf\"\n",
	};
	struct world *w = *state;
	static const struct cow_nfs_size size = {.entries = 12345, .threads = 67};
	cow_autofree char *text = NULL;

	set(w, "nfs", "lease", "17");
	assert_int_equal(cow_text_ganesha(w->config, &w->net, &w->paths, &size, &text), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(text, words[i]))
			fail_msg("no '%s' in:\n%s", words[i], text);
}

/* A Raspberry Pi with 1 GB says 0.9 GB; the server has to leave it most of that. */
static void the_server_is_as_large_as_the_machine_allows(void **state)
{
	struct cow_nfs_size s, before = {0};

	(void)state;
	cow_nfs_size(945000, &s);
	assert_in_range(s.entries, 50000, 60000);
	assert_in_range(s.threads, 50, 64);
	assert_in_range(s.keep_kib, 50 << 10, 64 << 10);
	cow_nfs_size(0, &s); /* not known */
	assert_int_equal(s.entries, 20000);
	assert_int_equal(s.threads, 16);
	assert_int_equal(s.keep_kib, 32 << 10);
	cow_nfs_size(UINT64_MAX, &s);
	assert_int_equal(s.entries, 300000);
	assert_int_equal(s.threads, 200);
	assert_int_equal(s.keep_kib, 256 << 10);
	for (uint64_t kib = 1; kib < UINT64_C(1) << 34; kib *= 2) {
		cow_nfs_size(kib, &s);
		assert_true(s.entries >= before.entries && s.threads >= before.threads &&
			    s.keep_kib >= before.keep_kib);
		before = s;
	}
}

static void bus_listens_in_the_run_directory_for_root_alone(void **state)
{
	struct world *w = *state;
	cow_autofree char *text = NULL;

	w->paths.run = "/run/my cow";
	assert_int_equal(cow_text_dbus(&w->paths, &text), 0);
	assert_non_null(strstr(text, "<listen>unix:path=/run/my%20cow/bus</listen>"));
	assert_null(strstr(text, "<allow user")); /* none: root alone */
}

static void full_dhcp_answers_every_kind_of_machine(void **state)
{
	static const char *const words[] = {
	    "port=0\n",
	    "interface=br0\n",
	    "dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,infinite\n",
	    "dhcp-option=3\n",
	    "dhcp-option=6,10.77.0.1\n",
	    "dhcp-boot=tag:ipxe,boot.ipxe,,10.77.0.1\n",
	    "dhcp-boot=tag:!ipxe,tag:!rpi,tag:bios,undionly.kpxe,,10.77.0.1\n",
	    "dhcp-boot=tag:!ipxe,tag:!rpi,tag:efi64,snponly.efi,,10.77.0.1\n",
	    "dhcp-match=set:ipxe,175\n",
	    "dhcp-userclass=set:ipxe,iPXE\n",
	    "dhcp-mac=set:rpi,dc:a6:32:*:*:*\n",
	    "pxe-service=tag:rpi,0,\"Raspberry Pi Boot   \"\n",
	    "dhcp-option-force=tag:rpi,66,10.77.0.1\n",
	    "dhcp-hostsfile=/run/cow/dnsmasq.hosts\n",
	    "dhcp-leasefile=/srv/store/state/dnsmasq.leases\n",
	};
	struct world *w = *state;
	cow_autofree char *text = NULL;

	set(w, "dhcp", "mode", "full");
	set(w, "dhcp", "range", "10.77.0.100,10.77.0.200");
	set(w, "dhcp", "dns", "10.77.0.1");
	assert_int_equal(cow_text_dnsmasq(w->config, &w->net, &w->paths, &text), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(text, words[i]))
			fail_msg("no '%s' in:\n%s", words[i], text);
	assert_null(strstr(text, "enable-tftp"));
}

static void proxy_dhcp_gives_no_addresses(void **state)
{
	struct world *w = *state;
	cow_autofree char *text = NULL;

	set(w, "dhcp", "mode", "proxy");
	assert_int_equal(cow_text_dnsmasq(w->config, &w->net, &w->paths, &text), 0);
	assert_non_null(strstr(text, "dhcp-range=10.77.0.0,proxy,255.255.255.0\n"));
	assert_non_null(
	    strstr(text, "pxe-service=tag:!ipxe,tag:!rpi,x86PC,\"cowherd\",undionly.kpxe,"));
	assert_null(strstr(text, "dhcp-authoritative"));
}

static void loader_is_chosen_by_firmware(void **state)
{
	struct world *w = *state;
	cow_autofree char *full = NULL;
	cow_autofree char *proxy = NULL;

	set(w, "dhcp", "mode", "full");
	set(w, "dhcp", "range", "10.77.0.100,10.77.0.200");
	set(w, "dhcp", "loader", "pxelinux");
	assert_int_equal(cow_text_dnsmasq(w->config, &w->net, &w->paths, &full), 0);
	assert_non_null(strstr(full, ",tag:bios,pxelinux.0,,10.77.0.1\n"));
	assert_non_null(strstr(full, ",tag:efi64,snponly.efi,,10.77.0.1\n"));
	assert_non_null(strstr(full, "dhcp-match=set:efiarm64,option:client-arch,11\n"));
	assert_non_null(strstr(full, ",tag:efiarm64,bootaa64.efi,,10.77.0.1\n"));
	assert_non_null(strstr(full, "dhcp-boot=tag:ipxe,boot.ipxe,,10.77.0.1\n"));
	set(w, "dhcp", "mode", "proxy");
	set(w, "dhcp", "loader", "grub");
	assert_int_equal(cow_text_dnsmasq(w->config, &w->net, &w->paths, &proxy), 0);
	assert_non_null(
	    strstr(proxy, "pxe-service=tag:!ipxe,tag:!rpi,x86PC,\"cowherd\",grubpc.0,"));
	assert_non_null(
	    strstr(proxy, "pxe-service=tag:!ipxe,tag:!rpi,BC_EFI,\"cowherd\",bootx64.efi,"));
	assert_non_null(
	    strstr(proxy, "pxe-service=tag:!ipxe,tag:!rpi,ARM64_EFI,\"cowherd\",bootaa64.efi,"));
}

static void reservations_know_a_machine_by_its_mac_alone(void **state)
{
	struct world *w = *state;
	cow_autofree char *text = NULL;

	assert_int_equal(cow_text_dnsmasq_hosts(&w->herd, &text), 0);
	assert_string_equal(text, "dc:a6:32:01:02:03,id:*,10.77.0.101,pi-1\n"
				  "dc:a6:32:01:02:04,id:*\n");
}

static void learnt_address_belongs_to_the_last_who_had_it(void **state)
{
	struct world *w = *state;

	w->client[0] = (struct cow_herd_client){.id = "a", .learnt = "10.77.0.9", .learnt_s = 100};
	w->client[1] = (struct cow_herd_client){.id = "b", .learnt = "10.77.0.9", .learnt_s = 200};
	w->client[2] = (struct cow_herd_client){.id = "c", .learnt = "10.77.0.8", .learnt_s = 50};
	w->herd.clients = 3;
	cow_herd_bind(&w->herd);
	assert_string_equal(w->client[0].bound, "");
	assert_string_equal(w->client[1].bound, "10.77.0.9");
	assert_string_equal(w->client[2].bound, "10.77.0.8");
}

static void configured_address_counts_before_a_learnt_one(void **state)
{
	struct world *w = *state;

	w->client[0] = (struct cow_herd_client){.id = "a", .learnt = "10.77.0.9", .learnt_s = 900};
	w->client[1] = (struct cow_herd_client){
	    .id = "b", .address = "10.77.0.9", .learnt = "10.77.0.7", .learnt_s = 1};
	cow_herd_bind(&w->herd);
	assert_string_equal(w->client[0].bound, "");
	assert_string_equal(w->client[1].bound, "10.77.0.9");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(bound_export_lets_in_its_address_alone),
	    T(subnet_and_open_let_in_more),
	    T(server_configuration_names_what_it_must),
	    T(the_server_is_as_large_as_the_machine_allows),
	    T(bus_listens_in_the_run_directory_for_root_alone),
	    T(full_dhcp_answers_every_kind_of_machine),
	    T(proxy_dhcp_gives_no_addresses),
	    T(loader_is_chosen_by_firmware),
	    T(reservations_know_a_machine_by_its_mac_alone),
	    T(learnt_address_belongs_to_the_last_who_had_it),
	    T(configured_address_counts_before_a_learnt_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
