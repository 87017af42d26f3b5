/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Arrays that grow by doubling.
 */
#ifndef COW_OVERLAY_GROW_H
#define COW_OVERLAY_GROW_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/checked.h"

/* Room for @need elements behind *array, which is owned and valid also after a failure; new elements
 * are not initialised. Return: the array's new place; NULL: no memory. */
static inline void *cow_grow_(void *array, size_t *room, size_t need, size_t size)
{
	size_t want = *room ? *room : 16;
	while (want < need)
		if (!cow_mul_ok(want, 2, &want))
			return NULL;
	void *p = reallocarray(array, want, size);
	if (p)
		*room = want;
	return p;
}

/* cow_grow(&array, &room, need): 0 or -ENOMEM. */
#define cow_grow(parray, proom, need)                                                              \
	({                                                                                         \
		__typeof__(parray) pa_ = (parray);                                                 \
		size_t need_ = (need);                                                             \
		int r_ = 0;                                                                        \
		if (need_ > *(proom) || !*pa_) {                                                   \
			void *p_ = cow_grow_(*pa_, (proom), need_, sizeof(**pa_));                 \
			if (p_)                                                                    \
				*pa_ = p_;                                                         \
			else                                                                       \
				r_ = -ENOMEM;                                                      \
		}                                                                                  \
		r_;                                                                                \
	})

#endif
