/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Boots: all files of one are of one version, and what it asked for is told to the supervisor.
 */
#include "daemon.h"

#include <arpa/inet.h>

#include "common/fields.h"
#include "writer.h"

static void a_boot_stays_with_the_version_it_began_with(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;

	make_moving();
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	import_moving("kernel two is longer", "firmware two");
	assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	expect_text_from(BOOT_1, "/" MAC_D "//kernel8.img", "kernel one");
	/* the next boot is of the other version, and stays so over a rollback */
	expect_text_from(BOOT_2, MAC_D "/start4.elf", "firmware two");
	assert_int_equal(cow_client_rollback(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_E "/kernel8.img", "kernel one");
}

/* Switched off and on, it does not wait for half a minute to be believed. */
static void a_boot_that_starts_over_has_what_is_current(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;

	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware one");
	(void)usleep(4100 * 1000);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "kernel two is longer");
}

/* What a client does to its boot files is for its next boot, and for nobody else's. */
static void the_clients_own_changes_are_for_its_next_boot(void **state)
{
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	struct writer w = writer_begin(MAC_D);

	writer_put(&w, "kernel8.img", "own kernel", 10);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "own kernel");
	/* written over in place, with another size; and replaced, as dpkg does */
	writer_put(&w, "kernel8.img", "own", 3);
	expect_text_from(BOOT_1, MAC_D "/kernel8.img", "own kernel");
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	writer_put(&w, "new", "own firmware", 12);
	must(cow_ovl_rename(w.boot, "new", 3, w.boot, "start4.elf", 10, 0, &cow_ovl_root_cred),
	     "rename", NULL);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "firmware two");
	writer_put(&w, "config.txt", "arm_64bit=0\n", 12);
	expect_text_from(BOOT_2, MAC_D "/config.txt", CONFIG("arm_64bit=0\n"));
	writer_put(&w, "config.txt", "arm_64bit=0\n# edited\n", 21);
	expect_text_from(BOOT_2, MAC_D "/config.txt", CONFIG("arm_64bit=0\n"));
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	writer_end(&w);
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "own");
	expect_text_from(BOOT_1, MAC_E "/kernel8.img", "kernel one");
	expect_text_from(BOOT_1, MAC_E "/start4.elf", "firmware one");
}

/* A kernel is too long to be copied for each boot: it is kept open, which a rename does not touch. */
static void large_file_of_the_client_survives_its_replacement(void **state)
{
	static uint8_t big[(1 << 20) + 500], later[1000];
	struct tftp_fetch f;
	struct writer w = writer_begin(MAC_D);

	memset(big, 1, sizeof(big));
	memset(later, 2, sizeof(later));
	writer_put(&w, "kernel_2712.img", big, sizeof(big));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(get_from(BOOT_1, SERVER, MAC_D "/kernel_2712.img", &f), 0);
		assert_int_equal(f.size, sizeof(big));
		assert_memory_equal(f.data, big, sizeof(big));
		free(f.data);
		writer_put(&w, "new", later, sizeof(later));
		must(cow_ovl_rename(w.boot, "new", 3, w.boot, "kernel_2712.img", 15, 0,
				    &cow_ovl_root_cred),
		     "rename", NULL);
	}
	assert_int_equal(get_from(BOOT_2, SERVER, MAC_D "/kernel_2712.img", &f), 0);
	assert_int_equal(f.size, sizeof(later));
	free(f.data);
	writer_end(&w);
}

/* Two resets delete the root a boot began with: what it has asked for it may ask for again, the rest is missing. */
static void a_root_deleted_under_a_boot_is_no_fault(void **state)
{
	const struct cow_mac d = mac_of(MAC_D);
	struct cow_err err = COW_ERR_INIT;
	struct tftp_fetch f;

	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	for (int i = 0; i < 2; i++)
		assert_int_equal(cow_client_reset(lab.store, &d, COW_SWAP_NOW, &err), 0);
	assert_int_equal(cow_store_empty_trash(lab.store, &err), 0);
	expect_text_from(BOOT_1, MAC_D "/start4.elf", "own firmware");
	int r = get_from(BOOT_1, SERVER, MAC_D "/kernel8.img", &f);

	assert_true(r == -EREMOTEIO && f.error_code == 1);
	expect_text_from(BOOT_2, MAC_D "/start4.elf", "firmware two");
	expect_text_from(BOOT_2, MAC_D "/kernel8.img", "kernel two is longer");
}

static void a_boot_is_reported_once(void **state)
{
	struct tftp_fetch f;

	add_client("dc-a6-32-00-00-0e");
	while (*next_event(50))
		;
	(void)get_from("10.99.0.2", SERVER, "dc-a6-32-00-00-0e/overlays/x.dtbo", &f);
	free(f.data);
	assert_string_equal(next_of("boot"), "");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(get_from("10.99.0.2", SERVER, "dc-a6-32-00-00-0e/boot.ipxe", &f),
				 0);
		free(f.data);
	}
	assert_string_equal(next_of("boot"),
			    "boot mac=dc-a6-32-00-00-0e addr=10.99.0.2 file=boot.ipxe\n");
	assert_string_equal(next_of("boot"), "");
	assert_int_equal(get_from("10.99.0.11", SERVER, "dc-a6-32-00-00-0e/config.txt", &f), 0);
	free(f.data);
	assert_string_equal(next_of("boot"),
			    "boot mac=dc-a6-32-00-00-0e addr=10.99.0.11 file=config.txt\n");
}

static void expect_field(const char *line, const char *key, const char *want)
{
	char value[128] = "";

	if (cow_fields_get(line, key, value, sizeof(value)) < 0 || strcmp(value, want) != 0)
		fail_msg("%s is '%s', not '%s', in: %s", key, value, want, line);
}

/* What a boot asked for is told when the next one begins, at the latest. */
static void a_boot_is_recorded_when_it_is_over(void **state)
{
	struct tftp_fetch f;
	const char *line;

	expect_text_from("10.99.0.21", MAC_E "/start4.elf", "firmware one");
	while (*next_event(50))
		;
	expect_text_from("10.99.0.22", SERIAL_E "/start4.elf", "firmware one");
	expect_text_from("10.99.0.22", SERIAL_E "/kernel8.img", "kernel one");
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/bcm2711-rpi-4-b.dtb", &f);
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/odd \"name\".txt", &f);
	(void)get_from("10.99.0.22", SERVER, SERIAL_E "/../x.txt", &f);
	expect_text_from("10.99.0.21", MAC_E "/start4.elf", "firmware one");
	expect_field(next_of("session"), "addr", "10.99.0.21"); /* the boot before */
	line = next_of("session");
	expect_field(line, "v", "1");
	expect_field(line, "mac", MAC_E);
	expect_field(line, "boot", "1");
	expect_field(line, "addr", "10.99.0.22");
	expect_field(line, "model", "rpi-4-b");
	expect_field(line, "serial", SERIAL_E);
	expect_field(line, "first", "start4.elf");
	expect_field(line, "image", "moving");
	expect_field(line, "version", "1");
	expect_field(line, "files", "2");
	expect_field(line, "bytes", "22");
	expect_field(line, "missing", "2");
	static const char *const names[] = {"start4.elf", "kernel8.img", "bcm2711-rpi-4-b.dtb",
					    "odd \"name\".txt"};
	for (int i = 0; i < 4; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), SERIAL_E "/%s", names[i]);
		line = next_of("request");
		expect_field(line, "mac", MAC_E);
		expect_field(line, "name", name);
		expect_field(line, "result", i < 2 ? "delivered" : "missing");
	}
	assert_string_equal(next_of("request"), "");
}

static void supervisor_that_does_not_read_delays_nothing(void **state)
{
	/* 64 KiB of pipe hold about a thousand lines; a new address is a new boot. */
	for (int i = 0; i < 1500; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
		struct tftp_fetch f = {.name = MAC_B "/config.txt"};
		struct tftp_client c;
		char source[32];

		(void)snprintf(source, sizeof(source), "10.99.0.%d", 10 + i % 240);
		assert_int_equal(inet_pton(AF_INET, SERVER, &to.sin_addr), 1);
		assert_int_equal(tftp_client_open(&c, source, &to), 0);
		assert_int_equal(tftp_client_fetch(&c, &f), 0);
		free(f.data);
		tftp_client_close(&c);
	}
	while (*next_event(0))
		;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_boot_stays_with_the_version_it_began_with),
	    cmocka_unit_test(a_boot_that_starts_over_has_what_is_current),
	    cmocka_unit_test(the_clients_own_changes_are_for_its_next_boot),
	    cmocka_unit_test(large_file_of_the_client_survives_its_replacement),
	    cmocka_unit_test(a_root_deleted_under_a_boot_is_no_fault),
	    cmocka_unit_test(a_boot_is_reported_once),
	    cmocka_unit_test(a_boot_is_recorded_when_it_is_over),
	    cmocka_unit_test(supervisor_that_does_not_read_delays_nothing),
	};
	int r = daemon_begin(argc, argv, "test_boot");

	return r ? r : cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
