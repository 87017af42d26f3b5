/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * In place of serve.c where libfuse is missing.
 */
#include "serve.h"

#include "util.h"

const char *serve_refusal(void)
{
	return "built without libfuse";
}

pid_t serve_start(const struct serve *how)
{
	trouble("built without libfuse");
}

int serve_stop(pid_t server, const char *point)
{
	return 0;
}

void serve_reap(const char *point)
{
}
