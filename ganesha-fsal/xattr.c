/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Extended attributes over NFSv4.2 (RFC 8276): only user.*, whose prefix is not on the wire. The
 * server's core checks no permission for them, and does not drop its cached attributes after a
 * change.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/bounds.h"
#include "glue11.h"

#define PREFIX "user."
#define PREFIX_LEN (sizeof(PREFIX) - 1)

static int full_name(const xattrkey4 *key, char ret[COW_XATTR_NAME_MAX + 1])
{
	if (key->utf8string_len == 0 || memchr(key->utf8string_val, 0, key->utf8string_len))
		return -EINVAL;
	if (key->utf8string_len > COW_XATTR_NAME_MAX - PREFIX_LEN)
		return -ENAMETOOLONG;
	memcpy(ret, PREFIX, PREFIX_LEN);
	memcpy(ret + PREFIX_LEN, key->utf8string_val, key->utf8string_len);
	ret[PREFIX_LEN + key->utf8string_len] = '\0';
	return 0;
}

/* As in xattr(7), "User extended attributes". */
static int may_xattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, unsigned may)
{
	struct cow_ovl_attr a;
	int r = cow_ovl_getattr(n, &a);
	if (r < 0)
		return r;
	if (!S_ISREG(a.mode) && !S_ISDIR(a.mode))
		return may & COW_MAY_WRITE ? -EPERM : -ENODATA;
	if (S_ISDIR(a.mode) && a.mode & S_ISVTX && may & COW_MAY_WRITE && cred->uid != 0 &&
	    cred->uid != a.uid)
		return -EPERM;
	return cow_perm_check(&a, cred, may);
}

static fsal_status_t op_getxattrs(struct fsal_obj_handle *h, xattrkey4 *key, xattrvalue4 *value)
{
	struct cow_obj *o = cow_obj_of(h);
	struct cow_ovl_cred cred = cow_caller();
	char name[COW_XATTR_NAME_MAX + 1];
	cow_autouse u = {0};
	int r = full_name(key, name);
	if (r == 0)
		r = cow_use(o, &u);
	if (r == 0)
		r = may_xattr(u.n, &cred, COW_MAY_READ);
	if (r < 0)
		return cow_obj_status(o, r);
	/* Length 0 asks for the size, as in the system call. */
	ssize_t n = cow_ovl_getxattr(u.n, name, value->utf8string_val, value->utf8string_len);
	if (n < 0)
		return cow_obj_status(o, (int)n);
	value->utf8string_len = (unsigned)n;
	return cow_status(0);
}

static fsal_status_t change(struct cow_obj *o, const xattrkey4 *key, const xattrvalue4 *value,
			    int flags)
{
	struct cow_ovl_cred cred = cow_caller();
	char name[COW_XATTR_NAME_MAX + 1];
	cow_autouse u = {0};
	int r = full_name(key, name);
	if (r == 0)
		r = cow_use(o, &u);
	if (r == 0)
		r = may_xattr(u.n, &cred, COW_MAY_WRITE);
	if (r < 0)
		return cow_obj_status(o, r);
	if (value)
		r = cow_ovl_setxattr(u.n, &cred, name, value->utf8string_val, value->utf8string_len,
				     flags);
	else
		r = cow_ovl_removexattr(u.n, &cred, name);
	if (r == 0)
		cow_obj_changed(o);
	return cow_obj_status(o, r);
}

static fsal_status_t op_setxattrs(struct fsal_obj_handle *h, setxattr_option4 option,
				  xattrkey4 *key, xattrvalue4 *value)
{
	int flags = 0;
	if (option == SETXATTR4_CREATE)
		flags = XATTR_CREATE;
	else if (option == SETXATTR4_REPLACE)
		flags = XATTR_REPLACE;
	return change(cow_obj_of(h), key, value, flags);
}

static fsal_status_t op_removexattrs(struct fsal_obj_handle *h, xattrkey4 *key)
{
	return change(cow_obj_of(h), key, NULL, 0);
}

/* All names in memory the caller frees. Return: bytes. */
static ssize_t list_all(struct cow_ovl_node *n, char **ret)
{
	for (;;) {
		ssize_t size = cow_ovl_listxattr(n, NULL, 0);
		if (size <= 0)
			return size;
		char *buf = malloc((size_t)size);
		if (!buf)
			return -ENOMEM;
		ssize_t got = cow_ovl_listxattr(n, buf, (size_t)size);
		if (got >= 0) {
			*ret = buf;
			return got;
		}
		free(buf);
		if (got != -ERANGE) /* else: one more was set meanwhile */
			return got;
	}
}

static fsal_status_t op_listxattrs(struct fsal_obj_handle *h, count4 max, nfs_cookie4 *cookie,
				   bool_t *eof, xattrlist4 *names)
{
	struct cow_obj *o = cow_obj_of(h);
	struct cow_ovl_cred cred = cow_caller();
	cow_autofree char *buf = NULL;
	cow_autouse u = {0};
	ssize_t n = cow_use(o, &u);
	if (n == 0)
		n = may_xattr(u.n, &cred, COW_MAY_READ);
	if (n == 0)
		n = list_all(u.n, &buf);
	if (n == -ENODATA)
		n = 0; /* a type that can have none */
	if (n < 0)
		return cow_obj_status(o, (int)n);
	return fsal_listxattr_helper(buf ? buf : "", (size_t)n, max, cookie, eof, names);
}

void cow_ops_xattr(struct fsal_obj_ops *ops)
{
	ops->getxattrs = op_getxattrs;
	ops->setxattrs = op_setxattrs;
	ops->removexattrs = op_removexattrs;
	ops->listxattrs = op_listxattrs;
}
