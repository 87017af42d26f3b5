/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Supervision of one program.
 */
#include "serve_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define MAY_START_POLL_MS 50
#define ENV_MAX 256
#define PID_TEXT_OFF 11 /* behind "LISTEN_PID=" */

static void on_timer(void *ctx);
static void on_end(void *ctx, uint32_t events);

uint64_t cow_child_next_pause(uint64_t last_ms, uint64_t lived_ms)
{
	if (last_ms == 0 || lived_ms >= COW_CHILD_GOOD_MS)
		return COW_CHILD_PAUSE_MIN_MS;
	return last_ms * 2 > COW_CHILD_PAUSE_MAX_MS ? COW_CHILD_PAUSE_MAX_MS : last_ms * 2;
}

const char *cow_child_state_name(const struct cow_child *c)
{
	switch (c->state) {
	case COW_CHILD_OFF:
		return "off";
	case COW_CHILD_WAITING:
		return "waiting";
	case COW_CHILD_RUNNING:
		return c->ready ? "running" : "starting";
	case COW_CHILD_STOPPING:
		return "stopping";
	}
	return "?";
}

static void set_state(struct cow_child *c, enum cow_child_state s)
{
	c->state = s;
	c->ready = false;
	if (c->changed)
		c->changed(c->ctx, c);
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

/* Our environment with the child's words in front of it. Made before fork(): the child may only
 * make async-signal-safe calls, since another thread may hold malloc's lock. */
static void make_env(const struct cow_child *c, char listen_pid[32], char listen_n[32],
		     char *ret[ENV_MAX])
{
	size_t n = 0;

	for (size_t i = 0; c->env[i]; i++)
		ret[n++] = (char *)(uintptr_t)c->env[i]; /* execve() changes nothing */
	if (c->listen_fds) {
		(void)snprintf(listen_pid, 32, "LISTEN_PID="); /* the child adds its own */
		(void)snprintf(listen_n, 32, "LISTEN_FDS=%u", c->n_fds);
		ret[n++] = listen_pid;
		ret[n++] = listen_n;
	}
	for (char **e = environ; *e && n < ENV_MAX - 1; e++) {
		bool ours =
		    strncmp(*e, "NOTIFY_SOCKET=", 14) == 0 || strncmp(*e, "LISTEN_", 7) == 0;
		for (size_t i = 0; c->env[i] && !ours; i++)
			ours = same_name(c->env[i], *e);
		if (!ours)
			ret[n++] = *e;
	}
	ret[n] = NULL;
}

static void put_pid(char *to, pid_t pid)
{
	char digits[16];
	int n = 0;

	do {
		digits[n++] = (char)('0' + pid % 10);
		pid /= 10;
	} while (pid);
	while (n)
		*to++ = digits[--n];
	*to = '\0';
}

/* In the child: async-signal-safe calls only. */
static void exec_child(const struct cow_child *c, pid_t parent, char *listen_pid, char **env)
{
	int at[COW_CHILD_FDS];
	sigset_t none;

	if (setpgid(0, c->group) < 0 && setpgid(0, 0) < 0)
		_exit(126);
	/* What keeps its privileges goes down with us even without the guard. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(126);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* First all out of the way of 3.., then down: dup2() also clears close-on-exec. */
	for (unsigned i = 0; i < c->n_fds; i++)
		if ((at[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, 64)) < 0)
			_exit(126);
	for (unsigned i = 0; i < c->n_fds; i++)
		if (dup2(at[i], 3 + (int)i) < 0)
			_exit(126);
	if (c->listen_fds)
		put_pid(listen_pid + PID_TEXT_OFF, getpid());
	(void)execve(c->argv[0], (char *const *)(uintptr_t)c->argv, env);
	_exit(127);
}

static int spawn(struct cow_child *c)
{
	char listen_pid[32], listen_n[32];
	char *env[ENV_MAX];
	pid_t self = getpid();

	make_env(c, listen_pid, listen_n, env);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_child(c, self, listen_pid, env);
	(void)setpgid(pid, c->group); /* as the child does: whoever is first */
	c->pid = pid;
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd >= 0) {
		c->watch = (struct cow_watch){.fd = c->pidfd, .fn = on_end, .ctx = c};
		if (cow_loop_watch(c->loop, &c->watch, EPOLLIN) == 0)
			return 0;
		(void)close(cow_steal_fd(&c->pidfd));
	}
	int r = -errno;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	c->pid = 0;
	return r;
}

static void pause_then_start(struct cow_child *c, uint64_t lived_ms)
{
	c->pause_ms = cow_child_next_pause(c->pause_ms, lived_ms);
	c->timer.fn = on_timer;
	c->timer.ctx = c;
	cow_loop_timer(c->loop, &c->timer, c->pause_ms);
	set_state(c, COW_CHILD_WAITING);
}

static void try_start(struct cow_child *c)
{
	if (c->may_start && !c->may_start(c->ctx)) {
		cow_loop_timer(c->loop, &c->timer, MAY_START_POLL_MS);
		return;
	}
	if (c->before_start)
		c->before_start(c->ctx);
	int r = spawn(c);
	if (r < 0) {
		(void)snprintf(c->reason, sizeof(c->reason), "cannot start: %s",
			       strerror(-r)); /* NOLINT(concurrency-mt-unsafe) */
		cow_log(COW_LOG_ERROR, "service=%s %s", c->name, c->reason);
		c->restarts++;
		pause_then_start(c, 0);
		return;
	}
	c->started_ms = cow_now_ms();
	c->has_reason = false;
	cow_log(COW_LOG_DEBUG, "service=%s pid=%d started", c->name, (int)c->pid);
	set_state(c, COW_CHILD_RUNNING);
}

static void on_timer(void *ctx)
{
	struct cow_child *c = ctx;

	if (c->state == COW_CHILD_STOPPING) {
		cow_log(COW_LOG_WARNING, "service=%s pid=%d does not end, killed", c->name,
			(int)c->pid);
		(void)kill(c->pid, SIGKILL); /* ours until waited for */
		return;
	}
	if (c->state == COW_CHILD_WAITING)
		try_start(c);
}

static void describe_end(struct cow_child *c, int status)
{
	if (c->has_reason)
		return;
	if (WIFSIGNALED(status))
		(void)snprintf(c->reason, sizeof(c->reason), "killed by signal %d (%s)",
			       WTERMSIG(status), sigabbrev_np(WTERMSIG(status)) ?: "?");
	else if (WEXITSTATUS(status) == 127)
		(void)snprintf(c->reason, sizeof(c->reason), "cannot run %s", c->argv[0]);
	else
		(void)snprintf(c->reason, sizeof(c->reason), "exit status %d", WEXITSTATUS(status));
}

static void on_end(void *ctx, uint32_t events)
{
	struct cow_child *c = ctx;
	uint64_t lived = cow_now_ms() - c->started_ms;
	int status = 0;

	(void)events; /* a pidfd has one thing to say */
	if (waitpid(c->pid, &status, WNOHANG) == 0)
		return;
	cow_loop_unwatch(c->loop, &c->watch);
	(void)close(cow_steal_fd(&c->pidfd));
	pid_t pid = c->pid;
	c->pid = 0;
	if (c->wants_stop) {
		cow_loop_timer_off(c->loop, &c->timer);
		cow_log(COW_LOG_DEBUG, "service=%s pid=%d ended", c->name, (int)pid);
		set_state(c, COW_CHILD_OFF);
		return;
	}
	describe_end(c, status);
	c->restarts++;
	pause_then_start(c, lived);
	cow_log(COW_LOG_WARNING,
		"service=%s pid=%d died after %llu ms: %s; again in %llu ms (restart %u)", c->name,
		(int)pid, (unsigned long long)lived, c->reason, (unsigned long long)c->pause_ms,
		c->restarts);
}

void cow_child_start(struct cow_child *c)
{
	c->pidfd = -1;
	c->wants_stop = false;
	c->timer = (struct cow_timer){.fn = on_timer, .ctx = c};
	set_state(c, COW_CHILD_WAITING);
	try_start(c);
}

void cow_child_stop(struct cow_child *c)
{
	c->wants_stop = true;
	cow_loop_timer_off(c->loop, &c->timer);
	if (c->state != COW_CHILD_RUNNING && c->state != COW_CHILD_STOPPING) {
		set_state(c, COW_CHILD_OFF);
		return;
	}
	(void)kill(c->pid, SIGTERM); /* ours until waited for */
	cow_loop_timer(c->loop, &c->timer, c->stop_ms);
	set_state(c, COW_CHILD_STOPPING);
}

void cow_child_kick(struct cow_child *c, const char *why)
{
	if (c->state != COW_CHILD_RUNNING)
		return;
	(void)snprintf(c->reason, sizeof(c->reason), "%s", why);
	c->has_reason = true;
	(void)kill(c->pid, SIGKILL); /* ours until waited for; on_end() goes on */
}

/* The guard's whole life. Signals are blocked: it ends with its group alone. */
static void guard_main(int fd)
{
	sigset_t all;
	char c;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_NAME, "cowherd-guard");
	/* No lock and no socket of ours may outlive us in here. */
	if (dup2(fd, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	while (read(3, &c, 1) < 0 && errno == EINTR)
		;
	(void)kill(0, SIGTERM);
	(void)sleep(2);
	(void)kill(0, SIGKILL);
	_exit(0);
}

pid_t cow_guard_start(int *ret_fd)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(p[1]);
		(void)setpgid(0, 0);
		guard_main(p[0]);
	}
	int r = pid < 0 ? -errno : 0;
	(void)close(p[0]);
	if (r == 0 && setpgid(pid, pid) < 0)
		r = -errno;
	if (r < 0) {
		(void)close(p[1]);
		if (pid > 0) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, NULL, 0);
		}
		return r;
	}
	*ret_fd = p[1];
	return pid;
}
