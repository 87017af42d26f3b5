/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * UDP with addresses: the one file that knows socket options. Datagrams tell which of our addresses
 * they were sent to, and answers leave from it, also on a host with many.
 */
#ifndef COW_TFTP_SOCKETS_H
#define COW_TFTP_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tftp/address.h"

struct cow_tftp_datagram {
	const uint8_t *data;
	size_t len; /* of what fits */
	union cow_tftp_addr from;
	struct in6_addr local; /* our address, for the answer; an IPv4 one mapped */
	bool to_us;	       /* sent to that address, not to a broadcast or multicast group */
	bool truncated;
	int ifindex;
};

/* Non-blocking UDP socket bound to @at (port 0: any); one of IPv6 takes nothing of IPv4. Return: fd or -errno. */
int cow_tftp_socket_open(const union cow_tftp_addr *at, int rcvbuf_bytes);

/* What came in by one system call. */
#define COW_TFTP_INBOX 32
struct cow_tftp_inbox {
	struct cow_tftp_datagram datagram[COW_TFTP_INBOX];
	struct cow_tftp_inbox_parts *parts;
};

int cow_tftp_inbox_new(struct cow_tftp_inbox **ret); /* 0, -ENOMEM */
void cow_tftp_inbox_free(struct cow_tftp_inbox *in); /* NULL is fine */

/* Return: how many, good until the next call; -EAGAIN nothing there; -errno. */
int cow_tftp_socket_recv_many(int fd, struct cow_tftp_inbox *in);

enum {
	/* The peer has just answered: its neighbour entry is fresh. Old boot ROMs do not answer ARP
	 * while they load. */
	COW_TFTP_SEND_CONFIRM = 1 << 0,
};
/* Return: 0 or -errno. A datagram that could not be sent is one that was lost. */
int cow_tftp_socket_send(int fd, const void *buf, size_t len, const union cow_tftp_addr *to,
			 const struct in6_addr *local, unsigned flags);

/* Room for the control message that says from which of our addresses a datagram goes. */
#define COW_TFTP_SOURCE_SPACE CMSG_SPACE(sizeof(struct in6_pktinfo))

/*
 * Write that message for a datagram to @to at @c, which is zeroed. Return: the room it takes; 0: @local is
 * in6addr_any, and none is needed.
 */
size_t cow_tftp_socket_source(struct cmsghdr *c, const union cow_tftp_addr *to,
			      const struct in6_addr *local);

/* An IPv4 address of an interface; 0.0.0.0: it has none. @fd: any socket of IPv4. */
struct in_addr cow_tftp_socket_ipv4_of(int fd, int ifindex);

#endif
