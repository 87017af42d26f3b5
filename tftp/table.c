/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Hash table of slots: see table.h.
 */
#include "table.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS 8192u /* power of two; twice the live transfers allowed */

int cow_tftp_table_init(struct cow_tftp_table *tb, uint64_t seed)
{
	tb->buckets = calloc(BUCKETS, sizeof(struct cow_tftp_slot *));
	tb->seed = seed;
	tb->count = 0;
	return tb->buckets ? 0 : -ENOMEM;
}

void cow_tftp_table_done(struct cow_tftp_table *tb)
{
	free(tb->buckets);
	tb->buckets = NULL;
}

static struct cow_tftp_slot **bucket(const struct cow_tftp_table *tb, const struct cow_tftp_peer *p)
{
	uint64_t x = cow_tftp_addr_hash(&p->addr, tb->seed ^ p->port);

	return &tb->buckets[x % BUCKETS];
}

static int same_peer(const struct cow_tftp_peer *a, const struct cow_tftp_peer *b)
{
	return a->port == b->port && a->scope == b->scope && IN6_ARE_ADDR_EQUAL(&a->addr, &b->addr);
}

struct cow_tftp_slot *cow_tftp_table_find(const struct cow_tftp_table *tb,
					  const struct cow_tftp_peer *peer)
{
	struct cow_tftp_slot *s = *bucket(tb, peer);

	while (s && !same_peer(&s->peer, peer))
		s = s->next;
	return s;
}

struct cow_tftp_slot *cow_tftp_table_add(struct cow_tftp_table *tb,
					 const struct cow_tftp_peer *peer)
{
	struct cow_tftp_slot **b = bucket(tb, peer);
	struct cow_tftp_slot *s = tb->count < COW_TFTP_SLOTS_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	s->peer = *peer;
	s->next = *b;
	*b = s;
	tb->count++;
	return s;
}

void cow_tftp_table_remove(struct cow_tftp_table *tb, struct cow_tftp_slot *s)
{
	struct cow_tftp_slot **p = bucket(tb, &s->peer);

	while (*p && *p != s)
		p = &(*p)->next;
	if (*p) {
		*p = s->next;
		tb->count--;
	}
	free(s);
}

struct cow_tftp_slot *cow_tftp_table_any(const struct cow_tftp_table *tb)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		if (tb->buckets[i])
			return tb->buckets[i];
	}
	return NULL;
}
