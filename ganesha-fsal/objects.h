/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The objects the server's cache holds of one client's root, so that those of a root that was replaced
 * can be taken out of it: the cache keeps them until it is full of other clients' objects, some 2 KiB
 * each. Knows no type of the NFS server.
 */
#ifndef COW_FSAL_OBJECTS_H
#define COW_FSAL_OBJECTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define COW_OBJECT_KEY_MAX 64u

/* Part of an object. The key is the cache's and stays as it is while the object is listed. */
struct cow_object {
	struct cow_object *next, *prev;
	const uint8_t *key;
	uint8_t key_len;
	uint8_t dead;
};

struct cow_objects {
	pthread_mutex_t lock;	      /* guards all; takes no other */
	uint64_t epoch;		      /* of the live ones */
	struct cow_object live, dead; /* heads of rings */
	unsigned n_dead;
	unsigned passed;  /* of the dead, since one was last let go */
	uint64_t rest_ms; /* nothing could be let go: not before */
};

void cow_objects_init(struct cow_objects *l);
void cow_objects_destroy(struct cow_objects *l);

/* Another tree is served from now on: what is listed is dead. */
void cow_objects_swap(struct cow_objects *l, uint64_t epoch);

/* @o belongs to the tree of @epoch; the caller has filled in its key. */
void cow_objects_add(struct cow_objects *l, struct cow_object *o, uint64_t epoch);
void cow_objects_remove(struct cow_objects *l, struct cow_object *o);

/*
 * cow_objects_release - have dead objects let go: calls @release with the key of one after the other, at
 * most @max of them. Those in use stay and are tried again later; when all that are left are in use, not
 * before ten seconds have passed.
 * @release: returns 1 when the object is gone or going. Called without a lock.
 * Return: how many calls.
 */
unsigned cow_objects_release(struct cow_objects *l, uint64_t now_ms, unsigned max,
			     int (*release)(void *arg, const uint8_t *key, size_t len), void *arg);

#endif
