/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the parts of carry.c share.
 */
#ifndef COW_SNAPSHOT_CARRY_INTERNAL_H
#define COW_SNAPSHOT_CARRY_INTERNAL_H

#include "carry.h"
#include "common/growpath.h"
#include "entries.h"
#include "fill.h"

struct cow_carry {
	struct cow_carry_opts o;
	struct cow_carry_stats stats;
	struct cow_growpath path;     /* of the object at hand */
	struct cow_import_opts watch; /* asks o.stop */
	struct cow_fill fill;	      /* counts the bytes of data */
	struct cow_fill_copier copier;
	void *links; /* objects with several names that were carried, by their id in the old root */
	void *taken; /* of cow_carry_all(): ids in the new root of those that were there */
	bool all;    /* cow_carry_all() is at work */
	/* COW_XATTR_LIST_MAX, COW_XATTR_SIZE_MAX each: */
	char *names, *other_names, *value, *other_value;
	char *same; /* COW_COMMIT_SAME_BUF */
};

/* ---- carry_same.c */

/* Is what is no directory the same in both roots? 1, 0 or -errno. */
int cow_carry_same(struct cow_carry *c, const struct cow_entry *from, const struct cow_entry *to);
/* Extended attributes alone; and those of a directory with mode, owner and times. */
int cow_carry_same_xattrs(struct cow_carry *c, struct cow_ovl_node *a, struct cow_ovl_node *b);
int cow_carry_same_dir(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to);

/* ---- carry_object.c */

/* Make what is no directory, under a name that is free. */
int cow_carry_make(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir);
/* Is it what has been carried as another name of the same object? */
bool cow_carry_is_linked(const struct cow_carry *c, const struct cow_entry *from,
			 const struct cow_ovl_node *to);
/* Of objects that are equal, each with several names: let the new root's be the old root's from now on. 1; 0: one of
 * them is another's already; -errno. Names that should be its and are not will be made so, and the other way round. */
int cow_carry_claim(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to);
/* Make an empty directory; cow_carry_dress() comes when it is full. Caller puts *ret. */
int cow_carry_mkdir(const struct cow_entry *from, struct cow_ovl_node *to_dir,
		    struct cow_ovl_node **ret);
/* Owner, mode, extended attributes, times. */
int cow_carry_dress(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to);
/* Access and modification time alone. */
int cow_carry_times(struct cow_ovl_node *n, const struct cow_ovl_attr *like);
/* A name of the new root, with everything below it. */
int cow_carry_unmake(struct cow_carry *c, struct cow_ovl_node *dir, const struct cow_entry *e,
		     unsigned depth);
void cow_carry_links_done(struct cow_carry *c);

#endif
