/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A btrfs of a test's own: in an image file in a temporary directory, in a mount namespace that goes with the process.
 */
#ifndef COW_TESTS_BTRFS_TEST_H
#define COW_TESTS_BTRFS_TEST_H

#include "cow_test.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "common/cleanup.h"

static inline int btrfs_test_run(const char *const argv[])
{
	extern char **environ;
	pid_t pid;
	int status;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

/* Before threads. @point: where it is, in @in. Return: 0; -1: it cannot be had here. */
static inline int btrfs_test_mount(const struct tmpdir *in, char point[80])
{
	char image[80];
	(void)snprintf(image, sizeof(image), "%s/img", in->path);
	(void)snprintf(point, 80, "%s/fs", in->path);
	const char *const mkfs[] = {"mkfs.btrfs", "-q", image, NULL};
	const char *const mount_it[] = {"mount", "-o", "loop,noatime", image, point, NULL};
	cow_autoclose int fd = openat(in->fd, "img", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			       mkdirat(in->fd, "fs", 0700) < 0 || fd < 0 ||
			       ftruncate(fd, 256 << 20) < 0 || btrfs_test_run(mkfs) != 0 ||
			       btrfs_test_run(mount_it) != 0
		   ? -1
		   : 0;
}

static inline void btrfs_test_unmount(const char *point)
{
	(void)umount2(point, MNT_DETACH); /* else it goes with the namespace */
}

#endif
