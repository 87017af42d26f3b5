/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Netboot fix-ups: small changes an image made for a disk needs before it can run from a network
 * root and be shared by many machines. Each has a name, can be skipped, and says what it did.
 */
#ifndef COW_SNAPSHOT_FIXUP_H
#define COW_SNAPSHOT_FIXUP_H

#include "common/err.h"

#define COW_FIXUPS_MAX 32

/* Are all names known ("all" is)? -EINVAL with a list of those that are. NULL: no names. */
int cow_fixup_check(const char *const *skip, struct cow_err *err);

/* Names of those to leave out ("all": every one), from two lists, each NULL or NULL-terminated. */
struct cow_fixup_skip {
	const char *const *list[2];
};
int cow_fixup_skipped(const struct cow_fixup_skip *skip, const char *name);

#define COW_FIXUP_UNDONE "undone" /* taken back; later versions made of this one do without */

/* "done", "not needed", "skipped" or COW_FIXUP_UNDONE, and what was changed or why not. */
typedef void (*cow_fixup_report)(void *ctx, const char *name, const char *result, const char *what);

struct cow_fixlog;

/*
 * cow_fixup_tree - run all fix-ups on a staging tree. Files are replaced, never written to: the tree
 * may share them with an older version (I1). Directories keep their times.
 * @boot_dir: where the boot files lie
 * @log:      what they change is recorded here, and what they changed before is known from here; NULL: not
 * @report:   called for each
 * A tree too odd for a fix-up (links that lead nowhere, a directory where a file belongs) makes
 * it "skipped"; a lack of space or memory ends the run.
 */
int cow_fixup_tree(int tree, const char *boot_dir, const struct cow_fixup_skip *skip,
		   struct cow_fixlog *log, cow_fixup_report report, void *ctx, struct cow_err *err);

/* One of them. Return: 1 it changed something; 0 it did not; -errno. */
int cow_fixup_one(int tree, const char *boot_dir, const char *name, struct cow_fixlog *log,
		  cow_fixup_report report, void *ctx, struct cow_err *err);

enum {
	COW_FIXUP_FORCE = 1 << 0, /* what cannot be taken back stays, and is told */
};
/*
 * cow_fixup_undo - take back what a fix-up changed, in a staging tree: content, owner, mode, times, extended
 * attributes, links. Of a file that was changed since in other lines its lines are; what was removed since
 * stays away.
 * @log: what it changed; nothing of it is there afterwards
 * Return: 1; 0 there is nothing ("not needed" is reported); -EPERM something cannot be taken back (exit
 * 5, says what; the tree is then good for nothing); -errno.
 */
int cow_fixup_undo(int tree, struct cow_fixlog *log, const char *name, unsigned flags,
		   cow_fixup_report report, void *ctx, struct cow_err *err);

/* Nth fix-up's name and one line about it; NULL at the end. */
const char *cow_fixup_name(unsigned n, const char **ret_about);

#endif
