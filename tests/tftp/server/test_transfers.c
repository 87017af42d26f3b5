/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every byte of transfers, whatever is lost, repeated or sent by others.
 */
#include "bench.h"

#include <time.h>

#include "common/sanitized.h"
#include "tftp/limits.h"

static void every_size_arrives_whole(void **state)
{
	static const uint64_t sizes[] = {0, 1, 511, 512, 513, 1024, 1467, 1468, 1469, 1 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fetch_and_check(*state, "127.0.0.3", sizes[i], 0);
		fetch_and_check(*state, "127.0.0.4", sizes[i], 1468);
		fetch_and_check(*state, "127.0.0.5", sizes[i], 1024);
	}
}

/* Where each packet costs a sanitizer a millisecond, the largest window has to do. */
static void seventy_thousand_blocks_roll_over(void **state)
{
#if COW_SANITIZED || defined(__SANITIZE_THREAD__)
	static const unsigned windows[] = {64};
#else
	static const unsigned windows[] = {1, 7, 64};
#endif

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		struct tftp_client c;
		struct tftp_fetch f = {.name = "size-560000", .blksize = 8, .window = windows[i]};

		connect_as(&c, *state, "127.0.0.6");
		assert_int_equal(tftp_client_fetch(&c, &f), 0);
		assert_int_equal(f.got_window, windows[i]);
		expect_bytes(&f, 560000);
		free(f.data);
		tftp_client_close(&c);
	}
}

static void repeated_acks_cause_no_data(void **state)
{
	struct tftp_client c;
	struct tftp_fetch f = {.name = "size-100000", .repeat_ack = 2};

	connect_as(&c, *state, "127.0.0.7");
	assert_int_equal(tftp_client_fetch(&c, &f), 0);
	expect_bytes(&f, 100000);
	assert_int_equal(f.duplicates, 0); /* sorcerer's apprentice */
	free(f.data);
	tftp_client_close(&c);
}

static void lost_packets_are_sent_again(void **state)
{
	struct tftp_client c;
	struct tftp_fetch f = {.name = "size-3000", .blksize = 512, .lose_data = 3};

	connect_as(&c, *state, "127.0.0.8");
	assert_int_equal(tftp_client_fetch(&c, &f), 0);
	expect_bytes(&f, 3000);
	free(f.data);
	tftp_client_close(&c);
}

static void windows_arrive_whole(void **state)
{
	static const unsigned windows[] = {1, 2, 16, 1000};
	static const unsigned losses[] = {0, 9};
	struct tftp_client c;

	connect_as(&c, *state, "127.0.0.41");
	for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
		/* In lock-step each loss costs a second, and has tests of its own. */
		for (size_t l = 0; l < (windows[w] == 1 ? 1 : sizeof(losses) / sizeof(losses[0]));
		     l++) {
			struct tftp_fetch f = {.name = "size-100000",
					       .blksize = 1024,
					       .ask_tsize = 1,
					       .window = windows[w],
					       .lose_data = losses[l]};

			assert_int_equal(tftp_client_fetch(&c, &f), 0);
			assert_int_equal(f.got_window, windows[w] < 64 ? windows[w] : 64);
			expect_bytes(&f, 100000);
			free(f.data);
		}
	}
	tftp_client_close(&c);
}

static void a_window_is_one_burst(void **state)
{
	struct tftp_client c;
	uint8_t a[2048];

	connect_as(&c, *state, "127.0.0.42");
	assert_int_equal(tftp_client_request(&c,
					     "\0\1size-9000\0octet\0windowsize\0"
					     "3\0",
					     31),
			 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 15);
	assert_int_equal(tftp_client_ack(&c, 0), 0);
	for (unsigned k = 1; k <= 3; k++) {
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
		assert_int_equal(a[3], k);
	}
	assert_int_equal(tftp_client_ack(&c, 1), 0); /* 2 was lost */
	for (unsigned k = 2; k <= 4; k++) {
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
		assert_int_equal(a[3], k);
	}
	assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
	tftp_client_close(&c);
}

static void text_is_translated_for_netascii(void **state)
{
	static const char want[] = "one\r\ntwo\r\0\r\nthree\r\0end";
	struct bench *b = *state;
	struct tftp_client c;
	struct tftp_fetch f = {.name = "text", .netascii = 1, .ask_tsize = 1, .window = 4};
	uint8_t a[2048];

	connect_as(&c, b, "127.0.0.43");
	assert_int_equal(tftp_client_fetch(&c, &f), 0);
	assert_int_equal(f.tsize, UINT64_MAX); /* the file's is another */
	assert_int_equal(f.got_window, 1);
	assert_int_equal(f.size, sizeof(want) - 1);
	assert_memory_equal(f.data, want, sizeof(want) - 1);
	free(f.data);
	tftp_client_close(&c);
	expect_error(a, ASK("\0\1size-2000000\0netascii\0", a), 4);
}

static void lost_first_answer_comes_again(void **state)
{
	struct tftp_client c;
	uint8_t a[2048];
	struct timespec t0, t1;

	connect_as(&c, *state, "127.0.0.9");
	assert_int_equal(tftp_client_request(&c,
					     RRQ "tsize\0"
						 "0\0",
					     sizeof(RRQ "tsize\0"
							"0\0") -
						 1),
			 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 13);
	(void)clock_gettime(CLOCK_MONOTONIC, &t0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), 3000), 13);
	(void)clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_true((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 >= 900);
	assert_int_equal(tftp_client_ack(&c, 0), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
	tftp_client_close(&c);
}

static void same_request_stays_on_one_port(void **state)
{
	static const char rq[] = "\0\1size-1000\0octet\0tsize\0"
				 "0\0";
	struct tftp_client c;
	uint8_t a[2048];
	in_port_t tid;

	connect_as(&c, *state, "127.0.0.10");
	assert_int_equal(tftp_client_request(&c, rq, sizeof(rq) - 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 13);
	tid = c.tid.sin_port;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tftp_client_request(&c, rq, sizeof(rq) - 1), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 13);
		assert_int_equal(c.tid.sin_port, tid);
	}
	assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
	tftp_client_close(&c);
}

/* Boot ROMs ask for the next file from the port of the last. */
static void other_request_of_a_port_replaces_the_first(void **state)
{
	struct tftp_client c;
	uint8_t a[2048];

	connect_as(&c, *state, "127.0.0.11");
	assert_int_equal(tftp_client_request(&c, RRQ, sizeof(RRQ) - 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);

	struct sockaddr_in old = c.tid;

	assert_int_equal(tftp_client_request(&c, "\0\1size-10\0octet\0", 16), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 14);
	assert_int_not_equal(c.tid.sin_port, old.sin_port);

	struct sockaddr_in fresh = c.tid;

	c.tid = old; /* a late ACK of the old one */
	assert_int_equal(tftp_client_ack(&c, 1), 0);
	expect_error(a, tftp_client_recv(&c, a, sizeof(a), DUE_MS), 5);
	c.tid = fresh;
	assert_int_equal(tftp_client_ack(&c, 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), SILENCE_MS), 0);
	/* and the same file once more, from the same port */
	assert_int_equal(tftp_client_request(&c, "\0\1size-10\0octet\0", 16), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 14);
	assert_int_equal(tftp_client_ack(&c, 1), 0);
	tftp_client_close(&c);
}

static void strangers_on_a_transfer_port_are_refused(void **state)
{
	struct tftp_client c, other;
	uint8_t a[2048];

	connect_as(&c, *state, "127.0.0.12");
	connect_as(&other, *state, "127.0.0.13");
	assert_int_equal(tftp_client_request(&c, RRQ, sizeof(RRQ) - 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	other.tid = c.tid;
	assert_int_equal(tftp_client_ack(&other, 1), 0);
	expect_error(a, tftp_client_recv(&other, a, sizeof(a), DUE_MS), 5);
	assert_int_equal(tftp_client_answer(&other, "\0\5\0\0\0", 5), 0); /* ERROR has no answer */
	assert_int_equal(tftp_client_recv(&other, a, sizeof(a), SILENCE_MS), 0);
	assert_int_equal(tftp_client_ack(&c, 1), 0); /* the transfer lives */
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 492);
	assert_int_equal(tftp_client_ack(&c, 2), 0);
	tftp_client_close(&c);
	tftp_client_close(&other);
}

static void ack_of_the_future_gets_no_data(void **state)
{
	struct tftp_client c;
	uint8_t a[2048];

	connect_as(&c, *state, "127.0.0.14");
	assert_int_equal(tftp_client_request(&c, "\0\1size-9000\0octet\0", 18), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(tftp_client_ack(&c, 7), 0);
	expect_error(a, tftp_client_recv(&c, a, sizeof(a), DUE_MS), 0);
	tftp_client_close(&c);
}

static void unreadable_data_ends_in_an_error(void **state)
{
	struct tftp_client c;
	struct tftp_fetch f = {.name = "breaks"};

	connect_as(&c, *state, "127.0.0.15");
	assert_int_equal(tftp_client_fetch(&c, &f), -EREMOTEIO);
	assert_int_equal(f.error_code, 0);
	assert_int_equal(f.size, COW_TFTP_PIECE); /* the next piece cannot be read */
	free(f.data);
	tftp_client_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SERVER(every_size_arrives_whole),
	    WITH_SERVER(seventy_thousand_blocks_roll_over),
	    WITH_SERVER(repeated_acks_cause_no_data),
	    WITH_SERVER(lost_packets_are_sent_again),
	    WITH_SERVER(windows_arrive_whole),
	    WITH_SERVER(a_window_is_one_burst),
	    WITH_SERVER(text_is_translated_for_netascii),
	    WITH_SERVER(lost_first_answer_comes_again),
	    WITH_SERVER(same_request_stays_on_one_port),
	    WITH_SERVER(other_request_of_a_port_replaces_the_first),
	    WITH_SERVER(strangers_on_a_transfer_port_are_refused),
	    WITH_SERVER(ack_of_the_future_gets_no_data),
	    WITH_SERVER(unreadable_data_ends_in_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
