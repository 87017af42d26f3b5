/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Notices that clients in the store were added, changed or removed: inotify on STORE/clients and on
 * every client's directory, and a look every five seconds for what inotify cannot see (an overflow,
 * a directory filled before its watch was there).
 */
#ifndef COW_TOOLS_SERVE_WATCH_H
#define COW_TOOLS_SERVE_WATCH_H

#include "serve_herd.h"
#include "serve_loop.h"

#define COW_WATCH_QUIET_MS 30	 /* changes come in bursts: wait for this long without one… */
#define COW_WATCH_LONGEST_MS 200 /* …but never longer than this */
#define COW_WATCH_RESCAN_MS 5000

struct cow_herd_watch;

/* changed() is called after a burst of changes and at every rescan. */
int cow_herd_watch_new(struct cow_loop *l, const char *store_path, void (*changed)(void *ctx),
		       void *ctx, struct cow_herd_watch **ret);
void cow_herd_watch_free(struct cow_herd_watch *w); /* NULL is fine */

/* Watch every client of the list; those of removed ones end by themselves. */
void cow_herd_watch_set(struct cow_herd_watch *w, const struct cow_herd *h);

#endif
