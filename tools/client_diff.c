/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client diff
 */
#include "client_diff.h"

#include <errno.h>
#include <stdio.h>

#include "change.h"
#include "cli.h"
#include "options.h"
#include "snapshot/client.h"

static const char diff_help[] =
    "usage: cowherd client diff MAC|NAME [--json]\n"
    "\n"
    "List what a client's root changed of the image it was made from, by path:\n"
    "A added, M content or type differs, T only attributes (mode, owner, times, extended\n"
    "attributes) differ, D deleted with all below it, R moved: OLD -> NEW.\n"
    "\n"
    "  --json           for programs, with what differs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

static int print_change(void *ctx, const struct cow_ovl_change *c)
{
	(void)ctx;
	(void)printf("%c ", cow_change_letter(c->kind));
	if (c->old_path) {
		cow_cli_path(stdout, c->old_path);
		(void)fputs(" -> ", stdout);
	}
	cow_cli_path(stdout, c->path);
	(void)putchar('\n');
	return 0;
}

static int add_change(void *ctx, const struct cow_ovl_change *c)
{
	struct json_object *o = json_object_new_object();
	cow_change_json_path(o, "path", c->path);
	if (c->old_path)
		cow_change_json_path(o, "old_path", c->old_path);
	cow_change_json(o, c->kind, c->type, c->what);
	return json_object_array_add(ctx, o) < 0 ? -ENOMEM : 0;
}

int cow_cmd_client_diff(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status =
	    cow_options_parse("client diff", diff_help, COW_OPT_JSON, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	if (!(o.given & COW_OPT_JSON)) {
		r = cow_client_diff(s, &c->mac, print_change, NULL, &err);
		return r < 0 ? cow_cli_fail(&err, r) : cow_cli_flush();
	}
	struct json_object *list = json_object_new_array();
	r = cow_client_diff(s, &c->mac, add_change, list, &err);
	if (r == 0)
		return cow_cli_json(list);
	json_object_put(list);
	return cow_cli_fail(&err, err.code ? r : cow_err_set(&err, r, "list the changes"));
}
