/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the walk of an upper layer found, before it is known what was moved: a name that is gone from
 * its place is a deletion, unless its object turns up elsewhere.
 */
#ifndef COW_OVERLAY_DIFF_H
#define COW_OVERLAY_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "manifest.h"

/* A name in a directory of the image. parent 0: none. */
struct cow_diff_name {
	uint32_t parent;
	uint64_t cookie;
};

struct cow_diff_entry {
	enum cow_ovl_change_kind kind;
	bool drop; /* nothing to report: the same, or told by another entry */
	unsigned what;
	mode_t type;
	char *path, *old_path; /* owned */
	/* The image's name at this place, for DELETED and for what stands on a name of the image. */
	struct cow_diff_name home;
	bool gone; /* the image's object is not there any more */
	/* Number of the object of the image this one is, seen away from its home; 0: none. */
	uint32_t moved;
	/* Compared with what an opaque directory hides: the image's directory, and the uppermost hidden
	 * one above it. 0: not hidden. When one of them was moved away, there is nothing to compare with. */
	uint32_t hidden, hidden_top;
};

/* An object of the image that was changed and is brought up, but for none of its names. */
struct cow_diff_nameless {
	uint32_t ino;
	unsigned what;
};

struct cow_diff_list {
	const struct cow_ovl_image *img;
	struct cow_diff_nameless *nameless;
	size_t nnameless, nameless_room;
	struct cow_diff_entry *entries;
	size_t n, room;
	/* Made by finish, sorted: names whose object is gone, numbers seen away from home. */
	struct cow_diff_name *gone;
	uint32_t *moved;
	size_t ngone, nmoved;
};

/* A new entry, zeroed but for its path, which is copied. NULL: no memory. */
struct cow_diff_entry *cow_diff_add(struct cow_diff_list *l, const char *path);

/* An object that stands for one of the image differs in @what from it. */
void cow_diff_judge(struct cow_diff_entry *e, unsigned what);

/* -ENOMEM */
int cow_diff_add_nameless(struct cow_diff_list *l, uint32_t ino, unsigned what);

/* Find out what was moved, and what names nameless ones have left; sort by path. */
int cow_diff_finish(struct cow_diff_list *l);
void cow_diff_done(struct cow_diff_list *l);

#endif
