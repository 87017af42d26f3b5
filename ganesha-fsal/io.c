/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data: read, write, commit, seek, allocate. Straight between the server's buffers and the engine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "glue11.h"
#include "nfs_core.h"

/*
 * The server answers READ_PLUS with success and no data, and Linux clients ask it by default on
 * NFSv4.2: every file would look empty. Refused, they fall back to READ for good (RFC
 * 7862, 15.10.3). The operation is not told to us, so look at the request around our context;
 * layout.c checks its layout.
 */
static int is_read_plus(void)
{
	if (!op_ctx->caller_addr || op_ctx->nfs_vers != NFS_V4 || op_ctx->nfs_minorvers < 2)
		return 0;
	const nfs_request_t *req = COW_CONTAINER(op_ctx, nfs_request_t, op_context);
	const COMPOUND4args *c = &req->arg_nfs.arg_compound4;
	for (u_int i = 0; i < c->argarray.argarray_len; i++)
		if (c->argarray.argarray_val[i].argop == NFS4_OP_READ_PLUS)
			return 1;
	return 0;
}

static size_t iov_bytes(const struct fsal_io_arg *a)
{
	size_t n = 0;
	for (int i = 0; i < a->iov_count; i++)
		n += a->iov[i].iov_len;
	return n;
}

static fsal_status_t do_read(struct cow_obj *o, bool bypass, struct fsal_io_arg *a)
{
	cow_autouse u = {0};
	cow_autocfile f = NULL;
	struct cow_ovl_attr attr;
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	fsal_status_t s = cow_file_for(o, &u, a->state, FSAL_O_READ, bypass, &f);
	if (FSAL_IS_ERROR(s))
		return s;
	ssize_t n = cow_ovl_read(f->o, a->iov, a->iov_count, a->offset);
	if (n < 0)
		return cow_obj_status(o, (int)n);
	a->io_amount = (size_t)n;
	a->end_of_file = (size_t)n < iov_bytes(a);
	/* A read that ends right at the end says so too, which saves the client one more. */
	if (!a->end_of_file && cow_ovl_getattr(u.n, &attr) == 0)
		a->end_of_file = a->offset + (uint64_t)n >= attr.size;
	return s;
}

static void op_read2(struct fsal_obj_handle *h, bool bypass, fsal_async_cb done,
		     struct fsal_io_arg *a, void *arg)
{
	fsal_status_t s;
	a->io_amount = 0;
	if (a->info || is_read_plus())
		s = fsalstat(ERR_FSAL_NOTSUPP, EOPNOTSUPP);
	else if (h->type != REGULAR_FILE)
		s = fsalstat(ERR_FSAL_INVAL, EINVAL);
	else
		s = do_read(cow_obj_of(h), bypass, a);
	done(h, s, a, arg);
}

static fsal_status_t do_write(struct cow_obj *o, bool bypass, struct fsal_io_arg *a)
{
	cow_autouse u = {0};
	cow_autocfile f = NULL;
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	fsal_status_t s = cow_file_for(o, &u, a->state, FSAL_O_WRITE, bypass, &f);
	if (FSAL_IS_ERROR(s))
		return s;
	ssize_t n = cow_ovl_write(f->o, a->iov, a->iov_count, a->offset,
				  a->fsal_stable ? COW_WRITE_STABLE : 0);
	if (n < 0)
		return cow_obj_status(o, (int)n);
	a->io_amount = (size_t)n; /* fewer is allowed, the client sends the rest again */
	return s;
}

static void op_write2(struct fsal_obj_handle *h, bool bypass, fsal_async_cb done,
		      struct fsal_io_arg *a, void *arg)
{
	fsal_status_t s;
	a->io_amount = 0;
	if (h->type != REGULAR_FILE)
		s = fsalstat(ERR_FSAL_INVAL, EINVAL);
	else
		s = do_write(cow_obj_of(h), bypass, a);
	done(h, s, a, arg);
}

static fsal_status_t op_commit2(struct fsal_obj_handle *h, off_t off, size_t len)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	int r = cow_use(o, &u);
	if (r == 0)
		r = cow_ovl_commit(u.n);
	return cow_obj_status(o, r);
}

static int seek_whence(const struct io_info *info)
{
	switch (info->io_content.what) {
	case NFS4_CONTENT_DATA:
		return SEEK_DATA;
	case NFS4_CONTENT_HOLE:
		return SEEK_HOLE;
	default:
		return -1;
	}
}

static fsal_status_t op_seek2(struct fsal_obj_handle *h, struct state_t *state,
			      struct io_info *info)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	cow_autocfile f = NULL;
	struct cow_ovl_attr attr;
	uint64_t off = info->io_content.hole.di_offset, found;
	int whence = seek_whence(info);
	if (whence < 0)
		return fsalstat(ERR_FSAL_UNION_NOTSUPP, 0);
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	fsal_status_t s = cow_file_for(o, &u, state, FSAL_O_READ, false, &f);
	if (FSAL_IS_ERROR(s))
		return s;
	r = cow_ovl_getattr(u.n, &attr);
	if (r == 0 && off >= attr.size)
		r = -ENXIO; /* RFC 7862, 15.11.3 */
	if (r < 0)
		return cow_obj_status(o, r);
	r = cow_ovl_seek(f->o, off, whence, &found);
	if (r == -ENXIO) { /* no more data up to the end */
		info->io_eof = TRUE;
		info->io_content.hole.di_offset = attr.size;
		return s;
	}
	if (r < 0)
		return cow_obj_status(o, r);
	info->io_eof = found >= attr.size;
	info->io_content.hole.di_offset = found;
	return s;
}

static fsal_status_t op_fallocate(struct fsal_obj_handle *h, struct state_t *state, uint64_t off,
				  uint64_t len, bool allocate)
{
	struct cow_obj *o = cow_obj_of(h);
	cow_autouse u = {0};
	cow_autocfile f = NULL;
	int r = cow_use(o, &u);
	if (r < 0)
		return cow_obj_status(o, r);
	fsal_status_t s = cow_file_for(o, &u, state, FSAL_O_WRITE, false, &f);
	if (FSAL_IS_ERROR(s))
		return s;
	r = cow_ovl_fallocate(f->o, allocate ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
			      len);
	return cow_obj_status(o, r);
}

void cow_ops_io(struct fsal_obj_ops *ops)
{
	ops->read2 = op_read2;
	ops->write2 = op_write2;
	ops->commit2 = op_commit2;
	ops->seek2 = op_seek2;
	ops->fallocate = op_fallocate;
}
