/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One thread reads and writes, the others pack. A ring of jobs: the reader fills the next one, and when
 * there is none that is empty it waits for the oldest and writes it. So the archive is the same, however
 * many threads there are, and memory is bounded.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "archive_write.h"

#define CREW_MAX 8 /* a job needs up to 300 MiB at the highest levels */

enum state { EMPTY, FULL, TAKEN, DONE };

struct job {
	enum state state; /* guarded by m; all else belongs to whom it says */
	const struct cow_arc_block *b;
	uint8_t *plain, *prefix;
	struct cow_arc_packed packed;
	int r;
};

struct crew {
	const struct cow_arc_write *w;
	pthread_t threads[CREW_MAX];
	unsigned nthreads, njobs;
	struct job jobs[CREW_MAX + 1];
	pthread_mutex_t m;
	pthread_cond_t changed;
	/* guarded by m: */
	unsigned next; /* job to be taken next */
	int quit;
};

static void job_free(struct job *j)
{
	free(j->plain);
	free(j->prefix);
	free(j->packed.bytes);
	*j = (struct job){.state = EMPTY};
}

static void *work(void *ctx)
{
	struct crew *c = ctx;
	(void)pthread_mutex_lock(&c->m); /* a default mutex: fails only when misused */
	for (;;) {
		struct job *j = &c->jobs[c->next];
		if (c->quit)
			break;
		if (j->state != FULL) {
			(void)pthread_cond_wait(&c->changed, &c->m);
			continue;
		}
		j->state = TAKEN;
		c->next = (c->next + 1) % c->njobs;
		(void)pthread_mutex_unlock(&c->m);
		j->r = cow_arc_pack(COW_ARC_DATA, j->b, j->prefix, j->plain, c->w->level, &j->packed);
		(void)pthread_mutex_lock(&c->m);
		j->state = DONE;
		(void)pthread_cond_broadcast(&c->changed);
	}
	(void)pthread_mutex_unlock(&c->m);
	return NULL;
}

static unsigned cpus(void)
{
	cpu_set_t set;
	unsigned n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	return n < CREW_MAX ? n : CREW_MAX;
}

static int crew_begin(struct crew *c)
{
	unsigned want = cpus();
	(void)pthread_mutex_init(&c->m, NULL); /* of default attributes: cannot fail */
	(void)pthread_cond_init(&c->changed, NULL);
	c->njobs = want + 1;
	while (c->nthreads < want &&
	       pthread_create(&c->threads[c->nthreads], NULL, work, c) == 0)
		c->nthreads++;
	return c->nthreads ? 0 : -EAGAIN;
}

static void crew_end(struct crew *c)
{
	(void)pthread_mutex_lock(&c->m);
	c->quit = 1;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->m);
	for (unsigned k = 0; k < c->nthreads; k++)
		(void)pthread_join(c->threads[k], NULL); /* they are ours and end */
	for (unsigned k = 0; k < c->njobs; k++)
		job_free(&c->jobs[k]);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->m);
}

static int fill(struct crew *c, struct job *j, const struct cow_arc_block *b,
		struct cow_arc_source *source, struct cow_err *err)
{
	j->b = b;
	j->plain = malloc(b->plain_len);
	j->prefix = malloc(b->prefix_len + 1);
	if (!j->plain || !j->prefix)
		return cow_err_set(err, -ENOMEM, "make the archive");
	int r = cow_arc_source_read(source, b->own, b->nown, j->plain, err);
	if (r == 0)
		r = cow_arc_read_slices(c->w->base, b->from, b->nfrom, j->prefix, err);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&c->m);
	j->state = FULL;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->m);
	return 0;
}

/* Wait for the job, if it is in use, and write what became of it. */
static int empty(struct crew *c, struct job *j, struct cow_arc_out *out, uint64_t *done,
		 struct cow_err *err)
{
	if (!j->b)
		return 0;
	(void)pthread_mutex_lock(&c->m);
	while (j->state != DONE)
		(void)pthread_cond_wait(&c->changed, &c->m);
	(void)pthread_mutex_unlock(&c->m);
	int r = j->r < 0 ? cow_err_set(err, j->r, "make the archive")
			 : cow_arc_out_write(out, j->packed.bytes, j->packed.len, err);
	*done += j->b->plain_len;
	(void)pthread_mutex_lock(&c->m); /* of its state */
	job_free(j);
	(void)pthread_mutex_unlock(&c->m);
	if (r == 0 && c->w->progress)
		r = c->w->progress(c->w->ctx, *done, c->w->plan->bytes);
	return r == -EINTR ? cow_err_set(err, r, "the export was stopped") : r;
}

/* A job whose content could not be read will never be DONE. */
static int run(struct crew *c, size_t first, struct cow_arc_source *source,
	       struct cow_arc_out *out, struct cow_err *err)
{
	const struct cow_arc_plan *plan = c->w->plan;
	uint64_t done = 0;
	int r = 0;
	for (size_t k = 0; k < first; k++)
		done += plan->blocks[k].plain_len;
	for (size_t k = first; r == 0 && k < plan->nblocks; k++) {
		struct job *j = &c->jobs[(k - first) % c->njobs];
		r = empty(c, j, out, &done, err);
		if (r == 0)
			r = fill(c, j, &plan->blocks[k], source, err);
	}
	size_t end = plan->nblocks - first;
	for (size_t k = end > c->njobs ? end - c->njobs : 0; r == 0 && k < end; k++)
		r = empty(c, &c->jobs[k % c->njobs], out, &done, err);
	return r < 0 ? r : cow_arc_source_end(source, err);
}

int cow_arc_write_blocks(const struct cow_arc_write *w, size_t first, struct cow_arc_out *out,
			 struct cow_err *err)
{
	cow_autoarcsource source = NULL;
	uint32_t unchecked = 0;
	if (first) {
		const struct cow_arc_block *b = &w->plan->blocks[first - 1];
		unchecked = b->own[b->nown - 1].number;
	}
	cow_autofree struct crew *c = calloc(1, sizeof(*c));
	int r = c ? cow_arc_source_new(w->img, unchecked, &source) : -ENOMEM;
	if (r < 0)
		return cow_err_set(err, r, "make the archive");
	c->w = w;
	r = crew_begin(c);
	r = r < 0 ? cow_err_set(err, r, "start threads to make the archive")
		  : run(c, first, source, out, err);
	crew_end(c);
	return r;
}
