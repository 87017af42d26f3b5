/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Who is being served: one slot per peer (address and port), found by hash. One thread owns it.
 *
 * A peer has one transfer at a time: a new request from its port replaces the old one. The socket a
 * slot answers from is part of its identity on the wire (TID), so replacing one takes another
 * socket and late packets of the old transfer do not reach the new.
 */
#ifndef COW_TFTP_TABLE_H
#define COW_TFTP_TABLE_H

#include <stdint.h>

#include "tftp/address.h"
#include "tftp/packet.h"
#include "tftp/transfer.h"
#include "timers.h"

struct cow_tftp_peer {
	struct in6_addr addr; /* an IPv4 one mapped */
	uint32_t scope;	      /* interface of a link-local one */
	in_port_t port;	      /* network order */
};

struct cow_tftp_slot {
	struct cow_tftp_slot *next; /* in its bucket */
	struct cow_tftp_timer timer;
	struct cow_tftp_peer peer;
	struct in6_addr local; /* the address the request was sent to: answers come from it */
	unsigned entrance;     /* the listening socket it came in by */
	unsigned socket;       /* of that one's, which answers leave by */
	struct cow_tftp_request request;
	uint64_t ticket; /* of its content, see cow_tftp_ended */
	struct cow_tftp_transfer transfer;
};

struct cow_tftp_table {
	struct cow_tftp_slot **buckets;
	uint64_t seed;
	size_t count;
};

/* Slots: those on the move and those that dally for three seconds. */
#define COW_TFTP_SLOTS_MAX (4ul * COW_TFTP_TRANSFERS_MAX)

int cow_tftp_table_init(struct cow_tftp_table *tb, uint64_t seed); /* 0, -ENOMEM */
void cow_tftp_table_done(struct cow_tftp_table *tb);		   /* of an empty table */

struct cow_tftp_slot *cow_tftp_table_find(const struct cow_tftp_table *tb,
					  const struct cow_tftp_peer *peer);

/* A zeroed slot for a peer that has none. NULL: out of memory or COW_TFTP_SLOTS_MAX. */
struct cow_tftp_slot *cow_tftp_table_add(struct cow_tftp_table *tb,
					 const struct cow_tftp_peer *peer);

/* Unlinks and frees; the transfer and timer must be done with. */
void cow_tftp_table_remove(struct cow_tftp_table *tb, struct cow_tftp_slot *s);

/* Any slot; NULL: empty. For taking everything down. */
struct cow_tftp_slot *cow_tftp_table_any(const struct cow_tftp_table *tb);

#endif
