/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * torture - random reads, writes, mappings, truncations, holes, copies and renames of some files of
 * one directory, each compared with a model in memory.
 *
 *	torture [--ops N] [--seed N|random] [--files N] [--threads N] DIR
 *	torture --lower-setup [--seed N] [--files N] [--threads N] DIR
 *	torture --verify-state FILE DIR
 *
 *	--ops N        of all threads together; 100000 when not given
 *	--seed N       1 when not given; "random" takes another one each time. It is printed
 *	--files N      of each thread; 8 when not given
 *	--threads N    each has files of its own; 1 when not given
 *	--seconds N    stop earlier
 *	--drop N       drop the machine's caches after so many operations; 0: never
 *	--lower        DIR holds what --lower-setup made with the same seed, files and threads. Without it
 *	               DIR has none of our names
 *	--links        some golden files have two names; to be said with --lower-setup too
 *	--tolerant     not what kernel overlayfs and fuse-overlayfs cannot do: descriptors opened before
 *	               copy-up see later changes, golden files without a name can be changed
 *	--dump FILE    write the models at the end, for --verify-state
 *	--inject N     every Nth pwrite goes one byte too far: has to be found
 *	--stats        how often each operation ran
 *
 * Exit status: 0 all as it should be, 1 a difference (said with the file's last operations), 2 trouble.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "util.h"

#define OPS_MAX 64

struct options opt = {
    .seed = 1, .ops = 100000, .nfiles = 8, .threads = 1, .drop = 20000, .dir = -1};

static struct op all[OPS_MAX]; /* weights added up */
static unsigned nall;
static uint64_t deadline_ms;
static pthread_mutex_t said = PTHREAD_MUTEX_INITIALIZER; /* for ever by who fails first */
static _Thread_local struct worker *self;

/* ---------------------------------------------------------------- failing */

struct note *note(struct worker *w, struct file *f, const char *what, uint64_t off, uint64_t len)
{
	struct note *n = &f->history[f->nhistory++ % HISTORY];
	n->at = w->at;
	n->what = what;
	n->off = off;
	n->len = len;
	n->size = f->size;
	n->result = 0;
	*n->detail = '\0';
	return n;
}

static void print_history(const struct file *f)
{
	uint64_t first = f->nhistory > HISTORY ? f->nhistory - HISTORY : 0;
	(void)printf("Its last operations:\n");
	for (uint64_t k = first; k < f->nhistory; k++) {
		const struct note *n = &f->history[k % HISTORY];
		(void)printf("%10" PRIu64 "  %-20s", n->at, n->what);
		if (n->off || n->len)
			(void)printf(" %8" PRIu64 " + %-7" PRIu64, n->off, n->len);
		(void)printf(" size %-7" PRIu64 " = %" PRId64 " %s\n", n->size, n->result,
			     n->detail);
	}
	(void)printf("Names:");
	for (unsigned k = 0; k < f->nnames; k++)
		(void)printf(" %s", f->names[k]);
	(void)printf("; size %" PRIu64 "; open:", f->size);
	for (unsigned k = 0; k < SLOTS; k++)
		if (f->slots[k].fd >= 0)
			(void)printf(" %d(%#o)", f->slots[k].fd, (unsigned)f->slots[k].flags);
	if (f->map.p)
		(void)printf("; mapped %" PRIu64 " + %zu%s", f->map.off, f->map.len,
			     f->map.writable ? " writable" : "");
	(void)printf("\n");
}

/* The signal comes from our own access to a mapping, never out of the middle of these. */
/* NOLINTBEGIN(bugprone-signal-handler) */
static void fail_begin(const struct worker *w)
{
	(void)pthread_mutex_lock(&said);
	(void)printf("FAILED: seed %" PRIu64 ", files %u, threads %u, thread %u, operation %" PRIu64
		     "%s%s\n",
		     opt.seed, opt.nfiles, opt.threads, w->number, w->at,
		     opt.lower ? ", golden files" : "", opt.links ? ", links" : "");
}

static void __attribute__((noreturn)) fail_end(const struct file *f)
{
	if (f)
		print_history(f);
	(void)fflush(stdout);
	_exit(1);
}

void fail(struct worker *w, struct file *f, const char *fmt, ...)
{
	va_list ap;
	fail_begin(w);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
	fail_end(f);
}
/* NOLINTEND(bugprone-signal-handler) */

void fail_call(struct worker *w, struct file *f, const char *call)
{
	fail(w, f, "%s: %s", call, errname(errno));
}

static void print_bytes(const char *what, const uint8_t *p, size_t n)
{
	(void)printf("%s:", what);
	for (size_t k = 0; k < n; k++)
		(void)printf(" %02x", p[k]);
	(void)printf("\n");
}

void check_bytes(struct worker *w, struct file *f, const uint8_t *got, uint64_t off, size_t n,
		 const char *how)
{
	const uint8_t *want = f->data + off;
	size_t first = 0, last = n, zeros = 0, differ = 0;
	if (memcmp(got, want, n) == 0)
		return;
	while (got[first] == want[first])
		first++;
	while (got[last - 1] == want[last - 1])
		last--;
	for (size_t k = first; k < last; k++) {
		differ += got[k] != want[k];
		zeros += got[k] != want[k] && got[k] == 0;
	}
	fail_begin(w);
	(void)printf("%s: bytes %" PRIu64 "..%" PRIu64 " differ (%zu of them, %zu found as zero)\n",
		     how, off + first, off + last - 1, differ, zeros);
	size_t show = n - first > 24 ? 24 : n - first;
	print_bytes("expected", want + first, show);
	print_bytes("found   ", got + first, show);
	fail_end(f);
}

bool refused_once(bool *slot, const char *what)
{
	if (__atomic_exchange_n(slot, true, __ATOMIC_RELAXED))
		return false;
	(void)printf("the file system has no %s: left out\n", what);
	return true;
}

static void on_sigbus(int sig)
{
	if (self)
		fail(self, self->now, "signal %d in a mapping", sig);
	_exit(1);
}

/* ---------------------------------------------------------------- running */

static void add_ops(const struct op *from)
{
	for (; from->name; from++) {
		all[nall] = *from;
		all[nall].weight += nall ? all[nall - 1].weight : 0;
		nall++;
	}
}

static void drop_caches(struct worker *w)
{
	cow_autoclose int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, rng_chance(&w->rng, 70) ? "3" : "2", 1) != 1)
		trouble("drop the caches");
}

static void one(struct worker *w)
{
	struct file *f = &w->files[rng_below(&w->rng, opt.nfiles)];
	unsigned v = rng_below(&w->rng, all[nall - 1].weight), k = 0;
	w->now = f;
	if (f->nnames == 0 && rng_chance(&w->rng, 4)) {
		map_drop(w, f);
		slot_close_all(w, f);
	}
	if (f->nnames == 0 && slot_count(f) == 0) {
		map_drop(w, f);
		file_create(w, f);
	}
	while (all[k].weight <= v)
		k++;
	all[k].run(w, f);
	w->counts[k]++;
}

static void begin(struct worker *w)
{
	w->rng = rng_part(opt.seed, w->number);
	w->files = must(calloc(opt.nfiles, sizeof(*w->files)));
	w->buf = must(malloc(IO_LEN_MAX + 4096));
	w->counts = must(calloc(OPS_MAX, sizeof(*w->counts)));
	for (unsigned k = 0; k < opt.nfiles; k++) {
		struct file *f = &w->files[k];
		f->number = k;
		f->data = must(calloc(1, FILE_MAX));
		for (unsigned s = 0; s < SLOTS; s++)
			f->slots[s].fd = -1;
		if (!opt.lower || !golden_has(k))
			continue;
		pool_name(f->names[0], w->number, k);
		f->nnames = 1;
		f->lower = true;
		f->size = golden_fill(f->data, f->names[0]);
		if (golden_linked(k))
			pool_name(f->names[f->nnames++], w->number, k + opt.nfiles);
	}
	for (unsigned k = 0; k < 2 && !opt.lower; k++) {
		char name[NAME_ROOM];
		pool_name(name, w->number, k);
		*strchr(name, '/') = '\0';
		if (mkdirat(opt.dir, name, 0755) < 0)
			trouble("make %s", name);
	}
}

static void *run(void *arg)
{
	struct worker *w = arg;
	uint64_t n = opt.ops / opt.threads;
	self = w;
	for (w->at = 0; w->at < n && cow_now_ms() < deadline_ms; w->at++) {
		one(w);
		if (opt.drop && w->number == 0 && (w->at + 1) % opt.drop == 0)
			drop_caches(w);
	}
	for (unsigned k = 0; k < opt.nfiles; k++) {
		struct file *f = &w->files[k];
		w->now = f;
		map_drop(w, f);
		slot_close_all(w, f);
		if (f->nnames == 0)
			continue;
		for (unsigned o = 0; o < nall; o++)
			if (strcmp(all[o].name, "whole") == 0)
				all[o].run(w, f);
		slot_close_all(w, f);
	}
	return NULL;
}

static void run_all(void)
{
	static struct worker workers[THREADS_MAX];
	static pthread_t threads[THREADS_MAX];
	uint64_t start = cow_now_ms(), ops = 0;
	deadline_ms = opt.seconds ? start + opt.seconds * 1000 : UINT64_MAX;
	(void)signal(SIGBUS, on_sigbus);
	add_ops(ops_data);
	add_ops(ops_space);
	add_ops(ops_name);
	for (unsigned t = 0; t < opt.threads; t++) {
		workers[t].number = t;
		begin(&workers[t]);
	}
	for (unsigned t = 0; t < opt.threads; t++)
		if (pthread_create(&threads[t], NULL, run, &workers[t]) != 0)
			trouble("start a thread");
	for (unsigned t = 0; t < opt.threads; t++) {
		(void)pthread_join(threads[t], NULL);
		ops += workers[t].at;
	}
	uint64_t ms = cow_now_ms() - start + 1;
	(void)printf("torture: seed %" PRIu64 ", %" PRIu64 " operations in %" PRIu64 ".%" PRIu64
		     " s, %" PRIu64 " a second; %u threads with %u files%s\n",
		     opt.seed, ops, ms / 1000, ms % 1000 / 100, ops * 1000 / ms, opt.threads,
		     opt.nfiles, opt.lower ? ", golden ones among them" : "");
	for (unsigned k = 0; opt.stats && k < nall; k++) {
		uint64_t n = 0;
		for (unsigned t = 0; t < opt.threads; t++)
			n += workers[t].counts[k];
		(void)printf("  %-12s %10" PRIu64 "\n", all[k].name, n);
	}
	if (opt.dump)
		state_dump(workers, opt.dump);
}

/* ---------------------------------------------------------------- options */

enum {
	OPT_LOWER_SETUP = 256,
	OPT_LOWER,
	OPT_LINKS,
	OPT_TOLERANT,
	OPT_STATS,
};

static const struct option long_options[] = {
    {"ops", 1, NULL, 'o'},
    {"seed", 1, NULL, 's'},
    {"files", 1, NULL, 'f'},
    {"threads", 1, NULL, 't'},
    {"seconds", 1, NULL, 'S'},
    {"drop", 1, NULL, 'D'},
    {"dump", 1, NULL, 'd'},
    {"inject", 1, NULL, 'i'},
    {"verify-state", 1, NULL, 'v'},
    {"lower-setup", 0, NULL, OPT_LOWER_SETUP},
    {"lower", 0, NULL, OPT_LOWER},
    {"links", 0, NULL, OPT_LINKS},
    {"tolerant", 0, NULL, OPT_TOLERANT},
    {"stats", 0, NULL, OPT_STATS},
    {NULL, 0, NULL, 0},
};

static void __attribute__((noreturn)) usage(const char *what)
{
	(void)fprintf(stderr,
		      "torture: %s; the beginning of tests/torture/main.c says what there is\n",
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

static void value_option(int c)
{
	switch (c) {
	case 'o':
		opt.ops = number(optarg, 1, UINT32_MAX);
		break;
	case 's':
		opt.seed = seed_of(optarg);
		break;
	case 'f':
		opt.nfiles = (unsigned)number(optarg, 1, FILES_MAX);
		break;
	case 't':
		opt.threads = (unsigned)number(optarg, 1, THREADS_MAX);
		break;
	case 'S':
		opt.seconds = number(optarg, 0, 1000000);
		break;
	case 'D':
		opt.drop = number(optarg, 0, UINT32_MAX);
		break;
	case 'd':
		opt.dump = optarg;
		break;
	case 'i':
		opt.inject = number(optarg, 1, UINT32_MAX);
		break;
	default:
		usage("unknown option");
	}
}

int main(int argc, char **argv)
{
	const char *verify = NULL;
	bool setup = false;
	int c;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (c == OPT_LOWER_SETUP)
			setup = true;
		else if (c == OPT_LOWER)
			opt.lower = true;
		else if (c == OPT_LINKS)
			opt.links = true;
		else if (c == OPT_TOLERANT)
			opt.tolerant = true;
		else if (c == OPT_STATS)
			opt.stats = true;
		else if (c == 'v')
			verify = optarg;
		else
			value_option(c);
	if (optind + 1 != argc)
		usage("one directory");
	opt.path = argv[optind];
	(void)umask(0);
	opt.dir = open(opt.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opt.dir < 0)
		trouble("open %s", opt.path);
	if (verify)
		return state_verify(verify);
	if (setup)
		lower_setup();
	else
		run_all();
	return 0;
}
