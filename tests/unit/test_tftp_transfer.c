/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The state machine of a transfer under a clock of our own; invariants T1..T5 of tftp/transfer.h.
 */
#include "cow_test.h"

#include "tftp/transfer.h"

/* Content whose byte at offset o is known without storing it. */
struct pattern {
	struct cow_tftp_content base;
	int broken; /* errno of the next read */
	int *freed;
};

static uint8_t pattern_at(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 7 + (off >> 16));
}

static int pattern_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	struct pattern *p = (struct pattern *)c;

	assert_true(off + len <= c->size);
	if (p->broken)
		return -p->broken;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = pattern_at(off + i);
	return 0;
}

static void pattern_free(struct cow_tftp_content *c)
{
	++*((struct pattern *)c)->freed;
	free(c);
}

struct bench {
	struct cow_tftp_transfer t;
	struct cow_tftp_out out;
	uint8_t buf[COW_TFTP_PACKET_MAX];
	struct pattern *content;
	int freed;
	uint64_t now;
};

/* A single block that is to be sent becomes the packet, as the server does with each. */
static void render(struct bench *b)
{
	if (b->out.count != 1)
		return;
	ssize_t n = cow_tftp_transfer_block(&b->t, b->out.first, b->buf);

	if (n < 0)
		cow_tftp_transfer_broken(&b->t, b->now, &b->out);
	else
		b->out.len = (size_t)n;
}

static void begin_terms(struct bench *b, uint64_t size, struct cow_tftp_terms terms, bool oack)
{
	memset(b, 0, sizeof(*b));
	b->now = 1000000;
	b->out.buf = b->buf;
	b->content = calloc(1, sizeof(*b->content));
	assert_non_null(b->content);
	b->content->base = (struct cow_tftp_content){size, false, pattern_read, pattern_free};
	b->content->freed = &b->freed;
	if (oack) {
		memcpy(terms.oack, "\0\6tsize\0", 8);
		terms.oack_len = 8;
	}
	cow_tftp_transfer_start(&b->t, &terms, &b->content->base, b->now, &b->out);
	render(b);
}

static void begin(struct bench *b, uint64_t size, uint16_t blksize, unsigned timeout_s, bool oack)
{
	begin_terms(b, size,
		    (struct cow_tftp_terms){
			.blksize = blksize, .window = 1, .timeout_ms = timeout_s * 1000},
		    oack);
}

static void tick(struct bench *b)
{
	cow_tftp_transfer_tick(&b->t, b->now, &b->out);
	render(b);
}

static void finish(struct bench *b)
{
	cow_tftp_transfer_done(&b->t);
	assert_int_equal(b->freed, 1); /* exactly once, whatever happened */
}

static void feed(struct bench *b, unsigned op, unsigned value)
{
	uint8_t pkt[4];

	cow_tftp_put_header(pkt, (enum cow_tftp_op)op, (uint16_t)value);
	cow_tftp_transfer_packet(&b->t, cow_span_of(pkt, 4), b->now, &b->out);
	render(b);
}

static void expect_data(const struct bench *b, uint64_t block, size_t len)
{
	assert_int_equal(b->out.len, len + 4);
	assert_int_equal(b->buf[1], COW_TFTP_DATA);
	assert_int_equal(b->buf[2] << 8 | b->buf[3], block & 0xffff);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(b->buf[4 + i], pattern_at((block - 1) * b->t.terms.blksize + i));
}

static void whole_file_in_order(void **state)
{
	static const uint64_t sizes[] = {1, 511, 512, 513, 1024, 5000};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct bench b;
		uint64_t block = 1, left = sizes[s];

		begin(&b, sizes[s], 512, 0, false);
		for (;; block++) {
			size_t len = left < 512 ? (size_t)left : 512;

			expect_data(&b, block, len);
			left -= len;
			feed(&b, COW_TFTP_ACK, (unsigned)block);
			if (len < 512)
				break;
		}
		assert_int_equal(block, sizes[s] / 512 + 1);
		assert_int_equal(b.out.len, 0);
		assert_int_equal(b.t.state, COW_TFTP_DALLY);
		assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
		finish(&b);
	}
}

static void empty_content_is_one_empty_block(void **state)
{
	struct bench b;

	begin(&b, 0, 512, 0, false);
	expect_data(&b, 1, 0);
	feed(&b, COW_TFTP_ACK, 1);
	assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
	finish(&b);
}

static void options_are_acknowledged_by_block_0(void **state)
{
	struct bench b;

	begin(&b, 600, 512, 0, true);
	assert_int_equal(b.out.len, 8);
	assert_int_equal(b.t.state, COW_TFTP_OFFER);
	feed(&b, COW_TFTP_ACK, 0);
	expect_data(&b, 1, 512);
	feed(&b, COW_TFTP_ACK, 0); /* duplicate of the OACK's ACK */
	assert_int_equal(b.out.len, 0);
	finish(&b);
}

/* T2 */
static void duplicate_acks_cause_nothing(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 1);
	expect_data(&b, 2, 512);
	for (int i = 0; i < 3; i++) {
		feed(&b, COW_TFTP_ACK, 1);
		assert_int_equal(b.out.len, 0);
	}
	feed(&b, COW_TFTP_ACK, 0);
	assert_int_equal(b.out.len, 0);
	assert_int_equal(b.t.state, COW_TFTP_SENDING);
	feed(&b, COW_TFTP_ACK, 2);
	expect_data(&b, 3, 512);
	finish(&b);
}

static void ack_of_an_unsent_block_ends_it(void **state)
{
	struct bench b;

	begin(&b, 50000, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 7);
	assert_int_equal(b.buf[1], COW_TFTP_ERROR);
	assert_int_equal(b.t.outcome, COW_TFTP_CONFUSED);
	assert_int_equal(b.t.state, COW_TFTP_OVER);
	finish(&b);
}

/* T4: how boards end a size probe. */
static void error_ends_it_without_answer(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, true);
	feed(&b, COW_TFTP_ERROR, 0);
	assert_int_equal(b.out.len, 0);
	assert_int_equal(b.t.outcome, COW_TFTP_ABORTED);
	assert_int_equal(b.freed, 1);
	feed(&b, COW_TFTP_ACK, 0);
	assert_int_equal(b.out.len, 0);
	finish(&b);
}

static void stray_packets_are_ignored(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, false);
	feed(&b, COW_TFTP_DATA, 1);
	assert_int_equal(b.out.len, 0);
	feed(&b, COW_TFTP_OACK, 1);
	assert_int_equal(b.out.len, 0);
	feed(&b, 9, 1);
	assert_int_equal(b.out.len, 0);
	cow_tftp_transfer_packet(&b.t, cow_span_of("\0\4\0", 3), b.now, &b.out);
	assert_int_equal(b.out.len, 0);
	cow_tftp_transfer_packet(&b.t, cow_span_of("", 0), b.now, &b.out);
	assert_int_equal(b.out.len, 0);
	feed(&b, COW_TFTP_ACK, 1);
	expect_data(&b, 2, 512);
	finish(&b);
}

/* T3, T5: 1, 2, 4, 8, 8, 8 s, then over. */
static void resends_back_off_and_end(void **state)
{
	static const unsigned waits[] = {1000, 2000, 4000, 8000, 8000, 8000, 8000};
	struct bench b;

	begin(&b, 5000, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 1);
	for (unsigned i = 0; i < 7; i++) {
		b.now += waits[i] - 1;
		tick(&b);
		assert_int_equal(b.out.len, 0);
		b.now += 1;
		tick(&b);
		if (i < 6)
			expect_data(&b, 2, 512);
	}
	assert_int_equal(b.out.len, 0);
	assert_int_equal(b.t.state, COW_TFTP_OVER);
	assert_int_equal(b.t.outcome, COW_TFTP_TIMED_OUT);
	assert_int_equal(b.t.resends, 6);
	finish(&b);
}

static void progress_resets_the_back_off(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, false);
	b.now = b.t.deadline_ms;
	tick(&b);
	assert_int_equal(b.t.deadline_ms, b.now + 2000);
	feed(&b, COW_TFTP_ACK, 1);
	assert_int_equal(b.t.deadline_ms, b.now + 1000);
	finish(&b);
}

static void unconfirmed_peer_gets_three_resends(void **state)
{
	struct bench b;
	unsigned sent = 0;

	begin(&b, 5000, 512, 0, true);
	while (b.t.state != COW_TFTP_OVER) {
		b.now = b.t.deadline_ms;
		tick(&b);
		sent += b.out.len > 0;
		assert_true(sent < 100);
	}
	assert_int_equal(sent, 3);
	assert_int_equal(b.t.outcome, COW_TFTP_TIMED_OUT);
	finish(&b);
}

/* Not for boards that asked for nothing: they do not bear a repeated block. */
static void a_time_out_that_was_asked_for_follows_the_answers(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 5, true);
	assert_int_equal(b.t.deadline_ms, b.now + 5000);
	b.now += 400;
	feed(&b, COW_TFTP_ACK, 0);
	assert_int_equal(b.t.deadline_ms, b.now + 1600);
	for (unsigned k = 1; k < 9; k++)
		feed(&b, COW_TFTP_ACK, k);
	assert_in_range(b.t.deadline_ms - b.now, 100, 1000);
	finish(&b);
	begin(&b, 5000, 512, 0, true);
	feed(&b, COW_TFTP_ACK, 0);
	assert_int_equal(b.t.deadline_ms, b.now + 1000);
	finish(&b);
	begin(&b, 5000, 512, 255, true);
	b.now = b.t.deadline_ms; /* long times are no reason to give up early */
	tick(&b);
	assert_int_equal(b.out.len, 8);
	assert_int_equal(b.t.deadline_ms, b.now + 255000);
	feed(&b, COW_TFTP_ACK, 0); /* the answer to a repeat tells nothing */
	assert_int_equal(b.t.deadline_ms, b.now + 255000);
	finish(&b);
}

static void short_time_outs_are_no_reason_to_give_up_early(void **state)
{
	struct bench b;
	unsigned sent = 0;

	begin(&b, 5000, 512, 1, true);
	feed(&b, COW_TFTP_ACK, 0);
	for (uint64_t start = b.now; b.t.state != COW_TFTP_OVER; sent += b.out.len > 0) {
		b.now = b.t.deadline_ms;
		tick(&b);
		assert_true(b.out.len > 0 || b.now - start >= 30000);
	}
	assert_in_range(sent, 7, 12);
	finish(&b);
}

/* ---------------------------------------------------------------- windows */

static const struct cow_tftp_terms four = {.blksize = 8, .window = 4};

static void expect_window(const struct bench *b, uint64_t first, unsigned count)
{
	assert_int_equal(b->out.count, count);
	if (count > 0)
		assert_int_equal(b->out.first, first);
}

static void a_window_waits_for_its_last_block(void **state)
{
	struct bench b;

	begin_terms(&b, 80, four, true); /* blocks 1 to 11, the last one empty */
	feed(&b, COW_TFTP_ACK, 0);
	expect_window(&b, 1, 4);
	feed(&b, COW_TFTP_ACK, 4);
	expect_window(&b, 5, 4);
	feed(&b, COW_TFTP_ACK, 8);
	expect_window(&b, 9, 3);
	assert_int_equal(cow_tftp_transfer_block(&b.t, 11, b.buf), 4);
	feed(&b, COW_TFTP_ACK, 11);
	assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
	assert_int_equal(b.t.resends, 0);
	finish(&b);
}

static void a_gap_is_filled_from_where_it_is(void **state)
{
	struct bench b;

	begin_terms(&b, 800, four, true);
	feed(&b, COW_TFTP_ACK, 0);
	feed(&b, COW_TFTP_ACK, 2); /* 3 was lost */
	expect_window(&b, 3, 4);
	assert_int_equal(b.t.resends, 2);
	feed(&b, COW_TFTP_ACK, 2); /* said again before the answer can have come */
	expect_window(&b, 0, 0);
	b.now += 50;
	feed(&b, COW_TFTP_ACK, 2); /* lost again */
	expect_window(&b, 3, 4);
	feed(&b, COW_TFTP_ACK, 1); /* late */
	expect_window(&b, 0, 0);
	feed(&b, COW_TFTP_ACK, 9); /* nobody has that */
	expect_window(&b, 0, 0);
	assert_int_equal(b.t.state, COW_TFTP_SENDING);
	b.now = b.t.deadline_ms;
	tick(&b);
	expect_window(&b, 3, 4);
	finish(&b);
}

/* Nothing else is on its way when a window was acknowledged whole. */
static void a_lost_first_block_is_believed_at_once(void **state)
{
	struct bench b;

	begin_terms(&b, 800, four, true);
	feed(&b, COW_TFTP_ACK, 0);
	feed(&b, COW_TFTP_ACK, 4);
	expect_window(&b, 5, 4);
	feed(&b, COW_TFTP_ACK, 4);
	expect_window(&b, 5, 4);
	feed(&b, COW_TFTP_ACK, 4); /* about the same window, most likely */
	expect_window(&b, 0, 0);
	finish(&b);
}

static void block_numbers_of_windows_roll_over(void **state)
{
	for (uint16_t to = 0; to <= 1; to++) {
		struct cow_tftp_terms terms = {.blksize = 8, .window = 7, .rollover = to};
		struct bench b;
		uint64_t next = 1;

		begin_terms(&b, 140000ull * 8 + 3, terms, true);
		feed(&b, COW_TFTP_ACK, 0);
		while (b.t.state == COW_TFTP_SENDING) {
			uint64_t last = b.out.first + b.out.count - 1;
			uint64_t n = to ? (last - 1) % 65535 + 1 : last % 65536;

			assert_int_equal(b.out.first, next);
			assert_true(cow_tftp_transfer_block(&b.t, last, b.buf) >= 4);
			assert_int_equal(b.buf[2] << 8 | b.buf[3], n);
			next = last + 1;
			feed(&b, COW_TFTP_ACK, (unsigned)n);
		}
		assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
		assert_int_equal(next, 140002);
		assert_int_equal(b.t.resends, 0);
		finish(&b);
	}
}

/* A receiver after RFC 7440 behind a network that loses, doubles and swaps: every byte, in order, and no
 * more than one window for each of its packets (T1). */
static void windows_over_a_random_network(void **state)
{
	unsigned delivered = 0;

	for (unsigned seed = 1; seed <= 2000; seed++) {
		struct cow_tftp_terms terms = {.blksize = 64, .window = (uint16_t)(seed % 9 + 1)};
		uint64_t rnd = seed * 0x9e3779b97f4a7c15ull;
		uint64_t want = 1, got = 0, size = seed * 37 % 9000;
		struct bench b;

		begin_terms(&b, size, terms, true);
		feed(&b, COW_TFTP_ACK, 0);
		for (unsigned step = 0; b.t.state == COW_TFTP_SENDING && step < 5000; step++) {
			unsigned fresh = 0;
			bool answer = false;

			for (unsigned k = 0; k < b.out.count; k++) {
				rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
				if (rnd >> 33 & 7) { /* arrives */
					ssize_t n =
					    cow_tftp_transfer_block(&b.t, b.out.first + k, b.buf);

					assert_true(n >= 4);
					if (b.out.first + k == want) {
						for (ssize_t i = 4; i < n; i++)
							assert_int_equal(b.buf[i],
									 pattern_at(got++));
						want++;
						fresh++;
						answer |= n < 68 || fresh == terms.window;
					} else {
						answer = true; /* a gap, or known already */
					}
				}
			}
			assert_true(b.out.count <= terms.window);
			b.now += 20;
			if (answer && (rnd >> 40 & 7)) {
				feed(&b, COW_TFTP_ACK, (unsigned)(want - 1));
			} else {
				b.now = b.t.deadline_ms;
				tick(&b);
			}
		}
		if (b.t.outcome == COW_TFTP_DELIVERED) {
			assert_int_equal(got, size);
			delivered++;
		}
		finish(&b);
	}
	assert_true(delivered > 1950);
}

static void lost_last_ack_counts_as_delivered(void **state)
{
	struct bench b;

	begin(&b, 600, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 1);
	expect_data(&b, 2, 88);
	for (int i = 0; i < 4; i++) {
		b.now = b.t.deadline_ms;
		tick(&b);
		assert_true(i == 3 ? b.out.len == 0 : b.out.len == 92);
	}
	assert_int_equal(b.t.state, COW_TFTP_OVER);
	assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
	finish(&b);
}

static void dally_swallows_and_ends(void **state)
{
	struct bench b;

	begin(&b, 10, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 1);
	assert_int_equal(b.t.state, COW_TFTP_DALLY);
	assert_int_equal(b.freed, 1); /* files are not kept open for it */
	feed(&b, COW_TFTP_ACK, 1);
	assert_int_equal(b.out.len, 0);
	b.now += 3000;
	tick(&b);
	assert_int_equal(b.out.len, 0);
	assert_int_equal(b.t.state, COW_TFTP_OVER);
	finish(&b);
}

static void repeated_request_repeats_the_first_packet(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, true);
	b.out.len = 0;
	assert_true(cow_tftp_transfer_repeat(&b.t, b.now, &b.out));
	assert_int_equal(b.out.len, 8);
	feed(&b, COW_TFTP_ACK, 0);
	expect_data(&b, 1, 512);
	assert_true(cow_tftp_transfer_repeat(&b.t, b.now + 10, &b.out)); /* wandered in the net */
	assert_int_equal(b.out.len, 0);
	assert_false(cow_tftp_transfer_repeat(&b.t, b.now + 1500, &b.out)); /* board was reset */
	finish(&b);
	begin(&b, 10, 512, 0, false);
	feed(&b, COW_TFTP_ACK, 1);
	assert_false(cow_tftp_transfer_repeat(&b.t, b.now, &b.out)); /* fetched again */
	finish(&b);
}

static void unreadable_content_is_an_error(void **state)
{
	struct bench b;

	begin(&b, 5000, 512, 0, false);
	b.content->broken = EIO;
	feed(&b, COW_TFTP_ACK, 1);
	assert_int_equal(b.buf[1], COW_TFTP_ERROR);
	assert_int_equal(b.t.outcome, COW_TFTP_UNREADABLE);
	finish(&b);
}

static void block_numbers_roll_over_to_0(void **state)
{
	struct bench b;

	begin(&b, 70000ull * 8 + 3, 8, 0, false);
	for (uint64_t block = 1; block <= 70000; block++) {
		expect_data(&b, block, 8);
		feed(&b, COW_TFTP_ACK, (unsigned)(block & 0xffff));
	}
	expect_data(&b, 70001, 3);
	feed(&b, COW_TFTP_ACK, 70001 & 0xffff);
	assert_int_equal(b.t.outcome, COW_TFTP_DELIVERED);
	finish(&b);
}

/*
 * T1, T5 and the bytes: a client behind a network that loses, doubles and delays, 2000 times. The
 * client is the plain one of RFC 1350: it acknowledges what it expects, and again what it has.
 */
static void random_network_delivers_the_same_bytes(void **state)
{
	unsigned delivered = 0;

	for (unsigned seed = 1; seed <= 2000; seed++) {
		uint64_t rnd = seed * 0x9e3779b97f4a7c15ull;
		uint64_t want = 1, got = 0, size = seed * 37 % 5000;
		struct bench b;

		begin(&b, size, 64, 0, seed & 1);
		for (unsigned step = 0; b.t.state != COW_TFTP_OVER && step < 5000; step++) {
			rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
			unsigned dice = (unsigned)(rnd >> 33) % 100;
			int ack = -1;

			if (b.out.len && dice >= 15) { /* arrives */
				unsigned n = (unsigned)(b.buf[2] << 8 | b.buf[3]);

				if (b.buf[1] == COW_TFTP_OACK) {
					ack = 0;
				} else if (b.buf[1] == COW_TFTP_DATA) {
					if (n == want) {
						for (size_t i = 4; i < b.out.len; i++)
							assert_int_equal(b.buf[i],
									 pattern_at(got++));
						want++;
					}
					ack = (int)n;
				}
			}
			b.out.len = 0;
			if (ack >= 0 && dice < 85) {
				feed(&b, COW_TFTP_ACK, (unsigned)ack);
				if (dice < 25) { /* doubled */
					size_t first = b.out.len;

					feed(&b, COW_TFTP_ACK, (unsigned)ack);
					assert_int_equal(b.out.len, 0);
					b.out.len = first;
				}
			} else {
				b.now = b.t.deadline_ms;
				tick(&b);
			}
		}
		assert_int_equal(b.t.state, COW_TFTP_OVER);
		if (b.t.outcome == COW_TFTP_DELIVERED && got == size)
			delivered++;
		finish(&b);
	}
	assert_true(delivered > 1900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_file_in_order),
	    cmocka_unit_test(empty_content_is_one_empty_block),
	    cmocka_unit_test(options_are_acknowledged_by_block_0),
	    cmocka_unit_test(duplicate_acks_cause_nothing),
	    cmocka_unit_test(ack_of_an_unsent_block_ends_it),
	    cmocka_unit_test(error_ends_it_without_answer),
	    cmocka_unit_test(stray_packets_are_ignored),
	    cmocka_unit_test(resends_back_off_and_end),
	    cmocka_unit_test(progress_resets_the_back_off),
	    cmocka_unit_test(unconfirmed_peer_gets_three_resends),
	    cmocka_unit_test(a_time_out_that_was_asked_for_follows_the_answers),
	    cmocka_unit_test(short_time_outs_are_no_reason_to_give_up_early),
	    cmocka_unit_test(a_window_waits_for_its_last_block),
	    cmocka_unit_test(a_gap_is_filled_from_where_it_is),
	    cmocka_unit_test(a_lost_first_block_is_believed_at_once),
	    cmocka_unit_test(block_numbers_of_windows_roll_over),
	    cmocka_unit_test(windows_over_a_random_network),
	    cmocka_unit_test(lost_last_ack_counts_as_delivered),
	    cmocka_unit_test(dally_swallows_and_ends),
	    cmocka_unit_test(repeated_request_repeats_the_first_packet),
	    cmocka_unit_test(unreadable_content_is_an_error),
	    cmocka_unit_test(block_numbers_roll_over_to_0),
	    cmocka_unit_test(random_network_delivers_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
