/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The list of exports: what is wanted, and the next step towards it. Pure.
 */
#include "serve_exports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cow_export_list_done(struct cow_export_list *l)
{
	free(l->e);
	*l = (struct cow_export_list){0};
}

static int by_export_id(const void *a, const void *b)
{
	const struct cow_export *x = a, *y = b;

	return x->export_id < y->export_id ? -1 : x->export_id > y->export_id;
}

struct cow_export *cow_export_find(const struct cow_export_list *l, unsigned export_id)
{
	const struct cow_export key = {.export_id = export_id};

	if (l->n == 0)
		return NULL;
	return bsearch(&key, l->e, l->n, sizeof(key), by_export_id);
}

/* Sorted; of entries with one id the first in the order of MACs stays. */
static void drop_twins(struct cow_export_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || l->e[n - 1].export_id != l->e[i].export_id)
			l->e[n++] = l->e[i];
	l->n = n;
}

static int by_id_then_mac(const void *a, const void *b)
{
	const struct cow_export *x = a, *y = b;
	int r = by_export_id(a, b);

	return r ? r : strcmp(x->id, y->id);
}

int cow_export_list_of(const struct cow_config *c, const struct cow_serve_net *net,
		       const struct cow_herd *h, const struct cow_export_list *old,
		       struct cow_export_list *ret)
{
	struct cow_export_list l = {.e = calloc(h->clients + 1, sizeof(*l.e)), .n = h->clients};

	if (!l.e)
		return -ENOMEM;
	for (size_t i = 0; i < l.n; i++) {
		(void)snprintf(l.e[i].id, sizeof(l.e[i].id), "%s", h->client[i].id);
		l.e[i].export_id = h->client[i].export_id;
		cow_text_admitted(c, net, &h->client[i], l.e[i].who);
	}
	qsort(l.e, l.n, sizeof(*l.e), by_id_then_mac);
	drop_twins(&l);
	for (size_t i = 0; old && i < l.n; i++) {
		struct cow_export *e = &l.e[i], *o = cow_export_find(old, e->export_id);
		if (o && strcmp(o->id, e->id) == 0 && strcmp(o->who, e->who) == 0)
			*e = *o;
	}
	*ret = l;
	return 0;
}

/* Later than now: remember the soonest. */
static bool is_due(const struct cow_export *e, uint64_t now_ms, uint64_t *wait_ms)
{
	if (e->retry_ms <= now_ms)
		return true;
	if (*wait_ms == 0 || e->retry_ms - now_ms < *wait_ms)
		*wait_ms = e->retry_ms - now_ms;
	return false;
}

bool cow_export_next(const struct cow_export_list *have, const struct cow_export_list *want,
		     const struct cow_herd *h, uint64_t now_ms, enum cow_bus_op *ret_op,
		     unsigned *ret_export_id, uint64_t *ret_wait_ms)
{
	*ret_wait_ms = 0;
	for (size_t i = 0; i < have->n; i++) {
		const struct cow_export *e = &have->e[i], *w = cow_export_find(want, e->export_id);
		if ((w && strcmp(w->id, e->id) == 0) || (*e->id && cow_herd_find_bad(h, e->id)))
			continue;
		if (!is_due(e, now_ms, ret_wait_ms))
			continue;
		*ret_op = COW_BUS_REMOVE;
		*ret_export_id = e->export_id;
		return true;
	}
	for (int pass = 0; pass < 2; pass++) {
		enum cow_bus_op op = pass == 0 ? COW_BUS_UPDATE : COW_BUS_ADD;
		for (size_t i = 0; i < want->n; i++) {
			const struct cow_export *w = &want->e[i];
			const struct cow_export *e = cow_export_find(have, w->export_id);
			if (op == COW_BUS_ADD ? e != NULL : !e || strcmp(e->who, w->who) == 0)
				continue;
			if (!is_due(w, now_ms, ret_wait_ms))
				continue;
			*ret_op = op;
			*ret_export_id = w->export_id;
			return true;
		}
	}
	return false;
}
