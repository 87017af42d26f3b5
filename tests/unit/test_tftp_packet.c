/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * TFTP requests and answers as bytes; names of clients; the list of boot files.
 */
#include "cow_test.h"

#include "tftp/loader.h"
#include "tftp/name.h"
#include "tftp/packet.h"
#include "tftp/policy.h"

/* String literals with NULs inside; the literal's own NUL is not sent. */
#define PARSE(lit, rq) cow_tftp_request_parse(cow_span_of(lit, sizeof(lit) - 1), rq)

static const struct cow_tftp_grants most = {
    .blksize = COW_TFTP_BLKSIZE_PATH,
    .window = COW_TFTP_WINDOW_MAX,
    .utimeout = true,
};

/* Parse and negotiate for a file of 1000 bytes; the OACK's option part must be @want. */
static void check_oack(const char *body, size_t len, const char *want, size_t want_len)
{
	struct cow_tftp_request rq;
	struct cow_tftp_terms t;

	assert_int_equal(cow_tftp_request_parse(cow_span_of(body, len), &rq), 0);
	cow_tftp_negotiate(&rq, 1000, &most, &t);
	if (want_len == 0) {
		assert_int_equal(t.oack_len, 0);
		return;
	}
	assert_int_equal(t.oack_len, want_len + 2);
	assert_int_equal(t.oack[0], 0);
	assert_int_equal(t.oack[1], COW_TFTP_OACK);
	assert_memory_equal(t.oack + 2, want, want_len);
}
#define RRQ "f\0octet\0"
#define OACK(opts, want) check_oack(RRQ opts, sizeof(RRQ opts) - 1, want, sizeof(want) - 1)

static void plain_request_has_no_options(void **state)
{
	struct cow_tftp_request rq;

	assert_int_equal(PARSE("kernel8.img\0octet\0", &rq), 0);
	assert_string_equal(rq.name, "kernel8.img");
	assert_int_equal(rq.name_len, 11);
	assert_int_equal(rq.noptions, 0);
	OACK("", "");
}

static void mode_is_compared_without_case(void **state)
{
	struct cow_tftp_request rq;

	assert_int_equal(PARSE("f\0OcTeT\0", &rq), 0);
	assert_int_equal(rq.mode, COW_TFTP_OCTET);
	assert_int_equal(PARSE("f\0NetASCII\0", &rq), 0);
	assert_int_equal(rq.mode, COW_TFTP_NETASCII);
	assert_int_equal(PARSE("f\0netasci\0", &rq), -EPROTONOSUPPORT);
	assert_int_equal(PARSE("f\0mail\0", &rq), -EPROTONOSUPPORT);
	assert_int_equal(PARSE("f\0octetx\0", &rq), -EPROTONOSUPPORT);
}

static void malformed_requests_are_refused(void **state)
{
	struct cow_tftp_request rq;

	assert_int_equal(PARSE("", &rq), -EBADMSG);
	assert_int_equal(PARSE("f", &rq), -EBADMSG);
	assert_int_equal(PARSE("f\0", &rq), -EBADMSG);
	assert_int_equal(PARSE("f\0\0", &rq), -EBADMSG);
	assert_int_equal(PARSE("f\0octet", &rq), -EBADMSG);
	assert_int_equal(PARSE("\0octet\0", &rq), -EBADMSG);
}

static void long_name_is_refused(void **state)
{
	struct cow_tftp_request rq;
	char body[512];

	memset(body, 'a', sizeof(body));
	memcpy(body + 255, "\0octet", 7);
	assert_int_equal(cow_tftp_request_parse(cow_span_of(body, 262), &rq), 0);
	memset(body, 'a', sizeof(body));
	memcpy(body + 400, "\0octet", 7);
	assert_int_equal(cow_tftp_request_parse(cow_span_of(body, 407), &rq), -ENAMETOOLONG);
}

static void tsize_is_exact(void **state)
{
	OACK("tsize\0"
	     "0\0",
	     "tsize\0"
	     "1000\0");
	OACK("tsize\0"
	     "abc\0",
	     "");
	OACK("tsize\0"
	     "\0",
	     "");
}

static void unacceptable_blksize_is_left_out(void **state)
{
	OACK("blksize\0"
	     "7\0",
	     "");
	OACK("blksize\0"
	     "0\0",
	     "");
	OACK("blksize\0"
	     "-1\0",
	     "");
	OACK("blksize\0"
	     "abc\0",
	     "");
	OACK("blksize\0"
	     "1468x\0",
	     "");
	OACK("blksize\0"
	     " 512\0",
	     "");
	OACK("blksize\0"
	     "65536\0",
	     "");
	OACK("blksize\0"
	     "99999999999\0",
	     "");
	OACK("blksize\0"
	     "999999999999999999999999\0",
	     "");
}

static void blksize_is_granted_up_to_the_path(void **state)
{
	OACK("blksize\0"
	     "8\0",
	     "blksize\0"
	     "8\0");
	OACK("BlkSize\0"
	     "600\0",
	     "blksize\0"
	     "600\0");
	OACK("blksize\0"
	     "1468\0",
	     "blksize\0"
	     "1468\0");
	OACK("blksize\0"
	     "1469\0",
	     "blksize\0"
	     "1468\0");
	OACK("blksize\0"
	     "65464\0",
	     "blksize\0"
	     "1468\0");
	OACK("blksize\0"
	     "65465\0",
	     "blksize\0"
	     "1468\0");
}

static void timeout_is_echoed_or_left_out(void **state)
{
	OACK("timeout\0"
	     "1\0",
	     "timeout\0"
	     "1\0");
	OACK("timeout\0"
	     "255\0",
	     "timeout\0"
	     "255\0");
	OACK("timeout\0"
	     "0\0",
	     "");
	OACK("timeout\0"
	     "256\0",
	     "");
}

static void windowsize_is_granted_up_to_ours(void **state)
{
	OACK("windowsize\0"
	     "1\0",
	     "windowsize\0"
	     "1\0");
	OACK("WindowSize\0"
	     "16\0",
	     "windowsize\0"
	     "16\0");
	OACK("windowsize\0"
	     "65535\0",
	     "windowsize\0"
	     "64\0");
	OACK("windowsize\0"
	     "0\0",
	     "");
	OACK("windowsize\0"
	     "65536\0",
	     "");
}

static void odd_options_are_granted_or_left_out(void **state)
{
	OACK("utimeout\0"
	     "500000\0"
	     "rollover\0"
	     "1\0",
	     "utimeout\0"
	     "500000\0"
	     "rollover\0"
	     "1\0");
	OACK("utimeout\0"
	     "9999\0"
	     "rollover\0"
	     "2\0"
	     "multicast\0"
	     "\0",
	     "");
}

static void what_is_not_to_be_granted_is_left_out(void **state)
{
	static const struct cow_tftp_grants least = {.blksize = 600, .window = 1};
	struct cow_tftp_request rq;
	struct cow_tftp_terms t;

	assert_int_equal(PARSE(RRQ "windowsize\0"
				   "8\0"
				   "utimeout\0"
				   "500000\0"
				   "blksize\0"
				   "1400\0",
			       &rq),
			 0);
	cow_tftp_negotiate(&rq, 1000, &least, &t);
	assert_int_equal(t.oack_len, 2 + 12);
	assert_memory_equal(t.oack + 2,
			    "blksize\0"
			    "600",
			    12);
	assert_int_equal(t.window, 1);
	assert_int_equal(t.timeout_ms, 0);
	/* The size of text as it will be sent is not the file's. */
	assert_int_equal(PARSE("f\0netascii\0"
			       "tsize\0"
			       "0\0"
			       "windowsize\0"
			       "4\0",
			       &rq),
			 0);
	cow_tftp_negotiate(&rq, 1000, &most, &t);
	assert_int_equal(t.oack_len, 0);
	assert_int_equal(t.window, 1);
}

static void options_keep_the_order_asked(void **state)
{
	OACK("tsize\0"
	     "0\0"
	     "blksize\0"
	     "1024\0",
	     "tsize\0"
	     "1000\0"
	     "blksize\0"
	     "1024\0");
	OACK("timeout\0"
	     "5\0"
	     "blksize\0"
	     "1468\0"
	     "tsize\0"
	     "0\0",
	     "timeout\0"
	     "5\0"
	     "blksize\0"
	     "1468\0"
	     "tsize\0"
	     "1000\0");
}

static void first_of_repeated_options_counts(void **state)
{
	OACK("blksize\0"
	     "600\0"
	     "blksize\0"
	     "700\0",
	     "blksize\0"
	     "600\0");
	OACK("blksize\0"
	     "7\0"
	     "blksize\0"
	     "700\0",
	     "");
}

static void unknown_options_are_ignored(void **state)
{
	OACK("foo\0"
	     "1\0",
	     "");
	OACK("multicast\0"
	     "\0"
	     "tsize\0"
	     "0\0",
	     "tsize\0"
	     "1000\0");
}

static void odd_ends_of_option_lists_are_harmless(void **state)
{
	OACK("tsize\0"
	     "0",
	     "tsize\0"
	     "1000\0");		/* no final NUL */
	OACK("tsize\0", "");	/* no value at all */
	OACK("tsize", "");	/* no NUL after a name */
	OACK("\0\0\0\0\0", ""); /* padding of pxelinux */
	OACK("tsize\0"
	     "0\0"
	     "\0\0\0",
	     "tsize\0"
	     "1000\0");
}

static void largest_numbers_fit_the_oack(void **state)
{
	struct cow_tftp_request rq;
	struct cow_tftp_terms t;

	assert_int_equal(PARSE(RRQ "timeout\0"
				   "255\0"
				   "utimeout\0"
				   "255000000\0"
				   "windowsize\0"
				   "65535\0"
				   "rollover\0"
				   "1\0"
				   "blksize\0"
				   "65464\0"
				   "tsize\0"
				   "0\0",
			       &rq),
			 0);
	cow_tftp_negotiate(
	    &rq, UINT64_MAX,
	    &(struct cow_tftp_grants){.blksize = 65464, .window = 65535, .utimeout = true}, &t);
	assert_true(t.oack_len < sizeof(t.oack));
	assert_memory_equal(t.oack + t.oack_len - 21, "18446744073709551615", 21);
}

static void same_requests_are_recognised(void **state)
{
	struct cow_tftp_request a, b;

	assert_int_equal(PARSE(RRQ "tsize\0"
				   "0\0",
			       &a),
			 0);
	assert_int_equal(PARSE("f\0OCTET\0"
			       "TSIZE\0"
			       "0\0",
			       &b),
			 0);
	assert_true(cow_tftp_request_same(&a, &b));
	assert_int_equal(PARSE(RRQ "blksize\0"
				   "512\0",
			       &b),
			 0);
	assert_false(cow_tftp_request_same(&a, &b));
	assert_int_equal(PARSE("g\0octet\0"
			       "tsize\0"
			       "0\0",
			       &b),
			 0);
	assert_false(cow_tftp_request_same(&a, &b));
}

static void errors_fit_their_buffer(void **state)
{
	uint8_t buf[COW_TFTP_ERROR_MAX];
	char text[300];

	assert_int_equal(cow_tftp_build_error(buf, COW_TFTP_E_NOT_FOUND, "gone"), 9);
	assert_memory_equal(buf, "\0\5\0\1gone", 9);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cow_tftp_build_error(buf, COW_TFTP_E_UNDEFINED, text), COW_TFTP_ERROR_MAX);
	assert_int_equal(buf[COW_TFTP_ERROR_MAX - 1], 0);
}

static void errno_becomes_protocol(void **state)
{
	const char *text;

	assert_int_equal(cow_tftp_code_of(-ENOENT, &text), COW_TFTP_E_NOT_FOUND);
	assert_int_equal(cow_tftp_code_of(-ELOOP, &text), COW_TFTP_E_NOT_FOUND);
	assert_int_equal(cow_tftp_code_of(-ENAMETOOLONG, &text), COW_TFTP_E_NOT_FOUND);
	assert_int_equal(cow_tftp_code_of(-EACCES, &text), COW_TFTP_E_ACCESS);
	assert_int_equal(cow_tftp_code_of(-EBADMSG, &text), COW_TFTP_E_ILLEGAL);
	assert_int_equal(cow_tftp_code_of(-EIO, &text), COW_TFTP_E_UNDEFINED);
	assert_string_equal(text, "Server error");
}

/* ---------------------------------------------------------------- names */

static void check_name(const char *raw, enum cow_tftp_prefix prefix, const char *path)
{
	struct cow_tftp_name n;

	assert_int_equal(cow_tftp_name_parse(raw, strlen(raw), &n), 0);
	assert_int_equal(n.prefix, prefix);
	assert_string_equal(n.path, path);
}

static void names_are_cleaned(void **state)
{
	check_name("config.txt", COW_TFTP_PREFIX_NONE, "config.txt");
	check_name("/config.txt", COW_TFTP_PREFIX_NONE, "config.txt");
	check_name("//sub//a", COW_TFTP_PREFIX_NONE, "sub/a");
	check_name("/sub/./a", COW_TFTP_PREFIX_NONE, "sub/a");
	check_name("./a", COW_TFTP_PREFIX_NONE, "a");
	check_name("sub\\a", COW_TFTP_PREFIX_NONE, "sub/a");
	check_name("...", COW_TFTP_PREFIX_NONE, "...");
	check_name(".../..a", COW_TFTP_PREFIX_NONE, ".../..a");
}

static void escapes_are_refused(void **state)
{
	static const char *const bad[] = {"..",	     "../x", "a/../b", "a/..",
					  "\\..\\x", "a\nb", "a\x7f"};
	struct cow_tftp_name n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_tftp_name_parse(bad[i], strlen(bad[i]), &n), -EACCES);
	assert_int_equal(cow_tftp_name_parse("a\0b", 3, &n), -EACCES);
}

static void directories_and_nothing_are_not_found(void **state)
{
	static const char *const bad[] = {
	    "", "/", "//", ".", "./", "a/", "a/.", "9ffefdef/", "dc-a6-32-01-02-03/"};
	struct cow_tftp_name n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_tftp_name_parse(bad[i], strlen(bad[i]), &n), -ENOENT);
}

static void clients_are_known_by_prefix(void **state)
{
	static const struct cow_mac want = {{0xdc, 0xa6, 0x32, 0x01, 0x02, 0x0f}};
	static const char *const spelt[] = {
	    "dc-a6-32-01-02-0f/start4.elf",    "DC:A6:32:01:02:0F//start4.elf",
	    "/dca63201020f/start4.elf",	       "dca6.3201.020f/start4.elf",
	    "01-dc-a6-32-01-02-0f/start4.elf",
	};
	struct cow_tftp_name n;

	for (size_t i = 0; i < sizeof(spelt) / sizeof(spelt[0]); i++) {
		check_name(spelt[i], COW_TFTP_PREFIX_MAC, "start4.elf");
		assert_int_equal(cow_tftp_name_parse(spelt[i], strlen(spelt[i]), &n), 0);
		assert_memory_equal(&n.mac, &want, sizeof(want));
	}
	check_name("9FFefdef//config.txt", COW_TFTP_PREFIX_SERIAL, "config.txt");
	assert_int_equal(cow_tftp_name_parse("9FFefdef/x", 10, &n), 0);
	assert_string_equal(n.serial, "9ffefdef");
	check_name("overlays/x.dtbo", COW_TFTP_PREFIX_NONE, "overlays/x.dtbo");
	check_name("9ffefde/x", COW_TFTP_PREFIX_NONE, "9ffefde/x");
	check_name("9ffefdef", COW_TFTP_PREFIX_NONE, "9ffefdef");
}

static void loaders_ask_under_many_names(void **state)
{
	static const struct {
		const char *name;
		enum cow_tftp_loader loader;
		bool mac;
	} names[] = {
	    {"boot.ipxe", COW_TFTP_LOADER_IPXE, false},
	    {"pxelinux.cfg/01-dc-a6-32-01-02-0f", COW_TFTP_LOADER_PXELINUX, true},
	    {"pxelinux.cfg/01-DC-A6-32-01-02-0F", COW_TFTP_LOADER_PXELINUX, true},
	    {"pxelinux.cfg/44454c4c-3200-1031-8058-b6c04f334d32", COW_TFTP_LOADER_PXELINUX, false},
	    {"pxelinux.cfg/0A4D0065", COW_TFTP_LOADER_PXELINUX, false},
	    {"pxelinux.cfg/0", COW_TFTP_LOADER_PXELINUX, false},
	    {"pxelinux.cfg/default-arm-rockchip", COW_TFTP_LOADER_PXELINUX, false},
	    {"pxelinux.cfg/default", COW_TFTP_LOADER_PXELINUX, false},
	    {"boot/pxelinux.cfg/default", COW_TFTP_LOADER_PXELINUX, false},
	    {"grub/grub.cfg-01-dc-a6-32-01-02-0f", COW_TFTP_LOADER_GRUB, true},
	    {"grub/grub.cfg-0A4D0065", COW_TFTP_LOADER_GRUB, false},
	    {"grub/x86_64-efi/grub.cfg", COW_TFTP_LOADER_GRUB, false},
	    {"grub.cfg", COW_TFTP_LOADER_GRUB, false},
	    {"sub/boot.ipxe", COW_TFTP_LOADER_NONE, false},
	    {"default", COW_TFTP_LOADER_NONE, false},
	    {"xpxelinux.cfg/default", COW_TFTP_LOADER_NONE, false},
	    {"pxelinux.cfg/0A4D00650", COW_TFTP_LOADER_NONE, false},
	    {"pxelinux.cfg/44454c4c-3200-1031-8058-b6c04f334d3", COW_TFTP_LOADER_NONE, false},
	    {"pxelinux.cfg/01-dc-a6-32-01-02", COW_TFTP_LOADER_NONE, false},
	    {"pxelinux.cfg/sub/default", COW_TFTP_LOADER_NONE, false},
	    {"pxelinux.cfg", COW_TFTP_LOADER_NONE, false},
	    {"grub.cfg-", COW_TFTP_LOADER_NONE, false},
	    {"grub.cfg.bak", COW_TFTP_LOADER_NONE, false},
	};
	static const struct cow_mac want = {{0xdc, 0xa6, 0x32, 0x01, 0x02, 0x0f}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct cow_tftp_name n;

		if (cow_tftp_loader_of(names[i].name) != names[i].loader)
			fail_msg("%s: %d", names[i].name, (int)cow_tftp_loader_of(names[i].name));
		assert_int_equal(cow_tftp_name_parse(names[i].name, strlen(names[i].name), &n), 0);
		assert_int_equal(n.mac_in_file, names[i].mac);
		assert_int_equal(n.prefix,
				 names[i].mac ? COW_TFTP_PREFIX_MAC : COW_TFTP_PREFIX_NONE);
		if (names[i].mac)
			assert_memory_equal(&n.mac, &want, sizeof(want));
		assert_string_equal(n.path, names[i].name);
	}
	/* What stands in front counts, as it is the server's folder that somebody set up. */
	struct cow_tftp_name n;
	const char *both = "dc-a6-32-01-02-03/pxelinux.cfg/01-dc-a6-32-01-02-0f";

	assert_int_equal(cow_tftp_name_parse(both, strlen(both), &n), 0);
	assert_int_equal(n.mac.b[5], 3);
	assert_false(n.mac_in_file);
}

static void policy_serves_boot_files_and_nothing_else(void **state)
{
	static const char *const boot[] = {
	    "start4.elf",
	    "fixup4.dat",
	    "bootcode.bin",
	    "config.txt",
	    "cmdline.txt",
	    "kernel8.img",
	    "bcm2711-rpi-4-b.dtb",
	    "overlays/vc4-kms-v3d.dtbo",
	    "overlays/README",
	    "vmlinuz-6.1.0-18",
	    "initrd.img-6.1.0-18-amd64",
	    "initramfs_2712",
	    "boot.ipxe",
	    "undionly.kpxe",
	    "snponly.efi",
	    "pxelinux.0",
	    "ldlinux.c32",
	    "pxelinux.cfg/44454c4c-3200-1031-8058-b6c04f334d32",
	    "pxelinux.cfg/default",
	    "grub/grub.cfg-01-dc-a6-32-01-02-03",
	};
	static const char *const kept[] = {
	    "user-data",
	    "network-config",
	    "userconf.txt",
	    "wpa_supplicant.conf",
	    "custom.toml",
	    "firstrun.sh",
	    "ssh",
	    "SSH.txt",
	    "server.key",
	    "System.map-6.1",
	    "config-6.1",
	    "pieeprom.upd",
	    "vl805.bin",
	    "recovery.bin",
	    "a/b/user-data",
	    "shadow",
	    "pxelinux.cfg/default-host.key",
	};

	for (size_t i = 0; i < sizeof(boot) / sizeof(boot[0]); i++)
		assert_int_equal(cow_tftp_policy_of(boot[i]), COW_TFTP_ANYWHERE);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		assert_int_equal(cow_tftp_policy_of(kept[i]), COW_TFTP_OVERRIDE);
	assert_int_equal(cow_tftp_policy_of("autoboot.txt"), COW_TFTP_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_request_has_no_options),
	    cmocka_unit_test(mode_is_compared_without_case),
	    cmocka_unit_test(malformed_requests_are_refused),
	    cmocka_unit_test(long_name_is_refused),
	    cmocka_unit_test(tsize_is_exact),
	    cmocka_unit_test(unacceptable_blksize_is_left_out),
	    cmocka_unit_test(blksize_is_granted_up_to_the_path),
	    cmocka_unit_test(timeout_is_echoed_or_left_out),
	    cmocka_unit_test(windowsize_is_granted_up_to_ours),
	    cmocka_unit_test(odd_options_are_granted_or_left_out),
	    cmocka_unit_test(what_is_not_to_be_granted_is_left_out),
	    cmocka_unit_test(options_keep_the_order_asked),
	    cmocka_unit_test(first_of_repeated_options_counts),
	    cmocka_unit_test(unknown_options_are_ignored),
	    cmocka_unit_test(odd_ends_of_option_lists_are_harmless),
	    cmocka_unit_test(largest_numbers_fit_the_oack),
	    cmocka_unit_test(same_requests_are_recognised),
	    cmocka_unit_test(errors_fit_their_buffer),
	    cmocka_unit_test(errno_becomes_protocol),
	    cmocka_unit_test(names_are_cleaned),
	    cmocka_unit_test(escapes_are_refused),
	    cmocka_unit_test(directories_and_nothing_are_not_found),
	    cmocka_unit_test(clients_are_known_by_prefix),
	    cmocka_unit_test(loaders_ask_under_many_names),
	    cmocka_unit_test(policy_serves_boot_files_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
