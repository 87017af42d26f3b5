/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image fixup: what the fix-ups did to a version; a new one with some taken back or made after all.
 */
#include "image_fixup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "snapshot/fixups.h"
#include "version_report.h"

static const char fixup_help[] =
    "usage: cowherd image fixup NAME[@VERSION|:TAG] [--json]\n"
    "       cowherd image fixup NAME[@VERSION|:TAG] [--undo FIXUP]... [--do FIXUP]... [--force]\n"
    "                           [--dry-run]\n"
    "\n"
    "List the fix-ups with what each has done to a version of an image. Or make a new version in\n"
    "which some are taken back, with nothing left of them in the tree, or made after all.\n"
    "\n"
    "  --undo FIXUP     take one back; \"all\": each that was made\n"
    "  --do FIXUP       make one that was left out or taken back\n"
    "  --force          take back what can be, and leave files that were changed since as they are\n"
    "  --dry-run        say what would be done\n"
    "  --json           for programs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

/* ---------------------------------------------------------------- the list */

static const char *how_far(const struct cow_fixup_state *st)
{
	bool is_there = strcmp(st->result, "done") == 0;
	return is_there && !st->undoable && *st->what ? " (cannot be taken back)" : "";
}

static int print_state(void *ctx, const struct cow_fixup_state *st)
{
	(void)ctx;
	(void)printf("  %-14s %s%s%s%s\n", st->name, st->result, how_far(st), *st->what ? ": " : "",
		     st->what);
	return 0;
}

static int add_state(void *ctx, const struct cow_fixup_state *st)
{
	struct json_object *o = json_object_new_object(), *paths = json_object_new_array();
	cow_cli_json_str(o, "name", st->name);
	cow_cli_json_str(o, "about", st->about);
	cow_cli_json_str(o, "result", st->result);
	cow_cli_json_str(o, "what", st->what);
	json_object_object_add(o, "undoable", json_object_new_boolean(st->undoable));
	for (size_t i = 0; i < st->npaths; i++)
		(void)json_object_array_add(paths, json_object_new_string(st->paths[i]));
	json_object_object_add(o, "paths", paths);
	return json_object_array_add(ctx, o) < 0 ? -ENOMEM : 0;
}

static int list(struct cow_store *s, const struct cow_image *i, const struct cow_options *o)
{
	struct cow_err err = COW_ERR_INIT;
	struct json_object *all = o->given & COW_OPT_JSON ? json_object_new_array() : NULL;
	int r = cow_image_fixups(s, i, all ? add_state : print_state, all, &err);
	if (r == 0)
		return all ? cow_cli_json(all) : cow_cli_flush();
	json_object_put(all);
	return cow_cli_fail(&err, r);
}

/* ---------------------------------------------------------------- a new version */

struct run {
	struct cow_version_report report;
	const struct cow_options *o;
};

static int step(void *ctx, const struct cow_import_progress *now)
{
	struct run *run = ctx;
	return cow_progress_step(&run->report.progress, now);
}

static void print_result(void *ctx, const char *name, const char *result, const char *what)
{
	struct run *run = ctx;
	bool undo = false;
	for (const char *const *n = run->o->undo; *n; n++)
		undo = undo || strcmp(*n, name) == 0 || strcmp(*n, "all") == 0;
	cow_progress_wipe(&run->report.progress);
	if (undo && strcmp(result, "not needed") == 0)
		result = "nothing to take back";
	(void)printf("  %-14s %s%s%s\n", name, result, *what ? ": " : "", what);
}

static int change(struct cow_store *s, const struct cow_image *i, const struct cow_options *o)
{
	struct cow_err err = COW_ERR_INIT;
	struct run run = {.o = o};
	const struct cow_fixup_opts what = {
	    .undo = o->undo,
	    .redo = o->redo,
	    .force = o->force,
	    .dry_run = (o->given & COW_OPT_DRY_RUN) != 0,
	};
	unsigned version = 0;
	cow_version_report_begin(&run.report, o);
	run.report.opts.progress = step;
	run.report.opts.fixup = print_result;
	run.report.opts.ctx = &run;
	int r = cow_image_fixup(s, i, &what, &run.report.opts, &version, &err);
	cow_version_report_end(&run.report);
	if (r < 0)
		return cow_cli_fail(&err, r);
	if (version)
		return cow_version_report_print(&run.report, s, "made", i->name, version, &err);
	(void)printf(what.dry_run ? "no version is made: a dry run\n"
				  : "no version is made: nothing is to be changed\n");
	return cow_cli_flush();
}

int cow_cmd_image_fixup(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	int status = cow_options_parse(
	    "image fixup", fixup_help, COW_OPT_JSON | COW_OPT_FIXUP | COW_OPT_FORCE | COW_OPT_DRY_RUN,
	    1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	bool makes = *o.undo || *o.redo;
	if (makes && o.given & COW_OPT_JSON)
		return cow_cli_usage("image fixup", "--json is for the list");
	if (!makes && (o.given & COW_OPT_DRY_RUN || o.force))
		return cow_cli_usage("image fixup", "say which: --undo or --do FIXUP");
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	return makes ? change(s, i, &o) : list(s, i, &o);
}
