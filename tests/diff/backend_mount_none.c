/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * In place of backend_mount.c where libfuse is missing: mode "mount" does not run, and says so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "side.h"

static _Noreturn void refuse(void)
{
	(void)fprintf(stderr, "NOT RUN: built without libfuse\n");
	exit(77);
}

struct side *mount_side_new(const struct engine_options *how, const char *point)
{
	refuse();
}

void mount_detach(struct side *s)
{
	refuse();
}

void mount_attach(struct side *s)
{
	refuse();
}
