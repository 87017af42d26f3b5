/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two hash tables with open addressing, at most half full, that only grow. See image_intern.h.
 */
#include "image_intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "grow.h"

#define FIRST_SLOTS 64

static size_t intern_slot(const struct cow_intern *t, const void *bytes, size_t len)
{
	size_t mask = t->nslots - 1;
	for (size_t k = (size_t)XXH3_64bits(bytes, len) & mask;; k = (k + 1) & mask) {
		if (t->slots[k] == 0)
			return k;
		const struct cow_intern_chunk *c = &t->chunks[t->slots[k] - 1];
		if (c->len == len && memcmp(t->bytes + c->off, bytes, len) == 0)
			return k;
	}
}

static int intern_rehash(struct cow_intern *t)
{
	size_t n = t->nslots ? t->nslots * 2 : FIRST_SLOTS;
	uint32_t *slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->nslots = n;
	for (size_t k = 0; k < t->count; k++) {
		const struct cow_intern_chunk *c = &t->chunks[k];
		t->slots[intern_slot(t, t->bytes + c->off, c->len)] = (uint32_t)k + 1;
	}
	return 0;
}

int cow_intern_add(struct cow_intern *t, const void *bytes, size_t len, uint32_t *ret)
{
	int r = cow_grow(&t->bytes, &t->room, t->len + len);
	if (r == 0)
		r = cow_grow(&t->chunks, &t->chunks_room, t->count + 1);
	if (r == 0 && t->count >= t->nslots / 2)
		r = intern_rehash(t);
	if (r < 0)
		return r;
	size_t slot = intern_slot(t, bytes, len);
	if (t->slots[slot] != 0) {
		*ret = t->slots[slot] - 1;
		return 0;
	}
	if (t->len + len > UINT32_MAX || t->count >= UINT32_MAX - 1)
		return -EFBIG;
	if (len)
		memcpy(t->bytes + t->len, bytes, len);
	t->chunks[t->count] =
	    (struct cow_intern_chunk){.off = (uint32_t)t->len, .len = (uint32_t)len};
	t->len += len;
	*ret = (uint32_t)t->count++;
	t->slots[slot] = *ret + 1;
	return 0;
}

void cow_intern_done(struct cow_intern *t)
{
	free(t->bytes);
	free(t->chunks);
	free(t->slots);
	*t = (struct cow_intern){0};
}

static size_t linkmap_slot(const struct cow_linkmap *m, uint64_t key)
{
	size_t mask = m->nslots - 1;
	size_t k = (size_t)XXH3_64bits(&key, sizeof(key)) & mask;
	while (m->slots[k].key != 0 && m->slots[k].key != key)
		k = (k + 1) & mask;
	return k;
}

uint64_t cow_linkmap_get(const struct cow_linkmap *m, uint64_t key)
{
	return m->nslots ? m->slots[linkmap_slot(m, key)].value : 0;
}

static int linkmap_rehash(struct cow_linkmap *m)
{
	struct cow_linkmap old = *m;
	size_t n = old.nslots ? old.nslots * 2 : FIRST_SLOTS;
	struct cow_linkmap_slot *slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	m->slots = slots;
	m->nslots = n;
	for (size_t k = 0; k < old.nslots; k++)
		if (old.slots[k].key != 0)
			m->slots[linkmap_slot(m, old.slots[k].key)] = old.slots[k];
	free(old.slots);
	return 0;
}

int cow_linkmap_put(struct cow_linkmap *m, uint64_t key, uint64_t value)
{
	if (m->count >= m->nslots / 2) {
		int r = linkmap_rehash(m);
		if (r < 0)
			return r;
	}
	m->slots[linkmap_slot(m, key)] = (struct cow_linkmap_slot){.key = key, .value = value};
	m->count++;
	return 0;
}

void cow_linkmap_done(struct cow_linkmap *m)
{
	free(m->slots);
	*m = (struct cow_linkmap){0};
}
