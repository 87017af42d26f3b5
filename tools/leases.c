/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * dnsmasq's lease file: see leases.h.
 */
#include "leases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "common/fs.h"

#define LEASES_MAX (4u << 20) /* 40 000 leases */

static bool next_word(const char **p, const char *end, const char **ret, size_t *ret_len)
{
	const char *s = *p;

	while (s < end && *s == ' ')
		s++;
	const char *blank = s < end ? memchr(s, ' ', (size_t)(end - s)) : NULL;

	*ret = s;
	*p = blank ? blank : end;
	*ret_len = (size_t)(*p - s);
	return *ret_len > 0;
}

int cow_lease_parse(const char *line, size_t len, struct cow_lease *ret)
{
	const char *p = line, *end = line + len, *w;
	struct cow_lease l = {0};
	struct in_addr a;
	uint64_t when;
	size_t n;

	if (!next_word(&p, end, &w, &n) || cow_parse_u64n(w, n, 0, INT64_MAX, &when) < 0 ||
	    !next_word(&p, end, &w, &n) || cow_mac_parse(w, n, &l.mac) < 0 ||
	    !next_word(&p, end, &w, &n) || n >= sizeof(l.addr))
		return -EINVAL;
	memcpy(l.addr, w, n);
	if (inet_pton(AF_INET, l.addr, &a) != 1)
		return -EINVAL;
	l.end_s = (int64_t)when;
	*ret = l;
	return 0;
}

int cow_leases_each(const char *path, void (*fn)(void *ctx, const struct cow_lease *l), void *ctx)
{
	cow_autofree char *text = NULL;
	struct cow_lease l;
	size_t len;
	int r = cow_read_file_at(AT_FDCWD, path, LEASES_MAX, &text, &len);

	if (r < 0)
		return r;
	for (const char *p = text, *end = text + len; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

		if (cow_lease_parse(p, n, &l) == 0)
			fn(ctx, &l);
		p += n + 1;
	}
	return 0;
}
