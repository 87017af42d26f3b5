/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attach, replace and drop a client's instance behind the server's back. See nfs_root.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "nfs_root.h"

#define RELEASE_BATCH 32u
#define RELEASE_ROUND 20000u /* objects of one root in one round of the keeper */
#define RETRY_MS 500	     /* a root that could not be attached is not tried again sooner */
#define RETRY_BUSY_MS 50
#define BUSY_MS 3000 /* one that is in use elsewhere for so long is told */

static atomic_ullong last_serial;
static uint64_t idle_ms = COW_NFS_IDLE_S * 1000ull;

static void (*log_failure)(const char *text);

void cow_nfs_set_log(void (*log)(const char *text))
{
	log_failure = log;
}

void cow_nfs_set_idle_s(unsigned seconds)
{
	idle_ms = seconds * 1000ull;
}

int cow_nfs_root_new(struct cow_store *store, const struct cow_mac *mac,
		     const struct cow_nfs_up *up, struct cow_nfs_root **ret, struct cow_err *err)
{
	struct cow_nfs_root *r = calloc(1, sizeof(*r));
	if (!r)
		return cow_err_set(err, -ENOMEM, "client");
	int rc = cow_client_epoch_map(store, mac, &r->epoch, err);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->refs = 1;
	r->store = store;
	r->mac = *mac;
	r->up = *up;
	cow_objects_init(&r->objects);
	pthread_mutex_init(&r->attach_lock, NULL);
	pthread_mutex_init(&r->swapped_lock, NULL);
	pthread_mutex_init(&r->release_lock, NULL);
	pthread_mutex_init(&r->seen_lock, NULL);
	pthread_rwlock_init(&r->lock, NULL);
	rc = cow_nfs_keeper_add(r);
	if (rc < 0) {
		cow_nfs_root_put(r);
		return cow_err_set(err, rc, "start the housekeeping thread");
	}
	*ret = r;
	return 0;
}

struct cow_nfs_root *cow_nfs_root_get(struct cow_nfs_root *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void cow_nfs_root_put(struct cow_nfs_root *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	cow_nfs_bind_put(r->bind);
	cow_client_epoch_unmap(r->epoch);
	pthread_rwlock_destroy(&r->lock);
	pthread_mutex_destroy(&r->seen_lock);
	pthread_mutex_destroy(&r->release_lock);
	pthread_mutex_destroy(&r->swapped_lock);
	pthread_mutex_destroy(&r->attach_lock);
	cow_objects_destroy(&r->objects);
	free(r);
}

/* -------------------------------------------------- binds */

/*
 * A swap of the root changes the link first and the epoch file second (snapshot/client.h). Who
 * attaches between the two has the new instance while the file still holds the old value: that bind
 * stays good until the file holds a value that is neither.
 */
int cow_nfs_bind_current(const struct cow_nfs_bind *b)
{
	uint64_t now = *b->now;
	return now == b->epoch || now == b->seen;
}

int cow_nfs_bind_is_root(const struct cow_nfs_bind *b, const uint8_t *h, size_t len)
{
	return len == b->root_handle_len && !memcmp(h, b->root_handle, len);
}

void cow_nfs_bind_put(struct cow_nfs_bind *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		cow_nfs_keeper_retire(b);
}

void cow_nfs_bind_free(struct cow_nfs_bind *b)
{
	/* The root node last: it keeps the instance's memory. The result is the last sync's;
	 * whoever asked for durability had an answer of his own (COMMIT, strict mode). */
	if (b->inst)
		(void)cow_ovl_inst_close(b->inst);
	cow_ovl_put(b->root);
	free(b);
}

static int bind_new(struct cow_nfs_root *r, struct cow_nfs_bind **ret, struct cow_err *err)
{
	struct cow_nfs_bind *b = calloc(1, sizeof(*b));
	if (!b)
		return cow_err_set(err, -ENOMEM, "client");
	b->refs = 1;
	b->serial = atomic_fetch_add(&last_serial, 1) + 1;
	b->now = r->epoch;
	b->seen = *r->epoch;
	int rc = cow_client_attach(r->store, &r->mac, 0, &b->inst, err);
	if (rc == 0)
		rc = cow_ovl_root(b->inst, &b->root);
	if (rc < 0) {
		cow_nfs_bind_free(b);
		return rc;
	}
	char who[64];
	(void)snprintf(who, sizeof(who), "the NFS server, pid %d", (int)getpid());
	(void)cow_ovl_inst_hold_as(b->inst, who); /* for people; it works without */
	b->epoch = cow_ovl_inst_epoch(b->inst);
	b->root_handle_len = cow_ovl_handle(b->root, b->root_handle);
	*ret = b;
	return 0;
}

/* The current bind with a reference, or NULL. */
static struct cow_nfs_bind *bind_get(struct cow_nfs_root *r)
{
	pthread_rwlock_rdlock(&r->lock);
	struct cow_nfs_bind *b = r->bind;
	if (b && cow_nfs_bind_current(b))
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	else
		b = NULL;
	pthread_rwlock_unlock(&r->lock);
	return b;
}

/* Put @b (may be NULL) in place of the bind there is. Caller holds attach_lock. */
static void bind_set_locked(struct cow_nfs_root *r, struct cow_nfs_bind *b)
{
	pthread_rwlock_wrlock(&r->lock);
	struct cow_nfs_bind *old = r->bind;
	r->bind = b;
	pthread_rwlock_unlock(&r->lock);
	cow_nfs_bind_put(old);
}

/* The callback's lock is held so that cow_nfs_root_shut() can wait for one that is under way. */
static void tell_swapped(struct cow_nfs_root *r)
{
	pthread_mutex_lock(&r->swapped_lock);
	if (r->up.swapped)
		r->up.swapped(r->up.arg);
	pthread_mutex_unlock(&r->swapped_lock);
}

/* A root in use elsewhere is most likely one of ours whose last operation is not over: an export that was
 * removed and made again. That is told when it lasts. */
static int failure_is_news(struct cow_nfs_root *r, int rc, uint64_t now_ms)
{
	if (rc != -EBUSY) {
		r->busy_ms = 0;
		return rc < 0 && rc != r->failed;
	}
	if (!r->busy_ms) {
		r->busy_ms = now_ms;
		r->busy_told = 0;
	}
	if (r->busy_told || now_ms - r->busy_ms < BUSY_MS)
		return 0;
	r->busy_told = 1;
	return 1;
}

static int attach_locked(struct cow_nfs_root *r, int *ret_swapped)
{
	uint64_t now = cow_now_ms();
	if (r->closing)
		return -ESHUTDOWN;
	uint64_t retry = r->failed == -EBUSY ? RETRY_BUSY_MS : RETRY_MS;
	if (r->failed && now - r->failed_ms < retry && r->failed_epoch == *r->epoch)
		return r->failed;
	/* The old bind goes first: a swap back to a kept root needs that root's lock. */
	bind_set_locked(r, NULL);
	struct cow_nfs_bind *b = NULL;
	struct cow_err err = COW_ERR_INIT;
	int rc = bind_new(r, &b, &err);
	if (rc == -EBUSY) { /* most likely by our own last bind, not yet detached: wait */
		cow_nfs_keeper_drain();
		rc = bind_new(r, &b, &err);
	}
	if (failure_is_news(r, rc, now) && log_failure)
		log_failure(cow_err_str(&err));
	r->failed = rc;
	r->failed_ms = now;
	r->failed_epoch = *r->epoch;
	if (!b)
		return rc;
	*ret_swapped = r->last_epoch && r->last_epoch != b->epoch;
	r->last_epoch = b->epoch;
	cow_objects_swap(&r->objects, b->epoch);
	bind_set_locked(r, b);
	return 0;
}

int cow_nfs_root_bind(struct cow_nfs_root *r, struct cow_nfs_bind **ret)
{
	struct cow_nfs_bind *b;
	atomic_store_explicit(&r->used_ms, cow_now_ms(), memory_order_relaxed);
	/* More than one round only when the epoch changes under us. */
	for (int i = 0; i < 4; i++) {
		b = bind_get(r);
		if (b) {
			*ret = b;
			return 0;
		}
		int swapped = 0, rc = 0;
		pthread_mutex_lock(&r->attach_lock);
		b = bind_get(r); /* another thread was faster */
		if (!b)
			rc = attach_locked(r, &swapped);
		pthread_mutex_unlock(&r->attach_lock);
		cow_nfs_bind_put(b);
		if (swapped)
			tell_swapped(r);
		if (rc < 0)
			return rc;
	}
	return -EBUSY;
}

void cow_nfs_root_quiet(struct cow_nfs_root *r)
{
	pthread_mutex_lock(&r->release_lock);
	pthread_mutex_lock(&r->swapped_lock);
	r->up = (struct cow_nfs_up){0};
	pthread_mutex_unlock(&r->swapped_lock);
	pthread_mutex_unlock(&r->release_lock);
}

void cow_nfs_root_shut(struct cow_nfs_root *r)
{
	pthread_mutex_lock(&r->attach_lock);
	r->closing = 1;
	bind_set_locked(r, NULL);
	pthread_mutex_unlock(&r->attach_lock);
	cow_nfs_root_quiet(r);
	cow_nfs_keeper_remove(r);
	cow_nfs_keeper_drain();
}

/* -------------------------------------------------- housekeeping */

int cow_nfs_root_seen_due(const struct cow_nfs_root *r)
{
	uint64_t seen = atomic_load_explicit(&r->seen_ms, memory_order_relaxed);
	return !seen || cow_now_ms() - seen >= 1000;
}

void cow_nfs_root_seen(struct cow_nfs_root *r, const char *addr)
{
	pthread_mutex_lock(&r->seen_lock);
	r->seen_ms = cow_now_ms();
	(void)snprintf(r->addr, sizeof(r->addr), "%s", addr);
	pthread_mutex_unlock(&r->seen_lock);
}

void cow_nfs_root_refused(struct cow_nfs_root *r, const char *addr)
{
	pthread_mutex_lock(&r->seen_lock);
	r->refused++;
	(void)snprintf(r->refused_addr, sizeof(r->refused_addr), "%s", addr);
	pthread_mutex_unlock(&r->seen_lock);
}

static void write_refused(struct cow_nfs_root *r, uint64_t now_ms)
{
	char addr[sizeof(r->refused_addr)];
	uint64_t more = 0;
	pthread_mutex_lock(&r->seen_lock);
	if (r->refused && (!r->refused_ms || now_ms - r->refused_ms >= COW_NFS_STATE_MS)) {
		more = r->refused;
		r->refused = 0;
		r->refused_ms = now_ms;
		memcpy(addr, r->refused_addr, sizeof(addr));
	}
	pthread_mutex_unlock(&r->seen_lock);
	/* What cannot be written is in the server's log all the same. */
	if (more)
		(void)cow_client_state_refused(r->store, &r->mac, cow_realtime_s(), addr, more,
					       NULL);
}

static void write_state(struct cow_nfs_root *r, uint64_t now_ms)
{
	char addr[sizeof(r->addr)];
	pthread_mutex_lock(&r->seen_lock);
	int due = r->seen_ms && (!r->written_ms || (r->seen_ms > r->written_ms &&
						    now_ms - r->written_ms >= COW_NFS_STATE_MS));
	if (due)
		r->written_ms = now_ms;
	memcpy(addr, r->addr, sizeof(addr));
	pthread_mutex_unlock(&r->seen_lock);
	/* A lost record only makes a client look idle; the next one comes in half a minute. */
	if (due)
		(void)cow_client_state_nfs(r->store, &r->mac, cow_realtime_s(), addr, NULL);
}

/* Some at a time, so that cow_nfs_root_quiet() does not wait for long. Not under swapped_lock, which
 * operations take while they hold a directory's content lock: letting go takes such locks too. */
static void release_old(struct cow_nfs_root *r, uint64_t now_ms)
{
	unsigned n, all = 0;
	do {
		pthread_mutex_lock(&r->release_lock);
		n = r->up.release ? cow_objects_release(&r->objects, now_ms, RELEASE_BATCH,
							r->up.release, r->up.arg)
				  : 0;
		pthread_mutex_unlock(&r->release_lock);
		all += n;
	} while (n == RELEASE_BATCH && all < RELEASE_ROUND);
}

void cow_nfs_root_tick(struct cow_nfs_root *r, uint64_t now_ms)
{
	int swapped = 0;
	pthread_mutex_lock(&r->attach_lock);
	pthread_rwlock_rdlock(&r->lock);
	const struct cow_nfs_bind *b = r->bind;
	int stale = b && !cow_nfs_bind_current(b);
	int idle = b && !r->opens && now_ms > r->used_ms + idle_ms;
	pthread_rwlock_unlock(&r->lock);
	if (stale || idle)
		bind_set_locked(r, NULL);
	swapped = stale && !r->closing;
	pthread_mutex_unlock(&r->attach_lock);
	if (swapped)
		tell_swapped(r);
	write_state(r, now_ms);
	write_refused(r, now_ms);
	release_old(r, now_ms);
}
