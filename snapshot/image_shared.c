/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_plan.h"
#include "snapshot/archive.h"

static uint64_t count(const struct cow_arc_digests *a, const struct cow_arc_digests *b)
{
	struct cow_ovl_image_object o;
	uint64_t bytes = 0;
	for (size_t k = 0; k < a->n; k++)
		if (cow_ovl_image_object(a->img, a->numbers[k], &o) &&
		    cow_arc_digests_find(b, o.digest) < b->n)
			bytes += o.attr.size;
	return bytes;
}

int cow_image_shared(struct cow_store *s, const struct cow_image *i, const struct cow_image *other,
		     uint64_t *ret, struct cow_err *err)
{
	cow_autoovlimage a = NULL;
	cow_autoovlimage b = NULL;
	struct cow_arc_digests of_a = {.numbers = NULL}, of_b = {.numbers = NULL};
	int r = cow_image_manifest(s, i, &a, err);
	if (r == 0)
		r = cow_image_manifest(s, other, &b, err);
	if (r < 0)
		return r;
	r = cow_arc_digests_make(a, &of_a);
	if (r == 0)
		r = cow_arc_digests_make(b, &of_b);
	if (r == 0)
		*ret = count(&of_a, &of_b);
	cow_arc_digests_done(&of_a);
	cow_arc_digests_done(&of_b);
	return r < 0 ? cow_err_set(err, r, "compare images") : 0;
}
