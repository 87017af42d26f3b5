/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Three clients that do as the RFCs say, each with its transfer, over a network that loses, repeats and reorders what it
 * carries, under a clock of our own. Whatever it does:
 *	D1  what a client has got is the beginning of its file, and of no other
 *	D2  a call into a transfer sends one packet or one window at most
 *	D3  nothing is sent after an ERROR, of either side, and nothing once all is delivered
 *	D4  a client of the RFCs is never told that it is confused
 *	D5  once the network behaves, what is still alive arrives whole
 *	    and nothing is sent again but for what is on its way by then
 *	D6  left alone each transfer ends, and gives its file back once
 * Input: per client file size be16, block size, window and flags; then steps of one byte, what and to whom. Of a
 * longer file only some windows are fetched, those about where the numbers of blocks begin anew.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/span.h"
#include "tftp/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum {
	CLIENTS = 3,
	QUEUE = 64,
	BLKSIZE_MAX = 8 + 63,
	PACKET = 4 + BLKSIZE_MAX,
	DRAIN_ROUNDS = 2000
};
/* Blocks of a file that is fetched in part: enough for a circle to show, which sends each window twice (D5). */
enum { WINDOWS = 6, BLOCKS_MIN = 12 };

struct packet {
	uint8_t data[PACKET];
	size_t len;
};

/* One direction of the network, a ring. What does not fit is lost, as in a switch. */
struct wire {
	struct packet packet[QUEUE];
	unsigned first, count;
};

struct client {
	unsigned id;
	struct cow_tftp_transfer t;
	struct wire down, up; /* from the server, to it */
	uint64_t got;	      /* bytes, all right */
	uint64_t want;	      /* block that comes next */
	uint64_t gap_told;    /* with windows: this one was asked for again */
	unsigned unacked;
	bool heard, complete, gone;
	bool presumed; /* the last block went often enough: the server takes it for received */
	int freed;
};

struct file {
	struct cow_tftp_content base;
	struct client *of;
};

static uint64_t now;

/* What the files hold, made once. The period is no multiple of a block's size. */
#define PERIOD 65521u
static uint8_t bytes[CLIENTS][PERIOD + BLKSIZE_MAX];

static void make_bytes(void)
{
	for (unsigned id = 0; id < CLIENTS; id++)
		for (unsigned k = 0; k < sizeof(bytes[id]); k++)
			bytes[id][k] = (uint8_t)((k % PERIOD + id * 7919u) * 2654435761u >> 24);
}

static const uint8_t *bytes_of(const struct client *c, uint64_t off)
{
	return bytes[c->id] + off % PERIOD;
}

static int file_read(struct cow_tftp_content *base, void *buf, size_t len, uint64_t off)
{
	CHECK(off <= base->size && len <= base->size - off && len <= BLKSIZE_MAX);
	memcpy(buf, bytes_of(((struct file *)base)->of, off), len);
	return 0;
}

static void file_free(struct cow_tftp_content *base)
{
	((struct file *)base)->of->freed++;
	free(base);
}

/* ---------------------------------------------------------------- the network */

static struct packet *at(struct wire *w, unsigned k)
{
	return &w->packet[(w->first + k) % QUEUE];
}

static void put(struct wire *w, const uint8_t *data, size_t len)
{
	if (w->count == QUEUE)
		return;
	CHECK(len <= PACKET);
	memcpy(at(w, w->count)->data, data, len);
	at(w, w->count++)->len = len;
}

static bool take(struct wire *w, struct packet *ret, bool keep)
{
	if (w->count == 0)
		return false;
	ret->len = at(w, 0)->len;
	memcpy(ret->data, at(w, 0)->data, ret->len);
	if (!keep) {
		w->first++;
		w->count--;
	}
	return true;
}

static void reorder(struct wire *w)
{
	if (w->count < 2)
		return;
	struct packet p = *at(w, 0);

	*at(w, 0) = *at(w, w->count - 1);
	*at(w, w->count - 1) = p;
}

/* ---------------------------------------------------------------- the server's side */

static bool silent(const struct client *c)
{
	return c->t.state == COW_TFTP_DALLY || c->t.state == COW_TFTP_OVER;
}

static void send_out(struct client *c, const struct cow_tftp_out *out, bool was_silent)
{
	CHECK(out->count <= c->t.terms.window && !(out->count && out->len)); /* D2 */
	CHECK(!was_silent || (out->count == 0 && out->len == 0));	     /* D3 */
	if (out->len > 0)
		put(&c->down, out->buf, out->len);
	for (unsigned k = 0; k < out->count; k++) {
		uint8_t buf[COW_TFTP_PACKET_MAX];
		ssize_t n = cow_tftp_transfer_block(&c->t, out->first + k, buf);

		CHECK(n >= COW_TFTP_HEADER_LEN && n <= c->t.terms.blksize + COW_TFTP_HEADER_LEN);
		put(&c->down, buf, (size_t)n);
	}
	CHECK(c->t.outcome != COW_TFTP_CONFUSED && c->t.outcome != COW_TFTP_UNREADABLE); /* D4 */
}

static void to_server(struct client *c, bool keep)
{
	uint8_t buf[COW_TFTP_PACKET_MAX];
	struct cow_tftp_out out = {.buf = buf};
	bool was_silent = silent(c);
	struct packet p;

	if (!take(&c->up, &p, keep))
		return;
	if (p.data[1] == COW_TFTP_RRQ) {
		/* An answer of false would begin another transfer: that is the server's, not looked at here. */
		(void)cow_tftp_transfer_repeat(&c->t, now, &out);
		CHECK(out.count <= 1 || !c->t.confirmed);
	} else {
		cow_tftp_transfer_packet(&c->t, cow_span_of(p.data, p.len), now, &out);
	}
	send_out(c, &out, was_silent);
}

static void tick(struct client *c)
{
	uint8_t buf[COW_TFTP_PACKET_MAX];
	struct cow_tftp_out out = {.buf = buf};
	bool was_silent = silent(c);

	cow_tftp_transfer_tick(&c->t, now, &out);
	send_out(c, &out, was_silent);
	c->presumed |= !was_silent && c->t.outcome == COW_TFTP_DELIVERED;
}

/* ---------------------------------------------------------------- the client's side */

static void say(struct client *c, enum cow_tftp_op op, uint64_t block)
{
	uint8_t pkt[4];
	bool to_1 = c->t.terms.rollover && block > 0;

	cow_tftp_put_header(pkt, op, (uint16_t)(to_1 ? (block - 1) % UINT16_MAX + 1 : block));
	put(&c->up, pkt, sizeof(pkt));
}

static void take_data(struct client *c, const struct packet *p)
{
	const struct cow_tftp_terms *t = &c->t.terms;
	uint16_t number = (uint16_t)(p->data[2] << 8 | p->data[3]);
	uint16_t want = (uint16_t)(t->rollover ? (c->want - 1) % UINT16_MAX + 1 : c->want);
	size_t len = p->len - 4;

	if (number != want) {
		if (t->window == 1) {
			if (number == (uint16_t)(want - 1))
				say(c, COW_TFTP_ACK, c->want - 1); /* its ACK was lost */
		} else if (c->gap_told != c->want) {
			c->gap_told = c->want;
			c->unacked = 0;
			say(c, COW_TFTP_ACK, c->want - 1);
		}
		return;
	}
	CHECK(len <= BLKSIZE_MAX && memcmp(p->data + 4, bytes_of(c, c->got), len) == 0); /* D1 */
	c->got += len;
	CHECK(c->got <= c->t.size);
	c->complete = len < t->blksize;
	if (c->complete || ++c->unacked == t->window) {
		c->unacked = 0;
		say(c, COW_TFTP_ACK, c->want);
	}
	c->want++;
}

static void to_client(struct client *c, bool keep)
{
	struct packet p;

	if (!take(&c->down, &p, keep) || c->gone)
		return;
	CHECK(p.len >= 4 && p.data[1] != COW_TFTP_ERROR);
	c->heard = true;
	if (p.data[1] == COW_TFTP_OACK) {
		if (c->want == 1)
			say(c, COW_TFTP_ACK, 0);
	} else if (!c->complete) {
		take_data(c, &p);
	} else {
		say(c, COW_TFTP_ACK, c->want - 1); /* it dallies */
	}
}

/* It has waited long enough: what it said last once more. */
static void patience_ends(struct client *c)
{
	if (c->gone)
		return;
	c->gap_told = 0;
	if (!c->heard)
		say(c, COW_TFTP_RRQ, 0);
	else if (!c->complete && (c->want > 1 || c->t.terms.oack_len > 0)) {
		c->unacked = 0;
		say(c, COW_TFTP_ACK, c->want - 1);
	}
}

static void give_up(struct client *c)
{
	say(c, COW_TFTP_ERROR, 0);
	c->gone = true;
}

/* ---------------------------------------------------------------- a run */

/* As if all before @block had been delivered: its acknowledgement is the next thing that comes in. */
static void pass_over(struct client *c, uint64_t block)
{
	c->t.state = COW_TFTP_SENDING;
	c->t.next = c->t.sent = block;
	c->got = block * c->t.terms.blksize;
	c->want = block + 1;
	c->heard = true;
	c->down.count = 0;
	say(c, COW_TFTP_ACK, block);
	to_server(c, false);
	CHECK(c->t.next == block + 1 && c->down.count > 0);
}

static bool begin(struct client *c, struct cow_span *s)
{
	struct cow_tftp_terms terms = {.window = 1};
	uint8_t buf[COW_TFTP_PACKET_MAX], blksize, flags;
	struct cow_tftp_out out = {.buf = buf};
	uint16_t size;
	struct file *f;

	if (!cow_span_be16(s, &size) || !cow_span_u8(s, &blksize) || !cow_span_u8(s, &flags))
		return false;
	f = calloc(1, sizeof(*f));
	if (!f)
		return false;
	terms.blksize = (uint16_t)(COW_TFTP_BLKSIZE_MIN + blksize % 64);
	if (flags & 1) {
		memcpy(terms.oack, "\0\6tsize\0001\0", 10);
		terms.oack_len = 10;
		terms.window = (uint16_t)(1 + (flags >> 1 & 7));
		terms.rollover = flags >> 4 & 1;
		terms.timeout_ms = 500u * (flags >> 5);
	}
	uint64_t length = size, skip = 0;
	unsigned blocks = BLOCKS_MIN + WINDOWS * (terms.window - 1u);

	if (length / terms.blksize >= blocks) {
		skip = 65536 - blocks / 2;
		length = skip * terms.blksize + size % (blocks * terms.blksize);
	}
	f->base = (struct cow_tftp_content){.size = length, .read = file_read, .free = file_free};
	f->of = c;
	c->want = 1;
	cow_tftp_transfer_start(&c->t, &terms, &f->base, now, &out);
	send_out(c, &out, false);
	if (skip > 0)
		pass_over(c, skip);
	return true;
}

static void step(struct client *c, unsigned what)
{
	switch (what) {
	case 0:
	case 1:
		to_client(c, what == 1); /* which comes once more */
		break;
	case 2:
	case 3:
		to_server(c, what == 3);
		break;
	case 4:
		c->down.count -= c->down.count > 0; /* the last one is lost */
		break;
	case 5:
		c->up.count -= c->up.count > 0;
		break;
	case 6:
		reorder(&c->down);
		break;
	case 7:
		reorder(&c->up);
		break;
	case 8:
		now += 100;
		break;
	case 9:
		if (now < c->t.deadline_ms)
			now = c->t.deadline_ms;
		tick(c);
		break;
	case 10:
		patience_ends(c);
		break;
	default:
		give_up(c);
		break;
	}
}

/* The network behaves; time passes only where nothing is on its way. */
static void drain(struct client *c)
{
	bool alive = !silent(c) && !c->gone;
	bool at_end = c->t.next == c->t.last_block;
	uint64_t begun = now;
	unsigned again =
	    c->t.resends + 2u * (c->down.count + c->up.count + 1) * (c->t.terms.window + 1u);

	for (unsigned i = 0; c->t.state != COW_TFTP_OVER; i++) {
		CHECK(i < DRAIN_ROUNDS); /* D6 */
		if (c->down.count > 0) {
			to_client(c, false);
		} else if (c->up.count > 0) {
			to_server(c, false);
		} else {
			now = c->t.deadline_ms > now ? c->t.deadline_ms : now;
			tick(c);
		}
	}
	now = begun; /* the other clients' time has not passed */
	/* Its time may have been nearly up before. */
	if (alive && !(at_end && c->presumed) && c->t.outcome != COW_TFTP_TIMED_OUT)
		CHECK(c->t.outcome == COW_TFTP_DELIVERED && c->got == c->t.size && c->complete &&
		      c->t.resends <= again); /* D5 */
	CHECK(c->freed == 1);
	cow_tftp_transfer_done(&c->t);
	CHECK(c->freed == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client client[CLIENTS];
	struct cow_span s = cow_span_of(data, size);
	unsigned count = 0;
	uint8_t what;

	if (bytes[0][0] == bytes[1][0])
		make_bytes();
	memset(client, 0, sizeof(client));
	now = 5000;
	while (count < CLIENTS) {
		client[count].id = count;
		if (!begin(&client[count], &s))
			break;
		count++;
	}
	while (count > 0 && cow_span_u8(&s, &what))
		step(&client[what / 12 % count], what % 12);
	for (unsigned i = 0; i < count; i++)
		drain(&client[i]);
	return 0;
}
