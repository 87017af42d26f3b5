/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * crash - what is left of a client's root when the power or the server goes at any moment (I1 to I3).
 *
 *	crash [--mount] [--fs ext4|xfs|btrfs]... [--seed N] [--long] [--only WHAT] [--failures N]
 *	      [--keep DIR]
 *	crash ... --case K | --round N
 *
 *	--mount		the steps are system calls on a mount by cowherd-fuse, and its server is killed
 *	--fs		all three when not given
 *	--seed N	of random steps, variants and instants; "random", or the day's when not given, is
 *			printed. The same seed gives the same steps; instants are the machine's
 *	--long		all cases, and more than 1000 power cuts; also by COWHERD_TEST_LONG=1
 *	--only WHAT	"process": kills alone, "power": cuts of the device alone
 *	--case K	only this case, --round N only this round
 *	--failures N	go on until so many, 5 when not given
 *	--keep DIR	copy the images that failed there
 *
 * Exit status: 0, 1 something was lost, 2 trouble, 77 cannot run here (says why).
 *
 * A child does it all, in a mount namespace of its own; this process only waits for it and removes
 * the directory it mounted on.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "crash.h"
#include "serve.h"
#include "util.h"

#define EXIT_SKIP 77
#define LOOK_SECONDS 60
#define LONG_ROUNDS 15
#define LONG_CUTS 30
#define MOUNT_ROUNDS 8

static struct options {
	const char *fs[8];
	size_t nfs;
	uint64_t seed, one_case, one_round, failures;
	bool long_form, mount, process, power;
	const char *keep;
} o = {
    .one_case = UINT64_MAX, .one_round = UINT64_MAX, .failures = 5, .process = true, .power = true};

static char base[40];
static volatile pid_t child;

/* ---------------------------------------------------------------- for the others */

void fail(struct ground *g, const char *what, const char *why)
{
	(void)printf("FAILED: %s, seed %" PRIu64 ": %s:\n   %s\n", g->type, g->seed, what, why);
	(void)fflush(stdout);
	if (++g->failures >= g->max_failures) {
		(void)printf("%s: %u process cuts, %u power cuts until then\n", g->type,
			     g->process_cuts, g->power_cuts);
		(void)fflush(stdout);
		_exit(1);
	}
}

void *shared_memory(size_t len)
{
	static void *have;
	static size_t have_len;
	if (have)
		(void)munmap(have, have_len);
	have = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (have == MAP_FAILED)
		trouble("memory");
	have_len = len;
	return have;
}

bool in_child(void (*fn)(void *ctx), void *ctx, struct report *rep, char why[WHY_LEN])
{
	int status;
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		trouble("fork");
	if (pid == 0) {
		(void)signal(SIGTERM, SIG_DFL);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(LOOK_SECONDS);
		fn(ctx);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		trouble("wait");
	(void)snprintf(why, WHY_LEN, "%s", rep->why);
	if (!*why && status != 0)
		(void)snprintf(why, WHY_LEN, "it ended with status %#x", status);
	return !*why;
}

/* ---------------------------------------------------------------- one file system */

static void make_golden(struct ground *g)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image_info info;
	struct cow_ovl_image_build how = {0};
	char path[2 * POINT_LEN], why[WHY_LEN];
	(void)snprintf(g->golden, sizeof(g->golden), "%s/golden", g->base);
	for (unsigned t = 0; t < THREADS; t++) {
		(void)snprintf(path, sizeof(path), "%s/tree/" TOP_FMT, g->golden, t);
		if (cow_mkdir_p(path, 0755) < 0)
			trouble("make %s", path);
		cow_autoclose int fd = cow_opendir_at(AT_FDCWD, path);
		lower_make(fd);
	}
	cow_autoclose int fd = cow_opendir_at(AT_FDCWD, g->golden);
	if (cow_ovl_image_build(fd, &how, &info, &err) < 0 ||
	    cow_ovl_image_open(fd, &g->img, &err) < 0)
		trouble("make the golden image: %s", cow_err_str(&err));
	cow_autoclose int tree = cow_opendir_at(fd, "tree");
	if (state_of_dir(tree, &g->golden_state, why) < 0)
		trouble("look at the golden image: %s", why);
}

static void make_mount_point(const struct ground *g)
{
	char point[POINT_LEN];
	mount_point(g, point);
	if (mkdir(point, 0755) < 0)
		trouble("make the mount point");
}

static void find_linked(struct ground *g)
{
	struct seat s;
	struct state all;
	char why[WHY_LEN];
	oracle_open(g, &s);
	if (state_of_engine(s.i, "", NULL, NULL, &all, why) < 0)
		trouble("look at the golden image: %s", why);
	for (size_t k = 0; k < all.n && g->nlinked < LOWER_LINKED_MAX; k++)
		if (all.v[k].nlink > 1 && !is_split(g, all.v[k].who))
			g->linked[g->nlinked++] = all.v[k].who;
	state_free(&all);
	oracle_close(g, &s);
}

/* Who waits so long wants to see something. */
static void progress(const struct ground *g, const char *what)
{
	(void)printf("%s: %s: %u process cuts, %u power cuts, %u failed so far\n", g->type, what,
		     g->process_cuts, g->power_cuts, g->failures);
	(void)fflush(stdout);
}

static void run_long(struct ground *g)
{
	if (o.process) {
		process_cuts(g, 0, 1);
		progress(g, "every case, processes killed");
	}
	for (uint64_t n = 0; o.mount && o.process && n < MOUNT_ROUNDS; n++)
		process_round(g, n, LONG_CUTS);
	if (!o.power)
		return;
	power_cases(g, g->seed % 4, 4);
	progress(g, "every fourth case, power cut");
	for (uint64_t n = 0; n < LONG_ROUNDS || g->power_cuts < 300; n++)
		power_round(g, n, LONG_CUTS);
}

static void run_short_mount(struct ground *g)
{
	if (o.process) {
		process_cuts(g, g->seed % 60, 60);
		process_round(g, g->seed % MOUNT_ROUNDS, 5);
	}
	if (!o.power)
		return;
	power_cases(g, g->seed % case_count, case_count);
	for (uint64_t n = 0; n < 3; n++)
		power_round(g, n, 4);
}

static void run_short(struct ground *g)
{
	if (o.process)
		process_cuts(g, g->seed % 30, 30);
	if (!o.power)
		return;
	power_cases(g, g->seed % 70, 70);
	for (uint64_t n = 0; n < 3; n++)
		power_round(g, n, 6);
}

static unsigned run_fs(struct ground *g)
{
	uint64_t begin = cow_now_ms();
	power_prepare(g);
	if (o.one_case != UINT64_MAX && o.process)
		process_cuts(g, o.one_case, case_count);
	if (o.one_case != UINT64_MAX && o.power)
		power_cases(g, o.one_case, case_count);
	if (o.one_round != UINT64_MAX && o.mount && o.process)
		process_round(g, o.one_round, LONG_CUTS);
	if (o.one_round != UINT64_MAX && o.power)
		power_round(g, o.one_round, LONG_CUTS);
	if (o.one_case == UINT64_MAX && o.one_round == UINT64_MAX) {
		if (g->long_form)
			run_long(g);
		else if (g->mount)
			run_short_mount(g);
		else
			run_short(g);
	}
	disk_remove("pristine");
	uint64_t ms = cow_now_ms() - begin;
	(void)printf("%s%s, seed %" PRIu64
		     ": %u process cuts and %u power cuts verified in %" PRIu64 " s, %u failed\n",
		     g->type, g->mount ? " through the mount" : "", g->seed, g->process_cuts,
		     g->power_cuts, ms / 1000, g->failures);
	(void)fflush(stdout);
	return g->failures;
}

static int run_all(void)
{
	unsigned failures = 0;
	const char *why = o.mount ? serve_refusal() : NULL;
	if (!why)
		why = disk_prepare(base);
	if (why) {
		(void)fprintf(stderr, "NOT RUN: %s\n", why);
		return EXIT_SKIP;
	}
	struct ground all = {
	    .seed = o.seed,
	    .long_form = o.long_form,
	    .mount = o.mount,
	    .keep = o.keep,
	    .max_failures = (unsigned)o.failures,
	};
	(void)snprintf(all.base, sizeof(all.base), "%s", base);
	make_mount_point(&all);
	make_golden(&all);
	find_linked(&all);
	for (size_t k = 0; k < o.nfs; k++) {
		struct ground g = all;
		g.type = o.fs[k];
		failures += run_fs(&g);
	}
	return failures > 0;
}

/* ---------------------------------------------------------------- options */

static const struct option long_options[] = {
    {"fs", 1, NULL, 'f'},	{"seed", 1, NULL, 's'}, {"long", 0, NULL, 'l'},
    {"only", 1, NULL, 'o'},	{"case", 1, NULL, 'c'}, {"round", 1, NULL, 'r'},
    {"failures", 1, NULL, 'F'}, {"keep", 1, NULL, 'k'}, {"mount", 0, NULL, 'm'},
    {NULL, 0, NULL, 0},
};

static uint64_t number(const char *text)
{
	uint64_t v;
	if (cow_parse_u64(text, 0, UINT64_MAX, &v) < 0)
		trouble("'%s' is no number", text);
	return v;
}

static uint64_t random_seed(void)
{
	uint64_t v;
	if (cow_random(&v, sizeof(v)) < 0)
		trouble("random numbers");
	return v % 1000000000; /* easy to copy */
}

static void parse_options(int argc, char **argv)
{
	int c;
	const char *env =
	    getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe): one thread */
	o.long_form = env && *env && strcmp(env, "0") != 0;
	o.seed = (uint64_t)time(NULL) / 86400;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (c) {
		case 'f':
			if (o.nfs < 8)
				o.fs[o.nfs++] = optarg;
			break;
		case 's':
			o.seed = strcmp(optarg, "random") == 0 ? random_seed() : number(optarg);
			break;
		case 'l':
			o.long_form = true;
			break;
		case 'm':
			o.mount = true;
			break;
		case 'o':
			o.process = strcmp(optarg, "process") == 0;
			o.power = !o.process;
			break;
		case 'c':
			o.one_case = number(optarg);
			break;
		case 'r':
			o.one_round = number(optarg);
			break;
		case 'F':
			o.failures = number(optarg);
			break;
		case 'k':
			o.keep = optarg;
			break;
		default:
			trouble("the beginning of tests/crash/main.c says what there is");
		}
	}
	if (o.nfs == 0) {
		o.fs[0] = "ext4";
		o.fs[1] = "xfs";
		o.fs[2] = "btrfs";
		o.nfs = 3;
	}
}

static void on_signal(int sig)
{
	if (child > 0)
		(void)kill(child, SIGTERM);
}

/* In the child: its own children end with it; its mounts and with them its loop devices go. */
static void end_child(int sig)
{
	static const char *const points[] = {"mount", "check", "fs", "store", ""};
	char path[64];
	for (size_t k = 0; k < sizeof(points) / sizeof(*points); k++) {
		(void)strcpy(stpcpy(stpcpy(path, base), "/"), points[k]);
		(void)umount2(path, MNT_DETACH);
	}
	_exit(128 + sig);
}

int main(int argc, char **argv)
{
	int status;
	parse_options(argc, argv);
	(void)umask(0);
	(void)snprintf(base, sizeof(base), "/tmp/cow-crash-XXXXXX");
	if (!mkdtemp(base))
		trouble("make a temporary directory");
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGHUP, on_signal);
	child = fork();
	if (child < 0)
		trouble("fork");
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* for serve_reap() */
		(void)signal(SIGTERM, end_child);
		(void)signal(SIGINT, SIG_IGN);
		(void)signal(SIGHUP, SIG_IGN);
		int r = run_all();
		(void)fflush(stdout);
		_exit(r);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			trouble("wait");
	(void)rmdir(base);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_TROUBLE;
}
