/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Packets on their way out: gathered while a batch of datagrams is worked on, sent by as few system calls
 * as can be. A window of blocks is one message that the kernel cuts up (UDP_SEGMENT, udp(7)) where it can.
 * A packet that could not be sent is one that was lost. One thread.
 */
#ifndef COW_TFTP_OUTBOX_H
#define COW_TFTP_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sockets.h"

struct cow_tftp_outbox;

int cow_tftp_outbox_new(struct cow_tftp_outbox **ret); /* 0, -ENOMEM */
void cow_tftp_outbox_free(struct cow_tftp_outbox *o);  /* NULL is fine; what is in it is not sent */

/* To whom, and how, the next packets go. */
struct cow_tftp_route {
	int fd;
	union cow_tftp_addr to;
	struct in6_addr local; /* in6addr_any: the one the socket is bound to */
	unsigned flags;	       /* COW_TFTP_SEND_* */
};

/* Room for one packet of COW_TFTP_PACKET_MAX bytes, until the next call. Never NULL: makes room by sending. */
uint8_t *cow_tftp_outbox_room(struct cow_tftp_outbox *o);

/*
 * cow_tftp_outbox_add - what stands in the room now, @len bytes, is a packet.
 * @more: it is one of a window, and another follows. All of them but the last have one length.
 */
void cow_tftp_outbox_add(struct cow_tftp_outbox *o, const struct cow_tftp_route *route, size_t len,
			 bool more);

/* Send all. */
void cow_tftp_outbox_flush(struct cow_tftp_outbox *o);

#endif
