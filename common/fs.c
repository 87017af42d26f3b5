/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whole reads and writes, atomic replacement, directories, names.
 */
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"

#define TMP_PREFIX ".tmp-"
#define FD_RESERVE_MAX 65536

ssize_t cow_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t cow_pread_full(int fd, void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int cow_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int cow_pwrite_full(int fd, const void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, off + (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int cow_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len)
{
	cow_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	size_t size = (size_t)st.st_size;
	cow_autofree char *buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = cow_read_full(fd, buf, size);
	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	*ret = cow_steal_ptr(&buf);
	*ret_len = (size_t)n;
	return 0;
}

int cow_random(void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = getrandom((char *)buf + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int cow_random_hex(char ret[COW_HEX64_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char b[COW_HEX64_LEN / 2];
	int r = cow_random(b, sizeof(b));

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(b); i++) {
		ret[2 * i] = hex[b[i] >> 4];
		ret[2 * i + 1] = hex[b[i] & 15];
	}
	ret[COW_HEX64_LEN] = '\0';
	return 0;
}

/* ".tmp-<name>-<hex>"; a long name is cut, the random part keeps it unique. */
static int tmp_name(const char *name, char ret[COW_NAME_MAX + 1])
{
	char hex[COW_HEX64_LEN + 1];
	int r = cow_random_hex(hex);

	if (r < 0)
		return r;
	int n = snprintf(ret, COW_NAME_MAX + 1, TMP_PREFIX "%.200s-%s", name, hex);
	return n < 0 || n > COW_NAME_MAX ? -ENAMETOOLONG : 0;
}

int cow_fsync_dir_at(int dirfd, const char *name)
{
	cow_autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Content of a temporary: complete and on disk when it returns 0. */
static int write_tmp(int dirfd, const char *tmp, const void *buf, size_t len, mode_t mode)
{
	cow_autoclose int fd =
	    openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0)
		return -errno;
	int r = cow_write_full(fd, buf, len);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0; /* I2: data before its name */
}

int cow_write_file_at(int dirfd, const char *name, const void *buf, size_t len, mode_t mode)
{
	char tmp[COW_NAME_MAX + 1];
	int r = tmp_name(name, tmp);

	if (r < 0)
		return r;
	r = write_tmp(dirfd, tmp, buf, len, mode);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0); /* stale temporary, swept at start (I3) */
		return r;
	}
	return cow_fsync_dir_at(dirfd, ".");
}

int cow_symlink_replace_at(int dirfd, const char *target, const char *name)
{
	char tmp[COW_NAME_MAX + 1];
	int r = tmp_name(name, tmp);

	if (r < 0)
		return r;
	if (symlinkat(target, dirfd, tmp) < 0)
		return -errno;
	if (renameat(dirfd, tmp, dirfd, name) < 0) {
		r = -errno;
		(void)unlinkat(dirfd, tmp, 0); /* stale temporary, swept at start (I3) */
		return r;
	}
	return 0;
}

int cow_symlink_swap_at(int dirfd, const char *target, const char *name)
{
	int r = cow_symlink_replace_at(dirfd, target, name);

	return r < 0 ? r : cow_fsync_dir_at(dirfd, ".");
}

int cow_readdir(DIR *d, const struct dirent **ret)
{
	for (;;) {
		errno = 0;
		/* readdir(3): safe for threads that use different streams. */
		const struct dirent *de = readdir(d); /* NOLINT(concurrency-mt-unsafe) */
		if (!de) {
			int e = errno;
			return e > 0 ? -e : 0;
		}
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		*ret = de;
		return 1;
	}
}

int cow_sweep_tmp_at(int dirfd)
{
	cow_autoclose int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cow_autodir DIR *d = fdopendir(fd);
	if (!d)
		return -errno;
	(void)cow_steal_fd(&fd);
	int first = 0;
	for (;;) {
		const struct dirent *de = NULL;
		int r = cow_readdir(d, &de);
		if (!de)
			return r < 0 ? r : first;
		if (strncmp(de->d_name, TMP_PREFIX, sizeof(TMP_PREFIX) - 1) != 0)
			continue;
		if (unlinkat(dirfd, de->d_name, 0) < 0 && errno != ENOENT && first == 0)
			first = -errno;
	}
}

int cow_readlink_at(int dirfd, const char *name, char **ret)
{
	char buf[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(buf))
		return -ENAMETOOLONG;
	char *s = strndup(buf, (size_t)n);
	if (!s)
		return -ENOMEM;
	*ret = s;
	return 0;
}

int cow_exists_at(int dirfd, const char *name)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

int cow_mkdir_at(int dirfd, const char *name, mode_t mode)
{
	if (mkdirat(dirfd, name, mode) == 0)
		return 0;
	struct stat st;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -EEXIST;
}

int cow_mkdir_p(const char *path, mode_t mode)
{
	cow_autofree char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) == 0)
		return 0;
	int r = -errno;
	struct stat st;
	return r == -EEXIST && stat(copy, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : r;
}

int cow_opendir_at(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cow_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
	    .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	if (flags & O_NOFOLLOW)
		how.resolve |= RESOLVE_NO_SYMLINKS;
	long fd;
	do { /* EAGAIN: a rename elsewhere raced with the walk, openat2(2) says try again */
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

void cow_fd_table_reserve(void)
{
	struct rlimit lim;
	cow_autoclose int fd = open("/", O_PATH | O_CLOEXEC);
	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == 0)
		return;
	int last = lim.rlim_cur < FD_RESERVE_MAX ? (int)lim.rlim_cur - 1 : FD_RESERVE_MAX - 1;
	cow_autoclose int high = fcntl(fd, F_DUPFD_CLOEXEC, last);
	(void)high; /* its number alone mattered */
}
