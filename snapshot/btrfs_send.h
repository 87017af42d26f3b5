/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A read-only subvolume as the stream the kernel makes of it.
 */
#ifndef COW_SNAPSHOT_BTRFS_SEND_H
#define COW_SNAPSHOT_BTRFS_SEND_H

struct cow_btrfs_send;

/*
 * cow_btrfs_send_begin - @tree, @parent: descriptors of subvolumes, borrowed; @parent -1: all of @tree.
 * @ret_fd: the stream is read from there; borrowed. A thread of its own fills it.
 * Return: 0; -errno. Ends with cow_btrfs_send_end(), also when not everything was read.
 */
int cow_btrfs_send_begin(int tree, int parent, struct cow_btrfs_send **ret, int *ret_fd);

/* Return: 0 the stream was complete; -EPIPE it was not read to its end; -EPERM; other -errno. */
int cow_btrfs_send_end(struct cow_btrfs_send *s);

#endif
