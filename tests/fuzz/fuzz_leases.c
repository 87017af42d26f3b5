/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A DHCP server's leases: any text is read without harm.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/leases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(void *ctx, const struct cow_lease *l)
{
	(void)ctx;
	if ((l->mac.b[0] & 1) || memchr(l->name, '\0', sizeof(l->name)) == NULL ||
	    strpbrk(l->name, " \n"))
		__builtin_trap();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)cow_leases_each(text, 1700000000, each, NULL);
	free(text);
	return 0;
}
