/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Requests: of A, B and a stranger, told by address or by prefix, for names in all the ways they can be written.
 */
#include <arpa/inet.h>
#include <string.h>

#include "run.h"

static struct cow_tftp_who sender(struct run *r, unsigned from)
{
	static const char *const addrs[] = {"10.0.0.10", "10.0.0.11", "10.0.0.99"};
	struct cow_tftp_who who = {.ifindex = 1, .now_ms = r->now_ms};

	CHECK(inet_pton(AF_INET, addrs[from], &who.addr) == 1);
	CHECK(inet_pton(AF_INET, "10.0.0.1", &who.local) == 1);
	who.addr6.s6_addr[10] = who.addr6.s6_addr[11] = 0xff;
	memcpy(who.addr6.s6_addr + 12, &who.addr, 4);
	return who;
}

void ask_raw(struct run *r)
{
	const struct cow_tftp_who who = sender(r, next(r) % 3);
	struct cow_tftp_content *c = NULL;
	size_t len = next(r), there = (size_t)(r->end - r->in);

	if (len > there)
		len = there;
	const char *name = (const char *)r->in;

	r->in += len;
	if (cow_tftp_files_open(&r->files, &who, name, len, &c) == 0)
		take(r, c, NAMES, false);
}

void ask(struct run *r)
{
	static const struct {
		const char *text;
		enum who who;
	} prefixes[] = {{"", STRANGER},
			{MAC_A, A},
			{"DC:A6:32:00:00:0A", A},
			{"0000000a", A},
			{"0000000A", A},
			{MAC_B, B},
			{"0000000b", B},
			{"ffffffff", STRANGER},
			{"52-54-00-00-00-01", STRANGER}};
	static const char *const joins[] = {"/", "//", "\\", "/./", "/../", "/x/../"};
	static const char *const ends[] = {"", "/", "\0x", "\\", "/.", "\n"};
	unsigned name = next(r) % NAMES, how = next(r), tail = next(r);
	unsigned prefix = how % 9, join = how / 9 % 6, from = tail % 3, end = tail / 3 % 16;
	const struct cow_tftp_who who = sender(r, from);
	enum who expected = prefix ? prefixes[prefix].who : (enum who)from;
	struct cow_tftp_content *c = NULL;
	char raw[512];
	size_t len;

	if (end >= sizeof(ends) / sizeof(ends[0]))
		end = 0;
	int n = snprintf(raw, sizeof(raw), "%s%s%s%s", tail & 128 ? "/" : "", prefixes[prefix].text,
			 prefix || join > 3 ? joins[join] : "", names[name]);

	CHECK(n > 0 && n < 128);
	len = (size_t)n + (end == 2 ? 2 : strlen(ends[end]));
	memcpy(raw + n, ends[end], end == 2 ? 2 : strlen(ends[end]));
	if (tail == 255) { /* much too long */
		memset(raw + len, 'a', sizeof(raw) - len);
		len = sizeof(raw);
	}
	int got = cow_tftp_files_open(&r->files, &who, raw, len, &c);

	CHECK(got < 0 || (join < 4 && end == 0 && tail != 255));
	if (got < 0)
		return;
	CHECK(server_says(r, c) == expected); /* R2 */
	take(r, c, name, tail & 64);
}
