/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * diff - random scripts on the engine and on the kernel; every difference is made small and printed.
 *
 *	diff [--mode MODE] [--fs ext4|xfs|btrfs | --fs dir PATH]... [--seed N] [--scripts N] [--ops N]
 *
 * Modes:
 *	plain    the engine without a lower layer, against a directory (--plain is short for it)
 *	overlay  the engine over an image, against the kernel's overlayfs over the same tree
 *	mount    the same through cowherd-fuse
 *	links    the engine over an image with hard links, against a copy of the tree
 *	kernel   the kernel's overlayfs against a copy of the tree: a test of this program
 *
 *	--seed N       1 when not given; "random" takes another one each time. It is printed
 *	--scripts N    per file system; with COWHERD_TEST_LONG in the environment --long N
 *	               counts instead, with a random seed; a --seed behind it is kept
 *	--first N      number of the first one
 *	--ops N        of a script, about
 *	--group N      so many scripts share a lower tree
 *	--empty        no lower tree
 *	--adopt        the engine attaches once more after the kernel had its layers mounted
 *	--writeback    the mount gathers small writes
 *	--failures N   go on until N scripts failed
 *	--no-shrink    print scripts as they are
 *	--replay FILE  run one script from a file
 *	--print        print the scripts, run nothing
 *	--inject WHAT  the other side makes mistakes: chmod, data, link, errno, crash
 *	--expect N     exit 0 when a script fails and can be made as small as N operations, else 1
 *	--sync         sync for real
 *	--stats        how many operations of each kind succeeded and were refused
 *
 * Exit status: 0 no difference, 1 differences, 2 trouble, 77 cannot run here (says why).
 *
 * A worker process runs the scripts one after the other; when one fails, or the worker crashes or
 * hangs, this process repeats that script alone, makes it small, and starts a new worker behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "serve.h"
#include "stage.h"
#include "util.h"

#define SCRIPT_SECONDS 20
#define FS_MAX 8
#define EXIT_SKIP 77

static struct options {
	struct stage stage;
	struct generate gen;
	uint64_t first, scripts, failures, expect;
	bool shrink, print, expecting, stats;
	const char *replay;
	struct {
		const char *type, *dir;
	} fs[FS_MAX];
	size_t nfs;
} o = {.gen = {.seed = 1, .group = 40, .ops = 40}, .scripts = 100, .failures = 1, .shrink = true};

/* ---------------------------------------------------------------- ends that come from outside */

static char base[40];
static volatile pid_t worker;

static void clean_up(void)
{
	char point[64];
	if (!*base)
		return;
	(void)snprintf(point, sizeof(point), "%s/fs", base);
	(void)umount2(point, MNT_DETACH);
	(void)umount2(base, MNT_DETACH);
	(void)rmdir(base);
}

static void on_signal(int sig)
{
	if (worker > 0)
		(void)kill(worker, SIGKILL);
	(void)umount2(base, MNT_DETACH);
	(void)rmdir(base);
	_exit(128 + sig);
}

/* ---------------------------------------------------------------- the worker */

struct progress {
	uint64_t script; /* that runs */
	uint64_t same, ended;
	unsigned at;
	enum outcome outcome; /* of the last one */
	struct op_counts counts;
};

static void __attribute__((noreturn)) work(struct progress *p)
{
	struct ground g;
	char text[256]; /* the supervisor repeats it and shows all */
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	ground_init(&g, &o.stage, "work");
	op_counts = &p->counts;
	for (; p->script < o.first + o.scripts; p->script++) {
		struct script s;
		struct generate gen = o.gen;
		gen.number = p->script;
		generate_script(&gen, &s);
		FILE *out = must(fmemopen(text, sizeof(text), "w"));
		(void)alarm(SCRIPT_SECONDS);
		p->outcome = run_script(&g, &s, out, &p->at);
		(void)alarm(0);
		(void)fclose(out);
		script_free(&s);
		if (p->outcome == OUT_DIFFERENT || p->outcome == OUT_UNABLE)
			break;
		p->same += p->outcome == OUT_SAME;
		p->ended += p->outcome == OUT_ENDED;
	}
	ground_done(&g);
	_exit(0);
}

/* Return: true when all are done, or it cannot be. */
static bool run_worker(struct progress *p)
{
	int status;
	(void)fflush(NULL);
	worker = fork();
	if (worker < 0)
		trouble("fork");
	if (worker == 0)
		work(p);
	while (waitpid(worker, &status, 0) < 0)
		if (errno != EINTR)
			trouble("wait");
	worker = 0;
	ground_reap(&o.stage, "work");
	int at = open(o.stage.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0 || cow_rm_rf_at(at, "work", 0) < 0)
		trouble("remove what a worker left");
	(void)close(at);
	if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
		p->outcome = OUT_DIFFERENT;
		return false;
	}
	return p->outcome != OUT_DIFFERENT;
}

/* ---------------------------------------------------------------- failures */

/* Return: operations of the smallest script that fails. */
static size_t report(struct script *s, const char *fs, uint64_t number)
{
	static struct trial t;
	size_t before = s->ops.n;
	unsigned trials = 0;
	(void)printf("FAILED: mode %s, %s, seed %" PRIu64 ", script %" PRIu64 "\n",
		     mode_names[o.stage.mode], fs, o.gen.seed, number);
	try_script(&o.stage, s, &t);
	if (t.outcome != OUT_DIFFERENT)
		(void)puts("It does not fail when it runs alone.");
	else if (o.shrink)
		trials = shrink_script(&o.stage, s, &t);
	if (trials)
		(void)printf("%zu of %zu operations are left after %u trials.\n", s->ops.n, before,
			     trials);
	(void)fputs(t.text, stdout);
	(void)printf("---- 8< ---- to run it again: diff --mode %s --fs %s --replay FILE\n",
		     mode_names[o.stage.mode], fs);
	script_print(stdout, s);
	(void)puts("---- 8< ----");
	(void)fflush(stdout);
	return s->ops.n;
}

static size_t report_number(uint64_t number, const char *fs)
{
	struct script s;
	struct generate gen = o.gen;
	gen.number = number;
	generate_script(&gen, &s);
	size_t n = report(&s, fs, number);
	script_free(&s);
	return n;
}

/* ---------------------------------------------------------------- one file system */

struct total {
	uint64_t failures;
	size_t smallest;
	bool unable;
};

static void run_all(const char *fs, struct total *t)
{
	uint64_t begin = cow_now_ms();
	struct progress *p =
	    mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		must(NULL);
	p->script = o.first;
	while (!run_worker(p)) {
		size_t n = report_number(p->script, fs);
		if (t->failures == 0 || n < t->smallest)
			t->smallest = n;
		p->script++;
		if (++t->failures >= o.failures)
			break;
	}
	t->unable = p->outcome == OUT_UNABLE;
	uint64_t ms = cow_now_ms() - begin, scripts = p->script - o.first;
	(void)printf("mode %s, %s, seed %" PRIu64 ": %" PRIu64 " scripts in %" PRIu64 ".%01" PRIu64
		     " s, %" PRIu64 " a second; %" PRIu64 " ended early\n",
		     mode_names[o.stage.mode], fs, o.gen.seed, scripts, ms / 1000, ms % 1000 / 100,
		     scripts * 1000 / (ms ? ms : 1), p->ended);
	for (unsigned k = 0; o.stats && k < OP_KINDS; k++)
		(void)printf("  %-12s %8" PRIu64 " done %8" PRIu64 " refused\n", op_name(k),
			     p->counts.n[k][0], p->counts.n[k][1]);
	(void)fflush(stdout);
	(void)munmap(p, sizeof(*p));
}

static void run_file(const char *fs, struct total *t)
{
	struct script s;
	struct trial trial;
	cow_autofile FILE *in = fopen(o.replay, "re");
	if (!in)
		trouble("open %s", o.replay);
	if (script_parse(in, o.replay, &s) < 0)
		_exit(EXIT_TROUBLE);
	try_script(&o.stage, &s, &trial);
	t->unable = trial.outcome == OUT_UNABLE;
	t->failures += trial.outcome == OUT_DIFFERENT;
	(void)printf("%s on %s: %s\n%s", o.replay, fs,
		     trial.outcome == OUT_DIFFERENT ? "DIFFERENT" : "same", trial.text);
	if (trial.outcome == OUT_DIFFERENT)
		(void)printf("in operation %u of %zu\n", trial.at + 1, s.ops.n);
	script_free(&s);
}

static void run_fs(size_t k, struct total *t)
{
	const char *type = o.fs[k].type;
	int r = mount_stage(base, type, o.fs[k].dir);
	if (r < 0) {
		errno = -r;
		trouble("make a file system %s", type);
	}
	(void)snprintf(o.stage.path, sizeof(o.stage.path), "%s/fs", base);
	if (o.fs[k].dir) { /* not among what is there */
		(void)snprintf(o.stage.path, sizeof(o.stage.path), "%s/fs/cow-diff-XXXXXX", base);
		if (!mkdtemp(o.stage.path))
			trouble("make a directory in %s", o.fs[k].dir);
	}
	struct statfs sf;
	if (statfs(o.stage.path, &sf) < 0)
		trouble("statfs");
	fallocate_forgets = sf.f_type == BTRFS_SUPER_MAGIC;
	exchange_touches = sf.f_type == XFS_SUPER_MAGIC;
	if (o.replay)
		run_file(type, t);
	else
		run_all(type, t);
	if (o.fs[k].dir)
		(void)rmdir(o.stage.path);
	unmount_stage(base);
}

/* ---------------------------------------------------------------- options */

enum {
	OPT_PLAIN = 256,
	OPT_EMPTY,
	OPT_ADOPT,
	OPT_WRITEBACK,
	OPT_NO_SHRINK,
	OPT_PRINT,
	OPT_SYNC,
	OPT_STATS,
};

static const struct option long_options[] = {
    {"mode", 1, NULL, 'm'},
    {"plain", 0, NULL, OPT_PLAIN},
    {"fs", 1, NULL, 'f'},
    {"seed", 1, NULL, 's'},
    {"scripts", 1, NULL, 'n'},
    {"long", 1, NULL, 'l'},
    {"first", 1, NULL, '1'},
    {"ops", 1, NULL, 'o'},
    {"group", 1, NULL, 'g'},
    {"empty", 0, NULL, OPT_EMPTY},
    {"adopt", 0, NULL, OPT_ADOPT},
    {"writeback", 0, NULL, OPT_WRITEBACK},
    {"failures", 1, NULL, 'F'},
    {"replay", 1, NULL, 'r'},
    {"no-shrink", 0, NULL, OPT_NO_SHRINK},
    {"print", 0, NULL, OPT_PRINT},
    {"inject", 1, NULL, 'i'},
    {"expect", 1, NULL, 'e'},
    {"sync", 0, NULL, OPT_SYNC},
    {"stats", 0, NULL, OPT_STATS},
    {NULL, 0, NULL, 0},
};

static void __attribute__((noreturn)) usage(const char *what)
{
	(void)fprintf(stderr, "diff: %s; the beginning of tests/diff/main.c says what there is\n",
		      what);
	exit(EXIT_TROUBLE); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	uint64_t v;
	if (cow_parse_u64(text, min, max, &v) < 0)
		usage("a number is wrong");
	return v;
}

static uint64_t seed_of(const char *text)
{
	uint64_t v;
	if (strcmp(text, "random") != 0)
		return number(text, 0, UINT64_MAX);
	if (cow_random(&v, sizeof(v)) < 0)
		trouble("random numbers");
	return v % 1000000000; /* easy to copy */
}

static enum mode mode_of(const char *text)
{
	for (unsigned k = 0; k < MODES; k++)
		if (strcmp(text, mode_names[k]) == 0)
			return (enum mode)k;
	usage("unknown mode");
}

static void add_fs(const char *type, char **argv)
{
	if (o.nfs == FS_MAX)
		usage("too many file systems");
	o.fs[o.nfs].type = type;
	if (strcmp(type, "dir") == 0) {
		if (!argv[optind])
			usage("--fs dir PATH");
		o.fs[o.nfs].dir = argv[optind++];
	}
	o.nfs++;
}

static void parse_options(int argc, char **argv)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	bool is_long = getenv("COWHERD_TEST_LONG") != NULL;
	int c;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		switch (c) {
		case 'm':
			o.stage.mode = mode_of(optarg);
			break;
		case OPT_PLAIN:
			o.stage.mode = MODE_PLAIN;
			break;
		case 'f':
			add_fs(optarg, argv);
			break;
		case 's':
			o.gen.seed = seed_of(optarg);
			break;
		case 'n':
			o.scripts = number(optarg, 1, UINT32_MAX);
			break;
		case 'l':
			if (is_long) {
				o.scripts = number(optarg, 1, UINT32_MAX);
				o.gen.seed = seed_of("random");
			}
			break;
		case '1':
			o.first = number(optarg, 0, UINT32_MAX);
			break;
		case 'o':
			o.gen.ops = (unsigned)number(optarg, 1, 100000);
			break;
		case 'g':
			o.gen.group = (unsigned)number(optarg, 1, 1000000);
			break;
		case 'F':
			o.failures = number(optarg, 1, UINT32_MAX);
			break;
		case 'r':
			o.replay = optarg;
			break;
		case 'i':
			if (kernel_inject(optarg) < 0)
				usage("unknown mistake");
			break;
		case 'e':
			o.expecting = true;
			o.expect = number(optarg, 1, UINT32_MAX);
			break;
		case OPT_EMPTY:
			o.stage.empty = true;
			break;
		case OPT_ADOPT:
			o.stage.adopt = true;
			break;
		case OPT_WRITEBACK:
			o.stage.writeback = true;
			break;
		case OPT_NO_SHRINK:
			o.shrink = false;
			break;
		case OPT_PRINT:
			o.print = true;
			break;
		case OPT_STATS:
			o.stats = true;
			break;
		case OPT_SYNC:
			sync_for_real = true;
			break;
		default:
			usage("unknown option");
		}
	if (argv[optind])
		usage("what is that word");
	o.gen.lower = !o.stage.empty;
	o.gen.lower_links = o.stage.mode == MODE_LINKS || o.stage.mode == MODE_PLAIN;
	if (o.nfs == 0) {
		add_fs("ext4", argv);
		add_fs("xfs", argv);
		add_fs("btrfs", argv);
	}
}

/* ---------------------------------------------------------------- main */

static int refuse(const char *why)
{
	(void)fprintf(stderr, "NOT RUN: %s\n", why);
	clean_up();
	return EXIT_SKIP;
}

static bool kernel_has_overlay(void)
{
	char line[80];
	bool found = false;
	cow_autofile FILE *f = fopen("/proc/filesystems", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, "\toverlay\n") != NULL;
	return found;
}

static int print_scripts(void)
{
	for (uint64_t n = o.first; n < o.first + o.scripts; n++) {
		struct script s;
		struct generate gen = o.gen;
		gen.number = n;
		generate_script(&gen, &s);
		(void)printf("# seed %" PRIu64 ", script %" PRIu64 "\n", o.gen.seed, n);
		script_print(stdout, &s);
		script_free(&s);
	}
	return 0;
}

static int verdict(const struct total *t)
{
	if (!o.expecting)
		return t->failures > 0;
	if (t->failures && t->smallest <= o.expect)
		return 0;
	(void)printf("expected a script that fails with %" PRIu64 " operations or less\n",
		     o.expect);
	return 1;
}

int main(int argc, char **argv)
{
	struct total t = {0};
	parse_options(argc, argv);
	(void)umask(0);
	if (o.print)
		return print_scripts();
	bool images = o.stage.mode == MODE_OVERLAY || o.stage.mode == MODE_MOUNT ||
		      o.stage.mode == MODE_LINKS;
	if (geteuid() != 0)
		return refuse("needs root for mounts");
	if (access("/dev/loop-control", R_OK | W_OK) < 0)
		return refuse("needs loop devices");
	if (o.stage.mode != MODE_PLAIN && o.stage.mode != MODE_LINKS && !kernel_has_overlay())
		return refuse("this kernel has no overlayfs");
	if (o.stage.mode == MODE_MOUNT && serve_refusal())
		return refuse(serve_refusal());
	if (images && !engine_has_images())
		return refuse("this engine has no images yet");
	(void)snprintf(base, sizeof(base), "/tmp/cow-diff-XXXXXX");
	if (!mkdtemp(base))
		trouble("make a directory in /tmp");
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGHUP, on_signal);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* what a killed worker started comes to us */
	if (mount_prepare(base) < 0)
		return refuse("needs a mount namespace of its own");
	for (size_t k = 0; k < o.nfs && !t.unable && t.failures < o.failures; k++)
		run_fs(k, &t);
	clean_up();
	if (t.unable)
		return refuse("this engine has no instances over an image yet");
	return verdict(&t);
}
