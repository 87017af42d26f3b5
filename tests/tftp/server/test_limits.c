/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Many clients at once, and what one of them may take.
 */
#include "bench.h"

static void one_host_cannot_take_all_transfers(void **state)
{
	struct tftp_client c[20];
	unsigned served = 0;
	uint8_t a[2048];

	for (unsigned i = 0; i < 20; i++) {
		connect_as(&c[i], *state, "127.0.0.16");
		assert_int_equal(tftp_client_request(&c[i], RRQ, sizeof(RRQ) - 1), 0);
		served += tftp_client_recv(&c[i], a, sizeof(a), 100) == 516;
	}
	assert_int_equal(served, 16);
	fetch_and_check(*state, "127.0.0.17", 5000, 512); /* others are not concerned */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(tftp_client_answer(&c[i], "\0\5\0\0\0", 5), 0);
	fetch_and_check(*state, "127.0.0.16", 5000, 512);
	for (unsigned i = 0; i < 20; i++)
		tftp_client_close(&c[i]);
}

static void floods_of_requests_are_dropped(void **state)
{
	struct bench *b = *state;
	struct cow_tftp_stats st;
	struct tftp_client c;

	connect_as(&c, b, "127.0.0.18");
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(tftp_client_request(&c, "\0\1missing\0octet\0", 16), 0);
	fetch_and_check(b, "127.0.0.19", 5000, 512);
	tftp_client_close(&c);
	assert_int_equal(halt(b, &st), 0);
	assert_true(st.limited > 500);
	assert_true(st.refused >= 400 && st.refused < 1500);
}

static void probes_leave_nothing_behind(void **state)
{
	struct bench *b = *state;
	struct cow_tftp_stats st;
	uint8_t a[2048];

	for (unsigned i = 0; i < 5000; i++) {
		struct tftp_client c;
		char source[32];

		(void)snprintf(source, sizeof(source), "127.5.%u.%u", i / 250, i % 250 + 1);
		connect_as(&c, b, source);
		assert_int_equal(tftp_client_request(&c,
						     RRQ "tsize\0"
							 "0\0",
						     sizeof(RRQ "tsize\0"
								"0\0") -
							 1),
				 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), 2000), 13);
		assert_int_equal(tftp_client_answer(&c, "\0\5\0\0Early terminate\0", 20), 0);
		tftp_client_close(&c);
	}
	fetch_and_check(b, "127.0.0.20", 10, 0);
	assert_int_equal(halt(b, &st), 0);
	assert_true(st.aborted == 5000 || st.aborted == 5001); /* the last fetch may be cut off */
	assert_int_equal(st.failed + st.timed_out, 0);
}

/* Its end and its next beginning come by two sockets of the server, at almost the same time. */
static void request_right_after_the_abort_of_the_same_is_a_new_one(void **state)
{
	static const char rq[] = RRQ "tsize\0"
				     "0\0";
	uint8_t a[2048];

	for (unsigned i = 0; i < 3000; i++) {
		struct tftp_client c;
		char source[32];

		(void)snprintf(source, sizeof(source), "127.6.%u.%u", i / 250, i % 250 + 1);
		connect_as(&c, *state, source);
		assert_int_equal(tftp_client_request(&c, rq, sizeof(rq) - 1), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 13);
		assert_int_equal(tftp_client_answer(&c, "\0\5\0\0Early terminate\0", 20), 0);
		assert_int_equal(tftp_client_request(&c, rq, sizeof(rq) - 1), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 13);
		assert_int_equal(tftp_client_ack(&c, 0), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
		assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
		tftp_client_close(&c);
	}
}

static void *fetch_thread(void *arg)
{
	const struct bench *b = ((void **)arg)[0];
	unsigned i = (unsigned)(uintptr_t)((void **)arg)[1];
	char source[32], name[32];
	struct tftp_client c;
	uint64_t size = (1 << 20) + i;
	struct tftp_fetch f = {.name = name, .blksize = i % 2 ? 1468 : 0, .ask_tsize = 1};

	(void)snprintf(source, sizeof(source), "127.4.0.%u", i + 1);
	(void)snprintf(name, sizeof(name), "size-%llu", (unsigned long long)size);
	int r = tftp_client_open(&c, source, &b->at);

	if (r == 0)
		r = tftp_client_fetch(&c, &f);
	for (uint64_t k = 0; r == 0 && k < size; k++) {
		if (f.size != size || f.data[k] != byte_at(k))
			r = -EBADMSG;
	}
	free(f.data);
	tftp_client_close(&c);
	return (void *)(intptr_t)r;
}

static void fifty_clients_at_once(void **state)
{
	pthread_t thread[50];
	void *arg[50][2];

	for (unsigned i = 0; i < 50; i++) {
		arg[i][0] = *state;
		arg[i][1] = (void *)(uintptr_t)i;
		assert_int_equal(pthread_create(&thread[i], NULL, fetch_thread, arg[i]), 0);
	}
	for (unsigned i = 0; i < 50; i++) {
		void *r;

		assert_int_equal(pthread_join(thread[i], &r), 0);
		assert_int_equal((intptr_t)r, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_SERVER(one_host_cannot_take_all_transfers),
	    WITH_SERVER(floods_of_requests_are_dropped),
	    WITH_SERVER(probes_leave_nothing_behind),
	    WITH_SERVER(request_right_after_the_abort_of_the_same_is_a_new_one),
	    WITH_SERVER(fifty_clients_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
