/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Requests in, option acknowledgements and errors out: see tftp/packet.h.
 */
#include "tftp/packet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/checked.h"

static const struct {
	const char *name;  /* as sent in the OACK; GRUB compares case-sensitively */
	uint64_t min, max; /* of an acceptable value */
} known_options[COW_TFTP_OPT_MAX_] = {
    [COW_TFTP_OPT_TSIZE] = {"tsize", 0, UINT64_MAX},
    /* More than we grant is acceptable: the answer is smaller (RFC 2348). */
    [COW_TFTP_OPT_BLKSIZE] = {"blksize", COW_TFTP_BLKSIZE_MIN, COW_TFTP_BLKSIZE_MAX},
    [COW_TFTP_OPT_TIMEOUT] = {"timeout", 1, COW_TFTP_TIMEOUT_MAX_S},
    [COW_TFTP_OPT_UTIMEOUT] = {"utimeout", COW_TFTP_UTIMEOUT_MIN,
			       COW_TFTP_TIMEOUT_MAX_S * 1000000ull},
    [COW_TFTP_OPT_WINDOWSIZE] = {"windowsize", 1, COW_TFTP_WINDOW_ASKED_MAX},
    [COW_TFTP_OPT_ROLLOVER] = {"rollover", 0, 1},
};

static int find_option(const char *name, size_t len)
{
	for (int i = 0; i < COW_TFTP_OPT_MAX_; i++) {
		if (strlen(known_options[i].name) == len &&
		    strncasecmp(known_options[i].name, name, len) == 0)
			return i;
	}
	return -ENOENT;
}

/* The last value of a packet may lack its NUL; senders that cut it off exist. */
static bool take_value(struct cow_span *s, const char **ret, size_t *ret_len)
{
	if (cow_span_cstr(s, ret, ret_len))
		return true;
	if (s->len == 0)
		return false;
	*ret = (const char *)s->p;
	*ret_len = s->len;
	s->p += s->len;
	s->len = 0;
	return true;
}

static void parse_options(struct cow_span s, struct cow_tftp_request *rq)
{
	unsigned seen = 0;
	const char *name, *value;
	size_t name_len, value_len;

	while (cow_span_cstr(&s, &name, &name_len) && name_len > 0 &&
	       take_value(&s, &value, &value_len)) {
		int opt = find_option(name, name_len);
		uint64_t v;

		if (opt < 0 || (seen & 1u << opt))
			continue;
		seen |= 1u << opt; /* also when refused: the first occurrence decides */
		if (cow_parse_u64n(value, value_len, known_options[opt].min, known_options[opt].max,
				   &v) < 0)
			continue;
		rq->options[rq->noptions].option = (uint32_t)opt;
		rq->options[rq->noptions].value = v;
		rq->noptions++;
	}
}

static int find_mode(const char *mode, size_t len)
{
	static const char *const modes[] = {
	    [COW_TFTP_OCTET] = "octet",
	    [COW_TFTP_NETASCII] = "netascii",
	};

	for (int i = 0; i < 2; i++) {
		if (strlen(modes[i]) == len && strncasecmp(modes[i], mode, len) == 0)
			return i;
	}
	return -EPROTONOSUPPORT;
}

int cow_tftp_request_parse(struct cow_span body, struct cow_tftp_request *ret)
{
	struct cow_tftp_request rq;
	const char *name, *mode;
	size_t name_len, mode_len;

	if (!cow_span_cstr(&body, &name, &name_len) || name_len == 0)
		return -EBADMSG;
	if (!cow_span_cstr(&body, &mode, &mode_len) || mode_len == 0)
		return -EBADMSG;
	int m = find_mode(mode, mode_len);

	if (m < 0)
		return m;
	if (name_len > COW_TFTP_NAME_MAX)
		return -ENAMETOOLONG;

	memset(&rq, 0, sizeof(rq)); /* padding too: requests are compared as bytes */
	rq.mode = (uint32_t)m;
	memcpy(rq.name, name, name_len);
	rq.name_len = name_len;
	parse_options(body, &rq);
	memcpy(ret, &rq, sizeof(rq));
	return 0;
}

bool cow_tftp_request_same(const struct cow_tftp_request *a, const struct cow_tftp_request *b)
{
	if (a->name_len != b->name_len || a->mode != b->mode || a->noptions != b->noptions ||
	    memcmp(a->name, b->name, a->name_len) != 0)
		return false;
	for (unsigned i = 0; i < a->noptions; i++) {
		if (a->options[i].option != b->options[i].option ||
		    a->options[i].value != b->options[i].value)
			return false;
	}
	return true;
}

static void put_option(struct cow_tftp_terms *t, enum cow_tftp_option opt, uint64_t value)
{
	char *p = (char *)t->oack + t->oack_len;
	size_t room = sizeof(t->oack) - t->oack_len;
	int n =
	    snprintf(p, room, "%s%c%llu", known_options[opt].name, 0, (unsigned long long)value);

	if (n > 0 && (size_t)n < room) /* always: COW_TFTP_OACK_MAX holds all of them */
		t->oack_len += (size_t)n + 1;
}

static uint16_t least(uint64_t a, uint16_t b)
{
	return a < b ? (uint16_t)a : b;
}

/* One option as asked: agree on what is granted and say so, or leave it out. */
static void grant(struct cow_tftp_terms *t, enum cow_tftp_option opt, uint64_t v, uint64_t size,
		  const struct cow_tftp_grants *most)
{
	switch (opt) {
	case COW_TFTP_OPT_TSIZE:
		v = size;
		break;
	case COW_TFTP_OPT_BLKSIZE:
		v = t->blksize = least(v, most->blksize);
		break;
	case COW_TFTP_OPT_TIMEOUT:
		t->timeout_ms = (unsigned)v * 1000;
		break;
	case COW_TFTP_OPT_UTIMEOUT:
		t->timeout_ms = (unsigned)(v / 1000);
		break;
	case COW_TFTP_OPT_WINDOWSIZE:
		v = t->window = least(v, most->window);
		break;
	case COW_TFTP_OPT_ROLLOVER:
		t->rollover = (uint16_t)v;
		break;
	case COW_TFTP_OPT_MAX_:
		return;
	}
	put_option(t, opt, v);
}

void cow_tftp_negotiate(const struct cow_tftp_request *rq, uint64_t size,
			const struct cow_tftp_grants *most, struct cow_tftp_terms *ret)
{
	struct cow_tftp_terms t = {.blksize = COW_TFTP_BLKSIZE_DEFAULT, .window = 1};
	bool text = rq->mode == COW_TFTP_NETASCII;

	/* Only what was asked, in the order asked: firmware and loaders refuse anything else. */
	t.oack[1] = COW_TFTP_OACK;
	t.oack_len = 2;
	for (unsigned i = 0; i < rq->noptions; i++) {
		enum cow_tftp_option opt = (enum cow_tftp_option)rq->options[i].option;

		if ((opt == COW_TFTP_OPT_UTIMEOUT && !most->utimeout) ||
		    (opt == COW_TFTP_OPT_TSIZE && text) ||
		    (opt == COW_TFTP_OPT_WINDOWSIZE && (text || most->window < 2)))
			continue;
		grant(&t, opt, rq->options[i].value, size, most);
	}
	if (t.oack_len == 2)
		t.oack_len = 0;
	*ret = t;
}

size_t cow_tftp_build_error(uint8_t *buf, enum cow_tftp_code code, const char *text)
{
	size_t n = strlen(text);

	if (n > COW_TFTP_ERROR_MAX - COW_TFTP_HEADER_LEN - 1)
		n = COW_TFTP_ERROR_MAX - COW_TFTP_HEADER_LEN - 1;
	cow_tftp_put_header(buf, COW_TFTP_ERROR, (uint16_t)code);
	memcpy(buf + COW_TFTP_HEADER_LEN, text, n);
	buf[COW_TFTP_HEADER_LEN + n] = '\0';
	return COW_TFTP_HEADER_LEN + n + 1;
}
