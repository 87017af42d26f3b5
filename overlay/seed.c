/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files for a fresh overlay root before anybody attaches it. The manifest is not loaded, so that the
 * cost does not depend on the image's size: what is needed of the image is read from its tree.
 *
 * The upper part stays what the kernel's overlayfs would have made: a directory above one of the
 * image is a copy of it with `origin`, its parent is marked `impure`; a file that replaces one of the
 * image is a new object without origin; a directory over nothing is not opaque.
 */
#include "seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

#define LINKS_MAX 40 /* MAXSYMLINKS of the kernel */

struct cow_ovl_seed {
	int upper, lower; /* readable directories: root's upper/, image's tree/ */
};

/* ---------------------------------------------------------------- copying a directory */

static bool is_overlay_xattr(const char *name)
{
	return strncmp(name, "trusted.overlay.", 16) == 0 ||
	       strncmp(name, "trusted.cowherd.", 16) == 0;
}

static int copy_xattrs(int from, int to)
{
	cow_autofree char *names = malloc(COW_XATTR_LIST_MAX);
	cow_autofree char *value = malloc(COW_XATTR_SIZE_MAX);
	if (!names || !value)
		return -ENOMEM;
	ssize_t len = flistxattr(from, names, COW_XATTR_LIST_MAX);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : cow_nerr();
	for (const char *x = names; x < names + len; x += strlen(x) + 1) {
		if (is_overlay_xattr(x))
			continue;
		ssize_t n = fgetxattr(from, x, value, COW_XATTR_SIZE_MAX);
		if (n < 0 || fsetxattr(to, x, value, (size_t)n, 0) < 0)
			return cow_nerr();
	}
	return 0;
}

/* What a directory gets from its parent's default ACL when it is made. */
static int drop_inherited_acls(int fd)
{
	static const char *const names[] = {"system.posix_acl_access", "system.posix_acl_default"};
	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
		if (fremovexattr(fd, names[k]) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
			return cow_nerr();
	return 0;
}

int cow_seed_copy_dir(int lower, int upper)
{
	struct stat st;
	if (fstat(lower, &st) < 0)
		return cow_nerr();
	int r = drop_inherited_acls(upper);
	if (r < 0)
		return r;
	if (fchown(upper, st.st_uid, st.st_gid) < 0)
		return cow_nerr();
	r = copy_xattrs(lower, upper);
	if (r < 0)
		return r;
	return fchmod(upper, st.st_mode & 07777) < 0 ? cow_nerr() : 0;
}

int cow_seed_copy_times(int lower, int upper)
{
	struct stat st;
	if (fstat(lower, &st) < 0)
		return cow_nerr();
	return futimens(upper, (struct timespec[2]){st.st_atim, st.st_mtim}) < 0 ? cow_nerr() : 0;
}

/* ---------------------------------------------------------------- going down */

/* One directory of the root: its upper part, and the image's below it (-1: the image has none). */
struct pair {
	int upper, lower;
};

static void pair_done(struct pair *p)
{
	if (p->upper >= 0)
		(void)close(p->upper); /* synced as a whole by whoever publishes the root */
	if (p->lower >= 0)
		(void)close(p->lower);
	*p = (struct pair){-1, -1};
}

static int lower_dir(int lower, const char *name)
{
	if (lower < 0)
		return -ENOENT;
	return cow_open_beneath(lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

static int fill_copy(const struct pair *parent, const struct pair *child)
{
	int r = cow_seed_copy_dir(child->lower, child->upper);
	if (r == 0)
		r = cow_origin_write(child->upper, child->lower, child->lower);
	if (r == 0)
		r = cow_seed_copy_times(child->lower, child->upper);
	if (r < 0)
		return r;
	return cow_impure_set(parent->upper);
}

/* The parent looks as if nothing had been put into it. */
static int settle(const struct pair *dir)
{
	return dir->lower < 0 ? 0 : cow_seed_copy_times(dir->lower, dir->upper);
}

static int make_upper(const struct pair *parent, const char *name, struct pair *child)
{
	if (mkdirat(parent->upper, name, child->lower < 0 ? 0755 : 0700) < 0)
		return cow_nerr();
	child->upper = cow_opendir_at(parent->upper, name);
	if (child->upper < 0)
		return child->upper;
	if (child->lower >= 0) {
		int r = fill_copy(parent, child);
		if (r < 0)
			return r;
	}
	return settle(parent);
}

/* From a directory to one in it, made where it is missing. */
static int step(struct pair *at, const char *name)
{
	struct pair child = {.upper = cow_opendir_at(at->upper, name),
			     .lower = lower_dir(at->lower, name)};
	int r = child.lower < 0 && child.lower != -ENOENT ? child.lower : 0;
	if (r == 0 && child.upper == -ENOENT)
		r = make_upper(at, name, &child);
	else if (r == 0 && child.upper < 0)
		r = child.upper;
	if (r < 0) {
		pair_done(&child);
		return r;
	}
	pair_done(at);
	*at = child;
	return 0;
}

static int go_down(const struct cow_ovl_seed *s, char *path, struct pair *ret)
{
	struct pair at = {.upper = cow_opendir_at(s->upper, "."),
			  .lower = cow_opendir_at(s->lower, ".")};
	int r = at.upper < 0 ? at.upper : at.lower < 0 ? at.lower : 0;
	char *rest = NULL;
	for (const char *name = strtok_r(path, "/", &rest); r == 0 && name;
	     name = strtok_r(NULL, "/", &rest))
		r = step(&at, name);
	if (r < 0)
		pair_done(&at);
	else
		*ret = at;
	return r;
}

/* ---------------------------------------------------------------- resolving */

/* A path being resolved: what is done has no links, no "." and no "..". */
struct walk {
	char done[COW_PATH_MAX + 1], rest[COW_PATH_MAX + 1];
	unsigned links;
};

static int take_name(struct walk *w, char name[COW_NAME_MAX + 1])
{
	size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
	if (len > COW_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, w->rest + skip, len);
	name[len] = 0;
	memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
	return len > 0;
}

static int follow(struct walk *w, int link, size_t before)
{
	char target[COW_PATH_MAX + 1];
	ssize_t n = readlinkat(link, "", target, sizeof(target));
	size_t rest = strlen(w->rest);
	if (n < 0)
		return cow_nerr();
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)n + rest > COW_PATH_MAX)
		return -ENAMETOOLONG;
	memmove(w->rest + n, w->rest, rest + 1); /* begins with '/' or is empty */
	memcpy(w->rest, target, (size_t)n);
	w->done[n > 0 && target[0] == '/' ? 0 : before] = 0;
	return 0;
}

static int resolve_name(const struct cow_ovl_seed *s, struct walk *w, const char *name)
{
	struct stat st;
	size_t before = strlen(w->done), len = strlen(name);
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(w->done, '/');
		*(slash ? slash : w->done) = 0;
		return 0;
	}
	if (before + len + 2 > sizeof(w->done))
		return -ENAMETOOLONG;
	if (before)
		w->done[before] = '/';
	memcpy(w->done + before + (before > 0), name, len + 1);
	cow_autoclose int fd = cow_open_beneath(s->lower, w->done, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT)
		return 0; /* will be made */
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	if (S_ISLNK(st.st_mode))
		return follow(w, fd, before);
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Directory part of @path as the machine would find it in the image: links inside it are followed and
 * stay inside it. */
static int resolve_dir(const struct cow_ovl_seed *s, const char *path, size_t len, struct walk *w)
{
	char name[COW_NAME_MAX + 1];
	int r;
	if (len > COW_PATH_MAX)
		return -ENAMETOOLONG;
	*w = (struct walk){0};
	memcpy(w->rest, path, len);
	while ((r = take_name(w, name)) > 0) {
		r = resolve_name(s, w, name);
		if (r < 0)
			return r;
	}
	return r;
}

/* The directory that gets the last component of @path, and that component. */
static int open_place(const struct cow_ovl_seed *s, const char *path, struct pair *ret,
		      const char **ret_name)
{
	struct walk w;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (strlen(name) > COW_NAME_MAX)
		return -ENAMETOOLONG;
	int r = resolve_dir(s, path, slash ? (size_t)(slash - path) : 0, &w);
	if (r < 0)
		return r;
	*ret_name = name;
	return go_down(s, w.done, ret);
}

/* What the image has at the place: regular files give owner and mode, directories are refused. */
static int look_below(const struct pair *dir, const char *name, struct stat *st)
{
	if (dir->lower < 0 || fstatat(dir->lower, name, st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (dir->lower >= 0 && errno != ENOENT)
			return cow_nerr();
		*st = (struct stat){0};
	}
	return S_ISDIR(st->st_mode) ? -EISDIR : 0;
}

static int drop_seeded(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? cow_nerr() : 0;
}

/* ---------------------------------------------------------------- public */

void cow_ovl_seed_end(struct cow_ovl_seed *s)
{
	if (!s)
		return;
	pair_done(&(struct pair){s->upper, s->lower});
	free(s);
}

int cow_ovl_seed_begin(int dirfd, int image_dirfd, struct cow_ovl_seed **ret, struct cow_err *err)
{
	cow_autoseed s = calloc(1, sizeof(*s));
	if (!s)
		return cow_err_set(err, -ENOMEM, "prepare the new root");
	s->upper = cow_opendir_at(dirfd, COW_UPPER_NAME);
	s->lower = cow_opendir_at(image_dirfd, "tree");
	if (s->upper < 0)
		return cow_err_set(err, s->upper, "open '%s' of the new root", COW_UPPER_NAME);
	if (s->lower < 0)
		return cow_err_set(err, s->lower, "open the image's tree");
	*ret = cow_steal_ptr(&s);
	return 0;
}

static int write_new(int dir, const char *name, const void *buf, size_t len, const struct stat *st)
{
	int r = drop_seeded(dir, name);
	if (r < 0)
		return r;
	cow_autoclose int fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cow_nerr();
	r = cow_write_full(fd, buf, len);
	if (r < 0)
		return r;
	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0)
		return cow_nerr();
	return 0;
}

int cow_ovl_seed_file(struct cow_ovl_seed *s, const char *path, const void *buf, size_t len,
		      mode_t mode)
{
	struct pair dir = {-1, -1};
	const char *name;
	struct stat st;
	int r = open_place(s, path, &dir, &name);
	if (r < 0)
		return r;
	r = look_below(&dir, name, &st);
	if (r == 0 && !S_ISREG(st.st_mode))
		st = (struct stat){.st_mode = mode};
	if (r == 0)
		r = write_new(dir.upper, name, buf, len, &st);
	if (r == 0)
		r = settle(&dir);
	pair_done(&dir);
	return r;
}

int cow_ovl_seed_symlink(struct cow_ovl_seed *s, const char *path, const char *target)
{
	struct pair dir = {-1, -1};
	const char *name;
	struct stat st;
	int r = open_place(s, path, &dir, &name);
	if (r < 0)
		return r;
	r = look_below(&dir, name, &st);
	if (r == 0)
		r = drop_seeded(dir.upper, name);
	if (r == 0 && symlinkat(target, dir.upper, name) < 0)
		r = cow_nerr();
	if (r == 0)
		r = settle(&dir);
	pair_done(&dir);
	return r;
}
