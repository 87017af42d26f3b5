/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Options of the commands about images and clients: one set, each command says which it takes.
 */
#ifndef COW_TOOLS_OPTIONS_H
#define COW_TOOLS_OPTIONS_H

#include <stdbool.h>

#include "cli.h"
#include "snapshot/archive.h"

enum {
	COW_OPT_JSON = 1 << 0,
	COW_OPT_DRY_RUN = 1 << 1,
	COW_OPT_NOW = 1 << 2,
	COW_OPT_AT_BOOT = 1 << 26,
	COW_OPT_ALL = 1 << 27,
	COW_OPT_CANCEL = 1 << 28,
	COW_OPT_GROUP = 1 << 29,      /* --group */
	COW_OPT_TO = 1 << 30,	      /* --to */
	COW_OPT_KEEP_LISTS = 1 << 25, /* --keep LISTS, --factory */
	COW_OPT_IMPORT = 1 << 3, /* --comment, --no-fixup */
	COW_OPT_ADD = 1 << 4,	 /* --image, --backend, --durability, --ephemeral */
	COW_OPT_NAME = 1 << 18,
	COW_OPT_MAC = 1 << 19,
	COW_OPT_QUIET = 1 << 5,
	COW_OPT_READ_ONLY = 1 << 6,
	COW_OPT_WRITEBACK = 1 << 7,
	COW_OPT_LAZY = 1 << 8,
	COW_OPT_EDIT = 1 << 9, /* --commit, --discard, --keep, --resume */
	COW_OPT_DELETE = 1 << 10,
	COW_OPT_BOOTS = 1 << 11,
	COW_OPT_FOLLOW = 1 << 12,
	COW_OPT_PENDING = 1 << 13,
	COW_OPT_MODEL = 1 << 14,
	COW_OPT_EXCLUDE = 1 << 15, /* --exclude, --everything */
	COW_OPT_LEVEL = 1 << 20,
	COW_OPT_PUSH = 1 << 21, /* --ssh, --remote */
	COW_OPT_EXPORT = 1 << 16, /* --since, --oci, --btrfs */
	COW_OPT_OUTPUT = 1 << 22,
	COW_OPT_REBASE = 1 << 17, /* --rebase, --theirs, --both */
	COW_OPT_FIXUP = 1 << 23,  /* --undo, --do */
	COW_OPT_FORCE = 1 << 24,
};

#define COW_OPTION_LIST_MAX 32 /* of one that may be given several times */

struct cow_options {
	struct cow_cli_where where;
	unsigned given; /* COW_OPT_*, those without a value */
	const char *comment, *image, *name, *mac, *backend, *durability, *model;
	int ephemeral;
	const char *commit;
	const char *output, *since, *level, *ssh, *remote;
	bool oci, btrfs;
	int discard, keep, resume;
	const char *group, *to, *keep_lists;
	int factory;
	unsigned root; /* not an option: --to of a rollback as a number */
	bool everything;
	const char *no_fixup[COW_OPTION_LIST_MAX + 1], *exclude[COW_OPTION_LIST_MAX + 1]; /* NULL at the end */
	bool rebase, force;
	const char *theirs[COW_OPTION_LIST_MAX + 1], *both[COW_OPTION_LIST_MAX + 1];
	const char *undo[COW_OPTION_LIST_MAX + 1], *redo[COW_OPTION_LIST_MAX + 1];
	int words; /* argv index of the first word that is no option */
};

/*
 * cow_options_parse - @takes: COW_OPT_*; --store, --config and --help always.
 * @command: for messages, "image list". @min, @max: number of words wanted; @max < 0: any.
 * Return: -1 go on; else the exit status to leave with (--help printed, or usage error).
 */
int cow_options_parse(const char *command, const char *help, unsigned takes, int min, int max,
		      int argc, char **argv, struct cow_options *ret);

/* -o and --level of what writes an archive. Return: as above. */
int cow_options_output(const char *command, const struct cow_options *o,
		       struct cow_export_opts *ret);

#endif
