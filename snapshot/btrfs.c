/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "btrfs.h"

#include <assert.h>
#include <btrfsutil.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
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
	int r = result(btrfs_util_delete_subvolume_fd(dirfd, name, 0));
	if (r != -ENOTEMPTY)
		return r;
	return result(
	    btrfs_util_delete_subvolume_fd(dirfd, name, BTRFS_UTIL_DELETE_SUBVOLUME_RECURSIVE));
}

int cow_btrfs_subvol_id(int fd, uint64_t *ret)
{
	return result(btrfs_util_subvolume_id_fd(fd, ret));
}

int cow_btrfs_set_received(int fd, const uint8_t uuid[COW_BTRFS_UUID_LEN], uint64_t ctransid)
{
	struct btrfs_ioctl_received_subvol_args args = {.stransid = ctransid};
	static_assert(sizeof(args.uuid) == COW_BTRFS_UUID_LEN, "a UUID");
	memcpy(args.uuid, uuid, sizeof(args.uuid));
	return ioctl(fd, BTRFS_IOC_SET_RECEIVED_SUBVOL, &args) < 0 ? -errno : 0;
}

int cow_btrfs_send(int fd, uint64_t parent, int to)
{
	__u64 sources[] = {parent};
	struct btrfs_ioctl_send_args args = {
	    .send_fd = to,
	    .parent_root = parent,
	    .clone_sources = parent ? sources : NULL, /* the subvolume itself always is one */
	    .clone_sources_count = parent ? 1 : 0,
	};
	return ioctl(fd, BTRFS_IOC_SEND, &args) < 0 ? -errno : 0;
}
