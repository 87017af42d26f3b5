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

#define ALL_CHANGES                                                                                \
	((unsigned)COW_CHANGED_DATA | COW_CHANGED_TYPE | COW_CHANGED_MODE | COW_CHANGED_OWNER |    \
	 COW_CHANGED_MTIME | COW_CHANGED_XATTRS)

/* An object of a version, to compare the client's with. @base: of v1, if both come from it; 0: not. */
struct other {
	const struct cow_ovl_image *img;
	int tree;
	const char *path;
	uint32_t number, base;
};

/* ---------------------------------------------------------------- content */

static int same_content(struct cow_rebase *rb, struct cow_ovl_node *ours, const struct other *other,
			off_t size)
{
	struct cow_ovl_source src;
	int r = cow_ovl_source(ours, &src);
	if (r < 0)
		return r;
	cow_autoclose int fd = src.fd;
	cow_autoclose int their = cow_open_beneath(other->tree, other->path,
						   O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0);
	return their < 0 ? their : cow_commit_same_data(fd, their, size, rb->buf);
}

static int same_target(struct cow_ovl_node *ours, const struct other *other)
{
	char a[COW_SYMLINK_MAX + 1], b[COW_SYMLINK_MAX + 1];
	ssize_t n = cow_ovl_readlink(ours, a, sizeof(a));
	if (n < 0)
		return (int)n;
	cow_autoclose int fd =
	    cow_open_beneath(other->tree, other->path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ssize_t m = readlinkat(fd, "", b, sizeof(b));
	return m < 0 ? -errno : n == m && memcmp(a, b, (size_t)n) == 0;
}

/* Of one type: 1 the same, 0 not. */
static int same_data(struct cow_rebase *rb, struct cow_ovl_node *ours, const struct cow_ovl_attr *a,
		     const struct cow_ovl_attr *b, const struct other *other)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return a->size == b->size ? same_content(rb, ours, other, (off_t)a->size) : 0;
	case S_IFLNK:
		return same_target(ours, other);
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

/* One name: what the client has, the other one, v1. */
static void look_at_xattr(const struct cow_rebase *rb, const struct other *other, const char *name,
			  const void *ours, size_t len, struct cow_rebase_case *c)
{
	size_t tlen = 0, blen = 0;
	const void *theirs = cow_rebase_xattr(other->img, other->number, name, &tlen);
	const void *base = other->base ? cow_rebase_xattr(rb->v1, other->base, name, &blen) : NULL;
	if (same_value(ours, len, theirs, tlen))
		return;
	c->agree &= ~(unsigned)COW_CHANGED_XATTRS;
	if (other->base && !same_value(ours, len, base, blen) &&
	    !same_value(theirs, tlen, base, blen))
		c->xattrs_clash = true;
}

static int look_at_xattrs(struct cow_rebase *rb, const struct other *other,
			  struct cow_ovl_node *ours, struct cow_rebase_case *c)
{
	const char *name;
	const void *theirs;
	size_t tlen;
	ssize_t len = cow_ovl_listxattr(ours, rb->names, COW_XATTR_LIST_MAX);
	if (len < 0 && len != -EOPNOTSUPP)
		return (int)len;
	c->agree |= COW_CHANGED_XATTRS;
	for (const char *x = rb->names; len > 0 && x < rb->names + len; x += strlen(x) + 1) {
		ssize_t n = cow_ovl_getxattr(ours, x, rb->value, COW_XATTR_SIZE_MAX);
		if (n < 0 && n != -ENODATA && n != -EOPNOTSUPP)
			return (int)n;
		if (n >= 0)
			look_at_xattr(rb, other, x, rb->value, (size_t)n, c);
	}
	for (size_t k = 0; cow_ovl_image_xattr(other->img, other->number, k, &name, &theirs, &tlen);
	     k++) {
		ssize_t n = cow_ovl_getxattr(ours, name, NULL, 0);
		if (n == -ENODATA)
			look_at_xattr(rb, other, name, NULL, 0, c);
		else if (n < 0)
			return (int)n;
	}
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

static int look(struct cow_rebase *rb, const char *path, const struct other *other,
		struct cow_rebase_case *c)
{
	struct cow_ovl_attr a = {0}, b;
	cow_autonode ours = NULL;
	cow_ovl_image_attr(other->img, other->number, &b);
	int r = cow_rebase_node(rb->ours, path, &ours, &a);
	if (r < 0)
		return r;
	c->agree = same_attr(&a, &b);
	if ((a.mode & S_IFMT) != (b.mode & S_IFMT))
		return 0;
	c->agree |= COW_CHANGED_TYPE;
	r = same_data(rb, ours, &a, &b, other);
	if (r > 0)
		c->agree |= COW_CHANGED_DATA;
	return r < 0 ? r : look_at_xattrs(rb, other, ours, c);
}

int cow_rebase_agree(struct cow_rebase *rb, const struct cow_rebase_entry *e,
		     const char *their_path, struct cow_rebase_case *c)
{
	const struct other v2 = {rb->v2, rb->tree2, their_path, e->theirs, e->base};
	return look(rb, e->path, &v2, c);
}

int cow_rebase_differs(struct cow_rebase *rb, const char *path, const char *base, uint32_t number,
		       unsigned *ret_what)
{
	const struct other v1 = {rb->v1, rb->tree1, base, number, 0};
	struct cow_rebase_case c = {0};
	int r = look(rb, path, &v1, &c);
	*ret_what = ALL_CHANGES & ~c.agree;
	return r;
}
