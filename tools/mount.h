/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Local mounts of roots: start cowherd-fuse, find what it has mounted, end it.
 */
#ifndef COW_TOOLS_MOUNT_H
#define COW_TOOLS_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

struct cow_mount {
	const char *store, *client; /* of a store; else NULL: */
	const char *root, *image;   /* directories of an instance and of the version below it */
	const char *point;
	bool read_only, writeback;
	bool child; /* ends with this process; else it is on its own */
};

/*
 * cow_mount_start - mount, and wait until that is done.
 * Return: 0; what cowherd-fuse ended with: -EBUSY the root is in use, -ENOENT, …; -ENOENT no
 * cowherd-fuse. @ret_pid: to be waited for; not set unless @m->child.
 */
int cow_mount_start(const struct cow_mount *m, pid_t *ret_pid, struct cow_err *err);

/* Wait for a child's end after it was unmounted. -EIO: its last sync failed. */
int cow_mount_wait(pid_t pid, struct cow_err *err);

/*
 * cow_mount_each - mounts of cowherd-fuse in this mount namespace, the newest first.
 * @client: id (MAC with dashes), or NULL: of every root
 * The callback's non-zero value stops and is returned.
 */
int cow_mount_each(const char *client, int (*fn)(void *ctx, const char *client, const char *point),
		   void *ctx, struct cow_err *err);

#endif
