/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client commit
 */
#include "client_commit.h"

#include <errno.h>
#include <stdio.h>

#include "cli.h"
#include "options.h"
#include "snapshot/commit.h"
#include "version_report.h"

static const char commit_help[] =
    "usage: cowherd client commit MAC|NAME IMAGE [--comment TEXT] [--no-fixup NAME]... [--now]\n"
    "                             [--dry-run]\n"
    "\n"
    "Make a new version of image IMAGE from what a client's root shows: the image it came from,\n"
    "another one or a new one. What makes the root this machine's (host name, machine id, host\n"
    "keys) leaves it, and the changes of an import are made where they are needed again. Files\n"
    "that did not change are shared with the version the root came from.\n"
    "\n"
    "  --comment TEXT   kept with the new version\n"
    "  --no-fixup NAME  leave one of the changes out, see cowherd-image(8)\n"
    "  --now            also while the root is in use: as after a power cut\n"
    "  --dry-run        say what would be done\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

static int count(void *ctx, const struct cow_ovl_change *change)
{
	uint64_t *n = ctx;
	(void)change;
	(*n)++;
	return 0;
}

static int dry_run(struct cow_store *s, const struct cow_client *c, const char *image,
		   unsigned flags)
{
	struct cow_err err = COW_ERR_INIT;
	uint64_t changes = 0;
	int r = cow_client_check_commit(s, &c->mac, flags, &err);
	if (r == -EBUSY) {
		(void)printf("%s (%s) would be refused: %s\n", c->id, c->name, cow_err_str(&err));
		(void)cow_cli_flush();
		return COW_ERR_BUSY;
	}
	if (r == 0)
		r = cow_client_diff(s, &c->mac, count, &changes, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	(void)printf("would make a version of %s from %s (%s): %s@%u with %llu changes\n", image,
		     c->id, c->name, c->image, c->version, (unsigned long long)changes);
	return cow_cli_flush();
}

int cow_cmd_client_commit(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_version_report report;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	unsigned version = 0;
	int status =
	    cow_options_parse("client commit", commit_help,
			      COW_OPT_IMPORT | COW_OPT_NOW | COW_OPT_DRY_RUN, 2, 2, argc, argv, &o);
	if (status >= 0)
		return status;
	const char *image = argv[o.words + 1];
	unsigned flags = o.given & COW_OPT_NOW ? COW_COMMIT_NOW : 0;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	if (o.given & COW_OPT_DRY_RUN)
		return dry_run(s, c, image, flags);
	cow_version_report_begin(&report, &o);
	r = cow_client_commit(s, &c->mac, image, flags, &report.opts, &version, &err);
	cow_version_report_end(&report);
	if (r < 0)
		return cow_cli_fail(&err, r);
	return cow_version_report_print(&report, s, "committed", image, version, &err);
}
