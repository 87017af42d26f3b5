/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * config.txt and tryboot.txt, which are made alike, and what they include, from any bytes: what is served twice is served
 * the same, nothing loads an initramfs that is not to be loaded, and no line is invented or moved. The first byte:
 * keep an initramfs.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tftp/config_txt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static const char *skip(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* Each line by itself: none of these may be left, but for ours at the end. */
static void check_lines(const char *out, size_t len, bool initramfs)
{
	const char *p = out, *end = out + len;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		CHECK(lf); /* all lines are ended */
		const char *key = skip(p, lf);

		if (!initramfs && lf - key >= 10 && strncasecmp(key, "initramfs ", 10) == 0)
			abort();
		if (lf - key >= 8 && strncasecmp(key, "cmdline=", 8) == 0)
			CHECK(lf + 1 == end && strncmp(p, "cmdline=cmdline.txt\n", 20) == 0);
		p = lf + 1;
	}
}

static size_t line_len(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));

	return (size_t)((lf ? lf : end) - p);
}

/* Each line of @out is one of @in, in the same order. */
static void check_order(const char *in, size_t len, const char *out, size_t out_len)
{
	const char *end = in + len, *out_end = out + out_len;

	for (size_t n; out < out_end; out += n + 1) {
		n = line_len(out, out_end);
		for (bool found = false; !found;) {
			CHECK(in < end);
			size_t m = line_len(in, end);

			found = m == n && memcmp(in, out, n) == 0;
			in += m + 1;
		}
	}
}

static void check_included(const char *in, size_t len, bool initramfs)
{
	char *once, *twice;
	size_t once_len, twice_len;

	CHECK(cow_tftp_config_included(in, len, initramfs, &once, &once_len) == 0);
	check_lines(once, once_len, initramfs);
	check_order(in, len, once, once_len);
	CHECK(cow_tftp_config_included(once, once_len, initramfs, &twice, &twice_len) == 0);
	CHECK(twice_len == once_len && memcmp(once, twice, once_len) == 0);
	free(twice);
	free(once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *once, *twice;
	size_t len, again;

	if (size == 0)
		return 0;
	bool initramfs = data[0] & 1;

	CHECK(cow_tftp_config_pi((const char *)data + 1, size - 1, initramfs, &once, &len) == 0);
	CHECK(len <= size + 128);
	check_lines(once, len, initramfs);
	CHECK(cow_tftp_config_pi(once, len, initramfs, &twice, &again) == 0);
	CHECK(again == len && memcmp(once, twice, len) == 0);
	free(twice);
	check_included((const char *)data + 1, size - 1, initramfs);
	(void)cow_tftp_config_includes((const char *)data + 1, size - 1, "usercfg.txt");
	free(once);
	return 0;
}
