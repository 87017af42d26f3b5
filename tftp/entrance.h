/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One address that is listened on: the socket requests come in by, and a fixed pool of sockets for the transfers that
 * begin there. With a single port there is no pool, and the listening socket carries them.
 */
#ifndef COW_TFTP_ENTRANCE_H
#define COW_TFTP_ENTRANCE_H

#include "common/err.h"
#include "sockets.h"
#include "tftp/packet.h"
#include "tftp/server.h"

#define COW_TFTP_POOL 16u
#define COW_TFTP_AT_LISTEN                                                                         \
	COW_TFTP_POOL /* the listening socket, where a place in the pool is wanted */

struct cow_tftp_entrance {
	union cow_tftp_addr bound;
	bool one_address; /* bound to it: what goes out by these sockets comes from nowhere else */
	struct cow_tftp_grants grants; /* what its network carries */
	int listen_fd, pool[COW_TFTP_POOL];
	in_port_t pool_port[COW_TFTP_POOL];
	unsigned pool_size; /* 0: a single port */
	unsigned next_socket;
};

/*
 * cow_tftp_entrance_open - bind. To be closed also when it fails.
 * Return: 0; -EADDRINUSE (exit 4): the port, or all of the range; -errno.
 */
int cow_tftp_entrance_open(struct cow_tftp_entrance *e, const union cow_tftp_addr *listen,
			   const struct cow_tftp_entrances *how, struct cow_err *err);
void cow_tftp_entrance_close(struct cow_tftp_entrance *e);

static inline int cow_tftp_entrance_fd(const struct cow_tftp_entrance *e, unsigned socket)
{
	return socket == COW_TFTP_AT_LISTEN ? e->listen_fd : e->pool[socket];
}

/* The socket the next answer goes by. */
static inline unsigned cow_tftp_entrance_next(const struct cow_tftp_entrance *e)
{
	return e->pool_size ? e->next_socket : COW_TFTP_AT_LISTEN;
}

static inline void cow_tftp_entrance_turn(struct cow_tftp_entrance *e)
{
	if (e->pool_size)
		e->next_socket = (e->next_socket + 1) % e->pool_size;
}

#endif
