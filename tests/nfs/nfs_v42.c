/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFSv4.2 by hand (RFC 7862, RFC 8276), what libnfs does not speak: sessions, extended attributes,
 * SEEK, ALLOCATE, DEALLOCATE, share reservations, unchecked create, READ_PLUS.
 *	nfs_v42 ADDR PORT EXPORT
 * Each request is one compound: SEQUENCE, a way to the current file handle, one or two operations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rawrpc.h"

enum {
	OP_CLOSE = 4,
	OP_GETFH = 10,
	OP_LOOKUP = 15,
	OP_OPEN = 18,
	OP_PUTFH = 22,
	OP_PUTROOTFH = 24,
	OP_READ = 25,
	OP_REMOVE = 28,
	OP_WRITE = 38,
	OP_EXCHANGE_ID = 42,
	OP_CREATE_SESSION = 43,
	OP_SEQUENCE = 53,
	OP_RECLAIM_COMPLETE = 58,
	OP_ALLOCATE = 59,
	OP_DEALLOCATE = 62,
	OP_READ_PLUS = 68,
	OP_SEEK = 69,
	OP_GETXATTR = 72,
	OP_SETXATTR = 73,
	OP_LISTXATTRS = 74,
	OP_REMOVEXATTR = 75,
};
enum {
	NFS4_OK = 0,
	ERR_PERM = 1,
	ERR_NXIO = 6,
	ERR_ACCESS = 13,
	ERR_EXIST = 17,
	ERR_STALE = 70,
	ERR_NOTSUPP = 10004,
	ERR_LOCKED = 10012,
	ERR_SHARE_DENIED = 10015,
	ERR_NOXATTR = 10095,
};
enum { READ = 1, WRITE = 2, BOTH = 3, DENY_NONE = 0, DENY_WRITE = 2 };
enum { DATA = 0, HOLE = 1 };

struct fh {
	uint8_t b[128];
	size_t len;
};
struct stateid {
	uint8_t b[16];
};
struct session {
	struct raw c;
	uint64_t clientid;
	uint8_t id[16];
	uint32_t seq;
};

static struct xdr args, res;
static size_t n_ops_at;
static uint32_t n_ops;
static const char *running = "set-up";

#define WANT(what, got, want)                                                                      \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_) {                                                               \
			(void)printf("not ok - v4.2 %s\n", running);                               \
			raw_die("%s:%d: %s: %s is %lld, want %lld", __FILE__, __LINE__, running,   \
				what, got_, want_);                                                \
		}                                                                                  \
	} while (0)

/* -------------------------------------------------- compounds */

static void begin_plain(void)
{
	args.len = 0;
	x_str(&args, "");
	x_u32(&args, 2); /* minor version */
	n_ops_at = args.len;
	x_u32(&args, 0);
	n_ops = 0;
}

static void op(uint32_t number)
{
	x_u32(&args, number);
	n_ops++;
}

static void begin(struct session *s)
{
	begin_plain();
	op(OP_SEQUENCE);
	x_raw(&args, s->id, sizeof(s->id));
	x_u32(&args, ++s->seq);
	x_u32(&args, 0); /* slot */
	x_u32(&args, 0);
	x_u32(&args, 0); /* cache nothing */
}

/* Send; the reply is left at the first operation. Return: status of the compound. */
static uint32_t send_it(struct session *s)
{
	struct xdr count = {0};
	x_u32(&count, n_ops);
	memcpy(args.b + n_ops_at, count.b, 4);
	raw_call(&s->c, 100003, 4, 1, &args, &res);
	uint32_t status = r_u32(&res);
	r_skip_opaque(&res); /* tag */
	r_u32(&res);	     /* number of results */
	return status;
}

/* Header of the next result; its status. */
static uint32_t result(uint32_t number)
{
	WANT("operation in the reply", r_u32(&res), number);
	return r_u32(&res);
}

static void result_sequence(void)
{
	WANT("SEQUENCE", result(OP_SEQUENCE), NFS4_OK);
	r_raw(&res, NULL, 16 + 5 * 4);
}

static void put_fh(const struct fh *h)
{
	op(OP_PUTFH);
	x_opaque(&args, h->b, h->len);
}

/* After SEQUENCE and PUTFH: the next result is the operation's. Return: the compound's status. */
static uint32_t send_on_fh(struct session *s)
{
	uint32_t status = send_it(s);
	result_sequence();
	WANT("PUTFH", result(OP_PUTFH), NFS4_OK);
	return status;
}

/* -------------------------------------------------- session */

static void chan_attrs(void)
{
	x_u32(&args, 0);
	x_u32(&args, 1 << 19);
	x_u32(&args, 1 << 19);
	x_u32(&args, 4096);
	x_u32(&args, 16);
	x_u32(&args, 4);
	x_u32(&args, 0);
}

static void exchange_id(struct session *s, const char *name, uint32_t *ret_seq)
{
	uint64_t verifier = (uint64_t)getpid();
	begin_plain();
	op(OP_EXCHANGE_ID);
	x_raw(&args, &verifier, 8);
	x_str(&args, name);
	x_u32(&args, 0);
	x_u32(&args, 0); /* SP4_NONE */
	x_u32(&args, 0);
	send_it(s);
	WANT("EXCHANGE_ID", result(OP_EXCHANGE_ID), NFS4_OK);
	s->clientid = r_u64(&res);
	*ret_seq = r_u32(&res);
}

static struct session session(const char *addr, const char *port, const char *name, uint32_t uid)
{
	struct session s = {.c = raw_connect(addr, (unsigned)strtoul(port, NULL, 10), uid, uid)};
	uint32_t seq;
	exchange_id(&s, name, &seq);
	begin_plain();
	op(OP_CREATE_SESSION);
	x_u64(&args, s.clientid);
	x_u32(&args, seq);
	x_u32(&args, 0);
	chan_attrs();
	chan_attrs();
	x_u32(&args, 0x40000000);
	x_u32(&args, 1);
	x_u32(&args, 0); /* AUTH_NONE for callbacks */
	send_it(&s);
	WANT("CREATE_SESSION", result(OP_CREATE_SESSION), NFS4_OK);
	r_raw(&res, s.id, sizeof(s.id));
	begin(&s);
	op(OP_RECLAIM_COMPLETE);
	x_u32(&args, 0);
	WANT("RECLAIM_COMPLETE", send_it(&s), NFS4_OK);
	return s;
}

/* -------------------------------------------------- names */

static struct fh walk(struct session *s, const char *path)
{
	struct fh h;
	char copy[256], *save = NULL;
	unsigned depth = 0;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	begin(s);
	op(OP_PUTROOTFH);
	for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
		op(OP_LOOKUP);
		x_str(&args, c);
		depth++;
	}
	op(OP_GETFH);
	WANT(path, send_it(s), NFS4_OK);
	result_sequence();
	result(OP_PUTROOTFH);
	while (depth--)
		result(OP_LOOKUP);
	result(OP_GETFH);
	h.len = r_opaque(&res, h.b, sizeof(h.b));
	return h;
}

struct open_how {
	uint32_t access, deny;
	int create;    /* 1: unchecked create with mode 0644 */
	int size_zero; /* 1: with size 0, which truncates */
};

static void put_create(const struct open_how *how)
{
	struct xdr attr = {0};
	if (how->size_zero)
		x_u64(&attr, 0);
	x_u32(&attr, 0644);
	x_u32(&args, 1); /* OPEN4_CREATE */
	x_u32(&args, 0); /* UNCHECKED4 */
	x_u32(&args, 2); /* bitmap: size is bit 4, mode bit 33 */
	x_u32(&args, how->size_zero ? 1 << 4 : 0);
	x_u32(&args, 1 << 1);
	x_opaque(&args, attr.b, attr.len);
}

/* Return: the status; handle and state id on success. */
static uint32_t open_file(struct session *s, const struct fh *dir, const char *name,
			  struct open_how how, struct fh *ret, struct stateid *ret_state)
{
	begin(s);
	put_fh(dir);
	op(OP_OPEN);
	x_u32(&args, 0);
	x_u32(&args, how.access);
	x_u32(&args, how.deny);
	x_u64(&args, s->clientid);
	x_str(&args, "owner");
	if (how.create)
		put_create(&how);
	else
		x_u32(&args, 0);
	x_u32(&args, 0); /* CLAIM_NULL */
	x_str(&args, name);
	op(OP_GETFH);
	send_on_fh(s);
	uint32_t status = result(OP_OPEN);
	if (status)
		return status;
	r_raw(&res, ret_state->b, sizeof(ret_state->b));
	r_raw(&res, NULL, 4 + 8 + 8); /* change of the directory */
	r_u32(&res);		      /* flags */
	for (uint32_t n = r_u32(&res); n; n--)
		r_u32(&res);
	WANT("delegation", r_u32(&res), 0);
	WANT("GETFH", result(OP_GETFH), NFS4_OK);
	ret->len = r_opaque(&res, ret->b, sizeof(ret->b));
	return status;
}

static uint32_t close_file(struct session *s, const struct fh *h, const struct stateid *st)
{
	begin(s);
	put_fh(h);
	op(OP_CLOSE);
	x_u32(&args, 0);
	x_raw(&args, st->b, sizeof(st->b));
	return send_it(s);
}

static uint32_t remove_name(struct session *s, const struct fh *dir, const char *name)
{
	begin(s);
	put_fh(dir);
	op(OP_REMOVE);
	x_str(&args, name);
	return send_it(s);
}

/* -------------------------------------------------- data */

static uint32_t write_at(struct session *s, const struct fh *h, const struct stateid *st,
			 uint64_t off, const void *p, size_t len)
{
	begin(s);
	put_fh(h);
	op(OP_WRITE);
	x_raw(&args, st->b, sizeof(st->b));
	x_u64(&args, off);
	x_u32(&args, 2); /* FILE_SYNC */
	x_opaque(&args, p, len);
	uint32_t status = send_on_fh(s);
	WANT("WRITE", result(OP_WRITE), status);
	if (status == NFS4_OK) {
		WANT("bytes written", r_u32(&res), len);
		WANT("stability", r_u32(&res), 2);
	}
	return status;
}

/* Return: bytes; the status negated on failure. */
static long read_at(struct session *s, const struct fh *h, const struct stateid *st, uint64_t off,
		    void *p, size_t len, uint32_t *ret_eof)
{
	begin(s);
	put_fh(h);
	op(OP_READ);
	x_raw(&args, st->b, sizeof(st->b));
	x_u64(&args, off);
	x_u32(&args, (uint32_t)len);
	uint32_t status = send_on_fh(s);
	if (status)
		return -(long)status;
	result(OP_READ);
	*ret_eof = r_u32(&res);
	return (long)r_opaque(&res, p, len);
}

static uint32_t seek_to(struct session *s, const struct fh *h, const struct stateid *st,
			uint64_t off, uint32_t what, uint32_t *ret_eof, uint64_t *ret_off)
{
	begin(s);
	put_fh(h);
	op(OP_SEEK);
	x_raw(&args, st->b, sizeof(st->b));
	x_u64(&args, off);
	x_u32(&args, what);
	uint32_t status = send_on_fh(s);
	WANT("SEEK", result(OP_SEEK), status);
	if (status == NFS4_OK) {
		*ret_eof = r_u32(&res);
		*ret_off = r_u64(&res);
	}
	return status;
}

static uint32_t range_op(struct session *s, uint32_t number, const struct fh *h,
			 const struct stateid *st, uint64_t off, uint64_t len)
{
	begin(s);
	put_fh(h);
	op(number);
	x_raw(&args, st->b, sizeof(st->b));
	x_u64(&args, off);
	x_u64(&args, len);
	return send_it(s);
}

/* -------------------------------------------------- extended attributes */

static uint32_t set_xattr(struct session *s, const struct fh *h, uint32_t option, const char *name,
			  const void *p, size_t len)
{
	begin(s);
	put_fh(h);
	op(OP_SETXATTR);
	x_u32(&args, option);
	x_str(&args, name);
	x_opaque(&args, p, len);
	return send_it(s);
}

static long get_xattr(struct session *s, const struct fh *h, const char *name, void *p, size_t max)
{
	begin(s);
	put_fh(h);
	op(OP_GETXATTR);
	x_str(&args, name);
	uint32_t status = send_on_fh(s);
	if (status)
		return -(long)status;
	result(OP_GETXATTR);
	return (long)r_opaque(&res, p, max);
}

static uint32_t remove_xattr(struct session *s, const struct fh *h, const char *name)
{
	begin(s);
	put_fh(h);
	op(OP_REMOVEXATTR);
	x_str(&args, name);
	return send_it(s);
}

static uint32_t list_xattrs(struct session *s, const struct fh *h)
{
	begin(s);
	put_fh(h);
	op(OP_LISTXATTRS);
	x_u64(&args, 0);
	x_u32(&args, 4096);
	WANT("LISTXATTRS", send_on_fh(s), NFS4_OK);
	result(OP_LISTXATTRS);
	r_u64(&res);
	uint32_t n = r_u32(&res);
	for (uint32_t i = 0; i < n; i++)
		r_skip_opaque(&res);
	WANT("end of the list", r_u32(&res), 1);
	return n;
}

/* -------------------------------------------------- cases */

static struct session root, root2, user;
static struct fh top;

static void read_plus_is_refused_and_read_answers(void)
{
	struct fh h;
	struct stateid st;
	char buf[64];
	uint32_t eof = 0;
	struct open_how how = {.access = READ};
	WANT("OPEN", open_file(&root, &top, "hello", how, &h, &st), NFS4_OK);
	begin(&root);
	put_fh(&h);
	op(OP_READ_PLUS);
	x_raw(&args, st.b, sizeof(st.b));
	x_u64(&args, 0);
	x_u32(&args, 64);
	WANT("READ_PLUS", send_on_fh(&root), ERR_NOTSUPP);
	WANT("READ", read_at(&root, &h, &st, 0, buf, sizeof(buf), &eof), 7);
	WANT("content", memcmp(buf, "golden\n", 7), 0);
	WANT("end of file", eof, 1);
	WANT("READ up to the end", read_at(&root, &h, &st, 0, buf, 7, &eof), 7);
	WANT("end of file", eof, 1);
	WANT("READ before the end", read_at(&root, &h, &st, 0, buf, 6, &eof), 6);
	WANT("end of file", eof, 0);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
}

static void an_unchecked_create_opens_what_is_there(void)
{
	struct fh h, again;
	struct stateid st, st2;
	char buf[8];
	uint32_t eof = 0;
	struct open_how how = {.access = BOTH, .create = 1};
	WANT("create", open_file(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("WRITE", write_at(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("create again", open_file(&root, &top, "v42", how, &again, &st2), NFS4_OK);
	WANT("same file", h.len == again.len && !memcmp(h.b, again.b, h.len), 1);
	WANT("content", read_at(&root, &h, &st2, 0, buf, sizeof(buf), &eof), 4);
	how.size_zero = 1;
	WANT("create with size 0", open_file(&root, &top, "v42", how, &again, &st2), NFS4_OK);
	WANT("content gone", read_at(&root, &h, &st2, 0, buf, sizeof(buf), &eof), 0);
	WANT("CLOSE", close_file(&root, &h, &st2), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void a_create_that_is_not_allowed_truncates_nothing(void)
{
	struct fh h;
	struct stateid st;
	char buf[8];
	uint32_t eof = 0;
	struct open_how create = {.access = BOTH, .create = 1};
	struct open_how wipe = {.access = WRITE, .create = 1, .size_zero = 1};
	WANT("create", open_file(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", write_at(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("as another user", open_file(&user, &top, "v42", wipe, &h, &(struct stateid){0}),
	     ERR_ACCESS);
	WANT("content", read_at(&root, &h, &st, 0, buf, sizeof(buf), &eof), 4);
	WANT("new file of another user",
	     open_file(&user, &top, "v42new", create, &(struct fh){0}, &(struct stateid){0}),
	     ERR_ACCESS);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

/* Who may only read, opens a second time, for writing: the same state gets more access. */
static void an_open_gains_no_access_that_is_not_allowed(void)
{
	struct fh h;
	struct stateid st, reader, writer;
	char buf[8];
	uint32_t eof = 0;
	struct open_how create = {.access = BOTH, .create = 1};
	struct open_how read = {.access = READ};
	struct open_how write = {.access = WRITE};
	WANT("create", open_file(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", write_at(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("another user reads", open_file(&user, &top, "v42", read, &h, &reader), NFS4_OK);
	WANT("and would write", open_file(&user, &top, "v42", write, &h, &writer), ERR_ACCESS);
	WANT("what it has is for reading", read_at(&user, &h, &reader, 0, buf, sizeof(buf), &eof),
	     4);
	WANT("CLOSE", close_file(&user, &h, &reader), NFS4_OK);
	WANT("the owner reads", open_file(&root2, &top, "v42", read, &h, &reader), NFS4_OK);
	WANT("and writes", open_file(&root2, &top, "v42", write, &h, &writer), NFS4_OK);
	WANT("WRITE", write_at(&root2, &h, &writer, 0, "more", 4), NFS4_OK);
	WANT("CLOSE", close_file(&root2, &h, &writer), NFS4_OK);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void big_writes_read_back(void)
{
	static uint8_t out[256 * 1024], in[256 * 1024];
	struct fh h;
	struct stateid st;
	uint32_t eof = 0;
	struct open_how how = {.access = BOTH, .create = 1};
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 2654435761u >> 13);
	WANT("create", open_file(&root, &top, "v42", how, &h, &st), NFS4_OK);
	for (uint64_t off = 0; off < 8 * sizeof(out); off += sizeof(out))
		WANT("WRITE", write_at(&root, &h, &st, off, out, sizeof(out)), NFS4_OK);
	for (uint64_t off = 0; off < 8 * sizeof(out); off += sizeof(out)) {
		WANT("READ", read_at(&root, &h, &st, off, in, sizeof(in), &eof), sizeof(in));
		WANT("content", memcmp(in, out, sizeof(in)), 0);
		WANT("end of file", eof, off == 7 * sizeof(out));
	}
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void share_reservations_deny_and_end(void)
{
	struct fh h;
	struct stateid st, denier, writer;
	struct open_how create = {.access = BOTH, .create = 1};
	struct open_how deny = {.access = READ, .deny = DENY_WRITE};
	struct open_how write = {.access = WRITE};
	uint8_t buf[4];
	uint32_t eof = 0;
	WANT("create", open_file(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", write_at(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("deny while open for writing", open_file(&root2, &top, "v42", deny, &h, &denier),
	     ERR_SHARE_DENIED);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("deny", open_file(&root2, &top, "v42", deny, &h, &denier), NFS4_OK);
	WANT("write against it", open_file(&root, &top, "v42", write, &h, &writer),
	     ERR_SHARE_DENIED);
	WANT("stateless write against it", write_at(&root, &h, &(struct stateid){0}, 0, "lost", 4),
	     ERR_LOCKED);
	WANT("READ under it", read_at(&root2, &h, &denier, 0, buf, sizeof(buf), &eof), 4);
	WANT("CLOSE", close_file(&root2, &h, &denier), NFS4_OK);
	WANT("write after it", open_file(&root, &top, "v42", write, &h, &writer), NFS4_OK);
	WANT("CLOSE", close_file(&root, &h, &writer), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void holes_are_found_made_and_filled(void)
{
	static uint8_t block[65536];
	struct fh h;
	struct stateid st;
	uint32_t eof = 0;
	uint64_t off = 0;
	uint8_t in[16] = {0};
	struct open_how how = {.access = BOTH, .create = 1};
	memset(block, 'd', sizeof(block));
	WANT("create", open_file(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("WRITE", write_at(&root, &h, &st, 1 << 20, block, sizeof(block)), NFS4_OK);
	WANT("SEEK data", seek_to(&root, &h, &st, 0, DATA, &eof, &off), NFS4_OK);
	WANT("data at", off, 1 << 20);
	WANT("SEEK hole", seek_to(&root, &h, &st, 1 << 20, HOLE, &eof, &off), NFS4_OK);
	WANT("hole at the end", off, (1 << 20) + sizeof(block));
	WANT("SEEK beyond", seek_to(&root, &h, &st, 2 << 20, DATA, &eof, &off), ERR_NXIO);
	WANT("DEALLOCATE", range_op(&root, OP_DEALLOCATE, &h, &st, 1 << 20, 16384), NFS4_OK);
	WANT("READ", read_at(&root, &h, &st, 1 << 20, in, sizeof(in), &eof), sizeof(in));
	WANT("first byte", in[0], 0);
	WANT("SEEK data", seek_to(&root, &h, &st, 0, DATA, &eof, &off), NFS4_OK);
	WANT("data at", off, (1 << 20) + 16384);
	WANT("ALLOCATE", range_op(&root, OP_ALLOCATE, &h, &st, 0, 4 << 20), NFS4_OK);
	WANT("READ at the new end", read_at(&root, &h, &st, (4 << 20) - 16, in, 16, &eof), 16);
	WANT("end of file", eof, 1);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void extended_attributes_are_kept_and_guarded(void)
{
	static uint8_t big[3000], back[4096];
	struct fh h;
	struct stateid st;
	struct open_how how = {.access = BOTH, .create = 1};
	memset(big, 'x', sizeof(big));
	WANT("create", open_file(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("CLOSE", close_file(&root, &h, &st), NFS4_OK);
	WANT("none yet", list_xattrs(&root, &h), 0);
	WANT("get of none", get_xattr(&root, &h, "a", back, sizeof(back)), -ERR_NOXATTR);
	WANT("set", set_xattr(&root, &h, 0, "a", "one", 3), NFS4_OK);
	WANT("create of one there", set_xattr(&root, &h, 1, "a", "two", 3), ERR_EXIST);
	WANT("replace of none", set_xattr(&root, &h, 2, "b", "two", 3), ERR_NOXATTR);
	WANT("set a longer one", set_xattr(&root, &h, 1, "b", big, sizeof(big)), NFS4_OK);
	WANT("get", get_xattr(&root, &h, "a", back, sizeof(back)), 3);
	WANT("value", memcmp(back, "one", 3), 0);
	WANT("get the longer one", get_xattr(&root, &h, "b", back, sizeof(back)), sizeof(big));
	WANT("value", memcmp(back, big, sizeof(big)), 0);
	WANT("two", list_xattrs(&root, &h), 2);
	/* mode 0644: another user may read them and change nothing */
	WANT("get by another", get_xattr(&user, &h, "a", back, sizeof(back)), 3);
	WANT("set by another", set_xattr(&user, &h, 0, "a", "no", 2), ERR_ACCESS);
	WANT("remove by another", remove_xattr(&user, &h, "a"), ERR_ACCESS);
	WANT("remove", remove_xattr(&root, &h, "a"), NFS4_OK);
	WANT("remove again", remove_xattr(&root, &h, "a"), ERR_NOXATTR);
	WANT("one", list_xattrs(&root, &h), 1);
	WANT("REMOVE", remove_name(&root, &top, "v42"), NFS4_OK);
}

static void run(const char *name, void (*fn)(void))
{
	running = name;
	fn();
	(void)printf("ok - v4.2 %s\n", name);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	char name[3][64];
	if (argc != 4) {
		(void)fprintf(stderr, "usage: %s ADDR PORT EXPORT\n", argv[0]);
		return 2;
	}
	alarm(30);
	(void)snprintf(name[0], sizeof(name[0]), "cowherd-v42-root-%d", (int)getpid());
	(void)snprintf(name[1], sizeof(name[1]), "cowherd-v42-user-%d", (int)getpid());
	(void)snprintf(name[2], sizeof(name[2]), "cowherd-v42-two-%d", (int)getpid());
	root = session(argv[1], argv[2], name[0], 0);
	root2 = session(argv[1], argv[2], name[2], 0);
	user = session(argv[1], argv[2], name[1], 1000);
	top = walk(&root, argv[3]);
	run("READ_PLUS is refused and READ answers", read_plus_is_refused_and_read_answers);
	run("an unchecked create opens what is there", an_unchecked_create_opens_what_is_there);
	run("a create that is not allowed truncates nothing",
	    a_create_that_is_not_allowed_truncates_nothing);
	run("an open gains no access that is not allowed",
	    an_open_gains_no_access_that_is_not_allowed);
	run("big writes read back", big_writes_read_back);
	run("share reservations deny and end", share_reservations_deny_and_end);
	run("holes are found, made and filled", holes_are_found_made_and_filled);
	run("extended attributes are kept and guarded", extended_attributes_are_kept_and_guarded);
	return 0;
}
