/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Mounts, all in a mount namespace of this process: image files on a tmpfs, on loop devices that
 * detach themselves, and overlays that are in no tree at all but live as long as their fd. However
 * the process ends, nothing is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "stage.h"

extern char **environ;

static const struct fs {
	const char *type, *mkfs, *options;
	off_t size;
} file_systems[] = {
    {"ext4", "mkfs.ext4", "", 512 << 20},
    {"xfs", "mkfs.xfs", "", 512 << 20},
    {"btrfs", "mkfs.btrfs", "", 1024 << 20},
};

static int run(char *const argv[])
{
	posix_spawn_file_actions_t quiet;
	pid_t pid;
	int status;
	if (posix_spawn_file_actions_init(&quiet) != 0)
		return -ENOMEM;
	(void)posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	int r = posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&quiet);
	if (r != 0)
		return -r;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return -EIO;
	return 0;
}

/* Return: fd; its path in @ret. */
static int loop_attach(int image, char ret[32])
{
	cow_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	for (int n = 0; n < 50; n++) {
		struct loop_config config = {.fd = (uint32_t)image,
					     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
		int nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0)
			return -errno;
		(void)snprintf(ret, 32, "/dev/loop%d", nr);
		cow_autoclose int fd = open(ret, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return cow_steal_fd(&fd);
		(void)usleep(20000); /* somebody else took it */
	}
	return -EBUSY;
}

int mount_prepare(const char *base)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return mount("tmpfs", base, "tmpfs", 0, "size=4g,mode=700") < 0 ? -errno : 0;
}

static int mount_new(const struct fs *fs, const char *base, const char *point)
{
	char image[160], loop[32];
	char *mkfs[] = {(char *)(uintptr_t)fs->mkfs, (char *)(uintptr_t) "-q", image, NULL};
	(void)snprintf(image, sizeof(image), "%s/%s.img", base, fs->type);
	cow_autoclose int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, fs->size) < 0)
		return -errno;
	int r = run(mkfs);
	if (r < 0)
		return r;
	cow_autoclose int dev = loop_attach(fd, loop);
	if (dev < 0)
		return dev;
	(void)unlink(image); /* the loop device keeps it */
	return mount(loop, point, fs->type, MS_NOATIME, fs->options) < 0 ? -errno : 0;
}

int mount_stage(const char *base, const char *type, const char *dir)
{
	char point[128];
	(void)snprintf(point, sizeof(point), "%s/fs", base);
	if (mkdir(point, 0755) < 0)
		return -errno;
	if (dir) {
		if (mount(dir, point, NULL, MS_BIND, NULL) < 0)
			return -errno;
		return mount(NULL, point, NULL, MS_BIND | MS_REMOUNT | MS_NOATIME, NULL) < 0
			   ? -errno
			   : 0;
	}
	for (size_t k = 0; k < sizeof(file_systems) / sizeof(*file_systems); k++)
		if (strcmp(file_systems[k].type, type) == 0)
			return mount_new(&file_systems[k], base, point);
	return -EINVAL;
}

void unmount_stage(const char *base)
{
	char point[128];
	(void)snprintf(point, sizeof(point), "%s/fs", base);
	(void)umount2(point, MNT_DETACH);
	(void)rmdir(point);
}

int mount_overlay(const char *lower, const char *upper, const char *work)
{
	const struct {
		const char *key, *value;
	} options[] = {
	    {"source", "diff"},	    {"lowerdir", lower}, {"upperdir", upper}, {"workdir", work},
	    {"redirect_dir", "on"}, {"index", "off"},	 {"metacopy", "off"}, {"nfs_export", "off"},
	};
	cow_autoclose int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	for (size_t k = 0; k < sizeof(options) / sizeof(*options); k++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[k].key, options[k].value, 0) < 0)
			return -errno;
	/* No syncs: see nosync.c. */
	if (fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOATIME);
	return fd < 0 ? -errno : fd;
}
