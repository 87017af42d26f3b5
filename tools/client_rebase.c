/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "client_rebase.h"

#include <errno.h>
#include <stdlib.h>

#include "change.h"
#include "cli.h"

static const char *const results[COW_REBASE_RESULTS] = {
    [COW_REBASE_KEPT] = "kept",
    [COW_REBASE_DROPPED] = "dropped",
    [COW_REBASE_MERGED] = "merged",
    [COW_REBASE_CONFLICT] = "conflict",
};

static void print_line(FILE *out, const struct cow_rebase_line *l)
{
	const struct cow_ovl_change *c = &l->change;
	(void)fprintf(out, "  %-8s %c ", results[l->result], cow_change_letter(c->kind));
	if (c->old_path) {
		cow_cli_path(out, c->old_path);
		(void)fputs(" -> ", out);
	}
	cow_cli_path(out, c->path);
	if (*l->why)
		(void)fprintf(out, ": %s", l->why);
	if (l->saved)
		(void)fputs(" (the new version's: NAME" COW_REBASE_SUFFIX ")", out);
	(void)fputc('\n', out);
}

static int add_line(struct json_object *list, const struct cow_rebase_line *l)
{
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "result", results[l->result]);
	cow_change_json_path(o, "path", l->change.path);
	if (l->change.old_path)
		cow_change_json_path(o, "old_path", l->change.old_path);
	cow_change_json(o, l->change.kind, l->change.type, l->change.what);
	cow_cli_json_str(o, "why", l->why);
	json_object_object_add(o, "saved", json_object_new_boolean(l->saved));
	return json_object_array_add(list, o) < 0 ? -ENOMEM : 0;
}

static int see(void *ctx, const struct cow_rebase_line *l)
{
	struct cow_rebase_report *r = ctx;
	r->count[l->result]++;
	if (r->json)
		return add_line(r->json, l);
	if (r->all || l->result == COW_REBASE_CONFLICT)
		print_line(r->out, l);
	return 0;
}

int cow_rebase_report_new(const struct cow_options *o, struct cow_rebase_report **ret)
{
	cow_autorebasereport r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->all = o->given & COW_OPT_DRY_RUN;
	r->opts = (struct cow_rebase_opts){
	    .flags = o->force ? COW_REBASE_FORCE : 0,
	    .theirs = o->theirs,
	    .both = o->both,
	    .fn = see,
	    .ctx = r,
	};
	if (o->given & COW_OPT_JSON)
		r->json = json_object_new_array();
	else
		r->out = open_memstream(&r->text, &r->len);
	if (!r->json && !r->out)
		return -ENOMEM;
	*ret = cow_steal_ptr(&r);
	return 0;
}

void cow_rebase_report_free(struct cow_rebase_report *r)
{
	if (!r)
		return;
	if (r->out)
		(void)fclose(r->out); /* memory */
	free(r->text);
	json_object_put(r->json);
	free(r);
}

static void tell_json(struct cow_rebase_report *r, struct json_object *o)
{
	struct json_object *sums = json_object_new_object();
	for (unsigned k = 0; k < COW_REBASE_RESULTS; k++)
		cow_cli_json_u64(sums, results[k], r->count[k]);
	json_object_object_add(sums, "changes", cow_steal_ptr(&r->json));
	json_object_object_add(o, "rebase", sums);
}

void cow_rebase_report_tell(struct cow_rebase_report *r, struct json_object *o)
{
	if (o) {
		tell_json(r, o);
		return;
	}
	if (fflush(r->out) == 0)
		(void)fputs(r->text, stdout);
	(void)printf("  %zu kept, %zu dropped, %zu merged, %zu in conflict\n",
		     r->count[COW_REBASE_KEPT], r->count[COW_REBASE_DROPPED],
		     r->count[COW_REBASE_MERGED], r->count[COW_REBASE_CONFLICT]);
}
