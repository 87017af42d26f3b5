/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which machines can boot from a golden tree, and what the others lack: kernel, device tree and firmware in its boot
 * directory, modules of that kernel in lib/modules.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "image_internal.h"
#include "snapshot/boards.h"
#include "tree.h"

#define MODULES "lib/modules"

struct look {
	int tree;
	const char *boot_dir;
	struct cow_boot_files files;
	bool needs_initramfs;
	bool pc;		       /* a kernel for loaders of PCs was found */
	const char *const *modules; /* patterns; */
	bool has_modules;	       /* one of them was found */
};

static bool has(void *ctx, const char *name)
{
	const struct look *l = ctx;
	char path[COW_PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/%s", l->boot_dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	/* A link is followed inside the tree: /boot/vmlinuz of Debian is one. */
	cow_autoclose int fd = cow_tree_open(l->tree, path, O_PATH);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

static int find_pc_kernel(void *ctx, const char *name)
{
	struct look *l = ctx;
	l->pc |= cow_board_pc_kernel(&l->files, name, l->needs_initramfs);
	return l->pc;
}

static int find_modules(void *ctx, const char *name)
{
	struct look *l = ctx;
	for (const char *const *p = l->modules; *p; p++)
		if (fnmatch(*p, name, 0) == 0)
			l->has_modules = true;
	return l->has_modules;
}

/* As Raspberry Pi's kernels call themselves, those of its packages and those built by hand. */
static const struct {
	const char *kernel, *modules[4];
} modules_of[] = {
    {"kernel8.img", {"*-v8", "*-v8+"}},
    {"kernel_2712.img", {"*-2712", "*-v8-16k", "*-v8-16k+"}},
    {"kernel7l.img", {"*-v7l", "*-v7l+"}},
    {"kernel7.img", {"*-v7", "*-v7+"}},
    {"kernel.img", {"*-v6", "*+"}},
};

/* A tree without any modules has a kernel that needs none. */
static int lacks_modules(struct look *l, const char *kernel, char *ret, size_t size)
{
	struct stat st;
	if (!kernel || cow_tree_lstat(l->tree, MODULES, &st) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(modules_of) / sizeof(*modules_of); i++) {
		if (strcmp(modules_of[i].kernel, kernel) != 0)
			continue;
		l->modules = modules_of[i].modules;
		l->has_modules = false;
		int r = cow_tree_each(l->tree, MODULES, find_modules, l);
		if (r < 0 && r != -ENOENT && r != -ENOTDIR)
			return r;
		(void)snprintf(ret, size, "modules of %s (/%s/%s)", kernel, MODULES,
			       modules_of[i].modules[0]);
		return !l->has_modules;
	}
	return 0;
}

struct words {
	char s[512];
	size_t len;
};

static void word(struct words *w, const char *separator, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void word(struct words *w, const char *separator, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(w->s + w->len, sizeof(w->s) - w->len, "%s", w->len ? separator : "");
	w->len += (size_t)n < sizeof(w->s) - w->len ? (size_t)n : 0;
	va_start(ap, fmt);
	n = vsnprintf(w->s + w->len, sizeof(w->s) - w->len, fmt, ap);
	va_end(ap);
	w->len = n > 0 && (size_t)n < sizeof(w->s) - w->len ? w->len + (size_t)n
							    : sizeof(w->s) - 1;
}

static int look_at_pi(struct look *l, enum cow_board board, const char *arch, struct words *lacks)
{
	const struct cow_board_need *n;
	char modules[128];
	size_t at = 0;
	while ((n = cow_board_lacks(&l->files, board, arch, &at)))
		word(lacks, ", ", "%s (%s)", n->what, n->name[0]);
	int r = lacks_modules(l, cow_board_kernel(&l->files, board, arch), modules,
			      sizeof(modules));
	if (r > 0)
		word(lacks, ", ", "%s", modules);
	return r < 0 ? r : 0;
}

static int look_at_pc(struct look *l, struct words *lacks)
{
	int r = cow_tree_each(l->tree, l->boot_dir, find_pc_kernel, l);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return r;
	if (!l->pc)
		word(lacks, ", ", "kernel (vmlinuz-*%s)",
		     l->needs_initramfs ? " with its initrd.img-*" : "");
	return 0;
}

static int read_config(struct look *l)
{
	cow_autofree char *text = NULL;
	char path[COW_PATH_MAX];
	size_t len;
	(void)snprintf(path, sizeof(path), "%s/config.txt", l->boot_dir);
	int r = cow_tree_read(l->tree, path, COW_KV_FILE_MAX, &text, &len);
	if (r == 0)
		cow_boot_files_config(&l->files, text, len);
	return r == -ENOMEM || r == -EIO ? r : 0; /* none, or none that a firmware would read */
}

int cow_detect_boards(int tree, const char *boot_dir, const char *arch, const char *initramfs,
		      int (*found)(void *ctx, const char *key, const char *value), void *ctx)
{
	struct look l = {.tree = tree, .boot_dir = boot_dir};
	struct words boots = {0};
	l.files.has = has;
	l.files.ctx = &l;
	l.needs_initramfs = strcmp(initramfs, "none") != 0;
	bool may_be_pi = !*arch || strcmp(arch, "arm64") == 0 || strcmp(arch, "armhf") == 0;
	int r = read_config(&l);
	for (enum cow_board b = 0; r == 0 && b < COW_BOARDS; b++) {
		struct words w = {0};
		char line[sizeof(w.s) + 8];
		if (b != COW_BOARD_PC && !may_be_pi)
			continue;
		r = b == COW_BOARD_PC ? look_at_pc(&l, &w) : look_at_pi(&l, b, arch, &w);
		if (r < 0)
			return r;
		if (!w.len)
			word(&boots, " ", "%s", cow_board_word(b));
		(void)snprintf(line, sizeof(line), "%s: %s", cow_board_word(b), w.s);
		r = w.len ? found(ctx, "lacks", line) : 0;
	}
	return r < 0 ? r : found(ctx, "boards", boots.s);
}
