/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Nodes: one per object of the tree that somebody holds, found by its key (the handle of the upper
 * file system, or its number in the image) in a sharded hash table. A table entry is not a
 * reference; the last put takes it out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/checked.h"
#include "common/siphash.h"
#include "internal.h"

#define BUCKETS_FIRST 16

void cow_key_of_upper(const struct cow_fh *fh, struct cow_key *ret)
{
	*ret = (struct cow_key){.kind = COW_KIND_UPPER, .type = fh->type, .len = fh->len};
	memcpy(ret->bytes, fh->bytes, fh->len);
}

void cow_key_of_number(uint32_t number, struct cow_key *ret)
{
	*ret = (struct cow_key){.kind = COW_KIND_LOWER, .len = 8};
	cow_put_le64(ret->bytes, number);
}

static uint64_t key_hash(const struct cow_ovl_inst *i, const struct cow_key *key)
{
	return cow_siphash24(i->rec.mac_key, key, sizeof(*key)); /* the tail of bytes[] is zeros */
}

static struct cow_shard *shard_of(struct cow_ovl_inst *i, uint64_t hash)
{
	return &i->shard[hash % COW_NODE_SHARDS];
}

static struct cow_ovl_node **bucket_of(struct cow_shard *s, uint64_t hash)
{
	return &s->bucket[(hash / COW_NODE_SHARDS) & (s->nbucket - 1)];
}

static struct cow_ovl_node *find_locked(struct cow_shard *s, uint64_t hash,
					const struct cow_key *key)
{
	if (s->nbucket == 0)
		return NULL;
	for (struct cow_ovl_node *n = *bucket_of(s, hash); n; n = n->next)
		if (n->hash == hash && memcmp(&n->key, key, sizeof(*key)) == 0) {
			atomic_fetch_add(&n->refs, 1);
			return n;
		}
	return NULL;
}

/* Double the table. Without memory the chains get longer, unless there is no table at all. */
static int grow_locked(struct cow_shard *s)
{
	size_t want = s->nbucket ? s->nbucket * 2 : BUCKETS_FIRST;
	if (s->count < s->nbucket)
		return 0;
	struct cow_ovl_node **old = s->bucket;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is what is meant */
	struct cow_ovl_node **bucket = calloc(want, sizeof(*bucket));
	if (!bucket)
		return s->nbucket ? 0 : -ENOMEM;
	size_t nold = s->nbucket;
	s->bucket = bucket;
	s->nbucket = want;
	for (size_t k = 0; k < nold; k++)
		for (struct cow_ovl_node *n = old[k], *next; n; n = next) {
			struct cow_ovl_node **b = bucket_of(s, n->hash);
			next = n->next;
			n->next = *b;
			*b = n;
		}
	free(old);
	return 0;
}

static int insert_locked(struct cow_shard *s, struct cow_ovl_node *n)
{
	int r = grow_locked(s);
	if (r < 0)
		return r;
	struct cow_ovl_node **b = bucket_of(s, n->hash);
	n->next = *b;
	*b = n;
	s->count++;
	return 0;
}

static void remove_locked(struct cow_shard *s, struct cow_ovl_node *n)
{
	struct cow_ovl_node **p = bucket_of(s, n->hash);
	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	s->count--;
}

struct cow_ovl_node *cow_node_find(struct cow_ovl_inst *i, const struct cow_key *key)
{
	uint64_t hash = key_hash(i, key);
	struct cow_shard *s = shard_of(i, hash);
	pthread_mutex_lock(&s->m);
	struct cow_ovl_node *n = find_locked(s, hash, key);
	pthread_mutex_unlock(&s->m);
	return n;
}

static struct cow_ovl_node *node_new(struct cow_ovl_inst *i, const struct cow_key *key, uint64_t id,
				     mode_t type)
{
	struct cow_ovl_node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->inst = i;
	n->key = *key;
	n->hash = key_hash(i, key);
	n->id = id;
	n->type = type;
	atomic_init(&n->refs, 1);
	/* None of these can fail without attributes. */
	(void)pthread_mutex_init(&n->copying, NULL);
	(void)pthread_rwlock_init(&n->names, NULL);
	return n;
}

static void node_free(struct cow_ovl_node *n)
{
	cow_delta_free(n->delta);
	(void)pthread_rwlock_destroy(&n->names);
	(void)pthread_mutex_destroy(&n->copying);
	free(n);
}

/* Put @made in the table, or give the one that was faster; @made is taken over. */
static int publish(struct cow_ovl_inst *i, struct cow_ovl_node *made, struct cow_ovl_node **ret)
{
	struct cow_shard *s = shard_of(i, made->hash);
	pthread_mutex_lock(&s->m);
	struct cow_ovl_node *n = find_locked(s, made->hash, &made->key);
	int r = n ? 0 : insert_locked(s, made);
	if (!n && r == 0) {
		atomic_fetch_add(&i->refs, 1);
		atomic_fetch_add(&i->nodes, 1);
	}
	pthread_mutex_unlock(&s->m);
	if (n || r < 0)
		node_free(made);
	if (r < 0)
		return r;
	*ret = n ? n : made;
	return 0;
}

int cow_node_intern(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t id, mode_t type,
		    struct cow_ovl_node **ret)
{
	struct cow_key key;
	cow_key_of_upper(fh, &key);
	struct cow_ovl_node *n = cow_node_find(i, &key);
	if (n) {
		*ret = n;
		return 0;
	}
	struct cow_ovl_node *made = node_new(i, &key, id, type);
	if (!made)
		return -ENOMEM;
	made->up = *fh;
	atomic_init(&made->has_up, true);
	return publish(i, made, ret);
}

bool cow_node_linked(const struct cow_ovl_node *n)
{
	return n->low != 0 && !S_ISDIR(n->type) && cow_man_nnames(n->inst->img, n->low) > 1;
}

int cow_node_intern_low(struct cow_ovl_inst *i, uint32_t number, const struct cow_fh *up,
			struct cow_ovl_node **ret)
{
	struct cow_key key;
	struct cow_fh anchor;
	cow_key_of_number(number, &key);
	struct cow_ovl_node *n = cow_node_find(i, &key);
	if (!n) {
		struct cow_ovl_node *made = node_new(i, &key, number, cow_man_type(i->img, number));
		if (!made)
			return -ENOMEM;
		made->low = number;
		if (!up && cow_node_linked(made) && cow_anchor_find(i, number, &anchor))
			up = &anchor;
		if (up) {
			made->up = *up;
			atomic_init(&made->has_up, true);
		}
		int r = publish(i, made, &n);
		if (r < 0)
			return r;
	}
	if (up && !atomic_load(&n->has_up))
		cow_fd_went_up(n, up); /* an observer's: a server brought it up meanwhile */
	*ret = n;
	return 0;
}

struct cow_ovl_node *cow_ovl_get(struct cow_ovl_node *n)
{
	atomic_fetch_add(&n->refs, 1);
	return n;
}

bool cow_node_try_get(struct cow_ovl_node *n)
{
	unsigned refs = atomic_load(&n->refs);
	while (refs > 0)
		if (atomic_compare_exchange_weak(&n->refs, &refs, refs + 1))
			return true;
	return false;
}

/* Drop a reference that is not the last one. */
static bool put_shared(struct cow_ovl_node *n)
{
	unsigned refs = atomic_load(&n->refs);
	while (refs > 1)
		if (atomic_compare_exchange_weak(&n->refs, &refs, refs - 1))
			return true;
	return false;
}

void cow_ovl_put(struct cow_ovl_node *n)
{
	if (!n || put_shared(n))
		return;
	struct cow_ovl_inst *i = n->inst;
	struct cow_shard *s = shard_of(i, n->hash);
	pthread_mutex_lock(&s->m);
	bool last = atomic_fetch_sub(&n->refs, 1) == 1;
	if (last)
		remove_locked(s, n);
	pthread_mutex_unlock(&s->m);
	if (!last)
		return;
	cow_fd_node_gone(n);
	cow_fd_put(n->pin);
	node_free(n);
	atomic_fetch_sub(&i->nodes, 1);
	cow_inst_unref(i);
}

uint64_t cow_ovl_id(const struct cow_ovl_node *n)
{
	return n->id;
}

mode_t cow_ovl_type(const struct cow_ovl_node *n)
{
	return n->type;
}
