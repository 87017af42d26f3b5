/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reports of boots: see serve_report.h.
 */
#include "serve_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "common/log.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

#define TOGETHER_MS 200

/* Requests of one client that came one after the other. */
struct cow_report {
	struct cow_loop *loop;
	struct cow_store *store;
	struct cow_timer timer;
	struct cow_mac mac;
	char *text;
	size_t len, lines;
};

static void flush(struct cow_report *r)
{
	if (r->lines > 0) {
		int e = cow_client_requests_add(r->store, &r->mac, r->text);

		if (e < 0 && e != -ENOENT) /* removed meanwhile */
			cow_log(COW_LOG_WARNING, "cannot record requests for boot files: %s",
				strerrorname_np(-e));
	}
	free(r->text);
	r->text = NULL;
	r->len = r->lines = 0;
}

static void on_timer(void *ctx)
{
	flush(ctx);
}

int cow_report_new(struct cow_loop *l, struct cow_store *s, struct cow_report **ret)
{
	struct cow_report *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = l;
	r->store = s;
	r->timer = (struct cow_timer){.fn = on_timer, .ctx = r};
	*ret = r;
	return 0;
}

void cow_report_free(struct cow_report *r)
{
	if (!r)
		return;
	flush(r);
	cow_loop_timer_off(r->loop, &r->timer);
	free(r);
}

/* How each word is read; all others are left out. */
struct word {
	const char *key;
	size_t max; /* bytes; 0: a number */
};

static int copy_words(const char *line, const struct word *w, struct cow_fields *out)
{
	for (; w->key; w++) {
		char text[128];
		uint64_t n;
		int r = w->max ? cow_fields_get(line, w->key, text, w->max + 1)
			       : cow_fields_get_u64(line, w->key, INT64_MAX, &n);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		if (w->max)
			cow_fields_add(out, w->key, text);
		else
			cow_fields_add_u64(out, w->key, n);
	}
	return cow_fields_end(out);
}

static int find_client(const struct cow_herd *h, const char *line, struct cow_herd_client **ret)
{
	char mac[COW_MAC_TEXT_LEN + 1];
	uint64_t v;

	if (cow_fields_get_u64(line, "v", 1, &v) < 0 || v != 1 ||
	    cow_fields_get(line, "mac", mac, sizeof(mac)) < 0)
		return -EINVAL;
	*ret = cow_herd_find(h, mac);
	return *ret ? 0 : -ENOENT;
}

int cow_report_session(struct cow_report *r, const struct cow_herd *h, const char *line)
{
	static const struct word words[] = {
	    {"start", 0},   {"ms", 0},	    {"addr", 63},  {"image", COW_LABEL_MAX},
	    {"version", 0}, {"root", 0},    {"model", 23}, {"serial", 8},
	    {"first", 31},  {"files", 0},   {"bytes", 0},  {"resends", 0},
	    {"missing", 0}, {"refused", 0}, {"failed", 0}, {NULL, 0},
	};
	struct cow_herd_client *c;
	struct cow_fields f;
	uint64_t boot;
	int e = find_client(h, line, &c);

	if (e < 0)
		return e;
	if (cow_fields_get_u64(line, "boot", 1, &boot) < 0)
		return -EINVAL;
	if (!boot) /* somebody looked at a file; its requests are told */
		return 0;
	cow_fields_begin(&f, "boot");
	cow_fields_add_u64(&f, "v", 1);
	e = copy_words(line, words, &f);
	return e < 0 ? e : cow_client_boots_add(r->store, &c->mac, f.line);
}

static int append(struct cow_report *r, const struct cow_fields *f)
{
	char *p = realloc(r->text, r->len + f->len + 1);

	if (!p)
		return -ENOMEM;
	r->text = p;
	memcpy(p + r->len, f->line, f->len + 1);
	r->len += f->len;
	r->lines++;
	return 0;
}

int cow_report_request(struct cow_report *r, const struct cow_herd *h, const char *line)
{
	static const struct word words[] = {
	    {"at", 0},	    {"result", 15}, {"size", 0}, {"ms", 0},
	    {"resends", 0}, {"name", 79},   {NULL, 0},
	};
	struct cow_herd_client *c;
	struct cow_fields f;
	int e = find_client(h, line, &c);

	if (e < 0)
		return e;
	cow_fields_begin(&f, "request");
	cow_fields_add_u64(&f, "v", 1);
	e = copy_words(line, words, &f);
	if (e < 0)
		return e;
	if (r->lines >= COW_CLIENT_REQUESTS || memcmp(&r->mac, &c->mac, sizeof(r->mac)) != 0)
		flush(r);
	r->mac = c->mac;
	cow_loop_timer(r->loop, &r->timer, TOGETHER_MS);
	return append(r, &f);
}
