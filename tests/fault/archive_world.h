/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Two stores for tests of what carries versions between them: @from has two versions, @to the first of them.
 */
#ifndef COW_TESTS_ARCHIVE_WORLD_H
#define COW_TESTS_ARCHIVE_WORLD_H

#include "world.h"

#include "snapshot/archive.h"

struct bytes {
	char *p;
	size_t len;
};

extern struct cow_store *from, *to;
/* img@1 and img@2 in @from; @to has the first, too, as base@1. */
extern struct cow_image *one, *two;
extern struct bytes full, difference; /* archives of @two: files full.cow and difference.cow */
extern int source;		      /* directory with tree/, which @two was made from */

extern size_t big;		      /* bytes of a file in it; set before group_setup() */
#define BIG_BLOCKS ((size_t)17 << 20) /* more than a block of an archive */

int group_setup(void **state);
int group_teardown(void **state);
/* Of @two. @path NULL: to the pipe @fd. @ret_resumed: may be NULL. */
int export_as(const char *path, int fd, const struct cow_image *since, int *ret_resumed,
	      struct cow_err *err);

/* Every version in @to is whole and what it should be. Return: how many there are of img. */
unsigned look_at_all(bool only_two);
/* All versions of img go from @to. */
void only_base(void);
/* After whatever came; sweeps. @done: there must be one more. Return: versions of img. */
unsigned check_left(bool done, bool only_two);

#endif
