/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Handles between wire, server cache and engine (layout: glue11.h). Everything a client sends is
 * checked in wire_to_host; what passed it is a handle the attached instance has given out.
 */
#include <errno.h>
#include <string.h>

#include "glue11.h"

static fsal_status_t ok(void)
{
	return fsalstat(ERR_FSAL_NO_ERROR, 0);
}

static int bind_for_handle(struct cow_export *e, struct cow_nfs_bind **ret)
{
	int r = cow_nfs_root_bind(e->root, ret);
	return r == -ENOENT || r == -ESHUTDOWN ? -ESTALE : r;
}

/* Could this be one of ours? Needs nothing but its bytes. */
static int looks_right(const struct gsh_buffdesc *fh)
{
	const uint8_t *p = fh->addr;
	return fh->len >= 2 && fh->len <= COW_FSAL_WIRE_MAX && p[0] == COW_FSAL_HANDLE_V1;
}

/* Engine handle inside @fh, or the reason why there is none. */
static int unwrap(const struct cow_nfs_bind *b, const struct gsh_buffdesc *fh, const uint8_t **ret,
		  size_t *ret_len)
{
	const uint8_t *p = fh->addr;
	if (!looks_right(fh))
		return -EBADMSG;
	*ret = p + 1;
	*ret_len = fh->len - 1;
	return cow_ovl_handle_check(b->inst, *ret, *ret_len);
}

static void note_caller(struct cow_export *e)
{
	char text[46];
	if (!op_ctx->caller_addr)
		return; /* the server itself */
	if (!cow_nfs_root_seen_due(e->root))
		return;
	if (sprint_sockip(op_ctx->caller_addr, text, sizeof(text)))
		cow_nfs_root_seen(e->root, strncmp(text, "::ffff:", 7) ? text : text + 7);
}

/* Runs for every PUTFH and every NFSv3 call, also when the object is in the server's cache: so an
 * epoch that changed is noticed by the very next request. */
fsal_status_t cow_op_wire_to_host(struct fsal_export *ex, fsal_digesttype_t type,
				  struct gsh_buffdesc *fh, int flags)
{
	struct cow_export *e = cow_export_of(ex);
	cow_autobind b = NULL;
	const uint8_t *h;
	size_t len;
	/* What cannot be a handle does not make us attach a root. */
	int r = looks_right(fh) ? bind_for_handle(e, &b) : -EBADMSG;
	if (r == 0)
		r = unwrap(b, fh, &h, &len);
	if (r == 0)
		note_caller(e);
	else if (r == -EBADMSG)
		cow_refused(e, COW_REFUSE_MALFORMED);
	else if (r == -ESTALE)
		cow_refused(e, COW_REFUSE_STALE);
	return cow_status(r);
}

fsal_status_t cow_op_host_to_key(struct fsal_export *ex, struct gsh_buffdesc *fh)
{
	struct cow_export *e = cow_export_of(ex);
	cow_autobind b = NULL;
	uint8_t *p = fh->addr;
	int r = bind_for_handle(e, &b);
	if (r < 0)
		return cow_status(r);
	if (fh->len < 1 + COW_OVL_HANDLE_MAC_LEN || fh->len > COW_FSAL_WIRE_MAX)
		return cow_status(-EBADMSG);
	size_t len = fh->len - 1;
	if (cow_nfs_bind_is_root(b, p + 1, len)) {
		memcpy(p, e->root_key, sizeof(e->root_key));
		fh->len = sizeof(e->root_key);
		return ok();
	}
	/* May grow by less than FSAL_KEY_EXTRA_BYTES: it shrinks. */
	len -= COW_OVL_HANDLE_MAC_LEN;
	memmove(p + sizeof(struct cow_mac), p + 1, len);
	memcpy(p, e->root_key, sizeof(struct cow_mac));
	fh->len = sizeof(struct cow_mac) + len;
	return ok();
}

void cow_op_handle_to_key(struct fsal_obj_handle *h, struct gsh_buffdesc *fh)
{
	struct cow_obj *o = cow_obj_of(h);
	fh->addr = o->key;
	fh->len = o->key_len;
}

static fsal_status_t put_wire(struct gsh_buffdesc *fh, const uint8_t *h, size_t len)
{
	uint8_t *p = fh->addr;
	if (fh->len < 1 + len)
		return fsalstat(ERR_FSAL_TOOSMALL, 0);
	p[0] = COW_FSAL_HANDLE_V1;
	memcpy(p + 1, h, len);
	fh->len = 1 + len;
	return ok();
}

fsal_status_t cow_op_handle_to_wire(const struct fsal_obj_handle *h, fsal_digesttype_t type,
				    struct gsh_buffdesc *fh)
{
	const struct cow_obj *o = cow_obj_of_const(h);
	if (!o->is_root)
		return put_wire(fh, o->key + sizeof(struct cow_mac), o->handle_len);
	/* The root directory's handle is that of the tree attached now. */
	cow_autobind b = NULL;
	int r = cow_nfs_root_bind(o->root, &b);
	if (r < 0)
		return cow_obj_status(o, r);
	return put_wire(fh, b->root_handle, b->root_handle_len);
}

/* Called once per export, for its root. Attaches nothing: with hundreds of clients most are off.
 * The server asks for the attributes again when somebody wants them. */
fsal_status_t cow_op_lookup_path(struct fsal_export *ex, const char *path,
				 struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out)
{
	struct cow_export *e = cow_export_of(ex);
	if (strcmp(path, e->path) != 0)
		return fsalstat(ERR_FSAL_NOENT, ENOENT);
	struct cow_obj *o = cow_obj_new_root(e);
	if (!o)
		return cow_status(-ENOMEM);
	if (attrs_out)
		attrs_out->valid_mask = ATTR_RDATTR_ERR;
	*ret = &o->h;
	return ok();
}

fsal_status_t cow_op_create_handle(struct fsal_export *ex, struct gsh_buffdesc *fh,
				   struct fsal_obj_handle **ret, struct fsal_attrlist *attrs_out)
{
	struct cow_export *e = cow_export_of(ex);
	cow_autobind b = NULL;
	cow_autonode n = NULL;
	const uint8_t *h;
	size_t len;
	struct cow_ovl_attr a;
	int r = bind_for_handle(e, &b);
	if (r == 0)
		r = unwrap(b, fh, &h, &len);
	if (r == 0)
		r = cow_ovl_from_handle(b->inst, h, len, &n);
	if (r == 0)
		r = cow_ovl_getattr(n, &a);
	if (r < 0)
		return cow_status(r);
	struct cow_obj *o = cow_obj_new(e, b, n);
	if (!o)
		return cow_status(-ENOMEM);
	cow_attr_fill(o, &a, attrs_out);
	*ret = &o->h;
	return ok();
}
