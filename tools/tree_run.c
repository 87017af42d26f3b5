/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See tree_run.h. Processes:
 *	caller		mounts the root, waits, unmounts
 *	cowherd-fuse	its child, outside the PID namespace
 *	init		first of the PID namespace: mounts what a system needs, reaps, ends with the command
 *	command		its child
 */
#include "tree_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"

#define RESOLV "/etc/resolv.conf"
#define PATH_IN_TREE "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What went wrong in the child, by a pipe. */
struct trouble {
	int r;
	char what[256];
};

static int trouble(struct trouble *t, int r, const char *what)
{
	t->r = r;
	(void)snprintf(t->what, sizeof(t->what), "%s", what);
	return r;
}

/* ---------------------------------------------------------------- a system around the command */

/* Mount on a directory of the tree, which has been entered: "." is its root. */
static int mount_in(const char *source, const char *dir, const char *type, unsigned long flags,
		    const char *data, struct trouble *t)
{
	if (mount(source, dir, type, flags, data) < 0)
		return trouble(t, -errno, dir);
	return 0;
}

/* Directories a tree can lack (an image of a container) are left alone. */
static bool has_dir(const char *dir)
{
	struct stat st;
	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode);
}

static int mount_system(struct trouble *t)
{
	int r = 0;
	if (has_dir("proc"))
		r = mount_in("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, t);
	if (r == 0 && has_dir("sys"))
		r = mount_in("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
			     NULL, t);
	if (r == 0 && has_dir("dev"))
		r = mount_in("/dev", "dev", NULL, MS_BIND | MS_REC, NULL, t);
	if (r == 0 && has_dir("run"))
		r = mount_in("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=20%",
			     t);
	return r;
}

/*
 * Name servers: this machine's file on the tree's, without writing to the tree. Its file may be a link
 * to one that a service would make below /run, which is empty here; elsewhere links are not followed.
 */
static int give_resolv(const char *text, size_t len, struct trouble *t)
{
	char target[COW_PATH_MAX + 1];
	struct stat st;
	if (len == 0 || lstat("." RESOLV, &st) < 0 || !has_dir("run"))
		return 0;
	int fd = open("run/.resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ssize_t n = fd < 0 ? -1 : write(fd, text, len);
	if (fd >= 0)
		(void)close(fd); /* on a tmpfs */
	if (n != (ssize_t)len)
		return trouble(t, -errno, "run/.resolv.conf");
	if (S_ISREG(st.st_mode))
		return mount_in("run/.resolv.conf", "." RESOLV, NULL, MS_BIND, NULL, t);
	ssize_t m = S_ISLNK(st.st_mode) ? readlink("." RESOLV, target, sizeof(target) - 1) : -1;
	if (m < 0)
		return 0;
	target[m] = '\0';
	const char *in_run = strstr(target, "run/");
	bool ours = in_run && (in_run == target + 1 || strncmp(target, "../run/", 7) == 0);
	if (!ours || strstr(in_run, ".."))
		return 0;
	cow_autofree char *dir = strdup(in_run);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	if (!slash)
		return trouble(t, -ENOMEM, RESOLV);
	for (char *p = dir + 4; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return trouble(t, -errno, dir);
	}
	return rename("run/.resolv.conf", in_run) < 0 ? trouble(t, -errno, in_run) : 0;
}

/* ---------------------------------------------------------------- the PID namespace */

static const char *shell_of(void)
{
	return access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static _Noreturn void run_command(const struct cow_tree_run *o, int report)
{
	char shell[32], *fallback[] = {shell, NULL};
	char *const *argv = o->argv[0] ? o->argv : fallback;
	(void)snprintf(shell, sizeof(shell), "%s", shell_of());
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)execvp(argv[0], argv);
	struct trouble t;
	(void)trouble(&t, -errno, argv[0]);
	(void)!write(report, &t, sizeof(t));
	_exit(127);
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* All orphans of the namespace are ours. Our end kills whoever is left. */
static int reap_until(pid_t command)
{
	int status;
	for (;;) {
		pid_t pid = wait(&status);
		if (pid == command)
			return exit_code(status);
		if (pid < 0 && errno != EINTR)
			return 1;
	}
}

/* In a child that has one thread. */
static int set(const char *name, const char *value)
{
	return setenv(name, value, 1); /* NOLINT(concurrency-mt-unsafe) */
}

static int environment(const struct cow_tree_run *o)
{
	static const char *const kept[] = {"TERM",	     "COLORTERM",   "LANG",
					   "http_proxy",     "https_proxy", "no_proxy",
					   "DEBIAN_FRONTEND"};
	char *value[sizeof(kept) / sizeof(*kept)];
	for (size_t k = 0; k < sizeof(kept) / sizeof(*kept); k++) {
		const char *v = getenv(kept[k]); /* NOLINT(concurrency-mt-unsafe) */
		value[k] = v ? strdup(v) : NULL;
	}
	int bad = clearenv();
	for (size_t k = 0; k < sizeof(kept) / sizeof(*kept); k++)
		if (value[k])
			bad |= set(kept[k], value[k]);
	bad |= set("PATH", PATH_IN_TREE) | set("HOME", "/root") | set("USER", "root") |
	       set("LOGNAME", "root");
	if (o->name)
		bad |= set("debian_chroot", o->name);
	return bad ? -ENOMEM : 0;
}

struct start {
	const struct cow_tree_run *o;
	const char *point;
	const char *resolv;
	size_t resolv_len;
	int report; /* pipe; closed by a successful exec */
};

static int enter_tree(const struct start *s, struct trouble *t)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return trouble(t, -errno, "set the parent's death signal");
	if (chdir(s->point) < 0)
		return trouble(t, -errno, s->point);
	int r = mount_system(t);
	if (r < 0)
		return r;
	if (chroot(".") < 0 || chdir("/") < 0)
		return trouble(t, -errno, "enter the tree");
	r = give_resolv(s->resolv, s->resolv_len, t); /* in here, where links of the tree end */
	if (r < 0)
		return r;
	r = environment(s->o);
	return r < 0 ? trouble(t, r, "environment") : 0;
}

static _Noreturn void run_init(const struct start *s)
{
	struct trouble t = {0};
	if (enter_tree(s, &t) < 0) {
		(void)!write(s->report, &t, sizeof(t));
		_exit(1);
	}
	(void)umask(022);
	pid_t command = fork();
	if (command == 0)
		run_command(s->o, s->report);
	if (command < 0) {
		(void)trouble(&t, -errno, "fork");
		(void)!write(s->report, &t, sizeof(t));
		_exit(1);
	}
	(void)close(s->report);
	_exit(reap_until(command));
}

/* ---------------------------------------------------------------- the caller */

static int explain(const struct trouble *t, struct cow_err *err)
{
	if (t->r == -ENOEXEC)
		return cow_err_hint(err, cow_err_set(err, t->r, "run '%s'", t->what),
				    "a tree for another kind of processor needs qemu-user-static: "
				    "apt-get install qemu-user-static");
	return cow_err_set(err, t->r, "run '%s'", t->what);
}

static int wait_command(pid_t init, int report, int *ret_status, struct cow_err *err)
{
	struct trouble t;
	int status;
	ssize_t n;
	do {
		n = read(report, &t, sizeof(t));
	} while (n < 0 && errno == EINTR);
	while (waitpid(init, &status, 0) < 0)
		if (errno != EINTR)
			return cow_err_set(err, -errno, "wait for the command");
	if (n == (ssize_t)sizeof(t))
		return explain(&t, err);
	*ret_status = exit_code(status);
	return 0;
}

/* As system(3): the terminal's signals are for the command. */
static int run_mounted(struct start *s, int *ret_status, struct cow_err *err)
{
	int pipe_fd[2];
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return cow_err_set(err, -errno, "run");
	s->report = pipe_fd[1];
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_int, old_quit;
	(void)sigaction(SIGINT, &ignore, &old_int);
	(void)sigaction(SIGQUIT, &ignore, &old_quit);
	/* As fork(2). unshare(2) would put every later child of ours there too. */
	pid_t init = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	if (init == 0)
		run_init(s);
	int r = init < 0 ? cow_err_set(err, -errno, "make a PID namespace") : 0;
	(void)close(pipe_fd[1]);
	if (r == 0)
		r = wait_command(init, pipe_fd[0], ret_status, err);
	(void)close(pipe_fd[0]);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGQUIT, &old_quit, NULL);
	return r;
}

static int run_in(const struct cow_tree_run *o, const char *point, int *ret_status,
		  struct cow_err *err)
{
	struct cow_mount m = o->mount;
	struct cow_err last = COW_ERR_INIT;
	cow_autofree char *resolv = NULL;
	struct start s = {.o = o, .point = point};
	pid_t fuse;
	m.point = point;
	m.child = true;
	if (cow_read_file_at(AT_FDCWD, RESOLV, 65536, &resolv, &s.resolv_len) == 0)
		s.resolv = resolv;
	int r = cow_mount_start(&m, &fuse, err);
	if (r < 0)
		return r;
	r = run_mounted(&s, ret_status, err);
	(void)umount2(point, MNT_DETACH); /* with what was mounted in it; nobody is left inside */
	int end = cow_mount_wait(fuse, &last);
	if (end < 0 && r == 0) {
		*err = last;
		r = end;
	}
	return r;
}

int cow_tree_run(const struct cow_tree_run *o, int *ret_status, struct cow_err *err)
{
	char point[] = "/tmp/cowherd-XXXXXX";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return cow_err_set(err, -errno, "make a mount namespace");
	if (!mkdtemp(point))
		return cow_err_set(err, -errno, "directory to mount on");
	int r = run_in(o, point, ret_status, err);
	(void)rmdir(point); /* an empty directory of ours */
	return r;
}
