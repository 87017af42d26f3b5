/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client list|show
 */
#include "client_show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "client_boots.h"
#include "client_pending.h"
#include "common/clock.h"
#include "options.h"
#include "snapshot/client.h"

#define COMMON_HELP                                                                                \
	"  --json           for programs\n"                                                        \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

static const char list_help[] =
    "usage: cowherd client list [--pending] [--json]\n"
    "\n"
    "List all clients. STATE: running (root used in the last 90 s), seen, never.\n"
    "\n"
    "  --pending        instead: machines that asked for boot files and are no "
    "clients\n" COMMON_HELP;

static const char show_help[] =
    "usage: cowherd client show MAC|NAME [--boots] [--json]\n"
    "\n"
    "Show all that is known about a client.\n"
    "\n"
    "  --boots          its last boots, and the last requests for boot files\n" COMMON_HELP;

static const char *state_name(const struct cow_client_state *st, int64_t now)
{
	if (st->nfs_s && now - st->nfs_s <= COW_CLIENT_RUNNING_S)
		return "running";
	return st->nfs_s || st->boot_s ? "seen" : "never";
}

static const char *address_of(const struct cow_client *c, const struct cow_client_state *st)
{
	if (*c->address)
		return c->address;
	return *st->boot_addr ? st->boot_addr : st->nfs_addr;
}

/* ---------------------------------------------------------------- JSON */

static struct json_object *next_json(const struct cow_next *n)
{
	if (n->what == COW_SWAP_NONE)
		return NULL;
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "what", cow_swap_name(n->what));
	cow_cli_json_str(o, "to", n->to);
	cow_cli_json_u64(o, "root", n->root);
	cow_cli_json_str(o, "keep", n->keep);
	cow_cli_json_str(o, "follow", n->follow);
	json_object_object_add(o, "rebase", json_object_new_boolean(n->rebase));
	json_object_object_add(o, "held", json_object_new_boolean(n->held));
	cow_cli_json_time(o, "failed", n->failed_s);
	cow_cli_json_str(o, "why", n->why);
	cow_cli_json_time(o, "since", n->since_s);
	return o;
}

static int add_root(void *ctx, const struct cow_root_info *root)
{
	struct json_object *o = json_object_new_object();
	cow_cli_json_u64(o, "root", root->n);
	json_object_object_add(o, "current", json_object_new_boolean(root->current));
	cow_cli_json_str(o, "image", root->image);
	cow_cli_json_u64(o, "version", root->version);
	cow_cli_json_str(o, "backend", cow_backend_name(root->backend));
	cow_cli_json_str(o, "why", cow_root_why_name(root->why));
	cow_cli_json_time(o, "made", root->made_s);
	cow_cli_json_time(o, "swapped", root->swapped_s);
	return json_object_array_add(ctx, o) < 0 ? -ENOMEM : 0;
}

static struct json_object *client_json(const struct cow_client *c,
				       const struct cow_client_state *st)
{
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "mac", c->id);
	cow_cli_json_str(o, "name", c->name);
	cow_cli_json_str(o, "image", c->image);
	cow_cli_json_u64(o, "version", c->version);
	cow_cli_json_str(o, "follows", c->follows);
	cow_cli_json_str(o, "state", state_name(st, cow_realtime_s()));
	cow_cli_json_str(o, "backend", cow_backend_name(c->root_backend));
	cow_cli_json_str(o, "next_backend", cow_backend_name(c->backend));
	cow_cli_json_str(o, "durability", cow_ovl_durability_name(c->durability));
	json_object_object_add(o, "ephemeral", json_object_new_boolean(c->ephemeral));
	json_object_object_add(o, "limit", json_object_new_int64((int64_t)c->limit_bytes));
	cow_cli_json_u64(o, "export_id", c->export_id);
	cow_cli_json_str(o, "address", c->address);
	cow_cli_json_str(o, "serial", c->serial);
	cow_cli_json_str(o, "nfs", c->nfs);
	cow_cli_json_str(o, "cmdline", c->cmdline);
	cow_cli_json_str(o, "boot_dir", c->boot_dir);
	cow_cli_json_str(o, "initramfs", c->initramfs);
	cow_cli_json_u64(o, "root", c->root);
	cow_cli_json_u64(o, "previous", c->previous);
	cow_cli_json_str(o, "group", c->group);
	cow_cli_json_str(o, "keep", c->keep);
	cow_cli_json_u64(o, "keep_roots", c->keep_roots);
	json_object_object_add(o, "next", next_json(&c->next));
	cow_cli_json_time(o, "created", c->created_s);
	cow_cli_json_time(o, "swapped", c->swapped_s);
	cow_cli_json_time(o, "last_boot", st->boot_s);
	cow_cli_json_str(o, "boot_address", st->boot_addr);
	cow_cli_json_time(o, "last_nfs", st->nfs_s);
	cow_cli_json_str(o, "nfs_address", st->nfs_addr);
	cow_cli_json_u64(o, "refused", st->refused);
	cow_cli_json_time(o, "last_refused", st->refused_s);
	cow_cli_json_str(o, "refused_address", st->refused_addr);
	return o;
}

/* ---------------------------------------------------------------- list */

struct list {
	struct cow_store *s;
	struct cow_table *table;   /* or */
	struct json_object *array; /* for --json */
	int damaged;
};

static int list_damaged(struct list *l, const char *id, const struct cow_err *why)
{
	l->damaged = 1;
	(void)fprintf(stderr, "cowherd: %s\n", cow_err_str(why));
	if (l->array) {
		struct json_object *o = json_object_new_object();
		cow_cli_json_str(o, "mac", id);
		cow_cli_json_str(o, "error", cow_err_str(why));
		return json_object_array_add(l->array, o) < 0 ? -ENOMEM : 0;
	}
	const char *cells[] = {id, "", "", "damaged", "", ""};
	return cow_table_row(l->table, cells);
}

static int list_one(void *ctx, const struct cow_client *c, const char *id,
		    const struct cow_err *why)
{
	struct list *l = ctx;
	struct cow_client_state st = {0};
	char image[2 * COW_LABEL_MAX + 40], ago[COW_AGO_LEN];
	if (!c)
		return list_damaged(l, id, why);
	(void)cow_client_state_read(l->s, &c->mac, &st, NULL); /* removed meanwhile: "never" */
	if (l->array)
		return json_object_array_add(l->array, client_json(c, &st)) < 0 ? -ENOMEM : 0;
	int64_t now = cow_realtime_s();
	(void)snprintf(image, sizeof(image), "%s@%u%s%s%s%s", c->image, c->version,
		       c->next.what != COW_SWAP_NONE ? " -> " : "", *c->next.to ? c->next.to : "",
		       c->next.what != COW_SWAP_NONE && !*c->next.to ? cow_swap_name(c->next.what)
								     : "",
		       c->next.held ? " (held)" : "");
	cow_cli_ago(st.boot_s, now, ago);
	const char *cells[] = {c->id, c->name,		 image, state_name(&st, now),
			       ago,   address_of(c, &st)};
	return cow_table_row(l->table, cells);
}

int cow_cmd_client_list(int argc, char **argv)
{
	static const char *const heading[] = {"MAC",   "NAME",	    "IMAGE",
					      "STATE", "LAST BOOT", "ADDRESS"};
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autotable t = NULL;
	int status = cow_options_parse("client list", list_help, COW_OPT_JSON | COW_OPT_PENDING, 0,
				       0, argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0 && o.given & COW_OPT_PENDING)
		return cow_client_pending(s, (o.given & COW_OPT_JSON) != 0);
	if (r == 0 && (r = cow_table_new(6, &t)) == 0)
		r = cow_table_row(t, heading);
	struct list l = {.s = s, .table = t};
	if (r == 0 && o.given & COW_OPT_JSON)
		l.array = json_object_new_array();
	if (r == 0)
		r = cow_client_each(s, list_one, &l, &err);
	if (r < 0) {
		json_object_put(l.array);
		return cow_cli_fail(&err, err.code ? r : cow_err_set(&err, r, "list clients"));
	}
	if (l.array)
		status = cow_cli_json(l.array);
	else {
		cow_table_print(t);
		status = cow_cli_flush();
	}
	return l.damaged ? COW_ERR_FAILED : status;
}

/* ---------------------------------------------------------------- show */

static void line(const char *key, const char *value)
{
	if (value && *value)
		(void)printf("%-11s %s\n", key, value);
}

static void time_line(const char *key, int64_t when, const char *addr)
{
	char text[COW_TIME_TEXT_LEN + 1] = "never", ago[COW_AGO_LEN];
	if (!when) {
		line(key, "never");
		return;
	}
	cow_time_text(when, text);
	cow_cli_ago(when, cow_realtime_s(), ago);
	(void)printf("%-11s %s (%s)%s%s\n", key, text, ago, addr && *addr ? " from " : "",
		     addr ? addr : "");
}

static void refused_line(const struct cow_client_state *st)
{
	char text[COW_TIME_TEXT_LEN + 1] = "";
	cow_time_text(st->refused_s, text);
	(void)printf("%-11s %llu requests, the last %s from %s\n", "refused",
		     (unsigned long long)st->refused, text, st->refused_addr);
}

static int root_line(void *ctx, const struct cow_root_info *root)
{
	char made[COW_TIME_TEXT_LEN + 1] = "", swapped[COW_TIME_TEXT_LEN + 1] = "";
	(void)ctx;
	if (root->current)
		return 0;
	cow_time_text(root->made_s, made);
	cow_time_text(root->swapped_s, swapped);
	(void)printf("%-11s root %u: %s@%u, %s%s%scurrent from %s (%s)\n", "kept", root->n,
		     root->image, root->version, root->made_s ? "made " : "",
		     root->made_s ? made : "", root->made_s ? ", " : "", swapped,
		     cow_root_why_name(root->why));
	return 0;
}

static void next_line(const struct cow_next *n, const char *follows)
{
	char since[COW_TIME_TEXT_LEN + 1] = "", failed[COW_TIME_TEXT_LEN + 1] = "", root[24] = "";
	cow_time_text(n->since_s, since);
	if (n->root)
		(void)snprintf(root, sizeof(root), "root %u", n->root);
	(void)printf("%-11s %s to %s%s%s%s%s, ordered %s\n", "next boot", cow_swap_name(n->what),
		     *root    ? root
		     : *n->to ? n->to
			      : follows,
		     n->rebase ? " with all its changes" : "", *n->follow ? ", follows " : "",
		     n->follow, *n->follow ? " then" : "", since);
	if (!n->failed_s)
		return;
	cow_time_text(n->failed_s, failed);
	(void)printf("%-11s %s, %s: %s\n", "failed", failed,
		     n->held ? "and is not tried again" : "and is tried at each boot", n->why);
}

static void print_client(const struct cow_client *c, const struct cow_client_state *st)
{
	char kept[32] = "";
	if (c->previous)
		(void)snprintf(kept, sizeof(kept), ", root %u kept", c->previous);
	line("mac", c->id);
	line("name", c->name);
	line("state", state_name(st, cow_realtime_s()));
	(void)printf("%-11s %s@%u (root %u%s)\n", "image", c->image, c->version, c->root, kept);
	if (c->next.what != COW_SWAP_NONE)
		next_line(&c->next, c->follows);
	line("follows", c->follows);
	line("group", c->group);
	line("keep", c->keep);
	(void)printf("%-11s %s", "backend", cow_backend_name(c->root_backend));
	if (c->backend != c->root_backend)
		(void)printf(", %s from the next reset", cow_backend_name(c->backend));
	(void)putchar('\n');
	line("durability", cow_ovl_durability_name(c->durability));
	line("ephemeral", c->ephemeral ? "yes" : "no");
	if (c->limit_bytes)
		(void)printf("%-11s %llu bytes\n", "limit", (unsigned long long)c->limit_bytes);
	(void)printf("%-11s /clients/%s (id %u)\n", "export", c->id, c->export_id);
	line("address", c->address);
	line("serial", c->serial);
	line("nfs", c->nfs);
	line("cmdline", c->cmdline);
	line("boot dir", c->boot_dir);
	line("initramfs", c->initramfs);
	time_line("created", c->created_s, NULL);
	time_line("swapped", c->swapped_s, NULL);
	time_line("last boot", st->boot_s, st->boot_addr);
	time_line("last nfs", st->nfs_s, st->nfs_addr);
	if (st->refused)
		refused_line(st);
}

int cow_cmd_client_show(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_client_state st = {0};
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse("client show", show_help, COW_OPT_JSON | COW_OPT_BOOTS, 1, 1,
				       argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r == 0)
		r = cow_client_state_read(s, &c->mac, &st, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	struct json_object *json = o.given & COW_OPT_JSON ? client_json(c, &st) : NULL;

	if (!json)
		print_client(c, &st);
	struct json_object *roots = json ? json_object_new_array() : NULL;
	if (json)
		(void)json_object_object_add(json, "roots", roots);
	r = cow_client_roots_each(s, &c->mac, json ? add_root : root_line, roots, &err);
	if (r < 0) {
		json_object_put(json);
		return cow_cli_fail(&err, r);
	}
	if (o.given & COW_OPT_BOOTS)
		r = json ? cow_client_boots_json(s, &c->mac, json)
			 : cow_client_boots_print(s, &c->mac);
	if (r < 0) {
		json_object_put(json);
		return cow_cli_fail(&err, cow_err_set(&err, r, "read the boots of %s", c->id));
	}
	return json ? cow_cli_json(json) : cow_cli_flush();
}
