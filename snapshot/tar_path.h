/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names of tar members. Nothing is repaired that could mean two things: an absolute name or one
 * with
 * ".." is refused, "./" and doubled slashes are dropped.
 */
#ifndef COW_SNAPSHOT_TAR_PATH_H
#define COW_SNAPSHOT_TAR_PATH_H

/*
 * cow_tar_path - normal form of a member's name: components joined by single slashes; "" is the
 * root. Return: 0; -EPERM absolute or with ".."; -ENAMETOOLONG; -ELOOP too deep; -EINVAL empty.
 * Caller frees *ret.
 */
int cow_tar_path(const char *name, char **ret);

#endif
