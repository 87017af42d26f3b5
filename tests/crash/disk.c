/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The store is an xfs on a loop device on the tmpfs. FICLONE there writes the image's pages out and
 * shares its blocks under the inode's lock, which a write of the loop driver takes too: the copy is
 * of one instant. A loop device tells its file everything at once, so the copy holds what the file
 * system under test has given to its device, and what it only has in memory is lost.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "util.h"

#define STORE_SIZE (8ll << 30) /* sparse */
#define ARGS 8

extern char **environ;

static char store[64];

static const struct fs {
	const char *type;
	off_t size;
	const char *mkfs[ARGS], *check[ARGS];
} file_systems[] = {
    {"ext4", 96 << 20, {"mkfs.ext4", "-q", "-F"}, {"e2fsck", "-fn"}},
    {"xfs", 320 << 20, {"mkfs.xfs", "-q", "-f"}, {"xfs_repair", "-n"}},
    {"btrfs", 256 << 20, {"mkfs.btrfs", "-q", "-f"}, {"btrfs", "check"}},
};

static const struct fs *find(const char *type)
{
	for (size_t k = 0; k < sizeof(file_systems) / sizeof(*file_systems); k++)
		if (strcmp(file_systems[k].type, type) == 0)
			return &file_systems[k];
	trouble("no file system '%s'", type);
}

int disk_run(char *const argv[], char *log, size_t len)
{
	pid_t pid;
	int status;
	posix_spawn_file_actions_t actions;
	cow_autoclose int out = memfd_create("log", MFD_CLOEXEC);
	if (out < 0 || posix_spawn_file_actions_init(&actions) != 0)
		trouble("run %s", argv[0]);
	(void)posix_spawn_file_actions_adddup2(&actions, out, 1);
	(void)posix_spawn_file_actions_adddup2(&actions, out, 2);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return 127;
	if (waitpid(pid, &status, 0) != pid)
		trouble("wait for %s", argv[0]);
	ssize_t got = log ? cow_pread_full(out, log, len - 1, 0) : 0;
	if (log)
		log[got < 0 ? 0 : got] = '\0';
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int run_on(const char *const args[ARGS], char *path, char *log, size_t len)
{
	char *argv[ARGS + 2];
	size_t n = 0;
	for (; args[n]; n++)
		argv[n] = (char *)(uintptr_t)args[n];
	argv[n++] = path;
	argv[n] = NULL;
	return disk_run(argv, log, len);
}

/* A loop device that detaches itself. Return: fd; its path in @ret. */
static int loop_attach(int image, char ret[32])
{
	cow_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	for (int n = 0; n < 100; n++) {
		struct loop_config config = {.fd = (uint32_t)image,
					     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
		int nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0)
			return -errno;
		(void)snprintf(ret, 32, "/dev/loop%d", nr);
		cow_autoclose int fd = open(ret, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return cow_steal_fd(&fd);
		(void)usleep(10000); /* somebody else took it */
	}
	return -EBUSY;
}

static int mount_file(const char *path, const char *type, const char *point)
{
	char loop[32];
	cow_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cow_autoclose int dev = loop_attach(fd, loop);
	if (dev < 0)
		return dev;
	if (mkdir(point, 0755) < 0 && errno != EEXIST)
		return -errno;
	return mount(loop, point, type, MS_NOATIME, "") < 0 ? -errno : 0;
}

static int new_file(const char *path, off_t size)
{
	cow_autoclose int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 || ftruncate(fd, size) < 0 ? -errno : 0;
}

const char *disk_prepare(const char *base)
{
	char image[80];
	if (geteuid() != 0)
		return "needs root for mounts";
	if (access("/dev/loop-control", R_OK | W_OK) < 0)
		return "needs loop devices";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "needs a mount namespace of its own";
	if (mount("tmpfs", base, "tmpfs", 0, "size=8g,mode=700") < 0)
		return "needs to mount a tmpfs";
	(void)snprintf(image, sizeof(image), "%s/store.img", base);
	(void)snprintf(store, sizeof(store), "%s/store", base);
	char log[512];
	if (new_file(image, STORE_SIZE) < 0 ||
	    run_on(find("xfs")->mkfs, image, log, sizeof(log)) != 0)
		return "needs mkfs.xfs";
	if (mount_file(image, "xfs", store) < 0)
		return "needs to mount an xfs";
	(void)unlink(image); /* the loop device keeps it */
	return NULL;
}

void disk_path(const char *name, char ret[DISK_PATH])
{
	(void)snprintf(ret, DISK_PATH, "%s/%s", store, name);
}

void disk_make(const char *name, const char *type)
{
	char path[DISK_PATH], log[512];
	disk_path(name, path);
	if (new_file(path, find(type)->size) < 0 ||
	    run_on(find(type)->mkfs, path, log, sizeof(log)) != 0)
		trouble("make a file system %s: %s", type, log);
}

int disk_try_mount(const char *name, const char *type, const char *point)
{
	char path[DISK_PATH];
	disk_path(name, path);
	return mount_file(path, type, point);
}

void disk_mount(const char *name, const char *type, const char *point)
{
	int r = disk_try_mount(name, type, point);
	if (r < 0)
		trouble("mount %s: %s", name, errname(r));
}

void disk_unmount(const char *point)
{
	for (int n = 0; n < 100; n++) {
		if (umount2(point, 0) == 0)
			return;
		if (errno != EBUSY)
			break;
		(void)usleep(10000);
	}
	trouble("unmount %s", point);
}

void disk_clone(const char *from, const char *to)
{
	char path[DISK_PATH];
	disk_path(from, path);
	cow_autoclose int in = open(path, O_RDONLY | O_CLOEXEC);
	disk_path(to, path);
	cow_autoclose int out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (in < 0 || out < 0 || ioctl(out, FICLONE, in) < 0)
		trouble("copy the disk %s", from);
}

void disk_remove(const char *name)
{
	char path[DISK_PATH];
	disk_path(name, path);
	(void)unlink(path);
}

int disk_check(const char *name, const char *type, char *log, size_t len)
{
	char path[DISK_PATH];
	disk_path(name, path);
	return run_on(find(type)->check, path, log, len);
}

int disk_overlay(const char *lower, const char *upper, const char *work)
{
	const struct {
		const char *key, *value;
	} options[] = {
	    {"source", "crash"},    {"lowerdir", lower}, {"upperdir", upper}, {"workdir", work},
	    {"redirect_dir", "on"}, {"index", "off"},	 {"metacopy", "off"}, {"nfs_export", "off"},
	};
	cow_autoclose int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	for (size_t k = 0; k < sizeof(options) / sizeof(*options); k++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[k].key, options[k].value, 0) < 0)
			return -errno;
	/* It is only looked at, and never again: no syncs. */
	if (fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOATIME);
	return fd < 0 ? -errno : fd;
}
