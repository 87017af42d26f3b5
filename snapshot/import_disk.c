/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of a disk image, as distributions offer them and as one reads them off a card: the root file
 * system becomes the tree, the files of its boot partition lie where fstab has it mounted.
 *
 * The source is only read. What has to be unpacked first, or needs its journal replayed, is copied
 * into a file without a name beside the tree, which is gone with its descriptor (I3).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "fill.h"
#include "import_part.h"
#include "tree.h"

#define PIECE (256u << 10)
#define ZEROS 4096u /* runs of zeros become holes in such pieces */

struct import {
	struct cow_fill *f;
	struct cow_unpack *unpack;
	int stage;
	const char *what;
	struct cow_err *err;
	int fd;	       /* the disk, seekable */
	int unpacked;  /* it, in a file of ours; -1: the source is as good */
	int root_fd;   /* where the root file system lies at disk.root.off */
	int root_copy; /* it, in a file of ours; -1: none was needed */
	uint64_t size;
	struct cow_disk disk;
	char why[COW_PART_WHY]; /* a program failed */
};

/* ---------------------------------------------------------------- copies */

static int nameless(struct import *i)
{
	int fd = openat(i->stage, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? cow_err_set(i->err, -errno, "make room for '%s'", i->what) : fd;
}

static int is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static int write_sparse(int fd, const uint8_t *p, size_t len, uint64_t at)
{
	while (len) {
		size_t n = ZEROS - at % ZEROS;
		n = n < len ? n : len;
		int r = is_zero(p, n) ? 0 : cow_pwrite_full(fd, p, n, (off_t)at);
		if (r < 0)
			return r;
		p += n;
		at += n;
		len -= n;
	}
	return 0;
}

static int broken(struct import *i, int r)
{
	if (r == -EINTR)
		return cow_err_set(i->err, r, "import of '%s' was stopped", i->what);
	if (r == -EBADMSG)
		return cow_err_say(i->err, COW_ERR_FAILED, r, "'%s' is damaged or cut short: %s",
				   i->what, cow_unpack_why(i->unpack));
	return cow_err_set(i->err, r, "unpack '%s'", i->what);
}

static int unpack_all(struct import *i)
{
	const void *p;
	size_t n;
	int r;
	i->unpacked = nameless(i);
	if (i->unpacked < 0)
		return i->unpacked;
	i->f->step = COW_IMPORT_UNPACK;
	while ((r = cow_unpack_next(i->unpack, &p, &n)) > 0) {
		r = write_sparse(i->unpacked, p, n, i->size);
		if (r == 0)
			r = cow_fill_progress(i->f);
		if (r < 0)
			break;
		i->size += n;
	}
	if (r == 0 && ftruncate(i->unpacked, (off_t)i->size) < 0)
		r = -errno;
	i->fd = i->unpacked;
	i->f->step = COW_IMPORT_FILL;
	return r < 0 ? broken(i, r) : 0;
}

/* The root file system alone, ours to write: what mends it must find it at the beginning. */
static int copy_root(struct import *i)
{
	struct cow_disk_part *p = &i->disk.root;
	cow_autofree uint8_t *buf = malloc(PIECE);
	int copy = nameless(i);
	if (copy < 0)
		return copy;
	i->root_copy = copy;
	int r = buf ? 0 : -ENOMEM;
	for (uint64_t at = 0; r == 0 && at < p->size;) {
		/* Devices have no holes; what is there is read then. */
		off_t data = lseek(i->root_fd, (off_t)(p->off + at), SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data > (off_t)(p->off + at))
			at = (uint64_t)data - p->off;
		if (at >= p->size)
			break;
		size_t want = p->size - at < PIECE ? (size_t)(p->size - at) : PIECE;
		ssize_t n = cow_pread_full(i->root_fd, buf, want, (off_t)(p->off + at));
		r = n > 0 ? write_sparse(copy, buf, (size_t)n, at) : n < 0 ? (int)n : -EBADMSG;
		if (r == 0)
			r = cow_fill_progress(i->f);
		at += want;
	}
	if (r == 0 && ftruncate(copy, (off_t)p->size) < 0)
		r = -errno;
	i->root_fd = copy;
	p->off = 0;
	return r < 0 ? cow_err_set(i->err, r, "copy partition %u of '%s' to replay its journal",
				   p->number, i->what)
		     : 0;
}

/* A block device has its size elsewhere. */
static int open_disk(struct import *i)
{
	struct stat st;
	if (fstat(i->fd, &st) < 0)
		return cow_err_set(i->err, -errno, "look at '%s'", i->what);
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(i->fd, BLKGETSIZE64, &i->size) < 0)
			return cow_err_set(i->err, -errno, "look at '%s'", i->what);
		return 0;
	}
	if (!S_ISREG(st.st_mode) || !cow_unpack_is_plain(i->unpack))
		return unpack_all(i);
	i->size = (uint64_t)st.st_size;
	return 0;
}

/* ---------------------------------------------------------------- the root */

static int unclean(struct import *i)
{
	return cow_err_hint(
	    i->err,
	    cow_err_say(
		i->err, COW_ERR_FAILED, -EUCLEAN,
		"partition %u of '%s' was not unmounted and its journal cannot be replayed%s%s",
		i->disk.root.number, i->what, *i->why ? ": " : "", i->why),
	    "mend a copy with e2fsck or the tool of its file system (%s), then import that",
	    i->disk.root.fs);
}

static int import_ext(struct import *i)
{
	int r = cow_import_ext(i->f, i->root_fd, i->disk.root.off, i->what, i->err);
	if (r != -EUCLEAN)
		return r;
	r = copy_root(i);
	if (r < 0)
		return r;
	if (cow_part_replay(i->root_fd, i->why) < 0)
		return unclean(i);
	r = cow_import_ext(i->f, i->root_fd, 0, i->what, i->err);
	return r == -EUCLEAN ? unclean(i) : r;
}

/* Installers put the root of a btrfs into a subvolume. -> its directory, or @top itself. */
static int find_root(int top)
{
	static const char *const names[] = {"@", "@rootfs", "root"};
	if (cow_tree_has(top, "etc"))
		return top;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int fd = cow_opendir_at(top, names[i]);
		if (fd >= 0 && cow_tree_has(fd, "etc")) {
			(void)close(top);
			return fd;
		}
		if (fd >= 0)
			(void)close(fd);
	}
	return top;
}

static int import_mounted(struct import *i)
{
	const struct cow_disk_part *p = &i->disk.root;
	int top = cow_part_mount(i->root_fd, p);
	if (top == -EUCLEAN) {
		int r = copy_root(i);
		if (r < 0)
			return r;
		top = cow_part_mount(i->root_fd, p);
	}
	if (top == -EUCLEAN)
		return unclean(i);
	if (top < 0)
		return cow_err_hint(
		    i->err,
		    cow_err_set(i->err, top, "mount partition %u (%s) of '%s'", p->number, p->fs,
				i->what),
		    "all but ext2, ext3 and ext4 is read by the kernel, through a loop "
		    "device; mount it where that is possible and import the directory");
	cow_autoclose int root = find_root(top);
	return cow_import_dir(i->f, root, i->what, 0, 0, i->err);
}

/* ---------------------------------------------------------------- the boot partition */

/* Where a boot partition may belong; NULL: nobody says. */
static const char *known_place(const char *where)
{
	static const char *const places[] = {"boot/firmware", "boot/efi", "boot", "efi"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (*where == '/' && strcmp(where + 1, places[i]) == 0)
			return places[i];
	return NULL;
}

static const char *fat_place(int tree)
{
	cow_autofree char *text = NULL;
	char *save = NULL;
	size_t len;
	if (cow_tree_read(tree, "etc/fstab", COW_KV_FILE_MAX, &text, &len) == 0)
		for (char *line = strtok_r(text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save)) {
			char what[128], where[64], kind[32];
			if (sscanf(line, "%127s %63s %31s", what, where, kind) == 3 &&
			    *what != '#' && strcmp(kind, "vfat") == 0 && known_place(where))
				return known_place(where);
		}
	return cow_tree_has(tree, "boot/firmware") ? "boot/firmware" : NULL;
}

/* A fresh directory at @place: what lies there now is hidden when the partition is mounted, so the
 * system never saw it. -> descriptor */
static int make_place(int tree, const char *place)
{
	cow_autofree char *above = strdup(place);
	if (!above)
		return -ENOMEM;
	char *slash = strrchr(above, '/');
	const char *name = slash ? place + (slash + 1 - above) : place;
	if (slash)
		*slash = 0;
	cow_autoclose int dir = cow_tree_open(tree, slash ? above : ".", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return dir;
	int r = cow_rm_rf_at(dir, name, 0);
	if (r < 0)
		return r;
	if (mkdirat(dir, name, 0755) < 0 || fchmodat(dir, name, 0755, 0) < 0)
		return -errno;
	return cow_opendir_at(dir, name);
}

/* What mcopy made, for the record. */
static int count_below(struct cow_fill *f, int dirfd, unsigned depth)
{
	const struct dirent *e;
	struct stat st;
	int r;
	int again = depth > COW_DEPTH_MAX ? -ELOOP : cow_opendir_at(dirfd, ".");
	if (again < 0)
		return again;
	cow_autodir DIR *d = fdopendir(again);
	if (!d) {
		(void)close(again);
		return -ENOMEM;
	}
	while ((r = cow_readdir(d, &e)) > 0) {
		if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		f->inodes++;
		f->bytes += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
		if (!S_ISDIR(st.st_mode))
			continue;
		cow_autoclose int below = cow_opendir_at(dirfd, e->d_name);
		r = below < 0 ? below : count_below(f, below, depth + 1);
		if (r < 0)
			return r;
	}
	return r;
}

static int no_boot(struct import *i, int r)
{
	if (r == -ENOENT)
		return cow_err_hint(
		    i->err,
		    cow_err_say(i->err, COW_ERR_FAILED, r,
				"read the boot partition of '%s': there is no mcopy", i->what),
		    "apt install mtools");
	return cow_err_hint(i->err,
			    cow_err_say(i->err, COW_ERR_FAILED, r,
					"read the boot partition (%u) of '%s': mcopy says: %s",
					i->disk.boot.number, i->what, *i->why ? i->why : "nothing"),
			    "the image may be damaged or cut short");
}

static int import_boot(struct import *i)
{
	const struct cow_disk_part *p = &i->disk.boot;
	if (!p->size)
		return 0;
	const char *place = fat_place(i->f->tree);
	if (!place) {
		cow_fill_note(i->f, "left out: partition %u (vfat), nothing says where it belongs",
			      p->number);
		return 0;
	}
	cow_autoclose int dir = make_place(i->f->tree, place);
	if (dir < 0)
		return cow_err_set(i->err, dir, "make '%s' for the boot files of '%s'", place,
				   i->what);
	int r = cow_part_copy_fat(i->fd, p, dir, i->why);
	if (r < 0)
		return no_boot(i, r);
	r = count_below(i->f, dir, 0);
	return r < 0 ? cow_err_set(i->err, r, "look at the boot files of '%s'", i->what) : 0;
}

/* ---------------------------------------------------------------- the whole */

static int run(struct import *i)
{
	int r = open_disk(i);
	if (r == 0)
		r = cow_disk_look(i->fd, i->size, i->what, &i->disk, i->err);
	i->root_fd = i->fd;
	if (r == 0)
		r = cow_disk_is_ext(&i->disk.root) ? import_ext(i) : import_mounted(i);
	if (r == 0)
		r = import_boot(i);
	if (r == 0 && *i->disk.others)
		cow_fill_note(i->f, "left out: partition %s; the root is %u", i->disk.others,
			      i->disk.root.number);
	return r;
}

int cow_import_disk(struct cow_fill *f, int fd, struct cow_unpack *unpack, int stage,
		    const char *what, struct cow_err *err)
{
	struct import i = {
	    .f = f,
	    .unpack = unpack,
	    .stage = stage,
	    .what = what,
	    .err = err,
	    .fd = fd,
	    .unpacked = -1,
	    .root_copy = -1,
	};
	int r = run(&i);
	if (i.unpacked >= 0)
		(void)close(i.unpacked); /* and with it the file */
	if (i.root_copy >= 0)
		(void)close(i.root_copy);
	return r;
}
