/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two trees, compared directory by directory. The new one may be in use: what is gone when we get to
 * it is left out.
 */
#include "diff_plain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "common/growpath.h"
#include "names.h"

#define BUF_SIZE (128u << 10)

struct diff {
	cow_ovl_diff_fn fn;
	void *ctx;
	char *buf[2];		  /* BUF_SIZE each: content and attribute values */
	char *names[2];		  /* COW_XATTR_LIST_MAX each */
	struct cow_growpath path; /* of the object at hand */
	unsigned depth;
};

/* One object on both sides. fd: O_PATH. */
struct side {
	int fd;
	struct stat st;
	char proc[32];
};

static int report(struct diff *d, enum cow_ovl_change_kind kind, unsigned what, mode_t mode)
{
	struct cow_ovl_change change = {
	    .kind = kind,
	    .what = what,
	    .type = mode & S_IFMT,
	    .path = d->path.s,
	};
	return d->fn(d->ctx, &change);
}

/* ---------------------------------------------------------------- comparing */

static int side_open(int dir, const char *name, struct side *ret)
{
	*ret = (struct side){.fd = -1};
	ret->fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (ret->fd < 0)
		return errno == EMFILE ? -ELOOP : -errno;
	if (fstat(ret->fd, &ret->st) < 0)
		return -errno;
	(void)snprintf(ret->proc, sizeof(ret->proc), "/proc/self/fd/%d", ret->fd);
	return 0;
}

static int open_content(const struct side *s)
{
	int fd = open(s->proc, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOATIME);
	return fd < 0 ? -errno : fd;
}

static int same_content(struct diff *d, const struct side *a, const struct side *b)
{
	if (a->st.st_size != b->st.st_size)
		return 0;
	cow_autoclose int fa = open_content(a);
	cow_autoclose int fb = fa < 0 ? fa : open_content(b);
	if (fb < 0)
		return fb;
	for (;;) {
		ssize_t na = cow_read_full(fa, d->buf[0], BUF_SIZE);
		ssize_t nb = na < 0 ? na : cow_read_full(fb, d->buf[1], BUF_SIZE);
		if (nb < 0)
			return (int)nb;
		if (na != nb || memcmp(d->buf[0], d->buf[1], (size_t)na) != 0)
			return 0;
		if (na < (ssize_t)BUF_SIZE)
			return 1;
	}
}

static int same_target(struct diff *d, const struct side *a, const struct side *b)
{
	ssize_t na = readlinkat(a->fd, "", d->buf[0], COW_SYMLINK_MAX + 1);
	ssize_t nb = na < 0 ? na : readlinkat(b->fd, "", d->buf[1], COW_SYMLINK_MAX + 1);
	if (nb < 0)
		return -errno;
	return na == nb && memcmp(d->buf[0], d->buf[1], (size_t)na) == 0;
}

static int same_data(struct diff *d, const struct side *a, const struct side *b)
{
	switch (a->st.st_mode & S_IFMT) {
	case S_IFREG:
		return same_content(d, a, b);
	case S_IFLNK:
		return same_target(d, a, b);
	case S_IFCHR:
	case S_IFBLK:
		return a->st.st_rdev == b->st.st_rdev;
	default:
		return 1;
	}
}

/* Names of a side's attributes; 0 where the file system has none. */
static ssize_t list(const struct side *s, char *names)
{
	ssize_t n = listxattr(s->proc, names, COW_XATTR_LIST_MAX);
	return n >= 0 ? n : errno == EOPNOTSUPP ? 0 : -errno;
}

/* Is every attribute of @a one of @b, with the same value? */
static int has_all(struct diff *d, const struct side *a, const char *names, ssize_t len,
		   const struct side *b)
{
	for (const char *x = names; x < names + len; x += strlen(x) + 1) {
		ssize_t na = getxattr(a->proc, x, d->buf[0], BUF_SIZE);
		ssize_t nb = getxattr(b->proc, x, d->buf[1], BUF_SIZE);
		if (na < 0 || na != nb || memcmp(d->buf[0], d->buf[1], (size_t)na) != 0)
			return 0;
	}
	return 1;
}

/* Equal lists have equal lengths, in whatever order. */
static int same_xattrs(struct diff *d, const struct side *a, const struct side *b)
{
	ssize_t na = list(a, d->names[0]), nb = na < 0 ? na : list(b, d->names[1]);
	if (nb < 0)
		return (int)nb;
	return na == nb && has_all(d, a, d->names[0], na, b);
}

static int same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A snapshot keeps inode numbers and never gives one again; any change moves the ctime. */
static int is_untouched(const struct side *a, const struct side *b)
{
	return a->st.st_ino == b->st.st_ino && a->st.st_mode == b->st.st_mode &&
	       a->st.st_size == b->st.st_size && same_time(&a->st.st_mtim, &b->st.st_mtim) &&
	       same_time(&a->st.st_ctim, &b->st.st_ctim);
}

static unsigned attributes_differ(const struct side *a, const struct side *b)
{
	unsigned what = 0;
	if ((a->st.st_mode ^ b->st.st_mode) & 07777)
		what |= COW_CHANGED_MODE;
	if (a->st.st_uid != b->st.st_uid || a->st.st_gid != b->st.st_gid)
		what |= COW_CHANGED_OWNER;
	if (!S_ISDIR(a->st.st_mode) && !same_time(&a->st.st_mtim, &b->st.st_mtim))
		what |= COW_CHANGED_MTIME;
	return what;
}

static int compare(struct diff *d, const struct side *a, const struct side *b, unsigned *ret)
{
	*ret = 0;
	if (is_untouched(a, b))
		return 0;
	*ret = COW_CHANGED_TYPE;
	if ((a->st.st_mode ^ b->st.st_mode) & S_IFMT)
		return 0;
	*ret = attributes_differ(a, b);
	int r = same_xattrs(d, a, b);
	if (r == 0)
		*ret |= COW_CHANGED_XATTRS;
	if (r >= 0)
		r = same_data(d, a, b);
	if (r == 0)
		*ret |= COW_CHANGED_DATA;
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- walking */

static int walk(struct diff *d, int old_dir, int new_dir);

static int open_dir(const struct side *s)
{
	int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : errno == EMFILE ? -ELOOP : -errno;
}

/* @a: NULL or no directory: all below @b is new. */
static int descend(struct diff *d, const struct side *a, const struct side *b)
{
	if (!S_ISDIR(b->st.st_mode))
		return 0;
	if (d->depth == COW_DEPTH_MAX)
		return -ELOOP;
	cow_autoclose int new_dir = open_dir(b);
	if (new_dir < 0)
		return new_dir == -ENOENT ? 0 : new_dir;
	cow_autoclose int old_dir = a && S_ISDIR(a->st.st_mode) ? open_dir(a) : -1;
	if (old_dir < -1)
		return old_dir;
	d->depth++;
	int r = walk(d, old_dir, new_dir);
	d->depth--;
	return r;
}

static int visit_both(struct diff *d, const struct side *a, const struct side *b)
{
	unsigned what;
	int r = compare(d, a, b, &what);
	if (r == 0 && what)
		r = report(d,
			   what & (COW_CHANGED_DATA | COW_CHANGED_TYPE) ? COW_CHANGE_MODIFIED
									: COW_CHANGE_ATTRIBUTES,
			   what, b->st.st_mode);
	return r ? r : descend(d, a, b);
}

static int visit_new(struct diff *d, const struct side *b)
{
	int r = report(d, COW_CHANGE_ADDED, 0, b->st.st_mode);
	return r ? r : descend(d, NULL, b);
}

static int visit(struct diff *d, int old_dir, int new_dir, const char *name)
{
	struct side a = {.fd = -1}, b = {.fd = -1};
	int ra = old_dir < 0 ? -ENOENT : side_open(old_dir, name, &a);
	int rb = side_open(new_dir, name, &b);
	int r = ra < 0 && ra != -ENOENT ? ra : rb < 0 && rb != -ENOENT ? rb : 0;
	if (r == 0 && ra == 0 && rb == 0)
		r = visit_both(d, &a, &b);
	else if (r == 0 && rb == 0)
		r = visit_new(d, &b);
	else if (r == 0 && ra == 0)
		r = report(d, COW_CHANGE_DELETED, 0, a.st.st_mode);
	if (a.fd >= 0)
		(void)close(a.fd); /* opened to look at */
	if (b.fd >= 0)
		(void)close(b.fd);
	return r;
}

static int visit_name(struct diff *d, int old_dir, int new_dir, const char *name)
{
	size_t old;
	int r = cow_growpath_push(&d->path, name, &old);
	if (r < 0)
		return r;
	r = visit(d, old_dir, new_dir, name);
	if (r == 0)
		cow_growpath_pop(&d->path, old); /* else it stays, for the message */
	return r;
}

/* Both lists are sorted: every name once. */
static int walk(struct diff *d, int old_dir, int new_dir)
{
	cow_autonames struct cow_names a = COW_NAMES_EMPTY;
	cow_autonames struct cow_names b = COW_NAMES_EMPTY;
	int r = old_dir < 0 ? 0 : cow_names_read(old_dir, ".", &a);
	if (r == 0)
		r = cow_names_read(new_dir, ".", &b);
	if (r < 0)
		return r == -EMFILE ? -ELOOP : r;
	size_t i = 0, k = 0;
	while (r == 0 && (i < a.n || k < b.n)) {
		int cmp = i == a.n ? 1 : k == b.n ? -1 : strcmp(a.name[i], b.name[k]);
		r = visit_name(d, old_dir, new_dir, cmp <= 0 ? a.name[i] : b.name[k]);
		i += cmp <= 0;
		k += cmp >= 0;
	}
	return r;
}

/* ---------------------------------------------------------------- sorting */

/* Directory order is not path order ("a.b" comes before "a/b"): the whole list is sorted. */
struct found {
	struct cow_ovl_change change;
	char *path;
};
struct found_list {
	struct found *list;
	size_t n, room;
};

static int keep(void *ctx, const struct cow_ovl_change *change)
{
	struct found_list *l = ctx;
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct found *grown = reallocarray(l->list, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->list = grown;
		l->room = room;
	}
	struct found *f = &l->list[l->n];
	f->change = *change;
	f->path = strdup(change->path);
	f->change.path = f->path;
	return f->path ? (l->n++, 0) : -ENOMEM;
}

static int found_cmp(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	return strcmp(x->path, y->path);
}

static int walk_trees(struct diff *d, int old_tree, int new_tree)
{
	struct side a = {.fd = -1}, b = {.fd = -1};
	int r = side_open(old_tree, ".", &a);
	if (r == 0)
		r = side_open(new_tree, ".", &b);
	if (r == 0)
		r = visit_both(d, &a, &b);
	if (a.fd >= 0)
		(void)close(a.fd); /* opened to look at */
	if (b.fd >= 0)
		(void)close(b.fd);
	return r;
}

static int diff_sorted(struct diff *d, struct found_list *l, int old_tree, int new_tree,
		       cow_ovl_diff_fn fn, void *ctx, struct cow_err *err)
{
	int r = walk_trees(d, old_tree, new_tree);
	if (r == -ELOOP)
		return cow_err_say(err, COW_ERR_FAILED, r,
				   "the root has directories too deep to be compared");
	if (r < 0)
		return cow_err_set(err, r, "compare the root with its image, at '/%s'", d->path.s);
	if (l->n)
		qsort(l->list, l->n, sizeof(*l->list), found_cmp);
	for (size_t k = 0; r == 0 && k < l->n; k++)
		r = fn(ctx, &l->list[k].change);
	return r;
}

int cow_diff_plain(int old_tree, int new_tree, cow_ovl_diff_fn fn, void *ctx, struct cow_err *err)
{
	struct found_list l = {0};
	struct diff d = {.fn = keep, .ctx = &l};
	int r = cow_growpath_init(&d.path);
	for (int k = 0; k < 2; k++) {
		d.buf[k] = malloc(BUF_SIZE);
		d.names[k] = malloc(COW_XATTR_LIST_MAX);
		if (!d.buf[k] || !d.names[k])
			r = -ENOMEM;
	}
	r = r < 0 ? cow_err_set(err, r, "compare the root with its image")
		  : diff_sorted(&d, &l, old_tree, new_tree, fn, ctx, err);
	for (size_t k = 0; k < l.n; k++)
		free(l.list[k].path);
	free(l.list);
	for (int k = 0; k < 2; k++) {
		free(d.buf[k]);
		free(d.names[k]);
	}
	cow_growpath_done(&d.path);
	return r;
}
