/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version being made, whatever it is made from: a staging directory that is filled, made durable,
 * described, given its manifest, and gets its number by one rename. Threads: one.
 *
 * What a crash leaves, by step:
 *	1 images/NAME with its lock	swept when nothing else is in it
 *	2 .import-HEX/, partly filled	swept by the next import of NAME and by every sweep
 *	3 tree synced, no image.ovm	likewise
 *	4 image.ovm, image.conf		likewise: complete, but it has no number
 *	5 all synced, not renamed	likewise
 *	6 renamed			the version is there, complete (I2)
 *
 * The tree is on disk before the manifest is made: what is read back and recorded as golden is what
 * a later start of the machine finds.
 */
#ifndef COW_SNAPSHOT_NEW_VERSION_H
#define COW_SNAPSHOT_NEW_VERSION_H

#include "common/fs.h"
#include "fill.h"
#include "fixlog.h"
#include "image_internal.h"
#include "snapshot/archive.h"
#include "unpack.h"

struct cow_new_version {
	struct cow_store *s;
	const char *name;		    /* of the image */
	const char *source;		    /* for the record */
	const char *doing;		    /* for messages: "import of 'SOURCE'" */
	const struct cow_import_opts *opts; /* may be NULL */
	const char *const *also_skip;	    /* fix-ups besides opts->skip_fixups; may be NULL */
	/* Instead of the fix-ups of an import; calls cow_new_version_fixup() or adds lines itself. NULL: they are
	 * made. */
	int (*change)(void *ctx, struct cow_new_version *v, struct cow_err *err);
	void *change_ctx;

	unsigned number; /* it had elsewhere; 0: none. Taken where it can be */
	int carried;	 /* came complete, with record and manifest: nothing is to be changed in it */

	int dir;  /* images/NAME */
	int lock; /* images/NAME/lock */
	int stage, tree;
	char stage_name[sizeof(COW_IMPORT_PREFIX) + COW_HEX64_LEN];
	struct cow_fill fill; /* what counts and notes */
	struct cow_kv *conf;
	struct cow_fixlog log;	      /* what fix-ups changed, also in versions before it was made of */
	struct cow_ovl_image *newest; /* with a manifest; NULL: none, or not looked for yet */
	unsigned newest_number; /* of that */
	int looked;
};

/*
 * cow_new_version_begin - make the staging directory with an empty tree; or, with @subvol >= 0, with a
 * writable snapshot of that subvolume. The caller has filled in the first block of @v with the rest
 * zeroed, and calls cow_new_version_end() whatever comes.
 * Return: 0; -EINVAL bad name; -EBUSY another one is being made for this image.
 */
int cow_new_version_begin(struct cow_new_version *v, int subvol, struct cow_err *err);

/* Before the tree is filled: files that the newest version has are shared with it. */
int cow_new_version_share(struct cow_new_version *v, struct cow_err *err);
/* After that, by who fills with what a tree with leftovers is fine (fill.h): on btrfs it becomes a snapshot of the newest
 * version. v->tree is another descriptor then. */
int cow_new_version_on_newest(struct cow_new_version *v, struct cow_err *err);

/* Begin the record, run the fix-ups on the full tree, record what they change. */
int cow_new_version_describe(struct cow_new_version *v, struct cow_err *err);

/* One fix-up that was made, for the record and the caller; see cow_import_opts. @ctx: @v */
void cow_new_version_fixup(void *ctx, const char *name, const char *result, const char *what);

/* A line of the record. */
int cow_new_version_add(struct cow_new_version *v, const char *key, const char *value);

/* All data of the tree reaches the disk here, and nothing changes it any more. */
int cow_new_version_settle(struct cow_new_version *v, struct cow_err *err);

/* What numbers come from. All zeros: the newest version of the image that has a manifest. */
struct cow_new_version_numbers {
	const struct cow_ovl_image *parent;
	uint32_t next_number_min;
	const struct cow_ovl_image_moved *moved;
	size_t nmoved;
};
/* Manifest and image.conf. */
int cow_new_version_manifest(struct cow_new_version *v, const struct cow_new_version_numbers *from,
			     struct cow_err *err);

/* The number; -errno leaves it unpublished. */
int cow_new_version_publish(struct cow_new_version *v, unsigned *ret_version, struct cow_err *err);

/*
 * cow_import_archive - fill the tree from an archive; its record and manifest are made too.
 * Return: 0; -EALREADY this image has the version, v->number says which; -ENOENT
 * the base is not here; -EBADMSG; -errno.
 */
int cow_import_archive(struct cow_new_version *v, struct cow_unpack *u, struct cow_err *err);
/*
 * cow_archive_base - what an archive stands on, of image @name where several are the same, and its manifest.
 * Both are the caller's, *ret_image after a failure too. @what: the archive. -ENOENT says name and id (exit 3).
 */
int cow_archive_base(struct cow_store *s, const struct cow_archive_info *info, const char *name,
		     const char *what, struct cow_image **ret_image, struct cow_ovl_image **ret,
		     struct cow_err *err);

/* Give everything back. @r < 0: nothing of it stays behind. */
void cow_new_version_end(struct cow_new_version *v, int r);

#endif
