/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data of a lower file into a new upper one: shared by reflink where both are on one file system
 * that can, else copied in the kernel, else by hand; holes stay holes. And its attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

#define BUF_LEN (256u << 10)

/* ---------------------------------------------------------------- data */

static int copy_by_hand(int in, int out, uint64_t off, uint64_t len)
{
	cow_autofree uint8_t *buf = malloc(BUF_LEN);
	if (!buf)
		return -ENOMEM;
	while (len > 0) {
		size_t want = len < BUF_LEN ? (size_t)len : BUF_LEN;
		ssize_t got = cow_pread_full(in, buf, want, (off_t)off);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return -EIO; /* shorter than it was when it was opened */
		int r = cow_pwrite_full(out, buf, (size_t)got, (off_t)off);
		if (r < 0)
			return r;
		off += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

static bool cannot_in_kernel(int errnum)
{
	return errnum == EXDEV || errnum == EOPNOTSUPP || errnum == ENOSYS || errnum == EINVAL;
}

static int copy_range(int in, int out, uint64_t off, uint64_t len)
{
	while (len > 0) {
		off_t from = (off_t)off, to = (off_t)off;
		ssize_t n = copy_file_range(in, &from, out, &to, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && cannot_in_kernel(errno))
			return copy_by_hand(in, out, off, len);
		if (n < 0)
			return cow_nerr();
		if (n == 0)
			return -EIO; /* shorter than it was when it was opened */
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Next piece of data at or behind @off. Return: 1, 0 at the end, -errno. */
static int next_data(int in, uint64_t off, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	if (off >= end)
		return 0;
	off_t from = lseek(in, (off_t)off, SEEK_DATA);
	if (from < 0 && errno == ENXIO)
		return 0; /* a hole up to the end */
	if (from < 0)
		return cow_nerr();
	if ((uint64_t)from >= end)
		return 0;
	off_t to = lseek(in, from, SEEK_HOLE);
	if (to < 0)
		return cow_nerr();
	*ret_from = (uint64_t)from;
	*ret_to = (uint64_t)to < end ? (uint64_t)to : end;
	return 1;
}

int cow_copy_data(int in, int out, uint64_t len, bool *ret_cloned)
{
	uint64_t from, to, off = 0;
	int r;
	*ret_cloned = true;
	if (len == 0 || ioctl(out, FICLONE, in) == 0)
		return 0;
	if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
		return cow_nerr();
	*ret_cloned = false;
	while ((r = next_data(in, off, len, &from, &to)) > 0) {
		r = copy_range(in, out, from, to - from);
		if (r < 0)
			return r;
		off = to;
	}
	return r;
}

/* ---------------------------------------------------------------- attributes */

/* What a lower file system had and the upper's cannot keep is left out, but never a right. */
static bool may_be_lost(const char *name)
{
	return strncmp(name, "security.", 9) != 0 && strncmp(name, "system.", 7) != 0;
}

static int copy_xattrs(struct cow_ovl_inst *i, uint32_t number, const char *path)
{
	for (size_t k = 0; k < cow_man_nxattr(i->img, number); k++) {
		const char *name;
		const void *value;
		size_t len;
		cow_man_xattr(i->img, number, k, &name, &value, &len);
		if (setxattr(path, name, value, len, 0) < 0 &&
		    !(errno == EOPNOTSUPP && may_be_lost(name)))
			return cow_nerr();
	}
	return 0;
}

int cow_copy_attrs(struct cow_ovl_inst *i, uint32_t number, int fd)
{
	char path[COW_PROC_PATH_LEN];
	struct cow_ovl_attr attr;
	cow_man_attr(i->img, number, &attr);
	cow_proc_path(fd, path);
	/* Owner first: it strips mode bits and capabilities. */
	if (fchownat(fd, "", attr.uid, attr.gid, AT_EMPTY_PATH) < 0)
		return cow_nerr();
	int r = copy_xattrs(i, number, path);
	if (r == 0 && !S_ISLNK(attr.mode) && chmod(path, attr.mode & 07777) < 0)
		r = cow_nerr();
	return r;
}

int cow_copy_times(struct cow_ovl_inst *i, uint32_t number, int fd)
{
	struct cow_ovl_attr attr;
	cow_man_attr(i->img, number, &attr);
	const struct timespec ts[2] = {attr.atime, attr.mtime};
	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? cow_nerr() : 0;
}

static int copy_xattr(const char *from, const char *to, const char *name)
{
	cow_autofree void *value = malloc(COW_XATTR_SIZE_MAX);
	if (!value)
		return -ENOMEM;
	ssize_t len = getxattr(from, name, value, COW_XATTR_SIZE_MAX);
	if (len < 0)
		return cow_nerr();
	return setxattr(to, name, value, (size_t)len, 0) < 0 ? cow_nerr() : 0;
}

static int copy_visible_xattrs(int from_fd, int to_fd)
{
	char from[COW_PROC_PATH_LEN], to[COW_PROC_PATH_LEN];
	int r = 0;
	cow_autofree char *list = malloc(COW_XATTR_LIST_MAX);
	if (!list)
		return -ENOMEM;
	cow_proc_path(from_fd, from);
	cow_proc_path(to_fd, to);
	ssize_t len = listxattr(from, list, COW_XATTR_LIST_MAX);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : cow_nerr();
	for (ssize_t at = 0; at < len && r == 0; at += (ssize_t)strlen(list + at) + 1)
		if (!cow_xattr_hidden(list + at))
			r = copy_xattr(from, to, list + at);
	return r;
}

int cow_copy_looks(int from, int to)
{
	char path[COW_PROC_PATH_LEN];
	struct stat st;
	if (fstat(from, &st) < 0 || fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		return cow_nerr();
	int r = copy_visible_xattrs(from, to);
	cow_proc_path(to, path);
	if (r == 0 && !S_ISLNK(st.st_mode) && chmod(path, st.st_mode & 07777) < 0)
		r = cow_nerr();
	const struct timespec ts[2] = {st.st_atim, st.st_mtim};
	return r == 0 && utimensat(to, "", ts, AT_EMPTY_PATH) < 0 ? cow_nerr() : r;
}
