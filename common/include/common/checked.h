/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Arithmetic and number parsing that cannot wrap unseen.
 */
#ifndef COW_COMMON_CHECKED_H
#define COW_COMMON_CHECKED_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* True when the result fits; *ret is valid only then. */
#define cow_add_ok(a, b, ret) (!__builtin_add_overflow((a), (b), (ret)))
#define cow_sub_ok(a, b, ret) (!__builtin_sub_overflow((a), (b), (ret)))
#define cow_mul_ok(a, b, ret) (!__builtin_mul_overflow((a), (b), (ret)))

/*
 * cow_parse_u64 - a whole string of decimal digits, nothing else (no sign, blank or base prefix).
 * Return: 0; -EINVAL not a number; -ERANGE outside min..max. *ret is written on success only.
 */
int cow_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* The same over counted bytes that need no terminator. */
int cow_parse_u64n(const char *s, size_t len, uint64_t min, uint64_t max, uint64_t *ret);

/* "10", "512K", "4M", "2G", "1T" (powers of 1024) to bytes. Return: 0, -EINVAL, -ERANGE. */
int cow_parse_size(const char *s, uint64_t *ret_bytes);

/* Little-endian access to unaligned bytes of on-disk and wire records. */
static inline void cow_put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}
static inline void cow_put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}
static inline uint32_t cow_get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t cow_get_le64(const uint8_t *p)
{
	return (uint64_t)cow_get_le32(p) | (uint64_t)cow_get_le32(p + 4) << 32;
}

#endif
