/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What DHCP says of machines, as events: a lease that was not there at the last look, or is of another address now.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "serve.h"
#include "snapshot/leases.h"

#define LEASES_MAX 8192

struct cow_serve_leases {
	size_t n;
	struct cow_lease lease[LEASES_MAX];
};

static int take(void *ctx, const struct cow_lease *one)
{
	struct cow_serve_leases *l = ctx;

	l->lease[l->n++] = *one;
	return l->n == LEASES_MAX;
}

static int by_mac(const void *a, const void *b)
{
	const struct cow_lease *x = a, *y = b;
	int r = memcmp(&x->mac, &y->mac, sizeof(x->mac));

	return r ? r : memcmp(&x->addr, &y->addr, sizeof(x->addr));
}

static void tell(struct cow_serve *s, const struct cow_lease *l)
{
	char id[COW_MAC_TEXT_LEN + 1], addr[INET_ADDRSTRLEN] = "";

	cow_mac_text(&l->mac, id);
	(void)inet_ntop(AF_INET, &l->addr, addr, sizeof(addr));
	const struct cow_herd_client *c = cow_herd_find(s->herd, id);

	cow_serve_event(s, "dhcp", "mac", id, "addr", addr, "name", c ? c->name : NULL, "host",
			*l->name ? l->name : NULL, NULL);
}

void cow_serve_leases_look(struct cow_serve *s)
{
	cow_autofree char *text = NULL;
	size_t len;
	cow_autoclose int dir = open(s->paths.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cow_serve_leases *now = calloc(1, sizeof(*now)), *old = s->leases;

	if (!now || dir < 0 ||
	    (cow_read_file_at(dir, "dnsmasq.leases", COW_LEASES_FILE_MAX, &text, &len) < 0 &&
	     old)) {
		free(now); /* cannot be read at the moment: looked at again soon */
		return;
	}
	if (text)
		(void)cow_leases_each(text, cow_realtime_s(), take, now);
	qsort(now->lease, now->n, sizeof(now->lease[0]), by_mac);
	for (size_t i = 0; old && i < now->n; i++) {
		if (!bsearch(&now->lease[i], old->lease, old->n, sizeof(old->lease[0]), by_mac))
			tell(s, &now->lease[i]);
	}
	free(old);
	s->leases = now;
}
