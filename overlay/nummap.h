/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A map from numbers of image objects to where they are in the upper. Threads: one at a time.
 */
#ifndef COW_OVERLAY_NUMMAP_H
#define COW_OVERLAY_NUMMAP_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct cow_numplace {
	uint32_t number; /* 0: free slot */
	struct cow_fh fh;
	char *name; /* of an anchor in work/index; NULL: none; owned by the map */
};
struct cow_nummap {
	struct cow_numplace *slot;
	size_t nslot, used;
};

/* Insert or replace; @name is taken over, also on failure. Return: 0 or -ENOMEM. */
int cow_nummap_put(struct cow_nummap *m, uint32_t number, const struct cow_fh *fh, char *name);
/* NULL: not there. Valid until the next change. */
const struct cow_numplace *cow_nummap_get(const struct cow_nummap *m, uint32_t number);
void cow_nummap_remove(struct cow_nummap *m, uint32_t number);
void cow_nummap_clear(struct cow_nummap *m);

#endif
