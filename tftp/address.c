/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See tftp/address.h.
 */
#include "tftp/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/checked.h"

socklen_t cow_tftp_addr_len(const union cow_tftp_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

in_port_t cow_tftp_addr_port(const union cow_tftp_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port;
}

void cow_tftp_addr_set_port(union cow_tftp_addr *a, in_port_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = port;
	else
		a->in.sin_port = port;
}

struct in6_addr cow_tftp_map(struct in_addr a)
{
	struct in6_addr m = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	memcpy(m.s6_addr + 12, &a, sizeof(a));
	return m;
}

struct in6_addr cow_tftp_addr_map(const union cow_tftp_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? a->in6.sin6_addr : cow_tftp_map(a->in.sin_addr);
}

struct in_addr cow_tftp_unmap(const struct in6_addr *a)
{
	struct in_addr v4 = {0};

	if (IN6_IS_ADDR_V4MAPPED(a))
		memcpy(&v4, a->s6_addr + 12, sizeof(v4));
	return v4;
}

uint64_t cow_tftp_addr_hash(const struct in6_addr *a, uint64_t seed)
{
	uint64_t half[2], x = seed;

	memcpy(half, a, sizeof(half));
	for (int i = 0; i < 2; i++) {
		/* The finisher of MurmurHash3, Austin Appleby, public domain. */
		x ^= half[i];
		x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
		x = (x ^ x >> 33) * (seed | 1);
		x ^= x >> 33;
	}
	return x;
}

const char *cow_tftp_addr_text(const struct in6_addr *a, uint32_t scope,
			       char ret[COW_TFTP_ADDR_TEXT])
{
	const struct in_addr v4 = cow_tftp_unmap(a);
	char name[IF_NAMESIZE];

	ret[0] = '\0';
	if (IN6_IS_ADDR_V4MAPPED(a))
		(void)inet_ntop(AF_INET, &v4, ret, COW_TFTP_ADDR_TEXT);
	else
		(void)inet_ntop(AF_INET6, a, ret, COW_TFTP_ADDR_TEXT);
	if (scope == 0 || !IN6_IS_ADDR_LINKLOCAL(a))
		return ret;
	size_t len = strlen(ret);

	/* An interface that is gone has its number still. */
	if (if_indextoname(scope, name))
		(void)snprintf(ret + len, COW_TFTP_ADDR_TEXT - len, "%%%s", name);
	else
		(void)snprintf(ret + len, COW_TFTP_ADDR_TEXT - len, "%%%u", scope);
	return ret;
}

/* @s: @len bytes of text, of which a part is an address. */
static int parse_v4(const char *s, size_t len, union cow_tftp_addr *a)
{
	char text[INET_ADDRSTRLEN];

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	a->in.sin_family = AF_INET;
	return inet_pton(AF_INET, text, &a->in.sin_addr) == 1 ? 0 : -EINVAL;
}

static int parse_v6(const char *s, size_t len, union cow_tftp_addr *a)
{
	char text[COW_TFTP_ADDR_TEXT], *scope;

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	scope = strchr(text, '%');
	if (scope)
		*scope++ = '\0';
	a->in6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1 ||
	    IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return -EINVAL;
	a->in6.sin6_scope_id = scope ? if_nametoindex(scope) : 0;
	/* One of a link is none without its link. */
	return IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr) == (a->in6.sin6_scope_id != 0) ? 0
										       : -EINVAL;
}

int cow_tftp_addr_parse(const char *s, union cow_tftp_addr *io)
{
	const char *end = *s == '[' ? strchr(s, ']') : s + strcspn(s, ":");
	uint64_t port = ntohs(cow_tftp_addr_port(io));
	union cow_tftp_addr a = {0};

	if (!end)
		return -EINVAL;
	int r = *s == '[' ? parse_v6(s + 1, (size_t)(end - s - 1), &a)
			  : parse_v4(s, (size_t)(end - s), &a);

	if (r < 0)
		return r;
	end += *s == '[';
	if (*end && (*end != ':' || cow_parse_u64(end + 1, 0, 65535, &port) < 0))
		return -EINVAL;
	cow_tftp_addr_set_port(&a, htons((uint16_t)port));
	*io = a;
	return 0;
}
