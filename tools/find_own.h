/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where our own programs and plugins are: beside this executable, as it is in the folder it was
 * built in, or where they are installed.
 */
#ifndef COW_TOOLS_FIND_OWN_H
#define COW_TOOLS_FIND_OWN_H

#include <stddef.h>

#include "common/err.h"

/*
 * cow_find_own - the first folder that holds @file: the configured one, the environment's, beside the
 * executable, the installed one. A configured one is the only one.
 * @configured: "" none. @sub: folder beside the one this executable is in. @mode: as for access(2)
 * Return: 0, the caller frees the folder; -ENOENT. Threads: before there are any.
 */
int cow_find_own(const char *configured, const char *env, const char *sub, const char *installed,
		 const char *file, int mode, char **ret_dir, struct cow_err *err);

/* The first @len bytes of @dir and the name, if access(2) allows @mode; else NULL. Caller frees. */
char *cow_find_probe(const char *dir, size_t len, const char *name, int mode);

#endif
