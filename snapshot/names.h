/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names in a directory, sorted, read to the end before anything is done with them.
 */
#ifndef COW_SNAPSHOT_NAMES_H
#define COW_SNAPSHOT_NAMES_H

#include <stddef.h>

struct cow_names {
	char **name;
	size_t n;
};
#define COW_NAMES_EMPTY                                                                            \
	{                                                                                          \
		NULL, 0                                                                            \
	}

/* All names of directory @path below @dirfd but "." and "..". */
int cow_names_read(int dirfd, const char *path, struct cow_names *ret);
void cow_names_done(struct cow_names *names);
#define cow_autonames __attribute__((cleanup(cow_names_done)))

void cow_numbers_sort(unsigned *list, size_t n);

#endif
