/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names: look up, make, link, remove, rename; and what the kernel forgets.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

static void reply_entry(fuse_req_t req, struct cow_ovl_node *n, const struct cow_ovl_attr *a)
{
	struct fuse_entry_param e;
	cow_entry_of(cow_front_of(req), n, a, &e);
	if (fuse_reply_entry(req, &e) != 0)
		cow_ovl_put(n); /* nobody took it */
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct cow_ovl_node *n;
	struct cow_ovl_attr a;
	int r = cow_ovl_lookup(cow_node_of(req, parent), name, strlen(name), &n, &a);
	if (r == 0) {
		reply_entry(req, n, &a);
	} else if (r == -ENOENT) { /* "not there" is kept as well */
		struct fuse_entry_param none = {.entry_timeout = cow_front_of(req)->timeout_s};
		(void)fuse_reply_entry(req, &none);
	} else {
		cow_reply_int(req, r);
	}
}

static void drop(struct cow_ovl_node *n, uint64_t count)
{
	while (count-- > 0)
		cow_ovl_put(n);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	if (ino != FUSE_ROOT_ID)
		drop(cow_node_of(req, ino), nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *v)
{
	for (size_t k = 0; k < count; k++)
		if (v[k].ino != FUSE_ROOT_ID)
			drop(cow_node_of(req, v[k].ino), v[k].nlookup);
	fuse_reply_none(req);
}

/* A default ACL takes the place of the umask. */
static mode_t masked(fuse_req_t req, struct cow_ovl_node *dir, mode_t mode)
{
	mode_t umask = fuse_req_ctx(req)->umask & 0777;
	if ((mode & umask) == 0)
		return mode;
	return cow_ovl_getxattr(dir, "system.posix_acl_default", NULL, 0) > 0 ? mode
									      : mode & ~umask;
}

int cow_front_make(fuse_req_t req, fuse_ino_t parent, const char *name, struct cow_ovl_create *how,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	struct cow_caller who;
	struct cow_ovl_node *dir = cow_node_of(req, parent);
	if (!S_ISLNK(how->type))
		how->mode = masked(req, dir, how->mode);
	cow_caller_of(req, how->mode & S_ISGID, &who);
	unsigned tries = 0;
	int r;
	do {
		r = cow_ovl_create(dir, name, strlen(name), &who.cred, how, ret, ret_attr);
	} while (cow_front_again(req, r, &tries));
	return r;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, struct cow_ovl_create how)
{
	struct cow_ovl_node *n;
	struct cow_ovl_attr a;
	int r = cow_front_make(req, parent, name, &how, &n, &a);
	if (r < 0)
		cow_reply_int(req, r);
	else
		reply_entry(req, n, &a);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, parent, name,
	     (struct cow_ovl_create){.type = mode & S_IFMT, .mode = mode & 07777, .rdev = rdev});
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, (struct cow_ovl_create){.type = S_IFDIR, .mode = mode & 07777});
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name,
	     (struct cow_ovl_create){.type = S_IFLNK, .mode = 0777, .target = target});
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct cow_caller who;
	struct cow_ovl_attr a;
	struct cow_ovl_node *n = cow_node_of(req, ino);
	cow_caller_of(req, false, &who);
	int r = cow_ovl_link(n, cow_node_of(req, parent), name, strlen(name), &who.cred);
	if (r == 0)
		r = cow_ovl_getattr(n, &a);
	if (r < 0)
		cow_reply_int(req, r);
	else
		reply_entry(req, cow_ovl_get(n), &a);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, unsigned flags)
{
	struct cow_caller who;
	cow_caller_of(req, false, &who);
	cow_reply_int(
	    req, cow_ovl_remove(cow_node_of(req, parent), name, strlen(name), &who.cred, flags));
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, COW_REMOVE_FILE);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, COW_REMOVE_DIR);
}

static void op_rename(fuse_req_t req, fuse_ino_t dir1, const char *name1, fuse_ino_t dir2,
		      const char *name2, unsigned flags)
{
	struct cow_caller who;
	cow_caller_of(req, false, &who);
	cow_reply_int(req, cow_ovl_rename(cow_node_of(req, dir1), name1, strlen(name1),
					  cow_node_of(req, dir2), name2, strlen(name2), flags,
					  &who.cred));
}

void cow_name_ops(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
