/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client show --boots: the last boots of a client, and the requests for boot files.
 */
#include "client_boots.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fields.h"

/* Keys of a line in the order of the columns; numbers are numbers in JSON. */
struct column {
	const char *key, *head;
	enum { TEXT, NUMBER, TIME } kind;
};

static const struct column boot_columns[] = {
    {"start", "BOOT", TIME},	    {"model", "MODEL", TEXT},	    {"serial", "SERIAL", TEXT},
    {"addr", "ADDRESS", TEXT},	    {"image", "IMAGE", TEXT},	    {"version", "VERSION", NUMBER},
    {"root", "ROOT", NUMBER},	    {"files", "FILES", NUMBER},	    {"bytes", "BYTES", NUMBER},
    {"ms", "MS", NUMBER},	    {"resends", "RESENDS", NUMBER}, {"missing", "MISSING", NUMBER},
    {"refused", "REFUSED", NUMBER}, {"failed", "FAILED", NUMBER},
};
static const struct column request_columns[] = {
    {"at", "REQUEST", TIME}, {"result", "RESULT", TEXT},     {"size", "BYTES", NUMBER},
    {"ms", "MS", NUMBER},    {"resends", "RESENDS", NUMBER}, {"name", "NAME", TEXT},
};

struct out {
	const struct column *column;
	unsigned columns;
	struct cow_table *table;   /* or */
	struct json_object *array; /* for --json */
};

static void cell_json(struct json_object *o, const struct column *c, const char *line)
{
	char text[COW_FIELDS_LINE_MAX] = "";
	uint64_t n = 0;
	int escaped;

	if (c->kind == TEXT) {
		(void)cow_fields_get(line, c->key, text, sizeof(text)); /* absent: "" */
		cow_autofree char *safe = cow_cli_json_path(text, &escaped);
		cow_cli_json_str(o, c->key, safe);
		return;
	}
	(void)cow_fields_get_u64(line, c->key, INT64_MAX, &n); /* absent: 0 */
	if (c->kind == TIME)
		cow_cli_json_time(o, c->key, (int64_t)n);
	else
		cow_cli_json_u64(o, c->key, n);
}

static void cell_text(const struct column *c, const char *line, char *ret, size_t size)
{
	uint64_t n = 0;

	(void)snprintf(ret, size, "-");
	if (c->kind != TIME) {
		if (cow_fields_get(line, c->key, ret, size) < 0)
			(void)snprintf(ret, size, "-");
	} else if (cow_fields_get_u64(line, c->key, INT64_MAX, &n) == 0) {
		cow_time_text((int64_t)n, ret);
	}
}

static int each(void *ctx, const char *line)
{
	struct out *o = ctx;
	char text[sizeof(boot_columns) / sizeof(boot_columns[0])][96];
	const char *cells[sizeof(boot_columns) / sizeof(boot_columns[0])];

	if (o->array) {
		struct json_object *one = json_object_new_object();

		for (unsigned i = 0; i < o->columns; i++)
			cell_json(one, &o->column[i], line);
		return json_object_array_add(o->array, one) < 0 ? -ENOMEM : 0;
	}
	for (unsigned i = 0; i < o->columns; i++) {
		cell_text(&o->column[i], line, text[i], sizeof(text[i]));
		cells[i] = text[i];
	}
	return cow_table_row(o->table, cells);
}

static int new_table(struct out *o)
{
	const char *cells[sizeof(boot_columns) / sizeof(boot_columns[0])];
	int r = cow_table_new(o->columns, &o->table);

	for (unsigned i = 0; i < o->columns; i++)
		cells[i] = o->column[i].head;
	return r < 0 ? r : cow_table_row(o->table, cells);
}

static const struct out all_boots = {.column = boot_columns,
				     .columns = sizeof(boot_columns) / sizeof(boot_columns[0])};
static const struct out all_requests = {
    .column = request_columns, .columns = sizeof(request_columns) / sizeof(request_columns[0])};

int cow_client_boots_json(struct cow_store *s, const struct cow_mac *mac, struct json_object *o)
{
	struct out boots = all_boots, requests = all_requests;

	boots.array = json_object_new_array();
	requests.array = json_object_new_array();
	json_object_object_add(o, "boots", boots.array);
	json_object_object_add(o, "requests", requests.array);
	int r = cow_client_boots_each(s, mac, each, &boots);

	return r < 0 ? r : cow_client_requests_each(s, mac, each, &requests);
}

int cow_client_boots_print(struct cow_store *s, const struct cow_mac *mac)
{
	struct out boots = all_boots, requests = all_requests;
	int r = new_table(&boots);

	if (r == 0)
		r = new_table(&requests);
	if (r == 0)
		r = cow_client_boots_each(s, mac, each, &boots);
	if (r == 0)
		r = cow_client_requests_each(s, mac, each, &requests);
	if (r == 0) {
		(void)putchar('\n');
		cow_table_print(boots.table);
		(void)putchar('\n');
		cow_table_print(requests.table);
	}
	cow_table_free(boots.table);
	cow_table_free(requests.table);
	return r;
}
