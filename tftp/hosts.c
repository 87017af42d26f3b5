/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Limits per source address: see hosts.h. Sets of eight entries, the least recently seen without a
 * live transfer makes room.
 */
#include "hosts.h"

#include <errno.h>
#include <stdlib.h>

#include "tftp/address.h"
#include "tftp/limits.h"

#define SETS 1024u
#define WAYS 8u
#define TOKEN 1000u /* tokens are counted in thousandths, so that a millisecond can add some */

struct host {
	struct in6_addr addr; /* all zero: free */
	unsigned live;
	unsigned tokens;
	uint64_t seen_ms;
};

struct cow_tftp_hosts {
	uint64_t seed;
	struct host set[SETS][WAYS];
};

int cow_tftp_hosts_new(uint64_t seed, struct cow_tftp_hosts **ret)
{
	struct cow_tftp_hosts *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->seed = seed;
	*ret = h;
	return 0;
}

void cow_tftp_hosts_free(struct cow_tftp_hosts *h)
{
	free(h);
}

static struct host *set_of(struct cow_tftp_hosts *h, const struct in6_addr *addr)
{
	return h->set[cow_tftp_addr_hash(addr, h->seed) % SETS];
}

static struct host *find(struct cow_tftp_hosts *h, const struct in6_addr *addr)
{
	struct host *set = set_of(h, addr);

	for (unsigned i = 0; i < WAYS; i++) {
		if (IN6_ARE_ADDR_EQUAL(&set[i].addr, addr))
			return &set[i];
	}
	return NULL;
}

static struct host *make(struct cow_tftp_hosts *h, const struct in6_addr *addr, uint64_t now_ms)
{
	struct host *set = set_of(h, addr), *oldest = NULL;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].live == 0 && (!oldest || set[i].seen_ms < oldest->seen_ms))
			oldest = &set[i];
	}
	if (oldest)
		*oldest = (struct host){
		    .addr = *addr, .tokens = COW_TFTP_REQUESTS_BURST * TOKEN, .seen_ms = now_ms};
	return oldest;
}

bool cow_tftp_hosts_admit(struct cow_tftp_hosts *h, const struct in6_addr *addr, uint64_t now_ms)
{
	struct host *e = find(h, addr);

	if (!e)
		e = make(h, addr, now_ms);
	if (!e)
		return false; /* eight busy addresses in one set */

	const uint64_t full = (uint64_t)COW_TFTP_REQUESTS_BURST * TOKEN;
	uint64_t elapsed = now_ms - e->seen_ms;
	uint64_t tokens = elapsed > full ? full : e->tokens + elapsed * COW_TFTP_REQUESTS_PER_S;

	e->tokens = (unsigned)(tokens < full ? tokens : full);
	e->seen_ms = now_ms;
	if (e->tokens < TOKEN)
		return false;
	e->tokens -= TOKEN;
	return true;
}

bool cow_tftp_hosts_enter(struct cow_tftp_hosts *h, const struct in6_addr *addr)
{
	struct host *e = find(h, addr);

	if (!e || e->live >= COW_TFTP_TRANSFERS_PER_HOST)
		return false;
	e->live++;
	return true;
}

void cow_tftp_hosts_leave(struct cow_tftp_hosts *h, const struct in6_addr *addr)
{
	struct host *e = find(h, addr);

	if (e && e->live > 0)
		e->live--;
}
