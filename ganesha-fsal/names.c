/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Changing directories: mkdir, mknod, symlink, link, rename, unlink. The server's core checks no
 * permission for any of them: every one here does, on the engine's attributes.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "glue11.h"
#include "names.h"

int cow_create_prepare(struct cow_ovl_node *dir, const struct cow_ovl_cred *cred,
		       const struct fsal_attrlist *in, mode_t default_mode,
		       struct cow_ovl_create *how)
{
	struct cow_ovl_attr da;
	int r = cow_ovl_getattr(dir, &da);
	if (r == 0)
		r = cow_perm_add(&da, cred);
	if (r < 0)
		return r;
	cow_set_from(in, &how->set);
	how->mode = how->set.mask & COW_SET_MODE ? how->set.mode : default_mode;
	how->set.mask &= ~(unsigned)COW_SET_MODE;
	if (how->type != S_IFREG)
		how->set.mask &= ~(unsigned)COW_SET_SIZE;
	return cow_perm_give(&how->set, cred);
}

static fsal_status_t create(struct fsal_obj_handle *h, const char *name, struct cow_ovl_create *how,
			    mode_t default_mode, const struct fsal_attrlist *in,
			    struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out)
{
	struct cow_obj *dir = cow_obj_of(h);
	struct cow_ovl_cred cred = cow_caller();
	cow_autouse u = {0};
	cow_autonode n = NULL;
	struct cow_ovl_attr a;
	int r = cow_use(dir, &u);
	if (r == 0)
		r = cow_create_prepare(u.n, &cred, in, default_mode, how);
	if (r == 0)
		r = cow_ovl_create(u.n, name, strlen(name), &cred, how, &n, &a);
	if (r < 0)
		return cow_obj_status(dir, r);
	struct cow_obj *o = cow_obj_new(cow_export_of(op_ctx->fsal_export), u.b, n);
	if (!o)
		return cow_status(-ENOMEM);
	cow_attr_fill(o, &a, attrs_out);
	*ret = &o->h;
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

static fsal_status_t op_mkdir(struct fsal_obj_handle *h, const char *name, struct fsal_attrlist *in,
			      struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out)
{
	struct cow_ovl_create how = {.type = S_IFDIR};
	return create(h, name, &how, 0700, in, ret, attrs_out);
}

static mode_t node_type(object_file_type_t t)
{
	switch (t) {
	case CHARACTER_FILE:
		return S_IFCHR;
	case BLOCK_FILE:
		return S_IFBLK;
	case FIFO_FILE:
		return S_IFIFO;
	case SOCKET_FILE:
		return S_IFSOCK;
	default:
		return 0;
	}
}

static fsal_status_t op_mknode(struct fsal_obj_handle *h, const char *name, object_file_type_t type,
			       struct fsal_attrlist *in, struct fsal_obj_handle **ret,
			       struct fsal_attrlist *attrs_out)
{
	struct cow_ovl_create how = {.type = node_type(type)};
	if (!how.type)
		return fsalstat(ERR_FSAL_BADTYPE, EINVAL);
	if (type == CHARACTER_FILE || type == BLOCK_FILE) {
		if (op_ctx->creds.caller_uid != 0)
			return fsalstat(ERR_FSAL_PERM, EPERM); /* mknod(2): CAP_MKNOD */
		how.rdev = makedev(in->rawdev.major, in->rawdev.minor);
	}
	return create(h, name, &how, 0600, in, ret, attrs_out);
}

static fsal_status_t op_symlink(struct fsal_obj_handle *h, const char *name, const char *target,
				struct fsal_attrlist *in, struct fsal_obj_handle **ret,
				struct fsal_attrlist *attrs_out)
{
	struct cow_ovl_create how = {.type = S_IFLNK, .target = target};
	return create(h, name, &how, 0777, in, ret, attrs_out);
}

/* Two objects of one operation must be of one tree: an epoch that changed in between makes both
 * old. */
static int use_two(struct cow_obj *a, struct cow_use *ua, struct cow_obj *b, struct cow_use *ub)
{
	int r = cow_use(a, ua);
	if (r == 0)
		r = cow_use(b, ub);
	if (r == 0 && ua->b->epoch != ub->b->epoch)
		r = -ESTALE;
	return r;
}

static fsal_status_t op_link(struct fsal_obj_handle *h, struct fsal_obj_handle *dir_h,
			     const char *name)
{
	struct cow_obj *o = cow_obj_of(h), *dir = cow_obj_of(dir_h);
	struct cow_ovl_cred cred = cow_caller();
	cow_autouse uo = {0};
	cow_autouse ud = {0};
	struct cow_ovl_attr da;
	int r = use_two(o, &uo, dir, &ud);
	if (r == 0)
		r = cow_ovl_getattr(ud.n, &da);
	if (r == 0)
		r = cow_perm_add(&da, &cred);
	if (r == 0)
		r = cow_ovl_link(uo.n, ud.n, name, strlen(name), &cred);
	if (r == 0)
		cow_obj_changed(dir); /* with Dir_Chunk=0 the server forgets to */
	return cow_obj_status(dir, r);
}

/* May the caller take @name, which is @victim, out of @dir? */
static int may_remove(struct cow_ovl_node *dir, struct cow_ovl_node *victim,
		      const struct cow_ovl_cred *cred)
{
	struct cow_ovl_attr da, va;
	int r = cow_ovl_getattr(dir, &da);
	if (r == 0)
		r = cow_ovl_getattr(victim, &va);
	return r < 0 ? r : cow_perm_remove(&da, &va, cred);
}

static fsal_status_t op_unlink(struct fsal_obj_handle *dir_h, struct fsal_obj_handle *h,
			       const char *name)
{
	struct cow_obj *dir = cow_obj_of(dir_h), *o = cow_obj_of(h);
	struct cow_ovl_cred cred = cow_caller();
	cow_autouse ud = {0};
	cow_autouse uo = {0};
	int r = use_two(dir, &ud, o, &uo);
	if (r == 0)
		r = may_remove(ud.n, uo.n, &cred);
	if (r == 0)
		r = cow_ovl_remove(ud.n, name, strlen(name), &cred,
				   h->type == DIRECTORY ? COW_REMOVE_DIR : COW_REMOVE_FILE);
	return cow_obj_status(dir, r);
}

/* May the caller put @o there, replacing what may be there? */
static int may_place(struct cow_use *u2, const char *name2, const struct cow_ovl_cred *cred)
{
	cow_autonode victim = NULL;
	struct cow_ovl_attr da;
	int r = cow_ovl_lookup(u2->n, name2, strlen(name2), &victim, NULL);
	if (r == 0)
		return may_remove(u2->n, victim, cred);
	if (r != -ENOENT)
		return r;
	r = cow_ovl_getattr(u2->n, &da);
	return r < 0 ? r : cow_perm_add(&da, cred);
}

static int may_rename(struct cow_use *uo, struct cow_use *u1, struct cow_use *u2, const char *name2,
		      const struct cow_ovl_cred *cred)
{
	struct cow_ovl_attr a;
	int r = may_remove(u1->n, uo->n, cred);
	if (r == 0)
		r = may_place(u2, name2, cred);
	/* A directory that gets another parent is written to: its "..". */
	if (r == 0 && S_ISDIR(cow_ovl_type(uo->n)) && cow_ovl_id(u1->n) != cow_ovl_id(u2->n)) {
		r = cow_ovl_getattr(uo->n, &a);
		if (r == 0)
			r = cow_perm_check(&a, cred, COW_MAY_WRITE);
	}
	return r;
}

static fsal_status_t op_rename(struct fsal_obj_handle *h, struct fsal_obj_handle *dir1_h,
			       const char *name1, struct fsal_obj_handle *dir2_h, const char *name2)
{
	struct cow_obj *o = cow_obj_of(h), *d1 = cow_obj_of(dir1_h), *d2 = cow_obj_of(dir2_h);
	struct cow_ovl_cred cred = cow_caller();
	cow_autouse uo = {0};
	cow_autouse u1 = {0};
	cow_autouse u2 = {0};
	int r = use_two(o, &uo, d1, &u1);
	if (r == 0)
		r = cow_use(d2, &u2);
	if (r == 0 && u2.b->epoch != u1.b->epoch)
		r = -ESTALE;
	if (r == 0)
		r = may_rename(&uo, &u1, &u2, name2, &cred);
	if (r == 0)
		r = cow_ovl_rename(u1.n, name1, strlen(name1), u2.n, name2, strlen(name2), 0,
				   &cred);
	return cow_obj_status(d1, r);
}

void cow_ops_names(struct fsal_obj_ops *ops)
{
	ops->mkdir = op_mkdir;
	ops->mknode = op_mknode;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rename = op_rename;
}
