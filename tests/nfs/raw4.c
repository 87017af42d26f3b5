/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Compounds, sessions, names and attributes. See raw4.h; open files are in raw4_file.c.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw4.h"

struct xdr n4_args, n4_res;
static size_t n_ops_at;
static uint32_t n_ops;

/* -------------------------------------------------- compounds */

static void begin_plain(uint32_t minor)
{
	n4_args.len = 0;
	x_str(&n4_args, "");
	x_u32(&n4_args, minor);
	n_ops_at = n4_args.len;
	x_u32(&n4_args, 0);
	n_ops = 0;
}

void n4_op(uint32_t number)
{
	x_u32(&n4_args, number);
	n_ops++;
}

void n4_begin(struct session *s)
{
	begin_plain(s->minor);
	if (!s->minor)
		return;
	n4_op(OP_SEQUENCE);
	x_raw(&n4_args, s->id, sizeof(s->id));
	x_u32(&n4_args, ++s->seq);
	x_u32(&n4_args, 0); /* slot */
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 0); /* cache nothing */
}

uint32_t n4_send(struct session *s)
{
	uint32_t be = htonl(n_ops);
	memcpy(n4_args.b + n_ops_at, &be, sizeof(be));
	raw_call(&s->c, 100003, 4, 1, &n4_args, &n4_res);
	uint32_t status = r_u32(&n4_res);
	r_skip_opaque(&n4_res); /* tag */
	r_u32(&n4_res);		/* number of results */
	return status;
}

uint32_t n4_result(uint32_t number)
{
	WANT("operation in the reply", r_u32(&n4_res), number);
	return r_u32(&n4_res);
}

void n4_result_sequence(const struct session *s)
{
	if (!s->minor)
		return;
	WANT("SEQUENCE", n4_result(OP_SEQUENCE), NFS4_OK);
	r_raw(&n4_res, NULL, 16 + 5 * 4);
}

void n4_put_fh(const struct fh *h)
{
	n4_op(OP_PUTFH);
	x_opaque(&n4_args, h->b, h->len);
}

void n4_put_name(uint32_t number, const char *name)
{
	n4_op(number);
	x_str(&n4_args, name);
}

uint32_t n4_send_on_fh(struct session *s)
{
	uint32_t status = n4_send(s);
	n4_result_sequence(s);
	uint32_t put = n4_result(OP_PUTFH);
	if (put)
		WANT("compound that ended at PUTFH", status, put);
	return status;
}

/* -------------------------------------------------- session */

/* Another one each time: a second session of the same name is that client after a reboot. */
static uint64_t verifier(void)
{
	static uint64_t boots;
	return ++boots << 32 | (uint64_t)getpid();
}

static void chan_attrs(void)
{
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 1 << 19);
	x_u32(&n4_args, 1 << 19);
	x_u32(&n4_args, 4096);
	x_u32(&n4_args, 16);
	x_u32(&n4_args, 4);
	x_u32(&n4_args, 0);
}

static void exchange_id(struct session *s, const char *name, uint32_t *ret_seq)
{
	begin_plain(s->minor);
	n4_op(OP_EXCHANGE_ID);
	x_raw(&n4_args, &s->boot, 8);
	x_str(&n4_args, name);
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 0); /* SP4_NONE */
	x_u32(&n4_args, 0);
	n4_send(s);
	WANT("EXCHANGE_ID", n4_result(OP_EXCHANGE_ID), NFS4_OK);
	s->clientid = r_u64(&n4_res);
	*ret_seq = r_u32(&n4_res);
}

static void create_session(struct session *s, uint32_t seq)
{
	begin_plain(s->minor);
	n4_op(OP_CREATE_SESSION);
	x_u64(&n4_args, s->clientid);
	x_u32(&n4_args, seq);
	x_u32(&n4_args, 0);
	chan_attrs();
	chan_attrs();
	x_u32(&n4_args, 0x40000000);
	x_u32(&n4_args, 1);
	x_u32(&n4_args, 0); /* AUTH_NONE for callbacks */
	n4_send(s);
	WANT("CREATE_SESSION", n4_result(OP_CREATE_SESSION), NFS4_OK);
	r_raw(&n4_res, s->id, sizeof(s->id));
}

static void set_client_id(struct session *s, const char *name)
{
	uint64_t confirm;
	begin_plain(0);
	n4_op(OP_SETCLIENTID);
	x_raw(&n4_args, &s->boot, 8);
	x_str(&n4_args, name);
	x_u32(&n4_args, 0x40000000); /* callbacks: none are sent, delegations are off */
	x_str(&n4_args, "tcp");
	x_str(&n4_args, "0.0.0.0.0.0");
	x_u32(&n4_args, 1);
	n4_send(s);
	WANT("SETCLIENTID", n4_result(OP_SETCLIENTID), NFS4_OK);
	s->clientid = r_u64(&n4_res);
	r_raw(&n4_res, &confirm, 8);
	begin_plain(0);
	n4_op(OP_SETCLIENTID_CONFIRM);
	x_u64(&n4_args, s->clientid);
	x_raw(&n4_args, &confirm, 8);
	WANT("SETCLIENTID_CONFIRM", n4_send(s), NFS4_OK);
}

static void introduce(struct session *s, const char *name)
{
	uint32_t seq;
	if (!s->minor) {
		set_client_id(s, name);
		return;
	}
	exchange_id(s, name, &seq);
	create_session(s, seq);
}

void n4_reclaim_complete(struct session *s)
{
	if (!s->minor)
		return;
	n4_begin(s);
	n4_op(OP_RECLAIM_COMPLETE);
	x_u32(&n4_args, 0);
	WANT("RECLAIM_COMPLETE", n4_send(s), NFS4_OK);
}

struct session n4_session(const char *addr, const char *port, uint32_t minor, const char *name,
			  uint32_t uid)
{
	struct session s = {.c = raw_connect(addr, (unsigned)strtoul(port, NULL, 10), uid, uid),
			    .minor = minor,
			    .boot = verifier()};
	introduce(&s, name);
	n4_reclaim_complete(&s);
	return s;
}

struct session n4_return(const char *addr, const char *port, const struct session *old,
			 const char *name)
{
	uint32_t uid = old->c.uid;
	struct session s = {.c = raw_connect(addr, (unsigned)strtoul(port, NULL, 10), uid, uid),
			    .minor = old->minor,
			    .boot = old->boot};
	(void)close(old->c.fd);
	introduce(&s, name);
	return s;
}

/* -------------------------------------------------- names */

static void get_handle(struct fh *ret)
{
	WANT("GETFH", n4_result(OP_GETFH), NFS4_OK);
	ret->len = r_opaque(&n4_res, ret->b, sizeof(ret->b));
}

uint32_t n4_try_walk(struct session *s, const char *path, struct fh *ret)
{
	char copy[1024], *save = NULL;
	unsigned depth = 0;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	n4_begin(s);
	n4_op(OP_PUTROOTFH);
	for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
		n4_put_name(OP_LOOKUP, c);
		depth++;
	}
	n4_op(OP_GETFH);
	uint32_t status = n4_send(s);
	if (status)
		return status;
	n4_result_sequence(s);
	n4_result(OP_PUTROOTFH);
	while (depth--)
		n4_result(OP_LOOKUP);
	get_handle(ret);
	return status;
}

struct fh n4_walk(struct session *s, const char *path)
{
	struct fh h = {.len = 0};
	WANT(path, n4_try_walk(s, path, &h), NFS4_OK);
	return h;
}

uint32_t n4_lookup(struct session *s, const struct fh *dir, const char *name, struct fh *ret)
{
	n4_begin(s);
	n4_put_fh(dir);
	n4_put_name(OP_LOOKUP, name);
	n4_op(OP_GETFH);
	uint32_t status = n4_send_on_fh(s);
	if (status)
		return status;
	n4_result(OP_LOOKUP);
	get_handle(ret);
	return status;
}

uint32_t n4_remove(struct session *s, const struct fh *dir, const char *name)
{
	n4_begin(s);
	n4_put_fh(dir);
	n4_put_name(OP_REMOVE, name);
	return n4_send(s);
}

uint32_t n4_rename(struct session *s, const struct fh *from, const char *name, const struct fh *to,
		   const char *name2)
{
	n4_begin(s);
	n4_put_fh(from);
	n4_op(OP_SAVEFH);
	n4_put_fh(to);
	n4_put_name(OP_RENAME, name);
	x_str(&n4_args, name2);
	return n4_send(s);
}

uint32_t n4_link(struct session *s, const struct fh *file, const struct fh *dir, const char *name)
{
	n4_begin(s);
	n4_put_fh(file);
	n4_op(OP_SAVEFH);
	n4_put_fh(dir);
	n4_put_name(OP_LINK, name);
	return n4_send(s);
}

uint32_t n4_mkdir(struct session *s, const struct fh *dir, const char *name, uint32_t mode,
		  struct fh *ret)
{
	n4_begin(s);
	n4_put_fh(dir);
	n4_op(OP_CREATE);
	x_u32(&n4_args, 2); /* NF4DIR */
	x_str(&n4_args, name);
	x_u32(&n4_args, 2);
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 1 << 1); /* mode */
	x_u32(&n4_args, 4);
	x_u32(&n4_args, mode);
	n4_op(OP_GETFH);
	uint32_t status = n4_send_on_fh(s);
	if (status)
		return status;
	n4_result(OP_CREATE);
	r_raw(&n4_res, NULL, 4 + 8 + 8);
	for (uint32_t n = r_u32(&n4_res); n; n--)
		r_u32(&n4_res);
	get_handle(ret);
	return status;
}

/* -------------------------------------------------- attributes */

/* type 1, change 3, size 4, fileid 20 | mode 33, numlinks 35, time_metadata 52 */
#define WORD0 (1u << 1 | 1u << 3 | 1u << 4 | 1u << 20)
#define WORD1 (1u << 1 | 1u << 3 | 1u << 20)

uint32_t n4_getattr(struct session *s, const struct fh *h, struct n4_attr *ret)
{
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_GETATTR);
	x_u32(&n4_args, 2);
	x_u32(&n4_args, WORD0);
	x_u32(&n4_args, WORD1);
	uint32_t status = n4_send(s);
	if (status)
		return status;
	n4_result_sequence(s);
	n4_result(OP_PUTFH);
	n4_result(OP_GETATTR);
	WANT("words of the bitmap", r_u32(&n4_res), 2);
	WANT("attributes", r_u32(&n4_res), WORD0);
	WANT("attributes", r_u32(&n4_res), WORD1);
	r_u32(&n4_res); /* bytes */
	ret->type = r_u32(&n4_res);
	ret->change = r_u64(&n4_res);
	ret->size = r_u64(&n4_res);
	ret->fileid = r_u64(&n4_res);
	ret->mode = r_u32(&n4_res);
	ret->nlink = r_u32(&n4_res);
	ret->ctime_s = r_u64(&n4_res);
	ret->ctime_ns = r_u32(&n4_res);
	return status;
}

static void begin_setattr(struct session *s, const struct fh *h, const struct stateid *st)
{
	static const struct stateid none;
	n4_begin(s);
	n4_put_fh(h);
	n4_op(OP_SETATTR);
	x_raw(&n4_args, st ? st->b : none.b, sizeof(none.b));
	x_u32(&n4_args, 2);
}

uint32_t n4_set_mode(struct session *s, const struct fh *h, uint32_t mode)
{
	begin_setattr(s, h, NULL);
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 1 << 1);
	x_u32(&n4_args, 4);
	x_u32(&n4_args, mode);
	return n4_send(s);
}

uint32_t n4_set_size(struct session *s, const struct fh *h, const struct stateid *st, uint64_t size)
{
	begin_setattr(s, h, st);
	x_u32(&n4_args, 1 << 4);
	x_u32(&n4_args, 0);
	x_u32(&n4_args, 8);
	x_u64(&n4_args, size);
	return n4_send(s);
}
