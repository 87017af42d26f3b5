/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The server is forked, so it has all the memory of who started it: image, dirfd, what is synced.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fuse/front.h"
#include "util.h"

#define THREADS_MAX 4

const char *serve_refusal(void)
{
	return access("/dev/fuse", R_OK | W_OK) < 0 ? "this machine has no /dev/fuse" : NULL;
}

static void failed(int r, const char *what)
{
	if (r >= 0)
		return;
	errno = -r;
	trouble("server of the mount: %s", what);
}

static _Noreturn void serve(const struct serve *how, int ready)
{
	const struct cow_front_opts opts = {.threads = THREADS_MAX, .writeback = how->writeback};
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *inst;
	struct cow_front *front;
	int r = how->attach(how->ctx, &inst, &err);
	if (r == 0)
		r = cow_front_new(inst, how->point, &opts, &front, &err);
	failed(r, cow_err_str(&err));
	if (write(ready, "", 1) != 1)
		trouble("server of the mount: say so");
	(void)close(ready);
	failed(cow_front_run(front, false), "serve it");
	failed(cow_front_free(front), "detach");
	_exit(0);
}

pid_t serve_start(const struct serve *how)
{
	int ready[2];
	char byte;
	pid_t parent = getpid();
	(void)fflush(NULL);
	if (pipe2(ready, O_CLOEXEC) < 0)
		trouble("make a pipe");
	pid_t pid = fork();
	if (pid < 0)
		trouble("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0); /* already gone */
		(void)signal(SIGTERM, SIG_DFL);
		(void)close(ready[0]);
		serve(how, ready[1]);
	}
	(void)close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		trouble("the server of the mount has ended");
	(void)close(ready[0]);
	return pid;
}

int serve_stop(pid_t server, const char *point)
{
	int status;
	int r = umount2(point, UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	if (r < 0) /* it would not end */
		(void)kill(server, SIGKILL);
	if (waitpid(server, &status, 0) != server)
		trouble("wait for the server of the mount");
	if (r < 0) {
		errno = -r;
		trouble("unmount");
	}
	return status;
}

void serve_reap(const char *point)
{
	(void)umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW); /* fails where nothing is left */
	while (wait(NULL) > 0 || errno == EINTR)
		;
}
