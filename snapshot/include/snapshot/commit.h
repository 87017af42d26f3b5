/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * New versions of images made from what is there already: from a client's root, and from an edit.
 *
 * The new version holds what the root shows. It shares the data of what did not change with the
 * version the root stands on, by hard links where both are directories of one file system, else by
 * reflinks where the file system can, else it is copied. The older version is never written (I1).
 */
#ifndef COW_SNAPSHOT_COMMIT_H
#define COW_SNAPSHOT_COMMIT_H

#include "snapshot/client.h"
#include "snapshot/image.h"

enum {
	COW_COMMIT_NOW = 1 << 0, /* also while the root is in use: what changes meanwhile may be in
				    the new version or not, even half of it */
};

/*
 * cow_client_commit - the root of a client becomes a new version of image @image, which may be the one
 * it came from, another, or a new one.
 * What makes the root this client's leaves it (host name, machine id, host keys, settings of network
 * managers), reported as fix-up "identity"; then the fix-ups of an import are made, but for those the
 * image did without as asked.
 * Numbers are kept where @image is the one the root came from; else they are those of its newest
 * version, by path.
 * @opts: as for cow_image_import(); may be NULL.
 * Crash or failure: nothing is visible, leftovers are swept (I2, I3); the client's root is as it was.
 * Return: 0; -ENOENT no such client (exit 3); -EINVAL bad name; -EBUSY the client runs, somebody
 * changes its root, or another version of @image is being made; -EINTR aborted; -ENOSPC; -EPERM the
 * root holds what no image may.
 * Threads: any, one for each image name.
 */
int cow_client_commit(struct cow_store *s, const struct cow_mac *mac, const char *image,
		      unsigned flags, const struct cow_import_opts *opts, unsigned *ret_version,
		      struct cow_err *err);

/* Would cow_client_commit() be refused because the client runs? 0; -EBUSY says so. */
int cow_client_check_commit(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			    struct cow_err *err);

/* ---------------------------------------------------------------- edits
 *
 * An edit is a writable root on a version of an image, nobody's, to be worked in until it becomes the
 * image's next version. There is at most one for each image. It lasts: when who works in it is killed
 * or the power fails, what was done is there as on any local disk, to be gone on with, committed or
 * discarded. Sweeps leave it alone, and the version it stands on cannot be removed.
 */
struct cow_edit {
	char image[COW_LABEL_MAX + 1];
	unsigned version; /* what it stands on */
	enum cow_backend backend;
	int64_t begun_s;
	char *by;    /* who began it */
	char *root;  /* directory of the root, see cow_ovl_inst_open() */
	char *below; /* directory of the version below it; NULL: a plain root */
	int busy;    /* COW_EDIT_LOOK: somebody works in it */
	int dir;     /* for edit.c */
	int lock;    /* held, or -1 */
};
void cow_edit_free(struct cow_edit *e); /* lets go of it; the edit stays. NULL is fine */
COW_DEFINE_AUTO(struct cow_edit, cow_edit_free)
#define cow_autoedit COW_CLEANUP(cow_auto_cow_edit_free) struct cow_edit *

struct cow_edit_opts {
	const char *by;		  /* for people: "root on tty1"; NULL: the process alone */
	enum cow_backend backend; /* COW_BACKEND_NONE: the store's default */
};

/*
 * cow_edit_begin - a fresh root on @ref, see cow_image_find(). Held by the caller until cow_edit_free().
 * @opts: may be NULL
 * Crash: before the final rename nothing is visible (I2, I3).
 * Return: 0; -EBUSY there is an edit already (says who began it, and who works in it); -ENOENT no such
 * image; -EOPNOTSUPP as cow_client_add(); -ENOSPC.
 */
int cow_edit_begin(struct cow_store *s, const char *ref, const struct cow_edit_opts *opts,
		   struct cow_edit **ret, struct cow_err *err);

enum {
	COW_EDIT_LOOK = 1 << 0, /* only to know about it: not held */
};
/* The edit of an image. Return: 0; -ENOENT there is none, or no such image (exit 3); -EBUSY somebody
 * works in it (says who). */
int cow_edit_find(struct cow_store *s, const char *image, unsigned flags, struct cow_edit **ret,
		  struct cow_err *err);

/*
 * cow_edit_commit - what the edit shows becomes the next version; then the edit is gone.
 * @e: held. Fix-ups, numbers and failures as cow_client_commit(); after a failure the edit is there.
 * Crash: after the version is published and before the edit is gone both are there.
 * Return: as cow_client_commit(); -EBUSY it is mounted.
 */
int cow_edit_commit(struct cow_store *s, struct cow_edit *e, const struct cow_import_opts *opts,
		    unsigned *ret_version, struct cow_err *err);

/* One rename; the space comes back with cow_store_empty_trash(). @e: held. -EBUSY it is mounted. */
int cow_edit_discard(struct cow_store *s, struct cow_edit *e, struct cow_err *err);

#endif
