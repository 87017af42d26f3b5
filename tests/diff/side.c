/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What both sides write down in the same words.
 */
#include "side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "values.h"

bool fallocate_forgets, exchange_touches;

void result_text(struct result *r, const char *text)
{
	size_t n = strlen(text);
	if (n > IO_MAX)
		n = IO_MAX;
	memcpy(r->data, text, n);
	r->len = n;
}

void result_attr(struct result *r, const struct attr *a, unsigned what)
{
	char text[256];
	attr_text(text, sizeof(text), a, what);
	result_text(r, text);
}

void listing_add(struct listing *l, const char *name, mode_t type)
{
	char *s;
	if (l->n == sizeof(l->v) / sizeof(*l->v) || asprintf(&s, "%s %06o\n", name, type) < 0)
		trouble("a directory of more names than expected");
	l->v[l->n++] = s;
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void listing_result(struct listing *l, struct result *r)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), line_cmp);
	r->len = 0;
	for (size_t k = 0; k < l->n; k++) {
		size_t len = strlen(l->v[k]);
		if (r->len + len <= IO_MAX) {
			memcpy(r->data + r->len, l->v[k], len);
			r->len += len;
		}
		free(l->v[k]);
	}
	l->n = 0;
}

const uint8_t *data_of(const struct op *op, uint64_t off)
{
	static uint8_t buf[IO_MAX];
	fill_bytes(buf, op->len < IO_MAX ? op->len : IO_MAX, op->fill, off);
	return buf;
}
