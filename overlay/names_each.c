/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "names_each.h"

#include <errno.h>
#include <fcntl.h>

#include "common/fs.h"
#include "internal.h"

int cow_names_each(int dirfd, int (*fn)(void *ctx, const char *name), void *ctx)
{
	int fd = COW_FD_TRY(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	if (fd < 0)
		return cow_nerr();
	cow_autodir DIR *d = fdopendir(fd);
	if (!d) {
		int r = cow_nerr();
		(void)close(fd);
		return r;
	}
	for (;;) {
		const struct dirent *de;
		int r = cow_readdir(d, &de);
		if (r > 0)
			r = fn(ctx, de->d_name);
		else
			return r;
		if (r != 0)
			return r;
	}
}
