/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client list --pending: machines that asked for boot files and are no clients.
 */
#include "client_pending.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/fields.h"
#include "snapshot/client.h"

struct list {
	struct cow_store *s;
	struct cow_table *table;   /* or */
	struct json_object *array; /* for --json */
	int64_t now_s;
};

struct machine {
	char mac[COW_MAC_TEXT_LEN + 1], addr[46], serial[16], model[32];
	uint64_t first, last, count;
};

/* Lines are of `serve`, which has escaped what the network said; what is not there stays empty. */
static int read_machine(const char *line, struct machine *m)
{
	*m = (struct machine){0};
	if (cow_fields_get(line, "mac", m->mac, sizeof(m->mac)) < 0)
		return -EINVAL;
	if (cow_fields_get(line, "addr", m->addr, sizeof(m->addr)) < 0)
		m->addr[0] = '\0';
	if (cow_fields_get(line, "serial", m->serial, sizeof(m->serial)) < 0)
		m->serial[0] = '\0';
	if (cow_fields_get(line, "model", m->model, sizeof(m->model)) < 0)
		m->model[0] = '\0';
	(void)cow_fields_get_u64(line, "first", INT64_MAX, &m->first);
	(void)cow_fields_get_u64(line, "last", INT64_MAX, &m->last);
	(void)cow_fields_get_u64(line, "count", UINT64_MAX, &m->count);
	return 0;
}

static bool is_client(struct cow_store *s, const char *text)
{
	struct cow_mac mac;
	cow_autoclient c = NULL;

	return cow_mac_parse(text, strlen(text), &mac) == 0 &&
	       cow_client_load(s, &mac, &c, NULL) != -ENOENT;
}

static int add_json(struct list *l, const struct machine *m)
{
	struct json_object *o = json_object_new_object();
	int escaped;
	cow_autofree char *serial = cow_cli_json_path(m->serial, &escaped);
	cow_autofree char *model = cow_cli_json_path(m->model, &escaped);

	cow_cli_json_str(o, "mac", m->mac);
	cow_cli_json_str(o, "serial", serial);
	cow_cli_json_str(o, "model", model);
	cow_cli_json_str(o, "address", m->addr);
	cow_cli_json_time(o, "first_seen", (int64_t)m->first);
	cow_cli_json_time(o, "last_seen", (int64_t)m->last);
	cow_cli_json_u64(o, "count", m->count);
	return json_object_array_add(l->array, o) < 0 ? -ENOMEM : 0;
}

static int each(void *ctx, const char *line)
{
	struct list *l = ctx;
	struct machine m;
	char first[COW_AGO_LEN], last[COW_AGO_LEN], count[24];

	if (read_machine(line, &m) < 0 || is_client(l->s, m.mac))
		return 0;
	if (l->array)
		return add_json(l, &m);
	cow_cli_ago((int64_t)m.first, l->now_s, first);
	cow_cli_ago((int64_t)m.last, l->now_s, last);
	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)m.count);
	const char *cells[] = {m.mac, m.serial, m.model, m.addr, first, last, count};

	return cow_table_row(l->table, cells);
}

int cow_client_pending(struct cow_store *s, int json)
{
	static const char *const heading[] = {"MAC",	    "SERIAL",	 "MODEL", "ADDRESS",
					      "FIRST SEEN", "LAST SEEN", "COUNT"};
	struct list l = {.s = s, .now_s = cow_realtime_s()};
	struct cow_err err = COW_ERR_INIT;
	cow_autotable t = NULL;
	int r = 0;

	if (json) {
		l.array = json_object_new_array();
	} else {
		r = cow_table_new(7, &t);
		if (r == 0)
			r = cow_table_row(t, heading);
	}
	l.table = t;
	if (r == 0)
		r = cow_store_pending_each(s, each, &l);
	if (r < 0) {
		json_object_put(l.array);
		return cow_cli_fail(&err, cow_err_set(&err, r, "list pending machines"));
	}
	if (l.array)
		return cow_cli_json(l.array);
	cow_table_print(t);
	return cow_cli_flush();
}
