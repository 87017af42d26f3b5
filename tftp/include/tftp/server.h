/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The network side of the TFTP server: sockets, transfers, limits, one epoll loop in one thread.
 * What a name means is asked of a resolver; the server knows no file, client or store.
 */
#ifndef COW_TFTP_SERVER_H
#define COW_TFTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "tftp/address.h"
#include "tftp/content.h"

/* Who asks, as far as the network tells. */
struct cow_tftp_who {
	struct in_addr addr;   /* source of the request; 0.0.0.0: it came over IPv6 */
	struct in6_addr addr6; /* source; an IPv4 one mapped */
	struct in_addr local;  /* ours it was sent to; over IPv6: one of that interface, if any */
	int ifindex;	       /* interface it came in by */
	uint64_t now_ms;
};

/* A transfer that is over. */
struct cow_tftp_ended {
	uint64_t ticket;  /* of the content */
	const char *name; /* as requested */
	size_t name_len;
	const char *result; /* one word, static */
	uint64_t size, ms, now_ms;
	unsigned resends;
};

struct cow_tftp_resolver {
	/*
	 * open - content of a requested name (raw bytes as sent, no NUL inside).
	 * Must not wait for anything but the local disk. Ownership: the server frees *ret.
	 * Return: 0; -EINPROGRESS there is no answer yet, the client will ask again; -errno, which becomes an ERROR by cow_tftp_code_of().
	 */
	int (*open)(void *ctx, const struct cow_tftp_who *who, const char *name, size_t len,
		    struct cow_tftp_content **ret);
	/* A transfer of what open() gave is over, however it ended; may be NULL. */
	void (*ended)(void *ctx, const struct cow_tftp_ended *e);
	/* About once a second, for house-keeping; may be NULL. */
	void (*tick)(void *ctx, uint64_t now_ms);
	void *ctx;
};

struct cow_tftp_stats {
	uint64_t requests, malformed, refused,
	    limited; /* refused: answered by ERROR; limited: dropped */
	uint64_t delivered, aborted, timed_out, failed;
	uint64_t bytes, resends, stray;
};

struct cow_tftp_server;

#define COW_TFTP_LISTEN_MAX 8 /* addresses of one host that boot machines */

/* Where and how. Port 0: a free one, see cow_tftp_server_port(). */
struct cow_tftp_entrances {
	union cow_tftp_addr listen[COW_TFTP_LISTEN_MAX];
	unsigned count;
	bool single_port;		/* transfers run on the port they were asked for at */
	uint16_t port_first, port_last; /* else on these; 0: any */
	bool utimeout;			/* grant that option */
};

/*
 * cow_tftp_server_new - bind.
 * Return: 0; -EADDRINUSE (exit 4): the port, or all of the range; -EADDRNOTAVAIL; -EACCES; -ENOMEM.
 */
int cow_tftp_server_new(const struct cow_tftp_entrances *at,
			const struct cow_tftp_resolver *resolver, struct cow_tftp_server **ret,
			struct cow_err *err);
void cow_tftp_server_free(struct cow_tftp_server *s); /* NULL is fine */

/* Of the first address. */
uint16_t cow_tftp_server_port(const struct cow_tftp_server *s);

/* Serve until @stop_fd is readable. Transfers still running are told by an ERROR. Return: 0,
 * -errno. */
int cow_tftp_server_run(struct cow_tftp_server *s, int stop_fd);

/* Same thread as run, or after it. */
void cow_tftp_server_stats(const struct cow_tftp_server *s, struct cow_tftp_stats *ret);

#endif
