/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reading the list of clients from the store.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve_herd.h"
#include "snapshot/client.h"

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s",
		       from ? from : ""); /* longer ones are only shown, cut is fine */
}

/* An address that is not plain IPv4 counts as none: it would end up in configuration files. */
static void copy_addr(char to[COW_ADDR_LEN], const char *from)
{
	struct in_addr a;

	to[0] = '\0';
	if (from && strlen(from) < COW_ADDR_LEN && inet_pton(AF_INET, from, &a) == 1)
		copy(to, COW_ADDR_LEN, from);
}

static int add_bad(struct cow_herd *h, const char *id, const char *text)
{
	struct cow_herd_bad *p = reallocarray(h->bad, h->bads + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	h->bad = p;
	copy(p[h->bads].id, sizeof(p->id), id);
	copy(p[h->bads].text, sizeof(p->text), text);
	h->bads++;
	return 0;
}

static int add_client(struct cow_herd *h, const struct cow_client *c)
{
	/* The walk is in the order of MACs, but a record is worth nothing if that changes. */
	struct cow_herd_client *p = reallocarray(h->client, h->clients + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	h->client = p;
	p = &h->client[h->clients++];
	memset(p, 0, sizeof(*p));
	p->mac = c->mac;
	copy(p->id, sizeof(p->id), c->id);
	p->export_id = c->export_id;
	copy(p->name, sizeof(p->name), c->name);
	copy(p->image, sizeof(p->image), c->image);
	p->version = c->version;
	copy_addr(p->address, c->address);
	return 0;
}

static int each(void *ctx, const struct cow_client *c, const char *id, const struct cow_err *why)
{
	if (!c)
		return add_bad(ctx, id, cow_err_str(why));
	return add_client(ctx, c);
}

static int by_id(const void *a, const void *b)
{
	const struct cow_herd_client *x = a, *y = b;

	return strcmp(x->id, y->id);
}

int cow_herd_load(struct cow_store *s, struct cow_herd **ret, struct cow_err *err)
{
	cow_autoherd h = calloc(1, sizeof(*h));
	if (!h)
		return cow_err_set(err, -ENOMEM, "list clients");

	int r = cow_client_each(s, each, h, err);
	if (r < 0)
		return cow_err_prefix(err, r, "list clients");
	if (h->clients > 1)
		qsort(h->client, h->clients, sizeof(*h->client), by_id);
	for (size_t i = 0; i < h->clients; i++) {
		struct cow_client_state st;
		if (cow_client_state_read(s, &h->client[i].mac, &st, NULL) < 0)
			continue; /* no state: nothing learnt */
		copy_addr(h->client[i].learnt, st.boot_addr);
		h->client[i].learnt_s = st.boot_s;
		h->client[i].refused = st.refused;
		copy_addr(h->client[i].refused_addr, st.refused_addr);
	}
	cow_herd_bind(h);
	*ret = cow_steal_ptr(&h);
	return 0;
}
