/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reading objects for image_scan.h. Regular files through a descriptor of their own, everything else
 * through /proc/self/fd of an O_PATH one, since that takes no flistxattr(2).
 */
#include "image_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "grow.h"
#include "image_internal.h"
#include "internal.h"

#define READ_SIZE (256u << 10) /* stays in the second-level cache between read and hash */
#define TICK_OBJECTS 4096
#define TICK_BYTES (64u << 20)

struct cow_scan {
	struct statx root;
	bool btrfs;
	EVP_MD_CTX *md;
	const EVP_MD *sha256; /* borrowed from libcrypto */
	cow_scan_progress_fn progress;
	void *ctx;
	uint64_t objects, bytes, said_objects, said_bytes;
	bool stopped;

	char target[COW_SYMLINK_MAX + 1];
	char names[COW_XATTR_LIST_MAX];
	struct cow_scan_xattr *xattrs;
	size_t nxattr, xattrs_room;
	uint8_t *values;
	size_t values_len, values_room;
	uint8_t buf[READ_SIZE];
};

#define STATX_WANTED (STATX_BASIC_STATS | STATX_MNT_ID)

static int statx_of(int fd, const char *name, int flags, struct statx *ret)
{
	return statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, ret) < 0
		   ? cow_nerr()
		   : 0;
}

int cow_scan_new(int rootfd, cow_scan_progress_fn progress, void *ctx, struct cow_scan **ret)
{
	struct cow_scan *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->progress = progress;
	s->ctx = ctx;
	s->sha256 = EVP_sha256();
	s->md = EVP_MD_CTX_new();
	struct statfs sf;
	int r = s->md ? statx_of(rootfd, "", AT_EMPTY_PATH, &s->root) : -ENOMEM;
	if (r == 0 && fstatfs(rootfd, &sf) < 0)
		r = cow_nerr();
	if (r < 0) {
		cow_scan_free(s);
		return r;
	}
	s->btrfs = sf.f_type == BTRFS_SUPER_MAGIC;
	*ret = s;
	return 0;
}

void cow_scan_free(struct cow_scan *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->md);
	free(s->xattrs);
	free(s->values);
	free(s);
}

static int tick(struct cow_scan *s)
{
	if (!s->progress ||
	    (s->objects - s->said_objects < TICK_OBJECTS && s->bytes - s->said_bytes < TICK_BYTES))
		return 0;
	s->said_objects = s->objects;
	s->said_bytes = s->bytes;
	int r = s->progress(s->ctx, s->objects, s->bytes);
	s->stopped = r < 0;
	return r < 0 ? r : 0;
}

bool cow_scan_stopped(const struct cow_scan *s)
{
	return s->stopped;
}

static bool same_place(const struct statx *a, const struct statx *b)
{
	if (a->stx_dev_major != b->stx_dev_major || a->stx_dev_minor != b->stx_dev_minor)
		return false;
	return !(a->stx_mask & b->stx_mask & STATX_MNT_ID) || a->stx_mnt_id == b->stx_mnt_id;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int cow_scan_stat(const struct cow_scan *s, int dirfd, const char *name,
		  struct cow_scan_object *ret)
{
	struct cow_scan_object obj = {0};
	int r = statx_of(dirfd, name, 0, &obj.st);
	if (r < 0)
		return r;
	if (!same_place(&obj.st, &s->root) ||
	    (s->btrfs && obj.st.stx_ino == COW_BTRFS_EMPTY_SUBVOL_INO))
		return -EXDEV;
	*ret = obj;
	return 0;
}

int cow_scan_unchanged(int fd, const struct statx *st)
{
	struct statx now;
	int r = statx_of(fd, "", AT_EMPTY_PATH, &now);
	if (r < 0)
		return r;
	/* Versions of an image share what did not change between them by hard links: a link made or
	 * removed in another version is no change of this one, but moves the ctime. */
	bool shared = now.stx_nlink > 1 || st->stx_nlink > 1;
	bool same = now.stx_ino == st->stx_ino && same_place(&now, st) &&
		    now.stx_mode == st->stx_mode && now.stx_size == st->stx_size &&
		    now.stx_uid == st->stx_uid && now.stx_gid == st->stx_gid &&
		    same_time(&now.stx_mtime, &st->stx_mtime) &&
		    (shared || same_time(&now.stx_ctime, &st->stx_ctime));
	return same ? 0 : -EAGAIN;
}

/* ---------------------------------------------------------------- extended attributes */

/* An object's attributes: by fd where it is a readable one, else by path. */
struct reach {
	int fd;
	bool regular;
	char path[COW_PROC_PATH_LEN];
};

static ssize_t reach_list(const struct reach *o, char *buf, size_t len)
{
	return o->regular ? flistxattr(o->fd, buf, len) : listxattr(o->path, buf, len);
}

static ssize_t reach_get(const struct reach *o, const char *name, void *buf, size_t len)
{
	return o->regular ? fgetxattr(o->fd, name, buf, len) : getxattr(o->path, name, buf, len);
}

/* Other namespaces are properties of a file system (btrfs.compression), not of a tree. */
static bool recorded(const char *name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security.", "system.posix_acl_"};
	if (cow_xattr_of_xfs(name))
		return false;
	for (size_t k = 0; k < sizeof(spaces) / sizeof(*spaces); k++)
		if (strncmp(name, spaces[k], strlen(spaces[k])) == 0)
			return true;
	return false;
}

/* Value behind the others; its place is an offset until all are there. */
static int read_xattr(struct cow_scan *s, const struct reach *o, const char *name)
{
	int r = cow_grow(&s->values, &s->values_room, s->values_len + COW_XATTR_SIZE_MAX);
	if (r == 0)
		r = cow_grow(&s->xattrs, &s->xattrs_room, s->nxattr + 1);
	if (r < 0)
		return r;
	ssize_t n = reach_get(o, name, s->values + s->values_len, COW_XATTR_SIZE_MAX);
	if (n < 0)
		return errno == ENODATA ? -EAGAIN : cow_nerr();
	s->xattrs[s->nxattr++] = (struct cow_scan_xattr){.name = name, .len = (size_t)n};
	s->values_len += (size_t)n;
	return 0;
}

static int by_name(const void *pa, const void *pb)
{
	const struct cow_scan_xattr *a = pa, *b = pb;
	return strcmp(a->name, b->name);
}

static int read_xattrs(struct cow_scan *s, const struct reach *o, struct cow_scan_object *obj)
{
	s->nxattr = s->values_len = 0;
	ssize_t list = reach_list(o, s->names, sizeof(s->names));
	if (list < 0)
		return errno == EOPNOTSUPP ? 0 : cow_nerr();
	for (ssize_t at = 0; at < list; at += (ssize_t)strlen(s->names + at) + 1) {
		if (!recorded(s->names + at))
			continue;
		int r = read_xattr(s, o, s->names + at);
		if (r < 0)
			return r;
	}
	size_t at = 0;
	for (size_t k = 0; k < s->nxattr; k++) {
		s->xattrs[k].value = s->values + at;
		at += s->xattrs[k].len;
	}
	if (s->nxattr)
		qsort(s->xattrs, s->nxattr, sizeof(*s->xattrs), by_name);
	obj->xattrs = s->xattrs;
	obj->nxattr = s->nxattr;
	return 0;
}

/* ---------------------------------------------------------------- content */

static int digest(struct cow_scan *s, int fd, uint8_t ret[COW_OVM_DIGEST_LEN])
{
	if (EVP_DigestInit_ex2(s->md, s->sha256, NULL) != 1)
		return -ENOMEM;
	for (;;) {
		ssize_t n = cow_read_full(fd, s->buf, sizeof(s->buf));
		if (n < 0)
			return (int)n;
		if (n > 0 && EVP_DigestUpdate(s->md, s->buf, (size_t)n) != 1)
			return -ENOMEM;
		s->bytes += (uint64_t)n;
		int r = tick(s);
		if (r < 0)
			return r;
		if ((size_t)n < sizeof(s->buf))
			return EVP_DigestFinal_ex(s->md, ret, NULL) == 1 ? 0 : -ENOMEM;
	}
}

/* An open that finds the name gone or of another type. */
static int open_changed(void)
{
	switch (errno) {
	case ENOENT:
	case ELOOP:
	case ENXIO:
		return -EAGAIN;
	default:
		return cow_nerr();
	}
}

static int scan_regular(struct cow_scan *s, int dirfd, const char *name,
			struct cow_scan_object *obj)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct reach o = {.regular = true};
	cow_autoclose int fd = openat(dirfd, name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM) /* another user's */
		fd = openat(dirfd, name, flags);
	if (fd < 0)
		return open_changed();
	o.fd = fd;
	int r = cow_scan_unchanged(fd, &obj->st);
	if (r == 0)
		r = read_xattrs(s, &o, obj);
	if (r == 0)
		r = digest(s, fd, obj->digest);
	return r < 0 ? r : cow_scan_unchanged(fd, &obj->st);
}

static int scan_other(struct cow_scan *s, int dirfd, const char *name, struct cow_scan_object *obj)
{
	struct reach o = {.regular = false};
	cow_autoclose int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return open_changed();
	o.fd = fd;
	cow_proc_path(fd, o.path);
	int r = cow_scan_unchanged(fd, &obj->st);
	if (r == 0)
		r = read_xattrs(s, &o, obj);
	if (r < 0 || !S_ISLNK(obj->st.stx_mode))
		return r;
	ssize_t n = readlinkat(fd, "", s->target, sizeof(s->target));
	if (n < 0)
		return cow_nerr();
	if ((uint64_t)n != obj->st.stx_size) /* some file systems say 0; such links are no image */
		return n > COW_SYMLINK_MAX ? -ENAMETOOLONG : -EAGAIN;
	s->target[n] = '\0';
	obj->target = s->target;
	obj->target_len = (size_t)n;
	return 0;
}

int cow_scan_rest(struct cow_scan *s, int dirfd, const char *name, struct cow_scan_object *obj)
{
	int r = S_ISREG(obj->st.stx_mode) ? scan_regular(s, dirfd, name, obj)
					  : scan_other(s, dirfd, name, obj);
	s->objects++;
	return r < 0 ? r : tick(s);
}
