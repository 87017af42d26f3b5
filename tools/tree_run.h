/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Run a command in a root that is mounted for as long as it runs.
 */
#ifndef COW_TOOLS_TREE_RUN_H
#define COW_TOOLS_TREE_RUN_H

#include "mount.h"

struct cow_tree_run {
	struct cow_mount mount; /* point and child are set here */
	char *const *argv;	/* NULL at the end; empty: a shell */
	const char *name;	/* shown in the shell's prompt; may be NULL */
};

/*
 * cow_tree_run - mount, change root, run, unmount.
 * The calling process leaves its mount namespace for a copy, in which all of this happens, and stays
 * there: a crash leaves no mount. The command is alone in a PID namespace and everything it left
 * running is killed at its end. It gets /dev, /proc, /sys, an empty /run and /tmp's own content, and the
 * names servers of this machine where the tree has an /etc/resolv.conf.
 * @ret_status: as a shell tells it: exit status, 128 + signal.
 * Return: 0 it ran and what it wrote is on disk; -ENOEXEC for another architecture; -EBUSY the root is
 * in use; -ENOENT no such command (127 in a shell). Threads: none besides.
 */
int cow_tree_run(const struct cow_tree_run *o, int *ret_status, struct cow_err *err);

#endif
