/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See bench.h.
 */
#include "bench.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

/* ---------------------------------------------------------------- files */

struct made_up {
	struct cow_tftp_content base;
	int breaks;
};

#define BREAKS_AT 100000u

static atomic_int contents_alive;

uint8_t byte_at(uint64_t off)
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

/* ---------------------------------------------------------------- a server */

static void *run_server(void *arg)
{
	struct bench *b = arg;

	return (void *)(intptr_t)cow_tftp_server_run(b->server, b->stop);
}

int new_server(const struct sockaddr_in *at, struct cow_tftp_entrances *how,
	       struct cow_tftp_server **ret, struct cow_err *err)
{
	static const struct cow_tftp_resolver resolver = {.open = open_made_up};

	how->listen[how->count++].in = *at;
	return cow_tftp_server_new(how, &resolver, ret, err);
}

int run_in_thread(struct bench *b)
{
	b->stop = eventfd(0, EFD_CLOEXEC);
	return b->stop < 0 || pthread_create(&b->thread, NULL, run_server, b) != 0 ? -1 : 0;
}

int start_as(void **state, struct cow_tftp_entrances *how)
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
	*state = &b;
	return run_in_thread(&b);
}

int start(void **state)
{
	return start_as(state, &(struct cow_tftp_entrances){0});
}

int halt(struct bench *b, struct cow_tftp_stats *ret_stats)
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

int stop(void **state)
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

/* ---------------------------------------------------------------- asking */

void connect_as(struct tftp_client *c, const struct bench *b, const char *source)
{
	assert_int_equal(tftp_client_open(c, source, &b->at), 0);
}

long ask(const struct bench *b, const void *pkt, size_t len, uint8_t *answer, int timeout_ms)
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

void expect_error(const uint8_t *answer, long n, int code)
{
	assert_true(n >= 5);
	assert_int_equal(answer[1], 5);
	assert_int_equal(answer[2] << 8 | answer[3], code);
	assert_int_equal(answer[n - 1], 0);
	assert_null(memchr(answer + 4, '/', (size_t)n - 4)); /* no path of ours */
}

void expect_bytes(const struct tftp_fetch *f, uint64_t size)
{
	assert_int_equal(f->size, size);
	for (uint64_t i = 0; i < size; i++) {
		if (f->data[i] != byte_at(i))
			fail_msg("%s: byte %llu differs", f->name, (unsigned long long)i);
	}
}

void fetch_and_check(const struct bench *b, const char *source, uint64_t size, unsigned blksize)
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
