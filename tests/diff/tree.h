/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What one side shows: every object with all that is compared, sorted by path.
 */
#ifndef COW_TESTS_DIFF_TREE_H
#define COW_TESTS_DIFF_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "overlay/overlay.h"

struct attr {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size, used; /* regular files and links; used: bytes on disk */
	uint64_t nlink;	     /* not of directories */
	uint64_t rdev;
	uint64_t id; /* inode number */
	struct timespec mtime, atime;
};

struct object {
	char *path; /* "" is the root */
	struct attr attr;
	char *target; /* links */
	char *xattrs; /* a line each, sorted */
	uint8_t *data;
	size_t data_len;
	/* The engine's side alone: */
	uint8_t handle[COW_OVL_HANDLE_MAX];
	size_t handle_len;
};

struct tree {
	struct object *v;
	size_t n, room;
};

/* Takes over @o's memory. */
void tree_add(struct tree *t, const struct object *o);
void tree_sort(struct tree *t);
void tree_free(struct tree *t);

struct attr attr_of_stat(const struct stat *st);
struct attr attr_of_engine(const struct cow_ovl_attr *a);

enum {
	ATTR_NLINK = 1 << 0, /* not for what is open without a name: the kernel's overlay says 1 */
	ATTR_TIMES = 1 << 1,
	ATTR_ATIME = 1 << 2,
	ATTR_USED = 1 << 3,	  /* in comparisons: side a does not take more room than b */
	ATTR_VAGUE_DIRS = 1 << 4, /* times of directories are not compared */
};
/* One line of text in which equal objects are equal; @what: ATTR_*. */
void attr_text(char *buf, size_t len, const struct attr *a, unsigned what);

/* Names and values as text. @get: as getxattr(2), negative errno. */
typedef ssize_t (*xattr_get_fn)(void *ctx, const char *name, void *buf, size_t len);
char *xattrs_text(char *names, size_t len, xattr_get_fn get, void *ctx);

struct compare {
	const char *name_a, *name_b;
	unsigned what; /* ATTR_* */
	FILE *out;     /* a line per difference */
};
/* Return: number of differences. */
unsigned tree_compare(const struct tree *a, const struct tree *b, const struct compare *how);

#endif
