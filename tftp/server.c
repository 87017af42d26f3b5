/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The epoll loop and what it does with each datagram: see tftp/server.h.
 *
 * Requests come in by entrances, a listening socket each. The transfers of one share a fixed pool of sockets, told
 * apart by their peer: no socket is made or closed per request, of which a booting board sends a hundred. With a
 * single port there is no pool, and the listening socket carries them.
 */
#include "tftp/server.h"

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
#include "entrance.h"
#include "hosts.h"
#include "outbox.h"
#include "sockets.h"
#include "table.h"
#include "tftp/limits.h"
#include "tftp/packet.h"
#include "timers.h"

#define BUDGET 64 /* datagrams per socket and turn: nobody starves */
#define TICK_MS 1000u
#define EVENTS 32 /* per turn */
/* Which socket an event is of: its entrance and its place there. */
#define EVENT_OF(entrance, at) ((entrance) * (COW_TFTP_POOL + 1) + (at))
#define EV_STOP EVENT_OF(COW_TFTP_LISTEN_MAX, 0)

struct cow_tftp_server {
	struct cow_tftp_resolver resolver;
	int epoll;
	struct cow_tftp_entrance entrance[COW_TFTP_LISTEN_MAX];
	unsigned entrances;
	int inet_fd; /* to ask for addresses of interfaces; -1: IPv4 alone */

	struct cow_tftp_table table;
	struct cow_tftp_timers timers;
	struct cow_tftp_hosts *hosts;
	size_t live;
	uint64_t now_ms, tick_ms;
	struct cow_tftp_stats stats;

	struct cow_tftp_inbox *inbox, *earlier; /* see hear_the_rest() */
	struct cow_tftp_outbox *outbox;
};

/* ---------------------------------------------------------------- answers */

static struct cow_tftp_peer peer_of(const struct cow_tftp_datagram *d)
{
	return (struct cow_tftp_peer){
	    .addr = cow_tftp_addr_map(&d->from),
	    .scope = d->from.sa.sa_family == AF_INET6 ? d->from.in6.sin6_scope_id : 0,
	    .port = cow_tftp_addr_port(&d->from),
	};
}

static union cow_tftp_addr address_of(const struct cow_tftp_peer *p)
{
	if (IN6_IS_ADDR_V4MAPPED(&p->addr))
		return (union cow_tftp_addr){.in = {.sin_family = AF_INET,
						    .sin_addr = cow_tftp_unmap(&p->addr),
						    .sin_port = p->port}};
	return (union cow_tftp_addr){.in6 = {.sin6_family = AF_INET6,
					     .sin6_addr = p->addr,
					     .sin6_scope_id = p->scope,
					     .sin6_port = p->port}};
}

static void send_error(const struct cow_tftp_entrance *e, unsigned socket,
		       const struct cow_tftp_datagram *to, enum cow_tftp_code code,
		       const char *text)
{
	uint8_t buf[COW_TFTP_ERROR_MAX];
	size_t len = cow_tftp_build_error(buf, code, text);

	/* Sent once; when lost, the client asks again. */
	(void)cow_tftp_socket_send(cow_tftp_entrance_fd(e, socket), buf, len, &to->from, &to->local,
				   0);
}

static void refuse(struct cow_tftp_server *s, const struct cow_tftp_entrance *e,
		   const struct cow_tftp_datagram *d, int r)
{
	const char *text;
	enum cow_tftp_code code = cow_tftp_code_of(r, &text);

	s->stats.refused++;
	send_error(e, cow_tftp_entrance_next(e), d, code, text);
}

static bool is_live(const struct cow_tftp_slot *slot)
{
	return slot->transfer.state == COW_TFTP_OFFER || slot->transfer.state == COW_TFTP_SENDING;
}

static struct cow_tftp_route route_of(const struct cow_tftp_server *s,
				      const struct cow_tftp_slot *slot)
{
	const struct cow_tftp_entrance *e = &s->entrance[slot->entrance];

	return (struct cow_tftp_route){
	    .fd = cow_tftp_entrance_fd(e, slot->socket),
	    .to = address_of(&slot->peer),
	    .local = e->one_address ? in6addr_any : slot->local,
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

static void tell_resolver(struct cow_tftp_server *s, const struct cow_tftp_slot *slot)
{
	const struct cow_tftp_transfer *t = &slot->transfer;
	const struct cow_tftp_ended e = {.ticket = slot->ticket,
					 .name = slot->request.name,
					 .name_len = slot->request.name_len,
					 .result = cow_tftp_outcome_name(t->outcome),
					 .size = t->size,
					 .ms = s->now_ms - t->started_ms,
					 .now_ms = s->now_ms,
					 .resends = t->resends};

	s->resolver.ended(s->resolver.ctx, &e);
}

static void count_outcome(struct cow_tftp_server *s, const struct cow_tftp_slot *slot)
{
	const struct cow_tftp_transfer *t = &slot->transfer;
	char addr[COW_TFTP_ADDR_TEXT];

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
	if (s->resolver.ended)
		tell_resolver(s, slot);
	if (cow_log_max() < COW_LOG_DEBUG)
		return;
	cow_log(COW_LOG_DEBUG,
		"addr=%s port=%u file=%s result=%s size=%llu blksize=%u resends=%u ms=%llu",
		cow_tftp_addr_text(&slot->peer.addr, slot->peer.scope, addr),
		ntohs(slot->peer.port), cow_quote(slot->request.name, slot->request.name_len).s,
		cow_tftp_outcome_name(t->outcome), (unsigned long long)t->size, t->terms.blksize,
		t->resends, (unsigned long long)(s->now_ms - t->started_ms));
}

static void leave(struct cow_tftp_server *s, struct cow_tftp_slot *slot)
{
	s->live--;
	cow_tftp_hosts_leave(s->hosts, &slot->peer.addr);
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

/* A slot whose socket differs from @avoid where there are several, so that late packets of a replaced transfer miss it. */
static struct cow_tftp_slot *make_slot(struct cow_tftp_server *s, struct cow_tftp_entrance *e,
				       const struct cow_tftp_datagram *d, unsigned avoid)
{
	struct cow_tftp_peer peer = peer_of(d);

	if (s->live >= COW_TFTP_TRANSFERS_MAX || !cow_tftp_hosts_enter(s->hosts, &peer.addr))
		return NULL;

	struct cow_tftp_slot *slot = cow_tftp_table_add(&s->table, &peer);

	if (!slot) {
		cow_tftp_hosts_leave(s->hosts, &peer.addr);
		return NULL;
	}
	if (cow_tftp_entrance_next(e) == avoid)
		cow_tftp_entrance_turn(e);
	slot->entrance = (unsigned)(e - s->entrance);
	slot->socket = cow_tftp_entrance_next(e);
	slot->local = d->local;
	cow_tftp_entrance_turn(e);
	s->live++;
	return slot;
}

static struct cow_tftp_who who_of(const struct cow_tftp_server *s,
				  const struct cow_tftp_datagram *d)
{
	struct cow_tftp_who who = {.addr6 = cow_tftp_addr_map(&d->from),
				   .local = cow_tftp_unmap(&d->local),
				   .ifindex = d->ifindex,
				   .now_ms = s->now_ms};

	who.addr = cow_tftp_unmap(&who.addr6);
	if (who.addr.s_addr == 0)
		who.local = cow_tftp_socket_ipv4_of(s->inet_fd, d->ifindex);
	return who;
}

static void begin(struct cow_tftp_server *s, struct cow_tftp_entrance *e,
		  const struct cow_tftp_datagram *d, const struct cow_tftp_request *rq,
		  unsigned avoid)
{
	const struct cow_tftp_who who = who_of(s, d);
	struct cow_tftp_content *content;
	struct cow_tftp_terms terms;
	struct cow_tftp_out out = out_of(s);
	int r = s->resolver.open(s->resolver.ctx, &who, rq->name, rq->name_len, &content);

	uint64_t ticket = r == 0 ? content->ticket : 0;

	if (r == 0 && rq->mode == COW_TFTP_NETASCII)
		r = cow_tftp_content_netascii(&content);
	if (r == -EINPROGRESS) { /* silence: by the time it asks again there may be one */
		s->stats.limited++;
		return;
	}
	if (r < 0) {
		refuse(s, e, d, r);
		return;
	}

	struct cow_tftp_slot *slot = make_slot(s, e, d, avoid);

	if (!slot) { /* silence: the client asks again, when there may be room */
		s->stats.limited++;
		cow_tftp_content_free(content);
		return;
	}
	if (!content->in_memory)
		(void)cow_tftp_content_buffered(&content); /* it is slower without */
	slot->request = *rq;
	slot->ticket = ticket;
	cow_tftp_negotiate(rq, content->size, &e->grants, &terms);
	cow_tftp_transfer_start(&slot->transfer, &terms, content, s->now_ms, &out);
	settle(s, slot, true, &out);
}

static void on_transfer(struct cow_tftp_server *s, unsigned entrance, unsigned socket,
			const struct cow_tftp_datagram *d);

/*
 * What came in by the socket of a transfer before the request that was just read, but has not been looked at: a board that breaks
 * off and asks for the same again means a new transfer, not the old one once more.
 */
static void hear_the_rest(struct cow_tftp_server *s, unsigned entrance, unsigned socket)
{
	int fd = cow_tftp_entrance_fd(&s->entrance[entrance], socket);
	int n = COW_TFTP_INBOX;

	for (int done = 0; n == COW_TFTP_INBOX && done < BUDGET; done += n) {
		n = cow_tftp_socket_recv_many(fd, s->earlier);
		for (int k = 0; k < n; k++)
			on_transfer(s, entrance, socket, &s->earlier->datagram[k]);
	}
}

static void take_rrq(struct cow_tftp_server *s, struct cow_tftp_entrance *e,
		     const struct cow_tftp_datagram *d, struct cow_span body)
{
	const struct cow_tftp_peer peer = peer_of(d);
	struct cow_tftp_request rq;
	unsigned avoid = COW_TFTP_AT_LISTEN + 1;
	int r = d->truncated ? -EBADMSG : cow_tftp_request_parse(body, &rq);

	s->stats.requests++;
	if (r < 0) {
		s->stats.malformed++;
		refuse(s, e, d, r);
		return;
	}

	struct cow_tftp_slot *slot = cow_tftp_table_find(&s->table, &peer);

	if (slot && slot->socket != COW_TFTP_AT_LISTEN) {
		hear_the_rest(s, slot->entrance, slot->socket);
		slot = cow_tftp_table_find(&s->table, &peer);
	}
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
	begin(s, e, d, &rq, avoid);
}

/* Never answer what may be an answer: two servers would talk for ever. */
static bool is_own(const struct cow_tftp_server *s, const struct cow_tftp_datagram *d)
{
	const struct in6_addr from = cow_tftp_addr_map(&d->from);
	in_port_t port = cow_tftp_addr_port(&d->from);

	if (!IN6_ARE_ADDR_EQUAL(&from, &d->local))
		return false;
	for (unsigned k = 0; k < s->entrances; k++) {
		const struct cow_tftp_entrance *e = &s->entrance[k];

		if (port == cow_tftp_addr_port(&e->bound))
			return true;
		for (unsigned i = 0; i < e->pool_size; i++) {
			if (port == e->pool_port[i])
				return true;
		}
	}
	return false;
}

/* To the transfer of this peer on this socket. Return: false: there is none. */
static bool to_transfer(struct cow_tftp_server *s, unsigned entrance, unsigned socket,
			const struct cow_tftp_datagram *d)
{
	const struct cow_tftp_peer peer = peer_of(d);
	struct cow_tftp_slot *slot = cow_tftp_table_find(&s->table, &peer);

	if (!slot || slot->entrance != entrance || slot->socket != socket)
		return false;

	struct cow_tftp_out out = out_of(s);
	bool was_live = is_live(slot);

	cow_tftp_transfer_packet(&slot->transfer, cow_span_of(d->data, d->len), s->now_ms, &out);
	settle(s, slot, was_live, &out);
	return true;
}

static void on_listen(struct cow_tftp_server *s, unsigned entrance,
		      const struct cow_tftp_datagram *d)
{
	struct cow_tftp_entrance *e = &s->entrance[entrance];
	struct cow_span pkt = cow_span_of(d->data, d->len);
	const struct in6_addr from = cow_tftp_addr_map(&d->from);
	uint16_t op;
	bool asks = cow_span_be16(&pkt, &op) && (op == COW_TFTP_RRQ || op == COW_TFTP_WRQ);

	if (!asks && e->pool_size == 0 && to_transfer(s, entrance, COW_TFTP_AT_LISTEN, d))
		return;
	if (!asks || !d->to_us || cow_tftp_addr_port(&d->from) == 0 || is_own(s, d)) {
		s->stats.stray++;
		return;
	}
	if (!cow_tftp_hosts_admit(s->hosts, &from, s->now_ms)) {
		s->stats.limited++;
		return;
	}
	if (op == COW_TFTP_WRQ)
		refuse(s, e, d, -EROFS);
	else
		take_rrq(s, e, d, pkt);
}

static void on_transfer(struct cow_tftp_server *s, unsigned entrance, unsigned socket,
			const struct cow_tftp_datagram *d)
{
	const struct in6_addr from = cow_tftp_addr_map(&d->from);
	struct cow_span pkt = cow_span_of(d->data, d->len);
	uint16_t op;

	if (to_transfer(s, entrance, socket, d))
		return;
	s->stats.stray++;
	/* A stranger on this port (RFC 1350 section 4); ERROR is never answered. */
	if (d->to_us && cow_span_be16(&pkt, &op) && (op == COW_TFTP_ACK || op == COW_TFTP_DATA) &&
	    !is_own(s, d) && cow_tftp_hosts_admit(s->hosts, &from, s->now_ms))
		send_error(&s->entrance[entrance], socket, d, COW_TFTP_E_UNKNOWN_TID,
			   "Unknown transfer ID");
}

/* ---------------------------------------------------------------- loop */

static void drain(struct cow_tftp_server *s, unsigned which)
{
	unsigned entrance = which / (COW_TFTP_POOL + 1), socket = which % (COW_TFTP_POOL + 1);
	int fd = cow_tftp_entrance_fd(&s->entrance[entrance], socket);
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
			if (socket == COW_TFTP_AT_LISTEN)
				on_listen(s, entrance, &s->inbox->datagram[k]);
			else
				on_transfer(s, entrance, socket, &s->inbox->datagram[k]);
		}
		cow_tftp_outbox_flush(s->outbox);
		if (n < COW_TFTP_INBOX)
			break; /* that was all; what came meanwhile wakes us again */
	}
}

static void run_timers(struct cow_tftp_server *s)
{
	struct cow_tftp_timer *t;

	while ((t = cow_tftp_timers_due(&s->timers, s->now_ms))) {
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
	uint64_t next = cow_tftp_timers_next_ms(&s->timers);

	if (next <= s->now_ms)
		return 0;
	return (int)(next - s->now_ms < TICK_MS ? next - s->now_ms : TICK_MS);
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
		struct epoll_event ev[EVENTS];
		int n = epoll_wait(s->epoll, ev, EVENTS, wait_ms(s));

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

/* Watched in the order of their events' numbers. */
static int watch(struct cow_tftp_server *s, unsigned entrance)
{
	const struct cow_tftp_entrance *e = &s->entrance[entrance];
	int r = 0;

	for (unsigned i = 0; r == 0 && i <= COW_TFTP_AT_LISTEN; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = EVENT_OF(entrance, i)};

		if ((i < e->pool_size || i == COW_TFTP_AT_LISTEN) &&
		    epoll_ctl(s->epoll, EPOLL_CTL_ADD, cow_tftp_entrance_fd(e, i), &ev) < 0)
			r = -errno;
	}
	return r;
}

static int open_entrance(struct cow_tftp_server *s, const union cow_tftp_addr *listen,
			 const struct cow_tftp_entrances *how, struct cow_err *err)
{
	unsigned n = s->entrances;

	if (listen->sa.sa_family == AF_INET6 && s->inet_fd < 0) {
		s->inet_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s->inet_fd < 0)
			return cow_err_set(err, -errno, "make a socket of IPv4");
	}
	s->entrances++; /* to be closed from here on */
	int r = cow_tftp_entrance_open(&s->entrance[n], listen, how, err);

	if (r < 0)
		return r;
	r = watch(s, n);
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
	if (r == 0)
		r = cow_tftp_inbox_new(&s->earlier);
	if (r < 0)
		return cow_err_set(err, r, "make the tables");
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	return s->epoll < 0 ? cow_err_set(err, -errno, "make an epoll set") : 0;
}

int cow_tftp_server_new(const struct cow_tftp_entrances *at,
			const struct cow_tftp_resolver *resolver, struct cow_tftp_server **ret,
			struct cow_err *err)
{
	struct cow_tftp_server *s = calloc(1, sizeof(*s));

	if (!s)
		return cow_err_set(err, -ENOMEM, "make the TFTP server");
	s->resolver = *resolver;
	s->epoll = s->inet_fd = -1;
	s->now_ms = s->tick_ms = cow_now_ms();
	int r = set_up(s, err);

	for (unsigned k = 0; r == 0 && k < at->count && k < COW_TFTP_LISTEN_MAX; k++)
		r = open_entrance(s, &at->listen[k], at, err);
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
	for (unsigned k = 0; k < s->entrances; k++)
		cow_tftp_entrance_close(&s->entrance[k]);
	if (s->inet_fd >= 0)
		(void)close(s->inet_fd);
	if (s->epoll >= 0)
		(void)close(s->epoll);
	cow_tftp_table_done(&s->table);
	cow_tftp_timers_done(&s->timers);
	cow_tftp_hosts_free(s->hosts);
	cow_tftp_outbox_free(s->outbox);
	cow_tftp_inbox_free(s->inbox);
	cow_tftp_inbox_free(s->earlier);
	free(s);
}

uint16_t cow_tftp_server_port(const struct cow_tftp_server *s)
{
	return ntohs(cow_tftp_addr_port(&s->entrance[0].bound));
}

void cow_tftp_server_stats(const struct cow_tftp_server *s, struct cow_tftp_stats *ret)
{
	*ret = s->stats;
}
