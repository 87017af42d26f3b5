/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which DHCP servers there are on a link: one DHCPDISCOVER as a boot ROM would send it, and all offers that come
 * back. No address is taken: an offer that is not requested lapses (RFC 2131, 3.1).
 */
#ifndef COW_TOOLS_DHCP_PROBE_H
#define COW_TOOLS_DHCP_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cow_dhcp_offer {
	struct in_addr server;	/* option 54 */
	struct in_addr address; /* offered; 0.0.0.0: none, it is a proxy */
	struct in_addr next;	/* siaddr */
	char tftp[64];		/* option 66; "" none */
	bool pi_menu;		/* option 43 has "Raspberry Pi Boot   " */
};

/*
 * cow_dhcp_offer_parse - a datagram as it comes from the network.
 * @xid: of our question. Return: 0; -EINVAL no DHCPOFFER that answers it.
 */
int cow_dhcp_offer_parse(const uint8_t *buf, size_t len, uint32_t xid, struct cow_dhcp_offer *ret);

/*
 * cow_dhcp_probe - ask on @interface and collect offers for @wait_ms; one per server.
 * Privilege: CAP_NET_RAW, CAP_NET_BIND_SERVICE. Return: number of offers, @max at most; -EADDRINUSE a DHCP client has the
 * port to itself; -ENODEV; -EPERM; -errno.
 */
int cow_dhcp_probe(const char *interface, unsigned wait_ms, struct cow_dhcp_offer *ret, size_t max);

#endif
