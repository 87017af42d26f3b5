/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "snapshot/mac.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Digits in groups of @group, each but the first behind @sep; no separator when @group is 12. */
static int parse_groups(const char *s, size_t len, size_t group, char sep, uint8_t b[6])
{
	if (len != 12 + (12 / group - 1))
		return -EINVAL;
	for (size_t digit = 0; digit < 12; digit++) {
		if (digit && digit % group == 0 && *s++ != sep)
			return -EINVAL;
		int v = hex_value(*s++);
		if (v < 0)
			return -EINVAL;
		b[digit / 2] = (uint8_t)(b[digit / 2] << 4 | v);
	}
	return 0;
}

int cow_mac_parse(const char *s, size_t len, struct cow_mac *ret)
{
	static const struct {
		uint8_t group;
		char sep;
	} spellings[] = {{2, ':'}, {2, '-'}, {4, '.'}, {12, 0}};
	struct cow_mac mac = {0};

	/* PXE loaders put the ARP hardware type (1: Ethernet) in front. */
	if (len == 3 + COW_MAC_TEXT_LEN && memcmp(s, "01-", 3) == 0) {
		s += 3;
		len -= 3;
	}
	for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++) {
		if (parse_groups(s, len, spellings[i].group, spellings[i].sep, mac.b) < 0)
			continue;
		if (mac.b[0] & 1 || memcmp(mac.b, (uint8_t[6]){0}, 6) == 0)
			return -EINVAL;
		*ret = mac;
		return 0;
	}
	return -EINVAL;
}

void cow_mac_text(const struct cow_mac *mac, char ret[COW_MAC_TEXT_LEN + 1])
{
	(void)snprintf(ret, COW_MAC_TEXT_LEN + 1, "%02x-%02x-%02x-%02x-%02x-%02x", mac->b[0],
		       mac->b[1], mac->b[2], mac->b[3], mac->b[4], mac->b[5]);
}
