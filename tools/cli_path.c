/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Paths that somebody else chose, on a terminal and in JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Length of the valid UTF-8 sequence at @p (RFC 3629); 0: none. C1 controls are none either, since
 * terminals act on them. */
static size_t utf8_len(const unsigned char *p)
{
	if (*p < 0x80)
		return 1;
	size_t n = *p >= 0xf0 && *p <= 0xf4 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
	if (!n || *p > 0xf4)
		return 0;
	for (size_t k = 1; k < n; k++)
		if ((p[k] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
	    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f) ||
	    (*p == 0xc2 && p[1] < 0xa0))
		return 0;
	return n;
}

static int is_plain(const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p;) {
		size_t n = utf8_len(p);
		if (!n || *p < 0x20 || *p == 0x7f || *p == '"' || *p == '\\')
			return 0;
		p += n;
	}
	return 1;
}

static void print_escaped(FILE *out, const unsigned char *p)
{
	static const char named[] = "\nn\tt\rr\"\"\\\\";
	while (*p) {
		size_t n = utf8_len(p);
		const char *name = NULL;
		for (const char *q = named; *q && !name; q += 2)
			name = (unsigned char)*q == *p ? q + 1 : NULL;
		if (name) {
			(void)fprintf(out, "\\%c", *name);
		} else if (!n || *p < 0x20 || *p == 0x7f) {
			(void)fprintf(out, "\\%03o", *p);
		} else {
			(void)fwrite(p, 1, n, out);
			p += n - 1;
		}
		p++;
	}
}

void cow_cli_path(FILE *out, const char *path)
{
	path += *path == '/';
	if (is_plain(path)) {
		(void)fprintf(out, "/%s", path);
		return;
	}
	(void)fputs("\"/", out);
	print_escaped(out, (const unsigned char *)path);
	(void)fputc('"', out);
}

char *cow_cli_json_path(const char *path, int *ret_escaped)
{
	const unsigned char *p = (const unsigned char *)path;
	while (*p && (*p < 0x80 || utf8_len(p)))
		p += utf8_len(p);
	*ret_escaped = *p != 0;
	if (!*ret_escaped)
		return strdup(path);
	char *text = malloc(4 * strlen(path) + 1), *to = text;
	if (!text)
		return NULL;
	for (p = (const unsigned char *)path; *p;) {
		size_t n = utf8_len(p);
		if (n && *p != '\\') {
			memcpy(to, p, n);
			to += n;
			p += n;
		} else {
			to += n ? sprintf(to, "\\\\") : sprintf(to, "\\%03o", *p);
			p++;
		}
	}
	*to = 0;
	return text;
}
