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

#endif
