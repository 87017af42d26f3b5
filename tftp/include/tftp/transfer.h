/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One file on its way to one client, in lock-step (RFC 1350 section 2) or by windows (RFC 7440): a
 * state machine that is fed packets and time and says what to send. It knows no socket and reads no
 * clock.
 *
 *	start --options--> OFFER --ACK 0--> SENDING --ACK of the last block--> DALLY --3 s--> OVER
 *	      \--none---------------------/
 *	any live state --ERROR, time-out, unreadable content--> OVER
 *
 * Block numbers are 64 bits inside; the 16 on the wire roll over to 0, or to 1 where that was asked.
 * A window is never made smaller than agreed: its receiver acknowledges when it is full, and would
 * wait for a time-out.
 *
 * Invariants (the tests name them)
 *	T1  a packet from the client causes at most one packet from us, or one window
 *	T2  a duplicate ACK causes none (no sorcerer's apprentice, RFC 1123 4.2.3.1); with windows it
 *	    says that the next block was lost, and causes one window in the time an answer takes
 *	T3  a block is resent only because its time ran out, the client said that it was lost, or the
 *	    same request came again
 *	T4  nothing is sent once the transfer is over or everything was delivered
 *	T5  without any packet from the client the transfer ends by itself
 */
#ifndef COW_TFTP_TRANSFER_H
#define COW_TFTP_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tftp/content.h"
#include "tftp/packet.h"

enum cow_tftp_state {
	COW_TFTP_OFFER,	  /* OACK is out, ACK 0 is due */
	COW_TFTP_SENDING, /* DATA `next` to `sent` are out, an ACK is due */
	COW_TFTP_DALLY,	  /* all delivered; late packets are swallowed */
	COW_TFTP_OVER,
};

enum cow_tftp_outcome {
	COW_TFTP_PENDING,
	COW_TFTP_DELIVERED,
	COW_TFTP_ABORTED, /* the client sent ERROR: how boards end a size probe */
	COW_TFTP_TIMED_OUT,
	COW_TFTP_CONFUSED, /* the client acknowledged what was never sent */
	COW_TFTP_UNREADABLE,
};

struct cow_tftp_transfer {
	enum cow_tftp_state state;
	enum cow_tftp_outcome outcome;
	uint64_t deadline_ms; /* call cow_tftp_transfer_tick() then */

	struct cow_tftp_terms terms;
	struct cow_tftp_content *content; /* owned; given back as soon as it is not needed */
	uint64_t size;
	uint64_t next; /* first block without ACK; 0: the OACK */
	uint64_t sent; /* last block in flight */
	uint64_t last_block;
	uint64_t progress_ms, started_ms;
	uint64_t window_ms; /* when `next` to `sent` were sent */
	unsigned rto_ms, tries, resends;
	unsigned answer_ms; /* how long the client takes, smoothed; see rto() */
	bool timed;	    /* answer_ms is known */
	bool crowded;	    /* of `next` to `sent`, something else is on its way too */
	bool repeated;	    /* some of `next` to `sent` went more than once */
	bool confirmed;	    /* the peer has answered: its address is no forgery */
};

/* What to send: @len bytes of @buf, which has COW_TFTP_PACKET_MAX; or blocks @first and @count - 1 more, to be
 * had from cow_tftp_transfer_block(); or nothing. */
struct cow_tftp_out {
	uint8_t *buf;
	size_t len;
	uint64_t first;
	unsigned count;
};

/*
 * cow_tftp_transfer_block - a DATA packet of this transfer in @buf (blksize and COW_TFTP_HEADER_LEN bytes).
 * Return: its length; -errno the content cannot be read, see cow_tftp_transfer_broken().
 */
ssize_t cow_tftp_transfer_block(struct cow_tftp_transfer *t, uint64_t block, uint8_t *buf);

/* A block could not be had: over, with an ERROR in @out. */
void cow_tftp_transfer_broken(struct cow_tftp_transfer *t, uint64_t now_ms,
			      struct cow_tftp_out *out);

/* Takes over @content. Builds the first packet. */
void cow_tftp_transfer_start(struct cow_tftp_transfer *t, const struct cow_tftp_terms *terms,
			     struct cow_tftp_content *content, uint64_t now_ms,
			     struct cow_tftp_out *out);

/* A packet from the peer on this transfer's port. */
void cow_tftp_transfer_packet(struct cow_tftp_transfer *t, struct cow_span pkt, uint64_t now_ms,
			      struct cow_tftp_out *out);

/*
 * cow_tftp_transfer_repeat - the same request came again from the same port.
 * Return: true: answered here, or to be ignored; false: the client has begun anew (it was reset in
 * the middle, or fetches the file again from the same port), start a new transfer.
 */
bool cow_tftp_transfer_repeat(struct cow_tftp_transfer *t, uint64_t now_ms,
			      struct cow_tftp_out *out);

/* The deadline has passed. */
void cow_tftp_transfer_tick(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out);

/* Gives the content back; the struct itself is the caller's. */
void cow_tftp_transfer_done(struct cow_tftp_transfer *t);

const char *cow_tftp_outcome_name(enum cow_tftp_outcome o);

#endif
