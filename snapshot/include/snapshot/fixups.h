/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The fix-ups of a version of an image: what was done, taken back, done after all. Each time in a new version.
 */
#ifndef COW_SNAPSHOT_FIXUPS_H
#define COW_SNAPSHOT_FIXUPS_H

#include <stdbool.h>
#include <stddef.h>

#include "snapshot/image.h"

struct cow_fixup_state {
	const char *name, *about;
	const char *result; /* "done", "not needed", "skipped", "undone"; "unknown": it is newer than the version */
	const char *what;   /* what was done, or why not; may be "" */
	bool undoable;	    /* something of it is in the version, and recorded as a whole */
	size_t npaths;
	const char *const *paths; /* what it changed, as far as it is recorded */
};

/*
 * cow_image_fixups - each fix-up in the order they are made; @fn's non-zero value stops and is returned.
 * Return: 0; -EBADMSG the record is damaged; -errno.
 */
int cow_image_fixups(struct cow_store *s, const struct cow_image *i,
		     int (*fn)(void *ctx, const struct cow_fixup_state *state), void *ctx,
		     struct cow_err *err);

struct cow_fixup_opts {
	const char *const *undo, *const *redo; /* names, NULL-terminated; may be NULL; "all" */
	bool force;   /* of undo: what cannot be taken back stays, and is told */
	bool dry_run; /* nothing is published */
};

/*
 * cow_image_fixup - a new version of the image with fix-ups of @i taken back, or made. What was taken back leaves
 * no trace in the tree; all else is shared with @i.
 * @opts: as for cow_image_import(), each of the fix-ups asked for is reported; may be NULL. Without a comment
 * the version says what was asked for.
 * @ret_version: 0: nothing was to be done, or it was a dry run
 * Crash or failure: nothing is visible, leftovers are swept (I2, I3).
 * Return: 0; -EINVAL a name is unknown, or in both lists (exit 2); -EPERM something cannot be taken back
 * (exit 5, says what); -EBUSY another version of the image is being made; -EINTR aborted; -ENOSPC; -errno.
 */
int cow_image_fixup(struct cow_store *s, const struct cow_image *i, const struct cow_fixup_opts *what,
		    const struct cow_import_opts *opts, unsigned *ret_version, struct cow_err *err);

#endif
