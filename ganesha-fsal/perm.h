/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Permission checks the NFS server's core leaves to us: namespace changes and extended attributes.
 * Plain POSIX mode bits; knows no type of the NFS server.
 */
#ifndef COW_FSAL_PERM_H
#define COW_FSAL_PERM_H

#include "overlay/overlay.h"

enum {
	COW_MAY_READ = 4,
	COW_MAY_WRITE = 2,
	COW_MAY_EXEC = 1,
};

int cow_cred_in_group(const struct cow_ovl_cred *c, gid_t gid); /* 1, 0 */

/* Return: 0 or -EACCES. Root may read and write anything, and execute what anybody may. */
int cow_perm_check(const struct cow_ovl_attr *a, const struct cow_ovl_cred *c, unsigned may);

/* Create a name in a directory. Return: 0, -EACCES. */
int cow_perm_add(const struct cow_ovl_attr *dir, const struct cow_ovl_cred *c);

/* Remove or replace the name of @victim: W+X on the directory, and in a sticky directory only its
 * owner's or the directory owner's. Return: 0, -EACCES, -EPERM. */
int cow_perm_remove(const struct cow_ovl_attr *dir, const struct cow_ovl_attr *victim,
		    const struct cow_ovl_cred *c);

/* Owner and group a caller may give to what he creates. Return: 0, -EPERM. */
int cow_perm_give(const struct cow_ovl_set *set, const struct cow_ovl_cred *c);

#endif
