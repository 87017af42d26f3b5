/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whom the DHCP server gave an address: dnsmasq's lease file. One line per lease: end of the lease (seconds, 0:
 * never), MAC, address, host name or "*", client id or "*". Source: dnsmasq(8), --dhcp-leasefile.
 */
#ifndef COW_TOOLS_LEASES_H
#define COW_TOOLS_LEASES_H

#include <stddef.h>
#include <stdint.h>

#include "serve_herd.h"
#include "snapshot/mac.h"

struct cow_lease {
	struct cow_mac mac;
	char addr[COW_ADDR_LEN]; /* IPv4 */
	int64_t end_s;		 /* 0: never */
};

/* One line without its end. Return: 0; -EINVAL not a lease of an Ethernet interface over IPv4. */
int cow_lease_parse(const char *line, size_t len, struct cow_lease *ret);

/*
 * cow_leases_each - every lease of the file; other lines are passed over.
 * Return: 0; -ENOENT there is none; -errno.
 */
int cow_leases_each(const char *path, void (*fn)(void *ctx, const struct cow_lease *l), void *ctx);

#endif
