/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd status - services and clients at a glance: what RUN/status says of a running `serve`, the
 * rest from the store, so that it works without one too.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cmd.h"
#include "common/clock.h"
#include "common/kv.h"
#include "config.h"
#include "serve_small.h"
#include "snapshot/client.h"
#include "snapshot/space.h"
#include "status_space.h"

#define SERVICE_PREFIX "service."

struct status {
	struct cow_config *config;
	struct cow_store *store;
	struct cow_kv *run; /* RUN/status; empty when nothing runs */
	int running, space; /* space: also what uses how much */
	int64_t now_s;
	struct json_object *json; /* array of clients, or NULL */
	struct cow_table *table;  /* of clients, or NULL */
	unsigned clients, damaged;
	int r; /* failure of a callback */
};

static int read_run(struct status *s, struct cow_err *err)
{
	const char *run = s->config->run_dir;

	s->running = cow_serve_running(run);
	if (s->running < 0)
		return cow_err_set(err, s->running, "look at '%s/lock'", run);
	if (!s->running)
		return cow_kv_new(&s->run);
	cow_autoclose int fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cow_err_set(err, -errno, "open '%s'", run);
	int r = cow_kv_read_at(fd, "status", &s->run, err);
	return r == -ENOENT ? cow_kv_new(&s->run) : r; /* only just started */
}

static const char *run_get(const struct status *s, const char *section, const char *key)
{
	const char *v = cow_kv_get(s->run, section, key);

	return v ? v : "";
}

/* ------------------------------------------------ clients */

static const char *state_of(const struct status *s, const struct cow_client_state *st)
{
	if (st->nfs_s && s->now_s - st->nfs_s <= COW_CLIENT_RUNNING_S)
		return "running";
	return st->boot_s || st->nfs_s ? "seen" : "never";
}

static void client_json(const struct status *s, const struct cow_client *c,
			const struct cow_client_state *st, const char *section)
{
	struct json_object *o = json_object_new_object();

	cow_cli_json_str(o, "mac", c->id);
	cow_cli_json_str(o, "name", c->name);
	cow_cli_json_str(o, "image", c->image);
	cow_cli_json_u64(o, "version", c->version);
	cow_cli_json_str(o, "state", state_of(s, st));
	cow_cli_json_time(o, "last_boot", st->boot_s);
	cow_cli_json_time(o, "last_nfs", st->nfs_s);
	cow_cli_json_str(o, "address", c->address);
	cow_cli_json_str(o, "boot_address", st->boot_addr);
	cow_cli_json_str(o, "nfs_address", st->nfs_addr);
	cow_cli_json_u64(o, "export_id", c->export_id);
	cow_cli_json_str(o, "export", s->running ? run_get(s, section, "export") : "off");
	json_object_array_add(s->json, o);
}

static int client_row(const struct status *s, const struct cow_client *c,
		      const struct cow_client_state *st, const char *section)
{
	char ago[COW_AGO_LEN], image[COW_LABEL_MAX + 16], id[16];
	const char *addr = *st->nfs_addr    ? st->nfs_addr
			   : *st->boot_addr ? st->boot_addr
					    : c->address;
	const char *export = s->running ? run_get(s, section, "export") : "-";

	cow_cli_ago(st->boot_s, s->now_s, ago);
	(void)snprintf(image, sizeof(image), "%s@%u", c->image, c->version);
	(void)snprintf(id, sizeof(id), "%u", c->export_id);
	const char *cells[] = {c->id, c->name,
			       image, state_of(s, st),
			       ago,   *addr ? addr : "-",
			       id,    *export ? export : "pending"};
	return cow_table_row(s->table, cells);
}

static int damaged_client(struct status *s, const char *id, const struct cow_err *why)
{
	s->damaged++;
	if (s->json) {
		struct json_object *o = json_object_new_object();
		cow_cli_json_str(o, "mac", id);
		cow_cli_json_str(o, "state", "damaged");
		cow_cli_json_str(o, "error", cow_err_str(why));
		json_object_array_add(s->json, o);
		return 0;
	}
	(void)fprintf(stderr, "cowherd: client '%s': %s\n", id, cow_err_str(why));
	return 0;
}

static int each_client(void *ctx, const struct cow_client *c, const char *id,
		       const struct cow_err *why)
{
	struct status *s = ctx;
	struct cow_client_state st = {0};
	char section[64];

	if (!c)
		return damaged_client(s, id, why);
	s->clients++;
	(void)cow_client_state_read(s->store, &c->mac, &st, NULL); /* unreadable counts as never */
	(void)snprintf(section, sizeof(section), "client.%s", c->id);
	if (s->json)
		client_json(s, c, &st, section);
	else
		s->r = client_row(s, c, &st, section);
	return s->r;
}

/* ------------------------------------------------ services */

/* Every service section of the record, in its order. */
static int each_service(const struct status *s, int (*fn)(void *ctx, const char *section),
			void *ctx)
{
	const char *section, *key;

	for (size_t n = 0; cow_kv_entry(s->run, n, &section, &key, NULL) == 0; n++) {
		if (strncmp(section, SERVICE_PREFIX, strlen(SERVICE_PREFIX)) != 0 ||
		    strcmp(key, "state") != 0)
			continue;
		int r = fn(ctx, section);
		if (r < 0)
			return r;
	}
	return 0;
}

struct service_out {
	const struct status *s;
	struct json_object *json;
	struct cow_table *table;
};

static int service_json(void *ctx, const char *section)
{
	const struct service_out *out = ctx;
	struct json_object *o = json_object_new_object();

	cow_cli_json_str(o, "name", section + strlen(SERVICE_PREFIX));
	cow_cli_json_str(o, "state", run_get(out->s, section, "state"));
	cow_cli_json_u64(o, "pid", strtoull(run_get(out->s, section, "pid"), NULL, 10));
	cow_cli_json_u64(o, "restarts", strtoull(run_get(out->s, section, "restarts"), NULL, 10));
	cow_cli_json_str(o, "last_reason", run_get(out->s, section, "reason"));
	cow_cli_json_str(o, "listen", run_get(out->s, section, "listen"));
	json_object_array_add(out->json, o);
	return 0;
}

static int service_row(void *ctx, const char *section)
{
	const struct service_out *out = ctx;
	const char *cells[] = {
	    section + strlen(SERVICE_PREFIX),	run_get(out->s, section, "state"),
	    run_get(out->s, section, "pid"),	run_get(out->s, section, "restarts"),
	    run_get(out->s, section, "listen"), run_get(out->s, section, "reason")};

	return cow_table_row(out->table, cells);
}

/* ------------------------------------------------ output */

static int store_space(const struct status *s, struct cow_space *ret, struct cow_err *err)
{
	cow_config_space(s->config, s->store);
	int r = cow_store_space(s->store, ret);
	return r < 0 ? cow_err_set(err, r, "ask '%s' for free space", s->config->store_path) : 0;
}

static int print_json(struct status *s, struct cow_err *err)
{
	struct json_object *top = json_object_new_object(), *store = json_object_new_object();
	struct service_out out = {.s = s, .json = json_object_new_array()};
	struct cow_space room = {0};
	struct json_object *use = NULL;

	s->json = json_object_new_array();
	cow_cli_json_str(top, "state", s->running ? run_get(s, "serve", "state") : "stopped");
	cow_cli_json_u64(top, "pid", strtoull(run_get(s, "serve", "pid"), NULL, 10));
	cow_cli_json_str(top, "started", run_get(s, "serve", "started"));
	cow_cli_json_str(top, "address", run_get(s, "serve", "address"));
	cow_cli_json_str(store, "path", s->config->store_path);
	json_object_object_add(top, "store", store);
	json_object_object_add(top, "services", out.json);
	json_object_object_add(top, "clients", s->json);
	int r = store_space(s, &room, err);
	if (r == 0 && s->space) {
		r = cow_status_space_json(s->store, &use, err);
		json_object_object_add(store, "use", use);
	}
	if (r == 0) {
		cow_cli_json_u64(store, "bytes_total", room.total);
		cow_cli_json_u64(store, "bytes_free", room.free);
		cow_cli_json_str(store, "space", cow_space_level_name(room.level));
		(void)each_service(s, service_json, &out);
		r = cow_client_each(s->store, each_client, s, err);
	}
	if (r < 0) {
		json_object_put(top);
		return r;
	}
	return cow_cli_json(top);
}

static int print_services(const struct status *s)
{
	static const char *const head[] = {"SERVICE",  "STATE",	     "PID",
					   "RESTARTS", "LISTENS ON", "LAST END"};
	cow_autotable t = NULL;

	if (!s->running) {
		(void)printf("cowherd serve is not running (run directory %s)\n",
			     s->config->run_dir);
		return 0;
	}
	(void)printf("cowherd serve is %s, process %s, on %s (%s)\n\n",
		     run_get(s, "serve", "state"), run_get(s, "serve", "pid"),
		     run_get(s, "serve", "address"), run_get(s, "serve", "interface"));
	int r = cow_table_new(6, &t);
	struct service_out out = {.s = s, .table = t};
	if (r == 0)
		r = cow_table_row(t, head);
	if (r == 0)
		r = each_service(s, service_row, &out);
	if (r == 0)
		cow_table_print(t);
	return r;
}

static int print_text(struct status *s, struct cow_err *err)
{
	static const char *const head[] = {"MAC",	"NAME",	   "IMAGE",	"STATE",
					   "LAST BOOT", "ADDRESS", "EXPORT ID", "EXPORT"};
	char free_text[COW_BYTES_LEN], total_text[COW_BYTES_LEN];
	cow_autotable t = NULL;
	struct cow_space room = {0};

	int r = print_services(s);
	if (r == 0)
		r = cow_table_new(8, &t);
	s->table = t;
	if (r == 0)
		r = cow_table_row(t, head);
	if (r < 0)
		return cow_err_set(err, r, "status");
	r = cow_client_each(s->store, each_client, s, err);
	if (r == 0)
		r = store_space(s, &room, err);
	if (r < 0)
		return r;
	(void)putchar('\n');
	if (s->clients)
		cow_table_print(t);
	else
		(void)puts("no clients");
	(void)putchar('\n');
	if (s->space) {
		r = cow_status_space_print(s->store, err);
		if (r < 0)
			return r;
		(void)putchar('\n');
	}
	cow_cli_bytes(room.free, free_text);
	cow_cli_bytes(room.total, total_text);
	(void)printf("store %s: %s free of %s%s\n", s->config->store_path, free_text, total_text,
		     room.level == COW_SPACE_REFUSE
			 ? ", less than space_refuse: nothing new is made; see cowherd gc"
		     : room.level == COW_SPACE_WARN ? ", less than space_warn; see cowherd gc"
						    : "");
	return cow_cli_flush();
}

/* ------------------------------------------------ command */

static int usage(FILE *to)
{
	(void)fputs(
	    "usage: cowherd status [--space] [--json] [--config FILE] [--store DIR] [--run DIR]\n"
	    "\n"
	    "Show services, clients and free space.\n"
	    "  --space        also what each version and client uses on disk\n"
	    "  --json         for programs\n"
	    "  --config FILE  default: " COW_CONFIG_DEFAULT "\n"
	    "  --store DIR    instead of the configuration's [store] path\n"
	    "  --run DIR      instead of the configuration's [serve] run_dir\n"
	    "  --help         show this text\n",
	    to);
	return to == stdout ? cow_cli_flush() : COW_ERR_USAGE;
}

struct words {
	const char *config, *store, *run_dir;
	int json, help, space;
};

static int parse(int argc, char **argv, struct words *w)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"store", required_argument, NULL, 's'},
	    {"run", required_argument, NULL, 'r'},
	    {"json", no_argument, NULL, 'j'},
	    {"space", no_argument, NULL, 'S'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) !=
	       -1) { /* NOLINT(concurrency-mt-unsafe): one thread */
		switch (opt) {
		case 'c':
			w->config = optarg;
			break;
		case 's':
			w->store = optarg;
			break;
		case 'r':
			w->run_dir = optarg;
			break;
		case 'j':
			w->json = 1;
			break;
		case 'S':
			w->space = 1;
			break;
		case 'h':
			w->help = 1;
			break;
		default:
			return -EINVAL;
		}
	}
	return optind < argc ? -EINVAL : 0;
}

static int gather(struct status *s, const struct words *w, struct cow_err *err)
{
	int r = cow_config_load(w->config, &s->config, err);
	if (r == 0 && w->store)
		r = cow_config_set(s->config, "store", "path", w->store, err);
	if (r == 0 && w->run_dir)
		r = cow_config_set(s->config, "serve", "run_dir", w->run_dir, err);
	if (r == 0)
		r = cow_store_open(s->config->store_path, &s->store, err);
	return r < 0 ? r : read_run(s, err);
}

int cow_cmd_status(int argc, char **argv)
{
	struct status s = {.now_s = cow_realtime_s()};
	struct cow_err err = COW_ERR_INIT;
	struct words w = {0};

	if (parse(argc, argv, &w) < 0)
		return usage(stderr);
	if (w.help)
		return usage(stdout);
	s.space = w.space;
	int r = gather(&s, &w, &err);
	if (r == 0)
		r = w.json ? print_json(&s, &err) : print_text(&s, &err);
	cow_kv_free(s.run);
	cow_store_close(s.store);
	cow_config_free(s.config);
	if (r < 0)
		return cow_cli_fail(&err, r);
	return r == COW_OK && s.damaged ? COW_ERR_FAILED : r;
}
