/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "tar_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"

int cow_tar_path(const char *name, char **ret)
{
	size_t len = strlen(name), out = 0, depth = 0;
	if (!len)
		return -EINVAL;
	if (*name == '/')
		return -EPERM;
	if (len > COW_PATH_MAX)
		return -ENAMETOOLONG;
	cow_autofree char *path = malloc(len + 1);
	if (!path)
		return -ENOMEM;
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return -EPERM;
		if (n > COW_NAME_MAX)
			return -ENAMETOOLONG;
		if (n && !(n == 1 && *p == '.')) {
			if (++depth > COW_DEPTH_MAX)
				return -ELOOP;
			if (out)
				path[out++] = '/';
			memcpy(path + out, p, n);
			out += n;
		}
		p += n;
		p += *p == '/';
	}
	path[out] = 0;
	*ret = cow_steal_ptr(&path);
	return 0;
}
