/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Numbers from text: strict, whole, bounded.
 */
#include "common/checked.h"

#include <string.h>

int cow_parse_u64n(const char *s, size_t len, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(s[i] - '0');
		if (!cow_mul_ok(v, UINT64_C(10), &v) || !cow_add_ok(v, digit, &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int cow_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	return cow_parse_u64n(s, strlen(s), min, max, ret);
}

int cow_parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	size_t len = strlen(s);
	unsigned shift = 0;

	if (len > 0) {
		const char *unit = strchr(units, s[len - 1]);
		if (unit) {
			shift = 10 * (unsigned)(unit - units + 1);
			len--;
		}
	}
	uint64_t v;
	int r = cow_parse_u64n(s, len, 0, UINT64_MAX, &v);
	if (r < 0)
		return r;
	if (!cow_mul_ok(v, UINT64_C(1) << shift, &v))
		return -ERANGE;
	*ret_bytes = v;
	return 0;
}
