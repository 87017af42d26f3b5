/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * tftpload - many TFTP clients at once, in one thread; written from the RFCs, with nothing of the server's code.
 *
 *	tftpload make FILE BYTES             a file whose bytes can be checked
 *	tftpload ADDR NAME BYTES CLIENTS BLKSIZE WINDOW LOSS
 *	        CLIENTS fetch NAME from port 69 of ADDR, each from an address of its own (127.0.0.0/8). BLKSIZE
 *	        512 and WINDOW 1 are not asked for. LOSS: of a thousand blocks so many are lost on their way.
 *	        Prints milliseconds, what the clients sent again, and files that did not come whole.
 *
 * A client sends what it sent last once more after two seconds of silence, and gives up after sixty.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AGAIN_MS 2000
#define GIVE_UP_MS 60000
#define FIRST_SOURCE 0x7f010001u /* 127.1.0.1 */

struct client {
	int fd;
	bool over, whole;
	uint32_t rnd;
	uint64_t want, got; /* block, bytes */
	unsigned unacknowledged, window, blksize;
	uint64_t told; /* the last block a gap was told after */
	uint64_t heard_ms, sent_ms;
	struct sockaddr_in tid;
	size_t last_len;
	uint8_t last[256];
};

static struct {
	const char *name;
	uint64_t size;
	unsigned blksize, window, loss;
	struct sockaddr_in server;
	unsigned running, resends, broken;
} job;

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "tftpload: %s: %s\n", what, strerrorname_np(errno));
	_exit(2);
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Of 64 KiB and a bit, so that no block size hides a shift. */
#define PATTERN 65537u
static uint8_t pattern[PATTERN + 65536];

static void make_pattern(void)
{
	for (uint32_t k = 0; k < sizeof(pattern); k++)
		pattern[k] = (uint8_t)((k % PATTERN) * 2654435761u >> 24);
}

static int make_file(const char *path, uint64_t size)
{
	FILE *f = fopen(path, "w");
	if (!f)
		die(path);
	for (uint64_t at = 0; at < size; at += PATTERN)
		if (fwrite(pattern, 1, size - at < PATTERN ? size - at : PATTERN, f) == 0)
			die(path);
	if (fclose(f) != 0)
		die(path);
	return 0;
}

/* ---------------------------------------------------------------- a client */

static void send_last(struct client *c, bool again)
{
	if (sendto(c->fd, c->last, c->last_len, 0, (struct sockaddr *)&c->tid, sizeof(c->tid)) <
		0 &&
	    errno != EAGAIN && errno != ECONNREFUSED)
		die("send");
	c->sent_ms = now_ms();
	job.resends += again;
}

static void request(struct client *c)
{
	char *p = (char *)c->last;
	size_t room = sizeof(c->last);
	int n = snprintf(p, room, "%c%c%s%coctet", 0, 1, job.name, 0) + 1;
	if (job.blksize != 512)
		n += snprintf(p + n, room - (size_t)n, "blksize%c%u", 0, job.blksize) + 1;
	if (job.window != 1)
		n += snprintf(p + n, room - (size_t)n, "windowsize%c%u", 0, job.window) + 1;
	c->last_len = (size_t)n;
	c->tid = job.server;
	c->want = 1;
	c->blksize = 512;
	c->window = 1;
	c->heard_ms = now_ms();
	send_last(c, false);
}

static void acknowledge(struct client *c, uint64_t block)
{
	c->last[0] = 0;
	c->last[1] = 4;
	c->last[2] = (uint8_t)(block >> 8);
	c->last[3] = (uint8_t)block;
	c->last_len = 4;
	c->unacknowledged = 0;
	send_last(c, false);
}

static void finish(struct client *c, bool whole)
{
	c->over = true;
	c->whole = whole;
	job.broken += !whole;
	job.running--;
	(void)close(c->fd);
}

static void take_oack(struct client *c, const char *p, const char *end)
{
	while (p < end) {
		const char *value = p + strnlen(p, (size_t)(end - p)) + 1;
		if (value >= end)
			break;
		if (strcasecmp(p, "blksize") == 0)
			c->blksize = (unsigned)strtoul(value, NULL, 10);
		if (strcasecmp(p, "windowsize") == 0)
			c->window = (unsigned)strtoul(value, NULL, 10);
		p = value + strnlen(value, (size_t)(end - value)) + 1;
	}
	acknowledge(c, 0);
}

static bool is_lost(struct client *c)
{
	c->rnd = c->rnd * 1664525u + 1013904223u;
	return job.loss > 0 && (c->rnd >> 8) % 1000 < job.loss;
}

static void take_data(struct client *c, unsigned block, const uint8_t *data, size_t len)
{
	if (block != (c->want & 0xffff)) {
		/* Lock-step: known already. Windows: a gap, told once (RFC 7440, section 4). */
		if (c->window > 1 && c->told != c->want)
			acknowledge(c, c->want - 1);
		c->told = c->want;
		return;
	}
	if (c->got + len > job.size || memcmp(data, pattern + c->got % PATTERN, len) != 0) {
		finish(c, false);
		return;
	}
	c->got += len;
	bool last = len < c->blksize;
	if (last || ++c->unacknowledged >= c->window)
		acknowledge(c, c->want);
	c->want++;
	if (last)
		finish(c, c->got == job.size);
}

static void take_packet(struct client *c, const uint8_t *buf, size_t len,
			const struct sockaddr_in *from)
{
	if (len < 4 ||
	    (c->tid.sin_port != job.server.sin_port && from->sin_port != c->tid.sin_port))
		return;
	if (buf[1] == 3 && is_lost(c))
		return;
	c->tid = *from;
	c->heard_ms = now_ms();
	if (buf[1] == 6 && c->want == 1)
		take_oack(c, (const char *)buf + 2, (const char *)buf + len);
	else if (buf[1] == 3)
		take_data(c, (unsigned)(buf[2] << 8 | buf[3]), buf + 4, len - 4);
	else if (buf[1] == 5)
		finish(c, false);
}

static void drain(struct client *c)
{
	static uint8_t buf[65536];
	while (!c->over) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(c->fd, buf, sizeof(buf), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &from_len);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			take_packet(c, buf, (size_t)n, &from);
	}
}

/* ---------------------------------------------------------------- all of them */

static void begin(struct client *c, unsigned n, int epoll)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(FIRST_SOURCE + n)};
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	const int room = 1 << 20;
	c->rnd = n * 2654435761u + 1;
	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("socket");
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room,
			 sizeof(room)); /* as far as allowed */
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll");
	request(c);
}

static void look_at_clocks(struct client *all, unsigned n)
{
	uint64_t now = now_ms();
	for (struct client *c = all; c < all + n; c++) {
		if (c->over)
			continue;
		if (now - c->heard_ms >= GIVE_UP_MS)
			finish(c, false);
		else if (now - c->heard_ms >= AGAIN_MS && now - c->sent_ms >= AGAIN_MS)
			send_last(c, true);
	}
}

static int run(unsigned n)
{
	struct epoll_event ev[256];
	struct client *all = calloc(n, sizeof(*all));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t start = now_ms(), looked = start;
	if (!all || epoll < 0)
		die("start");
	job.running = n;
	for (unsigned k = 0; k < n; k++)
		begin(&all[k], k, epoll);
	while (job.running > 0) {
		int got = epoll_wait(epoll, ev, 256, 100);
		for (int k = 0; k < got; k++)
			drain(ev[k].data.ptr);
		if (now_ms() - looked >= 100) {
			look_at_clocks(all, n);
			looked = now_ms();
		}
	}
	(void)printf("%llu %u %u\n", (unsigned long long)(now_ms() - start), job.resends,
		     job.broken);
	return 0;
}

int main(int argc, char **argv)
{
	make_pattern();
	if (argc == 4 && strcmp(argv[1], "make") == 0)
		return make_file(argv[2], strtoull(argv[3], NULL, 10));
	if (argc != 8) {
		(void)fprintf(stderr, "tftpload: see the beginning of tests/bench/tftpload.c\n");
		return 2;
	}
	job.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(69)};
	if (inet_pton(AF_INET, argv[1], &job.server.sin_addr) != 1)
		die(argv[1]);
	job.name = argv[2];
	job.size = strtoull(argv[3], NULL, 10);
	job.blksize = (unsigned)strtoul(argv[5], NULL, 10);
	job.window = (unsigned)strtoul(argv[6], NULL, 10);
	job.loss = (unsigned)strtoul(argv[7], NULL, 10);
	return run((unsigned)strtoul(argv[4], NULL, 10));
}
