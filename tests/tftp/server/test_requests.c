/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Every answer of the server to requests, odd ones too.
 */
#include "bench.h"

static void plain_request_gets_block_1(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	assert_int_equal(ASK(RRQ, a), 516);
	assert_memory_equal(a, "\0\3\0\1", 4);
	assert_int_equal(ASK("\0\1size-1000\0OCTET\0", a), 516);
}

static void options_get_an_oack(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	assert_int_equal(ASK(RRQ "tsize\0"
				 "0\0"
				 "blksize\0"
				 "1468\0",
			     a),
			 26);
	assert_memory_equal(a,
			    "\0\6tsize\0"
			    "1000\0"
			    "blksize\0"
			    "1468\0",
			    26);
	assert_int_equal(ASK(RRQ "blksize\0"
				 "1468x\0",
			     a),
			 516); /* no option left: DATA 1 */
	assert_int_equal(ASK(RRQ "BLKSIZE\0"
				 "65464\0",
			     a),
			 15);
	assert_memory_equal(a,
			    "\0\6blksize\0"
			    "1468\0",
			    15);
	assert_int_equal(ASK(RRQ "multicast\0"
				 "\0"
				 "tsize\0"
				 "0\0",
			     a),
			 13);
}

static void missing_and_denied_get_errors(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	expect_error(a,
		     ASK("\0\1missing\0octet\0tsize\0"
			 "0\0",
			 a),
		     1);
	expect_error(a, ASK("\0\1denied\0octet\0", a), 2);
}

static void write_requests_are_denied_at_once(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	expect_error(a, ASK("\0\2size-1000\0octet\0", a), 2);
	expect_error(a, ASK("\0\2", a), 2);
}

static void malformed_requests_get_error_4(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	expect_error(a, ASK("\0\1", a), 4);
	expect_error(a, ASK("\0\1size-1000", a), 4);
	expect_error(a, ASK("\0\1size-1000\0", a), 4);
	expect_error(a, ASK("\0\1size-1000\0octet", a), 4);
	expect_error(a, ASK("\0\1\0octet\0", a), 4);
	expect_error(a, ASK("\0\1size-1000\0mail\0", a), 4);
}

static void overlong_requests_are_errors(void **state)
{
	struct bench *b = *state;
	static const char mode[] = "\0octet";
	uint8_t a[2048], pkt[60000];

	memset(pkt, 'a', sizeof(pkt));
	pkt[0] = 0;
	pkt[1] = 1;
	memcpy(pkt + 402, mode, sizeof(mode));
	expect_error(a, ask(b, pkt, 409, a, DUE_MS), 1);
	expect_error(a, ask(b, pkt, sizeof(pkt), a, DUE_MS), 4); /* larger than any frame */
}

static void garbage_gets_silence(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048], noise[1400];

	memset(noise, 0xff, sizeof(noise));
	assert_true(IGNORED("\0", a));
	assert_true(IGNORED("\1", a));
	assert_true(IGNORED("\0\0", a));
	assert_true(IGNORED("\0\3\0\1data", a));
	assert_true(IGNORED("\0\4\0\1", a));
	assert_true(IGNORED("\0\5\0\1text\0", a));
	assert_int_equal(ASK("\0\6tsize\0"
			     "1\0",
			     a),
			 0);
	assert_true(IGNORED("\0\11xxxx", a));
	assert_int_equal(ask(b, noise, sizeof(noise), a, SILENCE_MS), 0);
	assert_int_equal(ask(b, noise, 0, a, SILENCE_MS), 0);
}

static int start_with_utimeout(void **state)
{
	return start_as(state, &(struct cow_tftp_entrances){.utimeout = true});
}

static void utimeout_is_granted_where_it_is_configured(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	assert_int_equal(ASK(RRQ "utimeout\0"
				 "500000\0",
			     a),
			 18);
	assert_memory_equal(a,
			    "\0\6utimeout\0"
			    "500000\0",
			    18);
	assert_int_equal(ASK(RRQ "utimeout\0"
				 "9999\0",
			     a),
			 516);
	assert_int_equal(ASK(RRQ "utimeout\0"
				 "255000001\0",
			     a),
			 516);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SERVER(plain_request_gets_block_1),
	    WITH_SERVER(options_get_an_oack),
	    WITH_SERVER(missing_and_denied_get_errors),
	    WITH_SERVER(write_requests_are_denied_at_once),
	    WITH_SERVER(malformed_requests_get_error_4),
	    WITH_SERVER(overlong_requests_are_errors),
	    WITH_SERVER(garbage_gets_silence),
	    cmocka_unit_test_setup_teardown(utimeout_is_granted_where_it_is_configured,
					    start_with_utimeout, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
