/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Looking into directories: lookup and readdir. The server has checked the permissions.
 */
#include <errno.h>
#include <string.h>

#include "glue11.h"

static fsal_status_t op_lookup(struct fsal_obj_handle *h, const char *name,
			       struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out)
{
	struct cow_obj *dir = cow_obj_of(h);
	cow_autouse u = {0};
	cow_autonode n = NULL;
	struct cow_ovl_attr a;
	/* The server asks for ".." of directories it meets by handle. Above the root there is
	 * nothing; of each new export it asks that too, which must not attach the instance. */
	if (dir->is_root && !strcmp(name, ".."))
		return fsalstat(ERR_FSAL_NOENT, ENOENT);
	int r = cow_use(dir, &u);
	if (r < 0)
		return cow_obj_status(dir, r);
	if (!strcmp(name, ".."))
		r = cow_ovl_parent(u.n, &n);
	else
		r = cow_ovl_lookup(u.n, name, strlen(name), &n, NULL);
	if (r < 0)
		return cow_obj_status(dir, r);
	r = cow_ovl_getattr(n, &a);
	struct cow_obj *o = cow_obj_new(cow_export_of(op_ctx->fsal_export), u.b, n);
	if (!o)
		return cow_status(-ENOMEM);
	fsal_status_t s = cow_attr_answer(o, r, &a, attrs_out);
	if (FSAL_IS_ERROR(s)) {
		cow_obj_free(o);
		return s;
	}
	*ret = &o->h;
	return s;
}

struct readdir_ctx {
	struct cow_export *e;
	const struct cow_nfs_bind *b;
	fsal_readdir_cb cb;
	void *dir_state;
	attrmask_t mask;
};

/* One entry to the server. Its callback takes the object over, whatever it answers. */
static int give_entry(void *arg, const struct cow_ovl_dirent *ent)
{
	struct readdir_ctx *c = arg;
	struct fsal_attrlist attrs;
	if (c->e->closing)
		return -ESTALE; /* must not enter the server's cache any more */
	struct cow_obj *o = cow_obj_new(c->e, c->b, ent->node);
	if (!o)
		return -ENOMEM;
	fsal_prepare_attrs(&attrs, c->mask);
	cow_attr_fill(o, ent->attr, &attrs);
	enum fsal_dir_result res = c->cb(ent->name, &o->h, &attrs, c->dir_state, ent->cookie);
	fsal_release_attrs(&attrs);
	/* READAHEAD: taken, but no more is wanted now; we do not read ahead. */
	return res >= DIR_READAHEAD ? 1 : 0;
}

static fsal_status_t read_entries(struct cow_obj *dir, struct cow_export *e, uint64_t cookie,
				  struct readdir_ctx *c, bool *eof)
{
	cow_autouse u = {0};
	int end = 0;
	int r = cow_use(dir, &u);
	if (r < 0)
		return cow_obj_status(dir, r);
	c->b = u.b;
	r = cow_ovl_readdir(u.n, cookie, COW_READDIR_NODES, give_entry, c, &end);
	*eof = r == 0 && end;
	return cow_obj_status(dir, r);
}

static fsal_status_t op_readdir(struct fsal_obj_handle *h, fsal_cookie_t *whence, void *dir_state,
				fsal_readdir_cb cb, attrmask_t mask, bool *eof)
{
	struct cow_export *e = cow_export_of(op_ctx->fsal_export);
	struct readdir_ctx c = {.e = e, .cb = cb, .dir_state = dir_state, .mask = mask};
	*eof = false;
	if (!cow_export_enter_readdir(e))
		return fsalstat(ERR_FSAL_STALE, ESTALE);
	fsal_status_t s = read_entries(cow_obj_of(h), e, whence ? *whence : 0, &c, eof);
	cow_export_leave_readdir(e);
	return s;
}

void cow_ops_dir(struct fsal_obj_ops *ops)
{
	ops->lookup = op_lookup;
	ops->readdir = op_readdir;
}
