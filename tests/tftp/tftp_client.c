/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * TFTP client for tests: see tftp_client.h.
 */
#include "tftp_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

int tftp_client_open(struct tftp_client *c, const char *source, const struct sockaddr_in *server)
{
	return tftp_client_open_at(c, source, 0, NULL, server);
}

int tftp_client_open_at(struct tftp_client *c, const char *source, uint16_t port,
			const char *device, const struct sockaddr_in *server)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int big = 1 << 20;

	c->server = *server;
	if (source && inet_pton(AF_INET, source, &at.sin_addr) != 1)
		return -EINVAL;
	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	if ((device && setsockopt(c->fd, SOL_SOCKET, SO_BINDTODEVICE, device,
				  (socklen_t)strlen(device)) < 0) ||
	    bind(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		int r = -errno;

		tftp_client_close(c);
		return r;
	}
	return 0;
}

void tftp_client_close(struct tftp_client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
}

static int send_to(struct tftp_client *c, const struct sockaddr_in *to, const void *pkt, size_t len)
{
	return sendto(c->fd, pkt, len, 0, (const struct sockaddr *)to, sizeof(*to)) < 0 ? -errno
											: 0;
}

int tftp_client_request(struct tftp_client *c, const void *pkt, size_t len)
{
	return send_to(c, &c->server, pkt, len);
}

int tftp_client_answer(struct tftp_client *c, const void *pkt, size_t len)
{
	return send_to(c, &c->tid, pkt, len);
}

int tftp_client_ack(struct tftp_client *c, unsigned block)
{
	const uint8_t pkt[4] = {0, 4, (uint8_t)(block >> 8), (uint8_t)block};

	return tftp_client_answer(c, pkt, sizeof(pkt));
}

long tftp_client_recv(struct tftp_client *c, void *buf, size_t len, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	socklen_t alen = sizeof(c->tid);
	int n = poll(&p, 1, timeout_ms);

	if (n <= 0)
		return n < 0 ? -errno : 0;
	ssize_t got = recvfrom(c->fd, buf, len, 0, (struct sockaddr *)&c->tid, &alen);

	return got < 0 ? -errno : got;
}

static int send_request(struct tftp_client *c, const struct tftp_fetch *f)
{
	char pkt[1024];
	int n = snprintf(pkt, sizeof(pkt), "%c%c%s%c%s%c", 0, 1, f->name, 0,
			 f->netascii ? "netascii" : "octet", 0);

	if (f->ask_tsize)
		n += snprintf(pkt + n, sizeof(pkt) - (size_t)n, "tsize%c0%c", 0, 0);
	if (f->blksize)
		n += snprintf(pkt + n, sizeof(pkt) - (size_t)n, "blksize%c%u%c", 0, f->blksize, 0);
	if (f->window)
		n +=
		    snprintf(pkt + n, sizeof(pkt) - (size_t)n, "windowsize%c%u%c", 0, f->window, 0);
	return tftp_client_request(c, pkt, (size_t)n);
}

static void read_oack(struct tftp_fetch *f, const char *p, const char *end)
{
	while (p < end) {
		const char *value = p + strnlen(p, (size_t)(end - p)) + 1;

		if (value >= end)
			return;
		if (strcasecmp(p, "tsize") == 0)
			f->tsize = strtoull(value, NULL, 10);
		if (strcasecmp(p, "blksize") == 0)
			f->got_blksize = (unsigned)strtoul(value, NULL, 10);
		if (strcasecmp(p, "windowsize") == 0)
			f->got_window = (unsigned)strtoul(value, NULL, 10);
		p = value + strnlen(value, (size_t)(end - value)) + 1;
	}
}

static int take_error(struct tftp_fetch *f, const uint8_t *buf, long n)
{
	f->error_code = buf[2] << 8 | buf[3];
	(void)snprintf(f->error_text, sizeof(f->error_text), "%.*s", (int)(n - 4),
		       (const char *)buf + 4);
	return -EREMOTEIO;
}

static int append(struct tftp_fetch *f, const uint8_t *p, size_t len)
{
	uint8_t *bigger = realloc(f->data, f->size + len + 1);

	if (!bigger)
		return -ENOMEM;
	f->data = bigger;
	memcpy(f->data + f->size, p, len);
	f->size += len;
	return 0;
}

static int acknowledge(struct tftp_client *c, const struct tftp_fetch *f, uint64_t block)
{
	int r = 0;

	for (unsigned i = 0; i <= f->repeat_ack && r == 0; i++)
		r = tftp_client_ack(c, (unsigned)(block & 0xffff));
	return r;
}

/* With windows not each Nth: one of N blocks would lose the same ones for ever. */
static bool is_lost(const struct tftp_fetch *f, uint32_t received)
{
	if (!f->lose_data)
		return false;
	return (f->window > 1 ? received * 2654435761u >> 16 : received) % f->lose_data == 0;
}

int tftp_client_fetch(struct tftp_client *c, struct tftp_fetch *f)
{
	static const unsigned header = 4;
	uint8_t buf[65536] = {0};
	uint64_t want = 1, told = 0; /* told: the last block a gap was told after */
	unsigned received = 0, unacknowledged = 0;
	int r = send_request(c, f);

	f->tsize = UINT64_MAX;
	f->got_blksize = 512;
	f->got_window = 1;
	f->error_code = -1;
	while (r == 0) {
		long n = tftp_client_recv(c, buf, sizeof(buf),
					  f->patience_ms ? f->patience_ms : PATIENCE_MS);

		if (n == 0)
			return -ETIMEDOUT;
		if (n < header)
			return n < 0 ? (int)n : -EPROTO;
		if (is_lost(f, ++received))
			continue;
		if (buf[1] == 5)
			return take_error(f, buf, n);
		if (buf[1] == 6 && want == 1) {
			read_oack(f, (const char *)buf + 2, (const char *)buf + n);
			r = acknowledge(c, f, 0);
			continue;
		}
		if (buf[1] != 3)
			return -EPROTO;
		if ((unsigned)(buf[2] << 8 | buf[3]) != (want & 0xffff)) {
			f->duplicates++;
			unacknowledged = 0;
			if (f->got_window > 1 && told != want)
				r = acknowledge(c, f, want - 1);
			told = want;
			continue;
		}
		bool last = n - header < f->got_blksize;

		r = append(f, buf + header, (size_t)n - header);
		if (r == 0 && (last || ++unacknowledged >= f->got_window)) {
			unacknowledged = 0;
			r = acknowledge(c, f, want);
		}
		want++;
		if (r == 0 && last)
			return 0;
	}
	return r;
}
