/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The tree of a version from a btrfs stream. In its staging directory:
 *
 *	receive/	a scratch subvolume, all that `btrfs receive` sees
 *	receive/base	a snapshot of the version the stream stands on, with a name of its own for this once: which
 *			subvolume a version is differs from store to store, and the version itself stays out of reach
 *	receive/tree	what is made
 *	tree/		at last a snapshot of that, compared with the manifest
 *
 * What is left of it by a crash goes with the staging directory.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_BTRFS_H
#define COW_SNAPSHOT_ARCHIVE_BTRFS_H

#include "new_version.h"

struct cow_arc_btrfs;

/* @base: NULL: none. @img: what is to come; its limits are the stream's. Return: 0; -EOPNOTSUPP the base is no
 * subvolume; as cow_btrfs_receive_begin(). */
int cow_arc_btrfs_begin(struct cow_new_version *v, const struct cow_image *base,
			const struct cow_ovl_image *img, struct cow_arc_btrfs **ret,
			struct cow_err *err);
int cow_arc_btrfs_take(struct cow_arc_btrfs *b, const void *p, size_t len, struct cow_err *err);
/* v->tree is the new one then. Return: 0; -EBADMSG the stream makes something else; -errno. */
int cow_arc_btrfs_end(struct cow_arc_btrfs *b, struct cow_err *err);
void cow_arc_btrfs_free(struct cow_arc_btrfs *b); /* NULL is fine */

#endif
