/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive_plan.h"

static const uint8_t *digest_of(const struct cow_ovl_image *img, uint32_t number)
{
	struct cow_ovl_image_object o;
	return cow_ovl_image_object(img, number, &o) ? o.digest : NULL;
}

static int by_digest(const void *pa, const void *pb, void *img)
{
	const uint32_t *a = pa, *b = pb;
	int order = memcmp(digest_of(img, *a), digest_of(img, *b), COW_OVM_ID_LEN);
	return order ? order : (*a > *b) - (*a < *b);
}

int cow_arc_digests_make(const struct cow_ovl_image *img, struct cow_arc_digests *ret)
{
	struct cow_ovl_image_info info;
	struct cow_ovl_image_object o;
	cow_ovl_image_info(img, &info);
	uint32_t *list = calloc(info.inodes, sizeof(*list));
	if (!list)
		return -ENOMEM;
	size_t n = 0;
	for (uint32_t k = 0; k < info.next_number; k++)
		if (cow_ovl_image_object(img, k, &o) && S_ISREG(o.attr.mode) && o.attr.size)
			list[n++] = k;
	qsort_r(list, n, sizeof(*list), by_digest, (void *)(uintptr_t)img);
	*ret = (struct cow_arc_digests){.img = img, .numbers = list, .n = n};
	return 0;
}

void cow_arc_digests_done(struct cow_arc_digests *d)
{
	free(d->numbers);
	d->numbers = NULL;
	d->n = 0;
}

size_t cow_arc_digests_find(const struct cow_arc_digests *d, const uint8_t *digest)
{
	size_t lo = 0, hi = d->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (memcmp(digest_of(d->img, d->numbers[mid]), digest, COW_OVM_ID_LEN) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return cow_arc_digests_at(d, lo, digest) ? lo : d->n;
}

uint32_t cow_arc_digests_at(const struct cow_arc_digests *d, size_t idx, const uint8_t *digest)
{
	if (idx >= d->n || memcmp(digest_of(d->img, d->numbers[idx]), digest, COW_OVM_ID_LEN) != 0)
		return 0;
	return d->numbers[idx];
}
