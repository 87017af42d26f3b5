/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What one boot asked for and got: counters, and its last requests by name. One thread.
 */
#ifndef COW_TFTP_RECORD_H
#define COW_TFTP_RECORD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/fields.h"
#include "tftp/address.h"
#include "tftp/limits.h"
#include "tftp/name.h"

#define COW_TFTP_MODEL_LEN 23
#define COW_TFTP_RECORD_NAME_MAX 79 /* of a request's name, its end: prefixes are all alike */

struct cow_tftp_record {
	int64_t start_s; /* wall clock */
	uint64_t start_ms, last_ms;
	bool boot;    /* one of the first names was asked for */
	bool changed; /* since it was last reported */
	char first[32];
	char model[COW_TFTP_MODEL_LEN + 1];
	unsigned model_rank;
	char serial[COW_TFTP_SERIAL_LEN + 1];
	char addr[COW_TFTP_ADDR_TEXT];
	unsigned files, missing, refused, failed; /* failed: given up, by whichever side */
	uint64_t bytes, resends;
	struct cow_tftp_asked
	    *asked; /* ring of the last COW_TFTP_RECORD_REQUESTS not yet reported */
	size_t count, room;
};

void cow_tftp_record_begin(struct cow_tftp_record *r, const char *addr, int64_t now_s,
			   uint64_t now_ms);
void cow_tftp_record_done(struct cow_tftp_record *r);

/* One request and what became of it. @raw: as it was sent. */
struct cow_tftp_outcome_of {
	const char *raw;
	size_t len;
	const char
	    *result; /* static text of one word: "missing", "refused", or how a transfer ended */
	uint64_t size, ms;
	unsigned resends;
};
void cow_tftp_record_add(struct cow_tftp_record *r, const struct cow_tftp_outcome_of *o,
			 uint64_t now_ms);

/* Request @n (from 0) of those not yet reported as a line of words. Return: length; 0: no more. */
int cow_tftp_record_request(const struct cow_tftp_record *r, size_t n, const char *mac,
			    struct cow_fields *line);
/* They were reported. */
void cow_tftp_record_forget(struct cow_tftp_record *r);

/*
 * cow_tftp_model_note - learn from a name which board it is that asks: "rpi-4-b" from its device tree, "rpi-4" from its
 * loader, "pc". @rank: how sure we are, 0 at first. @first: it is the first name of the boot.
 */
void cow_tftp_model_note(char model[COW_TFTP_MODEL_LEN + 1], unsigned *rank, const char *path,
			 bool first);

#endif
