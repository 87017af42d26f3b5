/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a name means: whose file it is, what is served to whom, what to nobody.
 */
#include "daemon.h"

static void tree_is_served_by_mac_in_any_spelling(void **state)
{
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_text("DC:A6:32:00:00:0B//config.txt", CONFIG("arm_64bit=1\n"));
	expect_text("dca63200000b/overlays/x.dtbo", "overlay");
	expect_text("/01-" MAC_B "/./overlays//x.dtbo", "overlay");
	expect_text(MAC_B "/vmlinuz-" KERNEL, "the kernel");
}

static void large_file_arrives_whole(void **state)
{
	struct tftp_fetch f;

	assert_int_equal(get_from(NULL, SERVER, MAC_A "/initrd.img-" KERNEL, &f), 0);
	assert_int_equal(f.size, BIG);
	assert_int_equal(f.got_blksize, 1468);
	for (size_t i = 0; i < BIG; i++) {
		if (f.data[i] != big_byte(i))
			fail_msg("byte %zu differs", i);
	}
	free(f.data);
}

static void serial_prefix_finds_its_client(void **state)
{
	char *text = get_text(SERIAL_B "/cmdline.txt");

	assert_memory_equal(text, "console=tty1 quiet boot=cowherd root=/dev/nfs ", 46);
	expect_in(text, "nfsroot=" SERVER ":/clients/" MAC_B ",vers=4.1,proto=tcp,hard rw ip=dhcp");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	text = get_text("9FFEFDEF/cmdline.txt");
	expect_in(text, "/clients/" MAC_B ",");
	free(text);
}

/* From the cable's first address: it has asked for the server's, so the server's kernel knows it.
 */
static void neighbour_table_finds_the_rest(void **state)
{
	expect_text_from("10.99.0.2", "config.txt", "only for C\n");
	/* a serial no record has: the on-link client, which has none configured; the pair is told once */
	while (*next_event(50))
		;
	for (int i = 0; i < 2; i++)
		expect_text_from("10.99.0.2", "0badcafe/config.txt", "only for C\n");
	assert_string_equal(next_of("learn"), "learn v=1 mac=" MAC_C " serial=0badcafe\n");
	assert_string_equal(next_of("learn"), "");
	/* the address of an old board says its serial number: believed where nothing speaks against it, not learnt */
	add_client("b8-27-eb-6c-4c-16");
	expect_text_from(NULL, "b66c4c16/overlays/x.dtbo", "overlay");
	expect_refused("b66c4c17/overlays/x.dtbo", 1);
	/* enrolled a moment ago: the table of serial numbers was read before */
	add_client("b8-27-eb-6c-4c-17");
	set_key("b8-27-eb-6c-4c-17", "serial", "b66c4c17");
	expect_text_from(NULL, "b66c4c17/overlays/x.dtbo", "overlay");
	assert_string_equal(next_of("learn"), "");
	set_key(MAC_C, "serial", "11112222");
	records_age();
	expect_refused_from("10.99.0.2", "0badcafe/config.txt", 1);
	expect_text("11112222/config.txt", "only for C\n");
}

/* C's address and Ethernet address do not make anybody B, nor a stranger's C. */
static void a_prefix_is_compared_with_the_wire(void **state)
{
	struct tftp_fetch f;

	start_beside("match", PORT + 1);
	/* known by DHCP alone, until it was answered */
	PUT(at("leases"), "0 dc:a6:32:00:00:0a 10.99.0.240 * *\n");
	sleep(1);
	expect_text_from("10.99.0.240", "config.txt", "only for A\n");
	expect_refused_from("10.99.0.241", "config.txt", 1);
	expect_text_from("10.99.0.2", "config.txt", "only for C\n");
	expect_text_from("10.99.0.2", MAC_C "/config.txt", "only for C\n");
	expect_refused_from("10.99.0.2", MAC_B "/config.txt", 2);
	expect_refused_from("10.99.0.2", SERIAL_B "/config.txt", 2);
	expect_refused_from("10.99.0.2", MAC_B "/cmdline.txt", 2);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", MAC_C "/config.txt", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 2);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), 0);
	free(f.data);
}

static void strangers_get_nothing_when_it_is_closed(void **state)
{
	struct tftp_fetch f;

	start_beside("closed", PORT + 2);
	expect_text_from("10.99.0.2", "undionly.kpxe", "loader");
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 1);
	expect_refused_from("10.99.0.2", MAC_B "/undionly.kpxe", 2);
	expect_refused_from("10.99.0.2", "pxelinux.cfg/01-" MAC_B, 2);
	expect_refused_from("10.99.0.2", "grub/grub.cfg-01-" MAC_B, 2);
}

static void pc_gets_the_newest_complete_kernel(void **state)
{
	char *text = get_text(MAC_A "/boot.ipxe");

	assert_memory_equal(text, "#!ipxe\n", 7);
	expect_in(text, "\nkernel vmlinuz-" KERNEL " initrd=initrd.img-" KERNEL
			" boot=cowherd root=/dev/nfs nfsroot=" SERVER ":/clients/" MAC_A
			",vers=4.1,proto=tcp,hard ip=dhcp rw panic=10 nfs.nfs4_unique_id=" MAC_A
			" console=ttyS0 || goto failed\n");
	expect_in(text, "\ninitrd initrd.img-" KERNEL " || goto failed\n");
	free(text);
}

#define PC_WORDS(mac)                                                                              \
	"boot=cowherd root=/dev/nfs nfsroot=" SERVER ":/clients/" mac                              \
	",vers=4.1,proto=tcp,hard ip=dhcp rw panic=10 nfs.nfs4_unique_id=" mac

static void every_loader_gets_its_configuration(void **state)
{
	char *text = get_text("pxelinux.cfg/01-" MAC_A);

	/* who asks is known by the name alone, so the names in it say so again */
	expect_in(text, "\nlinux " MAC_A "/vmlinuz-" KERNEL "\ninitrd " MAC_A "/initrd.img-" KERNEL
			"\nappend " PC_WORDS(MAC_A) " console=ttyS0\n");
	free(text);
	text = get_text(MAC_A "/pxelinux.cfg/default"); /* relative to where PXELINUX came from */
	expect_in(text, "\nlinux vmlinuz-" KERNEL "\ninitrd initrd.img-" KERNEL "\n");
	free(text);
	text = get_text("/grub/grub.cfg-01-" MAC_A);
	expect_in(text, "\nif linux /" MAC_A "/vmlinuz-" KERNEL
			" " PC_WORDS(MAC_A) " 'console=ttyS0'\nthen\nif initrd /" MAC_A
					    "/initrd.img-" KERNEL "\n");
	free(text);
	text = get_text(MAC_A "/grub/grub.cfg");
	expect_in(text, "\nif linux /" MAC_A "/vmlinuz-" KERNEL " ");
	free(text);
	expect_refused("pxelinux.cfg/01-dc-a6-32-99-99-99", 1);
	expect_refused("grub/grub.cfg-01-dc-a6-32-99-99-99", 1);
	/* likewise without a MAC, by the neighbour table */
	struct tftp_fetch f;

	assert_int_equal(
	    get_from("10.99.0.2", SERVER, "pxelinux.cfg/44454c4c-3200-1031-8058-b6c04f334d32", &f),
	    0);
	assert_non_null(memmem(f.data, f.size, "\nlinux " MAC_C "/vmlinuz-", 33));
	free(f.data);
	assert_int_equal(get_from("10.99.0.2", SERVER, "/grub/x86_64-efi/grub.cfg", &f), 0);
	assert_non_null(memmem(f.data, f.size, "if linux /" MAC_C "/vmlinuz-", 36));
	free(f.data);
}

static void settings_reach_the_boot_files(void **state)
{
	char *text;

	set_key(MAC_B, "nfs", "3");
	set_key(MAC_B, "cmdline", "isolcpus=3");
	records_age();
	text = get_text(MAC_B "/boot.ipxe");
	expect_in(text, ",vers=3,proto=tcp,hard ");
	expect_in(text, " isolcpus=3 || goto failed\n");
	free(text);
}

static void server_address_is_the_one_asked(void **state)
{
	struct tftp_fetch f;

	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", MAC_A "/boot.ipxe", &f), 0);
	assert_non_null(memmem(f.data, f.size, "nfsroot=10.99.1.1:/clients/", 27));
	free(f.data);
}

static void overrides_are_one_clients_own(void **state)
{
	expect_text(MAC_A "/config.txt", "only for A\n");
	expect_text(MAC_A "/user-data", "A's own\n");
	expect_text(MAC_B "/config.txt", CONFIG("arm_64bit=1\n"));
	expect_refused(MAC_B "/user-data", 1);
	expect_refused(SERIAL_B "/user-data", 1);
	/* no way from one client's prefix to another's folder */
	expect_refused(MAC_B "/../" MAC_A "/boot/config.txt", 2);
	expect_refused(MAC_B "/" MAC_A "/config.txt", 1);
	expect_refused("clients/" MAC_A "/boot/config.txt", 1);
	expect_refused(MAC_A "/autoboot.txt", 1);
	expect_refused(MAC_A "/link.txt", 1);
	expect_refused(MAC_A "/pipe.img", 1);
}

static void strangers_get_loaders_only(void **state)
{
	struct tftp_fetch f;

	expect_text("undionly.kpxe", "loader");
	expect_refused("ipxe.lkrn", 1);
	expect_refused("dc-a6-32-99-99-99/config.txt", 1);
	expect_refused("dc-a6-32-99-99-99/boot.ipxe", 1);
	expect_text("dc-a6-32-99-99-99/undionly.kpxe", "loader");
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "config.txt", &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 1);
	assert_int_equal(get_from("10.99.1.2", "10.99.1.1", "undionly.kpxe", &f), 0);
	free(f.data);
}

static void nothing_leads_out_of_the_boot_directory(void **state)
{
	static const char *const not_found[] = {
	    "absolute.txt", "relative.txt", "linkdir/passwd", "inside.txt",   "fifo.img",
	    "null.img",	    "dir.img",	    "overlays",	      "overlays/",    "empty.txt",
	    "user-data",    "autoboot.txt", "nothing.txt",    "config.txt/x", "etc/passwd",
	};
	static const char *const denied[] = {"../etc/passwd", "overlays/../../etc/passwd",
					     "..\\etc\\passwd", "secret.txt", "a\nb"};
	char name[300];

	for (size_t i = 0; i < sizeof(not_found) / sizeof(not_found[0]); i++) {
		(void)snprintf(name, sizeof(name), MAC_B "/%s", not_found[i]);
		expect_refused(name, 1);
	}
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		(void)snprintf(name, sizeof(name), MAC_B "/%s", denied[i]);
		expect_refused(name, 2);
	}
	expect_refused("/etc/passwd", 1);
	expect_refused("../../../../etc/passwd", 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tree_is_served_by_mac_in_any_spelling),
	    cmocka_unit_test(large_file_arrives_whole),
	    cmocka_unit_test(serial_prefix_finds_its_client),
	    cmocka_unit_test(neighbour_table_finds_the_rest),
	    cmocka_unit_test_teardown(a_prefix_is_compared_with_the_wire, end_beside),
	    cmocka_unit_test_teardown(strangers_get_nothing_when_it_is_closed, end_beside),
	    cmocka_unit_test(pc_gets_the_newest_complete_kernel),
	    cmocka_unit_test(every_loader_gets_its_configuration),
	    cmocka_unit_test(settings_reach_the_boot_files),
	    cmocka_unit_test(server_address_is_the_one_asked),
	    cmocka_unit_test(overrides_are_one_clients_own),
	    cmocka_unit_test(strangers_get_loaders_only),
	    cmocka_unit_test(nothing_leads_out_of_the_boot_directory),
	};
	int r = daemon_begin(argc, argv, "test_names");

	return r ? r : cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
