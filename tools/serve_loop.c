/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The event loop. A handful of descriptors and timers: a list is all the order they need.
 */
#include "serve_loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "common/clock.h"

#define BATCH 16

struct cow_loop {
	int epfd;
	bool stop;
	struct cow_timer *timers;
	/* The batch being worked off: an event of a descriptor that an earlier callback took out
	 * must not reach its owner, who may be gone. */
	struct epoll_event batch[BATCH];
	int batch_len;
};

int cow_loop_new(struct cow_loop **ret)
{
	cow_autoloop l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0)
		return -errno;
	*ret = cow_steal_ptr(&l);
	return 0;
}

void cow_loop_free(struct cow_loop *l)
{
	if (!l)
		return;
	if (l->epfd >= 0)
		(void)close(l->epfd);
	free(l);
}

int cow_loop_watch(struct cow_loop *l, struct cow_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, w->fd, &ev) == 0)
		return 0;
	if (errno == EEXIST && epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) == 0)
		return 0;
	return -errno;
}

void cow_loop_unwatch(struct cow_loop *l, struct cow_watch *w)
{
	if (w->fd < 0)
		return;
	(void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL); /* not watched: nothing to do */
	for (int i = 0; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

void cow_loop_timer_off(struct cow_loop *l, struct cow_timer *t)
{
	for (struct cow_timer **p = &l->timers; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		break;
	}
	t->due_ms = 0;
}

void cow_loop_timer(struct cow_loop *l, struct cow_timer *t, uint64_t delay_ms)
{
	cow_loop_timer_off(l, t);
	t->due_ms = cow_now_ms() + delay_ms;
	t->next = l->timers;
	l->timers = t;
}

static int timeout_ms(const struct cow_loop *l)
{
	uint64_t now = cow_now_ms(), soonest = UINT64_MAX;

	for (const struct cow_timer *t = l->timers; t; t = t->next)
		if (t->due_ms < soonest)
			soonest = t->due_ms;
	if (soonest == UINT64_MAX)
		return -1;
	if (soonest <= now)
		return 0;
	return soonest - now > 60000 ? 60000 : (int)(soonest - now);
}

/* A callback may change the list in any way, so look anew after each one. */
static void fire_timers(struct cow_loop *l)
{
	uint64_t now = cow_now_ms();

	for (;;) {
		struct cow_timer *t = l->timers;
		while (t && t->due_ms > now)
			t = t->next;
		if (!t || l->stop)
			return;
		cow_loop_timer_off(l, t);
		t->fn(t->ctx);
	}
}

int cow_loop_run(struct cow_loop *l)
{
	while (!l->stop) {
		int n = epoll_wait(l->epfd, l->batch, BATCH, timeout_ms(l));
		if (n < 0 && errno != EINTR)
			return -errno;
		l->batch_len = n > 0 ? n : 0;
		for (int i = 0; i < l->batch_len && !l->stop; i++) {
			struct cow_watch *w = l->batch[i].data.ptr;
			if (w)
				w->fn(w->ctx, l->batch[i].events);
		}
		l->batch_len = 0;
		fire_timers(l);
	}
	return 0;
}

void cow_loop_stop(struct cow_loop *l)
{
	l->stop = true;
}
