/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Paths below the data root, and objects opened by them. Components come from the manifest; that no
 * link or mount has taken a component's place is the kernel's to check (openat2(2)), that the object
 * is the recorded one is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "image_internal.h"
#include "record.h"

static const struct cow_ovm_dirent *first_name(const struct cow_ovl_image *img, uint32_t ino)
{
	return &img->dirents[cow_get_le32(cow_image_inode(img, ino)->dirent)];
}

ssize_t cow_man_path(const struct cow_ovl_image *img, uint32_t ino, char *buf, size_t len)
{
	size_t need = 0;
	for (uint32_t at = ino; at != COW_MAN_ROOT;) {
		const struct cow_ovm_dirent *d = first_name(img, at);
		need += d->name_len + 1u; /* and the slash before it; the first one's is the NUL */
		at = cow_get_le32(d->dir);
	}
	if (len == 0 || need > len || need > SSIZE_MAX)
		return -ENAMETOOLONG;
	if (need == 0) {
		buf[0] = '\0';
		return 0;
	}
	size_t end = need - 1;
	buf[end] = '\0';
	for (uint32_t at = ino;;) {
		const struct cow_ovm_dirent *d = first_name(img, at);
		end -= d->name_len;
		memcpy(buf + end, img->strings + cow_get_le32(d->name), d->name_len);
		at = cow_get_le32(d->dir);
		if (at == COW_MAN_ROOT)
			return (ssize_t)need - 1;
		buf[--end] = '/';
	}
}

uint32_t cow_man_lookup_path(const struct cow_ovl_image *img, const char *path)
{
	uint32_t at = COW_MAN_ROOT;
	if (*path == '\0')
		return at;
	for (const char *p = path;; p++) {
		struct cow_man_ent ent;
		size_t len = strcspn(p, "/");
		if (cow_man_type(img, at) != S_IFDIR || !cow_man_find(img, at, p, len, &ent))
			return 0;
		at = ent.ino;
		p += len;
		if (*p == '\0')
			return at;
	}
}

/* One component below a directory of the data root: no link, no mount. */
static int step(const struct cow_ovl_image *img, int dirfd, const char *name, int flags)
{
	struct stat st;
	cow_autoclose int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return cow_nerr();
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	return st.st_dev == img->root_dev ? cow_steal_fd(&fd) : -EXDEV;
}

/* Where openat2(2) is not known or the path is too long for it. From the top, with the directory's
 * number found anew at each level: quadratic in the depth, constant in memory. */
static int open_stepwise(const struct cow_ovl_image *img, uint32_t ino, int flags)
{
	size_t depth = 0;
	for (uint32_t at = ino; at != COW_MAN_ROOT; depth++)
		at = cow_get_le32(first_name(img, at)->dir);
	cow_autoclose int dir = -1;
	for (; depth > 0; depth--) {
		uint32_t at = ino;
		for (size_t up = 1; up < depth; up++)
			at = cow_get_le32(first_name(img, at)->dir);
		const char *name = img->strings + cow_get_le32(first_name(img, at)->name);
		int fd = step(img, dir < 0 ? img->rootfd : dir, name,
			      depth > 1 ? O_PATH | O_DIRECTORY : flags);
		if (fd < 0)
			return fd;
		if (dir >= 0)
			(void)close(dir); /* O_PATH */
		dir = fd;
	}
	return cow_steal_fd(&dir);
}

static int open_object(const struct cow_ovl_image *img, uint32_t ino, int flags)
{
	char path[PATH_MAX];
	if (ino == COW_MAN_ROOT) {
		int fd = openat(img->rootfd, ".", flags | O_CLOEXEC);
		return fd < 0 ? cow_nerr() : fd;
	}
	if (cow_man_path(img, ino, path, sizeof(path)) < 0)
		return open_stepwise(img, ino, flags);
	int fd = cow_open_beneath(img->rootfd, path, flags | O_NOFOLLOW, 0);
	return fd == -ENOSYS ? open_stepwise(img, ino, flags) : fd;
}

/* A name that is gone or leads elsewhere is a changed image too. */
static int changed_is_io_error(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV:
	case -ENXIO: /* a socket, or a device without a driver, where a file was */
		return -EIO;
	default:
		return r;
	}
}

static int same_as_recorded(const struct cow_ovm_inode *n, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	if ((st.st_mode & S_IFMT) != (cow_image_mode(n) & S_IFMT))
		return -EIO;
	if (!S_ISREG(st.st_mode))
		return 0;
	bool same = (uint64_t)st.st_size == cow_get_le64(n->size) &&
		    (int64_t)st.st_mtim.tv_sec == (int64_t)cow_get_le64(n->mtime) &&
		    (uint32_t)st.st_mtim.tv_nsec == cow_get_le32(n->mtime_ns);
	return same ? 0 : -EIO;
}

int cow_man_open(const struct cow_ovl_image *img, uint32_t ino, int flags)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	mode_t mode = cow_image_mode(n);
	if (flags & ~(O_PATH | O_DIRECTORY) || (flags & O_DIRECTORY && !S_ISDIR(mode)))
		return -EINVAL;
	if (!(flags & O_PATH)) {
		if (!S_ISREG(mode) && !S_ISDIR(mode))
			return -EINVAL;
		/* O_NOATIME: reading is no change (I1). O_NONBLOCK: should a fifo stand there now. */
		flags |= O_RDONLY | O_NONBLOCK | O_NOATIME;
	}
	int r = open_object(img, ino, flags);
	if (r == -EPERM && flags & O_NOATIME) /* the file is another user's */
		r = open_object(img, ino, flags & ~O_NOATIME);
	if (r < 0)
		return changed_is_io_error(r);
	cow_autoclose int fd = r;
	r = same_as_recorded(n, fd);
	return r < 0 ? r : cow_steal_fd(&fd);
}
