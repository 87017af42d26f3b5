/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A root becomes a version of an image: what commit.c, edit.c and their parts share.
 */
#ifndef COW_SNAPSHOT_COMMIT_INTERNAL_H
#define COW_SNAPSHOT_COMMIT_INTERNAL_H

#include <time.h>

#include "client_internal.h"
#include "fixup.h"
#include "new_version.h"
#include "overlay/overlay.h"
#include "snapshot/commit.h"

/* ---- commit_tree.c */

/* An object of the image that the root has somewhere else. */
struct cow_commit_moved {
	char *path; /* in the new tree */
	uint32_t number;
};
struct cow_commit_tree {
	struct cow_fill *fill;
	const char *doing; /* for messages */
	int leave_out;	   /* what vanishes while it is read is left out: the root is in use */
	struct cow_err *err;
	/* Found out: */
	struct cow_commit_moved *moved;
	size_t nmoved, moved_room;
	uint64_t linked; /* objects shared with the image by hard links */
};
/*
 * cow_commit_fill - fill the new tree with what the instance shows.
 * What is as in the image becomes a link to the image's object where both lie on one file system that
 * can, else a clone; all else is cloned or copied. Marks of overlay file systems stay behind.
 */
int cow_commit_fill(struct cow_commit_tree *t, struct cow_ovl_inst *inst);
void cow_commit_tree_done(struct cow_commit_tree *t);
/* For the manifest, after everything that replaces files. The caller frees *ret. */
int cow_commit_moved(const struct cow_commit_tree *t, struct cow_ovl_image_moved **ret,
		     size_t *ret_n);

/* ---- commit_same.c */

/*
 * cow_commit_same - is the node's object, a regular file in the upper, what the image has: content,
 * attributes but for the access time, extended attributes? (It was moved, or changed and changed back.)
 * @golden: the image's, readable; @now: the upper's; @buf: of COW_COMMIT_SAME_BUF bytes.
 * Return: 1, 0 or -errno.
 */
#define COW_COMMIT_SAME_BUF ((size_t)512 << 10)
int cow_commit_same(struct cow_ovl_node *n, const struct cow_ovl_attr *attr, int golden, int now,
		    char *buf);
/* Content of two files of that size; @buf as above. Return: 1, 0; -errno. */
int cow_commit_same_data(int a, int b, off_t size, char *buf);

/* ---- commit_quiet.c */

/* Has anything below @dir changed since then? 1, 0 or -errno. */
int cow_commit_changed_since(int dir, const struct timespec *since);
/* Now, less the step by which time stamps of files lag behind. */
struct timespec cow_commit_stamp(void);

/* ---- commit_identity.c */

/*
 * cow_commit_no_identity - take out of the new tree what makes it one machine's: what
 * cow_identity_write() wrote and what a machine makes for itself at its first boot (machine id, host
 * keys, random seed). What the image had there comes back. Files are replaced, never written to.
 * @tree:   the new one
 * @golden: tree of the image the root came from; -1: it is gone
 * @report: as for fix-ups, under the name "identity"
 */
int cow_commit_no_identity(int tree, int golden, cow_fixup_report report, void *ctx,
			   struct cow_err *err);

/* ---- commit.c */

struct cow_commit {
	struct cow_store *s;
	int root; /* directory of the root: instance and layers; -1: as the image is, see .change */
	struct cow_root conf;
	int is_client; /* its root: what makes it one machine's leaves it before it is published */
	int in_use;	 /* also while it is in use */
	const char *image, *source, *doing;
	const struct cow_import_opts *opts;
	/* As the root is, with a manifest, the version is handed to this, and gone afterwards. NULL: it is
	 * published. */
	int (*use)(void *ctx, const struct cow_new_version *v, struct cow_err *err);
	void *use_ctx;
	/* What becomes of the tree instead of the fix-ups; see struct cow_new_version. NULL: they are made. */
	int (*change)(void *ctx, struct cow_new_version *v, struct cow_err *err);
	void *change_ctx;
};
/* @ret_version: not set with .use */
int cow_commit_root(const struct cow_commit *c, unsigned *ret_version, struct cow_err *err);

/* -EBUSY while the client runs or its root is mounted. @doing: "commit" */
int cow_commit_refuse_in_use(struct cow_store *s, const struct cow_mac *mac, const char *doing,
			     struct cow_err *err);

#endif
