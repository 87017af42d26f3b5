/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client check
 */
#include "client_check.h"

#include <errno.h>
#include <stdio.h>

#include "cli.h"
#include "options.h"
#include "snapshot/client.h"

static const char check_help[] =
    "usage: cowherd client check MAC|NAME [--json]\n"
    "\n"
    "Look through a client's root for what must not be in it: marks that contradict each other\n"
    "or the image, leftovers. Changes nothing; may run beside the NFS server. Exit status 1 when\n"
    "something was found. The image itself is checked by 'cowherd image verify'.\n"
    "\n"
    "  --json           for programs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

static int print_finding(void *ctx, const char *path, const char *what)
{
	(void)ctx;
	cow_cli_path(stdout, path);
	(void)printf(": %s\n", what);
	return 0;
}

static int add_finding(void *ctx, const char *path, const char *what)
{
	struct json_object *o = json_object_new_object();
	int escaped;
	char *text = cow_cli_json_path(path, &escaped);
	cow_cli_json_str(o, "path", text);
	if (escaped)
		json_object_object_add(o, "path_escaped", json_object_new_boolean(1));
	free(text);
	cow_cli_json_str(o, "finding", what);
	return json_object_array_add(ctx, o) < 0 ? -ENOMEM : 0;
}

int cow_cmd_client_check(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status =
	    cow_options_parse("client check", check_help, COW_OPT_JSON, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	struct json_object *list = o.given & COW_OPT_JSON ? json_object_new_array() : NULL;
	int64_t found =
	    cow_client_check(s, &c->mac, list ? add_finding : print_finding, list, &err);
	if (found < 0) {
		json_object_put(list);
		return cow_cli_fail(&err, (int)found);
	}
	status = list ? cow_cli_json(list) : cow_cli_flush();
	return status == COW_OK && found > 0 ? COW_ERR_FAILED : status;
}
