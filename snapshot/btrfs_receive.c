/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "btrfs_receive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/clock.h"
#include "import_part.h"

#define TICK_MS 200
#define STALL_MS                                                                                   \
	600000 /* a busy disk may keep it waiting; a stream that makes it wait for nobody must not for ever */
#define CANNOT_CONFINE 126
#define NO_PROGRAM 127

struct cow_btrfs_receive {
	pid_t pid; /* 0: it was waited for */
	int to, said;
	int (*tick)(void *ctx);
	void *ctx;
};

/* ---------------------------------------------------------------- the child */

#define LANDLOCK_REFER_ABI 2 /* before it, no name could go from one directory to another */
#define LANDLOCK_TRUNCATE_ABI 3
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* All it may do to files it does below @dir, and mounts stay as they are. Kernels without: nothing is asked. */
static int confine_writes(int dir)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < LANDLOCK_REFER_ABI)
		return 0;
	struct landlock_ruleset_attr rules = {
	    .handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |
				 LANDLOCK_ACCESS_FS_REFER |
				 (abi < LANDLOCK_TRUNCATE_ABI ? 0 : LANDLOCK_ACCESS_FS_TRUNCATE),
	};
	struct landlock_path_beneath_attr below = {
	    .allowed_access = rules.handled_access_fs,
	    .parent_fd = dir,
	};
	int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
	if (set < 0 ||
	    syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, set, 0) < 0)
		return -errno;
	return close(set) < 0 ? -errno : 0;
}

/* What it takes to make files of all kinds and subvolumes, and to find them. */
static int confine_capabilities(void)
{
	static const unsigned char needed[] = {
	    CAP_CHOWN,	 CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
	    CAP_SETFCAP, CAP_SYS_CHROOT,   CAP_SYS_ADMIN,	CAP_MKNOD};
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!memchr(needed, cap, sizeof(needed)) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* The directory is mounted over itself, for this process alone: devices in it are none. A descriptor belongs to the
 * mounts it was opened among, so the path is what leads there. */
static int confine_devices(const char *path)
{
	struct mount_attr attr = {.attr_set =
				      MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	int tree =
	    open_tree(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return close(tree) < 0 ? -errno : 0;
}

static int streams(int from, int said)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return null < 0 || dup2(from, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		       dup2(said, STDERR_FILENO) < 0
		   ? -errno
		   : 0;
}

/* Between fork() and exec(). */
static void become(int dir, int from, int said, pid_t parent)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
					  NULL};
	char link[32], path[COW_PATH_MAX + 1];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	path[len < 0 ? 0 : len] = 0;
	const char *const argv[] = {"btrfs", "-q", "receive", "-C", "-e", "-m", path, path, NULL};
	(void)umask(022);
	(void)signal(SIGINT, SIG_IGN); /* who is told to stop is the parent, who kills */
	(void)signal(SIGTERM, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
	    streams(from, said) < 0 || len <= 0 || confine_devices(path) < 0 ||
	    confine_capabilities() < 0 || confine_writes(dir) < 0) {
		(void)dprintf(said, "%s\n", strerrordesc_np(errno));
		_exit(CANNOT_CONFINE);
	}
	(void)execvpe(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	_exit(NO_PROGRAM);
}

/* ---------------------------------------------------------------- the parent */

int cow_btrfs_receive_begin(int dir, int (*tick)(void *ctx), void *ctx,
			    struct cow_btrfs_receive **ret, struct cow_err *err)
{
	int ends[2];
	pid_t parent = getpid();
	cow_autobtrfsreceive x = calloc(1, sizeof(*x));
	if (!x)
		return cow_err_set(err, -ENOMEM, "run 'btrfs receive'");
	x->tick = tick;
	x->ctx = ctx;
	x->to = -1;
	x->said = memfd_create("said", MFD_CLOEXEC);
	/* A socket: writing to one whose reader is gone need not make a signal. */
	if (x->said < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return cow_err_set(err, -errno, "run 'btrfs receive'");
	x->to = ends[0];
	x->pid = fork();
	if (x->pid == 0)
		become(dir, ends[1], x->said, parent);
	int r = x->pid < 0 ? -errno : 0;
	(void)close(ends[1]);
	if (r < 0) {
		x->pid = 0;
		return cow_err_set(err, r, "run 'btrfs receive'");
	}
	*ret = cow_steal_ptr(&x);
	return 0;
}

static int wait_for(struct cow_btrfs_receive *x)
{
	int status = -1; /* of somebody else's waiting: a signal, as it were */
	while (waitpid(x->pid, &status, 0) < 0 && errno == EINTR)
		;
	x->pid = 0;
	return status;
}

static int no_program(struct cow_err *err)
{
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -ENOENT,
					"a btrfs stream needs the program 'btrfs', which is not "
					"installed"),
			    "install btrfs-progs, or export without --btrfs");
}

/* It has ended: what of? */
static int ended(struct cow_btrfs_receive *x, struct cow_err *err)
{
	char why[COW_PART_WHY];
	int status = wait_for(x);
	if (status == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM)
		return no_program(err);
	cow_part_last_words(x->said, why);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_CONFINE)
		return cow_err_say(err, COW_ERR_FAILED, -EPERM,
				   "cannot confine 'btrfs receive': %s", why);
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'btrfs receive' failed: %s",
			   WIFSIGNALED(status) ? "it was killed" : why);
}

/* Until it takes bytes, or is gone. @since: when it last did. Return: poll()'s events; -errno. */
static int wait_turn(struct cow_btrfs_receive *x, short events, uint64_t since, struct cow_err *err)
{
	struct pollfd p = {.fd = x->to, .events = events};
	for (;;) {
		int n = poll(&p, 1, TICK_MS);
		int r = x->tick ? x->tick(x->ctx) : 0;
		if (r < 0)
			return r == -EINTR ? cow_err_set(err, r, "'btrfs receive' was stopped") : r;
		if (n > 0)
			return p.revents;
		if (n < 0 && errno != EINTR)
			return cow_err_set(err, -errno, "wait for 'btrfs receive'");
		if (cow_now_ms() - since > STALL_MS)
			return cow_err_say(err, COW_ERR_FAILED, -ETIMEDOUT,
					   "'btrfs receive' does not go on");
	}
}

int cow_btrfs_receive_give(struct cow_btrfs_receive *x, const void *p, size_t len,
			   struct cow_err *err)
{
	const uint8_t *from = p;
	uint64_t since = cow_now_ms();
	while (len) {
		ssize_t n = send(x->to, from, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			from += n;
			len -= (size_t)n;
			since = cow_now_ms();
			continue;
		}
		if (errno == EPIPE || errno == ECONNRESET) {
			int r = ended(x, err);
			return r < 0 ? r
				     : cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
						   "'btrfs receive' ended before its stream");
		}
		if (errno != EAGAIN && errno != EINTR)
			return cow_err_set(err, -errno, "write to 'btrfs receive'");
		int r = wait_turn(x, POLLOUT, since, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cow_btrfs_receive_end(struct cow_btrfs_receive *x, struct cow_err *err)
{
	if (shutdown(x->to, SHUT_WR) < 0)
		return cow_err_set(err, -errno, "write to 'btrfs receive'");
	int r = wait_turn(x, POLLIN, cow_now_ms(), err); /* it has the other end until it ends */
	return r < 0 ? r : ended(x, err);
}

void cow_btrfs_receive_free(struct cow_btrfs_receive *x)
{
	if (!x)
		return;
	if (x->pid > 0) {
		(void)kill(x->pid, SIGKILL); /* not waited for, so it is still ours */
		(void)wait_for(x);
	}
	if (x->to >= 0)
		(void)close(x->to);
	if (x->said >= 0)
		(void)close(x->said);
	free(x);
}
