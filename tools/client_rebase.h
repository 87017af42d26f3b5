/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client roll --rebase: what became, or would become, of each change of a client.
 */
#ifndef COW_TOOLS_CLIENT_REBASE_H
#define COW_TOOLS_CLIENT_REBASE_H

#include <json-c/json.h>
#include <stdio.h>

#include "options.h"
#include "snapshot/rebase.h"

/* Of one client. @opts is for the rebase. */
struct cow_rebase_report {
	struct cow_rebase_opts opts;
	size_t count[COW_REBASE_RESULTS];
	bool all;		  /* lines for all changes; else for conflicts alone */
	struct json_object *json; /* NULL: text */
	FILE *out;		  /* into: */
	char *text;
	size_t len;
};

/* @o: the options of the command; --dry-run tells of all changes. -ENOMEM. Free it with cow_rebase_report_free(). */
int cow_rebase_report_new(const struct cow_options *o, struct cow_rebase_report **ret);
void cow_rebase_report_free(struct cow_rebase_report *r); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_rebase_report, cow_rebase_report_free)
#define cow_autorebasereport COW_CLEANUP(cow_auto_cow_rebase_report_free) struct cow_rebase_report *

/* When the rebase is over: print the lines and the sums, or add them to the client's object. */
void cow_rebase_report_tell(struct cow_rebase_report *r, struct json_object *o);

#endif
