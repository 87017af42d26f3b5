/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Open addressing with linear probing; at most half full.
 */
#include "nummap.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_FIRST 32

static size_t home_of(const struct cow_nummap *m, uint32_t number)
{
	return (size_t)(number * UINT32_C(2654435761)) & (m->nslot - 1); /* Knuth 6.4 */
}

static struct cow_numplace *find(const struct cow_nummap *m, uint32_t number)
{
	size_t k = home_of(m, number);
	while (m->slot[k].number != 0 && m->slot[k].number != number)
		k = (k + 1) & (m->nslot - 1);
	return &m->slot[k];
}

static int grow(struct cow_nummap *m)
{
	struct cow_nummap bigger = {.nslot = m->nslot ? m->nslot * 2 : SLOTS_FIRST,
				    .used = m->used};
	bigger.slot = calloc(bigger.nslot, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t k = 0; k < m->nslot; k++)
		if (m->slot[k].number != 0)
			*find(&bigger, m->slot[k].number) = m->slot[k];
	free(m->slot);
	*m = bigger;
	return 0;
}

int cow_nummap_put(struct cow_nummap *m, uint32_t number, const struct cow_fh *fh, char *name)
{
	if (m->used * 2 >= m->nslot && grow(m) < 0) {
		free(name);
		return -ENOMEM;
	}
	struct cow_numplace *p = find(m, number);
	if (p->number == 0)
		m->used++;
	else
		free(p->name);
	*p = (struct cow_numplace){.number = number, .fh = *fh, .name = name};
	return 0;
}

const struct cow_numplace *cow_nummap_get(const struct cow_nummap *m, uint32_t number)
{
	if (m->nslot == 0)
		return NULL;
	const struct cow_numplace *p = find(m, number);
	return p->number == 0 ? NULL : p;
}

/* Close the gap: what probing would no longer reach moves into it. */
void cow_nummap_remove(struct cow_nummap *m, uint32_t number)
{
	struct cow_numplace *gap = m->nslot ? find(m, number) : NULL;
	if (!gap || gap->number == 0)
		return;
	free(gap->name);
	m->used--;
	size_t at = (size_t)(gap - m->slot), mask = m->nslot - 1;
	for (size_t k = (at + 1) & mask; m->slot[k].number != 0; k = (k + 1) & mask) {
		size_t home = home_of(m, m->slot[k].number);
		if (((k - home) & mask) >= ((k - at) & mask)) {
			m->slot[at] = m->slot[k];
			at = k;
		}
	}
	m->slot[at] = (struct cow_numplace){0};
}

void cow_nummap_clear(struct cow_nummap *m)
{
	for (size_t k = 0; k < m->nslot; k++)
		free(m->slot[k].name);
	free(m->slot);
	*m = (struct cow_nummap){0};
}
