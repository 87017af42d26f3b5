/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "import_part.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

/* ---------------------------------------------------------------- the kernel */

/* -> descriptor of the loop device, which goes with its last user. */
static int loop_open(int fd, const struct cow_disk_part *p, int read_only)
{
	struct loop_config config = {
	    .fd = (uint32_t)fd,
	    .info = {.lo_offset = p->off,
		     .lo_sizelimit = p->size,
		     .lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0)},
	};
	cow_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -EOPNOTSUPP;
	for (unsigned tries = 0; tries < 16; tries++) {
		char name[32];
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			return -EOPNOTSUPP;
		(void)snprintf(name, sizeof(name), "/dev/loop%d", n);
		int loop = open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (loop < 0)
			return -EOPNOTSUPP;
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			return loop;
		int r = -errno;
		(void)close(loop);
		if (r != -EBUSY) /* else somebody was faster */
			return r;
	}
	return -EBUSY;
}

static int configure(int context, const char *fs, const char *device)
{
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	/* Two images of one btrfs have one UUID and one of xfs is refused beside another. */
	if (strcmp(fs, "xfs") == 0 && fsconfig(context, FSCONFIG_SET_FLAG, "nouuid", NULL, 0) < 0)
		return -errno;
	return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? -errno : 0;
}

/* ENXIO and so on are the file system's own. */
static int mount_loop(int loop, const char *fs)
{
	char device[64];
	struct stat st;
	if (fstat(loop, &st) < 0)
		return -errno;
	(void)snprintf(device, sizeof(device), "/proc/self/fd/%d", loop);
	cow_autoclose int context = fsopen(fs, FSOPEN_CLOEXEC);
	if (context < 0)
		return errno == ENODEV ? -EOPNOTSUPP : -errno;
	int r = configure(context, fs, device);
	if (r < 0)
		return r;
	cow_autoclose int mounted =
	    fsmount(context, FSMOUNT_CLOEXEC,
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mounted < 0)
		return -errno;
	int root = openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -errno : root;
}

int cow_part_mount(int fd, const struct cow_disk_part *p)
{
	int read_only = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
	cow_autoclose int loop = loop_open(fd, p, read_only);
	if (loop < 0)
		return loop;
	int r = mount_loop(loop, p->fs);
	return r == -EROFS && read_only ? -EUCLEAN : r;
}

/* ---------------------------------------------------------------- programs */

/* All a program may do to files is write below @dir. Kernels without landlock: nothing is asked. */
static void confine_to(int dir)
{
	struct landlock_ruleset_attr rules = {
	    .handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	struct landlock_path_beneath_attr below = {
	    .allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
			      LANDLOCK_ACCESS_FS_MAKE_REG,
	    .parent_fd = dir,
	};
	int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (set < 0)
		return;
	if (syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, set, 0) < 0)
		_exit(126);
}

/* In the child, between fork() and exec(): @fd is kept, @said takes what it says, @dir (or -1) becomes
 * the working directory. */
static void become(int fd, int said, int dir, const char *const argv[])
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
					  "LC_ALL=C.UTF-8",
					  "MTOOLSRC=/dev/null",
					  "MTOOLS_SKIP_CHECK=1",
					  "HOME=/nonexistent",
					  NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)umask(022);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(said, STDERR_FILENO) < 0 || fcntl(fd, F_SETFD, 0) < 0 ||
	    (dir >= 0 && fchdir(dir) < 0))
		_exit(126);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	if (dir >= 0)
		confine_to(dir);
	(void)execvpe(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	_exit(127);
}

void cow_part_last_words(int said, char why[COW_PART_WHY])
{
	char buf[1024];
	off_t end = lseek(said, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(buf) - 1 ? end - ((off_t)sizeof(buf) - 1) : 0;
	ssize_t n = pread(said, buf, sizeof(buf) - 1, from);
	buf[n > 0 ? n : 0] = 0;
	for (ssize_t i = n - 1; i >= 0 && (buf[i] == '\n' || buf[i] == ' '); i--)
		buf[i] = 0;
	const char *line = strrchr(buf, '\n');
	(void)snprintf(why, COW_PART_WHY, "%.*s", COW_PART_WHY - 1, line ? line + 1 : buf);
	for (char *c = why; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

/* Return: exit status, @why the last line the program said; -ENOENT there is no such program; -ECHILD it
 * was killed; other -errno. */
static int run(int fd, int dir, const char *const argv[], char why[COW_PART_WHY])
{
	int status;
	*why = 0;
	cow_autoclose int said = memfd_create("said", MFD_CLOEXEC);
	pid_t pid = said < 0 ? -1 : fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(fd, said, dir, argv);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	cow_part_last_words(said, why);
	if (!WIFEXITED(status))
		return -ECHILD;
	return WEXITSTATUS(status) == 127 ? -ENOENT : WEXITSTATUS(status);
}

int cow_part_replay(int fd, char why[COW_PART_WHY])
{
	char name[64];
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	const char *const argv[] = {"e2fsck", "-y", "-E", "journal_only", name, NULL};
	int r = run(fd, -1, argv, why);
	if (r == -ENOENT)
		return r;
	return r == 0 || r == 1 ? 0 : -EUCLEAN; /* 1: errors corrected */
}

int cow_part_copy_fat(int fd, const struct cow_disk_part *p, int dir, char why[COW_PART_WHY])
{
	char image[96];
	(void)snprintf(image, sizeof(image), "/proc/self/fd/%d@@%llu", fd,
		       (unsigned long long)p->off);
	const char *const argv[] = {"mcopy", "-i", image, "-s", "-n", "-m", "::*", ".", NULL};
	int r = run(fd, dir, argv, why);
	return r > 0 ? -EBADMSG : r;
}
