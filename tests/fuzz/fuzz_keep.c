/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Keep-lists: every path that is taken is one the walk can go down, and a list of them is the same list again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static void check_path(const char *path)
{
	while (*path) {
		size_t len = strcspn(path, "/");
		must(len > 0 && len <= 255);
		must(!(len == 1 && path[0] == '.') &&
		     !(len == 2 && path[0] == '.' && path[1] == '.'));
		path += len;
		must(!*path || path[1]);
		path += *path == '/';
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cow_autokeep k = {0};
	cow_autokeep again = {0};
	struct cow_err err = COW_ERR_INIT;
	char *text = NULL;
	size_t len = 0;
	if (cow_keep_parse((const char *)data, size, "input", &k, &err) < 0) {
		must(err.code != COW_OK && *cow_err_str(&err));
		return 0;
	}
	FILE *out = open_memstream(&text, &len);
	must(out != NULL);
	for (size_t i = 0; i < k.n; i++) {
		must(*k.path[i] != 0);
		check_path(k.path[i]);
		(void)fprintf(out, "/%s\n", k.path[i]);
	}
	must(fclose(out) == 0);
	must(cow_keep_parse(text, len, "again", &again, &err) == 0);
	must(again.n == k.n);
	for (size_t i = 0; i < k.n; i++)
		must(strcmp(k.path[i], again.path[i]) == 0);
	free(text);
	return 0;
}
