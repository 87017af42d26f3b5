/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Partitions of a disk image that are read by others: the kernel, mtools, e2fsck.
 */
#ifndef COW_SNAPSHOT_IMPORT_PART_H
#define COW_SNAPSHOT_IMPORT_PART_H

#include "disk.h"

#define COW_PART_WHY 160 /* room for the last line a program said; "" without one */

/*
 * cow_part_mount - the file system, mounted by the kernel through a loop device, read-only for whoever
 * looks. The mount has no place in the tree of any process: it is gone with the descriptor, also
 * after a crash, and the loop device with it.
 * @fd: if it is open for writing, an unclean file system is mended by the kernel first.
 * Return: descriptor of its root, the caller's; -EUCLEAN it would have to be mended; -EOPNOTSUPP there
 * are no loop devices, or not this file system; other -errno.
 * Source: fsopen(2), loop(4).
 */
int cow_part_mount(int fd, const struct cow_disk_part *p);

/*
 * cow_part_replay - let e2fsck replay the journal of an ext file system, and nothing else.
 * @fd: open for writing, the file system at its beginning. Return: 0; -EUCLEAN it could not; -ENOENT
 * there is no e2fsck. @why: what it said last.
 */
int cow_part_replay(int fd, char why[COW_PART_WHY]);

/*
 * cow_part_copy_fat - copy all files of a FAT file system into @dir by mtools' mcopy, which may write
 * nowhere else (landlock(7), where the kernel has it).
 * Return: 0; -EBADMSG mcopy fails; -ENOENT there is no mcopy.
 */
int cow_part_copy_fat(int fd, const struct cow_disk_part *p, int dir, char why[COW_PART_WHY]);

/* The last line a program said, in the file @said, without what a terminal would take for orders. */
void cow_part_last_words(int said, char why[COW_PART_WHY]);

#endif
