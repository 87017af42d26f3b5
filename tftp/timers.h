/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Deadlines: a binary heap of timers that live inside what they wake. Nothing is allocated after
 * set-up, so arming cannot fail. Most are moved to a later time long before theirs comes, with each packet: those stay where
 * they are in the heap until then. One thread.
 */
#ifndef COW_TFTP_TIMERS_H
#define COW_TFTP_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct cow_tftp_timer {
	uint64_t due_ms;
	uint64_t at_ms; /* its place in the heap is that of this time, due_ms or earlier */
	size_t pos;	/* in the heap, from 1; 0: not armed */
};

struct cow_tftp_timers {
	struct cow_tftp_timer **heap; /* [1..count] */
	size_t count, max;
};

int cow_tftp_timers_init(struct cow_tftp_timers *ts, size_t max); /* 0, -ENOMEM */
void cow_tftp_timers_done(struct cow_tftp_timers *ts);

/* Arms or moves. At most @max timers are armed at once: the caller's own limit. */
void cow_tftp_timer_set(struct cow_tftp_timers *ts, struct cow_tftp_timer *t, uint64_t at_ms);
void cow_tftp_timer_cancel(struct cow_tftp_timers *ts, struct cow_tftp_timer *t);

/* One whose time has come; NULL: there is none. Stays armed. */
struct cow_tftp_timer *cow_tftp_timers_due(struct cow_tftp_timers *ts, uint64_t now_ms);

/* None is due before; UINT64_MAX: none is armed. */
uint64_t cow_tftp_timers_next_ms(const struct cow_tftp_timers *ts);

#endif
