/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listing directories. There is no open of one: a listing goes on from the engine's cookies, which
 * stay good whatever happens, and a kernel that is told so once saves the round trip for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Where a listing stands: "." and ".." come first; the engine's cookies begin at 3. */
enum {
	AT_DOT = 0,
	AT_DOTDOT = 1,
	AT_NAMES = 2,
};

struct listing {
	fuse_req_t req;
	char *buf;
	size_t size, used;
	bool plus;
};

/* Return: whether it fitted. */
static bool add(struct listing *l, const char *name, const struct fuse_entry_param *e, off_t next)
{
	char *at = l->buf + l->used;
	size_t left = l->size - l->used;
	size_t n = l->plus ? fuse_add_direntry_plus(l->req, at, left, name, e, next)
			   : fuse_add_direntry(l->req, at, left, name, &e->attr, next);
	if (n > left)
		return false;
	l->used += n;
	return true;
}

/* Node id 0: the kernel takes no look-up for these two. */
static bool add_dot(struct listing *l, const char *name, const struct cow_ovl_node *n, off_t next)
{
	struct fuse_entry_param e = {
	    .attr.st_ino = cow_ovl_id(n),
	    .attr.st_mode = S_IFDIR,
	};
	return add(l, name, &e, next);
}

static int take(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct listing *l = ctx;
	struct fuse_entry_param e = {
	    .attr.st_ino = ent->id,
	    .attr.st_mode = ent->type,
	};
	if (l->plus)
		cow_entry_of(cow_front_of(l->req), ent->node, ent->attr, &e);
	if (!add(l, ent->name, &e, (off_t)ent->cookie))
		return -ENOBUFS;
	if (l->plus)
		(void)cow_ovl_get(ent->node);
	return 0;
}

static int add_dots(struct listing *l, struct cow_ovl_node *dir, off_t *off)
{
	if (*off == AT_DOT) {
		if (!add_dot(l, ".", dir, AT_DOTDOT))
			return -ENOBUFS;
		*off = AT_DOTDOT;
	}
	if (*off != AT_DOTDOT)
		return 0;
	cow_autonode up = NULL;
	int r = cow_ovl_parent(dir, &up);
	if (r < 0)
		return r;
	if (!add_dot(l, "..", up, AT_NAMES))
		return -ENOBUFS;
	*off = AT_NAMES;
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct cow_ovl_node *dir = cow_node_of(req, ino);
	struct listing l = {.req = req, .size = size, .plus = plus};
	int eof = 0;
	l.buf = malloc(size);
	if (!l.buf) {
		cow_reply_int(req, -ENOMEM);
		return;
	}
	int r = off < 0 ? -EINVAL : add_dots(&l, dir, &off);
	if (r == 0)
		r = cow_ovl_readdir(dir, off == AT_NAMES ? 0 : (uint64_t)off,
				    plus ? COW_READDIR_NODES : 0, take, &l, &eof);
	/* With entries in hand an error waits for the next call. */
	if (l.used == 0 && r < 0 && r != -ENOBUFS)
		cow_reply_int(req, r);
	else
		(void)fuse_reply_buf(req, l.buf, l.used);
	free(l.buf);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	cow_reply_int(req, -ENOSYS);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, off, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	bool observer = cow_front_of(req)->opts.observer; /* nothing of ours to write */
	cow_reply_int(req, observer ? 0 : cow_ovl_commit(cow_node_of(req, ino)));
}

void cow_dir_ops(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
