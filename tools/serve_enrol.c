/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Enrolment: see serve_enrol.h. The list is of fixed size: who asked last stays, so that made-up addresses cost
 * neither memory nor disk.
 */
#include "serve_enrol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/log.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

#define WRITE_MS 2000 /* not more often */

struct pending {
	struct cow_mac mac;
	char addr[COW_ADDR_LEN], serial[9], model[24];
	int64_t first_s, last_s;
	uint64_t count;
};

struct cow_enrol {
	struct cow_loop *loop;
	struct cow_store *store;
	const struct cow_config *config;
	struct cow_timer timer;
	bool changed;
	size_t n;
	struct pending p[COW_PENDING_MAX];
};

/* ---------------------------------------------------------------- the list */

static int format(const struct pending *p, struct cow_fields *f)
{
	char id[COW_MAC_TEXT_LEN + 1];

	cow_mac_text(&p->mac, id);
	cow_fields_begin(f, "pending");
	cow_fields_add_u64(f, "v", 1);
	cow_fields_add(f, "mac", id);
	cow_fields_add(f, "addr", p->addr);
	cow_fields_add(f, "serial", p->serial);
	cow_fields_add(f, "model", p->model);
	cow_fields_add_u64(f, "first", (uint64_t)p->first_s);
	cow_fields_add_u64(f, "last", (uint64_t)p->last_s);
	cow_fields_add_u64(f, "count", p->count);
	return cow_fields_end(f);
}

static void write_list(struct cow_enrol *e)
{
	cow_autofree char *text = NULL;
	size_t len = 0;
	FILE *f = e->changed ? open_memstream(&text, &len) : NULL;

	if (!f)
		return;
	for (size_t i = 0; i < e->n; i++) {
		struct cow_fields line;

		if (format(&e->p[i], &line) > 0)
			(void)fputs(line.line, f);
	}
	int r = fclose(f) != 0 ? -ENOMEM : cow_store_pending_write(e->store, text);

	if (r < 0)
		cow_log(COW_LOG_WARNING, "cannot write the list of pending machines: %s",
			strerrorname_np(-r));
	e->changed = r < 0;
}

static void on_timer(void *ctx)
{
	write_list(ctx);
}

static void changed(struct cow_enrol *e)
{
	e->changed = true;
	if (e->timer.due_ms == 0)
		cow_loop_timer(e->loop, &e->timer, WRITE_MS);
}

static void drop(struct cow_enrol *e, size_t i)
{
	memmove(&e->p[i], &e->p[i + 1], (--e->n - i) * sizeof(e->p[0]));
	changed(e);
}

static struct pending *entry(struct cow_enrol *e, const struct cow_mac *mac)
{
	size_t oldest = 0;

	for (size_t i = 0; i < e->n; i++) {
		if (memcmp(&e->p[i].mac, mac, sizeof(*mac)) == 0)
			return &e->p[i];
		if (e->p[i].last_s < e->p[oldest].last_s)
			oldest = i;
	}
	if (e->n == COW_PENDING_MAX)
		drop(e, oldest);
	e->p[e->n] = (struct pending){.mac = *mac};
	return &e->p[e->n++];
}

/* Where and what it is; what cannot be read is left out. */
static int parse(const char *line, struct pending *ret)
{
	char id[COW_MAC_TEXT_LEN + 1];
	struct in_addr a;

	*ret = (struct pending){0};
	if (cow_fields_get(line, "mac", id, sizeof(id)) < 0 ||
	    cow_mac_parse(id, strlen(id), &ret->mac) < 0)
		return -EINVAL;
	if (cow_fields_get(line, "addr", ret->addr, sizeof(ret->addr)) < 0 ||
	    inet_pton(AF_INET, ret->addr, &a) != 1)
		ret->addr[0] = '\0';
	if (cow_fields_get(line, "serial", ret->serial, sizeof(ret->serial)) < 0)
		ret->serial[0] = '\0';
	if (cow_fields_get(line, "model", ret->model, sizeof(ret->model)) < 0)
		ret->model[0] = '\0';
	return 0;
}

static int load_one(void *ctx, const char *line)
{
	struct cow_enrol *e = ctx;
	struct pending p;
	uint64_t first = 0, last = 0;

	if (parse(line, &p) < 0)
		return 0;
	(void)cow_fields_get_u64(line, "first", INT64_MAX, &first); /* absent: 0 */
	(void)cow_fields_get_u64(line, "last", INT64_MAX, &last);
	(void)cow_fields_get_u64(line, "count", UINT64_MAX, &p.count);
	p.first_s = (int64_t)first;
	p.last_s = (int64_t)last;
	*entry(e, &p.mac) = p;
	return 0;
}

static void note(struct cow_enrol *e, const struct pending *seen)
{
	char id[COW_MAC_TEXT_LEN + 1];
	struct pending *p = entry(e, &seen->mac);

	cow_mac_text(&seen->mac, id);
	memcpy(p->addr, seen->addr, sizeof(p->addr));
	if (*seen->serial)
		memcpy(p->serial, seen->serial, sizeof(p->serial));
	if (*seen->model)
		memcpy(p->model, seen->model, sizeof(p->model));
	p->last_s = cow_realtime_s();
	if (p->count++ == 0) {
		p->first_s = p->last_s;
		/* Losing it is no failure: the list has the machine. */
		(void)cow_store_event(e->store, "pending", "mac", id, "addr", p->addr, "serial",
				      *p->serial ? p->serial : NULL, "model",
				      *p->model ? p->model : NULL, NULL);
	}
	changed(e);
}

/* ---------------------------------------------------------------- on the spot */

static unsigned enrolled(const struct cow_enrol *e, const struct cow_herd *h)
{
	unsigned n = 0;

	for (size_t i = 0; i < h->clients; i++)
		n += cow_client_enrolled(e->store, &h->client[i].mac);
	return n;
}

static int enrol(struct cow_enrol *e, const struct pending *p, const char *id, struct cow_err *err)
{
	const struct cow_client_add_opts opts = {.image = e->config->enrol_image};
	struct cow_err no_serial = COW_ERR_INIT;
	int r = cow_client_add(e->store, &p->mac, &opts, err);

	if (r < 0)
		return r;
	r = cow_client_enrolled_mark(e->store, &p->mac);
	if (r < 0) { /* it would not count towards the limit */
		(void)cow_client_rm(e->store, &p->mac, COW_SWAP_NOW, NULL);
		return cow_err_set(err, r, "mark client %s as enrolled", id);
	}
	if (*p->serial && cow_client_set(e->store, &p->mac, "serial", p->serial, &no_serial) < 0)
		cow_log(COW_LOG_WARNING, "client='%s' does not get serial number %s: %s", id,
			COW_Q(p->serial), cow_err_str(&no_serial));
	cow_log(COW_LOG_NOTICE, "client='%s' enrolled: image=%s addr=%s serial=%s model=%s", id,
		e->config->enrol_image, p->addr, COW_Q(p->serial), COW_Q(p->model));
	(void)cow_store_event(e->store, "enrol", "client", id, "image", e->config->enrol_image,
			      "addr", p->addr, "serial", *p->serial ? p->serial : NULL, "model",
			      *p->model ? p->model : NULL, NULL);
	return 0;
}

int cow_enrol_stranger(struct cow_enrol *e, const struct cow_herd *h, const char *line,
		       struct cow_mac *ret_mac)
{
	struct cow_err err = COW_ERR_INIT;
	char id[COW_MAC_TEXT_LEN + 1];
	struct pending p;
	uint64_t v, sure;

	if (cow_fields_get_u64(line, "v", 1, &v) < 0 || v != 1 || parse(line, &p) < 0 ||
	    cow_fields_get_u64(line, "sure", 1, &sure) < 0)
		return -EINVAL;
	cow_mac_text(&p.mac, id);
	if (e->config->enrol == COW_ENROL_OFF || cow_herd_find(h, id) || cow_herd_find_bad(h, id))
		return 0;
	if (e->config->enrol == COW_ENROL_AUTO && sure) {
		int r = enrolled(e, h) >= e->config->enrol_max ? -EDQUOT : enrol(e, &p, id, &err);

		if (r == 0) {
			*ret_mac = p.mac;
			return 1;
		}
		if (r == -EDQUOT)
			cow_log(COW_LOG_WARNING,
				"client='%s' is not enrolled: [tftp] enrol_max = %u are there", id,
				e->config->enrol_max);
		else
			cow_log(COW_LOG_ERROR, "client='%s' is not enrolled: %s", id,
				cow_err_str(&err));
	}
	note(e, &p);
	return 0;
}

void cow_enrol_clients(struct cow_enrol *e, const struct cow_herd *h)
{
	for (size_t i = e->n; i-- > 0;) {
		char id[COW_MAC_TEXT_LEN + 1];

		cow_mac_text(&e->p[i].mac, id);
		if (cow_herd_find(h, id))
			drop(e, i);
	}
}

/* ---------------------------------------------------------------- life */

int cow_enrol_new(struct cow_loop *l, struct cow_store *s, const struct cow_config *c,
		  struct cow_enrol **ret)
{
	struct cow_enrol *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->loop = l;
	e->store = s;
	e->config = c;
	e->timer = (struct cow_timer){.fn = on_timer, .ctx = e};
	int r = cow_store_pending_each(s, load_one, e);

	if (r < 0)
		cow_log(COW_LOG_WARNING, "cannot read the list of pending machines: %s",
			strerrorname_np(-r));
	*ret = e;
	return 0;
}

void cow_enrol_free(struct cow_enrol *e)
{
	if (!e)
		return;
	write_list(e);
	cow_loop_timer_off(e->loop, &e->timer);
	free(e);
}
