/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image edit: begin or go on with an edit, run something in it, then commit, discard or keep.
 */
#include "image_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"
#include "snapshot/commit.h"
#include "tree_run.h"
#include "version_report.h"

#define ANSWERS_MAX 8 /* who types something else that often has left */

static const char edit_help[] =
    "usage: cowherd image edit NAME [--commit TEXT | --discard | --keep] [--resume]\n"
    "                          [-- COMMAND [ARG]...]\n"
    "\n"
    "Run a command (default: a shell) in a writable root on the newest version of an image, with\n"
    "this machine's network. Then the root becomes the next version, or is thrown away, or stays\n"
    "for later: as asked at the end, or as an option says. Without a terminal and an option it\n"
    "stays. The exit status is the command's, unless it is committed or discarded.\n"
    "\n"
    "  --commit TEXT    make a version with this comment, if the command ends with status 0\n"
    "  --discard        throw the root away\n"
    "  --keep           leave it for later\n"
    "  --resume         go on with an edit that was kept or interrupted. Without it and without a\n"
    "                   command, --commit and --discard end such an edit at once.\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

enum end {
	END_ASK,
	END_COMMIT,
	END_DISCARD,
	END_KEEP,
};

struct edit_run {
	struct cow_store *s;
	struct cow_edit *edit;
	struct cow_options *o;
	const char *image;
	char *const *argv; /* of the command; empty: a shell */
	int fresh;	   /* begun by us */
	int status;	   /* of the command */
};

/* ---------------------------------------------------------------- begin or go on */

static int begin(struct edit_run *run, struct cow_err *err)
{
	const char *user = getenv("SUDO_USER"); /* NOLINT(concurrency-mt-unsafe): one thread */
	const struct cow_edit_opts opts = {.by = user ? user : "root"};
	int r = run->o->resume ? cow_edit_find(run->s, run->image, 0, &run->edit, err)
			       : cow_edit_begin(run->s, run->image, &opts, &run->edit, err);
	run->fresh = r == 0 && !run->o->resume;
	return r;
}

static int only_ends(const struct edit_run *run)
{
	return !run->o->resume && !run->argv[0] && (run->o->commit || run->o->discard);
}

/* ---------------------------------------------------------------- run */

static int execute(struct edit_run *run, struct cow_err *err)
{
	const struct cow_tree_run how = {
	    .mount = {.root = run->edit->root, .image = run->edit->below},
	    .argv = run->argv,
	    .name = run->image,
	};
	return cow_tree_run(&how, &run->status, err);
}

static int say_kept(const struct edit_run *run)
{
	(void)fprintf(
	    stderr,
	    "the edit of %s is kept: go on with 'cowherd image edit %s --resume', make it a "
	    "version with --commit TEXT, or throw it away with --discard\n",
	    run->image, run->image);
	return cow_cli_flush();
}

/* Nothing ran: an edit that was begun for it is of no use. */
static int did_not_run(struct edit_run *run, int r, struct cow_err *err)
{
	int nothing = r == -ENOENT || r == -ENOEXEC || r == -EACCES || r == -EBUSY;
	int status = cow_cli_fail(err, r);
	if (!run->fresh || !nothing)
		(void)say_kept(run);
	else if (cow_edit_discard(run->s, run->edit, err) < 0)
		(void)cow_cli_fail(err, -EIO);
	return status;
}

/* ---------------------------------------------------------------- end */

static enum end ask(void)
{
	char line[64];
	for (int i = 0; i < ANSWERS_MAX; i++) {
		(void)fputs("c)ommit, d)iscard, k)eep for later? ", stderr);
		if (!fgets(line, sizeof(line), stdin))
			break;
		switch (line[strspn(line, " \t")]) {
		case 'c':
		case 'C':
			return END_COMMIT;
		case 'd':
		case 'D':
			return END_DISCARD;
		case 'k':
		case 'K':
			return END_KEEP;
		default:
			break;
		}
	}
	return END_KEEP;
}

static enum end choose(const struct edit_run *run)
{
	if (run->o->discard)
		return END_DISCARD;
	if (run->o->keep)
		return END_KEEP;
	if (run->o->commit && run->status != 0) {
		(void)fprintf(stderr, "not committed: the command ended with status %d\n",
			      run->status);
		return END_KEEP;
	}
	if (run->o->commit)
		return END_COMMIT;
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO) ? ask() : END_KEEP;
}

static int commit(struct edit_run *run)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_version_report report;
	unsigned version = 0;
	run->o->comment = run->o->commit;
	cow_version_report_begin(&report, run->o);
	int r = cow_edit_commit(run->s, run->edit, &report.opts, &version, &err);
	cow_version_report_end(&report);
	if (r < 0) {
		int status = cow_cli_fail(&err, r);
		if (version == 0)
			(void)say_kept(run);
		return status;
	}
	return cow_version_report_print(&report, run->s, "committed", run->image, version, &err);
}

static int discard(struct edit_run *run)
{
	struct cow_err err = COW_ERR_INIT;
	int r = cow_edit_discard(run->s, run->edit, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	(void)printf("discarded the edit of %s@%u\n", run->image, run->edit->version);
	return cow_cli_flush();
}

static int finish(struct edit_run *run)
{
	struct cow_err err = COW_ERR_INIT;
	int status, r;
	switch (choose(run)) {
	case END_COMMIT:
		status = commit(run);
		break;
	case END_DISCARD:
		status = discard(run);
		break;
	default:
		(void)say_kept(run);
		return run->status;
	}
	r = cow_store_empty_trash(run->s, &err); /* of what is out of use now */
	return r < 0 && status == COW_OK ? cow_cli_fail(&err, r) : status;
}

static int edit(struct edit_run *run)
{
	struct cow_err err = COW_ERR_INIT;
	int r;
	if (only_ends(run)) {
		r = cow_edit_find(run->s, run->image, 0, &run->edit, &err);
		if (r == 0)
			return finish(run);
		if (r != -ENOENT || run->o->discard)
			return cow_cli_fail(&err, r);
		err = COW_ERR_INIT; /* none: a shell in a new one */
	}
	r = begin(run, &err);
	if (r < 0 || !run->edit)
		return cow_cli_fail(&err, r);
	r = execute(run, &err);
	return r < 0 ? did_not_run(run, r, &err) : finish(run);
}

int cow_cmd_image_edit(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	int status =
	    cow_options_parse("image edit", edit_help, COW_OPT_EDIT, 1, -1, argc, argv, &o);
	if (status >= 0)
		return status;
	if ((o.commit != NULL) + o.discard + o.keep > 1)
		return cow_cli_usage("image edit", "one of --commit, --discard and --keep");
	struct edit_run run = {.o = &o, .image = argv[o.words], .argv = argv + o.words + 1};
	if (strpbrk(run.image, "@:"))
		return cow_cli_usage(
		    "image edit", "'%s': the newest version is edited, write its name", run.image);
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	run.s = s;
	status = edit(&run);
	cow_edit_free(run.edit);
	return status;
}
