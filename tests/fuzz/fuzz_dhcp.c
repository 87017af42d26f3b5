/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What DHCP servers say: an offer from the network, and a line of dnsmasq's lease file, which holds what clients say of
 * themselves. Input: a byte that chooses, then the bytes.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp_probe.h"
#include "leases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check_offer(const uint8_t *data, size_t size)
{
	struct cow_dhcp_offer o;
	uint32_t xid = 0;

	if (size >= 8)
		memcpy(&xid, data + 4, 4);
	if (cow_dhcp_offer_parse(data, size, xid, &o) < 0)
		return;
	CHECK(size >= 240 && o.server.s_addr != 0);
	CHECK(strlen(o.tftp) < sizeof(o.tftp));
	for (const char *p = o.tftp; *p; p++)
		CHECK(*p > ' ' && *p < 0x7f);
	CHECK(cow_dhcp_offer_parse(data, size, ~xid, &o) < 0);
}

static void check_lease(const char *line, size_t len)
{
	struct cow_lease l;
	struct in_addr a;

	if (cow_lease_parse(line, len, &l) < 0)
		return;
	CHECK(l.end_s >= 0 && inet_pton(AF_INET, l.addr, &a) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		check_offer(data + 1, size - 1);
	else
		check_lease((const char *)data + 1, size - 1);
	return 0;
}
