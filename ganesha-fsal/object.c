/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Objects: what the server's cache holds one of per file, and how an operation gets from it to a
 * node of the instance that is attached now.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "glue11.h"

#define MAC_LEN sizeof(struct cow_mac)

/* -------------------------------------------------- life */

/* The server's own initialiser also links each object into a list of the module, under one lock for
 * all clients; only its last-resort cleanup at shutdown reads that list. */
static void obj_init(struct cow_obj *o, struct cow_export *e, object_file_type_t type)
{
	o->h.fsal = e->e.fsal;
	o->h.obj_ops = &cow_module.obj_ops;
	o->h.type = type;
	o->h.fsid = e->fsid;
	glist_init(&o->h.handles);
	pthread_rwlock_init(&o->h.obj_lock, NULL);
	o->root = cow_nfs_root_get(e->root);
}

struct cow_obj *cow_obj_new_root(struct cow_export *e)
{
	struct cow_obj *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	obj_init(o, e, DIRECTORY);
	o->is_root = 1;
	o->h.fileid = COW_FSAL_ROOT_FILEID;
	memcpy(o->key, e->root_key, sizeof(e->root_key));
	o->key_len = sizeof(e->root_key);
	return o;
}

struct cow_obj *cow_obj_new(struct cow_export *e, const struct cow_nfs_bind *b,
			    struct cow_ovl_node *n)
{
	uint8_t handle[COW_OVL_HANDLE_MAX];
	size_t len = cow_ovl_handle(n, handle);
	if (cow_nfs_bind_is_root(b, handle, len))
		return cow_obj_new_root(e);
	struct cow_obj *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	obj_init(o, e, posix2fsal_type(cow_ovl_type(n)));
	o->h.fileid = cow_ovl_id(n);
	o->node = cow_ovl_get(n);
	o->serial = b->serial;
	o->epoch = b->epoch;
	memcpy(o->key, e->root_key, MAC_LEN);
	memcpy(o->key + MAC_LEN, handle, len);
	o->handle_len = (uint8_t)len;
	o->key_len = (uint8_t)(MAC_LEN + len - COW_OVL_HANDLE_MAC_LEN);
	o->listed.key = o->key;
	o->listed.key_len = o->key_len;
	cow_objects_add(&o->root->objects, &o->listed, o->epoch);
	return o;
}

void cow_obj_free(struct cow_obj *o)
{
	if (!o)
		return;
	cow_objects_remove(&o->root->objects, &o->listed);
	cow_ovl_put(o->node);
	pthread_rwlock_destroy(&o->h.obj_lock);
	cow_nfs_root_put(o->root);
	free(o);
}

static void op_release(struct fsal_obj_handle *h)
{
	cow_obj_free(cow_obj_of(h));
}

/* The server made two objects of one file and keeps @orig. */
static fsal_status_t op_merge(struct fsal_obj_handle *orig, struct fsal_obj_handle *dupe)
{
	if (orig == dupe || orig->type != REGULAR_FILE)
		return fsalstat(ERR_FSAL_NO_ERROR, 0);
	struct cow_obj *to = cow_obj_of(orig), *from = cow_obj_of(dupe);
	return merge_share(orig, &to->share, &from->share);
}

/* -------------------------------------------------- use */

/* The instance was detached while idle and attached again: same handle, new node. */
static int renew_node(struct cow_obj *o, const struct cow_nfs_bind *b, struct cow_ovl_node **ret)
{
	struct cow_ovl_node *n;
	int r = cow_ovl_from_handle(b->inst, o->key + MAC_LEN, o->handle_len, &n);
	if (r < 0)
		return r;
	*ret = cow_ovl_get(n);
	pthread_rwlock_wrlock(&o->h.obj_lock);
	struct cow_ovl_node *old = o->node;
	o->node = n;
	o->serial = b->serial;
	pthread_rwlock_unlock(&o->h.obj_lock);
	cow_ovl_put(old);
	return 0;
}

static int bind_error(const struct cow_obj *o, int r)
{
	if (r == -EBUSY || r == -ENOMEM)
		return r;
	if (o->is_root)
		return -EIO; /* why was logged by the attach; stale it must never be */
	return r == -ENOENT || r == -ESHUTDOWN ? -ESTALE : -EIO;
}

int cow_use(struct cow_obj *o, struct cow_use *u)
{
	int r = cow_nfs_root_bind(o->root, &u->b);
	if (r < 0)
		return bind_error(o, r);
	if (o->is_root) {
		u->n = cow_ovl_get(u->b->root);
		return 0;
	}
	if (o->epoch != u->b->epoch)
		return -ESTALE;
	pthread_rwlock_rdlock(&o->h.obj_lock);
	if (o->serial == u->b->serial)
		u->n = cow_ovl_get(o->node);
	pthread_rwlock_unlock(&o->h.obj_lock);
	return u->n ? 0 : renew_node(o, u->b, &u->n);
}

void cow_use_done(struct cow_use *u)
{
	cow_ovl_put(u->n);
	cow_nfs_bind_put(u->b);
	*u = (struct cow_use){0};
}

/* -------------------------------------------------- attributes */

void cow_attr_fill(const struct cow_obj *o, const struct cow_ovl_attr *a, struct fsal_attrlist *out)
{
	if (!out)
		return;
	out->supported = cow_module.fsal.fs_info.supported_attrs;
	out->type = o->h.type;
	out->filesize = a->size;
	out->fsid = o->h.fsid;
	out->fileid = o->h.fileid;
	out->mode = unix2fsal_mode(a->mode);
	out->numlinks = a->nlink;
	out->owner = a->uid;
	out->group = a->gid;
	out->rawdev.major = major(a->rdev);
	out->rawdev.minor = minor(a->rdev);
	out->atime = a->atime;
	out->ctime = a->ctime;
	out->mtime = a->mtime;
	out->spaceused = a->bytes_used;
	out->change = a->change;
	out->valid_mask |= ATTRS_POSIX;
}

fsal_status_t cow_attr_answer(const struct cow_obj *o, int r, const struct cow_ovl_attr *a,
			      struct fsal_attrlist *out)
{
	if (r == 0) {
		cow_attr_fill(o, a, out);
	} else if (out && out->request_mask & ATTR_RDATTR_ERR) {
		out->valid_mask = ATTR_RDATTR_ERR;
		r = 0;
	}
	return cow_obj_status(o, out ? r : 0);
}

void cow_set_from(const struct fsal_attrlist *in, struct cow_ovl_set *set)
{
	*set = (struct cow_ovl_set){0};
	if (!in)
		return;
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_MODE)) {
		set->mask |= COW_SET_MODE;
		set->mode = fsal2unix_mode(in->mode) & 07777;
	}
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_OWNER)) {
		set->mask |= COW_SET_UID;
		set->uid = (uid_t)in->owner;
	}
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_GROUP)) {
		set->mask |= COW_SET_GID;
		set->gid = (gid_t)in->group;
	}
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_SIZE)) {
		set->mask |= COW_SET_SIZE;
		set->size = in->filesize;
	}
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_ATIME_SERVER)) {
		set->mask |= COW_SET_ATIME_NOW;
	} else if (FSAL_TEST_MASK(in->valid_mask, ATTR_ATIME)) {
		set->mask |= COW_SET_ATIME;
		set->atime = in->atime;
	}
	if (FSAL_TEST_MASK(in->valid_mask, ATTR_MTIME_SERVER)) {
		set->mask |= COW_SET_MTIME_NOW;
	} else if (FSAL_TEST_MASK(in->valid_mask, ATTR_MTIME)) {
		set->mask |= COW_SET_MTIME;
		set->mtime = in->mtime;
	}
}

struct cow_ovl_cred cow_caller(void)
{
	return (struct cow_ovl_cred){.uid = op_ctx->creds.caller_uid,
				     .gid = op_ctx->creds.caller_gid,
				     .groups = op_ctx->creds.caller_garray,
				     .ngroups = op_ctx->creds.caller_glen};
}

static fsal_status_t op_getattrs(struct fsal_obj_handle *h, struct fsal_attrlist *out)
{
	struct cow_obj *o = cow_obj_of(h);
	struct cow_ovl_attr a;
	int r, old;
	/* The root directory outlives swaps of the tree: attributes of the tree before must not be
	 * left in the server's cache, so look again after the fact. */
	do {
		cow_autouse u = {0};
		r = cow_use(o, &u);
		if (r == 0)
			r = cow_ovl_getattr(u.n, &a);
		old = o->is_root && u.b && !cow_nfs_bind_current(u.b);
	} while (old);
	return cow_attr_answer(o, r, &a, out);
}

/* Permissions were checked by the server (fsal_setattr), with setuid and setgid rules. */
static fsal_status_t op_setattr2(struct fsal_obj_handle *h, bool bypass, struct state_t *state,
				 struct fsal_attrlist *in)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	struct cow_ovl_set set;
	cow_set_from(in, &set);
	if (set.mask & COW_SET_SIZE) {
		if (h->type != REGULAR_FILE)
			return fsalstat(ERR_FSAL_INVAL, EINVAL);
		fsal_status_t s = cow_share_allows(o, state, FSAL_O_WRITE, bypass);
		if (FSAL_IS_ERROR(s))
			return s;
	}
	struct cow_ovl_cred cred = cow_caller();
	return cow_obj_status(o, cow_ovl_setattr(u.n, &cred, &set, NULL));
}

static fsal_status_t op_readlink(struct fsal_obj_handle *h, struct gsh_buffdesc *out, bool refresh)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	char target[COW_SYMLINK_MAX];
	ssize_t n = cow_ovl_readlink(u.n, target, sizeof(target));
	if (n < 0)
		return cow_obj_status(o, (int)n);
	char *copy = malloc((size_t)n + 1);
	if (!copy)
		return cow_status(-ENOMEM);
	memcpy(copy, target, (size_t)n);
	copy[n] = '\0';
	out->addr = copy; /* the server frees it */
	out->len = (size_t)n + 1;
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

void cow_obj_changed(struct cow_obj *o)
{
	struct gsh_buffdesc key = {.addr = o->key, .len = o->key_len};
	const struct fsal_up_vector *up = op_ctx->fsal_export->up_ops;
	/* Not in the cache is success; there is no other failure we could do anything about. */
	(void)up->invalidate(up, &key, FSAL_UP_INVALIDATE_ATTRS);
}

void cow_obj_ops_init(struct fsal_obj_ops *ops)
{
	fsal_default_obj_ops_init(ops);
	cow_ops_stubs(ops);
	ops->release = op_release;
	ops->merge = op_merge;
	ops->getattrs = op_getattrs;
	ops->setattr2 = op_setattr2;
	ops->readlink = op_readlink;
	ops->handle_to_wire = cow_op_handle_to_wire;
	ops->handle_to_key = cow_op_handle_to_key;
	cow_ops_dir(ops);
	cow_ops_names(ops);
	cow_ops_file(ops);
	cow_ops_io(ops);
	cow_ops_xattr(ops);
}
