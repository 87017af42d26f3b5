/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What every cmocka program of ours includes: cmocka's prerequisites in order, and a temporary
 * directory per test.
 */
#ifndef COW_TESTS_COW_TEST_H
#define COW_TESTS_COW_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

struct tmpdir {
	char path[64];
	int fd;
};

/* cmocka set-up and tear-down: *state is a struct tmpdir. TMPDIR chooses the file system. */
static inline int tmpdir_setup(void **state)
{
	struct tmpdir *t = calloc(1, sizeof(*t));
	const char *base = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): before threads */

	if (!t)
		return -1;
	int n = snprintf(t->path, sizeof(t->path), "%s/cow-test-XXXXXX", base ? base : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(t->path) || !mkdtemp(t->path)) {
		free(t);
		return -1;
	}
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = t;
	return t->fd < 0 ? -1 : 0;
}

static inline int tmpdir_teardown(void **state)
{
	struct tmpdir *t = *state;
	char *slash = strrchr(t->path, '/');

	*slash = '\0';
	int parent = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = parent < 0 ? -1 : cow_rm_rf_at(parent, slash + 1, 0);
	(void)close(parent);
	(void)close(t->fd);
	free(t);
	return r;
}

#endif
