/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rebase: a client gets a root from another version of its image with what it had changed of the old
 * one. Three trees are compared: version v1 that its root came from, the root, and version v2.
 */
#ifndef COW_SNAPSHOT_REBASE_H
#define COW_SNAPSHOT_REBASE_H

#include "snapshot/client.h"

#define COW_REBASE_SUFFIX ".cowherd-new" /* of what v2 has, kept beside the client's */

enum cow_rebase_result {
	COW_REBASE_KEPT,     /* the client's change is in the new root */
	COW_REBASE_DROPPED,  /* v2's state is: nothing was to be kept, or as asked */
	COW_REBASE_MERGED,   /* some of either */
	COW_REBASE_CONFLICT, /* both changed it: the client's was kept, somebody should look */
};
#define COW_REBASE_RESULTS 4

struct cow_rebase_line {
	enum cow_rebase_result result;
	struct cow_ovl_change
	    change;	 /* the client's; for paths that it did not change, what comes of v2's */
	const char *why; /* static text; "" */
	bool saved;	 /* what v2 has is at the path with COW_REBASE_SUFFIX */
};
/* By path. A non-zero value stops and is returned. */
typedef int (*cow_rebase_fn)(void *ctx, const struct cow_rebase_line *line);

enum {
	/* Package database and files of packages: v2's are taken, what the client changed of them is dropped. */
	COW_REBASE_FORCE = 1 << 0,
	/* Of a plan: also while the client runs, of what is there now; the root is only looked at. */
	COW_REBASE_RUNNING = 1 << 1,
};

struct cow_rebase_opts {
	unsigned flags;
	/* Patterns of paths, see cowherd-client(8); ended by NULL; may be NULL. Where both changed something:
	 * v2's is taken; or the client's, with v2's beside it. */
	const char *const *theirs, *const *both;
	cow_rebase_fn fn; /* may be NULL */
	void *ctx;
};

/*
 * A rebase is a roll (cow_clients_swap()) with struct cow_swap.rebase: the new root has what the old one
 * changed of the version it came from. What cowherd writes into every root (host name, machine id, settings
 * of network managers) is made anew. The callback is called before the swap.
 * Besides what a roll answers: -EBUSY the client runs or its root is mounted, always; -EPERM package
 * databases are in the way, or the version the root came from is gone (exit 5); -EOPNOTSUPP a version
 * without a manifest.
 *
 * cow_client_rebase_plan - the same, but nothing is done: the callback tells what would be.
 * @image: v2; NULL: what the client follows.
 */
int cow_client_rebase_plan(struct cow_store *s, const struct cow_mac *mac, const char *image,
			   const struct cow_rebase_opts *opts, struct cow_err *err);

#endif
