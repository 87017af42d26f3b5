/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Deletion in two steps: a rename into STORE/trash/ takes a thing out of sight at once, then its
 * subvolumes are dropped as a whole and the rest is removed file by file. A crash leaves the rest
 * in the trash for the next sweep (I3).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "btrfs.h"
#include "common/fs.h"
#include "store_internal.h"

/* clients/MAC -> roots -> N -> tree is the deepest place of a subvolume in what we throw away. */
#define TREE_DEPTH 3

static int next_name(DIR *dir, const char **ret)
{
	for (;;) {
		errno = 0;
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread per DIR */
		struct dirent *e = readdir(dir);
		if (!e)
			return errno ? -errno : -ENOENT;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		*ret = e->d_name;
		return 0;
	}
}

static int drop_subvols(int parent, const char *name, unsigned depth)
{
	cow_autoclose int fd = cow_opendir_at(parent, name);
	if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	int r = cow_btrfs_is_subvol(fd);
	if (r < 0)
		return r;
	if (r > 0)
		return cow_btrfs_subvol_delete(parent, name);
	if (!depth)
		return 0;

	cow_autodir DIR *dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)cow_steal_fd(&fd); /* closed with dir */
	const char *child = NULL;
	while ((r = next_name(dir, &child)) == 0) {
		r = drop_subvols(dirfd(dir), child, depth - 1);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

int cow_tree_delete_at(int dirfd, const char *name)
{
	int r = cow_btrfs_check(dirfd);
	if (r > 0)
		r = drop_subvols(dirfd, name, TREE_DEPTH);
	return r < 0 ? r : cow_rm_rf_at(dirfd, name, 0);
}

int cow_trash_put(struct cow_store *s, int dirfd, const char *name)
{
	char hex[COW_HEX64_LEN + 1];
	char target[sizeof("trash/") + COW_HEX64_LEN];
	int r = cow_random_hex(hex);
	if (r < 0)
		return r;
	(void)snprintf(target, sizeof(target), "trash/%s", hex);
	return renameat(dirfd, name, s->fd, target) < 0 ? -errno : 0;
}

int cow_trash_empty(struct cow_store *s)
{
	cow_autoclose int fd = cow_opendir_at(s->fd, "trash");
	if (fd < 0)
		return fd;
	int again = dup(fd);
	if (again < 0)
		return -errno;
	cow_autodir DIR *dir = fdopendir(again);
	if (!dir) {
		int r = -errno;
		(void)close(again);
		return r;
	}
	int r, first = 0, deleted = 0;
	const char *name = NULL;
	while ((r = next_name(dir, &name)) == 0) {
		deleted = 1;
		/* Two emptiers may work side by side: what is gone is fine. */
		int del = cow_tree_delete_at(fd, name);
		if (del < 0 && del != -ENOENT && !first)
			first = del;
	}
	if (deleted && s->btrfs)
		(void)cow_btrfs_sync(s->fd); /* only sooner than by itself */
	return r == -ENOENT ? first : r;
}

int cow_store_empty_trash(struct cow_store *s, struct cow_err *err)
{
	int r = cow_trash_empty(s);
	return r < 0 ? cow_err_set(err, r, "empty the trash of '%s'", s->path) : 0;
}
