/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * config.txt from any bytes: what is served twice is served the same, nothing loads an initramfs that is not to be
 * loaded, and no line is invented. The first byte: keep an initramfs.
 */
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
static void check_lines(const char *out, size_t len, int initramfs)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *once, *twice;
	size_t len, again;

	if (size == 0)
		return 0;
	int initramfs = data[0] & 1;

	CHECK(cow_tftp_config_pi((const char *)data + 1, size - 1, initramfs, &once, &len) == 0);
	CHECK(len <= size + 128);
	check_lines(once, len, initramfs);
	CHECK(cow_tftp_config_pi(once, len, initramfs, &twice, &again) == 0);
	CHECK(again == len && memcmp(once, twice, len) == 0);
	free(twice);
	CHECK(cow_tftp_config_included((const char *)data + 1, size - 1, initramfs, &twice,
				       &again) == 0);
	CHECK(again <= len);
	free(twice);
	(void)cow_tftp_config_includes((const char *)data + 1, size - 1, "usercfg.txt");
	free(once);
	return 0;
}
