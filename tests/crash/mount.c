/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An instance through cowherd-fuse: a server in a process of its own, and those who make system calls
 * on its mount.
 *
 * An observer of the engine beside the mount tells the handles of what steps made: so all that is
 * looked at after a cut, handles too, is looked at here as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "crash.h"
#include "fault.h"
#include "serve.h"
#include "util.h"

void mount_point(const struct ground *g, char ret[POINT_LEN])
{
	(void)snprintf(ret, POINT_LEN, "%s/mount", g->base);
}

/* ---------------------------------------------------------------- server */

static int attach(void *ctx, struct cow_ovl_inst **ret, struct cow_err *err)
{
	const struct mount_how *how = ctx;
	struct seat s;
	char why[WHY_LEN];
	int r = seat_open(how->g, how->point, how->name, how->same_fs, COW_OVL_LOCAL, &s, why);
	if (r < 0)
		return cow_err_set(err, r, "%s", why);
	fault_ctx_all = how->ctx;
	fault_hook_all = how->at_call;
	*ret = s.i;
	return 0;
}

pid_t mount_start(const struct mount_how *how)
{
	struct mount_how copy = *how;
	char point[POINT_LEN];
	mount_point(how->g, point);
	const struct serve s = {.point = point, .attach = attach, .ctx = &copy};
	return serve_start(&s);
}

int mount_stop(const struct ground *g, pid_t server)
{
	char point[POINT_LEN];
	mount_point(g, point);
	return serve_stop(server, point);
}

void mount_gone(const struct ground *g)
{
	char point[POINT_LEN];
	mount_point(g, point);
	if (g->mount)
		serve_reap(point);
}

/* What a dead server must leave: a mount that says so, and goes. */
static bool dead_mount_ok(const char *point, char *why)
{
	struct statfs sf;
	char path[2 * POINT_LEN];
	int r = statfs(point, &sf) < 0 ? -errno : 0;
	if (r == -ENOTCONN) {
		(void)snprintf(path, sizeof(path), "%s/zz", point);
		r = mkdir(path, 0755) < 0 ? -errno : 0;
	}
	if (r != -ENOTCONN) {
		(void)snprintf(why, WHY_LEN, "the mount of a killed server answers %s", errname(r));
		return false;
	}
	if (umount2(point, UMOUNT_NOFOLLOW) < 0) {
		(void)snprintf(why, WHY_LEN, "unmount it after that: %s", errname(errno));
		return false;
	}
	return true;
}

/* Its client has seen the end of its connection, so it is all but dead. */
static int wait_dead(pid_t server)
{
	int status;
	for (int n = 0; n < 5000; n++) {
		if (waitpid(server, &status, WNOHANG) == server)
			return status;
		(void)usleep(1000);
	}
	(void)kill(server, SIGKILL);
	(void)waitpid(server, &status, 0);
	return -1;
}

bool mount_dead(const struct ground *g, pid_t server, char why[WHY_LEN])
{
	char point[POINT_LEN];
	mount_point(g, point);
	int status = wait_dead(server);
	if (status == -1 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		(void)snprintf(why, WHY_LEN, "the server of the mount %s, status %#x",
			       status == -1 ? "lives, but not for its client" : "was not killed",
			       (unsigned)status);
		return false;
	}
	return dead_mount_ok(point, why);
}

/* ---------------------------------------------------------------- client */

void client_open(const struct mount_how *how, struct client *ret)
{
	char point[POINT_LEN], why[WHY_LEN];
	mount_point(how->g, point);
	struct client c = {.mount = cow_opendir_at(AT_FDCWD, point),
			   .below = cow_opendir_at(AT_FDCWD, how->point)};
	if (c.mount < 0 || c.below < 0)
		trouble("open the mount");
	if (seat_open(how->g, how->point, how->name, how->same_fs, COW_OVL_OBSERVER, &c.seat, why) <
	    0)
		trouble("look beside the mount: %s", why);
	*ret = c;
}

static int note_handle(const struct client *c, const char *top, const struct step *s,
		       struct made *made, size_t number)
{
	char path[PATH_LEN + 64];
	cow_autonode n = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", top, s->path);
	int r = node_at(c->seat.i, path, NULL, &n);
	if (r == 0)
		made->v[number].len = cow_ovl_handle(n, made->v[number].handle);
	return r;
}

int client_step(const struct client *c, const char *top, const struct step *s, struct made *made,
		size_t number)
{
	if (c->mount < 0)
		return step_run(c->seat.i, top, s, made, number);
	/* As sync(2) does it: the kernel tells no FUSE server of a syncfs(2), but syncs what lies
	 * below too. */
	if (s->kind == K_SYNC)
		return syncfs(c->mount) < 0 || syncfs(c->below) < 0 ? -errno : 0;
	int r = step_run_at(c->mount, top, s);
	return r == 0 && s->kind <= K_FIFO ? note_handle(c, top, s, made, number) : r;
}

static bool is_end(int err)
{
	return err == ENOTCONN || err == ECONNABORTED;
}

/* The kernel says EIO of a request that the server was killed over while it read it. */
bool client_cut(const struct client *c, int r)
{
	struct statfs sf;
	return is_end(-r) || (r == -EIO && fstatfs(c->mount, &sf) < 0 && is_end(errno));
}
