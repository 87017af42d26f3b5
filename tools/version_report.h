/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What an administrator sees while a version of an image is made and when it is there.
 */
#ifndef COW_TOOLS_VERSION_REPORT_H
#define COW_TOOLS_VERSION_REPORT_H

#include "options.h"
#include "progress.h"
#include "snapshot/image.h"

struct cow_version_report {
	struct cow_progress progress;
	uint64_t start_ms;
	struct cow_import_opts opts; /* to be passed on: comment and fix-ups of @o, callbacks */
};
/* Begins the progress line; both strings of @o must outlive it. */
void cow_version_report_begin(struct cow_version_report *r, const struct cow_options *o);
void cow_version_report_end(struct cow_version_report *r);

/* "imported NAME@V: ..." (@verb) with the warnings kept in its record. Return: exit status. */
int cow_version_report_print(const struct cow_version_report *r, struct cow_store *s,
			     const char *verb, const char *name, unsigned version,
			     struct cow_err *err);

#endif
