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
#define SPARES 4 /* of each shard: 100 KiB of an instance at most */

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

/* Numbers are the image's, nobody chooses them; handles of the upper are hashed with a key. */
static uint64_t key_hash(const struct cow_ovl_inst *i, const struct cow_key *key)
{
	if (key->kind == COW_KIND_LOWER)
		return cow_get_le64(key->bytes) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
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

/* What a new node is. */
struct born {
	struct cow_key key;
	uint64_t hash, id;
	mode_t type;
	uint32_t low;
	const struct cow_fh *up; /* NULL: it has none */
};

static struct cow_ovl_node *node_alloc(void)
{
	struct cow_ovl_node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	/* None of these can fail without attributes. */
	(void)pthread_mutex_init(&n->copying, NULL);
	(void)pthread_rwlock_init(&n->names, NULL);
	return n;
}

static void node_free(struct cow_ovl_node *n)
{
	if (!n)
		return;
	cow_delta_free(n->delta);
	(void)pthread_rwlock_destroy(&n->names);
	(void)pthread_mutex_destroy(&n->copying);
	free(n);
}

/* In a node nobody else can see; the shard's lock publishes it. */
#define reset(field, value) atomic_store_explicit(field, value, memory_order_relaxed)

/* Everything but the locks and what is zero in every node that is nobody's. */
static void node_fill(struct cow_ovl_node *n, struct cow_ovl_inst *i, const struct born *b)
{
	n->inst = i;
	n->key = b->key;
	n->hash = b->hash;
	n->id = b->id;
	n->type = b->type;
	n->low = b->low;
	if (b->up)
		n->up = *b->up;
	reset(&n->has_up, b->up != NULL);
	reset(&n->refs, 1);
}

/* Nodes come and go with every look-up: a few of each shard are kept, with their locks. */
static struct cow_ovl_node *spare_take_locked(struct cow_shard *s)
{
	struct cow_ovl_node *n = s->spare;
	if (n) {
		s->spare = n->next;
		s->nspare--;
	}
	return n;
}

/* Only one that has nothing to give back. */
static bool spare_keep_locked(struct cow_shard *s, struct cow_ovl_node *n)
{
	if (s->nspare == SPARES || n->delta || n->pin || atomic_load(&n->keep) ||
	    atomic_load(&n->fd))
		return false;
	reset(&n->opens, 0);
	reset(&n->writers, 0);
	reset(&n->bump, 0);
	reset(&n->wb_err, 0);
	reset(&n->dirty, false);
	reset(&n->orphan, false);
	reset(&n->gone, false);
	reset(&n->pinned, false);
	reset(&n->kept, false);
	reset(&n->impure_known, 0);
	n->cost = 0;
	n->cost_known = n->cost_ends = false;
	n->next = s->spare;
	s->spare = n;
	s->nspare++;
	return true;
}

void cow_nodes_free(struct cow_ovl_inst *i)
{
	for (unsigned k = 0; k < COW_NODE_SHARDS; k++) {
		struct cow_shard *s = &i->shard[k];
		while (s->spare)
			node_free(spare_take_locked(s));
		free(s->bucket);
		(void)pthread_mutex_destroy(&s->m);
	}
}

/* Find, or make: one lock where a spare node is at hand. */
static int intern(struct cow_ovl_inst *i, const struct born *b, struct cow_ovl_node **ret)
{
	struct cow_shard *s = shard_of(i, b->hash);
	struct cow_ovl_node *made = NULL;
	int r = 0;
	pthread_mutex_lock(&s->m);
	struct cow_ovl_node *n = find_locked(s, b->hash, &b->key);
	if (!n)
		made = spare_take_locked(s);
	if (!n && !made) {
		pthread_mutex_unlock(&s->m);
		made = node_alloc();
		if (!made)
			return -ENOMEM;
		pthread_mutex_lock(&s->m);
		n = find_locked(s, b->hash, &b->key);
	}
	if (!n) {
		node_fill(made, i, b);
		r = insert_locked(s, made);
	}
	if (!n && r == 0) {
		atomic_fetch_add(&i->refs, 1);
		atomic_fetch_add(&i->nodes, 1);
		n = cow_steal_ptr(&made);
	}
	pthread_mutex_unlock(&s->m);
	node_free(made);
	if (r == 0)
		*ret = n;
	return r;
}

int cow_node_intern(struct cow_ovl_inst *i, const struct cow_fh *fh, uint64_t id, mode_t type,
		    struct cow_ovl_node **ret)
{
	struct born b = {.id = id, .type = type, .up = fh};
	cow_key_of_upper(fh, &b.key);
	b.hash = key_hash(i, &b.key);
	return intern(i, &b, ret);
}

bool cow_node_linked(const struct cow_ovl_node *n)
{
	return n->low != 0 && !S_ISDIR(n->type) && cow_man_nnames(n->inst->img, n->low) > 1;
}

int cow_node_intern_low(struct cow_ovl_inst *i, uint32_t number, const struct cow_fh *up,
			struct cow_ovl_node **ret)
{
	struct cow_fh anchor;
	struct born b = {
	    .id = number, .type = cow_man_type(i->img, number), .low = number, .up = up};
	if (!up && !S_ISDIR(b.type) && cow_man_nnames(i->img, number) > 1 &&
	    cow_anchor_find(i, number, &anchor))
		up = b.up = &anchor;
	cow_key_of_number(number, &b.key);
	b.hash = key_hash(i, &b.key);
	int r = intern(i, &b, ret);
	if (r == 0 && up && !atomic_load(&(*ret)->has_up))
		cow_fd_went_up(*ret, up); /* an observer's: a server brought it up meanwhile */
	return r;
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
	if (last && atomic_load(&n->kept))
		atomic_fetch_sub(&i->kept, 1);
	bool kept = last && spare_keep_locked(s, n);
	pthread_mutex_unlock(&s->m);
	if (!last)
		return;
	if (!kept) {
		cow_fd_node_gone(n);
		cow_fd_put(n->pin);
		cow_fd_put(atomic_load(&n->keep));
		node_free(n);
	}
	atomic_fetch_sub(&i->nodes, 1);
	cow_inst_unref(i);
}

/* One that somebody outside holds, from bucket *b on, with a reference of ours in place of his. */
static struct cow_ovl_node *take_over(struct cow_ovl_inst *i, struct cow_shard *s, size_t *b)
{
	struct cow_ovl_node *found = NULL;
	pthread_mutex_lock(&s->m);
	for (; *b < s->nbucket; ++*b) {
		for (found = s->bucket[*b]; found; found = found->next)
			if (found != i->root && atomic_load(&found->opens) == 0)
				break;
		if (found)
			break;
	}
	if (found)
		atomic_store(&found->refs, 1);
	pthread_mutex_unlock(&s->m);
	return found;
}

void cow_ovl_forget_all(struct cow_ovl_inst *i)
{
	struct cow_ovl_node *n;
	for (unsigned k = 0; k < COW_NODE_SHARDS; k++) {
		size_t b = 0;
		while ((n = take_over(i, &i->shard[k], &b)))
			cow_ovl_put(n);
	}
}

uint64_t cow_ovl_id(const struct cow_ovl_node *n)
{
	return n->id;
}

mode_t cow_ovl_type(const struct cow_ovl_node *n)
{
	return n->type;
}
