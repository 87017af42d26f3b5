/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A walk through the data root that visits every directory once, the names of each in byte order,
 * and a directory's subdirectories in that order after itself. It holds one descriptor, whatever the
 * depth, follows no link and notices when a directory is moved meanwhile.
 */
#ifndef COW_OVERLAY_IMAGE_WALK_H
#define COW_OVERLAY_IMAGE_WALK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cow_walk;

struct cow_walk_name {
	const char *name; /* terminated; valid during the visit */
	size_t len;
};

struct cow_walk_dir {
	int fd;	      /* readable, borrowed */
	uint32_t tag; /* as given to cow_walk_enter() */
	const struct cow_walk_name *names;
	size_t count;
};

/* Return: 0 go on; else the walk ends with it. */
typedef int (*cow_walk_fn)(void *ctx, struct cow_walk *w, const struct cow_walk_dir *dir);

int cow_walk_new(int rootfd, cow_walk_fn fn, void *ctx, struct cow_walk **ret);
void cow_walk_free(struct cow_walk *w); /* NULL is fine */

/* Return: 0; -EAGAIN a directory was moved or replaced meanwhile; fn's value; other -errno. After a
 * failure cow_walk_path(w, NULL) is the directory it happened in. */
int cow_walk_run(struct cow_walk *w, uint32_t root_tag);

/* From fn: visit the subdirectory @name of the current one later, in the order of the calls.
 * @real: its inode number, which it must still have then. */
int cow_walk_enter(struct cow_walk *w, const char *name, ino_t real, uint32_t tag);

/* "/dir/name" for messages; @name NULL: the directory itself. Valid until the next call; "?" without
 * memory. */
const char *cow_walk_path(struct cow_walk *w, const char *name);

#endif
