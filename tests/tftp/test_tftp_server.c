/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The server over real UDP on loopback, with made-up files behind it: every answer to odd requests,
 * every byte of transfers, many clients at once. Source addresses of 127/8 play different hosts.
 */
#include "cow_test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>

#include "common/sanitized.h"
#include "tftp/limits.h"
#include "tftp/server.h"
#include "tftp_client.h"

/* ---------------------------------------------------------------- a server */

struct made_up {
	struct cow_tftp_content base;
	int breaks;
};

#define BREAKS_AT 100000u

static atomic_int contents_alive;

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 7 + (off >> 16));
}

static int made_up_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	if (((struct made_up *)c)->breaks && off + len > BREAKS_AT)
		return -EIO;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = byte_at(off + i);
	return 0;
}

static void made_up_free(struct cow_tftp_content *c)
{
	contents_alive--;
	free(c);
}

static const char text[] = "one\ntwo\r\nthree\rend";

static int open_text(struct cow_tftp_content **ret)
{
	int r = cow_tftp_content_memory(strdup(text), sizeof(text) - 1, ret);

	assert_int_equal(r, 0);
	return r;
}

/* "size-N": N bytes; "text"; "breaks": unreadable from BREAKS_AT on; "denied"; all else is missing. */
static int open_made_up(void *ctx, const struct cow_tftp_who *who, const char *name, size_t len,
			struct cow_tftp_content **ret)
{
	char copy[256];
	uint64_t size = 200000;
	int breaks = len == 6 && memcmp(name, "breaks", 6) == 0;

	assert_true(len < sizeof(copy));
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (strcmp(copy, "denied") == 0)
		return -EACCES;
	if (strcmp(copy, "text") == 0)
		return open_text(ret);
	if (strncmp(copy, "size-", 5) == 0)
		size = strtoull(copy + 5, NULL, 10);
	else if (!breaks)
		return -ENOENT;

	struct made_up *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->base = (struct cow_tftp_content){size, false, made_up_read, made_up_free};
	m->breaks = breaks;
	contents_alive++;
	*ret = &m->base;
	return 0;
}

struct bench {
	struct cow_tftp_server *server;
	struct sockaddr_in at;
	pthread_t thread;
	int stop;
};

static void *run_server(void *arg)
{
	struct bench *b = arg;

	return (void *)(intptr_t)cow_tftp_server_run(b->server, b->stop);
}

static int new_server(const struct sockaddr_in *at, struct cow_tftp_entrances *how,
		      struct cow_tftp_server **ret, struct cow_err *err)
{
	static const struct cow_tftp_resolver resolver = {.open = open_made_up};

	how->listen[how->count++].in = *at;
	return cow_tftp_server_new(how, &resolver, ret, err);
}

static int start_as(void **state, struct cow_tftp_entrances *how)
{
	static struct bench b;
	struct cow_err err = COW_ERR_INIT;

	b = (struct bench){
	    .at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	if (new_server(&b.at, how, &b.server, &err) < 0) {
		print_error("%s\n", cow_err_str(&err));
		return -1;
	}
	b.at.sin_port = htons(cow_tftp_server_port(b.server));
	b.stop = eventfd(0, EFD_CLOEXEC);
	*state = &b;
	return b.stop < 0 || pthread_create(&b.thread, NULL, run_server, &b) != 0 ? -1 : 0;
}

static int start(void **state)
{
	return start_as(state, &(struct cow_tftp_entrances){0});
}

static int halt(struct bench *b, struct cow_tftp_stats *ret_stats)
{
	const uint64_t one = 1;
	void *result;

	if (write(b->stop, &one, sizeof(one)) != sizeof(one) ||
	    pthread_join(b->thread, &result) != 0)
		return -1;
	if (ret_stats)
		cow_tftp_server_stats(b->server, ret_stats);
	cow_tftp_server_free(b->server);
	b->server = NULL;
	(void)close(b->stop);
	return result ? -1 : 0;
}

static int stop(void **state)
{
	struct bench *b = *state;

	if (b->server && halt(b, NULL) < 0)
		return -1;
	if (contents_alive != 0) {
		print_error("%d contents were not freed\n", contents_alive);
		return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- helpers */

static void connect_as(struct tftp_client *c, const struct bench *b, const char *source)
{
	assert_int_equal(tftp_client_open(c, source, &b->at), 0);
}

/* Long enough for a busy machine, where an answer is due; and for silence. */
#define DUE_MS 5000
#define SILENCE_MS 150

/* Ask with @pkt from a fresh port; the first answer, or 0. */
static long ask(const struct bench *b, const void *pkt, size_t len, uint8_t *answer, int timeout_ms)
{
	static unsigned host; /* spread over hosts: the rate limit has its own test */
	struct tftp_client c;
	char source[32];

	host++;
	(void)snprintf(source, sizeof(source), "127.3.%u.%u", host / 200, host % 200 + 1);
	connect_as(&c, b, source);
	assert_int_equal(tftp_client_request(&c, pkt, len), 0);
	long n = tftp_client_recv(&c, answer, 2048, timeout_ms);

	assert_true(n >= 0);
	if (n > 0 && answer[1] != 5) /* we are through with it */
		assert_int_equal(tftp_client_answer(&c, "\0\5\0\0end\0", 8), 0);
	tftp_client_close(&c);
	return n;
}
#define ASK(lit, answer) ask(b, lit, sizeof(lit) - 1, answer, DUE_MS)
#define IGNORED(lit, answer) (ask(b, lit, sizeof(lit) - 1, answer, SILENCE_MS) == 0)

static void expect_error(const uint8_t *answer, long n, int code)
{
	assert_true(n >= 5);
	assert_int_equal(answer[1], 5);
	assert_int_equal(answer[2] << 8 | answer[3], code);
	assert_int_equal(answer[n - 1], 0);
	assert_null(memchr(answer + 4, '/', (size_t)n - 4)); /* no path of ours */
}

static void expect_bytes(const struct tftp_fetch *f, uint64_t size)
{
	assert_int_equal(f->size, size);
	for (uint64_t i = 0; i < size; i++) {
		if (f->data[i] != byte_at(i))
			fail_msg("%s: byte %llu differs", f->name, (unsigned long long)i);
	}
}

static void fetch_and_check(const struct bench *b, const char *source, uint64_t size,
			    unsigned blksize)
{
	char name[32];
	struct tftp_client c;
	struct tftp_fetch f = {.name = name, .blksize = blksize, .ask_tsize = blksize != 0};

	(void)snprintf(name, sizeof(name), "size-%llu", (unsigned long long)size);
	connect_as(&c, b, source);
	assert_int_equal(tftp_client_fetch(&c, &f), 0);
	expect_bytes(&f, size);
	assert_int_equal(f.duplicates, 0);
	if (blksize)
		assert_int_equal(f.tsize, size);
	free(f.data);
	tftp_client_close(&c);
}

/* ---------------------------------------------------------------- requests */

#define RRQ "\0\1size-1000\0octet\0"

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

/* ---------------------------------------------------------------- transfers */

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

/* ---------------------------------------------------------------- limits */

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

/* ---------------------------------------------------------------- addresses, life */

static void answers_come_from_the_address_asked(void **state)
{
	struct bench b = {.at = {.sin_family = AF_INET}};
	struct cow_err err = COW_ERR_INIT;
	struct tftp_client c;
	uint8_t a[2048];

	assert_int_equal(new_server(&b.at, &(struct cow_tftp_entrances){0}, &b.server, &err), 0);
	b.at.sin_port = htons(cow_tftp_server_port(b.server));
	b.stop = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pthread_create(&b.thread, NULL, run_server, &b), 0);
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

/* ---------------------------------------------------------------- ports */

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

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, start, stop)

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
	    WITH_SERVER(one_host_cannot_take_all_transfers),
	    WITH_SERVER(floods_of_requests_are_dropped),
	    WITH_SERVER(probes_leave_nothing_behind),
	    WITH_SERVER(request_right_after_the_abort_of_the_same_is_a_new_one),
	    WITH_SERVER(fifty_clients_at_once),
	    cmocka_unit_test(answers_come_from_the_address_asked),
	    WITH_SERVER(taken_port_is_said_clearly),
	    WITH_SERVER(stopping_tells_running_transfers),
	    cmocka_unit_test_setup_teardown(a_single_port_carries_transfers, start_single_port,
					    stop),
	    cmocka_unit_test_setup_teardown(a_single_port_answers_no_strangers, start_single_port,
					    stop),
	    cmocka_unit_test_setup_teardown(transfers_stay_in_the_range_of_ports, start_port_range,
					    stop),
	    cmocka_unit_test_setup_teardown(utimeout_is_granted_where_it_is_configured,
					    start_with_utimeout, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
