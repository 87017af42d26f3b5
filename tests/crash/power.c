/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Power cuts: copies of the device made while the engine works on the file system on it, each then
 * mounted and looked at as if the machine had come back. They are made
 *
 *	at each system call of each case, and right after the answer
 *	in rounds of random steps: at random instants while several threads work; right after
 *	answers; before random system calls
 *
 * Some right after something else was synced, so that the journal is on the disk and data is not.
 * That also makes durable what the engine forgot to, so cases are run once more without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "crash.h"
#include "fault.h"
#include "util.h"

#define CUTS_MAX 128
#define CHECK_EVERY 4 /* of the cuts in the short form are looked at by the file system's checker */

enum how {
	CUT_PLAIN,
	CUT_FSYNC,  /* an unrelated file was synced just before */
	CUT_SYNCFS, /* everything was */
	CUT_HOWS,
};
static const char *const how_names[] = {
    [CUT_PLAIN] = "", [CUT_FSYNC] = " after an unrelated fsync", [CUT_SYNCFS] = " after a syncfs"};

/* Shared by the worker and those who look at its cuts. */
struct scene {
	struct report rep;
	atomic_size_t acked[THREADS], started[THREADS];
	pthread_mutex_t
	    m; /* takes one cut at a time: server and clients of a mount are two processes */
	atomic_bool armed; /* for the server of a mount */
	unsigned ncut;
	struct cut {
		struct moment m;
		enum how how;
		char call[24];
	} cut[CUTS_MAX];
};

struct round {
	struct ground *g;
	char point[POINT_LEN], check[POINT_LEN], what[256];
	bool strict, same_fs, of_case;
	unsigned threads, max_cuts, per_thousand;
	bool at_calls, at_answers, undisturbed;
	struct history *h[THREADS];
	struct scene *s;
	/* of the worker: */
	struct client client;
	struct rng rng;
	int noise;
	atomic_bool done;
	/* of those who look: */
	unsigned look;
};

/* ---------------------------------------------------------------- cuts */

static void moment_of(const struct round *r, const atomic_size_t *from, size_t *to)
{
	for (unsigned t = 0; t < r->threads; t++)
		to[t] = atomic_load(&from[t]);
}

static void take_cut(struct round *r, enum how how, const char *call)
{
	char name[24];
	pthread_mutex_lock(&r->s->m);
	if (r->s->ncut < r->max_cuts) {
		struct cut *c = &r->s->cut[r->s->ncut];
		(void)snprintf(name, sizeof(name), "cut-%u", r->s->ncut);
		(void)snprintf(c->call, sizeof(c->call), "%s", call);
		c->how = how;
		moment_of(r, r->s->acked, c->m.acked);
		if (how == CUT_FSYNC && (write(r->noise, "noise", 5) != 5 || fsync(r->noise) < 0))
			trouble("sync something else");
		if (how == CUT_SYNCFS && syncfs(r->noise) < 0)
			trouble("sync everything");
		disk_clone("work", name);
		moment_of(r, r->s->started, c->m.started);
		r->s->ncut++;
	}
	pthread_mutex_unlock(&r->s->m);
}

static enum how any_how(struct round *r)
{
	unsigned n = r->undisturbed ? 0 : rng_below(&r->rng, 100);
	return n < 40 ? CUT_PLAIN : n < 75 ? CUT_FSYNC : CUT_SYNCFS;
}

static void at_call(void *ctx, const char *call)
{
	struct round *r = ctx;
	if (rng_below(&r->rng, 1000) < r->per_thousand)
		take_cut(r, any_how(r), call);
}

/* In the server of a mount. */
static void at_call_armed(void *ctx, const char *call)
{
	struct round *r = ctx;
	if (atomic_load(&r->s->armed))
		at_call(ctx, call);
}

/* ---------------------------------------------------------------- the worker */

struct thread {
	struct round *r;
	unsigned t;
	pthread_t id;
};

static void one_step(struct round *r, unsigned t, size_t k)
{
	char text[3 * PATH_LEN];
	struct history *h = r->h[t];
	atomic_store(&r->s->started[t], k);
	int err = client_step(&r->client, h->top, &h->step[k], &r->s->rep.made[t], k);
	if (err < 0) {
		(void)snprintf(r->s->rep.why, WHY_LEN, "thread %u, step %zu: %s: %s", t, k,
			       step_text(&h->step[k], text), errname(err));
		_exit(1);
	}
	atomic_store(&r->s->acked[t], k);
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	struct round *r = t->r;
	fault_ctx = r;
	for (size_t k = 1; k <= r->h[t->t]->n; k++) {
		bool cut = r->at_calls && (!r->of_case || k == r->h[t->t]->n);
		atomic_store(&r->s->armed, cut); /* there is one thread then */
		fault_hook = cut && !r->g->mount ? at_call : NULL;
		one_step(r, t->t, k);
		fault_hook = NULL;
		atomic_store(&r->s->armed, false);
		if (r->at_answers && rng_below(&r->rng, 1000) < r->per_thousand)
			take_cut(r, CUT_PLAIN, "answer");
	}
	return NULL;
}

static void *cutter(void *arg)
{
	struct round *r = arg;
	while (!atomic_load(&r->done)) {
		(void)usleep(rng_below(&r->rng, 12000));
		take_cut(r, any_how(r), "any time");
	}
	return NULL;
}

static const char *root_name(const struct round *r)
{
	return r->strict ? "strict" : "relaxed";
}

static void run_threads(struct round *r)
{
	struct thread t[THREADS];
	pthread_t cut;
	bool timed = !r->at_calls && !r->at_answers;
	for (unsigned k = 0; k < r->threads; k++)
		know(r->client.seat.i, r->h[k]->top, &r->s->rep.known[k]);
	for (unsigned k = 0; k < r->threads; k++) {
		t[k] = (struct thread){.r = r, .t = k};
		if (pthread_create(&t[k].id, NULL, run_thread, &t[k]) != 0)
			trouble("make a thread");
	}
	if (timed && pthread_create(&cut, NULL, cutter, r) != 0)
		trouble("make a thread");
	for (unsigned k = 0; k < r->threads; k++)
		(void)pthread_join(t[k].id, NULL);
	atomic_store(&r->done, true);
	if (timed)
		(void)pthread_join(cut, NULL);
	take_cut(r, CUT_PLAIN, "the last answer");
}

static void work(void *ctx)
{
	struct round *r = ctx;
	char path[2 * POINT_LEN], why[WHY_LEN];
	pid_t server = 0;
	const struct mount_how how = {
	    .g = r->g,
	    .point = r->point,
	    .name = root_name(r),
	    .same_fs = r->same_fs,
	    .at_call = at_call_armed,
	    .ctx = r,
	};
	(void)snprintf(path, sizeof(path), "%s/noise", r->point);
	r->noise = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (r->noise < 0)
		trouble("make a file");
	r->client = (struct client){.mount = -1, .below = -1};
	if (r->g->mount) {
		server = mount_start(&how);
		client_open(&how, &r->client);
	} else if (seat_open(r->g, r->point, root_name(r), r->same_fs, 0, &r->client.seat, why) <
		   0) {
		trouble("before a cut: %s", why);
	}
	run_threads(r);
	if (server) {
		(void)close(r->client.mount);
		if (mount_stop(r->g, server) != 0)
			trouble("the server of the mount did not end well");
	}
}

/* ---------------------------------------------------------------- looking at cuts */

static void look(void *ctx)
{
	struct round *r = ctx;
	const struct cut *c = &r->s->cut[r->look];
	char name[24], log[WHY_LEN / 2], *why = r->s->rep.why;
	bool every = r->g->long_form || r->look % CHECK_EVERY == 0;
	struct verify v = {
	    .g = r->g,
	    .name = root_name(r),
	    .same_fs = r->same_fs,
	    .strict = r->strict && !r->g->mount, /* mounted, every root is relaxed */
	    .fsync = r->g->mount,
	    .ordered = strcmp(r->g->type, "btrfs") != 0,
	    .h = r->h,
	    .threads = r->threads,
	    .m = &c->m,
	    .rep = &r->s->rep,
	    .go_on = 5,
	    .kernel = true,
	    .golden = every,
	};
	memcpy(v.point, r->check, sizeof(v.point));
	(void)snprintf(name, sizeof(name), "cut-%u", r->look);
	fault_nosync = true; /* from now on it is about what is seen */
	int err = disk_try_mount(name, r->g->type, r->check);
	if (err < 0) {
		(void)snprintf(why, WHY_LEN, "mount it: %s", errname(err));
		return;
	}
	bool ok = verify_instance(&v, why);
	disk_unmount(r->check);
	if (!ok || !every)
		return;
	err = disk_check(name, r->g->type, log, sizeof(log));
	if (err != 0)
		(void)snprintf(why, WHY_LEN, "the checker of %s says %d: %s", r->g->type, err, log);
}

static void keep_image(const struct ground *g, unsigned cut)
{
	char from[DISK_PATH], to[DISK_PATH], name[24];
	char *argv[] = {(char *)(uintptr_t) "cp", (char *)(uintptr_t) "--sparse=always", from, to,
			NULL};
	if (!g->keep)
		return;
	(void)snprintf(name, sizeof(name), "cut-%u", cut);
	disk_path(name, from);
	(void)snprintf(to, sizeof(to), "%s/%s-%u.img", g->keep, g->type, g->failures);
	(void)printf("  image: %s%s\n", to, disk_run(argv, NULL, 0) == 0 ? "" : " (not copied)");
}

static void look_at_all(struct round *r)
{
	char what[512], why[WHY_LEN], name[24];
	for (r->look = 0; r->look < r->s->ncut; r->look++) {
		const struct cut *c = &r->s->cut[r->look];
		r->s->rep.why[0] = '\0';
		if (!in_child(look, r, &r->s->rep, why)) {
			(void)snprintf(what, sizeof(what), "power%s, %s, cut %u (%s%s)",
				       r->g->mount ? " through the mount" : "", r->what, r->look,
				       c->call, how_names[c->how]);
			fail(r->g, what, why);
			keep_image(r->g, r->look);
		}
		r->g->power_cuts++;
		(void)snprintf(name, sizeof(name), "cut-%u", r->look);
		disk_remove(name);
	}
}

static void lock_init(pthread_mutex_t *m)
{
	pthread_mutexattr_t a;
	if (pthread_mutexattr_init(&a) != 0 ||
	    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) != 0 ||
	    pthread_mutex_init(m, &a) != 0)
		trouble("make a lock");
	(void)pthread_mutexattr_destroy(&a);
}

static void run_round(struct round *r)
{
	char why[WHY_LEN];
	(void)snprintf(r->point, sizeof(r->point), "%s/fs", r->g->base);
	(void)snprintf(r->check, sizeof(r->check), "%s/check", r->g->base);
	r->s = shared_memory(sizeof(*r->s));
	memset(r->s, 0, sizeof(*r->s));
	lock_init(&r->s->m);
	disk_clone("pristine", "work");
	disk_mount("work", r->g->type, r->point);
	if (!in_child(work, r, &r->s->rep, why)) {
		fail(r->g, r->what, why);
		mount_gone(r->g);
	}
	disk_unmount(r->point);
	look_at_all(r);
	disk_remove("work");
}

/* ---------------------------------------------------------------- which */

void power_cases(struct ground *g, size_t from, size_t step)
{
	struct round r = {.g = g, .threads = 1, .at_calls = true, .of_case = true};
	r.max_cuts = CUTS_MAX;
	r.per_thousand = 1000;
	for (size_t k = from; k < case_count; k += step) {
		r.rng = rng_part(g->seed, 200 + k);
		r.h[0] = case_history(g, k);
		unsigned variant = rng_below(&r.rng, 4);
		bool data = r.h[0]->step[r.h[0]->n].kind >= K_WRITE;
		for (unsigned n = 0; n < 3; n++) {
			if (n == 1 && !data)
				continue; /* an answer promises nothing */
			r.undisturbed = n < 2;
			r.strict = n == 0 || (n == 2 && variant < 3);
			r.same_fs = (variant + n) % 2;
			(void)snprintf(r.what, sizeof(r.what),
				       "case %zu (%s), %s, image on %s file system%s", k,
				       case_text(k), r.strict ? "strict" : "relaxed",
				       r.same_fs ? "the same" : "another",
				       r.undisturbed ? ", nothing else synced" : "");
			run_round(&r);
		}
		history_free(r.h[0]);
	}
}

void power_round(struct ground *g, uint64_t round, unsigned max_cuts)
{
	struct round r = {.g = g, .max_cuts = max_cuts < CUTS_MAX ? max_cuts : CUTS_MAX};
	r.rng = rng_part(g->seed, 1000 + round);
	r.at_calls = round % 3 == 1;
	r.at_answers = round % 3 == 2;
	r.threads = round % 3 == 0 ? THREADS : 1;
	r.strict = rng_chance(&r.rng, 65);
	r.same_fs = rng_chance(&r.rng, 50);
	r.per_thousand = max_cuts * 1000 / (r.at_calls ? 500 : 80);
	(void)snprintf(r.what, sizeof(r.what),
		       "round %llu, %u threads, %s, image on %s file system",
		       (unsigned long long)round, r.threads, r.strict ? "strict" : "relaxed",
		       r.same_fs ? "the same" : "another");
	make_histories(g, 1000 + round, r.threads, r.threads > 1 ? 60 : 80, r.h);
	run_round(&r);
	for (unsigned t = 0; t < r.threads; t++)
		history_free(r.h[t]);
}

void power_prepare(struct ground *g)
{
	char point[POINT_LEN], path[2 * POINT_LEN], from[2 * POINT_LEN], log[256];
	static const struct {
		const char *name;
		enum cow_ovl_durability mode;
	} roots[] = {{"strict", COW_OVL_STRICT}, {"relaxed", COW_OVL_RELAXED}};
	(void)snprintf(point, sizeof(point), "%s/fs", g->base);
	(void)snprintf(path, sizeof(path), "%s/image", point);
	(void)snprintf(from, sizeof(from), "%s", g->golden);
	char *argv[] = {(char *)(uintptr_t) "cp", (char *)(uintptr_t) "-a", from, path, NULL};
	disk_make("pristine", g->type);
	disk_mount("pristine", g->type, point);
	if (disk_run(argv, log, sizeof(log)) != 0)
		trouble("copy the golden image: %s", log);
	for (size_t k = 0; k < sizeof(roots) / sizeof(*roots); k++) {
		const struct cow_ovl_create_opts opts = {.durability = roots[k].mode};
		struct cow_err err = COW_ERR_INIT;
		(void)snprintf(path, sizeof(path), "%s/%s", point, roots[k].name);
		if (mkdir(path, 0700) < 0)
			trouble("make %s", path);
		cow_autoclose int fd = cow_opendir_at(AT_FDCWD, path);
		if (cow_ovl_inst_create(fd, g->img, &opts, &err) < 0)
			trouble("make an instance: %s", cow_err_str(&err));
	}
	sync();
	disk_unmount(point);
}
