/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * config.txt of a Raspberry Pi as it is served.
 */
#include "cow_test.h"

#include "tftp/config_txt.h"

#define MARK "# Added by cowherd when this file is served.\n[all]\n"
#define OURS MARK "auto_initramfs=0\ncmdline=cmdline.txt\n"

static void check(const char *in, bool initramfs, const char *want)
{
	char *once, *twice;
	size_t len, again;

	assert_int_equal(cow_tftp_config_pi(in, strlen(in), initramfs, &once, &len), 0);
	assert_int_equal(len, strlen(once));
	assert_string_equal(once, want);
	assert_int_equal(cow_tftp_config_pi(once, len, initramfs, &twice, &again), 0);
	assert_string_equal(twice, want);
	free(once);
	free(twice);
}

static void what_raspberry_pi_os_ships(void **state)
{
	check("# For more options and information see\n"
	      "dtparam=audio=on\n"
	      "camera_auto_detect=1\n"
	      "auto_initramfs=1\n"
	      "dtoverlay=vc4-kms-v3d\n"
	      "arm_64bit=1\n"
	      "\n"
	      "[cm4]\n"
	      "otg_mode=1\n",
	      false,
	      "# For more options and information see\n"
	      "dtparam=audio=on\n"
	      "camera_auto_detect=1\n"
	      "dtoverlay=vc4-kms-v3d\n"
	      "arm_64bit=1\n"
	      "\n"
	      "[cm4]\n"
	      "otg_mode=1\n" OURS);
}

static void every_way_to_load_an_initramfs_goes(void **state)
{
	check("initramfs initrd.img-6.1 followkernel\n"
	      "  InitRAMfs initrd.img\r\n"
	      "ramfsfile=initrd.img\n"
	      "ramfsaddr = -1\n"
	      "kernel=vmlinuz\r\n"
	      "#initramfs x\n"
	      "initramfs_other=1",
	      false,
	      "kernel=vmlinuz\r\n"
	      "#initramfs x\n"
	      "initramfs_other=1\n" OURS);
}

static void an_initramfs_that_mounts_the_root_stays(void **state)
{
	check("initramfs initrd.img-6.1 followkernel\nauto_initramfs=1\ncmdline=other.txt\n", true,
	      "initramfs initrd.img-6.1 followkernel\nauto_initramfs=1\n" MARK
	      "cmdline=cmdline.txt\n");
}

static void another_command_line_or_boot_image_goes(void **state)
{
	check("os_prefix=current/\ncmdline=nobtcmd.txt\nboot_ramdisk=1\nkernel=vmlinuz\n", false,
	      "os_prefix=current/\nkernel=vmlinuz\n" OURS);
}

static void nothing_becomes_ours_alone(void **state)
{
	check("", false, OURS);
	check("\n", false, "\n" OURS);
}

static void includes_are_found(void **state)
{
	static const char in[] =
	    "# include no.txt\ninclude usercfg.txt\n\tinclude  sub/extra.txt \r\ninclude=eq.txt\n";

	assert_true(cow_tftp_config_includes(in, sizeof(in) - 1, "usercfg.txt"));
	assert_true(cow_tftp_config_includes(in, sizeof(in) - 1, "sub/extra.txt"));
	assert_true(cow_tftp_config_includes(in, sizeof(in) - 1, "eq.txt"));
	assert_false(cow_tftp_config_includes(in, sizeof(in) - 1, "no.txt"));
	assert_false(cow_tftp_config_includes(in, sizeof(in) - 1, "usercfg.tx"));
	assert_false(cow_tftp_config_includes("include", 7, ""));
}

static void an_included_file_gets_nothing_of_ours(void **state)
{
	static const char in[] = "arm_freq=1500\ninitramfs initrd.img\n";
	char *out;
	size_t len;

	assert_int_equal(cow_tftp_config_included(in, sizeof(in) - 1, false, &out, &len), 0);
	assert_string_equal(out, "arm_freq=1500\n");
	assert_int_equal(len, strlen(out));
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_raspberry_pi_os_ships),
	    cmocka_unit_test(every_way_to_load_an_initramfs_goes),
	    cmocka_unit_test(an_initramfs_that_mounts_the_root_stays),
	    cmocka_unit_test(another_command_line_or_boot_image_goes),
	    cmocka_unit_test(nothing_becomes_ours_alone),
	    cmocka_unit_test(includes_are_found),
	    cmocka_unit_test(an_included_file_gets_nothing_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
