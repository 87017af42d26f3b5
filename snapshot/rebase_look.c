/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Do the client and the new version have the same at a place?
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "commit_internal.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "rebase_internal.h"

int cow_rebase_node(struct cow_ovl_inst *inst, const char *path, struct cow_ovl_node **ret,
		    struct cow_ovl_attr *ret_attr)
{
	cow_autonode at = NULL;
	int r = cow_ovl_root(inst, &at);
	if (r == 0 && !*path && ret_attr)
		r = cow_ovl_getattr(at, ret_attr);
	while (r == 0 && *path) {
		struct cow_ovl_node *next;
		size_t len = strcspn(path, "/");
		r = cow_ovl_lookup(at, path, len, &next, ret_attr);
		if (r < 0)
			return r == -ENOTDIR ? -ENOENT : r;
		cow_ovl_put(at);
		at = next;
		path += len;
		path += *path == '/';
	}
	if (r == 0)
		*ret = cow_steal_ptr(&at);
	return r;
}

/* ---------------------------------------------------------------- content */

static int same_content(struct cow_rebase *rb, struct cow_ovl_node *ours, const char *their_path,
			off_t size)
{
	struct cow_ovl_source src;
	int r = cow_ovl_source(ours, &src);
	if (r < 0)
		return r;
	cow_autoclose int fd = src.fd;
	cow_autoclose int their = cow_open_beneath(rb->tree2, their_path,
						   O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0);
	return their < 0 ? their : cow_commit_same_data(fd, their, size, rb->buf);
}

static int same_target(struct cow_rebase *rb, struct cow_ovl_node *ours, const char *their_path)
{
	char a[COW_SYMLINK_MAX + 1], b[COW_SYMLINK_MAX + 1];
	ssize_t n = cow_ovl_readlink(ours, a, sizeof(a));
	if (n < 0)
		return (int)n;
	cow_autoclose int fd =
	    cow_open_beneath(rb->tree2, their_path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ssize_t m = readlinkat(fd, "", b, sizeof(b));
	return m < 0 ? -errno : n == m && memcmp(a, b, (size_t)n) == 0;
}

/* Of one type: 1 the same, 0 not. */
static int same_data(struct cow_rebase *rb, struct cow_ovl_node *ours, const struct cow_ovl_attr *a,
		     const struct cow_ovl_attr *b, const char *their_path)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return a->size == b->size ? same_content(rb, ours, their_path, (off_t)a->size) : 0;
	case S_IFLNK:
		return same_target(rb, ours, their_path);
	case S_IFCHR:
	case S_IFBLK:
		return a->rdev == b->rdev;
	default:
		return 1;
	}
}

/* ---------------------------------------------------------------- extended attributes */

static bool same_value(const void *a, size_t alen, const void *b, size_t blen)
{
	return a && b ? alen == blen && memcmp(a, b, alen) == 0 : !a && !b;
}

/* One name: what the client has, v2, v1. */
static void look_at_xattr(const struct cow_rebase_entry *e, const struct cow_rebase *rb,
			  const char *name, const void *ours, size_t len, bool *same, bool *clash)
{
	size_t tlen = 0, blen = 0;
	const void *theirs = cow_rebase_xattr(rb->v2, e->theirs, name, &tlen);
	const void *base = e->base ? cow_rebase_xattr(rb->v1, e->base, name, &blen) : NULL;
	if (same_value(ours, len, theirs, tlen))
		return;
	*same = false;
	if (e->base && !same_value(ours, len, base, blen) && !same_value(theirs, tlen, base, blen))
		*clash = true;
}

static int look_at_xattrs(struct cow_rebase *rb, const struct cow_rebase_entry *e,
			  struct cow_ovl_node *ours, struct cow_rebase_case *c)
{
	bool same = true;
	const char *name;
	const void *theirs;
	size_t tlen;
	ssize_t len = cow_ovl_listxattr(ours, rb->names, COW_XATTR_LIST_MAX);
	if (len < 0 && len != -EOPNOTSUPP)
		return (int)len;
	for (const char *x = rb->names; len > 0 && x < rb->names + len; x += strlen(x) + 1) {
		ssize_t n = cow_ovl_getxattr(ours, x, rb->value, COW_XATTR_SIZE_MAX);
		if (n < 0 && n != -ENODATA && n != -EOPNOTSUPP)
			return (int)n;
		if (n >= 0)
			look_at_xattr(e, rb, x, rb->value, (size_t)n, &same, &c->xattrs_clash);
	}
	for (size_t k = 0; cow_ovl_image_xattr(rb->v2, e->theirs, k, &name, &theirs, &tlen); k++) {
		ssize_t n = cow_ovl_getxattr(ours, name, NULL, 0);
		if (n == -ENODATA)
			look_at_xattr(e, rb, name, NULL, 0, &same, &c->xattrs_clash);
		else if (n < 0)
			return (int)n;
	}
	if (same)
		c->agree |= COW_CHANGED_XATTRS;
	return 0;
}

/* ---------------------------------------------------------------- all of it */

static unsigned same_attr(const struct cow_ovl_attr *a, const struct cow_ovl_attr *b)
{
	unsigned agree = 0;
	if (((a->mode ^ b->mode) & 07777) == 0 || S_ISLNK(a->mode))
		agree |= COW_CHANGED_MODE;
	if (a->uid == b->uid && a->gid == b->gid)
		agree |= COW_CHANGED_OWNER;
	if (a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec)
		agree |= COW_CHANGED_MTIME;
	return agree;
}

int cow_rebase_agree(struct cow_rebase *rb, const struct cow_rebase_entry *e,
		     const char *their_path, struct cow_rebase_case *c)
{
	struct cow_ovl_attr a = {0}, b;
	cow_autonode ours = NULL;
	cow_ovl_image_attr(rb->v2, e->theirs, &b);
	int r = cow_rebase_node(rb->ours, e->path, &ours, &a);
	if (r < 0)
		return r;
	c->agree = same_attr(&a, &b);
	if ((a.mode & S_IFMT) != (b.mode & S_IFMT))
		return 0;
	c->agree |= COW_CHANGED_TYPE;
	r = same_data(rb, ours, &a, &b, their_path);
	if (r > 0)
		c->agree |= COW_CHANGED_DATA;
	return r < 0 ? r : look_at_xattrs(rb, e, ours, c);
}
