/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where a fuzz target makes its files: in memory if there is such a file system, since what it tests waits for
 * the disk.
 */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FUZZ_SCRATCH_MAX 64

/* A new folder, which the caller removes. Return: 0, else as mkdtemp(3). */
static inline int fuzz_scratch(char path[FUZZ_SCRATCH_MAX])
{
	static const char *base;

	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(path, FUZZ_SCRATCH_MAX, "%s/cowherd-fuzz-XXXXXX", base);
	return mkdtemp(path) ? 0 : -1;
}

#endif
