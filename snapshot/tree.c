/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"

int cow_tree_open(int tree, const char *path, int flags)
{
	struct open_how how = {
	    .flags = (uint64_t)(flags | O_CLOEXEC),
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	for (;;) {
		long fd = syscall(SYS_openat2, tree, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: a rename elsewhere raced with "..", openat2(2) says try again. */
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

/* Directory part, opened, and the last component. "etc/fstab" -> fd of etc, "fstab". */
static int open_parent(int tree, const char *path, const char **ret_name)
{
	char dir[COW_PATH_MAX + 1];
	const char *slash = strrchr(path, '/');
	if (!slash) {
		*ret_name = path;
		return cow_tree_open(tree, ".", O_PATH | O_DIRECTORY);
	}
	size_t len = (size_t)(slash - path);
	if (len > COW_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = 0;
	*ret_name = slash + 1;
	return cow_tree_open(tree, dir, O_PATH | O_DIRECTORY);
}

/* The directory of @path with everything above it, made where missing. */
static int make_parent(int tree, const char *path, const char **ret_name)
{
	int fd = open_parent(tree, path, ret_name);
	if (fd != -ENOENT)
		return fd;
	char dir[COW_PATH_MAX + 1];
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(*ret_name - path - 1), path);
	const char *name;
	cow_autoclose int above = make_parent(tree, dir, &name);
	if (above < 0)
		return above;
	if (mkdirat(above, name, 0755) < 0 || fchmodat(above, name, 0755, 0) < 0)
		return -errno;
	return open_parent(tree, path, ret_name);
}

int cow_tree_lstat(int tree, const char *path, struct stat *ret)
{
	cow_autoclose int fd = cow_tree_open(tree, path, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	return fstat(fd, ret) < 0 ? -errno : 0;
}

int cow_tree_has(int tree, const char *path)
{
	cow_autoclose int fd = cow_tree_open(tree, path, O_PATH);
	return fd >= 0;
}

int cow_tree_read(int tree, const char *path, size_t max, char **ret, size_t *ret_len)
{
	char again[32];
	struct stat st;
	/* Look before opening for real: opening a device or fifo has effects of its own. */
	cow_autoclose int look = cow_tree_open(tree, path, O_PATH);
	if (look < 0)
		return look;
	if (fstat(look, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	(void)snprintf(again, sizeof(again), "/proc/self/fd/%d", look);
	cow_autoclose int fd = open(again, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cow_autofree char *buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = cow_read_full(fd, buf, (size_t)st.st_size);
	if (n < 0)
		return (int)n;
	buf[n] = 0;
	*ret_len = (size_t)n;
	*ret = cow_steal_ptr(&buf);
	return 0;
}

static int temp_name(char ret[COW_HEX64_LEN + 16])
{
	char hex[COW_HEX64_LEN + 1];
	int r = cow_random_hex(hex);
	if (r == 0)
		(void)snprintf(ret, COW_HEX64_LEN + 16, ".cowherd-%s", hex);
	return r;
}

static int put_in_place(int dir, const char *temp, const char *name)
{
	if (renameat(dir, temp, dir, name) == 0)
		return 0;
	int r = -errno;
	(void)unlinkat(dir, temp, 0);
	return r;
}

static int write_temp(int dir, const char *temp, const void *buf, size_t len,
		      const struct stat *like)
{
	cow_autoclose int fd =
	    openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = cow_write_full(fd, buf, len);
	if (r == 0 && fchown(fd, like->st_uid, like->st_gid) < 0)
		r = -errno;
	if (r == 0 && fchmod(fd, like->st_mode & 07777) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, temp, 0);
	return r;
}

int cow_tree_write(int tree, const char *path, const void *buf, size_t len, mode_t mode)
{
	char temp[COW_HEX64_LEN + 16];
	const char *name;
	struct stat st;
	cow_autoclose int dir = make_parent(tree, path, &name);
	if (dir < 0)
		return dir;
	int r = temp_name(temp);
	if (r < 0)
		return r;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		st = (struct stat){.st_mode = mode};
	r = write_temp(dir, temp, buf, len, &st);
	return r < 0 ? r : put_in_place(dir, temp, name);
}

int cow_tree_symlink(int tree, const char *path, const char *target)
{
	char temp[COW_HEX64_LEN + 16];
	const char *name;
	cow_autoclose int dir = make_parent(tree, path, &name);
	if (dir < 0)
		return dir;
	int r = temp_name(temp);
	if (r < 0)
		return r;
	if (symlinkat(target, dir, temp) < 0)
		return -errno;
	return put_in_place(dir, temp, name);
}

int cow_tree_unlink(int tree, const char *path)
{
	const char *name;
	cow_autoclose int dir = open_parent(tree, path, &name);
	if (dir < 0)
		return dir;
	return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

int cow_tree_place_open(int tree, const char *path, struct cow_tree_place *ret)
{
	char above[COW_PATH_MAX + 1] = ".";
	const char *slash = strrchr(path, '/');
	ret->name = slash ? slash + 1 : path;
	ret->dir = -1;
	if (slash && (size_t)(slash - path) >= sizeof(above))
		return -ENAMETOOLONG;
	if (slash)
		(void)snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	ret->dir = cow_tree_open(tree, above, O_RDONLY | O_DIRECTORY);
	if (ret->dir < 0)
		return ret->dir;
	if (fstat(ret->dir, &ret->st) == 0)
		return 0;
	int r = -errno;
	cow_tree_place_close(ret);
	return r;
}

void cow_tree_place_close(struct cow_tree_place *p)
{
	if (p->dir >= 0)
		(void)close(p->dir); /* a directory: nothing to lose */
	p->dir = -1;
}

int cow_tree_place_as_before(struct cow_tree_place *p)
{
	const struct timespec times[2] = {p->st.st_atim, p->st.st_mtim};
	int r = futimens(p->dir, times) < 0 ? -errno : 0;
	cow_tree_place_close(p);
	return r;
}

int cow_tree_each(int tree, const char *path, int (*fn)(void *ctx, const char *name), void *ctx)
{
	int fd = cow_tree_open(tree, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	cow_autodir DIR *d = fdopendir(fd);
	if (!d) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	for (;;) {
		errno = 0;
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread per DIR */
		struct dirent *e = readdir(d);
		if (!e)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int r = fn(ctx, e->d_name);
		if (r)
			return r;
	}
}
