/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int string_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int number_cmp(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void cow_numbers_sort(unsigned *list, size_t n)
{
	if (n)
		qsort(list, n, sizeof(*list), number_cmp);
}

void cow_names_done(struct cow_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct cow_names)COW_NAMES_EMPTY;
}

static int add(struct cow_names *names, const char *name)
{
	if ((names->n & (names->n - 1)) == 0) { /* full at every power of two */
		size_t cap = names->n ? names->n * 2 : 1;
		char **grown = reallocarray(names->name, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		names->name = grown;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	names->name[names->n++] = copy;
	return 0;
}

static int read_all(DIR *d, struct cow_names *names)
{
	for (;;) {
		errno = 0;
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread per DIR */
		struct dirent *e = readdir(d);
		if (!e)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int r = add(names, e->d_name);
		if (r < 0)
			return r;
	}
}

int cow_names_read(int dirfd, const char *path, struct cow_names *ret)
{
	struct cow_names names = COW_NAMES_EMPTY;
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cow_autodir DIR *d = fdopendir(fd);
	if (!d) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	int r = read_all(d, &names);
	if (r < 0) {
		cow_names_done(&names);
		return r;
	}
	if (names.n)
		qsort(names.name, names.n, sizeof(*names.name), string_cmp);
	*ret = names;
	return 0;
}
