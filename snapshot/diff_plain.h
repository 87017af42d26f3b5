/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a tree changed of the one it was copied from, for backends without a manifest.
 */
#ifndef COW_SNAPSHOT_DIFF_PLAIN_H
#define COW_SNAPSHOT_DIFF_PLAIN_H

#include "overlay/overlay.h"

/*
 * cow_diff_plain - walk both trees side by side. Files of equal size are read unless inode number,
 * size, mtime and ctime say that they are the same file of a snapshot, untouched.
 * @fn: sorted by path. Moves are one deletion and one addition.
 * Return: 0; the callback's value; -ELOOP too deep; -errno.
 */
int cow_diff_plain(int old_tree, int new_tree, cow_ovl_diff_fn fn, void *ctx, struct cow_err *err);

#endif
