/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Syncs that do nothing. This test asks what operations mean, not what survives a power cut, and a
 * sync costs more than all of a script. A program's own definition comes before the C library's.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

bool sync_for_real;

static int sync_fd(long call, int fd)
{
	return sync_for_real ? (int)syscall(call, fd) : 0;
}

int fsync(int fd)
{
	return sync_fd(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_fd(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	return sync_fd(SYS_syncfs, fd);
}
