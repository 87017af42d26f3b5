/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What DHCP servers say: an offer from the network.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dhcp_probe.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_offer(data, size);
	return 0;
}
