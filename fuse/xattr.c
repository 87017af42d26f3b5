/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Extended attributes, ACLs among them: the kernel interprets those, the engine stores them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "internal.h"

#define ACL_ACCESS "system.posix_acl_access"

/* The reply to a call that fills a buffer or, with none, tells the size. */
static void reply_sized(fuse_req_t req, ssize_t n, size_t size, const char *buf)
{
	if (n < 0)
		cow_reply_int(req, (int)n);
	else if (size == 0)
		(void)fuse_reply_xattr(req, (size_t)n);
	else
		(void)fuse_reply_buf(req, buf, (size_t)n);
}

static char *buffer(size_t *size)
{
	if (*size > COW_XATTR_SIZE_MAX)
		*size = COW_XATTR_SIZE_MAX;
	return malloc(*size ? *size : 1);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char *buf = buffer(&size);
	ssize_t n = buf ? cow_ovl_getxattr(cow_node_of(req, ino), name, buf, size) : -ENOMEM;
	reply_sized(req, n, size, buf);
	free(buf);
}

/* trusted.* is root's alone, as xattr(7) has it. */
static ssize_t leave_out_trusted(char *buf, ssize_t len)
{
	char *out = buf;
	for (char *p = buf; len > 0 && p < buf + len;) {
		size_t n = strlen(p) + 1;
		if (strncmp(p, "trusted.", 8) != 0) {
			memmove(out, p, n);
			out += n;
		}
		p += n;
	}
	return len < 0 ? len : out - buf;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *buf = buffer(&size);
	ssize_t n = buf ? cow_ovl_listxattr(cow_node_of(req, ino), buf, size) : -ENOMEM;
	if (size > 0 && fuse_req_ctx(req)->uid != 0)
		n = leave_out_trusted(buf, n);
	reply_sized(req, n, size, buf);
	free(buf);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	struct cow_caller who;
	cow_caller_of(req, strcmp(name, ACL_ACCESS) == 0, &who); /* may cost the setgid bit */
	cow_reply_int(req,
		      cow_ovl_setxattr(cow_node_of(req, ino), &who.cred, name, value, size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct cow_caller who;
	cow_caller_of(req, strcmp(name, ACL_ACCESS) == 0, &who);
	cow_reply_int(req, cow_ovl_removexattr(cow_node_of(req, ino), &who.cred, name));
}

void cow_xattr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
