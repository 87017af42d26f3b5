/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Open files, data, locks and extended attributes. See raw4.h.
 */
#include <string.h>
#include <unistd.h>

#include "raw4.h"

#define OPEN_NEEDS_CONFIRM 2 /* rflags of 4.0 */

/* -------------------------------------------------- open */

/* Sessions need no sequence ids; the server does not look at them. */
static void put_seqid(const struct session *s, uint32_t seq)
{
	x_u32(&n4_args, s->minor ? 0 : seq);
}

static void put_owner(const struct session *s)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "owner %u", s->owner);
	x_u64(&n4_args, s->clientid);
	x_str(&n4_args, name);
}

/* Bitmap and values: size is bit 4, mode bit 33. */
static void put_attrs(const struct open_how *how)
{
	x_u32(&n4_args, 2);
	x_u32(&n4_args, how->size_zero ? 1 << 4 : 0);
	x_u32(&n4_args, 1 << 1);
	x_u32(&n4_args, how->size_zero ? 12 : 4);
	if (how->size_zero)
		x_u64(&n4_args, 0);
	x_u32(&n4_args, 0644);
}

static void put_create(const struct open_how *how)
{
	x_u32(&n4_args, how->create != CREATE_NO);
	if (how->create == CREATE_NO)
		return;
	x_u32(&n4_args, (uint32_t)how->create - CREATE_UNCHECKED);
	if (how->create >= CREATE_EXCLUSIVE)
		x_raw(&n4_args, &how->verifier, 8);
	if (how->create != CREATE_EXCLUSIVE)
		put_attrs(how);
}

static void read_bitmap(void)
{
	for (uint32_t n = r_u32(&n4_res); n; n--)
		r_u32(&n4_res);
}

static void confirm(struct session *s, const struct fh *h, struct stateid *st)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_OPEN_CONFIRM);
	x_raw(&n4_args, st->b, sizeof(st->b));
	put_seqid(s, 1);
	WANT("OPEN_CONFIRM", n4_send_on_fh(s), NFS4_OK);
	n4_result(OP_OPEN_CONFIRM);
	r_raw(&n4_res, st->b, sizeof(st->b));
	st->oseq = 2;
}

static void put_open(struct session *s, const struct fh *dir, const char *name,
		     const struct open_how *how)
{
	n4_begin(s);
	n4_put_fh(dir);
	n4_op(OP_OPEN);
	put_seqid(s, 0);
	x_u32(&n4_args, how->access);
	x_u32(&n4_args, how->deny);
	put_owner(s);
	put_create(how);
	if (how->reclaim) {
		x_u32(&n4_args, 1); /* CLAIM_PREVIOUS */
		x_u32(&n4_args, 0); /* no delegation */
	} else {
		x_u32(&n4_args, 0); /* CLAIM_NULL */
		x_str(&n4_args, name);
	}
	n4_op(OP_GETFH);
}

uint32_t n4_open(struct session *s, const struct fh *dir, const char *name, struct open_how how,
		 struct fh *ret, struct stateid *ret_state)
{
	if (!s->minor)
		s->owner++;
	put_open(s, dir, name, &how);
	uint32_t status = n4_send_on_fh(s);
	if (n4_res.at == n4_res.len) /* it ended at PUTFH */
		return status;
	status = n4_result(OP_OPEN);
	if (status)
		return status;
	r_raw(&n4_res, ret_state->b, sizeof(ret_state->b));
	ret_state->oseq = 1;
	r_raw(&n4_res, NULL, 4 + 8 + 8); /* change of the directory */
	uint32_t flags = r_u32(&n4_res);
	read_bitmap();
	WANT("delegation", r_u32(&n4_res), 0);
	WANT("GETFH", n4_result(OP_GETFH), NFS4_OK);
	ret->len = r_opaque(&n4_res, ret->b, sizeof(ret->b));
	if (!s->minor && flags & OPEN_NEEDS_CONFIRM)
		confirm(s, ret, ret_state);
	return status;
}

uint32_t n4_close(struct session *s, const struct fh *h, const struct stateid *st)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_CLOSE);
	put_seqid(s, st->oseq);
	x_raw(&n4_args, st->b, sizeof(st->b));
	return n4_send(s);
}

uint32_t n4_downgrade(struct session *s, const struct fh *h, struct stateid *st, uint32_t access,
		      uint32_t deny)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_OPEN_DOWNGRADE);
	x_raw(&n4_args, st->b, sizeof(st->b));
	put_seqid(s, st->oseq++);
	x_u32(&n4_args, access);
	x_u32(&n4_args, deny);
	uint32_t status = n4_send_on_fh(s);
	if (status == NFS4_OK) {
		n4_result(OP_OPEN_DOWNGRADE);
		r_raw(&n4_res, st->b, sizeof(st->b));
	}
	return status;
}

/* -------------------------------------------------- data */

uint32_t n4_write_some(struct session *s, const struct fh *h, const struct stateid *st,
		       uint64_t off, const void *p, size_t len, uint32_t stable, size_t *ret_len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_WRITE);
	x_raw(&n4_args, st->b, sizeof(st->b));
	x_u64(&n4_args, off);
	x_u32(&n4_args, stable);
	x_opaque(&n4_args, p, len);
	uint32_t status = n4_send_on_fh(s);
	WANT("WRITE", n4_result(OP_WRITE), status);
	if (status == NFS4_OK) {
		*ret_len = r_u32(&n4_res);
		WANT("stability", r_u32(&n4_res) >= stable, 1);
	}
	return status;
}

uint32_t n4_write(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off,
		  const void *p, size_t len)
{
	size_t n = 0;
	uint32_t status = n4_write_some(s, h, st, off, p, len, RAW_FILE_SYNC, &n);
	if (status == NFS4_OK)
		WANT("bytes written", n, len);
	return status;
}

uint32_t n4_commit(struct session *s, const struct fh *h)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_COMMIT);
	x_u64(&n4_args, 0);
	x_u32(&n4_args, 0);
	return n4_send(s);
}

long n4_read(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off, void *p,
	     size_t len, uint32_t *ret_eof)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_READ);
	x_raw(&n4_args, st->b, sizeof(st->b));
	x_u64(&n4_args, off);
	x_u32(&n4_args, (uint32_t)len);
	uint32_t status = n4_send_on_fh(s);
	if (status)
		return -(long)status;
	n4_result(OP_READ);
	*ret_eof = r_u32(&n4_res);
	return (long)r_opaque(&n4_res, p, len);
}

uint32_t n4_seek(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off,
		 uint32_t what, uint32_t *ret_eof, uint64_t *ret_off)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_SEEK);
	x_raw(&n4_args, st->b, sizeof(st->b));
	x_u64(&n4_args, off);
	x_u32(&n4_args, what);
	uint32_t status = n4_send_on_fh(s);
	WANT("SEEK", n4_result(OP_SEEK), status);
	if (status == NFS4_OK) {
		*ret_eof = r_u32(&n4_res);
		*ret_off = r_u64(&n4_res);
	}
	return status;
}

uint32_t n4_range(struct session *s, uint32_t number, const struct fh *h, const struct stateid *st,
		  uint64_t off, uint64_t len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(number);
	x_raw(&n4_args, st->b, sizeof(st->b));
	x_u64(&n4_args, off);
	x_u64(&n4_args, len);
	return n4_send(s);
}

/* -------------------------------------------------- locks */

static void put_lock_owner(const struct session *s, uint32_t owner)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "locker %u", owner);
	x_u64(&n4_args, s->clientid);
	x_str(&n4_args, name);
}

static uint32_t lock_result(uint32_t number, struct stateid *ret)
{
	uint32_t status = n4_result(number);
	if (status == NFS4_OK)
		r_raw(&n4_res, ret->b, sizeof(ret->b));
	return status;
}

uint32_t n4_lock(struct session *s, const struct fh *h, struct n4_lock *l, uint32_t type,
		 uint64_t off, uint64_t len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_LOCK);
	x_u32(&n4_args, type);
	x_u32(&n4_args, l->reclaim != 0);
	x_u64(&n4_args, off);
	x_u64(&n4_args, len);
	x_u32(&n4_args, !l->has);
	if (!l->has) {
		put_seqid(s, l->open.oseq++);
		x_raw(&n4_args, l->open.b, sizeof(l->open.b));
		x_u32(&n4_args, l->seq);
		put_lock_owner(s, l->owner);
	} else {
		x_raw(&n4_args, l->st.b, sizeof(l->st.b));
		x_u32(&n4_args, l->seq);
	}
	l->seq += !s->minor;
	n4_send_on_fh(s);
	uint32_t status = lock_result(OP_LOCK, &l->st);
	l->has |= status == NFS4_OK;
	return status;
}

uint32_t n4_unlock(struct session *s, const struct fh *h, struct n4_lock *l, uint64_t off,
		   uint64_t len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_LOCKU);
	x_u32(&n4_args, WRITE_LT);
	x_u32(&n4_args, l->seq);
	l->seq += !s->minor;
	x_raw(&n4_args, l->st.b, sizeof(l->st.b));
	x_u64(&n4_args, off);
	x_u64(&n4_args, len);
	n4_send_on_fh(s);
	return lock_result(OP_LOCKU, &l->st);
}

uint32_t n4_lockt(struct session *s, const struct fh *h, uint32_t owner, uint32_t type,
		  uint64_t off, uint64_t len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_LOCKT);
	x_u32(&n4_args, type);
	x_u64(&n4_args, off);
	x_u64(&n4_args, len);
	put_lock_owner(s, owner);
	return n4_send(s);
}

/* -------------------------------------------------- extended attributes */

uint32_t n4_set_xattr(struct session *s, const struct fh *h, uint32_t option, const char *name,
		      const void *p, size_t len)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_SETXATTR);
	x_u32(&n4_args, option);
	x_str(&n4_args, name);
	x_opaque(&n4_args, p, len);
	return n4_send(s);
}

long n4_get_xattr(struct session *s, const struct fh *h, const char *name, void *p, size_t max)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_put_name(OP_GETXATTR, name);
	uint32_t status = n4_send_on_fh(s);
	if (status)
		return -(long)status;
	n4_result(OP_GETXATTR);
	return (long)r_opaque(&n4_res, p, max);
}

uint32_t n4_remove_xattr(struct session *s, const struct fh *h, const char *name)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_put_name(OP_REMOVEXATTR, name);
	return n4_send(s);
}

long n4_list_xattrs(struct session *s, const struct fh *h)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_LISTXATTRS);
	x_u64(&n4_args, 0);
	x_u32(&n4_args, 4096);
	uint32_t status = n4_send_on_fh(s);
	if (status)
		return -(long)status;
	n4_result(OP_LISTXATTRS);
	r_u64(&n4_res);
	uint32_t n = r_u32(&n4_res);
	for (uint32_t i = 0; i < n; i++)
		r_skip_opaque(&n4_res);
	WANT("end of the list", r_u32(&n4_res), 1);
	return n;
}
