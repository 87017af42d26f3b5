/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What machines of each kind load from a directory of boot files, and whether it is there. Pure functions: who asks
 * says how a name is looked for, be it in a golden tree or in a client's merged one.
 * Source: Raspberry Pi documentation, boot folder contents and config.txt boot options.
 */
#ifndef COW_SNAPSHOT_BOARDS_H
#define COW_SNAPSHOT_BOARDS_H

#include <stdbool.h>
#include <stddef.h>

enum cow_board {
	COW_BOARD_PI3, /* and before: boot ROM, bootcode.bin, start.elf */
	COW_BOARD_PI4, /* 4B, 400, CM4: start4.elf */
	COW_BOARD_PI5, /* 5, 500, CM5: firmware of its own */
	COW_BOARD_PC,  /* whatever has a loader that is given a kernel by name: iPXE, GRUB, U-Boot */
	COW_BOARDS,
};

/* "pi3", "pi4", "pi5", "pc". */
const char *cow_board_word(enum cow_board b);

#define COW_BOOT_KERNELS_MAX 8
#define COW_BOOT_NAME_MAX 128

/* One directory of boot files. @has, @ctx: is @name a file with something in it? The rest: zeros, or of config.txt. */
struct cow_boot_files {
	bool (*has)(void *ctx, const char *name);
	void *ctx;
	char prefix[COW_BOOT_NAME_MAX];			       /* os_prefix=, "" none */
	char kernel[COW_BOOT_KERNELS_MAX][COW_BOOT_NAME_MAX]; /* kernel=, wherever in it */
	size_t kernels;
};

/* Take what counts from the text of config.txt; conditional sections are not told apart. */
void cow_boot_files_config(struct cow_boot_files *f, const char *text, size_t len);

#define COW_BOARD_ALTERNATIVES 5

struct cow_board_need {
	enum cow_board board;
	const char *what;			  /* "kernel", "device tree", ... */
	const char *name[COW_BOARD_ALTERNATIVES]; /* one of them has to be there; NULL after the last */
	unsigned in_prefix : 1;			  /* os_prefix= counts */
	unsigned is_kernel : 1;
};

/*
 * cow_board_lacks - the next thing a Raspberry Pi needs and does not find.
 * @arch: of the system's programs: one of arm64 needs a 64-bit kernel; "" unknown.
 * @at: 0 at first, then as left.
 * Return: NULL when there is no more; static.
 */
const struct cow_board_need *cow_board_lacks(const struct cow_boot_files *f, enum cow_board board,
					     const char *arch, size_t *at);

/* The kernel that board loads, as far as can be told: a static name; NULL: one of kernel=, or none. */
const char *cow_board_kernel(const struct cow_boot_files *f, enum cow_board board, const char *arch);

/* Is @name a kernel that loaders of PCs can be given, with its initramfs if it needs one? */
bool cow_board_pc_kernel(const struct cow_boot_files *f, const char *name, bool needs_initramfs);

#endif
