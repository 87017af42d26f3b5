/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is an object the same in two roots? What nobody has changed is one inode of an image, or on btrfs one that
 * two snapshots of it share; everything else is compared.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "carry_internal.h"
#include "commit_internal.h"
#include "common/bounds.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_attr(const struct cow_ovl_attr *a, const struct cow_ovl_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       same_time(&a->mtime, &b->mtime);
}

static bool same_kind(const struct cow_ovl_attr *a, const struct cow_ovl_attr *b)
{
	if (!same_attr(a, b) || a->nlink != b->nlink)
		return false;
	return S_ISCHR(a->mode) || S_ISBLK(a->mode) ? a->rdev == b->rdev : a->size == b->size;
}

/* ---------------------------------------------------------------- values */

static int same_values(struct cow_carry *c, struct cow_ovl_node *a, struct cow_ovl_node *b,
		       size_t len)
{
	for (const char *x = c->names; x < c->names + len; x += strlen(x) + 1) {
		ssize_t n = cow_ovl_getxattr(a, x, c->value, COW_XATTR_SIZE_MAX);
		ssize_t m = cow_ovl_getxattr(b, x, c->other_value, COW_XATTR_SIZE_MAX);
		if (n < 0 && n != -ENODATA)
			return (int)n;
		if (n != m || (n > 0 && memcmp(c->value, c->other_value, (size_t)n) != 0))
			return 0;
	}
	return 1;
}

int cow_carry_same_xattrs(struct cow_carry *c, struct cow_ovl_node *a, struct cow_ovl_node *b)
{
	ssize_t n = cow_ovl_listxattr(a, c->names, COW_XATTR_LIST_MAX);
	ssize_t m = cow_ovl_listxattr(b, c->other_names, COW_XATTR_LIST_MAX);
	if (n == -EOPNOTSUPP && m == n)
		return 1;
	if (n < 0 || m < 0)
		return (int)(n < 0 ? n : m);
	/* Equal lengths and every name found: the same names in whatever order. */
	return n == m ? same_values(c, a, b, (size_t)n) : 0;
}

static int same_target(struct cow_ovl_node *a, struct cow_ovl_node *b)
{
	char x[COW_SYMLINK_MAX], y[COW_SYMLINK_MAX];
	ssize_t n = cow_ovl_readlink(a, x, sizeof(x)), m = cow_ovl_readlink(b, y, sizeof(y));
	if (n < 0 || m < 0)
		return (int)(n < 0 ? n : m);
	return n == m && memcmp(x, y, (size_t)n) == 0;
}

/* ---------------------------------------------------------------- inodes */

/* One object of the disk, or its like in two snapshots of one tree, where a change leaves its time. */
static bool untouched(const struct cow_carry *c, const struct cow_ovl_source *a,
		      const struct cow_ovl_source *b)
{
	struct stat x, y;
	if (a->golden != b->golden || fstat(a->fd, &x) < 0 || fstat(b->fd, &y) < 0 ||
	    x.st_ino != y.st_ino)
		return false;
	return a->golden ? x.st_dev == y.st_dev
			 : c->o.same_image && same_time(&x.st_ctim, &y.st_ctim);
}

static int same_open(struct cow_carry *c, const struct cow_entry *from,
		     const struct cow_ovl_source *a, const struct cow_ovl_source *b)
{
	bool linked = from->attr.nlink > 1;
	if (untouched(c, a, b) && (!linked || c->o.same_image || c->all))
		return 1;
	/* Names may have gone from one object to another, though all are equal. */
	return linked && !c->all ? 0 : cow_commit_same(from->node, &from->attr, b->fd, a->fd, c->same);
}

static int same_inode(struct cow_carry *c, const struct cow_entry *from, const struct cow_entry *to)
{
	struct cow_ovl_source a, b;
	int r = cow_ovl_source(from->node, &a);
	if (r < 0)
		return r;
	r = cow_ovl_source(to->node, &b);
	if (r == 0) {
		r = same_open(c, from, &a, &b);
		(void)close(b.fd); /* both were only read */
	}
	(void)close(a.fd);
	return r;
}

static int same_object(struct cow_carry *c, const struct cow_entry *from,
		       const struct cow_entry *to)
{
	if (!same_kind(&from->attr, &to->attr))
		return 0;
	if (S_ISREG(from->attr.mode))
		return same_inode(c, from, to);
	int r = cow_carry_same_xattrs(c, from->node, to->node);
	if (r > 0 && S_ISLNK(from->attr.mode))
		r = same_target(from->node, to->node);
	return r <= 0 || from->attr.nlink == 1 || c->all ? r : same_inode(c, from, to);
}

int cow_carry_same(struct cow_carry *c, const struct cow_entry *from, const struct cow_entry *to)
{
	int r = same_object(c, from, to);
	return r > 0 && c->all && from->attr.nlink > 1 ? cow_carry_claim(c, from, to->node) : r;
}

int cow_carry_same_dir(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to)
{
	struct cow_ovl_attr now;
	int r = cow_ovl_getattr(to, &now);
	if (r < 0)
		return r;
	return same_attr(&from->attr, &now) ? cow_carry_same_xattrs(c, from->node, to) : 0;
}
