/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A mount by cowherd-fuse's library, served by a process of its own. It has to be one: a process that
 * serves the mount it uses does not die when it is killed within a call on it, since what would end
 * that call is the end of the process.
 */
#ifndef COW_TESTS_DIFF_SERVE_H
#define COW_TESTS_DIFF_SERVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "overlay/overlay.h"

struct serve {
	const char *point;
	bool writeback;
	/* In the server, before its threads: the instance to serve. */
	int (*attach)(void *ctx, struct cow_ovl_inst **ret, struct cow_err *err);
	void *ctx;
};

/* Why no mount can be served here; NULL: it can. */
const char *serve_refusal(void);
/* Requests are answered when it returns. The server is killed with the thread that started it. Trouble
 * ends the process. Return: its pid. */
pid_t serve_start(const struct serve *how);
/* Unmount and wait for the server's end. Return: its status as of wait(2); 0: all is well. */
int serve_stop(pid_t server, const char *point);
/* Wait for whatever servers are left of a process that was killed. Only where this process is the
 * subreaper of all it started and has no other children. */
void serve_reap(const char *point);

#endif
