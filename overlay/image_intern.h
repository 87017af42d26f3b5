/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Byte strings kept once: the same bytes added again are the same chunk. The chunks lie one after the
 * other in one buffer, which becomes a section of the manifest.
 */
#ifndef COW_OVERLAY_IMAGE_INTERN_H
#define COW_OVERLAY_IMAGE_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct cow_intern_chunk {
	uint32_t off, len;
};

struct cow_intern {
	uint8_t *bytes;
	size_t len, room;
	struct cow_intern_chunk *chunks;
	size_t count, chunks_room;
	uint32_t *slots; /* 1 + index of a chunk; 0: free */
	size_t nslots;	 /* power of two, 0 before the first chunk */
};

/* @ret: index of the chunk. Return: 0; -EFBIG the buffer would pass 4 GiB; -ENOMEM. */
int cow_intern_add(struct cow_intern *t, const void *bytes, size_t len, uint32_t *ret);
void cow_intern_done(struct cow_intern *t);

/* Counted keys to numbers: inode numbers to manifest numbers. 0 is no key and no value. */
struct cow_linkmap {
	struct cow_linkmap_slot {
		uint64_t key;
		uint64_t value;
	} * slots;
	size_t nslots, count;
};

/* Value of @key; 0: none. */
uint64_t cow_linkmap_get(const struct cow_linkmap *m, uint64_t key);
/* Not there before. Return: 0; -ENOMEM. */
int cow_linkmap_put(struct cow_linkmap *m, uint64_t key, uint64_t value);
void cow_linkmap_done(struct cow_linkmap *m);

#endif
