/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Users, attribute values, bytes, times. Formats: linux/posix_acl_xattr.h, linux/capability.h.
 */
#include "values.h"

#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "common/checked.h"

const struct user users[] = {
    {0, 0, {0}, 0},
    {1000, 1000, {1001}, 1},
    {1001, 1002, {0}, 0},
};
const unsigned user_count = sizeof(users) / sizeof(*users);

const char *const xattr_names[] = {
    [XATTR_ACL_ACCESS] = "system.posix_acl_access",
    [XATTR_ACL_DEFAULT] = "system.posix_acl_default",
    [XATTR_CAPABILITY] = "security.capability",
    [XATTR_FREE] = "user.a",
    "user.b",
    "trusted.foo",
    "trusted.overlayfoo", /* looks like the kernel's own, is not */
    "security.foo",
};
const unsigned xattr_count = sizeof(xattr_names) / sizeof(*xattr_names);

static size_t acl_entry(uint8_t *p, unsigned tag, unsigned perm, uint32_t id)
{
	p[0] = (uint8_t)tag;
	p[1] = 0;
	p[2] = (uint8_t)(perm & 7);
	p[3] = 0;
	cow_put_le32(p + 4, id);
	return 8;
}

/* Bits of @fill: 0-2 owner, 3-5 group, 6-8 others, 9 a user, 10 a group, 11-13 theirs, 14-16 mask. */
static size_t acl_value(unsigned fill, uint8_t *p)
{
	size_t n = 4;
	unsigned theirs = fill >> 11;
	cow_put_le32(p, POSIX_ACL_XATTR_VERSION);
	n += acl_entry(p + n, ACL_USER_OBJ, fill, ACL_UNDEFINED_ID);
	if (fill & 1u << 9)
		n += acl_entry(p + n, ACL_USER, theirs, 1000);
	n += acl_entry(p + n, ACL_GROUP_OBJ, fill >> 3, ACL_UNDEFINED_ID);
	if (fill & 1u << 10)
		n += acl_entry(p + n, ACL_GROUP, theirs, 1001);
	if (fill & 3u << 9)
		n += acl_entry(p + n, ACL_MASK, fill >> 14, ACL_UNDEFINED_ID);
	n += acl_entry(p + n, ACL_OTHER, fill >> 6, ACL_UNDEFINED_ID);
	return n;
}

static size_t capability_value(unsigned fill, uint8_t *p)
{
	memset(p, 0, XATTR_CAPS_SZ_2);
	cow_put_le32(p, VFS_CAP_REVISION_2 | (fill & 1 ? VFS_CAP_FLAGS_EFFECTIVE : 0));
	cow_put_le32(p + 4, fill & 0xffff);
	return XATTR_CAPS_SZ_2;
}

size_t xattr_value(unsigned xattr, unsigned fill, size_t len, uint8_t ret[VALUE_MAX])
{
	if (xattr == XATTR_ACL_ACCESS || xattr == XATTR_ACL_DEFAULT)
		return acl_value(fill, ret);
	if (xattr == XATTR_CAPABILITY)
		return capability_value(fill, ret);
	if (len > VALUE_MAX)
		len = VALUE_MAX;
	fill_bytes(ret, len, fill, 0);
	return len;
}

void fill_bytes(uint8_t *buf, size_t len, unsigned fill, uint64_t off)
{
	for (size_t k = 0; k < len; k++) {
		uint64_t at = off + k;
		buf[k] = (uint8_t)(fill * 131 + at * 7 + (at >> 8) * 13 + (at >> 12));
	}
}

struct timespec old_mtime(unsigned time)
{
	return (struct timespec){OLD_TIME + (time_t)(time % OLD_SPAN),
				 (long)((time * 7919ull) % 1000000000)};
}

struct timespec old_atime(unsigned time)
{
	return (struct timespec){OLD_TIME + (time_t)((time + OLD_SPAN / 2) % OLD_SPAN),
				 (long)((time * 104729ull) % 1000000000)};
}

bool is_old(const struct timespec *ts)
{
	return ts->tv_sec < OLD_TIME + OLD_SPAN;
}
