/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * btrfs, as far as the store needs it. btrfs.c is the only includer of btrfsutil.h.
 * All return 0 or a negative errno; names are single components.
 */
#ifndef COW_SNAPSHOT_BTRFS_H
#define COW_SNAPSHOT_BTRFS_H

#include <stdint.h>

/* Is the file on btrfs? 1, 0 or -errno. */
int cow_btrfs_check(int fd);

/* Is @fd the root of a subvolume? 1, 0 or -errno. */
int cow_btrfs_is_subvol(int fd);

int cow_btrfs_subvol_create(int dirfd, const char *name);

/* Writable snapshot of the subvolume @srcfd. The kernel commits the file system before it returns
 * (so everything written before is durable, the snapshot included). */
int cow_btrfs_snapshot(int srcfd, int dirfd, const char *name);

int cow_btrfs_set_read_only(int fd);

/* Commit, and wake the kernel's thread that frees deleted subvolumes: without it their space comes
 * back half a minute later. */
int cow_btrfs_sync(int fd);

/* Delete a subvolume with all that is in it, other subvolumes too; the space is freed in the background by the
 * kernel. */
int cow_btrfs_subvol_delete(int dirfd, const char *name);

int cow_btrfs_subvol_id(int fd, uint64_t *ret);

#define COW_BTRFS_UUID_LEN 16
/* What `btrfs receive` knows a subvolume of another file system by; @fd is writable still. */
int cow_btrfs_set_received(int fd, const uint8_t uuid[COW_BTRFS_UUID_LEN], uint64_t ctransid);

/* Write the send stream (version 1) of the read-only subvolume @fd to the pipe @to; with @parent, the id of another
 * one, what it has otherwise. -EPIPE: the reader is gone, which raises SIGPIPE too. Privilege: CAP_SYS_ADMIN. */
int cow_btrfs_send(int fd, uint64_t parent, int to);

#endif
