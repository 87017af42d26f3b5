/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A datagram as it comes from the network: request, option negotiation, name, policy.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tftp/loader.h"
#include "tftp/name.h"
#include "tftp/packet.h"
#include "tftp/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

/* The list of boot files, told in another way: what it must never let out of a tree. */
static void check_policy(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *dot = strrchr(base, '.');
	enum cow_tftp_policy p = cow_tftp_policy_of(path);

	CHECK((p == COW_TFTP_NEVER) == (strcasecmp(base, "autoboot.txt") == 0));
	if (strcasecmp(base, "user-data") == 0 || strncasecmp(base, "wpa_supplicant", 14) == 0 ||
	    strncasecmp(base, "ssh", 3) == 0 || strncasecmp(base, "pieeprom", 8) == 0 ||
	    (dot && (strcasecmp(dot, ".key") == 0 || strcasecmp(dot, ".pem") == 0)))
		CHECK(p == COW_TFTP_OVERRIDE);
	CHECK(strcmp(cow_tftp_basename(path), base) == 0);
}

/* A clean name means the same again; only a prefix may come to light in what was behind another. */
static void check_again(const struct cow_tftp_name *n)
{
	struct cow_tftp_name again;

	CHECK(cow_tftp_name_parse(n->path, strlen(n->path), &again) == 0);
	if (n->prefix == COW_TFTP_PREFIX_NONE)
		CHECK(again.prefix == COW_TFTP_PREFIX_NONE && strcmp(again.path, n->path) == 0);
	if (n->mac_in_file)
		CHECK(again.mac_in_file && memcmp(&again.mac, &n->mac, sizeof(n->mac)) == 0);
}

static void check_name(const char *raw, size_t len)
{
	struct cow_tftp_name n;

	if (cow_tftp_name_parse(raw, len, &n) < 0)
		return;

	size_t plen = strlen(n.path);

	CHECK(plen > 0 && plen <= COW_TFTP_NAME_MAX && n.path[0] != '/' && n.path[plen - 1] != '/');
	CHECK(!strstr(n.path, "//") && !strchr(n.path, '\\'));
	for (const char *p = n.path; *p;) {
		size_t comp = strcspn(p, "/");

		CHECK(!(comp == 2 && p[0] == '.' && p[1] == '.') && !(comp == 1 && p[0] == '.'));
		p += comp + (p[comp] == '/');
	}
	for (size_t i = 0; i < plen; i++)
		CHECK((unsigned char)n.path[i] >= 0x20 && n.path[i] != 0x7f);
	check_policy(n.path);
	check_again(&n);
	CHECK(!n.mac_in_file || (n.prefix == COW_TFTP_PREFIX_MAC && cow_tftp_loader_of(n.path)));
}

static const struct cow_tftp_grants most = {
    .blksize = COW_TFTP_BLKSIZE_PATH,
    .window = COW_TFTP_WINDOW_MAX,
    .utimeout = true,
};

static void check_terms(const struct cow_tftp_request *rq, const struct cow_tftp_terms *t)
{
	size_t strings = 0;

	CHECK(t->blksize >= COW_TFTP_BLKSIZE_MIN && t->blksize <= COW_TFTP_BLKSIZE_PATH);
	CHECK(t->timeout_ms <= COW_TFTP_TIMEOUT_MAX_S * 1000);
	CHECK(t->window >= 1 && t->window <= COW_TFTP_WINDOW_MAX && t->rollover <= 1);
	CHECK(t->oack_len != 2 && t->oack_len <= COW_TFTP_OACK_MAX);
	for (size_t i = 2; i < t->oack_len; i++)
		strings += t->oack[i] == 0;
	/* A name and a value each, all terminated; netascii leaves some out. */
	CHECK(rq->mode == COW_TFTP_OCTET ? strings == 2ul * rq->noptions
					 : strings % 2 == 0 && strings <= 2ul * rq->noptions);
	for (unsigned i = 0; i < rq->noptions; i++) {
		if (rq->options[i].option == COW_TFTP_OPT_BLKSIZE)
			CHECK(t->blksize <= rq->options[i].value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_span pkt = cow_span_of(data, size);
	struct cow_tftp_request rq, again;
	struct cow_tftp_terms terms;
	uint16_t op;

	check_name((const char *)data, size);
	if (!cow_span_be16(&pkt, &op) || cow_tftp_request_parse(pkt, &rq) < 0)
		return 0;
	CHECK(rq.name_len > 0 && rq.name_len <= COW_TFTP_NAME_MAX &&
	      strlen(rq.name) == rq.name_len);
	CHECK(rq.noptions <= COW_TFTP_OPT_MAX_);
	CHECK(cow_tftp_request_parse(pkt, &again) == 0 && cow_tftp_request_same(&rq, &again));
	cow_tftp_negotiate(&rq, size * 1000003ull, &most, &terms);
	check_terms(&rq, &terms);
	check_name(rq.name, rq.name_len);
	return 0;
}
