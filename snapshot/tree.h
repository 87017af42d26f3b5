/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Look at and edit a tree that somebody else made: an image being imported, a client's fresh root.
 *
 * Paths are relative to @tree and are resolved as the machine that boots it would see them: an
 * absolute symbolic link starts at @tree, ".." stops there, no mount is crossed. So a link in the
 * tree that points to a file of this host reaches a file of the tree, or nothing (I4, I7). The last
 * component is replaced by rename, never written through, so a link or device there is replaced
 * too. Nothing is synced: whoever publishes the tree does that once (I2). All return 0 or -errno.
 */
#ifndef COW_SNAPSHOT_TREE_H
#define COW_SNAPSHOT_TREE_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Open as openat(2). A link in the last component is followed unless @flags has O_NOFOLLOW. -> fd
 */
int cow_tree_open(int tree, const char *path, int flags);

/* Attributes of the thing itself (a link is not followed). */
int cow_tree_lstat(int tree, const char *path, struct stat *ret);

/* Does it exist, links followed? 1 or 0; what cannot be looked up does not exist. */
int cow_tree_has(int tree, const char *path);

/* Whole content of a regular file (links followed), NUL added. -EFBIG larger than @max; -EINVAL no
 * regular file. Caller frees *ret. */
int cow_tree_read(int tree, const char *path, size_t max, char **ret, size_t *ret_len);

/* Replace or make a regular file. Owner and mode of a regular file that was there are kept, else it
 * belongs to root and gets @mode. Missing directories are made. */
int cow_tree_write(int tree, const char *path, const void *buf, size_t len, mode_t mode);

/* Replace or make a symbolic link. -EISDIR a directory is there. */
int cow_tree_symlink(int tree, const char *path, const char *target);

/* Remove what is no directory. -ENOENT nothing there. */
int cow_tree_unlink(int tree, const char *path);

/* A place in a tree: the directory it is in, and its name there. */
struct cow_tree_place {
	int dir; /* open, not only as a path; -1 */
	const char *name;
	struct stat st; /* of the directory */
};
/* @ret->name points into @path. -ENOENT: the directory is not there. */
int cow_tree_place_open(int tree, const char *path, struct cow_tree_place *ret);
/* The directory gets back the times it had, and is closed: nothing that matters has happened in it. */
int cow_tree_place_as_before(struct cow_tree_place *p);
void cow_tree_place_close(struct cow_tree_place *p);

/* Call @fn for each name in a directory (not "." and ".."); its non-zero value stops and is
 * returned. -ENOENT no such directory. */
int cow_tree_each(int tree, const char *path, int (*fn)(void *ctx, const char *name), void *ctx);

#endif
