/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Ethernet addresses: the identity of a client. Stored and shown in lower case with dashes
 * ("dc-a6-32-01-02-03"); accepted in every usual spelling.
 */
#ifndef COW_SNAPSHOT_MAC_H
#define COW_SNAPSHOT_MAC_H

#include <stddef.h>
#include <stdint.h>

struct cow_mac {
	uint8_t b[6];
};

#define COW_MAC_TEXT_LEN 17

/*
 * cow_mac_parse - "dc:a6:32:01:02:03", dashes, "dca6.3201.0203", "DCA632010203", and the
 * "01-dc-a6-…" form of PXE loaders. Group (multicast) and all-zero addresses are refused.
 * Return: 0 or -EINVAL.
 */
int cow_mac_parse(const char *s, size_t len, struct cow_mac *ret);
void cow_mac_text(const struct cow_mac *mac, char ret[COW_MAC_TEXT_LEN + 1]);

#endif
