/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <string.h>

#include "objects.h"

#define REST_MS 10000ull

static void ring_init(struct cow_object *head)
{
	head->next = head->prev = head;
}

static void ring_append(struct cow_object *head, struct cow_object *o)
{
	o->prev = head->prev;
	o->next = head;
	head->prev->next = o;
	head->prev = o;
}

static void ring_remove(struct cow_object *o)
{
	o->prev->next = o->next;
	o->next->prev = o->prev;
	o->next = o->prev = NULL;
}

void cow_objects_init(struct cow_objects *l)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	ring_init(&l->live);
	ring_init(&l->dead);
}

void cow_objects_destroy(struct cow_objects *l)
{
	pthread_mutex_destroy(&l->lock);
}

static void bury_locked(struct cow_objects *l, struct cow_object *o)
{
	o->dead = 1;
	ring_append(&l->dead, o);
	l->n_dead++;
	l->passed = 0;
	l->rest_ms = 0;
}

void cow_objects_swap(struct cow_objects *l, uint64_t epoch)
{
	pthread_mutex_lock(&l->lock);
	if (l->epoch != epoch) {
		while (l->live.next != &l->live) {
			struct cow_object *o = l->live.next;
			ring_remove(o);
			bury_locked(l, o);
		}
		l->epoch = epoch;
	}
	pthread_mutex_unlock(&l->lock);
}

void cow_objects_add(struct cow_objects *l, struct cow_object *o, uint64_t epoch)
{
	pthread_mutex_lock(&l->lock);
	o->dead = 0;
	if (epoch == l->epoch)
		ring_append(&l->live, o);
	else
		bury_locked(l, o);
	pthread_mutex_unlock(&l->lock);
}

void cow_objects_remove(struct cow_objects *l, struct cow_object *o)
{
	pthread_mutex_lock(&l->lock);
	if (o->next) { /* else never listed; a swap moves it from ring to ring */
		ring_remove(o);
		l->n_dead -= o->dead;
	}
	pthread_mutex_unlock(&l->lock);
}

/* The next dead one's key; it goes to the end of the ring. Return: its length, 0 none is due. */
static size_t next_key(struct cow_objects *l, uint64_t now_ms, uint8_t key[COW_OBJECT_KEY_MAX])
{
	size_t len = 0;
	pthread_mutex_lock(&l->lock);
	struct cow_object *o = l->dead.next;
	if (o != &l->dead && now_ms >= l->rest_ms) {
		len = o->key_len;
		memcpy(key, o->key, len);
		ring_remove(o);
		ring_append(&l->dead, o);
	}
	pthread_mutex_unlock(&l->lock);
	return len;
}

static void took(struct cow_objects *l, uint64_t now_ms, int gone)
{
	pthread_mutex_lock(&l->lock);
	l->passed = gone ? 0 : l->passed + 1;
	if (l->passed >= l->n_dead) {
		l->passed = 0;
		l->rest_ms = now_ms + REST_MS;
	}
	pthread_mutex_unlock(&l->lock);
}

unsigned cow_objects_release(struct cow_objects *l, uint64_t now_ms, unsigned max,
			     int (*release)(void *arg, const uint8_t *key, size_t len), void *arg)
{
	uint8_t key[COW_OBJECT_KEY_MAX];
	unsigned n = 0;
	for (; n < max; n++) {
		size_t len = next_key(l, now_ms, key);
		if (!len)
			break;
		took(l, now_ms, release(arg, key, len));
	}
	return n;
}
