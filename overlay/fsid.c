/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which file system is this? The only place that knows ioctls of file systems by name.
 */
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

/* Linux 6.9 and later, every file system with a UUID; older headers lack it. */
#ifndef FS_IOC_GETFSUUID
struct fsuuid2 {
	uint8_t len, uuid[16];
};
#define FS_IOC_GETFSUUID _IOR(0x15, 0, struct fsuuid2)
#endif

/* ext4 alone since Linux 6.0; headers of that time lack it too. The number counts the eight bytes
 * before the UUID only. len is in and out. */
struct ext4_fsuuid {
	uint32_t len, flags;
	uint8_t uuid[16];
};
#define EXT4_GETFSUUID _IOC(_IOC_READ, 'f', 44, 8)

int cow_btrfs_fsid(int fd, uint8_t ret[COW_REC_UUID_LEN])
{
	struct btrfs_ioctl_fs_info_args args = {0};
	if (ioctl(fd, BTRFS_IOC_FS_INFO, &args) < 0)
		return errno == ENOTTY || errno == EINVAL || errno == EOPNOTSUPP ? -EOPNOTSUPP
										 : cow_nerr();
	memcpy(ret, args.fsid, COW_REC_UUID_LEN);
	return 0;
}

void cow_fs_uuid(int fd, uint8_t ret[COW_REC_UUID_LEN])
{
	struct fsuuid2 any = {0};
	struct ext4_fsuuid ext4 = {.len = sizeof(ext4.uuid)};
	memset(ret, 0, COW_REC_UUID_LEN);
	if (ioctl(fd, FS_IOC_GETFSUUID, &any) == 0 && any.len == sizeof(any.uuid))
		memcpy(ret, any.uuid, sizeof(any.uuid));
	else if (ioctl(fd, EXT4_GETFSUUID, &ext4) == 0 && ext4.len == sizeof(ext4.uuid))
		memcpy(ret, ext4.uuid, sizeof(ext4.uuid));
	else
		(void)cow_btrfs_fsid(fd, ret); /* stays zero: not known */
}
