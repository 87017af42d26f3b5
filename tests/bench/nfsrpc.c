/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nfsrpc.h"

#define PATIENCE_MS 60000 /* nothing at all from any server for this long is a failure */

void rpc_die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

/* -------------------------------------------------- XDR */

static uint8_t *e_room(struct enc *e, size_t len)
{
	if (e->len + len > e->room) {
		e->room = (e->len + len) * 2 + 4096;
		e->p = realloc(e->p, e->room);
		if (!e->p)
			rpc_die("no memory");
	}
	uint8_t *at = e->p + e->len;
	e->len += len;
	return at;
}

void e_raw(struct enc *e, const void *p, size_t len)
{
	size_t pad = (4 - len % 4) % 4;
	uint8_t *at = e_room(e, len + pad);
	if (p && len)
		memcpy(at, p, len);
	else
		memset(at, 0, len);
	memset(at + len, 0, pad);
}

void e_u32(struct enc *e, uint32_t v)
{
	uint32_t be = htobe32(v);
	memcpy(e_room(e, sizeof(be)), &be, sizeof(be));
}

void e_u64(struct enc *e, uint64_t v)
{
	uint64_t be = htobe64(v);
	memcpy(e_room(e, sizeof(be)), &be, sizeof(be));
}

void e_opaque(struct enc *e, const void *p, size_t len)
{
	e_u32(e, (uint32_t)len);
	e_raw(e, p, len);
}

void e_str(struct enc *e, const char *s)
{
	e_opaque(e, s, strlen(s));
}

void e_fh(struct enc *e, const struct fh *h)
{
	e_opaque(e, h->b, h->len);
}

const uint8_t *d_raw(struct dec *d, size_t len)
{
	size_t padded = len + (4 - len % 4) % 4;
	if (d->len - d->at < padded)
		rpc_die("reply too short");
	const uint8_t *p = d->p + d->at;
	d->at += padded;
	return p;
}

uint32_t d_u32(struct dec *d)
{
	uint32_t be;
	memcpy(&be, d_raw(d, sizeof(be)), sizeof(be));
	return be32toh(be);
}

uint64_t d_u64(struct dec *d)
{
	uint64_t be;
	memcpy(&be, d_raw(d, sizeof(be)), sizeof(be));
	return be64toh(be);
}

const uint8_t *d_opaque(struct dec *d, uint32_t *ret_len)
{
	*ret_len = d_u32(d);
	return d_raw(d, *ret_len);
}

void d_fh(struct dec *d, struct fh *h)
{
	const uint8_t *p = d_opaque(d, &h->len);
	if (h->len > sizeof(h->b))
		rpc_die("a handle of %u bytes", h->len);
	memcpy(h->b, p, h->len);
}

/* -------------------------------------------------- calls */

/* A call's number is its job's place, and how many calls went before: never twice the same while the
 * server remembers. */
static uint32_t new_xid(struct job *j)
{
	j->xid = (uint32_t)(j - j->c->job) << 20 | ((uint32_t)j->c->calls & 0xfffff);
	return j->xid;
}

static void send_job(struct job *j)
{
	struct client *c = j->c;
	struct enc *e = &c->out;
	size_t start = e->len;
	e_u32(e, 0); /* record mark, below */
	e_u32(e, new_xid(j));
	e_u32(e, 0); /* CALL */
	e_u32(e, 2);
	e_u32(e, c->work->prog);
	e_u32(e, c->work->vers);
	size_t proc_at = e->len;
	e_u32(e, 0);
	e_u32(e, 1); /* AUTH_SYS: root, no further groups */
	e_u32(e, 4 + 4 + 8 + 12);
	e_u32(e, 0);
	e_str(e, "bench");
	e_u32(e, 0);
	e_u32(e, 0);
	e_u32(e, 0);
	e_u64(e, 0); /* AUTH_NONE */
	uint32_t proc = htobe32(c->work->call(j, e));
	uint32_t mark = htobe32((uint32_t)(e->len - start - 4) | 0x80000000);
	memcpy(e->p + proc_at, &proc, sizeof(proc));
	memcpy(e->p + start, &mark, sizeof(mark));
	c->calls++;
}

static void fill(struct client *c)
{
	for (unsigned k = 0; k < c->depth && !c->idle; k++) {
		struct job *j = &c->job[k];
		if (j->busy)
			continue;
		*j = (struct job){.c = c};
		if (!c->work->next(c, j)) {
			c->idle = 1;
			return;
		}
		j->busy = 1;
		c->busy++;
		send_job(j);
	}
}

static void answered(struct client *c, const uint8_t *p, size_t len)
{
	struct dec d = {.p = p, .len = len};
	uint32_t xid = d_u32(&d), skip;
	struct job *j = xid >> 20 < c->depth ? &c->job[xid >> 20] : NULL;
	if (!j || !j->busy || xid != j->xid || d_u32(&d) != 1)
		rpc_die("answer to no call of ours");
	if (d_u32(&d) != 0)
		rpc_die("call denied");
	(void)d_u32(&d); /* verifier */
	(void)d_opaque(&d, &skip);
	uint32_t stat = d_u32(&d);
	if (stat != 0)
		rpc_die("call not accepted: %u", stat);
	int again = c->work->answer(j, &d);
	j->step++;
	if (again) {
		send_job(j);
		return;
	}
	j->busy = 0;
	c->busy--;
}

/* -------------------------------------------------- transport */

void rpc_open(struct client *c, const char *addr, unsigned port, unsigned depth)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int one = 1;
	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .depth = depth};
	if (c->fd < 0 || inet_pton(AF_INET, addr, &sa.sin_addr) != 1)
		rpc_die("socket for %s", addr);
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		rpc_die("connect %s:%u: %m", addr, port);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* slower without */
	c->in_room = 65536;
	c->in = malloc(c->in_room);
	c->job = calloc(depth, sizeof(*c->job));
	if (!c->in || !c->job)
		rpc_die("no memory");
}

void rpc_close(struct client *c)
{
	(void)close(c->fd);
	free(c->in);
	free(c->job);
	free(c->out.p);
	*c = (struct client){.fd = -1};
}

static void send_some(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			rpc_die("send: %m");
		c->sent += (size_t)n;
	}
	c->sent = c->out.len = 0;
}

/* A record may come in several fragments: join them. Return: its length, 0 not all there yet. */
static size_t record_len(struct client *c, size_t at, size_t *ret_used)
{
	size_t used = at, len = 0;
	uint32_t mark;
	do {
		if (c->in_len - used < 4)
			return 0;
		memcpy(&mark, c->in + used, sizeof(mark));
		mark = be32toh(mark);
		size_t piece = mark & 0x7fffffff;
		if (c->in_len - used - 4 < piece) {
			size_t need = used - at + 4 + piece;
			if (need > c->in_room && !(c->in = realloc(c->in, c->in_room = need)))
				rpc_die("no memory");
			return 0;
		}
		used += 4 + piece;
		len += piece;
	} while (!(mark & 0x80000000));
	*ret_used = used - at;
	return len;
}

/* The fragments of a record, without their marks, moved together behind the first mark. */
static void join(uint8_t *p, size_t used)
{
	size_t from = 0, to = 4;
	while (from < used) {
		uint32_t mark;
		memcpy(&mark, p + from, sizeof(mark));
		size_t piece = be32toh(mark) & 0x7fffffff;
		if (to != from + 4)
			memmove(p + to, p + from + 4, piece);
		to += piece;
		from += 4 + piece;
	}
}

static void receive(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		rpc_die("connection lost: %s", n == 0 ? "closed by the server" : strerror(errno));
	c->in_len += (size_t)n;
	size_t at = 0, used, len;
	while ((len = record_len(c, at, &used)) > 0) {
		join(c->in + at, used);
		answered(c, c->in + at + 4, len);
		at += used;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

static void watch(int ep, struct client *c, int op)
{
	uint32_t want = EPOLLIN | (c->out.len ? EPOLLOUT : 0u);
	struct epoll_event ev = {.events = want, .data.ptr = c};
	if (op == EPOLL_CTL_MOD && want == c->events)
		return;
	if (epoll_ctl(ep, op, c->fd, &ev) < 0)
		rpc_die("epoll: %m");
	c->events = want;
}

static int step(struct client *c)
{
	fill(c);
	send_some(c);
	return c->busy > 0;
}

void rpc_run(struct client *c, size_t n)
{
	struct epoll_event ev[64];
	size_t left = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		rpc_die("epoll: %m");
	for (size_t k = 0; k < n; k++) {
		c[k].idle = 0;
		left += (size_t)step(&c[k]);
		watch(ep, &c[k], EPOLL_CTL_ADD);
	}
	while (left > 0) {
		int got = epoll_wait(ep, ev, 64, PATIENCE_MS);
		if (got == 0)
			rpc_die("no answer for %d s", PATIENCE_MS / 1000);
		for (int k = 0; k < got; k++) {
			struct client *one = ev[k].data.ptr;
			int was = one->busy > 0;
			receive(one);
			left -= (size_t)(was - step(one));
			watch(ep, one, EPOLL_CTL_MOD);
		}
	}
	(void)close(ep);
}

/* -------------------------------------------------- mount */

static int once(struct client *c, struct job *j)
{
	(void)j;
	return c->calls == 0;
}

static uint32_t mnt_call(struct job *j, struct enc *e)
{
	e_str(e, j->c->arg);
	return 1;
}

static int mnt_answer(struct job *j, struct dec *d)
{
	uint32_t stat = d_u32(d);
	if (stat != 0)
		rpc_die("MNT %s: %u", (const char *)j->c->arg, stat);
	d_fh(d, &j->c->root);
	return 0;
}

void rpc_mount(struct client *c, const char *addr, unsigned port, const char *path)
{
	static const struct work mnt = {MOUNT_PROG, 3, once, mnt_call, mnt_answer};
	struct client m;
	char name[4096];
	(void)snprintf(name, sizeof(name), "%s", path);
	rpc_open(&m, addr, port, 1);
	m.work = &mnt;
	m.arg = name;
	rpc_run(&m, 1);
	c->root = m.root;
	rpc_close(&m);
}
