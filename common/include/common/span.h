/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Bounded spans: read packets, handles and records from front to back without a way past the end.
 * Every getter returns false, and changes nothing, when too few bytes are left.
 */
#ifndef COW_COMMON_SPAN_H
#define COW_COMMON_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cow_span {
	const uint8_t *p;
	size_t len;
};

static inline struct cow_span cow_span_of(const void *p, size_t len)
{
	return (struct cow_span){.p = p, .len = len};
}

static inline bool cow_span_take(struct cow_span *s, size_t n, const uint8_t **ret)
{
	if (s->len < n)
		return false;
	*ret = s->p;
	s->p += n;
	s->len -= n;
	return true;
}

static inline bool cow_span_u8(struct cow_span *s, uint8_t *ret)
{
	const uint8_t *b;
	if (!cow_span_take(s, 1, &b))
		return false;
	*ret = b[0];
	return true;
}

static inline bool cow_span_be16(struct cow_span *s, uint16_t *ret)
{
	const uint8_t *b;
	if (!cow_span_take(s, 2, &b))
		return false;
	*ret = (uint16_t)(b[0] << 8 | b[1]);
	return true;
}

static inline bool cow_span_le32(struct cow_span *s, uint32_t *ret)
{
	const uint8_t *b;
	if (!cow_span_take(s, 4, &b))
		return false;
	*ret = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
	return true;
}

static inline bool cow_span_le64(struct cow_span *s, uint64_t *ret)
{
	uint32_t lo, hi;
	if (s->len < 8 || !cow_span_le32(s, &lo) || !cow_span_le32(s, &hi))
		return false;
	*ret = (uint64_t)hi << 32 | lo;
	return true;
}

/* A NUL-terminated string inside the span; *ret points into it, the NUL is consumed. */
static inline bool cow_span_cstr(struct cow_span *s, const char **ret, size_t *ret_len)
{
	const uint8_t *end = s->len ? memchr(s->p, 0, s->len) : NULL;
	if (!end)
		return false;
	*ret = (const char *)s->p;
	*ret_len = (size_t)(end - s->p);
	s->p = end + 1;
	s->len -= *ret_len + 1;
	return true;
}

#endif
