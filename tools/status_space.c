/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "status_space.h"

#include <errno.h>
#include <stdio.h>

#include "snapshot/space.h"

struct listing {
	struct cow_store *s;
	struct cow_err *err;
	struct cow_table *table;  /* or */
	struct json_object *json; /* array */
};

static int put_json(const struct listing *l, struct json_object *o, uint64_t own, uint64_t all)
{
	cow_cli_json_u64(o, "bytes_own", own);
	cow_cli_json_u64(o, "bytes_all", all);
	return json_object_array_add(l->json, o) < 0 ? -ENOMEM : 0;
}

static int put_row(const struct listing *l, const char *what, const char *name, uint64_t own,
		   uint64_t all)
{
	char own_text[COW_BYTES_LEN], shared_text[COW_BYTES_LEN];

	cow_cli_bytes(own, own_text);
	cow_cli_bytes(all - own, shared_text);
	const char *cells[] = {what, name, own_text, shared_text};
	return cow_table_row(l->table, cells);
}

static int each_image(void *ctx, const struct cow_image *i)
{
	struct listing *l = ctx;
	char ref[COW_LABEL_MAX + 16];
	uint64_t own = 0, all = 0;
	int r = cow_image_space(l->s, i, &own, &all, l->err);

	if (r < 0)
		return r;
	(void)snprintf(ref, sizeof(ref), "%s@%u", i->name, i->version);
	if (l->table)
		return put_row(l, "version", ref, own, all);
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "name", i->name);
	cow_cli_json_u64(o, "version", i->version);
	return put_json(l, o, own, all);
}

static int each_client(void *ctx, const struct cow_client *c, const char *id,
		       const struct cow_err *why)
{
	struct listing *l = ctx;
	uint64_t own = 0, all = 0;

	(void)id, (void)why;
	if (!c) /* status tells of it */
		return 0;
	int r = cow_client_space(l->s, c, &own, &all, l->err);
	if (r < 0)
		return r;
	if (l->table)
		return put_row(l, "client", c->name, own, all);
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "mac", c->id);
	cow_cli_json_str(o, "name", c->name);
	return put_json(l, o, own, all);
}

int cow_status_space_print(struct cow_store *s, struct cow_err *err)
{
	static const char *const head[] = {"WHAT", "NAME", "OWN", "SHARED"};
	cow_autotable t = NULL;
	int r = cow_table_new(sizeof(head) / sizeof(*head), &t);

	if (r == 0)
		r = cow_table_row(t, head);
	if (r < 0)
		return cow_err_set(err, r, "status");
	struct listing l = {.s = s, .err = err, .table = t};
	r = cow_image_each(s, each_image, &l, err);
	if (r == 0)
		r = cow_client_each(s, each_client, &l, err);
	if (r == 0)
		cow_table_print(t);
	return r;
}

int cow_status_space_json(struct cow_store *s, struct json_object **ret, struct cow_err *err)
{
	struct json_object *top = json_object_new_object();
	struct listing l = {.s = s, .err = err, .json = json_object_new_array()};

	json_object_object_add(top, "images", l.json);
	int r = cow_image_each(s, each_image, &l, err);
	if (r == 0) {
		l.json = json_object_new_array();
		json_object_object_add(top, "clients", l.json);
		r = cow_client_each(s, each_client, &l, err);
	}
	if (r < 0) {
		json_object_put(top);
		return r;
	}
	*ret = top;
	return 0;
}
