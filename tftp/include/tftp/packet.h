/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * TFTP packets as bytes: requests are parsed into values, answers are built from values. Pure
 * functions over counted memory; no socket, no file, no clock. RFC 1350, 2347, 2348, 2349, 7440.
 *
 *	RRQ, WRQ  op be16 | name NUL | mode NUL | (option NUL value NUL)*
 *	DATA      op be16 | block be16 | 0..blksize bytes; fewer than blksize: the last one
 *	ACK       op be16 | block be16
 *	ERROR     op be16 | code be16 | text NUL
 *	OACK      op be16 | (option NUL value NUL)*
 */
#ifndef COW_TFTP_PACKET_H
#define COW_TFTP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "tftp/limits.h"

enum cow_tftp_op {
	COW_TFTP_RRQ = 1,
	COW_TFTP_WRQ = 2,
	COW_TFTP_DATA = 3,
	COW_TFTP_ACK = 4,
	COW_TFTP_ERROR = 5,
	COW_TFTP_OACK = 6,
};

enum cow_tftp_code {
	COW_TFTP_E_UNDEFINED = 0,
	COW_TFTP_E_NOT_FOUND = 1,
	COW_TFTP_E_ACCESS = 2,
	COW_TFTP_E_ILLEGAL = 4,
	COW_TFTP_E_UNKNOWN_TID = 5,
};

enum cow_tftp_option {
	COW_TFTP_OPT_TSIZE,
	COW_TFTP_OPT_BLKSIZE,
	COW_TFTP_OPT_TIMEOUT,
	COW_TFTP_OPT_UTIMEOUT,	 /* microseconds; no RFC, tftp-hpa */
	COW_TFTP_OPT_WINDOWSIZE, /* RFC 7440 */
	COW_TFTP_OPT_ROLLOVER,	 /* block after 65535: 0 or 1; no RFC */
	COW_TFTP_OPT_MAX_,
};

enum cow_tftp_mode {
	COW_TFTP_OCTET,
	COW_TFTP_NETASCII,
};

/* A read request. Options: those we know, in the order asked, each at most once (the first counts),
 * only with an acceptable value. Two requests are the same when all bytes of this are. */
struct cow_tftp_request {
	char name[COW_TFTP_NAME_MAX + 1];
	size_t name_len;
	uint32_t mode; /* enum cow_tftp_mode, fixed width like `option` */
	uint32_t noptions;
	struct {
		uint32_t
		    option; /* enum cow_tftp_option, fixed width: no padding in the comparison */
		uint32_t pad_;
		uint64_t value;
	} options[COW_TFTP_OPT_MAX_];
};

/*
 * cow_tftp_request_parse - what follows the opcode of an RRQ.
 * A bad option value leaves the option out: an error would stop boot ROMs (RFC 2347 allows both).
 * Option values may be empty; the last value may lack its NUL; an empty option name ends the list.
 * Return: 0; -EBADMSG name or mode missing or unterminated; -ENAMETOOLONG; -EPROTONOSUPPORT a mode
 * that is neither octet nor netascii.
 */
int cow_tftp_request_parse(struct cow_span body, struct cow_tftp_request *ret);
bool cow_tftp_request_same(const struct cow_tftp_request *a, const struct cow_tftp_request *b);

/* What both sides agreed on. */
struct cow_tftp_terms {
	uint16_t blksize;
	uint16_t window;     /* blocks per acknowledgement; 1: lock-step */
	uint16_t rollover;   /* block number after 65535 */
	unsigned timeout_ms; /* 0: not asked for */
	uint8_t oack[COW_TFTP_OACK_MAX];
	size_t oack_len; /* 0: no option granted, DATA 1 comes first */
};

/* What we grant at most. */
struct cow_tftp_grants {
	uint16_t blksize; /* what the path carries unfragmented */
	uint16_t window;  /* 1: no windows */
	bool utimeout;
};

/* Never grants more than asked. Netascii has neither a size nor windows: the option is left out. */
void cow_tftp_negotiate(const struct cow_tftp_request *rq, uint64_t size,
			const struct cow_tftp_grants *most, struct cow_tftp_terms *ret);

/* @buf has COW_TFTP_ERROR_MAX bytes; @text is cut to fit. Return: length. */
size_t cow_tftp_build_error(uint8_t *buf, enum cow_tftp_code code, const char *text);

static inline void cow_tftp_put_header(uint8_t *buf, enum cow_tftp_op op, uint16_t value)
{
	buf[0] = 0;
	buf[1] = (uint8_t)op;
	buf[2] = (uint8_t)(value >> 8);
	buf[3] = (uint8_t)value;
}
#define COW_TFTP_HEADER_LEN 4

/* The one place where errno becomes protocol. *ret_text is short, fixed and names no path. */
enum cow_tftp_code cow_tftp_code_of(int r, const char **ret_text);

#endif
