/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A store on a btrfs file, for hosts whose disk has another file system. The loop device clears
 * itself when its mount goes away, so nothing but the mount has to be undone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fs.h"
#include "store_internal.h"

#define MKFS "mkfs.btrfs"
#define SIZE_MIN (128ull << 20) /* mkfs.btrfs refuses less than 109 MiB */
#define LOOP_TRIES 16		/* others may take the free device between asking and binding */

/* Without a shell: @file may hold any bytes. */
static int run_mkfs(const char *file, struct cow_err *err)
{
	char *const argv[] = {(char[]){MKFS},	   (char[]){"-q"}, (char[]){"-L"},
			      (char[]){"cowherd"}, strdup(file),   NULL};
	char *const env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LC_ALL=C"},
			     NULL};
	cow_autofree char *owned = argv[4];
	posix_spawn_file_actions_t quiet;
	pid_t pid;
	int status;

	if (!owned || posix_spawn_file_actions_init(&quiet) != 0)
		return cow_err_set(err, -ENOMEM, "run " MKFS);
	/* Even with -q it talks about its defaults; its errors are on stderr and stay. */
	int e = posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (e == 0)
		e = posix_spawnp(&pid, MKFS, &quiet, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&quiet);
	if (e == ENOENT)
		return cow_err_hint(err, cow_err_set(err, -e, "run " MKFS),
				    "install the package btrfs-progs.");
	if (e)
		return cow_err_set(err, -e, "run " MKFS);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return cow_err_set(err, -errno, "wait for " MKFS);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return cow_err_say(err, COW_ERR_FAILED, -EIO, MKFS " of '%s' failed (status %d)", file,
			   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/*
 * Bind @backing to a free loop device. The device keeps LO_FLAGS_AUTOCLEAR: it goes with its last
 * user, here the returned fd, later the mount.
 */
static int loop_attach(int backing, const char *file, char *dev, size_t dev_len,
		       struct cow_err *err)
{
	cow_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return cow_err_set(err, -errno, "open /dev/loop-control");
	struct loop_config config = {.fd = (uint32_t)backing, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	(void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);

	for (unsigned n = 0; n < LOOP_TRIES; n++) {
		int i = ioctl(control, LOOP_CTL_GET_FREE);
		if (i < 0)
			return cow_err_set(err, -errno, "find a free loop device");
		(void)snprintf(dev, dev_len, "/dev/loop%d", i);
		cow_autoclose int fd = open(dev, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return cow_err_set(err, -errno, "open %s", dev);
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return cow_steal_fd(&fd);
		if (errno != EBUSY)
			return cow_err_set(err, -errno, "bind '%s' to %s", file, dev);
	}
	return cow_err_set(err, -EBUSY, "find a free loop device");
}

/* A second mount on top would hide the first, and bind the file to a second device. */
static int is_mount_root(const char *path)
{
	struct statx sx;
	return statx(AT_FDCWD, path, 0, 0, &sx) == 0 &&
	       (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int cow_store_mount_loop(const char *path, const char *file, struct cow_err *err)
{
	char dev[32];
	cow_autoclose int backing = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (backing < 0)
		return cow_err_set(err, -errno, "open '%s'", file);
	int r = cow_mkdir_p(path, 0755);
	if (r < 0)
		return cow_err_set(err, r, "make directory '%s'", path);
	if (is_mount_root(path))
		return cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				   "something is mounted on '%s' already", path);
	cow_autoclose int loop = loop_attach(backing, file, dev, sizeof(dev), err);
	if (loop < 0)
		return loop;
	if (mount(dev, path, "btrfs", MS_NOATIME, "") < 0)
		return cow_err_set(err, -errno, "mount '%s' (btrfs) on '%s'", file, path);
	return 0;
}

/* O_EXCL: never format somebody's file. Root only: it holds every client's secrets. */
static int make_file(const char *file, uint64_t size, struct cow_err *err)
{
	cow_autoclose int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cow_err_set(err, -errno, "make '%s'", file);
	if (ftruncate(fd, (off_t)size) < 0) {
		int r = cow_err_set(err, -errno, "make '%s' %llu bytes large", file,
				    (unsigned long long)size);
		(void)unlink(file);
		return r;
	}
	return 0;
}

int cow_store_init_loop(const char *path, const char *file, uint64_t size_bytes,
			struct cow_err *err)
{
	struct stat st;
	if (size_bytes < SIZE_MIN)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "a store needs at least %llu MiB, and its images' sizes on top",
				   SIZE_MIN >> 20);
	int made_dir = lstat(path, &st) < 0 && errno == ENOENT;
	int r = make_file(file, size_bytes, err);
	if (r < 0)
		return r;
	r = run_mkfs(file, err);
	if (r == 0)
		r = cow_store_mount_loop(path, file, err);
	if (r == 0) {
		r = cow_store_init(path, err);
		if (r < 0)
			(void)umount2(path, MNT_DETACH);
	}
	if (r < 0) {
		(void)unlink(file);
		if (made_dir)
			(void)rmdir(path);
	}
	return r;
}
