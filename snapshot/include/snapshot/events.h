/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What happened in a store, for the administrator: STORE/state/events, one line of words (common/fields.h) per
 * event, "KIND v=1 time=SECONDS key=value ...". Appended by whoever does something, not synced; at
 * COW_EVENTS_FILE_MAX bytes it becomes events.1, and the one before is gone.
 */
#ifndef COW_SNAPSHOT_EVENTS_H
#define COW_SNAPSHOT_EVENTS_H

#include "common/cleanup.h"
#include "common/fields.h"
#include "snapshot/store.h"

#define COW_EVENTS_FILE_MAX (512 << 10)

/*
 * cow_store_event - append one. @kind is followed by pairs of key and value, a NULL key ends them; a NULL value is
 * left out. Values may come from the network. Losing an event is no failure of what it tells about.
 * Crash: a torn line, which readers pass over. Threads, processes: any. Return: 0; -E2BIG; -errno.
 */
int cow_store_event(struct cow_store *s, const char *kind, ...) __attribute__((sentinel));

/* Reading, oldest first; call it again for what came since, also over a change of files. */
struct cow_events;
typedef int (*cow_event_fn)(void *ctx, const char *line); /* non-zero stops and is returned */

int cow_events_open(struct cow_store *s, struct cow_events **ret); /* borrows @s; no log yet: 0 */
void cow_events_close(struct cow_events *e);			   /* NULL is fine */
COW_DEFINE_AUTO(struct cow_events, cow_events_close)
#define cow_autoevents COW_CLEANUP(cow_auto_cow_events_close) struct cow_events *
int cow_events_read(struct cow_events *e, cow_event_fn fn, void *ctx);

#endif
