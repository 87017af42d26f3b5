/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What tells one writable tree from a copy of it: file system and handle of its top directory.
 */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

int cow_tree_id(int dirfd, const char *name, struct cow_tree_id *ret, struct cow_err *err)
{
	struct stat st;
	struct statfs sf;
	*ret = (struct cow_tree_id){.fd = -1};
	cow_autoclose int fd = cow_opendir_at(dirfd, name);
	if (fd < 0)
		return cow_err_set(err, fd, "open the root's directory '%s'", name);
	if (fstat(fd, &st) < 0 || fstatfs(fd, &sf) < 0)
		return cow_err_set(err, cow_nerr(), "examine '%s'", name);
	int r = cow_fh_of(fd, &ret->root, &ret->mnt_id);
	if (r == -EOVERFLOW || r == -EOPNOTSUPP)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "the file system of '%s' has no file handles of a size we can "
				   "carry; use btrfs, xfs or ext4",
				   name);
	if (r < 0)
		return cow_err_set(err, r, "file handle of '%s'", name);
	cow_fs_uuid(fd, ret->fs_uuid);
	ret->dev = st.st_dev;
	ret->btrfs = sf.f_type == BTRFS_SUPER_MAGIC;
	ret->fd = cow_steal_fd(&fd);
	return 0;
}

void cow_tree_to_record(const struct cow_tree_id *t, struct cow_record *rec)
{
	rec->root = t->root;
	memcpy(rec->fs_uuid, t->fs_uuid, sizeof(rec->fs_uuid));
}
