/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * UDP with addresses: the one file that knows socket options. Datagrams tell which of our addresses
 * they were sent to, and answers leave from it, also on a host with many.
 */
#ifndef COW_TFTP_SOCKETS_H
#define COW_TFTP_SOCKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cow_tftp_datagram {
	struct sockaddr_in from;
	struct in_addr local; /* our address, for the answer */
	bool to_us;	      /* sent to that address, not to a broadcast or multicast group */
	bool truncated;
	int ifindex;
};

/* Non-blocking UDP socket bound to @at (port 0: any). Return: fd or -errno. */
int cow_tftp_socket_open(const struct sockaddr_in *at, int rcvbuf_bytes);

/* Return: bytes; -EAGAIN nothing there; -errno. */
ssize_t cow_tftp_socket_recv(int fd, void *buf, size_t len, struct cow_tftp_datagram *ret);

enum {
	/* The peer has just answered: its neighbour entry is fresh. Old boot ROMs do not answer ARP
	 * while they load. */
	COW_TFTP_SEND_CONFIRM = 1 << 0,
};
/* Return: 0 or -errno. A datagram that could not be sent is one that was lost. */
int cow_tftp_socket_send(int fd, const void *buf, size_t len, const struct sockaddr_in *to,
			 struct in_addr local, unsigned flags);

#endif
