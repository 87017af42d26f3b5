/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Keep-lists: paths of a root that survive reset and roll. STORE/keep/NAME holds one a line:
 *
 *	# comment
 *	/etc/ssh/ssh_host_*
 *	/home
 *
 * A path is absolute; a component may be a pattern of the shell (fnmatch(3): `*` stops at a slash and does not
 * match a leading dot). A directory stands for everything below it. The list `default` is built in where
 * there is no such file.
 */
#ifndef COW_SNAPSHOT_KEEP_H
#define COW_SNAPSHOT_KEEP_H

#include <stddef.h>

#include "carry.h"
#include "common/err.h"
#include "snapshot/store.h"

#define COW_KEEP_FILE_MAX ((size_t)64 << 10)
#define COW_KEEP_PATHS_MAX 1024 /* of all lists together: each costs a look-up in two roots */
#define COW_KEEP_NONE "none"
#define COW_KEEP_DEFAULT "default"
#define COW_KEEP_GROUP "group-" /* of the clients of a group that have no lists of their own */

/* Paths without the leading slash. All zeros: none. */
struct cow_keep {
	char **path;
	size_t n;
};
void cow_keep_done(struct cow_keep *k);
#define cow_autokeep __attribute__((cleanup(cow_keep_done))) struct cow_keep

/*
 * cow_keep_parse - add the paths of a list.
 * @what: its name for messages. Return: 0; -EINVAL names the line (exit 2); -E2BIG; -ENOMEM.
 */
int cow_keep_parse(const char *text, size_t len, const char *what, struct cow_keep *k,
		   struct cow_err *err);

/*
 * cow_keep_load - the lists named with commas between them, or "none".
 * Return: 0; -ENOENT no such list (exit 3); -EINVAL; -errno.
 */
int cow_keep_load(struct cow_store *s, const char *names, struct cow_keep *ret,
		  struct cow_err *err);

/* Are these names of lists, all of them there and in order? As cow_keep_load(). */
int cow_keep_check(struct cow_store *s, const char *names, struct cow_err *err);

/*
 * cow_keep_is_idle - is what the list stands for the same in two roots already, as far as a quick look can tell?
 * @from_root, @to_root: their directories, both of backend overlay on the same version of an image.
 * Return: 1; 0 perhaps not; -errno.
 */
int cow_keep_is_idle(const struct cow_keep *k, int from_root, int to_root);

/*
 * cow_keep_expand - the paths a list stands for: patterns become the names that match in either root.
 * @to: NULL: there is one root. @fn: its negative value stops and is returned.
 */
typedef int (*cow_keep_fn)(void *ctx, const char *path);
int cow_keep_expand(const struct cow_keep *k, struct cow_ovl_inst *from, struct cow_ovl_inst *to,
		    cow_keep_fn fn, void *ctx);

#endif
