/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Records: what parses must format into text that parses to the same again.
 */
#include <stdint.h>
#include <string.h>

#include "common/kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static int same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_kv *kv = NULL, *again = NULL;
	struct cow_err err = COW_ERR_INIT;
	const char *s1, *k1, *v1, *s2, *k2, *v2;
	char *text = NULL;
	size_t len, n = 0;
	if (cow_kv_parse((const char *)data, size, "input", &kv, &err) < 0) {
		must(err.code != COW_OK && *cow_err_str(&err));
		return 0;
	}
	must(cow_kv_format(kv, &text, &len) == 0);
	must(cow_kv_parse(text, len, "formatted", &again, &err) == 0);
	while (cow_kv_entry(kv, n, &s1, &k1, &v1) == 0) {
		must(cow_kv_entry(again, n, &s2, &k2, &v2) == 0);
		must(same(s1, s2) && same(k1, k2) && same(v1, v2));
		must(cow_kv_get(kv, s1, k1) != NULL);
		n++;
	}
	must(cow_kv_entry(again, n, NULL, NULL, NULL) < 0);
	free(text);
	cow_kv_free(kv);
	cow_kv_free(again);
	return 0;
}
