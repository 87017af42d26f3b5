/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "snapshot/store.h"

static const char *const names[] = {
    [COW_BACKEND_NONE] = "none",
    [COW_BACKEND_BTRFS] = "btrfs",
    [COW_BACKEND_OVERLAY] = "overlay",
};

int cow_backend_parse(const char *s, enum cow_backend *ret)
{
	for (unsigned b = COW_BACKEND_BTRFS; b <= COW_BACKEND_OVERLAY; b++)
		if (strcmp(s, names[b]) == 0) {
			*ret = (enum cow_backend)b;
			return 0;
		}
	return -EINVAL;
}

const char *cow_backend_name(enum cow_backend b)
{
	return (unsigned)b <= COW_BACKEND_OVERLAY ? names[b] : names[COW_BACKEND_NONE];
}
