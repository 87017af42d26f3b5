/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "snapshot/store.h"

static const char *const names[] = {
    [COW_BACKEND_NONE] = "none",
    [COW_BACKEND_BTRFS] = "btrfs",
};

int cow_backend_parse(const char *s, enum cow_backend *ret)
{
	if (strcmp(s, names[COW_BACKEND_BTRFS]) != 0)
		return -EINVAL;
	*ret = COW_BACKEND_BTRFS;
	return 0;
}

const char *cow_backend_name(enum cow_backend b)
{
	return b == COW_BACKEND_BTRFS ? names[b] : names[COW_BACKEND_NONE];
}
