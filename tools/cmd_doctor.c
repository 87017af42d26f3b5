/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor - look for the usual faults, and say of each what was looked at, why it matters and what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "doctor.h"
#include "serve_small.h"

static const struct {
	const char *name;
	void (*fn)(struct cow_doctor *d);
} checks[] = {
    {"address", cow_doctor_address},
    {"programs", cow_doctor_programs},
    {"nfs-version", cow_doctor_nfs_version},
    {"services", cow_doctor_services},
    {"loaders", cow_doctor_loaders},
    {"firewall", cow_doctor_firewall},
    {"dhcp-servers", cow_doctor_dhcp},
    {"bridge", cow_doctor_bridge},
    {"store", cow_doctor_store},
    {"records", cow_doctor_records},
    {"boot-files", cow_doctor_boot_files},
    {"shadowed", cow_doctor_shadowed},
    {"leases", cow_doctor_leases},
};
#define CHECKS (sizeof(checks) / sizeof(checks[0]))

/* ------------------------------------------------ what checks call */

void cow_doctor_find(struct cow_doctor *d, const struct cow_client *client,
		     const struct cow_fault *fault, const char *fmt, ...)
{
	struct cow_finding *all = reallocarray(d->finding, d->findings + 1, sizeof(*d->finding));
	va_list ap;

	if (!all) {
		d->r = -ENOMEM;
		return;
	}
	d->finding = all;
	struct cow_finding *f = &all[d->findings++];

	*f = (struct cow_finding){.check = d->check};
	if (client)
		(void)snprintf(f->client, sizeof(f->client), "%s", client->id);
	va_start(ap, fmt);
	if (vasprintf(&f->found, fmt, ap) < 0)
		f->found = NULL; /* vasprintf(3) leaves it undefined */
	va_end(ap);
	f->looked = strdup(fault->looked);
	f->why = strdup(fault->why);
	f->todo = strdup(fault->todo);
	if (!f->found || !f->looked || !f->why || !f->todo)
		d->r = -ENOMEM;
}

void cow_doctor_skip(struct cow_doctor *d, const char *fmt, ...)
{
	va_list ap;

	free(d->skipped);
	va_start(ap, fmt);
	if (vasprintf(&d->skipped, fmt, ap) < 0) {
		d->skipped = NULL;
		d->r = -ENOMEM;
	}
	va_end(ap);
}

struct walk {
	struct cow_doctor *d;
	void (*fn)(struct cow_doctor *d, const struct cow_client *c);
};

static int each(void *ctx, const struct cow_client *c, const char *id, const struct cow_err *why)
{
	const struct walk *w = ctx;

	(void)id;
	(void)why; /* cow_doctor_records() tells */
	if (c && (!w->d->only || strcmp(w->d->only->id, c->id) == 0))
		w->fn(w->d, c);
	return 0;
}

void cow_doctor_each_client(struct cow_doctor *d,
			    void (*fn)(struct cow_doctor *d, const struct cow_client *c))
{
	struct walk w = {.d = d, .fn = fn};
	struct cow_err err = COW_ERR_INIT;

	if (!d->store)
		cow_doctor_skip(d, "there is no store");
	else if (cow_client_each(d->store, each, &w, &err) < 0)
		cow_doctor_skip(d, "%s", cow_err_str(&err));
}

/* ------------------------------------------------ output */

static struct json_object *finding_json(const struct cow_finding *f)
{
	struct json_object *o = json_object_new_object();

	cow_cli_json_str(o, "check", f->check);
	cow_cli_json_str(o, "client", f->client);
	cow_cli_json_str(o, "found", f->found);
	cow_cli_json_str(o, "looked_at", f->looked);
	cow_cli_json_str(o, "why", f->why);
	cow_cli_json_str(o, "do", f->todo);
	return o;
}

static void print_finding(const struct cow_finding *f)
{
	(void)printf("%s: %s%s%s\n", f->check, f->client, *f->client ? ": " : "", f->found);
	(void)printf("    looked at: %s\n    why: %s\n    do: %s\n", f->looked, f->why, f->todo);
}

/* A summary of each check into @list, or the skipped ones and the sum as text. */
static void run_checks(struct cow_doctor *d, struct json_object *list)
{
	cow_autofree char *skips = NULL;
	size_t len = 0;
	unsigned made = 0;
	FILE *f = open_memstream(&skips, &len);

	if (!f) {
		d->r = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < CHECKS; i++) {
		size_t before = d->findings;

		d->check = checks[i].name;
		checks[i].fn(d);
		for (size_t k = before; !list && k < d->findings && d->r == 0; k++)
			print_finding(&d->finding[k]);
		if (list) {
			struct json_object *o = json_object_new_object();

			cow_cli_json_str(o, "check", d->check);
			cow_cli_json_u64(o, "findings", d->findings - before);
			cow_cli_json_str(o, "not_looked_at", d->skipped);
			json_object_array_add(list, o);
		}
		if (d->skipped)
			(void)fprintf(f, "not looked at: %s: %s\n", d->check, d->skipped);
		else
			made++;
		free(d->skipped);
		d->skipped = NULL;
	}
	if (fclose(f) != 0)
		d->r = -ENOMEM;
	if (!list && d->r == 0)
		(void)printf("%s%u checks, %zu findings\n", skips, made, d->findings);
}

static int report(struct cow_doctor *d, bool json)
{
	struct json_object *o = json ? json_object_new_object() : NULL;
	struct json_object *list = json ? json_object_new_array() : NULL;

	run_checks(d, list);
	if (d->r < 0) {
		json_object_put(o);
		json_object_put(list);
		return cow_cli_fail(NULL, d->r);
	}
	int status = COW_OK;

	if (json) {
		struct json_object *found = json_object_new_array();

		for (size_t i = 0; i < d->findings; i++)
			json_object_array_add(found, finding_json(&d->finding[i]));
		json_object_object_add(o, "findings", found);
		json_object_object_add(o, "checks", list);
		status = cow_cli_json(o);
	} else {
		status = cow_cli_flush();
	}
	return status == COW_OK && d->findings > 0 ? COW_ERR_FAILED : status;
}

/* ------------------------------------------------ command */

static int usage(FILE *to)
{
	(void)fputs("usage: cowherd doctor [CLIENT] [--interface IF] [--json]\n"
		    "\n"
		    "Look for the usual faults of this server, its store and its clients, or of "
		    "one client, and\n"
		    "say what to do. Nothing is changed. Exit status 1 when something was found.\n"
		    "  --interface IF ask for DHCP servers there; default: the serving interface, "
		    "if [dhcp]\n"
		    "                 is on\n"
		    "  --json         for programs\n"
		    "  --config FILE  default: " COW_CONFIG_DEFAULT "\n"
		    "  --store DIR    instead of the configuration's [store] path\n"
		    "  --run DIR      instead of the configuration's [serve] run_dir\n"
		    "  --help         show this text\n",
		    to);
	return to == stdout ? cow_cli_flush() : COW_ERR_USAGE;
}

struct words {
	const char *config, *store, *run, *interface, *client;
	bool json;
};

/* Return: -1 go on; else the exit status. */
static int parse(int argc, char **argv, struct words *w)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"store", required_argument, NULL, 's'},
	    {"run", required_argument, NULL, 'r'},
	    {"interface", required_argument, NULL, 'i'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) !=
	       -1) { /* NOLINT(concurrency-mt-unsafe): one thread */
		if (opt == 'c')
			w->config = optarg;
		else if (opt == 's')
			w->store = optarg;
		else if (opt == 'r')
			w->run = optarg;
		else if (opt == 'i')
			w->interface = optarg;
		else if (opt == 'j')
			w->json = true;
		else
			return usage(opt == 'h' ? stdout : stderr);
	}
	if (argc - optind > 1)
		return cow_cli_usage("doctor", "do not know what to do with '%s'",
				     argv[optind + 1]);
	w->client = argv[optind];
	return -1;
}

static int read_run(struct cow_doctor *d, struct cow_err *err)
{
	const char *run = d->config->run_dir;
	int r = cow_serve_running(run);

	d->running = r > 0;
	if (r < 0)
		return cow_err_set(err, r, "look at '%s/lock'", run);
	if (!d->running)
		return cow_kv_new(&d->run);
	cow_autoclose int fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return cow_err_set(err, -errno, "open '%s'", run);
	r = cow_kv_read_at(fd, "status", &d->run, err);
	return r == -ENOENT ? cow_kv_new(&d->run) : r;
}

static int configure(const struct words *w, struct cow_config **ret, struct cow_err *err)
{
	int r = cow_config_load(w->config, ret, err);

	if (r == 0 && w->store)
		r = cow_config_set(*ret, "store", "path", w->store, err);
	if (r == 0 && w->run)
		r = cow_config_set(*ret, "serve", "run_dir", w->run, err);
	return r;
}

int cow_cmd_doctor(int argc, char **argv)
{
	struct words w = {0};
	struct cow_err err = COW_ERR_INIT;
	struct cow_doctor d = {.store_error = COW_ERR_INIT, .net_error = COW_ERR_INIT};
	cow_autoconfig config = NULL;
	cow_autostore store = NULL;
	cow_autoclient only = NULL;
	int status = parse(argc, argv, &w);

	if (status >= 0)
		return status;
	int r = configure(&w, &config, &err);

	if (r < 0 || !config)
		return cow_cli_fail(&err, r);
	d.config = config;
	d.interface = w.interface;
	/* A store or an address that is not there is a finding, no reason to stop. */
	if (cow_store_open(config->store_path, &store, &d.store_error) == 0)
		d.store = store;
	(void)cow_serve_find_net(config, &d.net, &d.net_error);
	if (w.client) {
		r = store ? cow_client_find(store, w.client, &only, &err) : -ENOENT;
		if (r < 0)
			return cow_cli_fail(store ? &err : &d.store_error, r);
		d.only = only;
	}
	r = read_run(&d, &err);
	status = r < 0 ? cow_cli_fail(&err, r) : report(&d, w.json);
	for (size_t i = 0; i < d.findings; i++) {
		free(d.finding[i].looked);
		free(d.finding[i].found);
		free(d.finding[i].why);
		free(d.finding[i].todo);
	}
	free(d.finding);
	cow_kv_free(d.run);
	return status;
}
