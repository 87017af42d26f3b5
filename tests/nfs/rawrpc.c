/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rawrpc.h"

const char *raw_running = "set-up";

void raw_die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

/* -------------------------------------------------- XDR */

void x_raw(struct xdr *x, const void *p, size_t len)
{
	size_t pad = (4 - len % 4) % 4;
	if (x->len + len + pad > sizeof(x->b))
		raw_die("request too long");
	if (len)
		memcpy(x->b + x->len, p, len);
	memset(x->b + x->len + len, 0, pad);
	x->len += len + pad;
}

void x_u32(struct xdr *x, uint32_t v)
{
	uint32_t be = htonl(v);
	x_raw(x, &be, sizeof(be));
}

void x_u64(struct xdr *x, uint64_t v)
{
	x_u32(x, (uint32_t)(v >> 32));
	x_u32(x, (uint32_t)v);
}

void x_opaque(struct xdr *x, const void *p, size_t len)
{
	x_u32(x, (uint32_t)len);
	x_raw(x, p, len);
}

void x_str(struct xdr *x, const char *s)
{
	x_opaque(x, s, strlen(s));
}

void r_raw(struct xdr *x, void *p, size_t len)
{
	size_t padded = len + (4 - len % 4) % 4;
	if (x->len - x->at < padded)
		raw_die("reply too short");
	if (p)
		memcpy(p, x->b + x->at, len);
	x->at += padded;
}

uint32_t r_u32(struct xdr *x)
{
	uint32_t be;
	r_raw(x, &be, sizeof(be));
	return ntohl(be);
}

uint64_t r_u64(struct xdr *x)
{
	uint64_t hi = r_u32(x);
	return hi << 32 | r_u32(x);
}

size_t r_opaque(struct xdr *x, void *p, size_t max)
{
	size_t len = r_u32(x);
	if (len > max)
		raw_die("opaque of %zu bytes in the reply, at most %zu expected", len, max);
	r_raw(x, p, len);
	return len;
}

void r_skip_opaque(struct xdr *x)
{
	size_t len = r_u32(x);
	r_raw(x, NULL, len);
}

/* -------------------------------------------------- transport */

struct raw raw_connect(const char *addr, unsigned port, uint32_t uid, uint32_t gid)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval patience = {.tv_sec = 20};
	struct raw c = {.xid = (uint32_t)getpid() << 8, .uid = uid, .gid = gid};
	c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c.fd < 0 || inet_pton(AF_INET, addr, &sa.sin_addr) != 1)
		raw_die("socket for %s", addr);
	(void)setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(c.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		raw_die("connect %s:%u: %m", addr, port);
	return c;
}

static void send_all(int fd, const void *p, size_t len)
{
	const uint8_t *b = p;
	while (len) {
		ssize_t n = send(fd, b, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			raw_die("send: %m");
		b += n;
		len -= (size_t)n;
	}
}

static void recv_all(int fd, void *p, size_t len)
{
	uint8_t *b = p;
	while (len) {
		ssize_t n = recv(fd, b, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			raw_die("no reply: %s", n == 0 ? "connection closed" : "timeout");
		b += n;
		len -= (size_t)n;
	}
}

static void recv_record(int fd, struct xdr *x)
{
	uint32_t mark;
	x->len = x->at = 0;
	do {
		recv_all(fd, &mark, sizeof(mark));
		mark = ntohl(mark);
		size_t len = mark & 0x7fffffff;
		if (len > sizeof(x->b) - x->len)
			raw_die("reply too long");
		recv_all(fd, x->b + x->len, len);
		x->len += len;
	} while (!(mark & 0x80000000));
}

uint32_t raw_try(struct raw *c, uint32_t prog, uint32_t vers, uint32_t proc, const struct xdr *args,
		 struct xdr *res)
{
	static struct xdr req, cred;
	req.len = cred.len = 0;
	x_u32(&cred, 0); /* stamp */
	x_str(&cred, "raw");
	x_u32(&cred, c->uid);
	x_u32(&cred, c->gid);
	x_u32(&cred, c->n_groups);
	for (uint32_t i = 0; i < c->n_groups; i++)
		x_u32(&cred, c->groups[i]);
	x_u32(&req, 0); /* record mark, below */
	x_u32(&req, ++c->xid);
	x_u32(&req, 0); /* CALL */
	x_u32(&req, 2);
	x_u32(&req, prog);
	x_u32(&req, vers);
	x_u32(&req, proc);
	x_u32(&req, 1); /* AUTH_SYS */
	x_opaque(&req, cred.b, cred.len);
	x_u32(&req, 0); /* AUTH_NONE */
	x_u32(&req, 0);
	x_raw(&req, args->b, args->len);
	uint32_t mark = htonl((uint32_t)(req.len - 4) | 0x80000000);
	memcpy(req.b, &mark, sizeof(mark));
	send_all(c->fd, req.b, req.len);
	recv_record(c->fd, res);
	if (r_u32(res) != c->xid || r_u32(res) != 1)
		raw_die("reply to another call");
	if (r_u32(res) != 0) /* denied: by version (0) or by who asks (1, and why) */
		return RAW_DENIED + (r_u32(res) == 1 ? r_u32(res) : 0);
	r_u32(res); /* verifier */
	r_skip_opaque(res);
	return r_u32(res);
}

void raw_call(struct raw *c, uint32_t prog, uint32_t vers, uint32_t proc, const struct xdr *args,
	      struct xdr *res)
{
	uint32_t r = raw_try(c, prog, vers, proc, args, res);
	if (r)
		raw_die("call of program %u, procedure %u: not accepted, %u", prog, proc, r);
}
