/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Small things.
 */
#include "util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void trouble(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	va_start(ap, fmt);
	(void)fputs("TROUBLE: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, " (%s)\n", errname(saved));
	va_end(ap);
	(void)fflush(stdout);
	_exit(EXIT_TROUBLE);
}

void *must(void *p)
{
	if (!p)
		trouble("memory");
	return p;
}

const char *errname(int r)
{
	const char *name = r == 0 ? "ok" : strerrorname_np(r < 0 ? -r : r);
	return name ? name : "errno";
}
