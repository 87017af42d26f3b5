/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Addresses and ports, and the end of the server.
 */
#include "bench.h"

static void answers_come_from_the_address_asked(void **state)
{
	struct bench b = {.at = {.sin_family = AF_INET}};
	struct cow_err err = COW_ERR_INIT;
	struct tftp_client c;
	uint8_t a[2048];

	assert_int_equal(new_server(&b.at, &(struct cow_tftp_entrances){0}, &b.server, &err), 0);
	b.at.sin_port = htons(cow_tftp_server_port(b.server));
	assert_int_equal(run_in_thread(&b), 0);
	for (unsigned i = 1; i < 4; i++) {
		b.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
		connect_as(&c, &b, "127.0.0.30");
		assert_int_equal(tftp_client_request(&c, RRQ, sizeof(RRQ) - 1), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
		assert_int_equal(c.tid.sin_addr.s_addr, b.at.sin_addr.s_addr);
		assert_int_equal(tftp_client_request(&c, "\0\1missing\0octet\0", 16), 0);
		expect_error(a, tftp_client_recv(&c, a, sizeof(a), DUE_MS), 1);
		assert_int_equal(c.tid.sin_addr.s_addr, b.at.sin_addr.s_addr);
		tftp_client_close(&c);
	}
	assert_int_equal(halt(&b, NULL), 0);
}

static void taken_port_is_said_clearly(void **state)
{
	struct bench *b = *state;
	struct cow_tftp_server *second = NULL;
	struct cow_err err = COW_ERR_INIT;

	assert_int_equal(new_server(&b->at, &(struct cow_tftp_entrances){0}, &second, &err),
			 -EADDRINUSE);
	assert_int_equal(cow_err_exit_status(&err, -EADDRINUSE), 4);
	assert_non_null(strstr(cow_err_str(&err), "dnsmasq"));
	assert_null(second);
}

static void stopping_tells_running_transfers(void **state)
{
	struct bench *b = *state;
	struct tftp_client c;
	uint8_t a[2048];

	connect_as(&c, b, "127.0.0.31");
	assert_int_equal(tftp_client_request(&c, RRQ, sizeof(RRQ) - 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(halt(b, NULL), 0);
	expect_error(a, tftp_client_recv(&c, a, sizeof(a), DUE_MS), 0);
	tftp_client_close(&c);
}

static int start_single_port(void **state)
{
	return start_as(state, &(struct cow_tftp_entrances){.single_port = true});
}

static void a_single_port_carries_transfers(void **state)
{
	struct bench *b = *state;
	struct tftp_client c, d;
	struct tftp_fetch f = {.name = "size-300000", .blksize = 1468, .ask_tsize = 1, .window = 8};
	struct tftp_fetch g = {.name = "size-30000", .lose_data = 40};
	uint8_t a[2048];

	connect_as(&c, b, "127.0.0.50");
	assert_int_equal(tftp_client_fetch(&c, &f), 0);
	assert_int_equal(c.tid.sin_port, b->at.sin_port);
	expect_bytes(&f, 300000);
	free(f.data);
	assert_int_equal(tftp_client_fetch(&c, &g), 0);
	expect_bytes(&g, 30000);
	free(g.data);
	/* two at a time, from one host; and the next request of a port replaces the one before */
	connect_as(&d, b, "127.0.0.50");
	assert_int_equal(tftp_client_request(&c, "\0\1size-9000\0octet\0", 18), 0);
	assert_int_equal(tftp_client_request(&d, "\0\1size-1000\0octet\0", 18), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(tftp_client_recv(&d, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(tftp_client_request(&c, "\0\1size-600\0octet\0", 17), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
	assert_int_equal(tftp_client_ack(&c, 1), 0);
	assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 4 + 88);
	assert_int_equal(tftp_client_ack(&c, 2), 0);
	assert_int_equal(tftp_client_ack(&d, 1), 0);
	assert_int_equal(tftp_client_recv(&d, a, sizeof(a), DUE_MS), 4 + 488);
	assert_int_equal(tftp_client_ack(&d, 2), 0);
	tftp_client_close(&c);
	tftp_client_close(&d);
}

/* This port is where requests come in: what is none, and of no transfer, may be an answer. */
static void a_single_port_answers_no_strangers(void **state)
{
	struct bench *b = *state;
	uint8_t a[2048];

	assert_true(IGNORED("\0\4\0\1", a));
	assert_true(IGNORED("\0\3\0\1data", a));
	assert_true(IGNORED("\0\5\0\1text\0", a));
}

enum { FIRST_PORT = 47811, LAST_PORT = 47813 };

static int start_port_range(void **state)
{
	return start_as(
	    state, &(struct cow_tftp_entrances){.port_first = FIRST_PORT, .port_last = LAST_PORT});
}

static void transfers_stay_in_the_range_of_ports(void **state)
{
	struct cow_tftp_server *second = NULL;
	struct cow_err err = COW_ERR_INIT;
	struct bench *b = *state;
	unsigned seen = 0;
	uint8_t a[2048];

	for (unsigned i = 0; i < 9; i++) {
		struct tftp_client c;

		connect_as(&c, b, "127.0.0.51");
		assert_int_equal(tftp_client_request(&c, RRQ, sizeof(RRQ) - 1), 0);
		assert_int_equal(tftp_client_recv(&c, a, sizeof(a), DUE_MS), 516);
		assert_in_range(ntohs(c.tid.sin_port), FIRST_PORT, LAST_PORT);
		seen |= 1u << (ntohs(c.tid.sin_port) - FIRST_PORT);
		assert_int_equal(tftp_client_answer(&c, "\0\5\0\0\0", 5), 0);
		assert_int_equal(tftp_client_request(&c, "\0\1missing\0octet\0", 16), 0);
		expect_error(a, tftp_client_recv(&c, a, sizeof(a), DUE_MS), 1);
		assert_in_range(ntohs(c.tid.sin_port), FIRST_PORT, LAST_PORT);
		tftp_client_close(&c);
	}
	assert_int_equal(seen, 7);
	/* All taken: that is said, and who starts it can tell it from other faults. */
	const struct sockaddr_in other = {.sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(new_server(&other,
				    &(struct cow_tftp_entrances){.port_first = FIRST_PORT,
								 .port_last = LAST_PORT},
				    &second, &err),
			 -EADDRINUSE);
	assert_int_equal(cow_err_exit_status(&err, -EADDRINUSE), 4);
	assert_non_null(strstr(cow_err_str(&err), "47811 to 47813"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_come_from_the_address_asked),
	    WITH_SERVER(taken_port_is_said_clearly),
	    WITH_SERVER(stopping_tells_running_transfers),
	    cmocka_unit_test_setup_teardown(a_single_port_carries_transfers, start_single_port,
					    stop),
	    cmocka_unit_test_setup_teardown(a_single_port_answers_no_strangers, start_single_port,
					    stop),
	    cmocka_unit_test_setup_teardown(transfers_stay_in_the_range_of_ports, start_port_range,
					    stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
