/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One client's root as the NFS server sees it: which engine instance answers for it right now.
 * Knows the engine and the store, and no type of the NFS server.
 *
 *	root	lives as long as the export and its cached objects do
 *	bind	one attached instance; replaced when the client's epoch changes, dropped when idle
 *
 * An operation takes the current bind, works on it and puts it back. A bind that was replaced lives
 * until its last operation is over; then the keeper thread detaches its instance.
 * Lock order: attach_lock, then lock. Neither is held while the engine works on an object, nor
 * while swapped() runs.
 */
#ifndef COW_FSAL_NFS_ROOT_H
#define COW_FSAL_NFS_ROOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "overlay/overlay.h"
#include "objects.h"
#include "snapshot/client.h"

struct cow_nfs_bind {
	atomic_uint refs;
	uint64_t
	    serial; /* unique in the process: objects remember under which bind a node was got */
	uint64_t epoch; /* of the instance */
	uint64_t seen;	/* what the epoch file held while attaching, see cow_nfs_bind_current() */
	const volatile uint64_t *now; /* the mapped epoch; outlives every bind */
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *root;
	uint8_t root_handle[COW_OVL_HANDLE_MAX];
	size_t root_handle_len;
	struct cow_nfs_bind *next; /* in the queue of binds to detach */
};

/* What is asked of the server. */
struct cow_nfs_up {
	/* The root has another content from now on; from any thread, also within an operation. */
	void (*swapped)(void *arg);
	/* Let the object of this key go, if it is not in use; from the keeper. Return: 1 it is gone. */
	int (*release)(void *arg, const uint8_t *key, size_t len);
	void *arg;
};

struct cow_nfs_root {
	atomic_uint refs;
	struct cow_store *store; /* borrowed; outlives all roots */
	struct cow_mac mac;
	const volatile uint64_t *epoch;
	atomic_uint opens;	   /* open states: keep the instance */
	_Atomic uint64_t used_ms;  /* last operation, cow_now_ms() */
	struct cow_nfs_root *next; /* list of the keeper */

	pthread_mutex_t attach_lock; /* one attach at a time; guards those up to closing */
	uint64_t last_epoch;	     /* of the last bind; 0: none yet */
	int failed;		     /* last attach's error, 0: none */
	uint64_t failed_ms, failed_epoch;
	uint64_t busy_ms; /* since when the root is in use elsewhere; 0: it is not */
	int busy_told;
	int closing; /* no attach any more */

	pthread_rwlock_t lock; /* guards bind */
	struct cow_nfs_bind *bind;

	/* One is held while its call of @up runs; @up changes under both. */
	pthread_mutex_t release_lock, swapped_lock;
	struct cow_nfs_up up;
	struct cow_objects objects;

	_Atomic uint64_t seen_ms;  /* when addr was last taken down; 0: never */
	pthread_mutex_t seen_lock; /* guards the last caller */
	uint64_t written_ms;	   /* when it was last written into the store */
	char addr[46];
	uint64_t
	    refused; /* requests not yet in the store; this and the next guarded by seen_lock */
	uint64_t refused_ms; /* when they were last written there */
	char refused_addr[46];
};

/*
 * cow_nfs_root_new - root of client @mac; attaches nothing. The keeper looks after it from now on.
 * @up: copied.
 * Return: 0; -ENOENT no such client.
 */
int cow_nfs_root_new(struct cow_store *store, const struct cow_mac *mac,
		     const struct cow_nfs_up *up, struct cow_nfs_root **ret, struct cow_err *err);
struct cow_nfs_root *cow_nfs_root_get(struct cow_nfs_root *r);
void cow_nfs_root_put(struct cow_nfs_root *r); /* NULL is fine */

/* No call of @up after this returns. */
void cow_nfs_root_quiet(struct cow_nfs_root *r);

/* No further attach, no further call of @up; the instance is detached when it returns. */
void cow_nfs_root_shut(struct cow_nfs_root *r);

/*
 * cow_nfs_root_bind - the bind to work on; attaches when there is none or the epoch has changed.
 * Return: 0, caller puts; -EBUSY the root is in use elsewhere (ask again later); -ENOENT the client
 * is gone; -ESHUTDOWN; other errors of cow_client_attach(). A failure is remembered for half a
 * second, that the root is in use for a tenth of that.
 */
int cow_nfs_root_bind(struct cow_nfs_root *r, struct cow_nfs_bind **ret);
void cow_nfs_bind_put(struct cow_nfs_bind *b); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_nfs_bind, cow_nfs_bind_put)
#define cow_autobind COW_CLEANUP(cow_auto_cow_nfs_bind_put) struct cow_nfs_bind *

/* True while the client's root is still the one of this bind. */
int cow_nfs_bind_current(const struct cow_nfs_bind *b);

/* Is @h (engine handle) the root directory of this bind? */
int cow_nfs_bind_is_root(const struct cow_nfs_bind *b, const uint8_t *h, size_t len);

/* A request came from @addr (text). Worth calling once a second, when seen_due() says so. */
int cow_nfs_root_seen_due(const struct cow_nfs_root *r);
void cow_nfs_root_seen(struct cow_nfs_root *r, const char *addr);

/* A request of @addr (text) for this root was refused: counted in the client's state/refused. */
void cow_nfs_root_refused(struct cow_nfs_root *r, const char *addr);

/* -------------------------------------------------- for the keeper (keeper.c) */

#define COW_NFS_IDLE_S 600	  /* default of the next */
#define COW_NFS_STATE_MS 30000ull /* state/nfs is written at most every */

/* An instance nobody used for so long, and of which nothing is open, is detached. Set before the
 * first root is made. */
void cow_nfs_set_idle_s(unsigned seconds);

/* Where a failed attach is told, once per cause and root. Set before the first root is made. */
void cow_nfs_set_log(void (*log)(const char *text));

/* Where refused requests are told (refuse.h). Set before the first root is made. */
void cow_nfs_set_refused_log(void (*log)(const char *text));

/* One round: drop a replaced or idle bind, write state/nfs. */
void cow_nfs_root_tick(struct cow_nfs_root *r, uint64_t now_ms);

/* Detach the instance and free. Called by the keeper's queue only. */
void cow_nfs_bind_free(struct cow_nfs_bind *b);

int cow_nfs_keeper_add(struct cow_nfs_root *r);	    /* starts the thread with the first root */
void cow_nfs_keeper_remove(struct cow_nfs_root *r); /* ends it with the last */
void cow_nfs_keeper_retire(struct cow_nfs_bind *b); /* detach soon */
void cow_nfs_keeper_drain(void);		    /* detach all that are queued, now */

#endif
