/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "btrfs.h"

#include <btrfsutil.h>
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

/* The library says which step failed, errno says why; only the reason matters here. */
static int result(enum btrfs_util_error e)
{
	if (e == BTRFS_UTIL_OK)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

int cow_btrfs_check(int fd)
{
	struct statfs sfs;
	if (fstatfs(fd, &sfs) < 0)
		return -errno;
	return sfs.f_type == BTRFS_SUPER_MAGIC;
}

int cow_btrfs_is_subvol(int fd)
{
	enum btrfs_util_error e = btrfs_util_is_subvolume_fd(fd);
	if (e == BTRFS_UTIL_ERROR_NOT_BTRFS || e == BTRFS_UTIL_ERROR_NOT_SUBVOLUME)
		return 0;
	return e == BTRFS_UTIL_OK ? 1 : result(e);
}

int cow_btrfs_subvol_create(int dirfd, const char *name)
{
	return result(btrfs_util_create_subvolume_fd(dirfd, name, 0, NULL, NULL));
}

int cow_btrfs_snapshot(int srcfd, int dirfd, const char *name)
{
	return result(btrfs_util_create_snapshot_fd2(srcfd, dirfd, name, 0, NULL, NULL));
}

int cow_btrfs_set_read_only(int fd)
{
	return result(btrfs_util_set_subvolume_read_only_fd(fd, true));
}

int cow_btrfs_sync(int fd)
{
	return result(btrfs_util_sync_fd(fd));
}

int cow_btrfs_subvol_delete(int dirfd, const char *name)
{
	return result(btrfs_util_delete_subvolume_fd(dirfd, name, 0));
}
