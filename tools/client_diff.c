/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client diff
 */
#include "client_diff.h"

#include <errno.h>
#include <stdio.h>

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

static const struct kind {
	char letter;
	const char *name;
} kinds[] = {
    [COW_CHANGE_ADDED] = {'A', "added"},	   [COW_CHANGE_MODIFIED] = {'M', "modified"},
    [COW_CHANGE_ATTRIBUTES] = {'T', "attributes"}, [COW_CHANGE_DELETED] = {'D', "deleted"},
    [COW_CHANGE_MOVED] = {'R', "moved"},
};

static const char *type_name(mode_t type)
{
	switch (type & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown";
	}
}

static int print_change(void *ctx, const struct cow_ovl_change *c)
{
	(void)ctx;
	(void)printf("%c ", kinds[c->kind].letter);
	if (c->old_path) {
		cow_cli_path(stdout, c->old_path);
		(void)fputs(" -> ", stdout);
	}
	cow_cli_path(stdout, c->path);
	(void)putchar('\n');
	return 0;
}

static void add_path(struct json_object *o, const char *key, const char *path)
{
	int escaped;
	char *text = cow_cli_json_path(path, &escaped);
	cow_cli_json_str(o, key, text);
	if (escaped)
		json_object_object_add(o, "path_escaped", json_object_new_boolean(1));
	free(text);
}

static struct json_object *what_json(unsigned what)
{
	static const struct {
		unsigned bit;
		const char *name;
	} bits[] = {
	    {COW_CHANGED_DATA, "data"},	  {COW_CHANGED_TYPE, "type"},
	    {COW_CHANGED_MODE, "mode"},	  {COW_CHANGED_OWNER, "owner"},
	    {COW_CHANGED_MTIME, "mtime"}, {COW_CHANGED_XATTRS, "xattrs"},
	};
	struct json_object *list = json_object_new_array();
	for (size_t k = 0; k < sizeof(bits) / sizeof(*bits); k++)
		if (what & bits[k].bit)
			(void)json_object_array_add(list, json_object_new_string(bits[k].name));
	return list;
}

static int add_change(void *ctx, const struct cow_ovl_change *c)
{
	struct json_object *o = json_object_new_object();
	add_path(o, "path", c->path);
	if (c->old_path)
		add_path(o, "old_path", c->old_path);
	cow_cli_json_str(o, "change", kinds[c->kind].name);
	cow_cli_json_str(o, "type", type_name(c->type));
	json_object_object_add(o, "what", what_json(c->what));
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
