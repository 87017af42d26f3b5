/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Lines of words: any text is read without harm, no value holds what a terminal acts on, and what is read is
 * written as a line that reads the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static void walk(const char *line)
{
	char key[COW_FIELDS_KEY_MAX + 1], value[300], again[300];
	struct cow_fields f;
	size_t pos = 0, last = 0;
	int r;

	while ((r = cow_fields_next(line, &pos, key, value, sizeof(value))) != 0) {
		must(pos > last && pos <= strlen(line));
		last = pos;
		if (r < 0)
			continue;
		cow_fields_begin(&f, "x");
		cow_fields_add(&f, key, value);
		must(cow_fields_end(&f) > 0);
		must(strspn(f.line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._:/@+,-%=_ \n") == strlen(f.line));
		must(cow_fields_get(f.line, key, again, sizeof(again)) == 0);
		must(strcmp(value, again) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1), value[16];
	uint64_t n;

	if (!line)
		return 0;
	memcpy(line, data, size);
	line[size] = '\0';
	walk(line);
	if (cow_fields_get(line, "mac", value, sizeof(value)) == 0)
		must(strlen(value) < sizeof(value));
	if (cow_fields_get_u64(line, "n", 1000, &n) == 0)
		must(n <= 1000);
	(void)cow_fields_is(line, "boot");
	free(line);
	return 0;
}
