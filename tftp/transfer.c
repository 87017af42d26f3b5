/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The state machine of a transfer: see tftp/transfer.h.
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
#define TRIES_LAST_BLOCK 3u	/* its ACK may never come: the client has all it wants */
#define LAST_BLOCK_MIN_MS 3000u /* short time-outs use up their tries in no time */
#define PATIENCE_MIN_MS 30000u
#define STALL_MAX_MS 60000u
#define DALLY_MS 3000u
/* Clients that ask for windows or a time-out are none of these, and lose less when a resend comes as
 * soon as the answer is late. */
#define RTO_MEASURED_MIN_MS 100u
#define NACK_REST_MIN_MS 5u /* the clock's step is 1 */

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
	out->count = 0;
	out->len = cow_tftp_build_error(out->buf, COW_TFTP_E_UNDEFINED, text);
	end(t, COW_TFTP_OVER, why, now_ms);
}

static unsigned first_rto(const struct cow_tftp_transfer *t)
{
	unsigned most = t->terms.timeout_ms ? t->terms.timeout_ms : RTO_FIRST_MS;
	unsigned late =
	    t->answer_ms * 4 > RTO_MEASURED_MIN_MS ? t->answer_ms * 4 : RTO_MEASURED_MIN_MS;

	if (!t->timed || (!t->terms.timeout_ms && t->terms.window == 1) || late > most)
		return most;
	return late;
}

/* The number of a block on the wire. */
static uint16_t wire(const struct cow_tftp_transfer *t, uint64_t block)
{
	if (t->terms.rollover == 0 || block == 0)
		return (uint16_t)block;
	return (uint16_t)((block - 1) % UINT16_MAX + 1);
}

ssize_t cow_tftp_transfer_block(struct cow_tftp_transfer *t, uint64_t block, uint8_t *buf)
{
	uint64_t off = (block - 1) * t->terms.blksize;
	uint64_t left = t->size - off;
	size_t len = left < t->terms.blksize ? (size_t)left : t->terms.blksize;

	if (len > 0) {
		int r = t->content->read(t->content, buf + COW_TFTP_HEADER_LEN, len, off);

		if (r < 0)
			return r;
	}
	cow_tftp_put_header(buf, COW_TFTP_DATA, wire(t, block));
	return (ssize_t)(COW_TFTP_HEADER_LEN + len);
}

void cow_tftp_transfer_broken(struct cow_tftp_transfer *t, uint64_t now_ms,
			      struct cow_tftp_out *out)
{
	end_with_error(t, COW_TFTP_UNREADABLE, "File changed or unreadable", now_ms, out);
}

/* What is in flight, for the first time or again: the OACK or DATA blocks. */
static void emit(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out)
{
	if (t->state == COW_TFTP_OFFER) {
		memcpy(out->buf, t->terms.oack, t->terms.oack_len);
		out->len = t->terms.oack_len;
	} else {
		out->first = t->next;
		out->count = (unsigned)(t->sent - t->next + 1);
	}
	t->window_ms = now_ms;
	t->deadline_ms = now_ms + t->rto_ms;
}

/* A window that begins with @block; all before it is delivered. */
static void emit_window(struct cow_tftp_transfer *t, uint64_t block, uint64_t now_ms,
			struct cow_tftp_out *out)
{
	uint64_t left = t->last_block - block;

	t->state = COW_TFTP_SENDING;
	t->next = block;
	t->sent = block + (left < t->terms.window - 1u ? left : t->terms.window - 1u);
	t->tries = 0;
	t->rto_ms = first_rto(t);
	t->progress_ms = now_ms;
	emit(t, now_ms, out);
}

/* All that is in flight, once more. */
static void again(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out)
{
	t->tries++;
	t->resends += (unsigned)(t->sent - t->next + 1);
	t->crowded = true;
	t->repeated = true;
	emit(t, now_ms, out);
}

static void nothing(struct cow_tftp_out *out)
{
	out->len = 0;
	out->count = 0;
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
	nothing(out);
	if (terms->oack_len == 0) {
		emit_window(t, 1, now_ms, out);
		return;
	}
	t->state = COW_TFTP_OFFER;
	t->rto_ms = first_rto(t);
	t->progress_ms = now_ms;
	emit(t, now_ms, out);
}

/* How long the answer took; one to something that was sent again tells nothing (Karn). */
static void measure(struct cow_tftp_transfer *t, uint64_t now_ms)
{
	unsigned took =
	    now_ms - t->window_ms < RTO_MAX_MS ? (unsigned)(now_ms - t->window_ms) : RTO_MAX_MS;

	if (t->tries > 0)
		return;
	t->answer_ms = t->timed ? (7 * t->answer_ms + took) / 8 : took;
	t->timed = true;
}

/* Something else than the last window is on its way, and what comes in now may be an answer to it. */
static bool may_be_older(const struct cow_tftp_transfer *t, uint64_t now_ms)
{
	unsigned rest = t->answer_ms > NACK_REST_MIN_MS ? t->answer_ms : NACK_REST_MIN_MS;

	return t->crowded && now_ms - t->window_ms < rest;
}

/*
 * With windows, the block after the one acknowledged last was lost. Who says so is believed at once when
 * nothing but one window was on its way; else it may be about what was sent before, and has to come
 * later than an answer takes.
 */
static void take_nack(struct cow_tftp_transfer *t, uint64_t now_ms, struct cow_tftp_out *out)
{
	if (t->terms.window == 1 || t->state != COW_TFTP_SENDING || may_be_older(t, now_ms))
		return;
	again(t, now_ms, out);
}

/*
 * With windows, a part of one was acknowledged: the rest was lost, and a window follows from there. Where that may be about what was
 * sent before, the rest is on its way, and only what is new follows: else it comes twice, is acknowledged
 * twice, and so on to the end.
 */
static void take_part(struct cow_tftp_transfer *t, uint64_t k, uint64_t now_ms,
		      struct cow_tftp_out *out)
{
	uint64_t sent = t->sent;
	bool older = may_be_older(t, now_ms);

	emit_window(t, k + 1, now_ms, out);
	if (older) {
		out->first = sent + 1;
		out->count = (unsigned)(t->sent - sent);
	} else {
		t->resends += (unsigned)(sent - k);
	}
	t->crowded = true;
	t->repeated = true;
}

/* The block in flight, or the one before, that has this number. Return: false: none has. */
static bool find_acked(const struct cow_tftp_transfer *t, uint16_t ack, uint64_t *ret)
{
	/* The one before the OACK has none. */
	for (uint64_t k = t->next > 0 ? t->next - 1 : 0; k <= t->sent; k++) {
		if (wire(t, k) == ack) {
			*ret = k;
			return true;
		}
	}
	return false;
}

static void take_ack(struct cow_tftp_transfer *t, uint16_t ack, uint64_t now_ms,
		     struct cow_tftp_out *out)
{
	uint64_t k;

	if (!find_acked(t, ack, &k)) {
		/* Never accepted as progress: a client that is ahead of us has lost data. */
		if (t->terms.window == 1 && (int16_t)(uint16_t)(ack - wire(t, t->next)) > 0)
			end_with_error(t, COW_TFTP_CONFUSED, "Block not sent yet", now_ms, out);
		return;
	}
	if (k < t->next) {
		take_nack(t, now_ms, out);
		return;
	}
	t->confirmed = true;
	if (k < t->sent) {
		take_part(t, k, now_ms, out);
		return;
	}
	measure(t, now_ms);
	/* What went twice is acknowledged twice, the second time after this. */
	t->crowded = t->repeated;
	t->repeated = false;
	if (k == t->last_block)
		end(t, COW_TFTP_DALLY, COW_TFTP_DELIVERED, now_ms);
	else
		emit_window(t, k + 1, now_ms, out);
}

void cow_tftp_transfer_packet(struct cow_tftp_transfer *t, struct cow_span pkt, uint64_t now_ms,
			      struct cow_tftp_out *out)
{
	uint16_t op, value;

	nothing(out);
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
	nothing(out);
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

/* All but the last block has been acknowledged. */
static bool at_last_block(const struct cow_tftp_transfer *t)
{
	return t->state == COW_TFTP_SENDING && t->next == t->last_block;
}

/* Enough tries, over enough time. An address that may be forged gets no more than its few packets. */
static bool exhausted(const struct cow_tftp_transfer *t, uint64_t now_ms)
{
	uint64_t since = now_ms - t->progress_ms;

	if (!t->confirmed)
		return t->tries >= TRIES_UNCONFIRMED;
	if (at_last_block(t))
		return t->tries >= TRIES_LAST_BLOCK && since >= LAST_BLOCK_MIN_MS;
	return t->tries >= TRIES_MAX && since >= PATIENCE_MIN_MS;
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
	nothing(out);
	if (t->state == COW_TFTP_OVER || now_ms < t->deadline_ms)
		return;
	if (t->state == COW_TFTP_DALLY) {
		t->state = COW_TFTP_OVER;
		return;
	}
	if (exhausted(t, now_ms) || stalled(t, now_ms)) {
		bool all_but_last = t->confirmed && at_last_block(t);

		end(t, COW_TFTP_OVER, all_but_last ? COW_TFTP_DELIVERED : COW_TFTP_TIMED_OUT,
		    now_ms);
		return;
	}
	if (t->rto_ms < RTO_MAX_MS)
		t->rto_ms = t->rto_ms * 2 < RTO_MAX_MS ? t->rto_ms * 2 : RTO_MAX_MS;
	again(t, now_ms, out);
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
