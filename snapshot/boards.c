/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What machines load: see snapshot/boards.h.
 */
#include "snapshot/boards.h"

#include <stdio.h>
#include <string.h>

static const char *const words[] = {
    [COW_BOARD_PI3] = "pi3",
    [COW_BOARD_PI4] = "pi4",
    [COW_BOARD_PI5] = "pi5",
    [COW_BOARD_PC] = "pc",
};

const char *cow_board_word(enum cow_board b)
{
	return words[b];
}

static const struct cow_board_need needs[] = {
    {COW_BOARD_PI3, "second stage", {"bootcode.bin"}, 0, 0},
    {COW_BOARD_PI3, "firmware", {"start.elf"}, 0, 0},
    {COW_BOARD_PI3, "firmware's other half", {"fixup.dat"}, 0, 0},
    {COW_BOARD_PI3, "kernel", {"kernel8.img", "kernel7.img", "kernel.img"}, 1, 1},
    {COW_BOARD_PI3,
     "device tree",
     {"bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2710-rpi-2-b.dtb",
      "bcm2709-rpi-2-b.dtb", "bcm2837-rpi-3-b.dtb"},
     1,
     0},
    {COW_BOARD_PI4, "firmware", {"start4.elf"}, 0, 0},
    {COW_BOARD_PI4, "firmware's other half", {"fixup4.dat"}, 0, 0},
    {COW_BOARD_PI4, "kernel", {"kernel8.img", "kernel7l.img"}, 1, 1},
    {COW_BOARD_PI4,
     "device tree",
     {"bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4.dtb"},
     1,
     0},
    {COW_BOARD_PI5, "settings", {"config.txt"}, 0, 0},
    {COW_BOARD_PI5, "kernel", {"kernel_2712.img", "kernel8.img"}, 1, 1},
    {COW_BOARD_PI5,
     "device tree",
     {"bcm2712-rpi-5-b.dtb", "bcm2712d0-rpi-5-b.dtb", "bcm2712-rpi-500.dtb",
      "bcm2712-rpi-cm5-cm5io.dtb"},
     1,
     0},
};
#define NEEDS (sizeof(needs) / sizeof(needs[0]))

static void take_value(const char *line, size_t len, const char *key, char ret[COW_BOOT_NAME_MAX])
{
	size_t n = strlen(key);

	if (len <= n || strncmp(line, key, n) != 0)
		return;
	len -= n;
	while (len > 0 && (line[n + len - 1] == '\r' || line[n + len - 1] == ' '))
		len--;
	if (len > 0 && len < COW_BOOT_NAME_MAX && !memchr(line + n, '\0', len)) {
		memcpy(ret, line + n, len);
		ret[len] = '\0';
	}
}

void cow_boot_files_config(struct cow_boot_files *f, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((lf ? lf : end) - text);

		take_value(text, n, "os_prefix=", f->prefix);
		if (f->kernels < COW_BOOT_KERNELS_MAX) {
			take_value(text, n, "kernel=", f->kernel[f->kernels]);
			f->kernels += f->kernel[f->kernels][0] != '\0';
		}
		text += n + (lf != NULL);
	}
}

static bool has_prefixed(const struct cow_boot_files *f, const char *name)
{
	char path[2 * COW_BOOT_NAME_MAX];

	if (f->has(f->ctx, name))
		return true;
	(void)snprintf(path, sizeof(path), "%s%s", f->prefix, name);
	return *f->prefix && f->has(f->ctx, path);
}

static bool is_64bit(const char *kernel)
{
	return strcmp(kernel, "kernel8.img") == 0 || strcmp(kernel, "kernel_2712.img") == 0;
}

static const char *find(const struct cow_boot_files *f, const struct cow_board_need *n,
			const char *arch)
{
	bool only_64bit = n->is_kernel && strcmp(arch, "arm64") == 0;

	for (size_t i = 0; i < COW_BOARD_ALTERNATIVES && n->name[i]; i++) {
		if (only_64bit && !is_64bit(n->name[i]))
			continue;
		if (n->in_prefix ? has_prefixed(f, n->name[i]) : f->has(f->ctx, n->name[i]))
			return n->name[i];
	}
	return NULL;
}

static bool has_named_kernel(const struct cow_boot_files *f)
{
	for (size_t i = 0; i < f->kernels; i++)
		if (has_prefixed(f, f->kernel[i]))
			return true;
	return false;
}

const struct cow_board_need *cow_board_lacks(const struct cow_boot_files *f, enum cow_board board,
					     const char *arch, size_t *at)
{
	while (*at < NEEDS) {
		const struct cow_board_need *n = &needs[(*at)++];

		if (n->board == board && !find(f, n, arch) &&
		    !(n->is_kernel && has_named_kernel(f)))
			return n;
	}
	return NULL;
}

const char *cow_board_kernel(const struct cow_boot_files *f, enum cow_board board, const char *arch)
{
	for (size_t i = 0; i < NEEDS; i++)
		if (needs[i].board == board && needs[i].is_kernel && !has_named_kernel(f))
			return find(f, &needs[i], arch);
	return NULL;
}

bool cow_board_pc_kernel(const struct cow_boot_files *f, const char *name, bool needs_initramfs)
{
	char initrd[300];

	if (strncmp(name, "vmlinuz-", 8) != 0 || !f->has(f->ctx, name))
		return false;
	int n = snprintf(initrd, sizeof(initrd), "initrd.img-%s", name + 8);
	return !needs_initramfs ||
	       (n > 0 && (size_t)n < sizeof(initrd) && f->has(f->ctx, initrd));
}
