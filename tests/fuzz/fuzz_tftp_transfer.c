/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One transfer under a hostile or unlucky client and any passing of time; invariants T1..T5 of
 * tftp/transfer.h. Input: file size le16, block size, flags, then steps of three bytes: what, and
 * an argument.
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

static void check_out(struct run *r, int was_over)
{
	const struct cow_tftp_transfer *t = &r->t;

	CHECK(r->out.len <= (size_t)COW_TFTP_PACKET_MAX);
	if (r->out.len == 0)
		return;
	CHECK(!was_over); /* T4 */
	CHECK(r->buf[0] == 0 && (r->buf[1] == 3 || r->buf[1] == 5 || r->buf[1] == 6));
	if (r->buf[1] == 3) {
		CHECK(r->out.len <= t->terms.blksize + 4u && t->block >= 1 &&
		      t->block <= t->last_block);
		CHECK((r->out.len < t->terms.blksize + 4u) == (t->block == t->last_block));
		CHECK((r->buf[2] << 8 | r->buf[3]) == (int)(t->block & 0xffff));
	}
	if (r->buf[1] == 5)
		CHECK(t->state == COW_TFTP_OVER);
}

static void step(struct run *r, const uint8_t *s)
{
	unsigned arg = (unsigned)(s[1] | s[2] << 8);
	int over = r->t.state == COW_TFTP_OVER || r->t.state == COW_TFTP_DALLY;
	uint64_t block = r->t.block;
	uint8_t pkt[4];

	r->out.len = 0;
	switch (s[0] % 6) {
	case 0: /* the right ACK */
		cow_tftp_put_header(pkt, COW_TFTP_ACK, (uint16_t)block);
		cow_tftp_transfer_packet(&r->t, cow_span_of(pkt, 4), r->now, &r->out);
		break;
	case 1: /* any ACK: only the right one brings the next block (T2) */
		cow_tftp_put_header(pkt, COW_TFTP_ACK, (uint16_t)arg);
		cow_tftp_transfer_packet(&r->t, cow_span_of(pkt, 4), r->now, &r->out);
		if ((uint16_t)arg != (uint16_t)block)
			CHECK(r->t.block == block && (r->out.len == 0 || r->buf[1] == 5));
		break;
	case 2: /* any packet */
		cow_tftp_transfer_packet(&r->t, cow_span_of(s, arg % 4), r->now, &r->out);
		break;
	case 3:
		r->now += arg % 20000;
		cow_tftp_transfer_tick(&r->t, r->now, &r->out);
		CHECK(r->t.block == block);
		r->sent_without_word += r->out.len > 0;
		break;
	case 4:
		(void)cow_tftp_transfer_repeat(&r->t, r->now, &r->out);
		CHECK(r->t.block == block);
		break;
	default:
		r->now += arg % 100;
		return;
	}
	check_out(r, over);
	if (s[0] % 6 != 3)
		r->sent_without_word = 0;
	CHECK(r->sent_without_word <= 6); /* T5 */
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
	c->base = (struct cow_tftp_content){(uint64_t)(data[0] | data[1] << 8), counted_read,
					    counted_free};
	c->freed = &freed;
	c->breaks = data[3] & 1;
	terms.blksize = (uint16_t)(8 + data[2]);
	terms.timeout_s = data[3] >> 2;
	if (data[3] & 2) {
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
		CHECK(i < 10);
		r.now = r.t.deadline_ms;
		cow_tftp_transfer_tick(&r.t, r.now, &r.out);
	}
	CHECK(freed == 1);
	cow_tftp_transfer_done(&r.t);
	CHECK(freed == 1);
	return 0;
}
