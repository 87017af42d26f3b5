/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Process cuts through a mount: its server is killed, the clients see it and stop. What they were told
 * must be there, since the file system below keeps it; of what they were about to do it may be.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "fault.h"
#include "util.h"

#define ROUND_STEPS 60
#define KILL_WITHIN_US 3000

/* The clients: one process. */
struct work {
	const struct mount_how *how;
	struct history *const *h;
	struct lever *l;
	unsigned threads;
	pid_t server;
	size_t kill_at; /* steps, of all threads */
	unsigned kill_us;
	struct client client;
};

struct thread {
	struct work *w;
	unsigned t;
	bool cut;
	pthread_t id;
};

/* ---------------------------------------------------------------- clients */

static void complain(struct work *w, unsigned t, size_t k, int r)
{
	char text[3 * PATH_LEN];
	(void)snprintf(w->l->rep.why, WHY_LEN, "thread %u, step %zu, through the mount: %s: %s", t,
		       k, step_text(&w->h[t]->step[k], text), errname(r));
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	struct work *w = t->w;
	struct lever *l = w->l;
	struct history *h = w->h[t->t];
	int r = 0;
	for (size_t k = 1; r == 0 && k <= h->n; k++) {
		atomic_store(&l->started[t->t], k);
		if (w->threads == 1)
			atomic_store(&l->armed, k == h->n);
		r = client_step(&w->client, h->top, &h->step[k], &l->rep.made[t->t], k);
		if (r == 0)
			atomic_store(&l->acked[t->t], k);
		else if (!client_cut(&w->client, r))
			complain(w, t->t, k, r);
	}
	if (w->threads == 1)
		atomic_store(&l->armed, false);
	t->cut = r < 0;
	return NULL;
}

static size_t all_acked(const struct work *w)
{
	size_t n = 0;
	for (unsigned t = 0; t < w->threads; t++)
		n += atomic_load(&w->l->acked[t]);
	return n;
}

/* Some time after so many steps; there are more. */
static void kill_sometime(struct work *w)
{
	while (all_acked(w) < w->kill_at && !*w->l->rep.why)
		(void)usleep(100);
	(void)usleep(w->kill_us);
	(void)kill(w->server, SIGKILL);
}

static void clients(void *ctx)
{
	struct work *w = ctx;
	struct thread t[THREADS];
	bool cut = false;
	client_open(w->how, &w->client);
	for (unsigned k = 0; k < w->threads; k++)
		know(w->client.seat.i, w->h[k]->top, &w->l->rep.known[k]);
	for (unsigned k = 0; k < w->threads; k++) {
		t[k] = (struct thread){.w = w, .t = k};
		if (pthread_create(&t[k].id, NULL, run_thread, &t[k]) != 0)
			trouble("make a thread");
	}
	if (w->threads > 1)
		kill_sometime(w);
	for (unsigned k = 0; k < w->threads; k++) {
		(void)pthread_join(t[k].id, NULL);
		cut = cut || t[k].cut;
	}
	w->l->completed = !cut && w->threads == 1;
}

bool kill_server(const struct mount_how *how, struct history *const *h, unsigned threads,
		 struct rng *rng, struct lever *l, char why[WHY_LEN])
{
	struct work w = {.how = how, .h = h, .l = l, .threads = threads};
	size_t steps = 0;
	for (unsigned t = 0; t < threads; t++) {
		steps += h[t]->n;
		atomic_store(&l->acked[t], 0);
		atomic_store(&l->started[t], 0);
	}
	w.kill_at = rng_below(rng, (unsigned)steps);
	w.kill_us = rng_below(rng, KILL_WITHIN_US);
	l->completed = false;
	atomic_store(&l->armed, false);
	w.server = mount_start(how);
	bool ok = in_child(clients, &w, &l->rep, why);
	if (!ok)
		(void)kill(w.server, SIGKILL);
	if (ok && l->completed) {
		int status = mount_stop(how->g, w.server);
		/* All the same: it changes things after the answer. */
		l->killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		if (status != 0 && !l->killed) {
			(void)snprintf(why, WHY_LEN, "the server ended with status %#x",
				       (unsigned)status);
			ok = false;
		}
		return ok;
	}
	l->killed = true;
	if (ok)
		ok = mount_dead(how->g, w.server, why);
	if (!ok)
		mount_gone(how->g);
	return ok;
}

/* ---------------------------------------------------------------- several at once */

static bool check(const struct mount_how *how, struct history *const *h, struct lever *l, char *why)
{
	struct moment m;
	for (unsigned t = 0; t < THREADS; t++) {
		m.acked[t] = atomic_load(&l->acked[t]);
		m.started[t] = atomic_load(&l->started[t]);
	}
	struct verify v = {
	    .g = how->g,
	    .name = how->name,
	    .same_fs = how->same_fs,
	    .strict = true,
	    .h = h,
	    .threads = THREADS,
	    .m = &m,
	    .rep = &l->rep,
	    .go_on = 5,
	    .kernel = true,
	    .golden = true,
	    .remount = true,
	};
	(void)snprintf(v.point, sizeof(v.point), "%s", how->point);
	return verify_instance(&v, why);
}

static void one_kill(struct ground *g, const char *point, struct history *const *h, struct rng *rng,
		     struct lever *l, uint64_t round)
{
	char what[256], why[WHY_LEN];
	const struct mount_how how = {
	    .g = g, .point = point, .name = "victim", .same_fs = rng_chance(rng, 50)};
	victim_make(g, point);
	memset(&l->rep, 0, sizeof(l->rep));
	if (!kill_server(&how, h, THREADS, rng, l, why) || !check(&how, h, l, why)) {
		(void)snprintf(what, sizeof(what),
			       "process through the mount, round %" PRIu64
			       ", %u threads, image on %s file system",
			       round, THREADS, how.same_fs ? "the same" : "another");
		fail(g, what, why);
	}
	g->process_cuts++;
	victim_drop(point);
}

void process_round(struct ground *g, uint64_t round, unsigned cuts)
{
	struct lever *l = shared_memory(sizeof(*l));
	struct rng rng = rng_part(g->seed, 5000 + round);
	struct history *h[THREADS];
	char point[POINT_LEN];
	(void)snprintf(point, sizeof(point), "%s/fs", g->base);
	make_histories(g, 5000 + round, THREADS, ROUND_STEPS, h);
	disk_clone("pristine", "work");
	disk_mount("work", g->type, point);
	fault_nosync = true;
	for (unsigned n = 0; n < cuts; n++)
		one_kill(g, point, h, &rng, l, round);
	fault_nosync = false;
	disk_unmount(point);
	disk_remove("work");
	for (unsigned t = 0; t < THREADS; t++)
		history_free(h[t]);
}
