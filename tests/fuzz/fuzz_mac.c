/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * MAC addresses: what parses prints as text that parses to the same, and is a machine's address.
 */
#include <stdint.h>
#include <string.h>

#include "snapshot/mac.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_mac mac, again;
	char text[COW_MAC_TEXT_LEN + 1];
	if (cow_mac_parse((const char *)data, size, &mac) < 0)
		return 0;
	cow_mac_text(&mac, text);
	if (cow_mac_parse(text, strlen(text), &again) < 0 ||
	    memcmp(&mac, &again, sizeof(mac)) != 0 || (mac.b[0] & 1))
		__builtin_trap();
	return 0;
}
