/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Netboot fix-ups: small changes an image made for a disk needs before it can run from a network
 * root and be shared by many machines. Each has a name, can be skipped, and says what it did.
 */
#ifndef COW_SNAPSHOT_FIXUP_H
#define COW_SNAPSHOT_FIXUP_H

#include "common/err.h"

/* Are all names known ("all" is)? -EINVAL with a list of those that are. NULL: no names. */
int cow_fixup_check(const char *const *skip, struct cow_err *err);

/*
 * cow_fixup_tree - run all fix-ups on a staging tree.
 * @boot_dir: where the boot files lie
 * @report:   called for each with "done", "not needed" or "skipped", and what was changed or why
 * not A tree too odd for a fix-up (links that lead nowhere, a directory where a file belongs) makes
 * it "skipped"; a lack of space or memory ends the run.
 */
int cow_fixup_tree(int tree, const char *boot_dir, const char *const *skip,
		   void (*report)(void *ctx, const char *name, const char *result,
				  const char *what),
		   void *ctx, struct cow_err *err);

/* Nth fix-up's name and one line about it; NULL at the end. */
const char *cow_fixup_name(unsigned n, const char **ret_about);

#endif
