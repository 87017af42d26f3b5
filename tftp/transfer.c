/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The lock-step state machine: see tftp/transfer.h.
 */
#include "tftp/transfer.h"

#include <errno.h>
#include <string.h>

/*
 * Times. Old Raspberry Pi loaders hang on a repeated DATA block, so the first resend waits a whole
 * second; it doubles from there. Before the peer's first answer its address may be forged: three
 * resends at most, so that we are no amplifier.
 */
#define RTO_FIRST_MS 1000u
#define RTO_MAX_MS 8000u
#define TRIES_MAX 6u
#define TRIES_UNCONFIRMED 3u
#define TRIES_LAST_BLOCK 3u /* its ACK may never come: the client has all it wants */
#define STALL_MAX_MS 60000u
#define DALLY_MS 3000u

static void end(struct cow_tftp_transfer *t, enum cow_tftp_state state, enum cow_tftp_outcome why,
		uint64_t now_ms)
{
	t->state = state;
	t->outcome = why;
	t->deadline_ms = now_ms + (state == COW_TFTP_DALLY ? DALLY_MS : 0);
	cow_tftp_content_free(t->content);
	t->content = NULL;
}

static void end_with_error(struct cow_tftp_transfer *t, enum cow_tftp_outcome why, const char *text,
			   uint64_t now_ms, struct cow_tftp_out *out)
{
	out->len = cow_tftp_build_error(out->buf, COW_TFTP_E_UNDEFINED, text);
	end(t, COW_TFTP_OVER, why, now_ms);
}

static unsigned first_rto(const struct cow_tftp_transfer *t)
{
	return t->terms.timeout_s ? t->terms.timeout_s * 1000 : RTO_FIRST_MS;
}

/* Build what is in flight: the OACK or a DATA block, read afresh also when it is a resend. */
static void emit(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out)
{
	if (t->state == COW_TFTP_OFFER) {
		memcpy(out->buf, t->terms.oack, t->terms.oack_len);
		out->len = t->terms.oack_len;
	} else {
		uint64_t off = (t->block - 1) * t->terms.blksize;
		uint64_t left = t->size - off;
		size_t len = left < t->terms.blksize ? (size_t)left : t->terms.blksize;

		if (len &&
		    t->content->read(t->content, out->buf + COW_TFTP_HEADER_LEN, len, off) < 0) {
			end_with_error(t, COW_TFTP_UNREADABLE, "File changed or unreadable", now_ms,
				       out);
			return;
		}
		cow_tftp_put_header(out->buf, COW_TFTP_DATA, (uint16_t)t->block);
		out->len = COW_TFTP_HEADER_LEN + len;
	}
	t->deadline_ms = now_ms + t->rto_ms;
}

static void emit_block(struct cow_tftp_transfer *t, uint64_t block, uint64_t now_ms,
		       struct cow_tftp_out *out)
{
	t->state = COW_TFTP_SENDING;
	t->block = block;
	t->tries = 0;
	t->rto_ms = first_rto(t);
	t->progress_ms = now_ms;
	emit(t, now_ms, out);
}

void cow_tftp_transfer_start(struct cow_tftp_transfer *t, const struct cow_tftp_terms *terms,
			     struct cow_tftp_content *content, uint64_t now_ms,
			     struct cow_tftp_out *out)
{
	*t = (struct cow_tftp_transfer){
	    .terms = *terms,
	    .content = content,
	    .size = content->size,
	    /* A multiple of the block size ends with an empty block (RFC 1350 section 6). */
	    .last_block = content->size / terms->blksize + 1,
	    .started_ms = now_ms,
	};
	out->len = 0;
	if (terms->oack_len == 0) {
		emit_block(t, 1, now_ms, out);
		return;
	}
	t->state = COW_TFTP_OFFER;
	t->rto_ms = first_rto(t);
	t->progress_ms = now_ms;
	emit(t, now_ms, out);
}

static void take_ack(struct cow_tftp_transfer *t, uint16_t ack, uint64_t now_ms,
		     struct cow_tftp_out *out)
{
	/* Distance on the 16-bit circle from the block in flight: rollover goes to 0. */
	int16_t ahead = (int16_t)(uint16_t)(ack - (uint16_t)t->block);

	if (ahead < 0)
		return; /* duplicate or late (T2) */
	if (ahead > 0) {
		/* Never accepted as progress: a client that is ahead of us has lost data. */
		end_with_error(t, COW_TFTP_CONFUSED, "Block not sent yet", now_ms, out);
		return;
	}
	t->confirmed = true;
	if (t->block == t->last_block)
		end(t, COW_TFTP_DALLY, COW_TFTP_DELIVERED, now_ms);
	else
		emit_block(t, t->block + 1, now_ms, out);
}

void cow_tftp_transfer_packet(struct cow_tftp_transfer *t, struct cow_span pkt, uint64_t now_ms,
			      struct cow_tftp_out *out)
{
	uint16_t op, value;

	out->len = 0;
	if (t->state != COW_TFTP_OFFER && t->state != COW_TFTP_SENDING)
		return; /* T4 */
	if (!cow_span_be16(&pkt, &op) || !cow_span_be16(&pkt, &value))
		return;
	if (op == COW_TFTP_ERROR) /* never answered (RFC 1350 section 7) */
		end(t, COW_TFTP_OVER, COW_TFTP_ABORTED, now_ms);
	else if (op == COW_TFTP_ACK)
		take_ack(t, value, now_ms, out);
}

bool cow_tftp_transfer_repeat(struct cow_tftp_transfer *t, uint64_t now_ms,
			      struct cow_tftp_out *out)
{
	out->len = 0;
	if (t->state != COW_TFTP_OFFER && t->state != COW_TFTP_SENDING)
		return false;
	if (!t->confirmed) { /* our first packet was lost, or their patience is short */
		t->resends++;
		emit(t, now_ms, out);
		return true;
	}
	/* In the middle: a copy of the request that wandered, unless nothing has moved for a while.
	 */
	return now_ms - t->progress_ms < RTO_FIRST_MS;
}

static unsigned tries_allowed(const struct cow_tftp_transfer *t)
{
	if (!t->confirmed)
		return TRIES_UNCONFIRMED;
	return t->state == COW_TFTP_SENDING && t->block == t->last_block ? TRIES_LAST_BLOCK
									 : TRIES_MAX;
}

static bool stalled(const struct cow_tftp_transfer *t, uint64_t now_ms)
{
	uint64_t patience = 3ull * first_rto(t);

	if (patience < STALL_MAX_MS)
		patience = STALL_MAX_MS;
	return now_ms - t->progress_ms >= patience;
}

void cow_tftp_transfer_tick(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out)
{
	out->len = 0;
	if (t->state == COW_TFTP_OVER || now_ms < t->deadline_ms)
		return;
	if (t->state == COW_TFTP_DALLY) {
		t->state = COW_TFTP_OVER;
		return;
	}
	if (t->tries >= tries_allowed(t) || stalled(t, now_ms)) {
		bool all_but_last =
		    t->confirmed && t->state == COW_TFTP_SENDING && t->block == t->last_block;

		end(t, COW_TFTP_OVER, all_but_last ? COW_TFTP_DELIVERED : COW_TFTP_TIMED_OUT,
		    now_ms);
		return;
	}
	t->tries++;
	t->resends++;
	if (t->rto_ms < RTO_MAX_MS)
		t->rto_ms = t->rto_ms * 2 < RTO_MAX_MS ? t->rto_ms * 2 : RTO_MAX_MS;
	emit(t, now_ms, out);
}

void cow_tftp_transfer_done(struct cow_tftp_transfer *t)
{
	cow_tftp_content_free(t->content);
	t->content = NULL;
	t->state = COW_TFTP_OVER;
}

const char *cow_tftp_outcome_name(enum cow_tftp_outcome o)
{
	static const char *const names[] = {
	    [COW_TFTP_PENDING] = "pending",   [COW_TFTP_DELIVERED] = "delivered",
	    [COW_TFTP_ABORTED] = "aborted",   [COW_TFTP_TIMED_OUT] = "timed-out",
	    [COW_TFTP_CONFUSED] = "confused", [COW_TFTP_UNREADABLE] = "unreadable",
	};

	return (size_t)o < sizeof(names) / sizeof(names[0]) ? names[o] : "?";
}
