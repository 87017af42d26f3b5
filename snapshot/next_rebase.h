/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A rebase that waits for the client's next boot: its options, in clients/ID/next.
 */
#ifndef COW_SNAPSHOT_NEXT_REBASE_H
#define COW_SNAPSHOT_NEXT_REBASE_H

#include "common/kv.h"
#include "snapshot/rebase.h"

struct cow_next_rebase {
	struct cow_rebase_opts opts; /* without a callback */
	struct cow_kv *kv;	     /* has the patterns */
	const char **theirs, **both;
};
#define COW_NEXT_REBASE_EMPTY                                                                      \
	{                                                                                          \
		{0}, NULL, NULL, NULL                                                              \
	}

/* -EINVAL: a pattern that a record cannot carry (exit 2). */
int cow_next_rebase_put(struct cow_kv *kv, const struct cow_rebase_opts *opts, struct cow_err *err);
int cow_next_rebase_read(int client_dir, struct cow_next_rebase *ret, struct cow_err *err);
void cow_next_rebase_done(struct cow_next_rebase *n);

#endif
