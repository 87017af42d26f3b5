/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"

enum {
	OPT_STORE = 256,
	OPT_CONFIG,
	OPT_JSON,
	OPT_DRY_RUN,
	OPT_NOW,
	OPT_AT_BOOT,
	OPT_ALL,
	OPT_CANCEL,
	OPT_GROUP,
	OPT_TO,
	OPT_KEEP_LISTS,
	OPT_FACTORY,
	OPT_COMMENT,
	OPT_NO_FIXUP,
	OPT_IMAGE,
	OPT_NAME,
	OPT_MAC,
	OPT_BACKEND,
	OPT_DURABILITY,
	OPT_EPHEMERAL,
	OPT_COMMIT,
	OPT_DISCARD,
	OPT_KEEP,
	OPT_RESUME,
	OPT_READ_ONLY,
	OPT_WRITEBACK,
	OPT_LAZY,
	OPT_DELETE,
	OPT_BOOTS,
	OPT_FOLLOW,
	OPT_PENDING,
	OPT_MODEL,
	OPT_EXCLUDE,
	OPT_EVERYTHING,
	OPT_SINCE,
	OPT_LEVEL,
	OPT_OCI,
	OPT_BTRFS,
	OPT_SSH,
	OPT_REMOTE,
	OPT_REBASE,
	OPT_THEIRS,
	OPT_BOTH,
	OPT_FORCE,
	OPT_UNDO,
	OPT_DO,
};

static const struct option options[] = {
    {"store", required_argument, NULL, OPT_STORE},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"json", no_argument, NULL, OPT_JSON},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"now", no_argument, NULL, OPT_NOW},
    {"at-boot", no_argument, NULL, OPT_AT_BOOT},
    {"all", no_argument, NULL, OPT_ALL},
    {"cancel", no_argument, NULL, OPT_CANCEL},
    {"group", required_argument, NULL, OPT_GROUP},
    {"to", required_argument, NULL, OPT_TO},
    {"factory", no_argument, NULL, OPT_FACTORY},
    {"comment", required_argument, NULL, OPT_COMMENT},
    {"no-fixup", required_argument, NULL, OPT_NO_FIXUP},
    {"image", required_argument, NULL, OPT_IMAGE},
    {"name", required_argument, NULL, OPT_NAME},
    {"mac", required_argument, NULL, OPT_MAC},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"durability", required_argument, NULL, OPT_DURABILITY},
    {"ephemeral", no_argument, NULL, OPT_EPHEMERAL},
    {"commit", required_argument, NULL, OPT_COMMIT},
    {"discard", no_argument, NULL, OPT_DISCARD},
    {"keep", no_argument, NULL, OPT_KEEP},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"quiet", no_argument, NULL, 'q'},
    {"read-only", no_argument, NULL, OPT_READ_ONLY},
    {"writeback", no_argument, NULL, OPT_WRITEBACK},
    {"lazy", no_argument, NULL, OPT_LAZY},
    {"delete", no_argument, NULL, OPT_DELETE},
    {"boots", no_argument, NULL, OPT_BOOTS},
    {"follow", no_argument, NULL, OPT_FOLLOW},
    {"pending", no_argument, NULL, OPT_PENDING},
    {"model", required_argument, NULL, OPT_MODEL},
    {"exclude", required_argument, NULL, OPT_EXCLUDE},
    {"everything", no_argument, NULL, OPT_EVERYTHING},
    {"output", required_argument, NULL, 'o'},
    {"since", required_argument, NULL, OPT_SINCE},
    {"level", required_argument, NULL, OPT_LEVEL},
    {"oci", no_argument, NULL, OPT_OCI},
    {"btrfs", no_argument, NULL, OPT_BTRFS},
    {"ssh", required_argument, NULL, OPT_SSH},
    {"remote", required_argument, NULL, OPT_REMOTE},
    {"rebase", no_argument, NULL, OPT_REBASE},
    {"theirs", required_argument, NULL, OPT_THEIRS},
    {"both", required_argument, NULL, OPT_BOTH},
    {"force", no_argument, NULL, OPT_FORCE},
    {"undo", required_argument, NULL, OPT_UNDO},
    {"do", required_argument, NULL, OPT_DO},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Which COW_OPT_* an option needs; 0: every command takes it. */
static unsigned needs(int opt)
{
	switch (opt) {
	case OPT_JSON:
		return COW_OPT_JSON;
	case OPT_DRY_RUN:
		return COW_OPT_DRY_RUN;
	case OPT_NOW:
		return COW_OPT_NOW;
	case OPT_AT_BOOT:
		return COW_OPT_AT_BOOT;
	case OPT_ALL:
		return COW_OPT_ALL;
	case OPT_CANCEL:
		return COW_OPT_CANCEL;
	case OPT_GROUP:
		return COW_OPT_GROUP;
	case OPT_TO:
		return COW_OPT_TO;
	case OPT_KEEP_LISTS:
	case OPT_FACTORY:
		return COW_OPT_KEEP_LISTS;
	case 'q':
		return COW_OPT_QUIET;
	case OPT_READ_ONLY:
		return COW_OPT_READ_ONLY;
	case OPT_WRITEBACK:
		return COW_OPT_WRITEBACK;
	case OPT_LAZY:
		return COW_OPT_LAZY;
	case OPT_DELETE:
		return COW_OPT_DELETE;
	case OPT_BOOTS:
		return COW_OPT_BOOTS;
	case OPT_PENDING:
		return COW_OPT_PENDING;
	case OPT_FOLLOW:
		return COW_OPT_FOLLOW;
	case OPT_MODEL:
		return COW_OPT_MODEL;
	case OPT_EXCLUDE:
	case OPT_EVERYTHING:
		return COW_OPT_EXCLUDE;
	case OPT_REBASE:
	case OPT_THEIRS:
	case OPT_BOTH:
		return COW_OPT_REBASE;
	case OPT_FORCE:
		return COW_OPT_FORCE;
	case OPT_UNDO:
	case OPT_DO:
		return COW_OPT_FIXUP;
	case OPT_COMMENT:
	case OPT_NO_FIXUP:
		return COW_OPT_IMPORT;
	case OPT_NAME:
		return COW_OPT_NAME;
	case OPT_MAC:
		return COW_OPT_MAC;
	case OPT_IMAGE:
	case OPT_BACKEND:
	case OPT_DURABILITY:
	case OPT_EPHEMERAL:
		return COW_OPT_ADD;
	case 'o':
		return COW_OPT_OUTPUT;
	case OPT_SINCE:
	case OPT_OCI:
	case OPT_BTRFS:
		return COW_OPT_EXPORT;
	case OPT_LEVEL:
		return COW_OPT_LEVEL;
	case OPT_SSH:
	case OPT_REMOTE:
		return COW_OPT_PUSH;
	case OPT_COMMIT:
	case OPT_DISCARD:
	case OPT_KEEP:
	case OPT_RESUME:
		return COW_OPT_EDIT;
	default:
		return 0;
	}
}

static int add(const char **list, const char *arg)
{
	size_t n = 0;
	while (n < COW_OPTION_LIST_MAX && list[n])
		n++;
	if (n == COW_OPTION_LIST_MAX)
		return -1;
	list[n] = arg;
	return 0;
}

static int take(struct cow_options *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_STORE:
		o->where.store = arg;
		return 0;
	case OPT_CONFIG:
		o->where.config = arg;
		return 0;
	case OPT_COMMENT:
		o->comment = arg;
		return 0;
	case OPT_NO_FIXUP:
		return add(o->no_fixup, arg);
	case OPT_THEIRS:
		return add(o->theirs, arg);
	case OPT_BOTH:
		return add(o->both, arg);
	case OPT_UNDO:
		return add(o->undo, arg);
	case OPT_DO:
		return add(o->redo, arg);
	case OPT_REBASE:
		o->rebase = true;
		return 0;
	case OPT_FORCE:
		o->force = true;
		return 0;
	case OPT_EXCLUDE:
		return add(o->exclude, arg);
	case OPT_EVERYTHING:
		o->everything = true;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_NAME:
		o->name = arg;
		return 0;
	case OPT_MAC:
		o->mac = arg;
		return 0;
	case OPT_GROUP:
		o->group = arg;
		return 0;
	case OPT_TO:
		o->to = arg;
		return 0;
	case OPT_KEEP_LISTS:
		o->keep_lists = arg;
		return 0;
	case OPT_FACTORY:
		o->factory = 1;
		return 0;
	case OPT_BACKEND:
		o->backend = arg;
		return 0;
	case OPT_DURABILITY:
		o->durability = arg;
		return 0;
	case OPT_EPHEMERAL:
		o->ephemeral = 1;
		return 0;
	case OPT_COMMIT:
		o->commit = arg;
		return 0;
	case OPT_DISCARD:
		o->discard = 1;
		return 0;
	case OPT_KEEP:
		o->keep = 1;
		return 0;
	case OPT_RESUME:
		o->resume = 1;
		return 0;
	case OPT_MODEL:
		o->model = arg;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_SINCE:
		o->since = arg;
		return 0;
	case OPT_LEVEL:
		o->level = arg;
		return 0;
	case OPT_OCI:
		o->oci = true;
		return 0;
	case OPT_BTRFS:
		o->btrfs = true;
		return 0;
	case OPT_SSH:
		o->ssh = arg;
		return 0;
	case OPT_REMOTE:
		o->remote = arg;
		return 0;
	default:
		o->given |= needs(opt);
		return 0;
	}
}

static const char *long_name(int opt)
{
	if (opt == OPT_KEEP_LISTS)
		opt = OPT_KEEP;
	for (const struct option *o = options; o->name; o++)
		if (o->val == opt)
			return o->name;
	return "?";
}

/* --keep keeps an edit, or names keep-lists. */
static void choose_keep(struct option *list, unsigned takes)
{
	for (struct option *o = list; o->name && takes & COW_OPT_KEEP_LISTS; o++)
		if (o->val == OPT_KEEP) {
			o->has_arg = required_argument;
			o->val = OPT_KEEP_LISTS;
		}
}

int cow_options_parse(const char *command, const char *help, unsigned takes, int min, int max,
		      int argc, char **argv, struct cow_options *ret)
{
	int opt;
	struct option list[sizeof(options) / sizeof(*options)];
	*ret = (struct cow_options){0};
	memcpy(list, options, sizeof(list));
	choose_keep(list, takes);
	optind = 0;
	while ((opt = getopt_long(argc, argv, "hqo:", list, NULL)) != -1) {
		if (opt == 'h') {
			(void)fputs(help, stdout);
			return cow_cli_flush();
		}
		if (opt == '?')
			return cow_cli_usage(command, "bad option");
		if (needs(opt) & ~takes)
			return cow_cli_usage(command, "does not take --%s", long_name(opt));
		if (take(ret, opt, optarg) < 0)
			return cow_cli_usage(command, "too many --%s", long_name(opt));
	}
	ret->words = optind;
	if (argc - optind < min)
		return cow_cli_usage(command, "something is missing");
	if (max >= 0 && argc - optind > max)
		return cow_cli_usage(command, "do not know what to do with '%s'",
				     argv[optind + max]);
	return -1;
}

int cow_options_output(const char *command, const struct cow_options *o,
		       struct cow_export_opts *ret)
{
	uint64_t level = COW_EXPORT_LEVEL;
	if (!o->output)
		return cow_cli_usage(command, "say where to: -o FILE");
	if (o->level && cow_parse_u64(o->level, 1, COW_EXPORT_LEVEL_MAX, &level) < 0)
		return cow_cli_usage(command, "--level '%s': 1 to %d", o->level,
				     COW_EXPORT_LEVEL_MAX);
	if (strcmp(o->output, COW_EXPORT_STDOUT) == 0 && isatty(STDOUT_FILENO))
		return cow_cli_usage(command, "an archive is nothing for a terminal");
	ret->output = o->output;
	ret->level = (int)level;
	return -1;
}
