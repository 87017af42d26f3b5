/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A limit of what one root may use of a file system it shares with others. Counted here, since
 * project quotas need a file system made and mounted for them: the blocks of every object of the upper,
 * and OBJECT_COST for the object itself, so that a million empty files cost something too. Lower data
 * shown is free; a copy-up costs its size. What a call may need is reserved before it and set right
 * after it, so many writers together do not get past the limit either.
 *
 * Counted once when the limit is set, by a walk of the upper, then kept up with each call; xattrs
 * and the growth of directories are left out. An instance without a limit does none of this.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "names_each.h"

#define OBJECT_COST 1024u

static uint64_t cost_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512 + OBJECT_COST;
}

static bool limited(const struct cow_ovl_inst *i)
{
	return atomic_load(&i->limit) != 0;
}

/* ---------------------------------------------------------------- counting what is there */

struct walk {
	struct cow_ovl_inst *i;
	int fd;
	unsigned depth;
	uint64_t sum;
};

static int walk_dir(struct walk *w);

/* Of an object with several names each carries its share. */
static int walk_one(void *ctx, const char *name)
{
	struct walk *w = ctx;
	struct stat st;
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (st.st_dev != w->i->dev || cow_is_whiteout(st.st_mode, st.st_rdev))
		return 0;
	if (!S_ISDIR(st.st_mode)) {
		w->sum += cost_of(&st) / (st.st_nlink ? st.st_nlink : 1);
		return 0;
	}
	struct walk sub = {.i = w->i, .depth = w->depth + 1, .sum = cost_of(&st)};
	sub.fd = COW_FD_TRY(openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (sub.fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	int r = walk_dir(&sub);
	(void)close(sub.fd); /* a directory: nothing to lose */
	w->sum += sub.sum;
	return r;
}

static int walk_dir(struct walk *w)
{
	return w->depth > COW_DEPTH_MAX ? -ELOOP : cow_names_each(w->fd, walk_one, w);
}

static int count_all(struct cow_ovl_inst *i, uint64_t *ret)
{
	struct walk upper = {.i = i, .fd = i->treefd}, index = {.i = i, .fd = i->indexfd};
	int r = walk_dir(&upper);
	if (r == 0)
		r = walk_dir(&index);
	if (r == 0)
		*ret = upper.sum + index.sum;
	return r;
}

static int set_limit(struct cow_ovl_inst *i, uint64_t bytes)
{
	uint64_t used = 0;
	if (!i->img)
		return -EOPNOTSUPP;
	/* Nothing may change while it is counted; every change is made under `freeze`, shared. */
	pthread_rwlock_wrlock(&i->freeze);
	int r = atomic_load(&i->closed) ? -ESTALE : 0;
	if (r == 0 && bytes != 0)
		r = count_all(i, &used);
	if (r == 0) {
		atomic_store(&i->used, used);
		atomic_store(&i->limit, bytes);
	}
	pthread_rwlock_unlock(&i->freeze);
	return r;
}

int cow_ovl_inst_limit(struct cow_ovl_inst *i, uint64_t bytes)
{
	return i->flags & COW_OVL_OBSERVER ? -EROFS : set_limit(i, bytes);
}

/* ---------------------------------------------------------------- reserving */

/* Bytes of the range that have no block yet. */
static uint64_t holes_in(int fd, uint64_t off, uint64_t len)
{
	uint64_t end = off + len, holes = 0;
	while (off < end) {
		off_t data = lseek(fd, (off_t)off, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= end) /* a hole, or behind the end of the file */
			return holes + (end - off);
		holes += (uint64_t)data - off;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return holes;
		off = (uint64_t)hole;
	}
	return holes;
}

static bool take(struct cow_ovl_inst *i, uint64_t bytes)
{
	uint64_t limit = atomic_load(&i->limit), used = atomic_load(&i->used);
	do {
		if (used > limit || bytes > limit - used)
			return false;
	} while (!atomic_compare_exchange_weak(&i->used, &used, used + bytes));
	return true;
}

static void give(struct cow_ovl_inst *i, uint64_t bytes)
{
	uint64_t used = atomic_load(&i->used), less;
	do {
		less = used > bytes ? used - bytes : 0;
	} while (!atomic_compare_exchange_weak(&i->used, &used, less));
}

int cow_limit_take(struct cow_ovl_inst *i, uint64_t bytes, struct cow_reserved *ret)
{
	*ret = (struct cow_reserved){0};
	if (!limited(i))
		return 0;
	if (!take(i, bytes + OBJECT_COST))
		return -ENOSPC;
	ret->bytes = bytes + OBJECT_COST;
	return 0;
}

/* Remember what the object costs before it is changed. */
static int learn_cost(struct cow_ovl_node *n, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	pthread_mutex_lock(&n->inst->limit_m);
	if (!n->cost_known) {
		n->cost = cost_of(&st);
		n->cost_known = true;
	}
	pthread_mutex_unlock(&n->inst->limit_m);
	return 0;
}

int cow_limit_grow(struct cow_ovl_node *n, int fd, uint64_t off, uint64_t len,
		   struct cow_reserved *ret)
{
	struct cow_ovl_inst *i = n->inst;
	*ret = (struct cow_reserved){0};
	if (!limited(i))
		return 0;
	int r = learn_cost(n, fd);
	if (r < 0)
		return r;
	uint64_t need = len;
	if (!take(i, need)) {
		need = holes_in(fd, off, len); /* writing over what is there needs nothing */
		if (!take(i, need))
			return need ? -ENOSPC : 0;
	}
	ret->bytes = need;
	return 0;
}

void cow_limit_cancel(struct cow_ovl_inst *i, struct cow_reserved *res)
{
	if (res->bytes)
		give(i, res->bytes);
	res->bytes = 0;
}

void cow_limit_settle(struct cow_ovl_node *n, int fd, struct cow_reserved *res)
{
	struct cow_ovl_inst *i = n->inst;
	struct stat st;
	if (limited(i) && fstat(fd, &st) == 0) {
		pthread_mutex_lock(&i->limit_m);
		uint64_t now = cost_of(&st), before = n->cost_known ? n->cost : 0;
		n->cost = now;
		n->cost_known = true;
		pthread_mutex_unlock(&i->limit_m);
		if (now > before)
			atomic_fetch_add(&i->used, now - before);
		else
			give(i, before - now);
	}
	cow_limit_cancel(i, res);
}

/* ---------------------------------------------------------------- giving back */

void cow_limit_lost_name(struct cow_ovl_node *n)
{
	cow_autofd f = NULL;
	struct stat st;
	if (!limited(n->inst) || !atomic_load(&n->has_up))
		return;
	if (cow_fd_get(n, COW_FD_PATH, &f) < 0 || fstat(f->fd, &st) < 0 || st.st_nlink > 0)
		return;
	pthread_mutex_lock(&n->inst->limit_m);
	n->cost = cost_of(&st);
	n->cost_known = true;
	n->cost_ends = true;
	pthread_mutex_unlock(&n->inst->limit_m);
	cow_limit_closed(n);
}

void cow_limit_closed(struct cow_ovl_node *n)
{
	uint64_t cost = 0;
	if (!limited(n->inst) || atomic_load(&n->opens) > 0)
		return;
	pthread_mutex_lock(&n->inst->limit_m);
	if (n->cost_ends) {
		cost = n->cost;
		n->cost_ends = false;
		n->cost = 0;
	}
	pthread_mutex_unlock(&n->inst->limit_m);
	give(n->inst, cost);
}

void cow_limit_statfs(struct cow_ovl_inst *i, struct cow_ovl_statfs *st)
{
	uint64_t limit = atomic_load(&i->limit), used = atomic_load(&i->used);
	if (limit == 0)
		return;
	uint64_t left = limit > used ? limit - used : 0;
	st->bytes_total = limit;
	st->bytes_free = left < st->bytes_free ? left : st->bytes_free;
	st->bytes_avail = left < st->bytes_avail ? left : st->bytes_avail;
}
