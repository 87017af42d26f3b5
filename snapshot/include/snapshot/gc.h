/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Removing versions nobody needs any more.
 */
#ifndef COW_SNAPSHOT_GC_H
#define COW_SNAPSHOT_GC_H

#include <stdint.h>

#include "snapshot/image.h"
#include "snapshot/store.h"

enum {
	COW_GC_DRY_RUN = 1 << 0, /* only say what would go */
};

struct cow_gc_opts {
	unsigned keep_last;   /* of each image the newest so many stay; at least 1 */
	const char *keep_ref; /* one more reference that counts as use, as an enrolment's; may be NULL, "" */
	unsigned flags;	      /* COW_GC_* */
	/* Each version: @why it stays; NULL: it goes, and @own is what it alone uses. May be NULL; a non-zero value
	 * stops and is returned. */
	int (*fn)(void *ctx, const char *name, unsigned version, const char *why, uint64_t own);
	void *ctx;
};
struct cow_gc_sum {
	unsigned versions;
	uint64_t bytes; /* freed by all together: more than the sum of each, where they share */
};

/*
 * cow_store_gc - sweep what crashes left, remove the versions that are neither among the last of their image, nor
 * tagged, nor used (by a root, one kept for rollback or an edit), nor followed by number, and empty the trash.
 * A client whose record cannot be read ends it: what it uses is not known.
 * Crash: a version is removed by one rename; it is there as it was, or it is gone and the rest is
 * deleted by the next sweep (I3). Repeating it goes on. Threads, processes: any; each removal looks again with
 * STORE/lock held. Return: 0; @fn's value; -errno.
 */
int cow_store_gc(struct cow_store *s, const struct cow_gc_opts *opts, struct cow_gc_sum *ret,
		 struct cow_err *err);

#endif
