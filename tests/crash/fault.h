/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Fault points: every system call of this program by which something changes on a file system, that
 * is all of the engine's.
 */
#ifndef COW_TESTS_CRASH_FAULT_H
#define COW_TESTS_CRASH_FAULT_H

#include <stdbool.h>

/* Called in this thread before each such call, unless NULL. Calls it makes itself are not told. */
extern _Thread_local void (*fault_hook)(void *ctx, const char *call);
extern _Thread_local void *fault_ctx;
/* The same for threads that have none of their own; set before they start. */
extern void (*fault_hook_all)(void *ctx, const char *call);
extern void *fault_ctx_all;
/* fsync(2) and its kin do nothing; they are told all the same. */
extern bool fault_nosync;

#endif
