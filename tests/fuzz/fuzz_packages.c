/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * dpkg's database of an image: whatever the bytes are, the list is sorted and has names and versions
 * that can be printed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/packages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static void printable(const char *s)
{
	for (; *s; s++)
		must(*s >= ' ' && *s <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_packages p;
	char *text = malloc(size + 1);
	must(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	must(cow_packages_parse(text, &p) == 0);
	for (size_t k = 0; k < p.n; k++) {
		must(*p.list[k].name && *p.list[k].version);
		printable(p.list[k].name);
		printable(p.list[k].arch);
		printable(p.list[k].version);
		must(k == 0 || cow_package_cmp(&p.list[k - 1], &p.list[k]) <= 0);
	}
	cow_packages_done(&p);
	return 0;
}
