/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making a failing script small: cut what comes after the failure, drop pieces of halving size
 * while it still fails, operations first, then what makes the lower tree; then plainer values. Any
 * failure counts, also another one: the smallest is the one to look at first.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "stage.h"
#include "util.h"

#define TRIALS_MAX 3000
#define TIME_MAX_MS 120000
#define TRIAL_SECONDS 20

static const char trial_name[] = "trial";

static void __attribute__((noreturn))
trial_child(const struct stage *stage, const struct script *s, struct trial *ret)
{
	struct ground g;
	FILE *out = must(fmemopen(ret->text, sizeof(ret->text) - 1, "w"));
	(void)setvbuf(out, NULL, _IONBF, 0); /* what is written is there even after a crash */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(TRIAL_SECONDS);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	(void)null;
	ground_init(&g, stage, trial_name);
	ret->outcome = run_script(&g, s, out, &ret->at);
	_exit(0); /* the parent removes what is there */
}

void try_script(const struct stage *stage, const struct script *s, struct trial *ret)
{
	int status;
	struct trial *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		must(NULL);
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		trouble("fork");
	if (pid == 0)
		trial_child(stage, s, shared);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			trouble("wait");
	*ret = *shared;
	(void)munmap(shared, sizeof(*shared));
	size_t n = strlen(ret->text);
	if (WIFSIGNALED(status)) {
		ret->outcome = OUT_DIFFERENT;
		(void)snprintf(ret->text + n, sizeof(ret->text) - n, "killed by signal %s%s\n",
			       sigabbrev_np(WTERMSIG(status)),
			       WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
	} else if (WEXITSTATUS(status) != 0) {
		ret->outcome = OUT_DIFFERENT;
		(void)snprintf(ret->text + n, sizeof(ret->text) - n, "gave up, exit status %d\n",
			       WEXITSTATUS(status));
	}
	ground_reap(stage, trial_name);
	int at = open(stage->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = at < 0 ? -errno : cow_rm_rf_at(at, trial_name, 0);
	if (r < 0) {
		errno = -r;
		trouble("remove a trial");
	}
	(void)close(at);
}

struct shrink {
	const struct stage *stage;
	struct script *s;
	struct trial *last; /* of the smallest that failed */
	unsigned trials;
	uint64_t until;
};

static bool tired(const struct shrink *k)
{
	return k->trials >= TRIALS_MAX || cow_now_ms() > k->until;
}

/* Does the script as it is now fail? */
static bool fails(struct shrink *k)
{
	struct trial t;
	k->trials++;
	try_script(k->stage, k->s, &t);
	if (t.outcome != OUT_DIFFERENT)
		return false;
	*k->last = t;
	return true;
}

/* Everything behind the operation it ended in. */
static void cut(struct shrink *k)
{
	struct ops *o = &k->s->ops;
	size_t all = o->n;
	if (k->last->at + 1 >= all)
		return;
	o->n = k->last->at + 1;
	if (!fails(k))
		o->n = all;
}

static bool drop(struct shrink *k, struct ops *o, size_t at, size_t n)
{
	struct ops all = *o;
	o->v = must(calloc(all.n + 1, sizeof(*o->v)));
	o->n = o->room = all.n - n;
	for (size_t i = 0, to = 0; i < all.n; i++)
		if (i < at || i >= at + n)
			o->v[to++] = all.v[i];
	if (fails(k)) {
		ops_free(&all);
		return true;
	}
	ops_free(o);
	*o = all;
	return false;
}

static void drop_pieces(struct shrink *k, struct ops *o)
{
	for (size_t n = o->n / 2 ? o->n / 2 : 1; !tired(k);) {
		bool dropped = false;
		for (size_t at = o->n; at > 0 && !tired(k);) {
			size_t piece = n < at ? n : at;
			at -= piece;
			if (drop(k, o, at, piece)) {
				dropped = true;
				cut(k);
				at = at < o->n ? at : o->n;
			}
		}
		if (n > 1)
			n /= 2;
		else if (!dropped)
			break;
	}
}

/* Try another value; keep it when the script still fails. */
#define PLAINER(k, place, value)                                                                   \
	do {                                                                                       \
		__typeof__(place) was_ = (place);                                                  \
		if (was_ == (value) || tired(k))                                                   \
			break;                                                                     \
		(place) = (value);                                                                 \
		if (!fails(k))                                                                     \
			(place) = was_;                                                            \
	} while (0)

static void plainer(struct shrink *k)
{
	PLAINER(k, k->s->keep, false);
	PLAINER(k, k->s->durability, COW_OVL_RELAXED);
	for (size_t n = 0; n < k->s->ops.n; n++) {
		struct op *op = &k->s->ops.v[n];
		PLAINER(k, op->user, 0);
		PLAINER(k, op->off, 0);
		PLAINER(k, op->len, 1);
		PLAINER(k, op->fill, 1);
		if (op->kind == OP_CREATE || op->kind == OP_MKDIR || op->kind == OP_CHMOD)
			PLAINER(k, op->mode, 0755);
	}
}

unsigned shrink_script(const struct stage *stage, struct script *s, struct trial *last)
{
	struct shrink k = {
	    .stage = stage, .s = s, .last = last, .until = cow_now_ms() + TIME_MAX_MS};
	size_t before;
	PLAINER(&k, s->batch, 1);
	cut(&k);
	do {
		before = s->ops.n + s->lower.n;
		drop_pieces(&k, &s->ops);
		drop_pieces(&k, &s->lower);
	} while (s->ops.n + s->lower.n < before && !tired(&k));
	plainer(&k);
	return k.trials;
}
