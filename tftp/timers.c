/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Binary heap of deadlines: see timers.h.
 */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

int cow_tftp_timers_init(struct cow_tftp_timers *ts, size_t max)
{
	ts->heap = calloc(max + 1, sizeof(struct cow_tftp_timer *));
	ts->count = 0;
	ts->max = max;
	return ts->heap ? 0 : -ENOMEM;
}

void cow_tftp_timers_done(struct cow_tftp_timers *ts)
{
	free(ts->heap);
	ts->heap = NULL;
}

static void put(struct cow_tftp_timers *ts, size_t pos, struct cow_tftp_timer *t)
{
	ts->heap[pos] = t;
	t->pos = pos;
}

static void rise(struct cow_tftp_timers *ts, size_t pos)
{
	struct cow_tftp_timer *t = ts->heap[pos];

	for (; pos > 1 && ts->heap[pos / 2]->at_ms > t->at_ms; pos /= 2)
		put(ts, pos, ts->heap[pos / 2]);
	put(ts, pos, t);
}

static void sink(struct cow_tftp_timers *ts, size_t pos)
{
	struct cow_tftp_timer *t = ts->heap[pos];

	for (size_t child; (child = 2 * pos) <= ts->count; pos = child) {
		if (child < ts->count && ts->heap[child + 1]->at_ms < ts->heap[child]->at_ms)
			child++;
		if (ts->heap[child]->at_ms >= t->at_ms)
			break;
		put(ts, pos, ts->heap[child]);
	}
	put(ts, pos, t);
}

void cow_tftp_timer_set(struct cow_tftp_timers *ts, struct cow_tftp_timer *t, uint64_t at_ms)
{
	t->due_ms = at_ms;
	if (t->pos != 0 && t->at_ms <= at_ms)
		return; /* it stays where it is until its old time comes */
	t->at_ms = at_ms;
	if (t->pos == 0) {
		if (ts->count == ts->max)
			return; /* cannot be: one timer per slot, max slots */
		put(ts, ++ts->count, t);
	}
	rise(ts, t->pos);
}

void cow_tftp_timer_cancel(struct cow_tftp_timers *ts, struct cow_tftp_timer *t)
{
	size_t pos = t->pos;

	if (pos == 0)
		return;
	t->pos = 0;

	struct cow_tftp_timer *last = ts->heap[ts->count--];

	if (last == t)
		return;
	put(ts, pos, last);
	rise(ts, pos);
	sink(ts, last->pos);
}

struct cow_tftp_timer *cow_tftp_timers_due(struct cow_tftp_timers *ts, uint64_t now_ms)
{
	while (ts->count > 0 && ts->heap[1]->at_ms <= now_ms) {
		struct cow_tftp_timer *t = ts->heap[1];

		if (t->due_ms <= now_ms)
			return t;
		t->at_ms = t->due_ms;
		sink(ts, 1);
	}
	return NULL;
}

uint64_t cow_tftp_timers_next_ms(const struct cow_tftp_timers *ts)
{
	return ts->count ? ts->heap[1]->at_ms : UINT64_MAX;
}
