/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Lines of words: see common/fields.h.
 */
#include "common/fields.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/checked.h"

static const char plain[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+,-";
static const char in_key[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

static void put(struct cow_fields *f, char c)
{
	if (f->len + 2 >= sizeof(f->line)) /* LF and NUL */
		f->full = true;
	else
		f->line[f->len++] = c;
}

static void put_text(struct cow_fields *f, const char *s)
{
	while (*s)
		put(f, *s++);
}

void cow_fields_begin(struct cow_fields *f, const char *kind)
{
	f->len = 0;
	f->full = false;
	put_text(f, kind);
}

void cow_fields_add(struct cow_fields *f, const char *key, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";

	if (!value)
		return;
	put(f, ' ');
	put_text(f, key);
	put(f, '=');
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if (strchr(plain, *p)) {
			put(f, (char)*p);
			continue;
		}
		put(f, '%');
		put(f, hex[*p >> 4]);
		put(f, hex[*p & 15]);
	}
}

void cow_fields_add_u64(struct cow_fields *f, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	cow_fields_add(f, key, text);
}

int cow_fields_end(struct cow_fields *f)
{
	if (f->full)
		return -E2BIG;
	f->line[f->len++] = '\n';
	f->line[f->len] = '\0';
	return (int)f->len;
}

/* Bytes of the word at @p. */
static size_t word_len(const char *p)
{
	return strcspn(p, " \n");
}

bool cow_fields_is(const char *line, const char *kind)
{
	size_t n = word_len(line);

	return n > 0 && n == strlen(kind) && memcmp(line, kind, n) == 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(const char *p, size_t len, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)p[i];

		if (c == '%') {
			int high = i + 2 < len ? digit(p[i + 1]) : -1;
			int low = high >= 0 ? digit(p[i + 2]) : -1;

			if (low < 0 || (c = high << 4 | low) == 0)
				return -EINVAL;
			i += 2;
		} else if (!strchr(plain, c)) {
			return -EINVAL;
		}
		if (n + 1 >= size)
			return -EINVAL;
		ret[n++] = (char)c;
	}
	ret[n] = '\0';
	return 0;
}

int cow_fields_next(const char *line, size_t *pos, char key[COW_FIELDS_KEY_MAX + 1], char *ret,
		    size_t size)
{
	const char *p = line + *pos;

	if (*pos == 0)
		p += word_len(p);
	if (*p != ' ')
		return 0;
	size_t len = word_len(++p), k = strspn(p, in_key);

	*pos = (size_t)(p + len - line);
	if (k == 0 || k > COW_FIELDS_KEY_MAX || k >= len || p[k] != '=')
		return -EINVAL;
	memcpy(key, p, k);
	key[k] = '\0';
	int r = decode(p + k + 1, len - k - 1, ret, size);

	return r < 0 ? r : 1;
}

int cow_fields_get(const char *line, const char *key, char *ret, size_t size)
{
	const char *p = line + word_len(line);
	size_t n = strlen(key);

	while (*p == ' ') {
		size_t len = word_len(++p);

		if (len > n && p[n] == '=' && memcmp(p, key, n) == 0)
			return decode(p + n + 1, len - n - 1, ret, size);
		p += len;
	}
	return -ENOENT;
}

int cow_fields_get_u64(const char *line, const char *key, uint64_t max, uint64_t *ret)
{
	char text[24];
	int r = cow_fields_get(line, key, text, sizeof(text));

	if (r < 0)
		return r;
	return cow_parse_u64(text, 0, max, ret) < 0 ? -EINVAL : 0;
}
