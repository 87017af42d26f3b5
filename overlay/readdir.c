/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listing of a directory that is not one of the image (for those: readdir_layers.c). The cookie of an entry is the file system's own d_off, the position behind it, which
 * ext4, xfs and btrfs keep valid across reopening and restarts; nothing is kept between two calls.
 * Each call has its own directory fd, since the position belongs to the open file. The instance is
 * entered for each step and left for each callback, so a callback may call the engine.
 *
 * Subvolumes and mount points below the tree are left out, as look-ups refuse them.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "internal.h"

#define BUF_LEN (64u << 10) /* about 2000 entries; the kernel fills what there is */
#define COOKIE_MIN 3	    /* 0 is the start, 1 and 2 are what front ends give "." and ".." */

struct scan {
	struct cow_ovl_node *dir;
	struct cow_fd *fd; /* private: closed with the instance, at the latest */
	unsigned flags;
	cow_ovl_readdir_fn fn;
	void *ctx;
	char *buf;
};

static int scan_open(struct scan *s, uint64_t cookie)
{
	cow_autofd d = NULL;
	int r = cow_fd_get(s->dir, COW_FD_PATH, &d);
	if (r < 0)
		return r;
	cow_autoclose int fd =
	    COW_FD_TRY(openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	if (fd < 0)
		return cow_gone_is_stale(d->fd, cow_nerr());
	atomic_fetch_add(&s->dir->inst->fd_opens, 1);
	if (cookie != 0 && lseek(fd, (off_t)cookie, SEEK_SET) < 0)
		return cow_nerr();
	return cow_fd_adopt(s->dir->inst, NULL, cow_steal_fd(&fd), COW_FD_READ, &s->fd);
}

static mode_t type_of(unsigned char d_type)
{
	return (mode_t)DTTOIF(d_type); /* 0 for DT_UNKNOWN */
}

/* Without nodes: the type where the file system did not say, and whether a directory is ours.
 * -EXDEV: leave it out. -ENOENT: it vanished. */
static int look_at(struct scan *s, struct cow_ovl_dirent *ent)
{
	struct cow_ovl_inst *i = s->dir->inst;
	struct statx sx;
	if (ent->type != 0 && !S_ISDIR(ent->type))
		return 0;
	if (statx(s->fd->fd, ent->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_TYPE | STATX_INO, &sx) < 0)
		return cow_nerr();
	if (makedev(sx.stx_dev_major, sx.stx_dev_minor) != i->dev ||
	    sx.stx_attributes & STATX_ATTR_MOUNT_ROOT ||
	    (i->btrfs && sx.stx_ino == COW_BTRFS_EMPTY_SUBVOL_INO))
		return -EXDEV;
	ent->type = sx.stx_mode & S_IFMT;
	return 0;
}

/* Must it be opened to know what it is: a whiteout, an object of the image? 1, 0, -errno. */
static int may_be_other(struct scan *s, const struct cow_ovl_dirent *ent)
{
	if (!s->dir->inst->img)
		return 0;
	if (ent->type == 0 || S_ISCHR(ent->type))
		return 1;
	return S_ISDIR(ent->type) ? 1 : cow_impure_is(s->dir, -1);
}

static int prepare_entered(struct scan *s, struct cow_ovl_dirent *ent, struct cow_ovl_attr *attr)
{
	bool nodes = s->flags & COW_READDIR_NODES;
	int r = nodes ? 1 : may_be_other(s, ent);
	if (r < 0)
		return r;
	if (r == 0)
		return look_at(s, ent);
	r = cow_lookup_upper(s->dir, s->fd->fd, ent->name, &ent->node);
	if (r == 0 && nodes)
		r = cow_attr_get(ent->node, attr);
	if (r < 0)
		return r;
	ent->id =
	    ent->node->id; /* one answer, also when the name was replaced since it was listed */
	ent->type = ent->node->type;
	if (nodes)
		ent->attr = attr;
	else
		cow_ovl_put(cow_steal_ptr(&ent->node));
	return 0;
}

/* Return: 0 go on, > 0 stop, < 0 stop with it. */
static int report(struct scan *s, const struct dirent64 *de)
{
	struct cow_ovl_attr attr;
	struct cow_ovl_dirent ent = {
	    .name = de->d_name,
	    .name_len = strlen(de->d_name),
	    .cookie = (uint64_t)de->d_off,
	    .id = s->dir->inst->rec.id_base + de->d_ino,
	    .type = type_of(de->d_type),
	};
	if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
		return 0;
	if (de->d_off < COOKIE_MIN)
		return -EOVERFLOW; /* a file system whose positions we cannot carry */
	int r = cow_inst_enter(s->dir->inst);
	if (r < 0)
		return r;
	r = prepare_entered(s, &ent, &attr);
	cow_inst_leave(s->dir->inst);
	if (r == -ENOENT || r == -EXDEV || r == -EAGAIN || r == -ESTALE)
		r = 0;
	else if (r == 0)
		r = s->fn(s->ctx, &ent);
	cow_ovl_put(ent.node); /* found also where its attributes were not */
	return r;
}

static ssize_t fill(struct scan *s)
{
	int r = cow_inst_enter(s->dir->inst);
	if (r < 0)
		return r;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): set where scan_open() returned 0 */
	ssize_t got = getdents64(s->fd->fd, s->buf, BUF_LEN);
	if (got < 0)
		got = cow_nerr();
	cow_inst_leave(s->dir->inst);
	return got;
}

static int scan_run(struct scan *s, int *ret_eof)
{
	for (;;) {
		ssize_t got = fill(s);
		if (got <= 0) {
			*ret_eof = got == 0;
			return (int)got;
		}
		for (ssize_t at = 0; at < got;) {
			const struct dirent64 *de = (const void *)(s->buf + at);
			int r = report(s, de);
			if (r != 0)
				return r < 0 ? r : 0;
			at += de->d_reclen;
		}
	}
}

static int readdir_upper(struct cow_ovl_node *dir, uint64_t cookie, unsigned flags,
			 cow_ovl_readdir_fn fn, void *ctx, int *ret_eof)
{
	struct scan s = {.dir = dir, .flags = flags, .fn = fn, .ctx = ctx};
	int eof = 0;
	cow_autofree char *buf = malloc(BUF_LEN);
	if (!buf)
		return -ENOMEM;
	s.buf = buf;
	int r = cow_inst_enter(dir->inst);
	if (r < 0)
		return r;
	r = scan_open(&s, cookie);
	cow_inst_leave(dir->inst);
	if (r != 0)
		return r;
	r = scan_run(&s, &eof);
	cow_fd_put(s.fd);
	if (r == 0)
		*ret_eof = eof;
	return r;
}

int cow_ovl_readdir(struct cow_ovl_node *dir, uint64_t cookie, unsigned flags,
		    cow_ovl_readdir_fn fn, void *ctx, int *ret_eof)
{
	if (flags & ~(unsigned)COW_READDIR_NODES || cookie > INT64_MAX ||
	    (cookie != 0 && cookie < COOKIE_MIN))
		return -EINVAL;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	return cow_dir_simple(dir) ? readdir_upper(dir, cookie, flags, fn, ctx, ret_eof)
				   : cow_readdir_layers(dir, cookie, flags, fn, ctx, ret_eof);
}
