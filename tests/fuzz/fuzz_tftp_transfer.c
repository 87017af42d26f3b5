/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One transfer under a hostile or unlucky client and any passing of time; invariants T1..T5 of
 * tftp/transfer.h. Input: file size le16, block size, flags, then steps of three bytes: what, and
 * an argument. Flags: 1 the second half cannot be read, 2 options (4 rollover to 1, 8 and 16 a window, the
 * rest a time-out).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tftp/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct counted {
	struct cow_tftp_content base;
	int *freed;
	int breaks;
};

static int counted_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	CHECK(off <= c->size && len <= c->size - off);
	if (((struct counted *)c)->breaks && off > c->size / 2)
		return -5;
	memset(buf, (int)off, len);
	return 0;
}

static void counted_free(struct cow_tftp_content *c)
{
	++*((struct counted *)c)->freed;
	free(c);
}

struct run {
	struct cow_tftp_transfer t;
	struct cow_tftp_out out;
	uint8_t buf[COW_TFTP_PACKET_MAX];
	uint64_t now;
	unsigned sent_without_word; /* since the last packet from the client */
};

static uint16_t wire(const struct cow_tftp_transfer *t, uint64_t block)
{
	return (uint16_t)(t->terms.rollover && block ? (block - 1) % 65535 + 1 : block);
}

static void check_block(struct run *r, uint64_t block)
{
	struct cow_tftp_transfer *t = &r->t;
	ssize_t n = cow_tftp_transfer_block(t, block, r->buf);

	if (n < 0) {
		cow_tftp_transfer_broken(t, r->now, &r->out);
		return;
	}
	CHECK(n <= t->terms.blksize + 4 && block >= 1 && block <= t->last_block);
	CHECK((n < t->terms.blksize + 4) == (block == t->last_block));
	CHECK(r->buf[0] == 0 && r->buf[1] == 3 && (r->buf[2] << 8 | r->buf[3]) == wire(t, block));
}

static void check_out(struct run *r, int was_over)
{
	const struct cow_tftp_transfer *t = &r->t;

	CHECK(r->out.len <= (size_t)COW_TFTP_PACKET_MAX && r->out.count <= t->terms.window);
	CHECK(!(was_over && (r->out.len || r->out.count))); /* T4 */
	CHECK(!r->out.count ||
	      (r->out.first >= t->next && r->out.first + r->out.count - 1 == t->sent));
	for (unsigned k = 0; k < r->out.count; k++)
		check_block(r, r->out.first + k);
	if (r->out.len == 0)
		return;
	CHECK(r->buf[0] == 0 && (r->buf[1] == 5 || r->buf[1] == 6));
	if (r->buf[1] == 5)
		CHECK(t->state == COW_TFTP_OVER);
}

/* Any ACK: only one of what is in flight moves on, and one of what came before sends a window at most (T2). */
static void any_ack(struct run *r, uint16_t ack)
{
	uint64_t next = r->t.next, sent = r->t.sent, most = next;
	uint8_t pkt[4];

	for (uint64_t k = next; k <= sent; k++)
		if (wire(&r->t, k) == ack)
			most = k + 1;
	cow_tftp_put_header(pkt, COW_TFTP_ACK, ack);
	cow_tftp_transfer_packet(&r->t, cow_span_of(pkt, 4), r->now, &r->out);
	CHECK(r->t.next == next || r->t.next == most);
	if (r->t.terms.window == 1 && most == next)
		CHECK(r->out.count == 0);
}

static void step(struct run *r, const uint8_t *s)
{
	unsigned arg = (unsigned)(s[1] | s[2] << 8);
	int over = r->t.state == COW_TFTP_OVER || r->t.state == COW_TFTP_DALLY;
	uint64_t next = r->t.next;
	uint8_t pkt[4];

	r->out.len = 0;
	r->out.count = 0;
	switch (s[0] % 7) {
	case 0: /* the right ACK */
		cow_tftp_put_header(pkt, COW_TFTP_ACK, wire(&r->t, r->t.sent));
		cow_tftp_transfer_packet(&r->t, cow_span_of(pkt, 4), r->now, &r->out);
		break;
	case 1:
		any_ack(r, (uint16_t)arg);
		break;
	case 2: /* any packet */
		cow_tftp_transfer_packet(&r->t, cow_span_of(s, arg % 4), r->now, &r->out);
		break;
	case 3:
		r->now += arg % 20000;
		cow_tftp_transfer_tick(&r->t, r->now, &r->out);
		CHECK(r->t.next == next);
		r->sent_without_word += r->out.len > 0 || r->out.count > 0;
		break;
	case 4:
		(void)cow_tftp_transfer_repeat(&r->t, r->now, &r->out);
		CHECK(r->t.next == next);
		break;
	case 5: /* near what is in flight */
		any_ack(r, (uint16_t)(wire(&r->t, r->t.next) + arg % 9 - 4));
		break;
	default:
		r->now += arg % 100;
		return;
	}
	check_out(r, over);
	if (s[0] % 7 != 3)
		r->sent_without_word = 0;
	CHECK(r->sent_without_word <= 12); /* T5 */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_tftp_terms terms = {0};
	struct run r = {.now = 5000};
	int freed = 0;

	if (size < 4)
		return 0;
	struct counted *c = calloc(1, sizeof(*c));

	if (!c)
		return 0;
	c->base = (struct cow_tftp_content){(uint64_t)(data[0] | data[1] << 8), false, counted_read,
					    counted_free};
	c->freed = &freed;
	c->breaks = data[3] & 1;
	terms.blksize = (uint16_t)(8 + data[2]);
	terms.window = 1;
	if (data[3] & 2) {
		terms.timeout_ms = 500u * (data[3] >> 5);
		terms.rollover = data[3] >> 2 & 1;
		terms.window = (uint16_t)(1 + (data[3] >> 3 & 3) * 5);
		memcpy(terms.oack,
		       "\0\6tsize\0"
		       "1\0",
		       10);
		terms.oack_len = 10;
	}
	r.out.buf = r.buf;
	cow_tftp_transfer_start(&r.t, &terms, &c->base, r.now, &r.out);
	check_out(&r, 0);
	for (size_t i = 4; i + 3 <= size; i += 3)
		step(&r, data + i);
	for (unsigned i = 0; r.t.state != COW_TFTP_OVER; i++) { /* T5 */
		CHECK(i < 20);
		r.now = r.t.deadline_ms;
		cow_tftp_transfer_tick(&r.t, r.now, &r.out);
	}
	CHECK(freed == 1);
	cow_tftp_transfer_done(&r.t);
	CHECK(freed == 1);
	return 0;
}
