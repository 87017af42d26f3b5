/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client reset|roll|rollback: of some clients or many, now or at their next boot. All are tried; the
 * first failure gives the exit status.
 */
#include "client_swap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "client_pick.h"
#include "client_rebase.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/log.h"
#include "options.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

#define SHARED_HELP                                                                                \
	"  --group GROUP    the clients of a group\n"                                              \
	"  --all            all clients\n"                                                         \
	"  --at-boot        when the machine boots next\n"                                         \
	"  --now            also while it runs: it loses its root and must reboot\n"               \
	"  --cancel         take back what was to be done at the next boot, whatever it is\n"      \
	"  --dry-run        say what would be done\n"                                              \
	"  --json           for programs\n"                                                        \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"
#define KEEP_HELP                                                                                  \
	"  --keep LISTS     keep-lists, with commas, instead of the client's\n"                    \
	"  --factory        nothing is kept\n"

static const char reset_help[] =
    "usage: cowherd client reset MAC|NAME...|--group GROUP|--all [--at-boot|--now|--cancel]\n"
    "                            [--keep LISTS|--factory] [--dry-run] [--json]\n"
    "\n"
    "Give clients a fresh root from the image they follow, with what the keep-lists name carried\n"
    "over. The old root is kept: 'cowherd client rollback' undoes it.\n"
    "\n" KEEP_HELP SHARED_HELP;

static const char roll_help[] =
    "usage: cowherd client roll MAC|NAME...|--group GROUP|--all [--to REF [--follow]]\n"
    "                           [--at-boot|--now|--cancel] [--keep LISTS|--factory] [--dry-run]\n"
    "                           [--json]\n"
    "       cowherd client roll MAC|NAME...|--group GROUP|--all --rebase [--to REF [--follow]]\n"
    "                           [--theirs GLOB]... [--both GLOB]... [--force] [--at-boot]\n"
    "                           [--dry-run] [--json]\n"
    "\n"
    "Give clients a fresh root from another version, with what the keep-lists name carried over:\n"
    "at once, or at its next boot when the machine runs. 'cowherd client rollback' undoes it.\n"
    "\n"
    "  --to REF         NAME@VERSION, NAME:TAG or NAME; default: the newest of what each follows\n"
    "  --follow         follow REF from then on\n"
    "  --rebase         take along all that the client changed, merged with what the versions\n"
    "                   differ in; not while it runs, but with --at-boot\n"
    "  --theirs GLOB    for these paths: the new version's where both changed something\n"
    "  --both GLOB      for these paths: the new version's is kept beside, as NAME.cowherd-new\n"
    "  --force          take packages from the new version, whatever the client did to "
    "them\n" KEEP_HELP SHARED_HELP;

static const char rollback_help[] =
    "usage: cowherd client rollback MAC|NAME...|--group GROUP|--all [--to ROOT]\n"
    "                               [--at-boot|--now|--cancel] [--dry-run] [--json]\n"
    "\n"
    "Swap a client's root with the one kept from before: undoes a reset or roll, and itself.\n"
    "\n"
    "  --to ROOT        number of a root that is kept, see 'cowherd client show'; default: the\n"
    "                   one that was swapped last\n" SHARED_HELP;

static const struct action {
	enum cow_swap_what what;
	const char *command, *help, *done, *infinitive;
	unsigned takes;
} reset = {COW_SWAP_RESET, "client reset", reset_help, "reset", "reset", COW_OPT_KEEP_LISTS},
  roll = {COW_SWAP_ROLL, "client roll",
	  roll_help,	 "rolled",
	  "roll",	 COW_OPT_KEEP_LISTS | COW_OPT_TO | COW_OPT_FOLLOW | COW_OPT_REBASE | COW_OPT_FORCE},
  rollback = {COW_SWAP_ROLLBACK, "client rollback", rollback_help,
	      "rolled back",	 "roll back",	    COW_OPT_TO};

struct run {
	const struct action *a;
	struct cow_store *s;
	struct cow_options o;
	struct json_object *json;	   /* NULL: print */
	struct cow_swap *swap;		   /* of those that are done now */
	struct cow_rebase_report **report; /* of each; NULL: none */
	size_t n;
	int status; /* of the first failure */
};

static void note(struct run *run, int status)
{
	if (run->status == COW_OK)
		run->status = status;
}

/* ---------------------------------------------------------------- telling */

static struct json_object *result(struct run *run, const struct cow_client *c, const char *what)
{
	struct json_object *o = json_object_new_object();
	cow_cli_json_str(o, "mac", c->id);
	cow_cli_json_str(o, "name", c->name);
	cow_cli_json_str(o, "result", what);
	(void)json_object_array_add(run->json, o);
	return o;
}

static void tell_failed(struct run *run, const struct cow_client *c, const struct cow_err *err,
			int r)
{
	note(run, cow_cli_fail(err, r));
	if (run->json)
		cow_cli_json_str(result(run, c, "failed"), "error", cow_err_str(err));
}

static void tell_already(struct run *run, const struct cow_client *c)
{
	if (run->json)
		(void)result(run, c, "already");
	else
		(void)printf("%s (%s) has %s@%u already\n", c->id, c->name, c->image, c->version);
}

/* An event that cannot be written is no failure of what was done. */
static void event(struct run *run, const char *kind, const struct cow_client *c)
{
	char version[16], root[16];

	(void)snprintf(version, sizeof(version), "%u", c->version);
	(void)snprintf(root, sizeof(root), "%u", c->root);
	(void)cow_store_event(run->s, kind, "client", c->id, "name", c->name, "image", c->image,
			      "version", version, "root", root, NULL);
}

static void tell_done(struct run *run, const struct cow_swap *w, struct cow_rebase_report *rebase,
		      uint64_t ms)
{
	const struct cow_client *c = w->now;
	char size[COW_BYTES_LEN];

	event(run, cow_swap_name(w->what), c);
	if (run->json) {
		struct json_object *o = result(run, c, "done");
		cow_cli_json_str(o, "image", c->image);
		cow_cli_json_u64(o, "version", c->version);
		cow_cli_json_u64(o, "root", c->root);
		cow_cli_json_u64(o, "kept", w->kept);
		cow_cli_json_u64(o, "kept_bytes", w->kept_bytes);
		if (rebase)
			cow_rebase_report_tell(rebase, o);
		return;
	}
	(void)printf("%s %s (%s) to %s@%u, root %u, in %llu ms\n", run->a->done, c->id, c->name,
		     c->image, c->version, c->root, (unsigned long long)ms);
	if (w->kept) {
		cow_cli_bytes(w->kept_bytes, size);
		(void)printf("  kept %llu objects, %s\n", (unsigned long long)w->kept, size);
	}
	if (rebase)
		cow_rebase_report_tell(rebase, NULL);
}

static void say_conflict(void *ctx, const char *path, const char *what)
{
	const struct cow_client *c = ctx;
	(void)fprintf(stderr, "cowherd: client %s: %s %s\n", c->id, COW_Q(path), what);
}

/* ---------------------------------------------------------------- at the next boot */

static void cancel(struct run *run, const struct cow_client *c)
{
	struct cow_err err = COW_ERR_INIT;
	int r = 0;
	if (run->o.given & COW_OPT_DRY_RUN) {
		(void)printf("would cancel the %s of %s (%s) at its next boot\n",
			     cow_swap_name(c->next.what), c->id, c->name);
		return;
	}
	r = cow_client_next_cancel(run->s, &c->mac, &err);
	if (r < 0) {
		tell_failed(run, c, &err, r);
		return;
	}
	(void)cow_store_event(run->s, "cancel", "client", c->id, "name", c->name, "what",
			      cow_swap_name(c->next.what), NULL);
	if (run->json)
		(void)result(run, c, "canceled");
	else
		(void)printf("%s (%s) keeps its root at its next boot\n", c->id, c->name);
}

static struct cow_rebase_report *new_report(struct run *run, const struct cow_client *c)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_rebase_report *report = NULL;
	int r = cow_rebase_report_new(&run->o, &report);
	if (r < 0)
		tell_failed(run, c, &err, cow_err_set(&err, r, "rebase client %s", c->id));
	return report;
}

/* Where it goes, for people. */
static void target(const struct cow_client *now, enum cow_swap_what what, char *to, size_t room)
{
	if (what == COW_SWAP_ROLLBACK)
		(void)snprintf(to, room, "root %u", now->next.root);
	else
		(void)snprintf(to, room, "%s", *now->next.to ? now->next.to : now->follows);
}

static void tell_ordered(struct run *run, const struct cow_client *c, const struct cow_swap *w,
			 const char *to, struct cow_rebase_report *report)
{
	(void)cow_store_event(run->s, "order", "client", c->id, "name", c->name, "what",
			      cow_swap_name(w->what), "to", to, NULL);
	struct json_object *o = run->json ? result(run, c, "at boot") : NULL;
	if (o)
		cow_cli_json_str(o, "to", to);
	else
		(void)printf("%s (%s) is %s to %s when it boots next%s%s%s\n", c->id, c->name,
			     run->a->done, to, w->follow ? ", and follows " : "",
			     w->follow ? w->follow : "", w->follow ? " then" : "");
	if (report)
		cow_rebase_report_tell(report, o);
}

static void order(struct run *run, const struct cow_client *c, struct cow_swap *w)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autorebasereport report = run->o.rebase ? new_report(run, c) : NULL;
	cow_autoclient now = NULL;
	char to[sizeof(c->next.to) + 16] = "";
	if (run->o.rebase && !report)
		return;
	w->rebase = report ? &report->opts : NULL;
	int r = cow_client_next_set(run->s, w, &err);
	if (r == 0)
		r = cow_client_load(run->s, &c->mac, &now, &err);
	if (r < 0) {
		tell_failed(run, c, &err, r);
		return;
	}
	if (r > 0) {
		tell_already(run, c);
		return;
	}
	target(now, w->what, to, sizeof(to));
	tell_ordered(run, c, w, to, report);
}

/* A roll that is not said when to happen does not take the root from under a machine. */
static int waits(struct run *run, const struct cow_client *c, struct cow_err *err)
{
	int64_t ago_s;
	if (run->o.given & COW_OPT_AT_BOOT)
		return 1;
	if (run->o.rebase)
		return 0; /* it is refused */
	return run->a->what == COW_SWAP_ROLL && !(run->o.given & COW_OPT_NOW)
		   ? cow_client_is_running(run->s, &c->mac, &ago_s, err)
		   : 0;
}

/* ---------------------------------------------------------------- dry run */

static int say_kept(void *ctx, const char *path, uint64_t objects, uint64_t bytes)
{
	struct json_object *list = ctx;
	char size[COW_BYTES_LEN];
	if (list) {
		int escaped;
		cow_autofree char *text = cow_cli_json_path(path, &escaped);
		struct json_object *o = json_object_new_object();
		cow_cli_json_str(o, "path", text);
		cow_cli_json_u64(o, "objects", objects);
		cow_cli_json_u64(o, "bytes", bytes);
		return json_object_array_add(list, o) < 0 ? -ENOMEM : 0;
	}
	cow_cli_bytes(bytes, size);
	(void)fputs("  keeps ", stdout);
	cow_cli_path(stdout, path);
	(void)printf(" (%llu objects, %s)\n", (unsigned long long)objects, size);
	return 0;
}

/* *ret: NULL without --rebase. What fails is told. */
static int plan_rebase(struct run *run, const struct cow_client *c, const struct cow_swap *w,
		       int later, struct cow_rebase_report **ret)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autorebasereport report = NULL;
	int r = run->o.rebase ? cow_rebase_report_new(&run->o, &report) : 0;
	if (r < 0)
		(void)cow_err_set(&err, r, "rebase client %s", c->id);
	else if (report) {
		report->opts.flags |= later ? COW_REBASE_RUNNING : 0;
		r = cow_client_rebase_plan(run->s, &c->mac, w->to, &report->opts, &err);
	}
	if (r < 0)
		tell_failed(run, c, &err, r);
	else
		*ret = cow_steal_ptr(&report);
	return r;
}

static void dry_fresh(struct run *run, const struct cow_client *c, const struct cow_swap *w,
		      int later)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autorebasereport report = NULL;
	cow_autoimage i = NULL;
	int r = cow_image_find(run->s, w->to ? w->to : c->follows, &i, &err);
	if (r < 0) {
		tell_failed(run, c, &err, r);
		return;
	}
	if (w->what == COW_SWAP_ROLL && i->version == c->version &&
	    strcmp(i->name, c->image) == 0) {
		tell_already(run, c);
		return;
	}
	if (plan_rebase(run, c, w, later, &report) < 0)
		return;
	struct json_object *o =
	    run->json ? result(run, c, later ? "would at boot" : "would") : NULL;
	struct json_object *list = o ? json_object_new_array() : NULL;
	if (o) {
		cow_cli_json_str(o, "image", i->name);
		cow_cli_json_u64(o, "version", i->version);
		(void)json_object_object_add(o, "keeps", list);
	} else {
		(void)printf("would give %s (%s) a fresh root from %s@%u%s; now: %s@%u\n", c->id,
			     c->name, i->name, i->version, later ? " when it boots next" : "",
			     c->image, c->version);
		if (c->previous && c->keep_roots == 1)
			(void)printf("  deletes root %u, kept from before\n", c->previous);
	}
	if (report) {
		cow_rebase_report_tell(report, o);
		return;
	}
	r = cow_client_kept_each(run->s, &c->mac, w->flags & COW_SWAP_FACTORY ? "none" : w->keep,
				 say_kept, list, &err);
	if (r < 0)
		tell_failed(run, c, &err, r);
}

static void dry_back(struct run *run, const struct cow_client *c, const struct cow_swap *w)
{
	unsigned n = w->root ? w->root : c->previous;
	if (run->json)
		cow_cli_json_u64(result(run, c, "would"), "root", n);
	else if (n)
		(void)printf("would give %s (%s) root %u back; now: root %u\n", c->id, c->name, n,
			     c->root);
	else
		(void)printf("%s (%s) has no root to go back to\n", c->id, c->name);
}

/* ---------------------------------------------------------------- doing */

static int refuse_ephemeral(struct run *run, const struct cow_client *c)
{
	struct cow_err err = COW_ERR_INIT;
	if (!c->ephemeral || !run->o.to || run->a->what != COW_SWAP_ROLL ||
	    run->o.given & COW_OPT_FOLLOW)
		return 0;
	int r =
	    cow_err_hint(&err,
			 cow_err_say(&err, COW_ERR_REFUSED, -EPERM,
				     "client %s is ephemeral: at every boot it gets a fresh root "
				     "of what it follows, %s",
				     c->id, c->follows),
			 "--follow changes that as well");
	tell_failed(run, c, &err, r);
	return r;
}

static void add(struct run *run, const struct cow_client *c, const struct cow_swap *w)
{
	struct cow_rebase_report *report = run->o.rebase ? new_report(run, c) : NULL;
	if (run->o.rebase && !report)
		return;
	run->report[run->n] = report;
	run->swap[run->n] = *w;
	run->swap[run->n++].rebase = report ? &report->opts : NULL;
}

static void look_at(struct run *run, struct cow_client *c)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_swap w = {
	    .mac = c->mac,
	    .what = run->a->what,
	    .flags = (run->o.given & COW_OPT_NOW ? COW_SWAP_NOW : 0) |
		     (run->o.factory ? COW_SWAP_FACTORY : 0),
	    .to = run->a->what == COW_SWAP_ROLL ? run->o.to : NULL,
	    .root = run->o.root,
	    .follow = run->o.given & COW_OPT_FOLLOW ? run->o.to : NULL,
	    .keep = run->o.keep_lists,
	    .conflict = say_conflict,
	    .ctx = c,
	};
	if (run->o.given & COW_OPT_CANCEL) {
		cancel(run, c);
		return;
	}
	if (refuse_ephemeral(run, c) < 0)
		return;
	int later = waits(run, c, &err);
	if (later < 0)
		tell_failed(run, c, &err, later);
	else if (run->o.given & COW_OPT_DRY_RUN && run->a->what == COW_SWAP_ROLLBACK)
		dry_back(run, c, &w);
	else if (run->o.given & COW_OPT_DRY_RUN)
		dry_fresh(run, c, &w, later);
	else if (later)
		order(run, c, &w);
	else
		add(run, c, &w);
}

static void swap_all(struct run *run)
{
	size_t done = 0;
	uint64_t start = cow_now_ms();
	(void)cow_clients_swap(run->s, run->swap, run->n); /* each says for itself */
	uint64_t ms = cow_now_ms() - start;
	for (size_t i = 0; i < run->n; i++) {
		struct cow_swap *w = &run->swap[i];
		if (w->r < 0)
			tell_failed(run, w->ctx, &w->err, w->r);
		else if (w->r > 0)
			tell_already(run, w->ctx);
		else
			tell_done(run, w, run->report[i], ms);
		done += w->r == 0;
		cow_rebase_report_free(run->report[i]);
	}
	cow_swaps_done(run->swap, run->n);
	if (!run->json && done && run->a->what != COW_SWAP_ROLLBACK)
		(void)printf("'cowherd client rollback' undoes it\n");
}

static int check(struct run *run)
{
	const struct cow_options *o = &run->o;
	unsigned when = o->given & (COW_OPT_NOW | COW_OPT_AT_BOOT | COW_OPT_CANCEL);
	uint64_t n;
	if (when & (when - 1))
		return cow_cli_usage(run->a->command,
				     "--now, --at-boot and --cancel exclude each other");
	if (o->rebase && (when & ~COW_OPT_AT_BOOT || o->keep_lists || o->factory))
		return cow_cli_usage(run->a->command,
				     "--rebase does not go with --now, --cancel, --keep and "
				     "--factory");
	if (!o->rebase && (*o->theirs || *o->both || o->force))
		return cow_cli_usage(run->a->command, "--theirs, --both and --force need --rebase");
	if (o->keep_lists && o->factory)
		return cow_cli_usage(run->a->command, "--keep and --factory exclude each other");
	if (o->given & COW_OPT_FOLLOW && !o->to)
		return cow_cli_usage(run->a->command, "--follow needs --to");
	if (run->a->what != COW_SWAP_ROLLBACK || !o->to)
		return -1;
	if (cow_parse_u64(o->to, 1, UINT32_MAX, &n) < 0)
		return cow_cli_usage(run->a->command, "--to '%s' is no number of a root", o->to);
	run->o.root = (unsigned)n;
	return -1;
}

static int finish(struct run *run)
{
	struct cow_err err = COW_ERR_INIT;
	int status = run->json ? cow_cli_json(run->json) : cow_cli_flush();
	int r = 0;
	/* What is out of use: the administrator has been told that all is done. */
	if (run->n > 0)
		r = cow_store_empty_trash(run->s, &err);
	if (r < 0)
		status = cow_cli_fail(&err, r);
	return run->status != COW_OK ? run->status : status;
}

static int act(const struct action *a, int argc, char **argv)
{
	struct run run = {.a = a};
	struct cow_err err = COW_ERR_INIT;
	struct cow_pick pick = {0};
	cow_autostore s = NULL;
	int status =
	    cow_options_parse(a->command, a->help,
			      COW_OPT_NOW | COW_OPT_DRY_RUN | COW_OPT_JSON | COW_OPT_AT_BOOT |
				  COW_OPT_CANCEL | COW_OPT_ALL | COW_OPT_GROUP | a->takes,
			      0, -1, argc, argv, &run.o);
	if (status < 0)
		status = check(&run);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&run.o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	run.s = s;
	status =
	    cow_pick_read(s, a->command, &run.o, argc - run.o.words, argv + run.o.words, &pick);
	run.swap = status == COW_OK ? calloc(pick.n + 1, sizeof(*run.swap)) : NULL;
	run.report = status == COW_OK ? calloc(pick.n + 1, sizeof(*run.report)) : NULL;
	if (run.swap && run.report) {
		run.status = pick.status;
		run.json = run.o.given & COW_OPT_JSON ? json_object_new_array() : NULL;
		for (size_t i = 0; i < pick.n; i++)
			look_at(&run, pick.client[i]);
		swap_all(&run);
		status = finish(&run);
	} else if (status == COW_OK) {
		status = cow_cli_fail(&err, cow_err_set(&err, -ENOMEM, "%s", a->command));
	}
	free(run.swap);
	free(run.report);
	cow_pick_done(&pick);
	return status;
}

int cow_cmd_client_reset(int argc, char **argv)
{
	return act(&reset, argc, argv);
}

int cow_cmd_client_roll(int argc, char **argv)
{
	return act(&roll, argc, argv);
}

int cow_cmd_client_rollback(int argc, char **argv)
{
	return act(&rollback, argc, argv);
}
