/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Leases: see snapshot/leases.h.
 */
#include "snapshot/leases.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/checked.h"

/* The next word of a line into a buffer. False: none, or too long. */
static int word(const char **p, const char *end, char *ret, size_t size)
{
	const char *from = *p;
	size_t n = 0;

	while (from + n < end && from[n] != ' ')
		n++;
	*p = from + n + (from + n < end);
	if (n == 0 || n >= size)
		return 0;
	memcpy(ret, from, n);
	ret[n] = '\0';
	return 1;
}

static int parse(const char *p, const char *end, int64_t now_s, struct cow_lease *ret)
{
	char until[24], mac[24], addr[INET_ADDRSTRLEN];
	uint64_t n;

	*ret = (struct cow_lease){0};
	if (!word(&p, end, until, sizeof(until)) || cow_parse_u64(until, 0, INT64_MAX, &n) < 0 ||
	    !word(&p, end, mac, sizeof(mac)) || cow_mac_parse(mac, strlen(mac), &ret->mac) < 0 ||
	    !word(&p, end, addr, sizeof(addr)) || inet_pton(AF_INET, addr, &ret->addr) != 1)
		return 0;
	if (!word(&p, end, ret->name, sizeof(ret->name)) || strcmp(ret->name, "*") == 0)
		ret->name[0] = '\0';
	return n == 0 || (int64_t)n > now_s;
}

int cow_leases_each(const char *text, int64_t now_s,
		    int (*fn)(void *ctx, const struct cow_lease *l), void *ctx)
{
	const char *nl;
	int r = 0;

	for (; r == 0 && (nl = strchr(text, '\n')) != NULL; text = nl + 1) {
		struct cow_lease l;

		if (parse(text, nl, now_s, &l))
			r = fn(ctx, &l);
	}
	return r;
}
