/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>

#include "perm.h"

int cow_cred_in_group(const struct cow_ovl_cred *c, gid_t gid)
{
	if (c->gid == gid)
		return 1;
	for (size_t i = 0; i < c->ngroups; i++)
		if (c->groups[i] == gid)
			return 1;
	return 0;
}

int cow_perm_check(const struct cow_ovl_attr *a, const struct cow_ovl_cred *c, unsigned may)
{
	if (c->uid == 0) {
		int exec_ok = S_ISDIR(a->mode) || (a->mode & 0111);
		return !(may & COW_MAY_EXEC) || exec_ok ? 0 : -EACCES;
	}
	/* The first class that fits decides, also when a later one would give more (POSIX 4.7). */
	unsigned bits;
	if (a->uid == c->uid)
		bits = a->mode >> 6 & 7;
	else if (cow_cred_in_group(c, a->gid))
		bits = a->mode >> 3 & 7;
	else
		bits = a->mode & 7;
	return (bits & may) == may ? 0 : -EACCES;
}

int cow_perm_add(const struct cow_ovl_attr *dir, const struct cow_ovl_cred *c)
{
	return cow_perm_check(dir, c, COW_MAY_WRITE | COW_MAY_EXEC);
}

int cow_perm_remove(const struct cow_ovl_attr *dir, const struct cow_ovl_attr *victim,
		    const struct cow_ovl_cred *c)
{
	int r = cow_perm_add(dir, c);
	if (r < 0)
		return r;
	if (!(dir->mode & S_ISVTX) || c->uid == 0 || c->uid == victim->uid || c->uid == dir->uid)
		return 0;
	return -EPERM;
}

int cow_perm_give(const struct cow_ovl_set *set, const struct cow_ovl_cred *c)
{
	if (c->uid == 0)
		return 0;
	if (set->mask & COW_SET_UID && set->uid != c->uid)
		return -EPERM;
	if (set->mask & COW_SET_GID && !cow_cred_in_group(c, set->gid))
		return -EPERM;
	return 0;
}
