/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See kept.h.
 */
#include "kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"

enum { CHILDREN_MAX = 16, XATTRS_MAX = 4, VALUE_MAX = 64, FILE_MAX = 16384 };

struct xattr {
	char name[VALUE_MAX], value[VALUE_MAX];
	ssize_t len;
};

struct kept {
	char name[64];
	mode_t mode;
	char *data; /* of a file; where a link leads */
	size_t len;
	struct kept *child; /* of a directory */
	unsigned children, xattrs;
	struct xattr xattr[XATTRS_MAX]; /* of a directory */
};

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, strerrorname_np(errno));
	abort();
}

static const char *next_name(DIR *d)
{
	const struct dirent *e = NULL;

	need(cow_readdir(d, &e) >= 0, "read a folder");
	return e ? e->d_name : NULL;
}

static DIR *list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	need(d, "list a folder");
	return d;
}

static int open_dir(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	need(fd >= 0, name);
	return fd;
}

static size_t read_at(int dirfd, const char *name, mode_t type, char buf[FILE_MAX])
{
	ssize_t n;

	if (type == S_IFLNK) {
		n = readlinkat(dirfd, name, buf, FILE_MAX);
	} else {
		cow_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		n = fd < 0 ? -1 : read(fd, buf, FILE_MAX);
	}
	need(n >= 0 && n < FILE_MAX, name);
	return (size_t)n;
}

/* ---------------------------------------------------------------- attributes of directories */

static unsigned read_xattrs(int fd, struct xattr x[XATTRS_MAX])
{
	char names[XATTRS_MAX * VALUE_MAX];
	ssize_t len = flistxattr(fd, names, sizeof(names));
	unsigned n = 0;

	need(len >= 0, "attributes");
	for (const char *p = names; p < names + len; p += strlen(p) + 1, n++) {
		need(n < XATTRS_MAX && strlen(p) < VALUE_MAX, "too many attributes");
		memcpy(x[n].name, p, strlen(p) + 1);
		x[n].len = fgetxattr(fd, p, x[n].value, VALUE_MAX);
		need(x[n].len >= 0, p);
	}
	return n;
}

static const struct xattr *same_name(const struct xattr *all, unsigned n, const char *name)
{
	for (unsigned k = 0; k < n; k++) {
		if (strcmp(all[k].name, name) == 0)
			return &all[k];
	}
	return NULL;
}

static void put_back_xattrs(int fd, const struct kept *k)
{
	struct xattr now[XATTRS_MAX];
	unsigned n = read_xattrs(fd, now);

	for (unsigned i = 0; i < n; i++) {
		if (!same_name(k->xattr, k->xattrs, now[i].name))
			need(fremovexattr(fd, now[i].name) == 0, now[i].name);
	}
	for (unsigned i = 0; i < k->xattrs; i++) {
		const struct xattr *want = &k->xattr[i], *is = same_name(now, n, want->name);

		if (!is || is->len != want->len ||
		    memcmp(is->value, want->value, (size_t)want->len) != 0)
			need(fsetxattr(fd, want->name, want->value, (size_t)want->len, 0) == 0,
			     want->name);
	}
}

/* ---------------------------------------------------------------- what was */

static void keep_dir(int fd, struct kept *k);

static void keep_at(int dirfd, const char *name, struct kept *k)
{
	char buf[FILE_MAX];
	struct stat st;

	need(strlen(name) < sizeof(k->name) && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0,
	     name);
	memcpy(k->name, name, strlen(name) + 1);
	k->mode = st.st_mode;
	if (S_ISDIR(st.st_mode)) {
		cow_autoclose int fd = open_dir(dirfd, name);

		keep_dir(fd, k);
		return;
	}
	need(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode), name);
	k->len = read_at(dirfd, name, st.st_mode & S_IFMT, buf);
	k->data = calloc(1, sizeof(buf));
	need(k->data, name);
	memcpy(k->data, buf, k->len);
}

static void keep_dir(int fd, struct kept *k)
{
	cow_autodir DIR *d = list(fd);

	k->xattrs = read_xattrs(fd, k->xattr);
	k->child = calloc(CHILDREN_MAX, sizeof(*k->child));
	need(k->child, "remember a folder");
	for (const char *name; (name = next_name(d));) {
		need(k->children < CHILDREN_MAX, "too many files");
		keep_at(fd, name, &k->child[k->children++]);
	}
}

struct kept *kept_of(const char *path)
{
	struct kept *k = calloc(1, sizeof(*k));
	cow_autoclose int fd = open_dir(AT_FDCWD, path);

	need(k, "remember a folder");
	keep_dir(fd, k);
	return k;
}

/* ---------------------------------------------------------------- and is again */

static void delete_at(int dirfd, const char *name)
{
	int r = cow_rm_rf_at(dirfd, name, 0);

	errno = -r;
	need(r == 0, name);
}

static const struct kept *child_of(const struct kept *k, const char *name)
{
	for (unsigned i = 0; i < k->children; i++) {
		if (strcmp(k->child[i].name, name) == 0)
			return &k->child[i];
	}
	return NULL;
}

static void delete_new(int fd, const struct kept *k)
{
	cow_autodir DIR *d = list(fd);

	for (const char *name; (name = next_name(d));) {
		const struct kept *c = child_of(k, name);
		struct stat st;

		need(!c || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0, name);
		if (!c || st.st_mode != c->mode)
			delete_at(fd, name);
	}
}

static void put_back_file(int dirfd, const struct kept *k)
{
	cow_autoclose int fd =
	    openat(dirfd, k->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, k->mode & 07777);
	char buf[FILE_MAX];

	need(fd >= 0, k->name);
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n == (ssize_t)k->len && memcmp(buf, k->data, k->len) == 0)
		return;
	need(ftruncate(fd, 0) == 0 && pwrite(fd, k->data, k->len, 0) == (ssize_t)k->len, k->name);
}

static void put_back_link(int dirfd, const struct kept *k)
{
	char buf[FILE_MAX];
	ssize_t n = readlinkat(dirfd, k->name, buf, sizeof(buf));

	if (n == (ssize_t)k->len && memcmp(buf, k->data, k->len) == 0)
		return;
	if (n >= 0)
		delete_at(dirfd, k->name);
	need(symlinkat(k->data, dirfd, k->name) == 0, k->name);
}

static void put_back_dir(int fd, const struct kept *k)
{
	put_back_xattrs(fd, k);
	delete_new(fd, k);
	for (unsigned i = 0; i < k->children; i++) {
		const struct kept *c = &k->child[i];

		if (S_ISREG(c->mode)) {
			put_back_file(fd, c);
		} else if (S_ISLNK(c->mode)) {
			put_back_link(fd, c);
		} else {
			need(mkdirat(fd, c->name, c->mode & 07777) == 0 || errno == EEXIST,
			     c->name);
			cow_autoclose int below = open_dir(fd, c->name);

			put_back_dir(below, c);
		}
	}
}

void kept_put_back(const struct kept *k, const char *path)
{
	cow_autoclose int fd = open_dir(AT_FDCWD, path);

	put_back_dir(fd, k);
}
