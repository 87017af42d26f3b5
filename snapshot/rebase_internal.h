/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A rebase in three steps: the plan (rebase_plan.c with rebase_case.c, rebase_look.c and rebase_more.c: what becomes of
 * every change of the client), the new root (client_rebase.c), and the replay of the plan in it
 * (rebase_replay.c, rebase_attr.c).
 *
 * Three names of one place: the client's path; where v1 has it, which differs below a directory that the
 * client moved; where v2 has it, which differs too when v2 moved that directory.
 */
#ifndef COW_SNAPSHOT_REBASE_INTERNAL_H
#define COW_SNAPSHOT_REBASE_INTERNAL_H

#include "client_internal.h"
#include "rebase_rule.h"

/* What becomes of the paths below a directory, if it is said for all of them. */
enum cow_rebase_cover {
	COW_COVER_NOT,
	COW_COVER_TREE,	  /* they come with the directory */
	COW_COVER_THEIRS, /* they are not there */
};

struct cow_rebase_entry {
	struct cow_rebase_line line; /* its paths are the ones here */
	char *path, *old_path;
	char *their_path; /* MOVED: where v2 has the object; NULL: nowhere */
	char *link_to; /* the object is another name of this one in the new root; NULL: it is not */
	uint32_t base, theirs; /* numbers of the object in v1, of what v2 has there; 0: none */
	struct cow_rebase_verdict v;
	enum cow_rebase_cover cover;
	bool departs; /* v2's object leaves its place */
	bool taken;   /* MOVED: v2 has something at the new place */
	bool anew;    /* see cow_rebase_case */
	bool needed;
	bool outdated; /* what an earlier rebase saved, and this one saves anew */
};

struct cow_rebase {
	struct cow_store *s;
	const struct cow_client *client;
	const struct cow_rebase_opts *opts;
	int (*stop)(void *ctx); /* see cow_rebase_how; NULL */
	void *stop_ctx;
	struct cow_client_at at; /* the root that is rebased */
	struct cow_ovl_image *v1, *v2;
	int tree1, tree2;	   /* their trees */
	struct cow_ovl_inst *ours; /* the root */
	uint32_t common;	   /* numbers below it are the same objects in v1 and v2 */
	bool numbers; /* the root knows which objects are the image's: backend overlay */
	struct cow_rebase_entry
	    *entries; /* sorted by path; what was found on the way behind them */
	size_t n, sorted, room;
	char **changed; /* what v2 added or changed, by path */
	size_t nchanged, changed_room;
	char *buf;   /* COW_COMMIT_SAME_BUF */
	char *names; /* COW_XATTR_LIST_MAX */
	char *value; /* COW_XATTR_SIZE_MAX */
};
#define COW_REBASE_EMPTY                                                                           \
	{                                                                                          \
		.at = COW_CLIENT_AT_EMPTY, .tree1 = -1, .tree2 = -1                                \
	}

/* ---- rebase_plan.c */

/* cow_rebase_plan - fill the entries. All up to `numbers` is given. Return: 0; -EPERM package databases
 * are in the way; -errno. */
int cow_rebase_plan(struct cow_rebase *rb, struct cow_err *err);
/* Is it to go on? 0; else it ends with that. */
int cow_rebase_stop(const struct cow_rebase *rb);
void cow_rebase_done(struct cow_rebase *rb); /* all of it but `client` and `opts` */
/* Among the sorted ones; NULL: the client did not change it. */
struct cow_rebase_entry *cow_rebase_find(const struct cow_rebase *rb, const char *path, size_t len);
/* A new entry behind all others. NULL: no memory. */
struct cow_rebase_entry *cow_rebase_add(struct cow_rebase *rb, const struct cow_ovl_change *change);

/* ---- rebase_paths.c; results are the caller's; NULL: v2 has it not, or (-ENOMEM) errno */

struct cow_rebase_places {
	char *base, *theirs; /* theirs NULL: it is below something that v2 has not */
};
/* Where v1 and v2 have what the client has at @path, by the directories above it. -ENOMEM. */
int cow_rebase_places(const struct cow_rebase *rb, const char *path, struct cow_rebase_places *ret);
void cow_rebase_places_done(struct cow_rebase_places *p);
#define cow_autoplaces __attribute__((cleanup(cow_rebase_places_done))) struct cow_rebase_places
/* Where the client has what v1 has at @base, if it has not moved by itself. NULL: no memory. */
char *cow_rebase_client_path(const struct cow_rebase *rb, const char *base);
/* Did v2 add or change something below the directory? */
bool cow_rebase_changed_below(const struct cow_rebase *rb, const char *base);
/* Does one of the patterns match the path or a directory above it? */
bool cow_rebase_glob(const char *const *globs, const char *path);

/* ---- rebase_common.c */

/* Set `common`. @image1, @image2: names of the images that v1 and v2 are of. */
int cow_rebase_common(struct cow_rebase *rb, const char *image1, const char *image2);

/* ---- rebase_case.c */

/* S_IF* of an object; 0: none has that number. */
mode_t cow_rebase_type(const struct cow_ovl_image *img, uint32_t number);
/* Where v2 has what the client moved: the first thing to be known. */
int cow_rebase_find_moved(struct cow_rebase *rb);
/* What v2 has, and what is alike, into the case and the entry. */
int cow_rebase_look(struct cow_rebase *rb, struct cow_rebase_entry *e, struct cow_rebase_case *c);

/* ---- rebase_look.c */

/* Node of a path; the caller puts it. -ENOENT. */
int cow_rebase_node(struct cow_ovl_inst *inst, const char *path, struct cow_ovl_node **ret,
		    struct cow_ovl_attr *ret_attr);
/* What the client and v2 have alike: c->agree, c->xattrs_clash. @their_path: in v2. */
int cow_rebase_agree(struct cow_rebase *rb, const struct cow_rebase_entry *e,
		     const char *their_path, struct cow_rebase_case *c);

/* COW_CHANGED_* of what the client has at @path against the object of v1, which v1 has at @base, too. */
int cow_rebase_differs(struct cow_rebase *rb, const char *path, const char *base, uint32_t number,
		       unsigned *ret_what);

/* ---- rebase_more.c: what the list of changes does not say by itself */

/* Changed files of the image with several names: an entry for each, whichever it was changed by. */
int cow_rebase_add_links(struct cow_rebase *rb);
/* New in v2, in directories that the client has removed and made again. */
int cow_rebase_add_hidden(struct cow_rebase *rb);
/* A new name of an object of the image that is not carried: e->link_to. */
int cow_rebase_find_link(struct cow_rebase *rb, struct cow_rebase_entry *e);

/* ---- rebase_own.c: what is not the client's own doing */

/* Written by cowherd into every root. @ret_is: the answer. */
int cow_rebase_identity(struct cow_rebase *rb, const struct cow_ovl_change *change, bool *ret_is);
/* Does the change touch a package database, or the content of a file of the image that packages own? */
bool cow_rebase_package(const struct cow_ovl_change *change);

/* ---- rebase_attr.c */

/* Give the object in the new root the attributes that the plan says. @to: its node. */
int cow_rebase_dress(struct cow_rebase *rb, const struct cow_rebase_entry *e,
		     struct cow_ovl_node *to);
/* Value of an attribute in an image; NULL: none. */
const void *cow_rebase_xattr(const struct cow_ovl_image *img, uint32_t number, const char *name,
			     size_t *ret_len);

/* ---- rebase_replay.c */

/* cow_rebase_replay - make the plan true in the new root @to, a fresh one of v2, attached as COW_OVL_STAGED. */
int cow_rebase_replay(struct cow_rebase *rb, struct cow_ovl_inst *to, struct cow_err *err);

#endif
