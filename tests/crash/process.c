/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Process cuts. For every N a process makes the steps of a case and is killed before the Nth system
 * call of the last one. (After the Nth is before the N+1st: nothing else changes a file system.)
 * What the kernel has in memory stays, so syncs are left out. Sometimes the process that attaches
 * next is killed too.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fs.h"
#include "crash.h"
#include "fault.h"
#include "util.h"

struct victim {
	struct ground *g;
	char point[POINT_LEN];
	struct history *h;
	struct lever *l;
	struct rng rng;
	bool same_fs, attach_only;
};

void count_down(void *ctx, const char *call)
{
	struct lever *l = ctx;
	if (atomic_load(&l->armed) && atomic_fetch_sub(&l->left, 1) == 1)
		(void)kill(getpid(), SIGKILL);
}

static void arm(struct victim *v)
{
	atomic_store(&v->l->armed, true);
	fault_ctx = v->l;
	fault_hook = count_down;
}

static void attach(struct victim *v, struct seat *ret)
{
	char why[WHY_LEN];
	if (seat_open(v->g, v->point, "victim", v->same_fs, 0, ret, why) < 0)
		trouble("before a cut: %s", why);
}

/* In a process of its own. */
static void live(struct victim *v)
{
	struct seat s;
	char text[3 * PATH_LEN];
	if (v->attach_only) {
		arm(v);
		attach(v, &s);
		return;
	}
	attach(v, &s);
	know(s.i, v->h->top, &v->l->rep.known[0]);
	for (size_t k = 1; k <= v->h->n; k++) {
		if (k == v->h->n)
			arm(v);
		int r = step_run(s.i, v->h->top, &v->h->step[k], &v->l->rep.made[0], k);
		if (r < 0)
			trouble("%s: %s", step_text(&v->h->step[k], text), errname(r));
	}
	fault_hook = NULL;
}

/* Return: true: it was killed where it should be; false: it came to its end. */
static bool kill_one(struct victim *v, unsigned at)
{
	int status;
	atomic_store(&v->l->left, at);
	atomic_store(&v->l->armed, false);
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		trouble("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(v);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		trouble("wait");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		trouble("a process that was to be killed ended with status %#x", status);
	return false;
}

/* Through a mount. Return: as kill_one(), @why not empty: not as it should be. */
static bool kill_one_mount(struct victim *v, unsigned at, char why[WHY_LEN])
{
	const struct mount_how how = {
	    .g = v->g,
	    .point = v->point,
	    .name = "victim",
	    .same_fs = v->same_fs,
	    .at_call = count_down,
	    .ctx = v->l,
	};
	atomic_store(&v->l->left, at);
	(void)kill_server(&how, &v->h, 1, &v->rng, v->l, why); /* @why tells */
	return v->l->killed;
}

void victim_make(const struct ground *g, const char *point)
{
	char path[2 * POINT_LEN];
	struct cow_err err = COW_ERR_INIT;
	const struct cow_ovl_create_opts opts = {.durability = COW_OVL_STRICT};
	(void)snprintf(path, sizeof(path), "%s/victim", point);
	if (mkdir(path, 0700) < 0)
		trouble("make %s", path);
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, path);
	if (cow_ovl_inst_create(fd, g->img, &opts, &err) < 0)
		trouble("make an instance: %s", cow_err_str(&err));
}

void victim_drop(const char *point)
{
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, point);
	if (cow_rm_rf_at(fd, "victim", 0) < 0)
		trouble("remove an instance");
}

static bool check_victim(struct victim *v, bool completed, char *why)
{
	struct moment m = {
	    .acked = {completed ? v->h->n : v->h->n - 1},
	    .started = {v->h->n},
	};
	bool remount = v->g->mount && (completed || rng_chance(&v->rng, 20));
	struct verify how = {
	    .g = v->g,
	    .name = "victim",
	    .same_fs = v->same_fs,
	    .strict = true,
	    .h = &v->h,
	    .threads = 1,
	    .m = &m,
	    .rep = &v->l->rep,
	    .go_on = 1,
	    .kernel = true,
	    .golden = remount,
	    .remount = remount,
	};
	memcpy(how.point, v->point, sizeof(how.point));
	return verify_instance(&how, why);
}

static void run_case(struct victim *v, size_t k)
{
	char what[400], why[WHY_LEN] = "";
	bool killed = true;
	v->h = case_history(v->g, k);
	v->same_fs = rng_chance(&v->rng, 50);
	for (unsigned at = 1; killed; at++) {
		unsigned again = rng_chance(&v->rng, 25) ? 1 + rng_below(&v->rng, 8) : 0;
		victim_make(v->g, v->point);
		memset(&v->l->rep, 0, sizeof(v->l->rep));
		v->attach_only = false;
		killed = v->g->mount ? kill_one_mount(v, at, why) : kill_one(v, at);
		v->attach_only = true;
		bool completed = v->g->mount ? v->l->completed : !killed;
		bool twice = again && kill_one(v, again);
		if (*why || !check_victim(v, completed, why)) {
			(void)snprintf(what, sizeof(what),
				       "process%s, case %zu (%s), %s call %u%s, image on %s file "
				       "system",
				       v->g->mount ? " through the mount" : "", k, case_text(k),
				       killed ? "killed before" : "ended at", at,
				       twice ? ", and while attaching" : "",
				       v->same_fs ? "the same" : "another");
			fail(v->g, what, why);
			why[0] = '\0';
		}
		v->g->process_cuts += killed;
		victim_drop(v->point);
		if (at > 200)
			trouble("case %zu does not end", k);
	}
	history_free(v->h);
}

void process_cuts(struct ground *g, size_t from, size_t step)
{
	struct victim v = {.g = g, .l = shared_memory(sizeof(struct lever))};
	(void)snprintf(v.point, sizeof(v.point), "%s/fs", g->base);
	disk_clone("pristine", "work");
	disk_mount("work", g->type, v.point);
	fault_nosync = true;
	for (size_t k = from; k < case_count; k += step) {
		v.rng = rng_part(g->seed, 100 + k);
		run_case(&v, k);
	}
	fault_nosync = false;
	disk_unmount(v.point);
	disk_remove("work");
}
