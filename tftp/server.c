/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The epoll loop and what it does with each datagram: see tftp/server.h.
 *
 * Requests come in on the listening socket. Transfers share a fixed pool of sockets, told apart by
 * their peer: no socket is made or closed per request, of which a booting board sends a hundred.
 */
#include "tftp/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "hosts.h"
#include "outbox.h"
#include "sockets.h"
#include "table.h"
#include "tftp/limits.h"
#include "tftp/packet.h"
#include "timers.h"

#define POOL 16u
#define LISTEN_RCVBUF (1 << 20) /* 200 boards and their repeats */
#define POOL_RCVBUF (1 << 18)	/* ACKs of a few hundred transfers each */
#define BUDGET 64		/* datagrams per socket and turn: nobody starves */
#define TICK_MS 1000u
#define EV_LISTEN POOL
#define EV_STOP (POOL + 1)

struct cow_tftp_server {
	struct cow_tftp_resolver resolver;
	struct cow_tftp_grants grants;
	int epoll, listen_fd, pool[POOL];
	struct sockaddr_in bound;
	in_port_t pool_port[POOL];
	unsigned next_socket;

	struct cow_tftp_table table;
	struct cow_tftp_timers timers;
	struct cow_tftp_hosts *hosts;
	size_t live;
	uint64_t now_ms, tick_ms;
	struct cow_tftp_stats stats;

	struct cow_tftp_inbox *inbox;
	struct cow_tftp_outbox *outbox;
};

/* ---------------------------------------------------------------- answers */

static struct sockaddr_in address_of(const struct cow_tftp_peer *p)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_addr = p->addr, .sin_port = p->port};
}

static void send_error(struct cow_tftp_server *s, int fd, const struct cow_tftp_datagram *to,
		       enum cow_tftp_code code, const char *text)
{
	uint8_t buf[COW_TFTP_ERROR_MAX];
	size_t len = cow_tftp_build_error(buf, code, text);

	/* Sent once; when lost, the client asks again. */
	(void)cow_tftp_socket_send(fd, buf, len, &to->from, to->local, 0);
}

static void refuse(struct cow_tftp_server *s, const struct cow_tftp_datagram *d, int r)
{
	const char *text;
	enum cow_tftp_code code = cow_tftp_code_of(r, &text);

	s->stats.refused++;
	send_error(s, s->pool[s->next_socket], d, code, text);
}

static bool is_live(const struct cow_tftp_slot *slot)
{
	return slot->transfer.state == COW_TFTP_OFFER || slot->transfer.state == COW_TFTP_SENDING;
}

static struct cow_tftp_route route_of(const struct cow_tftp_server *s,
				      const struct cow_tftp_slot *slot)
{
	return (struct cow_tftp_route){
	    .fd = s->pool[slot->socket],
	    .to = address_of(&slot->peer),
	    .local = slot->local,
	    .flags =
		slot->transfer.confirmed && slot->transfer.tries == 0 ? COW_TFTP_SEND_CONFIRM : 0,
	};
}

/* Where a call into a transfer may build a packet, which send_out() then sends. */
static struct cow_tftp_out out_of(struct cow_tftp_server *s)
{
	return (struct cow_tftp_out){.buf = cow_tftp_outbox_room(s->outbox)};
}

static void send_out(struct cow_tftp_server *s, struct cow_tftp_slot *slot,
		     struct cow_tftp_out *out)
{
	struct cow_tftp_route route = route_of(s, slot);

	for (unsigned k = 0; k < out->count; k++) {
		uint8_t *buf = cow_tftp_outbox_room(s->outbox);
		ssize_t n = cow_tftp_transfer_block(&slot->transfer, out->first + k, buf);

		if (n >= 0) {
			cow_tftp_outbox_add(s->outbox, &route, (size_t)n, k + 1 < out->count);
		} else {
			out->buf = buf;
			cow_tftp_transfer_broken(&slot->transfer, s->now_ms, out);
		}
	}
	if (out->len > 0)
		cow_tftp_outbox_add(s->outbox, &route, out->len, false);
}

/* ---------------------------------------------------------------- life of a slot */

static void count_outcome(struct cow_tftp_server *s, const struct cow_tftp_slot *slot)
{
	const struct cow_tftp_transfer *t = &slot->transfer;
	char addr[INET_ADDRSTRLEN] = "";

	s->stats.resends += t->resends;
	if (t->outcome == COW_TFTP_DELIVERED) {
		s->stats.delivered++;
		s->stats.bytes += t->size;
	} else if (t->outcome == COW_TFTP_ABORTED) {
		s->stats.aborted++;
	} else if (t->outcome == COW_TFTP_TIMED_OUT) {
		s->stats.timed_out++;
	} else {
		s->stats.failed++;
	}
	if (cow_log_max() < COW_LOG_DEBUG)
		return;
	(void)inet_ntop(AF_INET, &slot->peer.addr, addr, sizeof(addr));
	cow_log(COW_LOG_DEBUG,
		"addr=%s port=%u file=%s result=%s size=%llu blksize=%u resends=%u ms=%llu", addr,
		ntohs(slot->peer.port), cow_quote(slot->request.name, slot->request.name_len).s,
		cow_tftp_outcome_name(t->outcome), (unsigned long long)t->size, t->terms.blksize,
		t->resends, (unsigned long long)(s->now_ms - t->started_ms));
}

static void leave(struct cow_tftp_server *s, struct cow_tftp_slot *slot)
{
	s->live--;
	cow_tftp_hosts_leave(s->hosts, slot->peer.addr);
	count_outcome(s, slot);
}

static void drop(struct cow_tftp_server *s, struct cow_tftp_slot *slot)
{
	if (is_live(slot)) {
		slot->transfer.outcome = COW_TFTP_ABORTED;
		leave(s, slot);
	}
	cow_tftp_timer_cancel(&s->timers, &slot->timer);
	cow_tftp_transfer_done(&slot->transfer);
	cow_tftp_table_remove(&s->table, slot);
}

/* After each call into the transfer: send, and follow its state. @was_live: before the call. */
static void settle(struct cow_tftp_server *s, struct cow_tftp_slot *slot, bool was_live,
		   struct cow_tftp_out *out)
{
	send_out(s, slot, out);
	if (was_live && !is_live(slot))
		leave(s, slot);
	if (slot->transfer.state == COW_TFTP_OVER)
		drop(s, slot);
	else
		cow_tftp_timer_set(&s->timers, &slot->timer, slot->transfer.deadline_ms);
}

/* ---------------------------------------------------------------- requests */

/* A slot whose socket differs from @avoid, so that late packets of a replaced transfer miss it. */
static struct cow_tftp_slot *make_slot(struct cow_tftp_server *s, const struct cow_tftp_datagram *d,
				       unsigned avoid)
{
	struct cow_tftp_peer peer = {.addr = d->from.sin_addr, .port = d->from.sin_port};

	if (s->live >= COW_TFTP_TRANSFERS_MAX || !cow_tftp_hosts_enter(s->hosts, peer.addr))
		return NULL;

	struct cow_tftp_slot *slot = cow_tftp_table_add(&s->table, &peer);

	if (!slot) {
		cow_tftp_hosts_leave(s->hosts, peer.addr);
		return NULL;
	}
	if (s->next_socket == avoid)
		s->next_socket = (s->next_socket + 1) % POOL;
	slot->socket = s->next_socket;
	slot->local = d->local;
	s->next_socket = (s->next_socket + 1) % POOL;
	s->live++;
	return slot;
}

static void begin(struct cow_tftp_server *s, const struct cow_tftp_datagram *d,
		  const struct cow_tftp_request *rq, unsigned avoid)
{
	const struct cow_tftp_who who = {.addr = d->from.sin_addr,
					 .local = d->local,
					 .ifindex = d->ifindex,
					 .now_ms = s->now_ms};
	struct cow_tftp_content *content;
	struct cow_tftp_terms terms;
	struct cow_tftp_out out = out_of(s);
	int r = s->resolver.open(s->resolver.ctx, &who, rq->name, rq->name_len, &content);

	if (r == 0 && rq->mode == COW_TFTP_NETASCII)
		r = cow_tftp_content_netascii(&content);
	if (r < 0) {
		refuse(s, d, r);
		return;
	}

	struct cow_tftp_slot *slot = make_slot(s, d, avoid);

	if (!slot) { /* silence: the client asks again, when there may be room */
		s->stats.limited++;
		cow_tftp_content_free(content);
		return;
	}
	if (!content->in_memory)
		(void)cow_tftp_content_buffered(&content); /* it is slower without */
	slot->request = *rq;
	cow_tftp_negotiate(rq, content->size, &s->grants, &terms);
	cow_tftp_transfer_start(&slot->transfer, &terms, content, s->now_ms, &out);
	settle(s, slot, true, &out);
}

static void take_rrq(struct cow_tftp_server *s, const struct cow_tftp_datagram *d,
		     struct cow_span body)
{
	const struct cow_tftp_peer peer = {.addr = d->from.sin_addr, .port = d->from.sin_port};
	struct cow_tftp_request rq;
	unsigned avoid = POOL;
	int r = d->truncated ? -EBADMSG : cow_tftp_request_parse(body, &rq);

	s->stats.requests++;
	if (r < 0) {
		s->stats.malformed++;
		refuse(s, d, r);
		return;
	}

	struct cow_tftp_slot *slot = cow_tftp_table_find(&s->table, &peer);

	if (slot) {
		struct cow_tftp_out out = out_of(s);

		if (cow_tftp_request_same(&slot->request, &rq) &&
		    cow_tftp_transfer_repeat(&slot->transfer, s->now_ms, &out)) {
			settle(s, slot, true, &out);
			return;
		}
		avoid = slot->socket;
		drop(s, slot);
	}
	begin(s, d, &rq, avoid);
}

/* Never answer what may be an answer: two servers would talk for ever. */
static bool is_own(const struct cow_tftp_server *s, const struct cow_tftp_datagram *d)
{
	if (d->from.sin_addr.s_addr != d->local.s_addr)
		return false;
	if (d->from.sin_port == s->bound.sin_port)
		return true;
	for (unsigned i = 0; i < POOL; i++) {
		if (d->from.sin_port == s->pool_port[i])
			return true;
	}
	return false;
}

static void on_listen(struct cow_tftp_server *s, const struct cow_tftp_datagram *d)
{
	struct cow_span pkt = cow_span_of(d->data, d->len);
	uint16_t op;

	if (!d->to_us || d->from.sin_port == 0 || is_own(s, d) || !cow_span_be16(&pkt, &op) ||
	    (op != COW_TFTP_RRQ && op != COW_TFTP_WRQ)) {
		s->stats.stray++;
		return;
	}
	if (!cow_tftp_hosts_admit(s->hosts, d->from.sin_addr, s->now_ms)) {
		s->stats.limited++;
		return;
	}
	if (op == COW_TFTP_WRQ)
		refuse(s, d, -EROFS);
	else
		take_rrq(s, d, pkt);
}

static void on_transfer(struct cow_tftp_server *s, unsigned socket,
			const struct cow_tftp_datagram *d)
{
	const struct cow_tftp_peer peer = {.addr = d->from.sin_addr, .port = d->from.sin_port};
	struct cow_tftp_slot *slot = cow_tftp_table_find(&s->table, &peer);
	struct cow_span pkt = cow_span_of(d->data, d->len), peek = pkt;
	uint16_t op;

	if (slot && slot->socket == socket) {
		struct cow_tftp_out out = out_of(s);
		bool was_live = is_live(slot);

		cow_tftp_transfer_packet(&slot->transfer, pkt, s->now_ms, &out);
		settle(s, slot, was_live, &out);
		return;
	}
	s->stats.stray++;
	/* A stranger on this port (RFC 1350 section 4); ERROR is never answered. */
	if (d->to_us && cow_span_be16(&peek, &op) && (op == COW_TFTP_ACK || op == COW_TFTP_DATA) &&
	    !is_own(s, d) && cow_tftp_hosts_admit(s->hosts, peer.addr, s->now_ms))
		send_error(s, s->pool[socket], d, COW_TFTP_E_UNKNOWN_TID, "Unknown transfer ID");
}

/* ---------------------------------------------------------------- loop */

static void drain(struct cow_tftp_server *s, unsigned which)
{
	int fd = which == EV_LISTEN ? s->listen_fd : s->pool[which];
	int n;

	for (int done = 0; done < BUDGET; done += n) {
		n = cow_tftp_socket_recv_many(fd, s->inbox);
		if (n == -EINTR) {
			n = 0;
			continue;
		}
		if (n <= 0)
			break; /* -EAGAIN; anything else concerns one datagram that is gone */
		for (int k = 0; k < n; k++) {
			if (which == EV_LISTEN)
				on_listen(s, &s->inbox->datagram[k]);
			else
				on_transfer(s, which, &s->inbox->datagram[k]);
		}
		cow_tftp_outbox_flush(s->outbox);
		if (n < COW_TFTP_INBOX)
			break; /* that was all; what came meanwhile wakes us again */
	}
}

static void run_timers(struct cow_tftp_server *s)
{
	struct cow_tftp_timer *t;

	while ((t = cow_tftp_timers_first(&s->timers)) && t->at_ms <= s->now_ms) {
		struct cow_tftp_slot *slot =
		    (struct cow_tftp_slot *)((char *)t - offsetof(struct cow_tftp_slot, timer));
		struct cow_tftp_out out = out_of(s);
		bool was_live = is_live(slot);

		cow_tftp_transfer_tick(&slot->transfer, s->now_ms, &out);
		settle(s, slot, was_live, &out);
	}
	cow_tftp_outbox_flush(s->outbox);
	if (s->now_ms - s->tick_ms >= TICK_MS) {
		s->tick_ms = s->now_ms;
		if (s->resolver.tick)
			s->resolver.tick(s->resolver.ctx, s->now_ms);
	}
}

static int wait_ms(const struct cow_tftp_server *s)
{
	const struct cow_tftp_timer *t = cow_tftp_timers_first(&s->timers);
	uint64_t wait = TICK_MS;

	if (t)
		wait = t->at_ms > s->now_ms ? t->at_ms - s->now_ms : 0;
	return (int)(wait < TICK_MS ? wait : TICK_MS);
}

static void stop_transfers(struct cow_tftp_server *s)
{
	struct cow_tftp_slot *slot;

	while ((slot = cow_tftp_table_any(&s->table))) {
		if (is_live(slot)) {
			struct cow_tftp_out out = out_of(s);

			out.len =
			    cow_tftp_build_error(out.buf, COW_TFTP_E_UNDEFINED, "Server stops");
			send_out(s, slot, &out);
		}
		drop(s, slot);
	}
	cow_tftp_outbox_flush(s->outbox);
}

int cow_tftp_server_run(struct cow_tftp_server *s, int stop_fd)
{
	struct epoll_event stop = {.events = EPOLLIN, .data.u32 = EV_STOP};

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, stop_fd, &stop) < 0)
		return -errno;
	for (;;) {
		struct epoll_event ev[POOL + 2];
		int n = epoll_wait(s->epoll, ev, POOL + 2, wait_ms(s));

		if (n < 0 && errno != EINTR)
			return -errno;
		s->now_ms = cow_now_ms();
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u32 == EV_STOP) {
				stop_transfers(s);
				(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, stop_fd, NULL);
				return 0;
			}
			drain(s, ev[i].data.u32);
		}
		run_timers(s);
	}
}

/* ---------------------------------------------------------------- set-up */

static int add_socket(struct cow_tftp_server *s, int fd, uint32_t which)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = which};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_pool(struct cow_tftp_server *s, struct cow_err *err)
{
	struct sockaddr_in at = s->bound;

	at.sin_port = 0;
	for (unsigned i = 0; i < POOL; i++) {
		struct sockaddr_in got = {0};
		socklen_t len = sizeof(got);
		int fd = cow_tftp_socket_open(&at, POOL_RCVBUF);

		if (fd < 0)
			return cow_err_set(err, fd, "open a socket for transfers");
		s->pool[i] = fd;
		if (getsockname(fd, (struct sockaddr *)&got, &len) < 0)
			return cow_err_set(err, -errno, "name a socket for transfers");
		s->pool_port[i] = got.sin_port;
		int r = add_socket(s, fd, i);

		if (r < 0)
			return cow_err_set(err, r, "watch a socket");
	}
	return 0;
}

static int open_listen(struct cow_tftp_server *s, const struct sockaddr_in *listen,
		       struct cow_err *err)
{
	char addr[INET_ADDRSTRLEN] = "";
	socklen_t len = sizeof(s->bound);

	(void)inet_ntop(AF_INET, &listen->sin_addr, addr, sizeof(addr));
	s->listen_fd = cow_tftp_socket_open(listen, LISTEN_RCVBUF);
	if (s->listen_fd == -EADDRINUSE) {
		(void)cow_err_say(err, COW_ERR_BUSY, -EADDRINUSE,
				  "port %u of %s is taken by another program",
				  ntohs(listen->sin_port), addr);
		return cow_err_hint(
		    err, -EADDRINUSE,
		    "stop the other TFTP server (dnsmasq, tftpd-hpa, atftpd), or choose "
		    "another address");
	}
	if (s->listen_fd < 0)
		return cow_err_set(err, s->listen_fd, "listen on port %u of %s",
				   ntohs(listen->sin_port), addr);
	if (getsockname(s->listen_fd, (struct sockaddr *)&s->bound, &len) < 0)
		return cow_err_set(err, -errno, "name the listening socket");
	int r = add_socket(s, s->listen_fd, EV_LISTEN);

	return r < 0 ? cow_err_set(err, r, "watch a socket") : 0;
}

static int set_up(struct cow_tftp_server *s, struct cow_err *err)
{
	uint64_t seed[2];
	int r = cow_random(seed, sizeof(seed));

	if (r < 0)
		return cow_err_set(err, r, "get random bytes");
	r = cow_tftp_table_init(&s->table, seed[0]);
	if (r == 0)
		r = cow_tftp_timers_init(&s->timers, COW_TFTP_SLOTS_MAX);
	if (r == 0)
		r = cow_tftp_hosts_new(seed[1], &s->hosts);
	if (r == 0)
		r = cow_tftp_outbox_new(&s->outbox);
	if (r == 0)
		r = cow_tftp_inbox_new(&s->inbox);
	if (r < 0)
		return cow_err_set(err, r, "make the tables");
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	return s->epoll < 0 ? cow_err_set(err, -errno, "make an epoll set") : 0;
}

int cow_tftp_server_new(const struct sockaddr_in *listen, const struct cow_tftp_resolver *resolver,
			struct cow_tftp_server **ret, struct cow_err *err)
{
	struct cow_tftp_server *s = calloc(1, sizeof(*s));

	if (!s)
		return cow_err_set(err, -ENOMEM, "make the TFTP server");
	s->resolver = *resolver;
	s->grants = (struct cow_tftp_grants){.blksize = COW_TFTP_BLKSIZE_PATH,
					     .window = COW_TFTP_WINDOW_MAX};
	s->epoll = s->listen_fd = -1;
	for (unsigned i = 0; i < POOL; i++)
		s->pool[i] = -1;
	s->now_ms = s->tick_ms = cow_now_ms();
	int r = set_up(s, err);

	if (r == 0)
		r = open_listen(s, listen, err);
	if (r == 0)
		r = open_pool(s, err);
	if (r < 0) {
		cow_tftp_server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void cow_tftp_server_free(struct cow_tftp_server *s)
{
	struct cow_tftp_slot *slot;

	if (!s)
		return;
	while (s->table.buckets && (slot = cow_tftp_table_any(&s->table)))
		drop(s, slot);
	for (unsigned i = 0; i < POOL; i++) {
		if (s->pool[i] >= 0)
			(void)close(s->pool[i]);
	}
	if (s->listen_fd >= 0)
		(void)close(s->listen_fd);
	if (s->epoll >= 0)
		(void)close(s->epoll);
	cow_tftp_table_done(&s->table);
	cow_tftp_timers_done(&s->timers);
	cow_tftp_hosts_free(s->hosts);
	cow_tftp_outbox_free(s->outbox);
	cow_tftp_inbox_free(s->inbox);
	free(s);
}

uint16_t cow_tftp_server_port(const struct cow_tftp_server *s)
{
	return ntohs(s->bound.sin_port);
}

void cow_tftp_server_stats(const struct cow_tftp_server *s, struct cow_tftp_stats *ret)
{
	*ret = s->stats;
}
