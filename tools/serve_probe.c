/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Probes of the NFS and TFTP services.
 */
#include "serve_probe.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NFS_PROGRAM 100003
#define LAST_FRAGMENT 0x80000000u
#define RPC_REPLY_MAX 400 /* a verifier has at most 400 bytes; ours are empty */
#define TFTP_ERROR 5

static const uint8_t tftp_request[] = "\0\1cowherd-probe\0octet"; /* and the final NUL */

static void put_be32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void cow_rpc_null_call(uint32_t xid, uint32_t program, uint32_t version,
		       uint8_t ret[COW_RPC_CALL_LEN])
{
	const uint32_t words[COW_RPC_CALL_LEN / 4] = {
	    LAST_FRAGMENT | (COW_RPC_CALL_LEN - 4),
	    xid,
	    0 /* CALL */,
	    2 /* RPC version */,
	    program,
	    version,
	    0 /* NULL */,
	    0,
	    0, /* credentials: AUTH_NONE */
	    0,
	    0, /* verifier: AUTH_NONE */
	};

	for (size_t i = 0; i < COW_RPC_CALL_LEN / 4; i++)
		put_be32(ret + 4 * i, words[i]);
}

int cow_rpc_null_reply(const uint8_t *buf, size_t len, uint32_t xid)
{
	if (len < 4)
		return 0;
	uint32_t mark = get_be32(buf);
	size_t body = mark & ~LAST_FRAGMENT;
	if (!(mark & LAST_FRAGMENT) || body < 24 || body > RPC_REPLY_MAX)
		return -EPROTO;
	if (len < 4 + body)
		return 0;
	/* xid, REPLY = 1, MSG_ACCEPTED = 0, verifier flavour and length, SUCCESS = 0 */
	if (get_be32(buf + 4) != xid || get_be32(buf + 8) != 1 || get_be32(buf + 12) != 0)
		return -EPROTO;
	size_t verf = get_be32(buf + 20);
	if (verf > body - 24 || get_be32(buf + 24 + (verf + 3) / 4 * 4) != 0)
		return -EPROTO;
	return (int)(4 + body);
}

static void finish(struct cow_probe *p, int r)
{
	cow_probe_cancel(p);
	p->done(p->ctx, r);
}

void cow_probe_cancel(struct cow_probe *p)
{
	if (!p->busy)
		return;
	p->busy = false;
	cow_loop_timer_off(p->loop, &p->timer);
	cow_loop_unwatch(p->loop, &p->watch);
	(void)close(cow_steal_fd(&p->watch.fd));
}

static void on_timeout(void *ctx)
{
	finish(ctx, -ETIMEDOUT);
}

/* Both calls in one go: 88 bytes always fit in an empty socket buffer. */
static int send_calls(struct cow_probe *p)
{
	uint8_t calls[2 * COW_RPC_CALL_LEN];

	cow_rpc_null_call(p->xid, NFS_PROGRAM, 3, calls);
	cow_rpc_null_call(p->xid + 1, NFS_PROGRAM, 4, calls + COW_RPC_CALL_LEN);
	ssize_t n = send(p->watch.fd, calls, sizeof(calls), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	p->sent = (size_t)n;
	return n == sizeof(calls) ? 0 : -EPROTO;
}

/* Return: 1 all answered, 0 more to come, -errno. Replies may come in any order. */
static int take_replies(struct cow_probe *p)
{
	size_t at = 0;
	unsigned replies = 0;

	ssize_t n = recv(p->watch.fd, p->buf + p->have, sizeof(p->buf) - p->have, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	p->have += (size_t)n;
	while (replies < 2) {
		int len = cow_rpc_null_reply(p->buf + at, p->have - at, p->xid);
		if (len == -EPROTO)
			len = cow_rpc_null_reply(p->buf + at, p->have - at, p->xid + 1);
		if (len < 0)
			return len;
		if (len == 0)
			return p->have == sizeof(p->buf) ? -EPROTO : 0;
		at += (size_t)len;
		replies++;
	}
	return 1;
}

static void on_nfs(void *ctx, uint32_t events)
{
	struct cow_probe *p = ctx;
	int r = 0, e = 0;
	socklen_t len = sizeof(e);

	if (getsockopt(p->watch.fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e != 0) {
		finish(p, e ? -e : -errno);
		return;
	}
	if (p->sent == 0 && (events & EPOLLOUT)) {
		r = send_calls(p);
		if (r == 0)
			r = cow_loop_watch(p->loop, &p->watch, EPOLLIN);
	} else if (p->sent > 0) {
		r = take_replies(p);
	}
	if (r < 0)
		finish(p, r);
	else if (r > 0)
		finish(p, 0);
}

static void on_tftp(void *ctx, uint32_t events)
{
	struct cow_probe *p = ctx;
	struct sockaddr_in from = {0};
	socklen_t len = sizeof(from);

	(void)events;
	ssize_t n = recvfrom(p->watch.fd, p->buf, sizeof(p->buf), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &len);
	if (n < 0) {
		if (errno != EAGAIN)
			finish(p, -errno);
		return;
	}
	if (from.sin_addr.s_addr != p->to.sin_addr.s_addr)
		return; /* not from the service */
	finish(p, n >= 4 && p->buf[0] == 0 && p->buf[1] == TFTP_ERROR ? 0 : -EPROTO);
}

static int open_socket(struct cow_probe *p)
{
	bool tcp = p->kind == COW_PROBE_NFS;
	int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	const struct sockaddr *to = (const struct sockaddr *)&p->to;

	cow_autoclose int fd = socket(AF_INET, type, 0);
	if (fd < 0)
		return -errno;
	if (tcp && connect(fd, to, sizeof(p->to)) < 0 && errno != EINPROGRESS)
		return -errno;
	/* Unconnected: RFC 1350 section 4, the answer comes from another port than 69. */
	if (!tcp && sendto(fd, tftp_request, sizeof(tftp_request), 0, to, sizeof(p->to)) < 0)
		return -errno;
	p->watch = (struct cow_watch){.fd = fd, .fn = tcp ? on_nfs : on_tftp, .ctx = p};
	int r = cow_loop_watch(p->loop, &p->watch, tcp ? EPOLLOUT : EPOLLIN);
	if (r == 0)
		(void)cow_steal_fd(&fd);
	return r;
}

static void on_failed_start(void *ctx)
{
	struct cow_probe *p = ctx;

	p->busy = false;
	p->done(p->ctx, -(int)p->sent);
}

void cow_probe_start(struct cow_probe *p)
{
	if (p->busy)
		return;
	p->xid += 2;
	p->sent = p->have = 0;
	p->busy = true;
	p->timer = (struct cow_timer){.fn = on_timeout, .ctx = p};
	int r = open_socket(p);
	if (r < 0) { /* never call back from in here: the caller may not expect it yet */
		p->watch.fd = -1;
		p->sent = (size_t)-r;
		p->timer.fn = on_failed_start;
		cow_loop_timer(p->loop, &p->timer, 0);
		return;
	}
	cow_loop_timer(p->loop, &p->timer, p->timeout_ms);
}
