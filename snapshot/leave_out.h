/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What of a directory tree is not imported: what the administrator names, and of the root this machine runs on what
 * belongs to the machine or the moment: caches, temporary files, swap, file systems of others.
 * Paths are relative to the tree's root, without a leading slash.
 */
#ifndef COW_SNAPSHOT_LEAVE_OUT_H
#define COW_SNAPSHOT_LEAVE_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"

#define COW_LEAVE_OUT_RULES 32

/* All zeros: nothing is left out but what the kernel has mounted. */
struct cow_leave_out {
	const char *const *patterns; /* the administrator's; NULL at the end, may be NULL */
	bool running;		     /* the root of this machine as it runs */
	uint32_t matched;	     /* which rules for a running root left something out */
};

/* Are they patterns? NULL: none. Return: 0; -EINVAL says which is not (exit 2). */
int cow_leave_out_check(const char *const *patterns, struct cow_err *err);

/* Is it this machine's root, whatever it is called? @st: of the opened directory. */
bool cow_leave_out_is_running(const struct stat *st);

/* Is the object, with all below it, left out? */
bool cow_leave_out(struct cow_leave_out *l, const char *path);

/* The same for an open file of this machine's root: is it swap space? */
bool cow_leave_out_file(const struct cow_leave_out *l, int fd, const struct stat *st);

/*
 * Is what is mounted on the directory left out? @type: of its file system, see statfs(2).
 * Return: NULL it belongs to the tree; else why not, static text.
 */
const char *cow_leave_out_mount(const struct cow_leave_out *l, const char *path, unsigned long type);

/* The @n-th rule for a running root that something was left out by; NULL: there are no more. */
const char *cow_leave_out_matched(const struct cow_leave_out *l, unsigned n);

#endif
