/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor: what a machine will load - whether its own tree has it, whether its firmware can, and whether a
 * client's own kernel stands in front of a newer one of the image.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "common/log.h"
#include "doctor.h"
#include "overlay/overlay.h"
#include "rpi_model.h"
#include "snapshot/boards.h"

#define CONFIG_MAX (256u << 10)
/* 16-bit block numbers that do not roll over: a ROM's blocks of 512 bytes, an old EEPROM's of 1468. */
#define PI3_FILE_MAX (65535ull * 512)
#define PI4_FILE_MAX (65535ull * 1468)

/* A client's boot directory as it is served: the administrator's own files in front of the tree. */
struct boot {
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *dir;
	int own_fd; /* -1: none */
	struct cow_boot_files files;
};

/* ------------------------------------------------ looking */

static int walk(struct cow_ovl_node *from, const char *path, struct cow_ovl_node **ret,
		struct cow_ovl_attr *attr)
{
	cow_autonode dir = cow_ovl_get(from);

	while (*path) {
		size_t len = strcspn(path, "/");
		struct cow_ovl_node *next;

		if (len == 0) {
			path++;
			continue;
		}
		int r = cow_ovl_lookup(dir, path, len, &next, attr);

		if (r < 0)
			return r;
		cow_ovl_put(dir);
		dir = next;
		path += len;
	}
	*ret = cow_steal_ptr(&dir);
	return 0;
}

static bool has(void *ctx, const char *path)
{
	const struct boot *b = ctx;
	struct cow_ovl_attr attr = {0};
	struct stat st;
	cow_autonode node = NULL;

	if (b->own_fd >= 0 && fstatat(b->own_fd, path, &st, 0) == 0 && S_ISREG(st.st_mode))
		return true;
	return walk(b->dir, path, &node, &attr) == 0 && cow_ovl_type(node) == S_IFREG &&
	       attr.size > 0;
}

static void read_config(struct boot *b)
{
	struct cow_ovl_attr attr = {0};
	struct cow_ovl_open *open;
	cow_autonode node = NULL;

	if (walk(b->dir, "config.txt", &node, &attr) < 0 || cow_ovl_type(node) != S_IFREG ||
	    attr.size > CONFIG_MAX ||
	    cow_ovl_open(node, &cow_ovl_root_cred, COW_OPEN_READ, &open) < 0)
		return;
	cow_autofree char *text = malloc((size_t)attr.size + 1); /* never 0 */
	struct iovec iov = {.iov_base = text, .iov_len = (size_t)attr.size};
	ssize_t n = text ? cow_ovl_read(open, &iov, 1, 0) : 0;

	cow_ovl_close(open);
	if (n <= 0)
		return;
	cow_boot_files_config(&b->files, text, (size_t)n);
}

static int boot_open(struct cow_doctor *d, const struct cow_client *c, struct boot *b,
		     struct cow_err *err)
{
	struct cow_ovl_attr attr = {0};
	char own[64];

	*b = (struct boot){.own_fd = -1, .files = {.has = has, .ctx = b}};
	int r = cow_client_attach(d->store, &c->mac, COW_OVL_OBSERVER, &b->inst, err);

	if (r < 0)
		return r;
	cow_autonode root = NULL;

	r = cow_ovl_root(b->inst, &root);
	if (r == 0)
		r = walk(root, c->boot_dir ? c->boot_dir : "", &b->dir, &attr);
	if (r < 0)
		return cow_err_set(err, r, "find /%s in its root", c->boot_dir);
	(void)snprintf(own, sizeof(own), "clients/%s/boot", c->id);
	b->own_fd =
	    openat(cow_store_fd(d->store), own, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	read_config(b);
	return 0;
}

static void boot_close(struct boot *b)
{
	if (b->dir)
		cow_ovl_put(b->dir);
	if (b->inst)
		(void)cow_ovl_inst_close(b->inst); /* an observer has nothing to sync */
	if (b->own_fd >= 0)
		(void)close(b->own_fd);
}

/* ------------------------------------------------ files of a Raspberry Pi */

static bool is_complete(const struct boot *b, enum cow_board board)
{
	size_t at = 0;
	return !cow_board_lacks(&b->files, board, "", &at);
}

static void miss(struct cow_doctor *d, const struct cow_client *c, enum cow_rpi_model model,
		 const struct cow_board_need *n)
{
	char names[256] = "", looked[COW_LABEL_MAX + 64];
	const struct cow_fault fault = {
	    looked, "the board stops there, with a coloured screen or none at all",
	    "import an image made for this board, or install its packages in the image (cowherd "
	    "image edit: "
	    "raspi-firmware, linux-image-rpi-*); a file for this client alone goes into "
	    "STORE/clients/MAC/boot/"};

	(void)snprintf(looked, sizeof(looked), "/%s of its root, from %s@%u", c->boot_dir, c->image,
		       c->version);
	for (size_t i = 0; i < COW_BOARD_ALTERNATIVES && n->name[i]; i++) {
		size_t used = strlen(names);

		(void)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
			       n->name[i]);
	}
	cow_doctor_find(d, c, &fault, "%s (%s): no %s: %s", c->name, cow_rpi_model_name(model),
			n->what, names);
}

static void check_board(struct cow_doctor *d, const struct cow_client *c, struct boot *b,
			enum cow_rpi_model model)
{
	const struct cow_board_need *n;
	size_t at = 0;

	if (model == COW_RPI_PI4_OR_PI5) {
		if (is_complete(b, COW_BOARD_PI4) || is_complete(b, COW_BOARD_PI5))
			return;
		model = has(b, "start4.elf") ? COW_RPI_PI4 : COW_RPI_PI5;
	}
	enum cow_board board = model == COW_RPI_PI3   ? COW_BOARD_PI3
			       : model == COW_RPI_PI4 ? COW_BOARD_PI4
						      : COW_BOARD_PI5;
	while ((n = cow_board_lacks(&b->files, board, "", &at)))
		miss(d, c, model, n);
}

/* ------------------------------------------------ kernels of PCs, sizes */

struct listing {
	struct cow_doctor *d;
	const struct cow_client *c;
	struct boot *b;
	enum cow_rpi_model model;
	bool kernel; /* one a loader can be given */
};

static bool matches_any(const char *name, const char *const *patterns)
{
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return true;
	return false;
}

static void check_size(const struct listing *l, const char *name)
{
	static const struct cow_fault rom = {
	    "sizes of the files in its boot directory",
	    "its firmware counts blocks of 512 bytes with 16 bits and stops at 32 MiB",
	    "make the kernel or initramfs smaller (initramfs-tools: MODULES=dep), or boot it from "
	    "a card"};
	static const struct cow_fault eeprom = {
	    "sizes of the files in its boot directory",
	    "bootloaders before 2025-09-23 count blocks of 1468 bytes with 16 bits and stop at "
	    "91.7 MiB",
	    "update the bootloader (sudo rpi-eeprom-update -a), or make the file smaller"};
	static const char *const loaded[] = {"kernel*.img", "initramfs*", "initrd*", "vmlinuz*",
					     "boot.img",    "*.elf",	  NULL};
	static const char *const others[] = {"kernel_2712*", "kernel7l*", "initramfs_2712*",
					     "initramfs7l*", "start4*",	  NULL}; /* not a Pi 3's */
	bool pi3 = l->model == COW_RPI_PI3;
	uint64_t max = pi3 ? PI3_FILE_MAX : PI4_FILE_MAX;
	struct cow_ovl_attr attr = {0};
	char text[COW_BYTES_LEN];
	cow_autonode node = NULL;

	if (l->model == COW_RPI_UNKNOWN || !matches_any(name, loaded) ||
	    (pi3 && matches_any(name, others)) || walk(l->b->dir, name, &node, &attr) < 0 ||
	    cow_ovl_type(node) != S_IFREG || attr.size <= max)
		return;
	cow_cli_bytes(attr.size, text);
	cow_doctor_find(l->d, l->c, pi3 ? &rom : &eeprom, "%s (%s): %s is %s", l->c->name,
			cow_rpi_model_name(l->model), COW_Q(name), text);
}

static int look_at(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct listing *l = ctx;

	check_size(l, ent->name);
	l->kernel |= cow_board_pc_kernel(&l->b->files, ent->name,
					 strcmp(l->c->initramfs, "none") != 0);
	return 0;
}

static void check_client(struct cow_doctor *d, const struct cow_client *c)
{
	static const struct cow_fault unreadable = {
	    "its root, as the servers see it", "nothing of it can be served",
	    "cowherd client check NAME; cowherd client reset NAME makes a fresh one"};
	static const struct cow_fault none = {
	    "the boot directory of its root",
	    "loaders of PCs are given the newest kernel there, and there is none",
	    "install a kernel in the image (cowherd image edit: linux-image-*), then reset the "
	    "client"};
	struct listing l = {.d = d, .c = c, .model = cow_rpi_model_of(&c->mac)};
	struct cow_err err = COW_ERR_INIT;
	struct boot b;
	int eof, r = boot_open(d, c, &b, &err);

	l.b = &b;
	if (r == 0)
		r = cow_ovl_readdir(b.dir, 0, 0, look_at, &l, &eof);
	if (r < 0)
		cow_doctor_find(d, c, &unreadable, "%s: %s", c->name,
				err.code != COW_OK ? cow_err_str(&err) : strerrorname_np(-r));
	else if (l.model != COW_RPI_UNKNOWN)
		check_board(d, c, &b, l.model);
	else if (!l.kernel)
		cow_doctor_find(d, c, &none, "%s: no vmlinuz-*%s in /%s of %s@%u", c->name,
				strcmp(c->initramfs, "none") == 0 ? "" : " with its initrd.img-*",
				c->boot_dir, c->image, c->version);
	boot_close(&b);
}

void cow_doctor_boot_files(struct cow_doctor *d)
{
	cow_doctor_each_client(d, check_client);
}

/* ------------------------------------------------ in front of the image's */

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Files of one folder that stand in front of the image's, and are older. */
static void compare(struct cow_doctor *d, const struct cow_client *c, const char *front,
		    const char *where, const struct cow_fault *fault)
{
	static const char *const kernels[] = {"kernel*.img", "vmlinuz*",   "initrd*", "initramfs*",
					      "start*.elf",  "fixup*.dat", "*.dtb",   NULL};
	cow_autofree char *path = NULL;
	const struct dirent *ent;
	struct stat mine, theirs;

	if (asprintf(&path, "images/%s/%u/tree/%s", c->image, c->version, c->boot_dir) < 0) {
		path = NULL;
		d->r = -ENOMEM;
		return;
	}
	cow_autoclose int image =
	    openat(cow_store_fd(d->store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autoclose int fd =
	    openat(cow_store_fd(d->store), front, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || image < 0)
		return; /* nothing in front, or cow_doctor_records() says that the image is gone */
	cow_autodir DIR *dir = fdopendir(fd);

	if (dir)
		(void)cow_steal_fd(&fd); /* the stream has it now */
	while (dir && cow_readdir(dir, &ent) == 1) {
		if (!matches_any(ent->d_name, kernels) ||
		    fstatat(dirfd(dir), ent->d_name, &mine, AT_SYMLINK_NOFOLLOW) < 0 ||
		    fstatat(image, ent->d_name, &theirs, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(mine.st_mode) || !S_ISREG(theirs.st_mode) ||
		    !is_newer(&theirs.st_mtim, &mine.st_mtim))
			continue;
		cow_doctor_find(d, c, fault, "%s: %s %s is older than the one of %s@%u", c->name,
				where, COW_Q(ent->d_name), c->image, c->version);
	}
}

static void check_shadowed(struct cow_doctor *d, const struct cow_client *c)
{
	static const struct cow_fault own = {
	    "STORE/clients/MAC/boot/ and the image's boot directory",
	    "it is served in front of the image's, whose modules are for another kernel",
	    "remove it from there, or replace it by one that belongs to the image"};
	static const struct cow_fault written = {
	    "what the client wrote into its boot directory, and the image's",
	    "it boots its own older kernel or firmware, although the image has a newer one",
	    "upgrade it on the client, or cowherd client reset NAME for the image's"};
	char front[COW_PATH_MAX];
	int n;

	(void)snprintf(front, sizeof(front), "clients/%s/boot", c->id);
	compare(d, c, front, "the administrator's own", &own);
	/* On btrfs the root has all of the image's files; equal ones have equal times. */
	n = snprintf(front, sizeof(front), "clients/%s/current/%s/%s", c->id,
		     c->root_backend == COW_BACKEND_BTRFS ? "tree" : "upper", c->boot_dir);
	if (n > 0 && (size_t)n < sizeof(front))
		compare(d, c, front, "the client's own", &written);
}

void cow_doctor_shadowed(struct cow_doctor *d)
{
	cow_doctor_each_client(d, check_shadowed);
}
