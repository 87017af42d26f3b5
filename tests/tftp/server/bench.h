/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The fixture of the server's tests: the server over real UDP on loopback, with made-up files behind it. Source addresses of 127/8
 * play different hosts.
 */
#ifndef COW_TESTS_TFTP_BENCH_H
#define COW_TESTS_TFTP_BENCH_H

#include "../../unit/cow_test.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "../tftp_client.h"
#include "tftp/server.h"

struct bench {
	struct cow_tftp_server *server;
	struct sockaddr_in at;
	pthread_t thread;
	int stop;
};

/* Setup and teardown of a test; the state is a struct bench. */
int start(void **state);
int start_as(void **state, struct cow_tftp_entrances *how);
int stop(void **state);
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, start, stop)

/* One more, which does not run yet. */
int new_server(const struct sockaddr_in *at, struct cow_tftp_entrances *how,
	       struct cow_tftp_server **ret, struct cow_err *err);
/* In a thread of its own; halt() ends it. */
int run_in_thread(struct bench *b);
int halt(struct bench *b, struct cow_tftp_stats *ret_stats); /* within a test */

/* What "size-N" holds. */
uint8_t byte_at(uint64_t off);

/* Long enough for a busy machine, where an answer is due; and for silence. */
#define DUE_MS 5000
#define SILENCE_MS 150

void connect_as(struct tftp_client *c, const struct bench *b, const char *source);
/* Ask with @pkt from a fresh port; the first answer, or 0. */
long ask(const struct bench *b, const void *pkt, size_t len, uint8_t *answer, int timeout_ms);
#define ASK(lit, answer) ask(b, lit, sizeof(lit) - 1, answer, DUE_MS)
#define IGNORED(lit, answer) (ask(b, lit, sizeof(lit) - 1, answer, SILENCE_MS) == 0)
#define RRQ "\0\1size-1000\0octet\0"

void expect_error(const uint8_t *answer, long n, int code);
void expect_bytes(const struct tftp_fetch *f, uint64_t size);
/* @blksize: 0: nothing is asked for. */
void fetch_and_check(const struct bench *b, const char *source, uint64_t size, unsigned blksize);

#endif
