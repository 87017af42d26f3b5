/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the small numbers in a script stand for: users, names and values of extended attributes,
 * bytes of files, times.
 */
#ifndef COW_TESTS_DIFF_VALUES_H
#define COW_TESTS_DIFF_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[2];
	size_t ngroups;
};
extern const struct user users[];
extern const unsigned user_count;

extern const char *const xattr_names[];
extern const unsigned xattr_count;
/* Those that are access control lists; the default one is for directories. */
enum {
	XATTR_ACL_ACCESS,
	XATTR_ACL_DEFAULT,
	XATTR_CAPABILITY,
	XATTR_FREE, /* from here on any bytes do */
};

#define VALUE_MAX 1024
#define ACL_GROUP_X (1u << 3 | 1u << 14) /* in @fill: what shows as the group's x in the mode */
/* The bytes of attribute @xattr chosen by @fill and, where free, @len. Return: length. */
size_t xattr_value(unsigned xattr, unsigned fill, size_t len, uint8_t ret[VALUE_MAX]);

/* Bytes of a file: they depend on their place, so that misplaced data shows. */
void fill_bytes(uint8_t *buf, size_t len, unsigned fill, uint64_t off);

/*
 * Times. All that scripts and lower trees set are within OLD_SPAN seconds after OLD_TIME, long ago;
 * all that the system sets itself are now. So two sides agree when both times are equal, or neither
 * is old.
 */
#define OLD_TIME 1000000000
#define OLD_SPAN 100000000
struct timespec old_mtime(unsigned time);
struct timespec old_atime(unsigned time);
bool is_old(const struct timespec *ts);

#endif
