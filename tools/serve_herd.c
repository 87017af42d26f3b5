/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which client has which address; finding one.
 */
#include "serve_herd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cow_herd_free(struct cow_herd *h)
{
	if (!h)
		return;
	free(h->client);
	free(h->bad);
	free(h);
}

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s",
		       from ? from : ""); /* longer ones are only shown, cut is fine */
}

/* Configured addresses first, then by time, the latest first. */
static int by_claim(const void *a, const void *b)
{
	const struct cow_herd_client *x = *(struct cow_herd_client *const *)a;
	const struct cow_herd_client *y = *(struct cow_herd_client *const *)b;
	int r = strcmp(x->bound, y->bound);

	if (r != 0)
		return r;
	if (!*x->address != !*y->address)
		return *x->address ? -1 : 1;
	if (x->learnt_s != y->learnt_s)
		return x->learnt_s > y->learnt_s ? -1 : 1;
	return strcmp(x->id, y->id);
}

void cow_herd_bind(struct cow_herd *h)
{
	cow_autofree struct cow_herd_client **order =
	    calloc(h->clients + 1, sizeof(struct cow_herd_client *));

	for (size_t i = 0; i < h->clients; i++) {
		struct cow_herd_client *c = &h->client[i];
		/* Without memory to see who else claims it, a learnt address is nobody's. */
		copy(c->bound, sizeof(c->bound), *c->address ? c->address : order ? c->learnt : "");
		if (order)
			order[i] = c;
	}
	if (!order || h->clients < 2)
		return;
	qsort(order, h->clients, sizeof(struct cow_herd_client *), by_claim);
	const char *taken = "";
	for (size_t i = 0; i < h->clients; i++) {
		if (*order[i]->bound && strcmp(order[i]->bound, taken) == 0)
			order[i]->bound[0] = '\0';
		else
			taken = order[i]->bound;
	}
}

static int by_id(const void *a, const void *b)
{
	const struct cow_herd_client *x = a, *y = b;

	return strcmp(x->id, y->id);
}

struct cow_herd_client *cow_herd_find(const struct cow_herd *h, const char *id)
{
	struct cow_herd_client key;

	if (!h || h->clients == 0)
		return NULL;
	copy(key.id, sizeof(key.id), id);
	return bsearch(&key, h->client, h->clients, sizeof(*h->client), by_id);
}

const struct cow_herd_bad *cow_herd_find_bad(const struct cow_herd *h, const char *id)
{
	for (size_t i = 0; h && i < h->bads; i++)
		if (strcmp(h->bad[i].id, id) == 0)
			return &h->bad[i];
	return NULL;
}
