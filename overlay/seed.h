/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making upper directories from those of an image's tree, for roots that are not attached yet.
 */
#ifndef COW_OVERLAY_SEED_H
#define COW_OVERLAY_SEED_H

/*
 * cow_seed_copy_dir - give an upper directory just made what its counterpart in the image has: owner,
 * attributes with ACLs, mode. Attributes of overlay file systems are not copied; ACLs that @upper
 * inherited at birth go. Times are left: they come last, see cow_seed_copy_times().
 * @lower, @upper: readable directories. Return: 0 or -errno.
 */
int cow_seed_copy_dir(int lower, int upper);
int cow_seed_copy_times(int lower, int upper);

#endif
