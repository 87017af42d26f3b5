/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One board boots: see board.h. As strict as the strictest of the loaders: an OACK is what was asked for to the byte,
 * the first block is 1, no block comes twice without need, nothing comes after an end.
 */
#include "board.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tftp_client.h"

enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };
#define HEADER 4
#define TRIES 10
#define GRANTED_BLKSIZE 1468u
#define TEXT_MAX (64u << 10)
#define ROM_PORT 49152

/* A name as one loader asks for it, and what has come. */
struct request {
	struct board *b;
	const struct loader *l;
	const struct step *step;
	char name[256]; /* on the wire */
	uint8_t rrq[600];
	size_t rrq_len;
	struct tftp_client c;
	struct sockaddr_in tid;
	bool has_tid;

	const struct boot_file *file; /* NULL: made by the server, its size is not known before */
	uint32_t size, seed;
	uint64_t tsize; /* UINT64_MAX: not told */
	unsigned blksize, window, again_ms;
	uint64_t want, got; /* next block; bytes */
	unsigned in_window;
	bool probe;
	char *text;
	int64_t block_ms; /* when the last new block, or the OACK, came */
	int64_t now_ms;	  /* when the last packet came, by the kernel's clock */
};

static int __attribute__((format(printf, 2, 3))) fails(struct request *q, const char *fmt, ...)
{
	struct board *b = q->b;
	va_list ap;
	int n = snprintf(b->why, sizeof(b->why), "%s %u (%s), %s '%s': ", b->kind->name, b->number,
			 b->mac, q->l->name, q->name);

	va_start(ap, fmt);
	(void)vsnprintf(b->why + n, sizeof(b->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---------------------------------------------------------------- packets */

static bool lost(struct board *b)
{
	if (!b->loss)
		return false;
	b->random = b->random * 1103515245u + 12345u;
	return (b->random >> 8) % b->loss == 0;
}

static int open_socket(struct request *q)
{
	struct board *b = q->b;
	char source[INET_ADDRSTRLEN];
	int one = 1;

	if (q->l->flags & LOADER_FIXED_PORT)
		b->port = ROM_PORT;
	else
		b->port = b->port < ROM_PORT || b->port == UINT16_MAX ? ROM_PORT + 1
								      : (uint16_t)(b->port + 1);
	(void)inet_ntop(AF_INET, &b->addr, source, sizeof(source));
	int r = tftp_client_open_at(&q->c, source, b->port, b->device, &b->server);

	if (r < 0)
		return fails(q, "port %u: %s", b->port, strerrorname_np(-r));
	if (setsockopt(q->c.fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		return fails(q, "time stamps: %s", strerrorname_np(errno));
	return 0;
}

/* A probe's socket is kept open, so that what should not come is seen; but a ROM has its one port. */
static void put_away(struct request *q)
{
	struct board *b = q->b;

	if (!q->probe || q->l->flags & LOADER_FIXED_PORT ||
	    b->probed_count == sizeof(b->probed) / sizeof(b->probed[0]))
		(void)close(q->c.fd);
	else
		b->probed[b->probed_count++] = q->c.fd;
	q->c.fd = -1;
}

static int64_t stamp_ms(struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		struct timespec ts;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(h), sizeof(ts));
		return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	}
	return 0;
}

/* Return: bytes; 0: none within the loader's patience; -1. */
static long receive(struct request *q, uint8_t *buf, size_t len)
{
	char control[CMSG_SPACE(sizeof(struct timespec))];
	struct sockaddr_in from;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = q->c.fd, .events = POLLIN};

	if (poll(&p, 1, (int)q->l->resend_ms) == 0)
		return 0;
	ssize_t n = recvmsg(q->c.fd, &m, 0);

	if (n < HEADER)
		return fails(q, "receive: %zd, %s", n, strerrorname_np(errno));
	q->now_ms = stamp_ms(&m);
	if (from.sin_addr.s_addr != q->b->server.sin_addr.s_addr)
		return fails(q, "an answer from another address");
	if (q->has_tid && from.sin_port != q->tid.sin_port)
		return fails(q, "an answer from another port of the server");
	if (from.sin_port == q->b->server.sin_port)
		return fails(q, "an answer from the port that was asked");
	q->tid = q->c.tid = from;
	return n;
}

static int answer(struct request *q, const void *pkt, size_t len)
{
	int r = lost(q->b) ? 0 : tftp_client_answer(&q->c, pkt, len);

	return r < 0 ? fails(q, "send: %s", strerrorname_np(-r)) : 0;
}

static int acknowledge(struct request *q, uint64_t block)
{
	const uint8_t pkt[HEADER] = {0, ACK, (uint8_t)(block >> 8), (uint8_t)block};

	q->in_window = 0;
	return answer(q, pkt, sizeof(pkt));
}

static int ask(struct request *q)
{
	int r = lost(q->b) ? 0 : tftp_client_request(&q->c, q->rrq, q->rrq_len);

	return r < 0 ? fails(q, "send: %s", strerrorname_np(-r)) : 0;
}

/* ---------------------------------------------------------------- names */

static void put_name(struct board *b, const char *name, char *out, size_t room)
{
	size_t n = 0;

	while (*name && n + 20 < room) {
		unsigned digits = 8;

		if (strncmp(name, "{mac}", 5) == 0) {
			n += (size_t)snprintf(out + n, room - n, "%s", b->mac);
			name += 5;
		} else if (strncmp(name, "{ip", 3) == 0) {
			if (name[3] == ':')
				digits = (unsigned)(name[4] - '0');
			n += (size_t)snprintf(out + n, room - n, "%08X", ntohl(b->addr.s_addr));
			n -= 8 - digits;
			name = strchr(name, '}') + 1;
		} else {
			out[n++] = *name++;
		}
	}
	out[n] = '\0';
}

static bool has_prefix(const struct request *q)
{
	return q->b->kind->prefix != PREFIX_NONE && !(q->l->flags & LOADER_NO_PREFIX) &&
	       !q->b->prefix_dropped;
}

static void make_rrq(struct request *q)
{
	struct board *b = q->b;
	char plain[128];
	size_t n = 2;

	put_name(b, q->step->name, plain, sizeof(plain));
	(void)snprintf(q->name, sizeof(q->name), "%s%s%s",
		       !has_prefix(q)			   ? ""
		       : b->kind->prefix == PREFIX_MAC	   ? b->mac
		       : b->kind->prefix == PREFIX_UNKNOWN ? "0badcafe"
							   : b->serial,
		       has_prefix(q) ? "/" : "", plain);
	q->rrq[1] = RRQ;
	n += (size_t)snprintf((char *)q->rrq + n, sizeof(q->rrq) - n, "%s%coctet", q->name, 0) + 1;
	for (const struct option *o = q->l->options; o->name; o++)
		n += (size_t)snprintf((char *)q->rrq + n, sizeof(q->rrq) - n, "%s%c%s", o->name, 0,
				      o->value) +
		     1;
	q->rrq_len = n;
}

/* ---------------------------------------------------------------- answers */

/* What is granted of what was asked, in the order asked. */
static size_t right_oack(const struct request *q, uint64_t tsize, char *out, size_t room)
{
	size_t n = 2;

	out[0] = 0;
	out[1] = OACK;
	for (const struct option *o = q->l->options; o->name; o++) {
		unsigned long long v = strtoull(o->value, NULL, 10);

		if (strcmp(o->name, "multicast") == 0)
			continue;
		if (strcmp(o->name, "tsize") == 0)
			v = tsize;
		else if (strcmp(o->name, "blksize") == 0 && v > GRANTED_BLKSIZE)
			v = GRANTED_BLKSIZE;
		n += (size_t)snprintf(out + n, room - n, "%s%c%llu", o->name, 0, v) + 1;
	}
	return n;
}

static const char *value_of(const uint8_t *pkt, long len, const char *name)
{
	const char *p = (const char *)pkt + 2, *end = (const char *)pkt + len;

	while (p < end) {
		const char *value = p + strnlen(p, (size_t)(end - p)) + 1;

		if (value >= end)
			return NULL;
		if (strcmp(p, name) == 0)
			return value;
		p = value + strnlen(value, (size_t)(end - value)) + 1;
	}
	return NULL;
}

static int take_oack(struct request *q, const uint8_t *pkt, long len)
{
	char right[256];
	const char *v;

	if (pkt[len - 1] != 0)
		return fails(q, "BAD OACK: its last value has no end");
	v = value_of(pkt, len, "tsize");
	q->tsize = v ? strtoull(v, NULL, 10) : UINT64_MAX;
	size_t n = right_oack(q, q->file ? q->size : q->tsize, right, sizeof(right));

	if ((size_t)len != n || memcmp(pkt, right, n) != 0)
		return fails(q, "BAD OACK: '%s'='%s' first, %ld bytes where %zu are right",
			     (const char *)pkt + 2, value_of(pkt, len, (const char *)pkt + 2), len,
			     n);
	v = value_of(pkt, len, "blksize");
	q->blksize = v ? (unsigned)strtoul(v, NULL, 10) : q->blksize;
	v = value_of(pkt, len, "windowsize");
	q->window = v ? (unsigned)strtoul(v, NULL, 10) : 1;
	return 0;
}

static int take_error(struct request *q, const uint8_t *pkt, long len)
{
	int code = pkt[2] << 8 | pkt[3];
	const char *text = (const char *)pkt + HEADER;

	if (len <= HEADER || pkt[len - 1] != 0)
		return fails(q, "ERROR %d without an end of its text", code);
	if (strchr(text, '/'))
		return fails(q, "ERROR %d names a path: %s", code, text);
	for (const char *p = text; *p; p++) {
		if (!isprint((unsigned char)*p))
			return fails(q, "ERROR %d: its text is not one", code);
	}
	if (code != 1)
		return fails(q, "ERROR %d: %s", code, text);
	return 1;
}

static int compare(struct request *q, const uint8_t *data, size_t len)
{
	if (!q->file) {
		if (q->got + len > TEXT_MAX)
			return fails(q, "longer than a text may be");
		memcpy(q->text + q->got, data, len);
		return 0;
	}
	if (q->got + len > q->size)
		return fails(q, "longer than %u bytes", q->size);
	for (size_t i = 0; i < len; i++) {
		if (data[i] != boot_byte(q->seed, (uint32_t)(q->got + i)))
			return fails(q, "wrong byte at %" PRIu64, q->got + i);
	}
	return 0;
}

/* A block again, or one after a gap. */
static int take_odd_block(struct request *q, uint16_t block)
{
	uint16_t ahead = (uint16_t)(block - (uint16_t)q->want);
	struct board *b = q->b;

	if (q->want == 1 && ahead >= q->window)
		return fails(q, "its first block is %u", block);
	if (ahead < q->window) {
		if (!b->loss)
			return fails(q, "block %u where %llu is next", block,
				     (unsigned long long)q->want);
		/* once a gap: what follows it in the window says nothing new */
		return ahead == q->window - 1 ? acknowledge(q, q->want - 1) : 0;
	}
	if ((uint16_t)-ahead > 2 * q->window)
		return fails(q, "block %u, long after %llu was next", block,
			     (unsigned long long)q->want);
	b->duplicates++;
	if (q->now_ms - q->block_ms < q->again_ms)
		return fails(q, "block %u twice within %lld ms", block,
			     (long long)(q->now_ms - q->block_ms));
	return (uint16_t)(block + 1) == (uint16_t)q->want ? acknowledge(q, q->want - 1) : 0;
}

/* Return: 0 go on; 1 that was the last; -1. */
static int take_data(struct request *q, const uint8_t *pkt, long len)
{
	uint16_t block = (uint16_t)(pkt[2] << 8 | pkt[3]);
	size_t n = (size_t)len - HEADER;

	if (block != (uint16_t)q->want)
		return take_odd_block(q, block);
	if (n > q->blksize)
		return fails(q, "a block of %zu bytes, %u were agreed", n, q->blksize);
	if (compare(q, pkt + HEADER, n) < 0)
		return -1;
	q->got += n;
	q->block_ms = q->now_ms;

	bool last = n < q->blksize;

	q->want++;
	if ((last || ++q->in_window >= q->window) && acknowledge(q, q->want - 1) < 0)
		return -1;
	return last;
}

/* ---------------------------------------------------------------- one request */

/* What the answer begins with. Return: 0: go on; 1: it is missing; 2: the probe is done; -1. */
static int take_first(struct request *q, const uint8_t *pkt, long len)
{
	uint8_t end[64] = {0, ERROR, 0, (uint8_t)q->l->abort_code};
	bool options = q->l->options[0].name;

	switch (pkt[1]) {
	case ERROR:
		return take_error(q, pkt, len);
	case OACK:
		if (!options)
			return fails(q, "BAD OACK: no option was asked");
		q->has_tid = true;
		q->block_ms = q->now_ms;
		if (take_oack(q, pkt, len) < 0)
			return -1;
		if (!q->probe)
			return acknowledge(q, 0);
		(void)snprintf((char *)end + HEADER, sizeof(end) - HEADER, "%s", q->l->abort_text);
		/* An ERROR that is lost is not sent again. */
		return tftp_client_answer(&q->c, end, HEADER + strlen(q->l->abort_text) + 1) < 0
			   ? fails(q, "send")
			   : 2;
	case DATA:
		if (options)
			return fails(q, "%s",
				     q->l->flags & LOADER_NEEDS_OACK
					 ? "times out: DATA where an OACK is needed"
					 : "sees no size: DATA in place of the OACK");
		q->has_tid = true;
		return take_data(q, pkt, len) < 0 ? -1 : q->got < q->blksize ? 3 : 0;
	default:
		return fails(q, "a packet of kind %u", pkt[1]);
	}
}

static int take(struct request *q, const uint8_t *pkt, long len)
{
	if (!q->has_tid)
		return take_first(q, pkt, len);
	if (pkt[1] == OACK && q->want == 1) { /* our ACK 0 was lost, or late */
		q->b->duplicates++;
		return q->now_ms - q->block_ms < q->again_ms ? fails(q, "the OACK twice")
							     : acknowledge(q, 0);
	}
	if (pkt[1] == ERROR)
		return fails(q, "ERROR in mid file");
	if (pkt[1] != DATA)
		return fails(q, "a packet of kind %u in mid file", pkt[1]);
	int r = take_data(q, pkt, len);

	return r == 1 ? 3 : r;
}

static int repeat(struct request *q)
{
	q->b->resends++;
	return q->has_tid ? acknowledge(q, q->want - 1) : ask(q);
}

/* Return: 1 missing; 2 probed; 3 whole; -1. */
static int run(struct request *q)
{
	uint8_t pkt[2048];
	unsigned quiet = 0;
	int r = ask(q);

	while (r == 0) {
		long n = receive(q, pkt, sizeof(pkt));

		if (n < 0)
			return -1;
		if (n == 0) {
			if (++quiet > TRIES)
				return fails(q, "no answer");
			r = repeat(q);
			continue;
		}
		if (lost(q->b))
			continue;
		quiet = 0;
		r = take(q, pkt, n);
	}
	return r;
}

static int check_text(struct request *q)
{
	const struct step *s = q->step;
	char word[64];

	q->text[q->got] = '\0';
	for (unsigned i = 0; i < 4 && s->has[i]; i++) {
		if (!strstr(q->text, s->has[i]))
			return fails(q, "no '%s' in: %s", s->has[i], q->text);
	}
	for (unsigned i = 0; i < 3 && s->lacks[i]; i++) {
		if (strstr(q->text, s->lacks[i]))
			return fails(q, "'%s' in: %s", s->lacks[i], q->text);
	}
	if (!strstr(q->text, "root=/dev/nfs"))
		return 0;
	/* Its own root, its own words. */
	(void)snprintf(word, sizeof(word), "/clients/%s,", q->b->mac);
	if (!strstr(q->text, word))
		return fails(q, "no '%s' in: %s", word, q->text);
	(void)snprintf(word, sizeof(word), "board=%u.", q->b->number); /* some quote it */
	if (!strstr(q->text, word))
		return fails(q, "no '%s' in: %s", word, q->text);
	return 0;
}

static int check_whole(struct request *q)
{
	q->b->bytes += q->got;
	if (q->tsize != UINT64_MAX && q->tsize != q->got)
		return fails(q, "%llu bytes, told were %llu", (unsigned long long)q->got,
			     (unsigned long long)q->tsize);
	if (q->got == 0)
		return fails(q, "an empty file");
	if (q->file)
		return q->got == q->size
			   ? 0
			   : fails(q, "%llu bytes of %u", (unsigned long long)q->got, q->size);
	return check_text(q);
}

static int request(struct board *b, const struct loader *l, const struct step *s, bool probe)
{
	const char *plain = *s->name == '/' ? s->name + 1 : s->name;
	struct request q = {.b = b,
			    .l = l,
			    .step = s,
			    .c = {.fd = -1},
			    .probe = probe,
			    .blksize = 512,
			    .window = 1,
			    .again_ms = l->again_ms,
			    .want = 1,
			    .tsize = UINT64_MAX};

	q.file = s->has[0] ? NULL : boot_file_find(plain);
	if (q.file) {
		q.size = s->own ? b->own_size : boot_file_size(q.file, b->divisor);
		q.seed = boot_seed(s->own ? b->mac : plain);
	}
	b->requests++;
	make_rrq(&q);
	q.text = malloc(TEXT_MAX + 1);
	int r = q.text && open_socket(&q) == 0 ? run(&q) : -1;

	if (r == 3)
		r = check_whole(&q) < 0 ? -1 : 3;
	else if (r == 1)
		b->missing++;
	if (r == 1 && s->kind != STEP_NONE && s->kind != STEP_EITHER)
		r = fails(&q, "missing");
	else if (r > 1 && s->kind == STEP_NONE)
		r = fails(&q, "is served");
	free(q.text);
	if (q.c.fd >= 0)
		put_away(&q);
	return r;
}

static int play_step(struct board *b, const struct loader *l, const struct step *s)
{
	bool ask_first = s->kind == STEP_PROBE || s->kind == STEP_SIZED || s->kind == STEP_EITHER;
	int r = request(b, l, s, ask_first);

	if (r == 1 && s->kind == STEP_EITHER) {
		if (b->kind->prefix == PREFIX_UNKNOWN && l->flags & LOADER_DROPS_PREFIX) {
			b->prefix_dropped = true;
			return 0;
		}
		(void)snprintf(b->why, sizeof(b->why), "%s %u: '%s' is missing", b->kind->name,
			       b->number, s->name);
		return -1;
	}
	if (r == 2 && s->kind == STEP_SIZED)
		r = request(b, l, s, false);
	return r < 0 ? -1 : 0;
}

/* No DATA may have come where a probe was broken off; the OACK may, where our ERROR was late. */
static int check_silence(struct board *b)
{
	uint8_t pkt[64];
	int r = 0;

	for (unsigned i = 0; i < b->probed_count; i++) {
		ssize_t n = recv(b->probed[i], pkt, sizeof(pkt), MSG_DONTWAIT);

		if (n > 1 && pkt[1] == DATA && r == 0) {
			(void)snprintf(b->why, sizeof(b->why),
				       "%s %u: DATA after the end of probe %u", b->kind->name,
				       b->number, i);
			r = -1;
		}
		(void)close(b->probed[i]);
	}
	b->probed_count = 0;
	return r;
}

int board_boot(struct board *b)
{
	int r = 0;

	b->why[0] = '\0';
	b->prefix_dropped = false;
	b->random = b->number * 2654435761u + 1;
	for (const struct stage *st = b->kind->stages; st->loader && r == 0; st++) {
		for (const struct step *s = st->steps; s->name && r == 0; s++)
			r = play_step(b, st->loader, s);
	}
	int quiet = check_silence(b);

	return r < 0 ? r : quiet;
}
