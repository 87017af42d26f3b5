/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * `btrfs receive` at work on a stream that may be a stranger's. It runs as root, so it is confined: its root is the
 * scratch subvolume (chroot), in a mount namespace of its own where that is mounted without devices and setuid
 * programs; it may write below it alone (landlock(7), where the kernel has it), has only the capabilities it needs and
 * gets no others. It dies with the thread that started it. Threads: one.
 */
#ifndef COW_SNAPSHOT_BTRFS_RECEIVE_H
#define COW_SNAPSHOT_BTRFS_RECEIVE_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"

struct cow_btrfs_receive;

/*
 * cow_btrfs_receive_begin - @dir: the scratch subvolume, borrowed; what the stream stands on lies in it.
 * @tick: called now and then while it is waited for; may be NULL; < 0 ends it.
 * Return: 0; -ENOENT (exit 5) there is no such program; -errno.
 */
int cow_btrfs_receive_begin(int dir, int (*tick)(void *ctx), void *ctx,
			    struct cow_btrfs_receive **ret, struct cow_err *err);
/* The next bytes of the stream. Return: 0; -EBADMSG it has failed; -ETIMEDOUT it hangs; tick()'s; -errno. */
int cow_btrfs_receive_give(struct cow_btrfs_receive *x, const void *p, size_t len,
			   struct cow_err *err);
/* No more come: wait for it. Return: 0 it has made the subvolume; as above. */
int cow_btrfs_receive_end(struct cow_btrfs_receive *x, struct cow_err *err);
/* Killed if it still runs, and waited for. NULL is fine. */
void cow_btrfs_receive_free(struct cow_btrfs_receive *x);
COW_DEFINE_AUTO(struct cow_btrfs_receive, cow_btrfs_receive_free)
#define cow_autobtrfsreceive COW_CLEANUP(cow_auto_cow_btrfs_receive_free) struct cow_btrfs_receive *

#endif
