/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a packet filter does with a new packet to a port. The rules are read as nft(8) lists
 * them in JSON (libnftables-json(5)) and followed. A rule with something in it that
 * is not understood here may match or not: then only what is certain is reported.
 */
#include "doctor_nft.h"

#include <string.h>

#define JUMPS_MAX 16

enum match { NO, MAYBE, YES };

struct packet {
	const char *proto; /* "udp", "tcp" */
	unsigned port;
	const char *interface;
};

static const char *str(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		   ? json_object_get_string(v)
		   : "";
}

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v)
		   ? v
		   : NULL;
}

/* ------------------------------------------------ one expression */

static enum match port_in(struct json_object *right, unsigned port)
{
	struct json_object *list = get(right, "set"), *range = get(right, "range");

	if (json_object_is_type(right, json_type_int))
		return (unsigned)json_object_get_int(right) == port ? YES : NO;
	if (range && json_object_array_length(range) == 2)
		return port >= (unsigned)json_object_get_int(json_object_array_get_idx(range, 0)) &&
			       port <= (unsigned)json_object_get_int(
					   json_object_array_get_idx(range, 1))
			   ? YES
			   : NO;
	if (!list || !json_object_is_type(list, json_type_array))
		return MAYBE; /* a set with a name */
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		enum match m = port_in(json_object_array_get_idx(list, i), port);

		if (m != NO)
			return m;
	}
	return NO;
}

static enum match word_in(struct json_object *right, const char *word)
{
	struct json_object *list = get(right, "set");

	if (json_object_is_type(right, json_type_string)) {
		const char *s = json_object_get_string(right);
		size_t n = strlen(s);

		if (*s == '@')
			return MAYBE;
		if (n > 0 && s[n - 1] == '*')
			return strncmp(s, word, n - 1) == 0 ? YES : NO;
		return strcmp(s, word) == 0 ? YES : NO;
	}
	if (!list)
		list = right;
	if (!json_object_is_type(list, json_type_array))
		return MAYBE;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		enum match m = word_in(json_object_array_get_idx(list, i), word);

		if (m != NO)
			return m;
	}
	return NO;
}

static enum match match_of(struct json_object *match, const struct packet *p)
{
	struct json_object *left = get(match, "left"), *right = get(match, "right");
	struct json_object *payload = get(left, "payload"), *meta = get(left, "meta"),
			   *ct = get(left, "ct");
	const char *op = str(match, "op");
	enum match m = MAYBE;

	if (payload && strcmp(str(payload, "field"), "dport") == 0)
		m = strcmp(str(payload, "protocol"), p->proto) == 0 ||
			    strcmp(str(payload, "protocol"), "th") == 0
			? port_in(right, p->port)
			: NO;
	else if ((payload && strcmp(str(payload, "field"), "protocol") == 0) ||
		 (meta && strcmp(str(meta, "key"), "l4proto") == 0))
		m = word_in(right, p->proto);
	else if (payload && (strncmp(str(payload, "protocol"), "icmp", 4) == 0 ||
			     strcmp(str(payload, "protocol"), "ip6") == 0))
		m = NO;
	else if (meta && strcmp(str(meta, "key"), "iifname") == 0)
		m = word_in(right, p->interface);
	else if (ct && strcmp(str(ct, "key"), "state") == 0)
		m = word_in(right, "new");
	if (strcmp(op, "!=") == 0)
		return m == MAYBE ? MAYBE : m == YES ? NO : YES;
	return strcmp(op, "==") == 0 || strcmp(op, "in") == 0 ? m : MAYBE;
}

/* ------------------------------------------------ rules */

struct ruleset {
	struct json_object *all; /* array */
	const struct packet *packet;
	unsigned jumps;
	bool maybe_accepted; /* a rule before this one may have let it in */
};

enum verdict { CONTINUE, ACCEPT, DROP, RETURN };

static enum verdict chain(struct ruleset *rs, const char *family, const char *table,
			  const char *name);

static enum verdict rule(struct ruleset *rs, struct json_object *r)
{
	struct json_object *list = get(r, "expr"), *target;
	enum match so_far = YES;

	for (size_t i = 0; list && i < json_object_array_length(list) && so_far != NO; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);
		enum verdict v = CONTINUE;

		if (get(e, "match")) {
			enum match m = match_of(get(e, "match"), rs->packet);

			so_far = m < so_far ? m : so_far;
			continue;
		}
		if (json_object_object_get_ex(e, "accept", NULL))
			v = ACCEPT;
		else if (json_object_object_get_ex(e, "drop", NULL) ||
			 json_object_object_get_ex(e, "reject", NULL))
			v = DROP;
		else if (json_object_object_get_ex(e, "return", NULL))
			v = RETURN;
		else if ((target = get(e, "jump")) || (target = get(e, "goto")))
			v = chain(rs, str(r, "family"), str(r, "table"), str(target, "target"));
		else if (!json_object_object_get_ex(e, "counter", NULL) &&
			 !json_object_object_get_ex(e, "log", NULL) &&
			 !json_object_object_get_ex(e, "comment", NULL))
			so_far = MAYBE; /* limits, maps, matches of iptables */
		if (v == CONTINUE)
			continue;
		if (so_far == YES)
			return v;
		/* It may be over here: what would have dropped it later is not certain any more. */
		rs->maybe_accepted |= v == ACCEPT || v == RETURN;
	}
	return CONTINUE;
}

static enum verdict chain(struct ruleset *rs, const char *family, const char *table,
			  const char *name)
{
	if (++rs->jumps > JUMPS_MAX) {
		rs->maybe_accepted = true; /* longer than is followed here */
		return CONTINUE;
	}
	for (size_t i = 0; i < json_object_array_length(rs->all); i++) {
		struct json_object *r = get(json_object_array_get_idx(rs->all, i), "rule");

		if (!r || strcmp(str(r, "family"), family) != 0 ||
		    strcmp(str(r, "table"), table) != 0 || strcmp(str(r, "chain"), name) != 0)
			continue;
		enum verdict v = rule(rs, r);

		if (v == RETURN)
			return CONTINUE;
		if (v != CONTINUE)
			return v;
	}
	return CONTINUE;
}

bool cow_nft_drops(struct json_object *ruleset, const char *proto, unsigned port,
		   const char *interface, const char **ret_chain)
{
	const struct packet p = {.proto = proto, .port = port, .interface = interface};
	struct json_object *all = get(ruleset, "nftables");

	if (!all || !json_object_is_type(all, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *c = get(json_object_array_get_idx(all, i), "chain");
		struct ruleset rs = {.all = all, .packet = &p};
		const char *family = c ? str(c, "family") : "";

		if (!c || strcmp(str(c, "hook"), "input") != 0 ||
		    (strcmp(family, "ip") != 0 && strcmp(family, "inet") != 0))
			continue;
		enum verdict v = chain(&rs, family, str(c, "table"), str(c, "name"));

		if (v == CONTINUE && strcmp(str(c, "policy"), "drop") == 0)
			v = DROP;
		if (v == DROP && !rs.maybe_accepted) {
			*ret_chain = str(c, "name");
			return true;
		}
	}
	return false;
}
