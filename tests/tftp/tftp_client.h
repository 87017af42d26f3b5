/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A TFTP client for tests: raw packets to try a server with, and whole fetches that can lose and
 * repeat what they are told to. Written from the RFCs, with nothing of the server's code.
 */
#ifndef COW_TESTS_TFTP_CLIENT_H
#define COW_TESTS_TFTP_CLIENT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct tftp_client {
	int fd;
	struct sockaddr_in server; /* where requests go */
	struct sockaddr_in tid;	   /* who sent the last packet */
};

/* @source: IPv4 text, NULL: any. Return: 0 or -errno. */
int tftp_client_open(struct tftp_client *c, const char *source, const struct sockaddr_in *server);
/* Likewise. @port: 0: any. @device: the network interface to use; NULL: any. */
int tftp_client_open_at(struct tftp_client *c, const char *source, uint16_t port,
			const char *device, const struct sockaddr_in *server);
void tftp_client_close(struct tftp_client *c);

int tftp_client_request(struct tftp_client *c, const void *pkt, size_t len);
int tftp_client_answer(struct tftp_client *c, const void *pkt, size_t len); /* to the last sender */
int tftp_client_ack(struct tftp_client *c, unsigned block);

/* Return: bytes; 0: nothing came in time; -errno. */
long tftp_client_recv(struct tftp_client *c, void *buf, size_t len, int timeout_ms);

struct tftp_fetch {
	const char *name;
	unsigned blksize; /* 0: do not ask */
	unsigned window;  /* 0: do not ask (RFC 7440) */
	int netascii;	  /* as it comes: CR LF and CR NUL */
	int ask_tsize;
	unsigned lose_data;  /* every Nth packet received is lost, with windows one in N; 0: none */
	unsigned repeat_ack; /* each ACK is sent this many times more */
	int patience_ms;     /* for each packet; 0: long enough for a busy machine */

	uint8_t *data; /* result, free() it */
	size_t size;
	uint64_t tsize; /* as told by the server; UINT64_MAX: it did not */
	unsigned got_blksize, got_window;
	unsigned duplicates; /* DATA that had been received before */
	int error_code;	     /* -1: none */
	char error_text[128];
};

/* Return: 0; -EREMOTEIO the server sent ERROR; -ETIMEDOUT; -EPROTO; -ENOMEM. */
int tftp_client_fetch(struct tftp_client *c, struct tftp_fetch *f);

#endif
