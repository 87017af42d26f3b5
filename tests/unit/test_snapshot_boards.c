/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What machines need among the boot files.
 */
#include "cow_test.h"

#include "snapshot/boards.h"

static bool in_list(void *ctx, const char *name)
{
	const char *const *list = ctx;

	for (; *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

/* Names of what the board lacks, joined by '+'. */
static const char *lacks(const char *const *list, const char *config, enum cow_board board,
			 const char *arch)
{
	static char text[256];
	struct cow_boot_files f = {.has = in_list, .ctx = (void *)(uintptr_t)list};
	const struct cow_board_need *n;
	size_t at = 0;

	cow_boot_files_config(&f, config, strlen(config));
	*text = '\0';
	while ((n = cow_board_lacks(&f, board, arch, &at))) {
		assert_int_equal(n->board, board);
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			       *text ? "+" : "", n->what);
	}
	return text;
}

static void each_thing_a_pi_needs_is_missed(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const pi4[] = {"start4.elf", "fixup4.dat", "kernel8.img",
					  "bcm2711-rpi-400.dtb", NULL};

	assert_string_equal(lacks(none, "", COW_BOARD_PI3, ""),
			    "second stage+firmware+firmware's other half+kernel+device tree");
	assert_string_equal(lacks(none, "", COW_BOARD_PI4, ""),
			    "firmware+firmware's other half+kernel+device tree");
	assert_string_equal(lacks(none, "", COW_BOARD_PI5, ""), "settings+kernel+device tree");
	assert_string_equal(lacks(pi4, "", COW_BOARD_PI4, ""), "");
	assert_string_equal(lacks(pi4, "", COW_BOARD_PI5, ""), "settings+device tree");
}

static void programs_of_64_bits_need_such_a_kernel(void **state)
{
	static const char *const pi4[] = {"start4.elf", "fixup4.dat", "kernel7l.img",
					  "bcm2711-rpi-4-b.dtb", NULL};

	assert_string_equal(lacks(pi4, "", COW_BOARD_PI4, "armhf"), "");
	assert_string_equal(lacks(pi4, "", COW_BOARD_PI4, "arm64"), "kernel");
}

static void settings_name_kernels_and_a_directory(void **state)
{
	static const char *const named[] = {"config.txt", "vmlinuz-6.1.0-9-arm64",
					    "bcm2712-rpi-500.dtb", NULL};
	static const char *const moved[] = {"config.txt", "new/kernel8.img",
					    "new/bcm2712-rpi-5-b.dtb", NULL};
	static const char *const other[] = {"config.txt", "old/kernel8.img",
					    "new/bcm2712-rpi-5-b.dtb", NULL};

	assert_string_equal(
	    lacks(named, "kernel=vmlinuz-6.1.0-9-arm64 \r\n", COW_BOARD_PI5, "arm64"), "");
	assert_string_equal(lacks(named, "#kernel=vmlinuz-6.1.0-9-arm64\n", COW_BOARD_PI5, "arm64"),
			    "kernel");
	assert_string_equal(lacks(moved, "a=b\nos_prefix=new/", COW_BOARD_PI5, ""), "");
	assert_string_equal(lacks(other, "os_prefix=new/\n", COW_BOARD_PI5, ""), "kernel");
}

static void the_kernel_is_the_first_a_board_looks_for(void **state)
{
	static const char *const both[] = {"kernel8.img", "kernel_2712.img", NULL};
	struct cow_boot_files f = {.has = in_list, .ctx = (void *)(uintptr_t)both};

	assert_string_equal(cow_board_kernel(&f, COW_BOARD_PI5, "arm64"), "kernel_2712.img");
	assert_string_equal(cow_board_kernel(&f, COW_BOARD_PI4, "arm64"), "kernel8.img");
	cow_boot_files_config(&f, "kernel=kernel8.img\n", 19);
	assert_null(cow_board_kernel(&f, COW_BOARD_PI5, "arm64"));
}

static void kernels_of_pcs_come_with_their_initramfs(void **state)
{
	static const char *const pc[] = {"vmlinuz-1", "initrd.img-1", "vmlinuz-2", NULL};
	struct cow_boot_files f = {.has = in_list, .ctx = (void *)(uintptr_t)pc};

	assert_true(cow_board_pc_kernel(&f, "vmlinuz-1", true));
	assert_false(cow_board_pc_kernel(&f, "vmlinuz-2", true));
	assert_true(cow_board_pc_kernel(&f, "vmlinuz-2", false));
	assert_false(cow_board_pc_kernel(&f, "initrd.img-1", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_thing_a_pi_needs_is_missed),
	    cmocka_unit_test(programs_of_64_bits_need_such_a_kernel),
	    cmocka_unit_test(settings_name_kernels_and_a_directory),
	    cmocka_unit_test(the_kernel_is_the_first_a_board_looks_for),
	    cmocka_unit_test(kernels_of_pcs_come_with_their_initramfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
