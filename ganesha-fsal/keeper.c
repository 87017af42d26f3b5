/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The housekeeping thread: one for all roots, one round a second. Detaches instances nobody works
 * on any more, so that no request waits for their last sync. It starts with the first root and is
 * joined with the last one: no code of ours runs when the server unloads the plugin.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "common/clock.h"
#include "nfs_root.h"
#include "refuse.h"

/* Serialises start and end of the thread; taken before keeper_lock, never by the thread itself. */
static pthread_mutex_t admin_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t drain_lock = PTHREAD_MUTEX_INITIALIZER;	/* before keeper_lock */
static pthread_mutex_t keeper_lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t keeper_wake;
static pthread_t keeper_thread;
static int keeper_running, keeper_stop;
static struct cow_nfs_root *roots;
static struct cow_nfs_bind *retired;

void cow_nfs_keeper_retire(struct cow_nfs_bind *b)
{
	pthread_mutex_lock(&keeper_lock);
	b->next = retired;
	retired = b;
	if (keeper_running)
		pthread_cond_signal(&keeper_wake);
	pthread_mutex_unlock(&keeper_lock);
}

void cow_nfs_keeper_drain(void)
{
	/* Held while detaching: who comes back finds also those done that another thread began. */
	pthread_mutex_lock(&drain_lock);
	pthread_mutex_lock(&keeper_lock);
	struct cow_nfs_bind *b = retired;
	retired = NULL;
	pthread_mutex_unlock(&keeper_lock);
	while (b) {
		struct cow_nfs_bind *next = b->next;
		cow_nfs_bind_free(b);
		b = next;
	}
	pthread_mutex_unlock(&drain_lock);
}

/* The root after @r in the list with a reference; the first one after NULL. A root that left the
 * list meanwhile ends the round early: the next comes in a second. */
static struct cow_nfs_root *next_root(const struct cow_nfs_root *r)
{
	pthread_mutex_lock(&keeper_lock);
	struct cow_nfs_root *n = roots;
	if (r) {
		while (n && n != r)
			n = n->next;
		n = n ? n->next : NULL;
	}
	if (n)
		cow_nfs_root_get(n);
	pthread_mutex_unlock(&keeper_lock);
	return n;
}

static void (*log_refused)(const char *text);

void cow_nfs_set_refused_log(void (*log)(const char *text))
{
	log_refused = log;
}

static void tick_all(void)
{
	uint64_t now = cow_now_ms();
	struct cow_nfs_root *r = next_root(NULL);
	while (r) {
		cow_nfs_root_tick(r, now);
		struct cow_nfs_root *n = next_root(r);
		cow_nfs_root_put(r);
		r = n;
	}
	if (log_refused)
		cow_refuse_tick(now, log_refused);
}

/* Wait for something to detach, the end, or the next round. Return: 1 when a round is due. */
static int wait_for_work(struct timespec *due)
{
	int rc = 0;
	pthread_mutex_lock(&keeper_lock);
	while (!keeper_stop && !retired && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&keeper_wake, &keeper_lock, due);
	pthread_mutex_unlock(&keeper_lock);
	if (rc != ETIMEDOUT)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, due);
	due->tv_sec += 1;
	return 1;
}

static void *keeper_main(void *arg)
{
	struct timespec due;
	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += 1;
	(void)pthread_setname_np(pthread_self(), "cow_keeper");
	for (;;) {
		int round = wait_for_work(&due);
		cow_nfs_keeper_drain();
		pthread_mutex_lock(&keeper_lock);
		int stop = keeper_stop;
		pthread_mutex_unlock(&keeper_lock);
		if (stop)
			return NULL;
		if (round)
			tick_all();
	}
}

static int start_locked(void)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&keeper_wake, &attr);
	pthread_condattr_destroy(&attr);
	keeper_stop = 0;
	/* The server waits for its signals in a thread of its own. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&keeper_thread, NULL, keeper_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	keeper_running = rc == 0;
	return -rc;
}

int cow_nfs_keeper_add(struct cow_nfs_root *r)
{
	int rc = 0;
	pthread_mutex_lock(&admin_lock);
	pthread_mutex_lock(&keeper_lock);
	if (!keeper_running)
		rc = start_locked();
	if (rc == 0) {
		r->next = roots;
		roots = r;
	}
	pthread_mutex_unlock(&keeper_lock);
	pthread_mutex_unlock(&admin_lock);
	return rc;
}

void cow_nfs_keeper_remove(struct cow_nfs_root *r)
{
	pthread_mutex_lock(&admin_lock);
	pthread_mutex_lock(&keeper_lock);
	for (struct cow_nfs_root **p = &roots; *p; p = &(*p)->next) {
		if (*p == r) {
			*p = r->next;
			break;
		}
	}
	int last = !roots && keeper_running;
	if (last) {
		keeper_stop = 1;
		keeper_running = 0;
		pthread_cond_signal(&keeper_wake);
	}
	pthread_t t = keeper_thread;
	pthread_mutex_unlock(&keeper_lock);
	if (last)
		(void)pthread_join(t, NULL);
	pthread_mutex_unlock(&admin_lock);
}
