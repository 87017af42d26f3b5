/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The lease file of dnsmasq(8), one line per lease: end in seconds since 1970 (0: none), MAC, address, name or "*", client id or
 * "*". It is written in place, so a line may be cut at any time.
 */
#ifndef COW_SNAPSHOT_LEASES_H
#define COW_SNAPSHOT_LEASES_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/mac.h"

#define COW_LEASES_FILE_MAX (1u << 20) /* 10000 leases */

struct cow_lease {
	struct cow_mac mac;
	struct in_addr addr;
	char name[64]; /* as the machine calls itself; "": it does not say, or too long */
};

/*
 * cow_leases_each - leases that have not ended at @now_s; lines that are none are passed over (IPv6, other hardware).
 * @text: NUL-terminated. Return: 0; the callback's non-zero value, which stops.
 */
int cow_leases_each(const char *text, int64_t now_s,
		    int (*fn)(void *ctx, const struct cow_lease *l), void *ctx);

#endif
