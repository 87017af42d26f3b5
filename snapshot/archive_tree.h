/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The tree a manifest describes, made from its parts: names and attributes from the manifest, content as it
 * comes, the rest from a version that is here. Content has its digest before its file counts; nothing is made
 * that the manifest does not name, nothing longer than it says. Threads: one.
 *
 *	cow_arc_tree_new
 *	cow_arc_tree_begin	directories, what has no content, what the base has
 *	cow_arc_tree_slice	content, as often as it comes
 *	cow_arc_tree_finish	files of equal content, holes, hard links, attributes of directories
 */
#ifndef COW_SNAPSHOT_ARCHIVE_TREE_H
#define COW_SNAPSHOT_ARCHIVE_TREE_H

#include "archive_format.h"
#include "archive_hash.h"
#include "archive_plan.h"
#include "fill.h"

struct cow_arc_tree {
	struct cow_fill *fill;
	const struct cow_ovl_image *img;  /* no tree of its own */
	const struct cow_ovl_image *base; /* NULL: none */
	const char *what;		  /* the archive, for messages */
	struct cow_err *err;

	uint8_t *done; /* a bit for each object whose content is there */
	uint8_t *used; /* a bit for each file of the base that is shared by a hard link */
	struct cow_arc_digests all, known;
	struct cow_fill_copier copier;
	int cannot_link; /* learnt: other file system, or btrfs */
	/* The file whose content comes: */
	uint32_t number; /* 0: none */
	int fd;
	struct cow_arc_hash hash;
	/* Directory that was opened last. */
	char *dir_path;
	int dir;
};

/* @t: the first block filled in, the rest zeroed. cow_arc_tree_done() whatever comes. All: 0 or -errno, t->err. */
int cow_arc_tree_init(struct cow_arc_tree *t);
void cow_arc_tree_done(struct cow_arc_tree *t);
int cow_arc_tree_begin(struct cow_arc_tree *t);
int cow_arc_tree_slice(struct cow_arc_tree *t, const struct cow_arc_slice *s, const uint8_t *bytes);
int cow_arc_tree_finish(struct cow_arc_tree *t);

/* ---- inside: archive_tree.c, archive_skeleton.c, archive_share.c */

/* "make PATH: WHY" */
int cow_arc_tree_fail(struct cow_arc_tree *t, uint32_t number, int r, const char *doing);
/* "'ARCHIVE' is damaged: PATH: WHY" */
int cow_arc_tree_bad(struct cow_arc_tree *t, uint32_t number, const char *why);
static inline int cow_arc_tree_is_done(const struct cow_arc_tree *t, uint32_t number)
{
	return t->done[number / 8] >> number % 8 & 1;
}
static inline void cow_arc_tree_set_done(struct cow_arc_tree *t, uint32_t number)
{
	t->done[number / 8] |= (uint8_t)(1u << number % 8);
}
/* Make the regular file, empty. -> fd, readable too, or -errno */
int cow_arc_tree_create(struct cow_arc_tree *t, uint32_t number);
/* Owner, extended attributes, mode, times; of an open file or directory. */
int cow_arc_tree_attr(struct cow_arc_tree *t, uint32_t number, int fd);
/* Attributes of @name in @dir, which is no file and no directory. */
int cow_arc_tree_attr_at(struct cow_arc_tree *t, uint32_t number, int dir, const char *name);
/* Directory in the new tree that the object's first name is in; borrowed. *ret_name: the caller frees. */
int cow_arc_tree_parent(struct cow_arc_tree *t, uint32_t number, int *ret_dir, char **ret_name);

/* Directories and what has no content. */
int cow_arc_skeleton_begin(struct cow_arc_tree *t);
/* Further names, attributes of directories. */
int cow_arc_skeleton_finish(struct cow_arc_tree *t);

/* Take the file from the base, if that has its content. Return: 1 done; 0 it has not; -errno. */
int cow_arc_share(struct cow_arc_tree *t, uint32_t number, int dir, const char *name);

#endif
