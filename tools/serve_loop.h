/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One event loop over epoll: descriptors and one-shot timers. One thread; callbacks run one at a
 * time and may add and remove anything, themselves included.
 */
#ifndef COW_TOOLS_SERVE_LOOP_H
#define COW_TOOLS_SERVE_LOOP_H

#include <stdint.h>

#include "common/cleanup.h"

struct cow_loop;

/* Embedded in its owner; zeroed before first use. The owner keeps it alive while it is watched. */
struct cow_watch {
	int fd;					/* borrowed */
	void (*fn)(void *ctx, uint32_t events); /* EPOLL* */
	void *ctx;
};

struct cow_timer {
	uint64_t due_ms; /* cow_now_ms() clock; 0: not set */
	void (*fn)(void *ctx);
	void *ctx;
	struct cow_timer *next; /* private */
};

int cow_loop_new(struct cow_loop **ret);
void cow_loop_free(struct cow_loop *l); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_loop, cow_loop_free)
#define cow_autoloop COW_CLEANUP(cow_auto_cow_loop_free) struct cow_loop *

/* @events: EPOLLIN and so on. Return: 0 or -errno. */
int cow_loop_watch(struct cow_loop *l, struct cow_watch *w, uint32_t events);
/* Before the descriptor is closed. One that is not watched is fine. */
void cow_loop_unwatch(struct cow_loop *l, struct cow_watch *w);

/* Set, or set anew, @delay_ms from now; it fires once. */
void cow_loop_timer(struct cow_loop *l, struct cow_timer *t, uint64_t delay_ms);
void cow_loop_timer_off(struct cow_loop *l, struct cow_timer *t);

/* Run until cow_loop_stop(). Return: 0 or -errno. */
int cow_loop_run(struct cow_loop *l);
void cow_loop_stop(struct cow_loop *l);

#endif
