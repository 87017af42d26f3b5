/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reset, roll and rollback, of many clients at once: all roots are made, then the disk is waited for once, then
 * all are swapped.
 *
 * What a crash leaves of each client, by step:
 *	1 roots/.new-HEX or roots/N	above what was ever current: swept
 *	2 `current` swapped		once that is on disk the new root counts; `epoch` is repaired by the sweep and
 *					at attach. Nobody is told of the new root before it is on disk
 *	3 `epoch` written		done; `next` is known to be done by the root's order, and what else belongs to
 *					it (what the client follows) is done by the sweep
 *	4 roots that are not kept	in the trash or swept; deleted by the command's end or the next sweep
 *
 * STORE/lock is held while roots are made, not while keep-lists are carried: a root that is being made
 * counts as a user of its image (users.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "keep.h"
#include "next_rebase.h"

#define AT_ONCE 64 /* two descriptors each */

struct one {
	struct cow_swap *w;
	char id[COW_MAC_TEXT_LEN + 1];
	int dir, lock;
	struct cow_client *c; /* as it was */
	/* What is to be done: as the caller says, or what waits for the boot. */
	enum cow_swap_what what;
	const char *to, *keep, *order, *follow;
	unsigned root;
	const struct cow_rebase_opts *rebase;
	struct cow_next_rebase ordered;
	unsigned n; /* the root to swap to; 0: none, or none any more */
};

struct batch {
	struct cow_store *s;
	struct one one[AT_ONCE];
	size_t n;
	struct cow_keep_use use; /* holds the images */
};

static const char *doing(const struct one *o)
{
	return o->what == COW_SWAP_ROLLBACK ? "roll back" : cow_swap_name(o->what);
}

static void failed(struct one *o, int r)
{
	o->w->r = cow_err_prefix(&o->w->err, r, "%s client %s", doing(o), o->id);
	o->n = 0;
}

static int too_late(const struct one *o)
{
	return o->w->until_ms && cow_now_ms() >= o->w->until_ms ? -ETIME : 0;
}

static int say_late(struct one *o)
{
	return cow_err_say(&o->w->err, COW_ERR_FAILED, -ETIME,
			   "it took too long for a machine that boots; it keeps its root");
}

static int follow(struct one *o)
{
	return o->follow ? cow_client_key_write(o->dir, "follows", o->follow, &o->w->err) : 0;
}

/* ---------------------------------------------------------------- a fresh root */

/* One above everything there is, so that a number names one root for ever. */
static int next_root(int client_dir, unsigned *ret)
{
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	int r = cow_client_root_numbers(client_dir, &list, &n);
	if (r == 0)
		*ret = n ? list[n - 1] + 1 : 1;
	return r;
}

static int make_fresh(struct batch *b, struct one *o)
{
	struct cow_err *err = &o->w->err;
	cow_autoimage image = NULL;
	const char *ref = o->to ? o->to : o->c->follows;
	int r = cow_image_find(b->s, ref, &image, err);
	if (r < 0)
		return o->to ? r : cow_err_prefix(err, r, "it follows %s", ref);
	if (o->what == COW_SWAP_ROLL && image->version == o->c->version &&
	    strcmp(image->name, o->c->image) == 0)
		return (r = follow(o)) < 0 ? r : 1;
	unsigned n = 0;
	r = next_root(o->dir, &n);
	cow_autoclose int roots = r < 0 ? r : cow_opendir_at(o->dir, "roots");
	if (roots < 0)
		return cow_err_set(err, roots, "open its roots");
	const struct cow_root_how how = {
	    .previous = o->c->root,
	    .highest = n,
	    .why = o->what == COW_SWAP_ROLL ? COW_WHY_ROLL : COW_WHY_RESET,
	    .order = o->order,
	};
	r = cow_client_make_root(b->s, roots, n, o->c, image, &how, err);
	if (r == 0)
		o->n = n;
	return r;
}

struct watched {
	const struct one *o;
};

static int stop(void *ctx)
{
	const struct watched *w = ctx;
	return too_late(w->o);
}

static void conflict(void *ctx, const char *path, const char *what)
{
	const struct watched *w = ctx;
	if (w->o->w->conflict)
		w->o->w->conflict(w->o->w->ctx, path, what);
}

static int keep(struct batch *b, struct one *o)
{
	cow_autoclose int from = cow_client_root_dir(o->dir, o->c->root);
	cow_autoclose int to = cow_client_root_dir(o->dir, o->n);
	struct watched w = {o};
	if (from < 0 || to < 0)
		return cow_err_set(&o->w->err, from < 0 ? from : to, "open its roots");
	if (o->rebase) {
		const struct cow_rebase_how how = {
		    .opts = o->rebase,
		    .boots = o->w->what == COW_SWAP_BOOT,
		    .stop = stop,
		    .ctx = &w,
		};
		int rebased = cow_rebase_apply(b->s, o->c, to, &how, &o->w->err);
		return rebased == -ETIME ? say_late(o) : rebased;
	}
	b->use.c = o->c;
	b->use.names = o->w->flags & COW_SWAP_FACTORY ? COW_KEEP_NONE : o->keep;
	b->use.from = from;
	b->use.to = to;
	b->use.conflict = conflict;
	b->use.stop = stop;
	b->use.ctx = &w;
	b->use.stats = (struct cow_carry_stats){0};
	int r = cow_client_keep_apply(&b->use, &o->w->err);
	o->w->kept = b->use.stats.objects;
	o->w->kept_bytes = b->use.stats.bytes;
	return r == -ETIME ? say_late(o) : r;
}

/* ---------------------------------------------------------------- steps */

static void decide(struct one *o)
{
	const struct cow_next *next = &o->c->next;
	if (o->what != COW_SWAP_BOOT)
		return;
	o->what = next->what;
	if (next->what == COW_SWAP_NONE || next->held) {
		o->what = o->c->ephemeral ? COW_SWAP_RESET : COW_SWAP_NONE;
		return;
	}
	o->order = next->order;
	o->to = *next->to ? next->to : NULL;
	o->keep = *next->keep ? next->keep : NULL;
	o->follow = *next->follow ? next->follow : NULL;
	o->root = next->root;
}

static int on_line(void *ctx, const struct cow_rebase_line *line)
{
	const struct one *o = ctx;
	if (line->result != COW_REBASE_CONFLICT)
		return 0;
	o->w->conflicts++;
	if (o->w->conflict)
		o->w->conflict(o->w->ctx, line->change.path, line->why);
	return 0;
}

/* A rebase as it was ordered. */
static int read_rebase(struct one *o)
{
	if (!o->order || !o->c->next.rebase)
		return 0;
	int r = cow_next_rebase_read(o->dir, &o->ordered, &o->w->err);
	o->ordered.opts.fn = on_line;
	o->ordered.opts.ctx = o;
	o->rebase = &o->ordered.opts;
	return r;
}

/* Others boot, too: nobody waits for a lock longer than for the root. */
static unsigned lock_wait_ms(const struct one *o)
{
	uint64_t now = cow_now_ms(), until = o->w->until_ms;
	if (!until || until >= now + COW_LOCK_WAIT_MS)
		return COW_LOCK_WAIT_MS;
	return until > now ? (unsigned)(until - now) : 0;
}

/* With STORE/lock held. */
static int begin(struct batch *b, struct one *o)
{
	struct cow_swap *w = o->w;
	o->dir = cow_client_lock(b->s, o->id, lock_wait_ms(o), &o->lock, &w->err);
	if (o->dir < 0)
		return o->dir == -EBUSY && too_late(o) ? say_late(o) : o->dir;
	int r = w->what == COW_SWAP_BOOT
		    ? 0
		    : cow_client_refuse_running(b->s, &w->mac, w->flags, doing(o), &w->err);
	if (r == 0)
		r = cow_client_read(o->dir, o->id, &o->c, &w->err);
	if (r < 0)
		return r;
	decide(o);
	w->did = o->what;
	if (o->what == COW_SWAP_NONE)
		return 1;
	if (too_late(o))
		return say_late(o);
	r = read_rebase(o);
	if (r == 0)
		r = cow_client_follow_check(b->s, o->id, o->follow, &w->err);
	return r < 0 || o->what == COW_SWAP_ROLLBACK ? r : make_fresh(b, o);
}

static int fill(struct batch *b, struct one *o)
{
	int r = o->what == COW_SWAP_ROLLBACK
		    ? cow_client_go_back(o->dir, o->c, o->root, o->order, &o->n, &o->w->err)
		    : keep(b, o);
	if (r == 0 && o->w->what != COW_SWAP_BOOT) {
		r = cow_next_drop(o->dir); /* overtaken */
		if (r < 0)
			r = cow_err_set(&o->w->err, r,
					"cancel what was to be done at the next boot");
	}
	return r;
}

/* Everything so far is on disk. */
static void sync_all(struct batch *b, const char *what)
{
	int r = 1;
	for (size_t i = 0; i < b->n; i++) {
		struct one *o = &b->one[i];
		if (!o->n)
			continue;
		if (r > 0)
			r = syncfs(o->dir) < 0 ? -errno : 0;
		if (r < 0) {
			(void)cow_err_set(&o->w->err, r, "%s %u to disk", what, o->n);
			failed(o, r);
		}
	}
}

static void link_current(struct one *o)
{
	char target[32];
	if (!o->n)
		return;
	if (too_late(o)) {
		failed(o, say_late(o));
		return;
	}
	(void)snprintf(target, sizeof(target), "roots/%u", o->n);
	int r = cow_symlink_replace_at(o->dir, target, "current");
	if (r < 0)
		failed(o, cow_err_set(&o->w->err, r, "swap to root %u", o->n));
}

static void tell_servers(struct one *o)
{
	if (!o->n)
		return;
	int r = cow_client_epoch_repair(o->dir, &o->w->err);
	if (r == 0)
		r = o->order ? cow_next_finish(o->dir, &o->w->err) : follow(o);
	if (r < 0)
		failed(o, cow_err_prefix(&o->w->err, r, "the swap is done, but not all of it"));
}

/* What is out of use hinders nobody; after a failure that is the new root. */
static void tidy(struct batch *b, struct one *o)
{
	cow_autoclient now = NULL;
	struct cow_err err = COW_ERR_INIT;
	int r = o->dir < 0 || !o->c ? 1 : cow_client_read(o->dir, o->id, &now, &err);
	if (r == 0)
		r = cow_client_sweep_roots(b->s, o->dir, now);
	if (r < 0 && o->w->r >= 0) {
		o->w->err = err;
		o->w->r =
		    cow_err_set(&o->w->err, r,
				"the swap is done, but removing the old root of client %s", o->id);
	}
	if (r == 0 && o->w->r >= 0)
		o->w->now = cow_steal_ptr(&now);
}

/* A rebase that packages are in the way of would be refused at every boot. */
static void note_failure(const struct one *o)
{
	if (o->order && o->w->r < 0 && o->dir >= 0)
		cow_next_failed(o->dir, o->rebase && o->w->r == -EPERM, cow_err_str(&o->w->err));
}

static void end(struct one *o)
{
	note_failure(o);
	cow_next_rebase_done(&o->ordered);
	cow_client_free(o->c);
	if (o->lock >= 0)
		(void)close(o->lock);
	if (o->dir >= 0)
		(void)close(o->dir); /* a directory: nothing to lose */
}

/* ---------------------------------------------------------------- all */

static void start_one(struct one *o, struct cow_swap *w)
{
	*o = (struct one){
	    .w = w,
	    .dir = -1,
	    .lock = -1,
	    .what = w->what,
	    .to = w->to,
	    .keep = w->keep,
	    .follow = w->follow,
	    .root = w->root,
	    .rebase = w->rebase,
	};
	cow_mac_text(&w->mac, o->id);
}

static void make_all(struct batch *b)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autoclose int lock = cow_store_lock(b->s, &err);
	for (size_t i = 0; i < b->n; i++) {
		struct one *o = &b->one[i];
		if (lock < 0)
			o->w->err = err;
		int r = lock < 0 ? lock : begin(b, o);
		if (r < 0)
			failed(o, r);
		o->w->r = r;
	}
}

static void swap_batch(struct batch *b)
{
	make_all(b);
	for (size_t i = 0; i < b->n; i++) {
		struct one *o = &b->one[i];
		int r = o->w->r == 0 ? fill(b, o) : 0;
		if (r < 0)
			failed(o, r);
	}
	sync_all(b, "write root"); /* I2: a root is on disk before anything refers to it */
	for (size_t i = 0; i < b->n; i++)
		link_current(&b->one[i]);
	sync_all(b, "write the swap to root");
	for (size_t i = 0; i < b->n; i++)
		tell_servers(&b->one[i]);
	for (size_t i = 0; i < b->n; i++) {
		tidy(b, &b->one[i]);
		end(&b->one[i]);
	}
}

/* One client has one lock. */
static bool has(const struct batch *b, const struct cow_mac *mac)
{
	for (size_t i = 0; i < b->n; i++)
		if (memcmp(&b->one[i].w->mac, mac, sizeof(*mac)) == 0)
			return true;
	return false;
}

static bool is_known(const struct cow_swap *w)
{
	if (w->rebase && (w->what != COW_SWAP_ROLL || w->flags))
		return false;
	return w->what > COW_SWAP_NONE && w->what <= COW_SWAP_BOOT &&
	       !(w->flags & ~(unsigned)(COW_SWAP_NOW | COW_SWAP_FACTORY));
}

int cow_clients_swap(struct cow_store *s, struct cow_swap *list, size_t n)
{
	struct batch b = {.s = s, .use = {.s = s}};
	for (size_t i = 0; i < n; i++) {
		list[i].err = COW_ERR_INIT;
		list[i].now = NULL;
		list[i].r = is_known(&list[i])
				? 0
				: cow_err_set(&list[i].err, -EINVAL, "swap %d, flags %#x",
					      (int)list[i].what, list[i].flags);
	}
	for (size_t i = 0; i < n;) {
		for (b.n = 0; i < n && b.n < AT_ONCE && !has(&b, &list[i].mac); i++)
			if (list[i].r == 0)
				start_one(&b.one[b.n++], &list[i]);
		swap_batch(&b);
	}
	for (size_t i = 0; i < b.use.nhold; i++)
		cow_ovl_image_close(b.use.hold[i]);
	free(b.use.hold);
	int first = 0;
	for (size_t i = 0; i < n; i++)
		if (first == 0 && list[i].r < 0)
			first = list[i].r;
	return first;
}

void cow_swaps_done(struct cow_swap *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cow_client_free(list[i].now);
		list[i].now = NULL;
	}
}

static int swap_one(struct cow_store *s, struct cow_swap *w, struct cow_err *err)
{
	int r = cow_clients_swap(s, w, 1);
	if (r < 0 && err)
		*err = w->err;
	cow_swaps_done(w, 1);
	return r;
}

int cow_client_reset(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		     struct cow_err *err)
{
	return swap_one(s, &(struct cow_swap){.mac = *mac, .what = COW_SWAP_RESET, .flags = flags},
			err);
}

int cow_client_rollback(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			struct cow_err *err)
{
	return swap_one(
	    s, &(struct cow_swap){.mac = *mac, .what = COW_SWAP_ROLLBACK, .flags = flags}, err);
}
