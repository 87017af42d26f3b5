/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rename. What both names show is decided under the names locks of both directories and of a
 * directory that is to be replaced; what has to be brought up for it first is, outside the locks, and
 * then it is looked at again. Then marks are set (harmless while nothing has moved), and one system
 * call moves the name and leaves the whiteout, if the image has the old name. overlay.md 4.8.
 *
 *	target shows	| old name is not the image's	| old name is the image's
 *	----------------+-------------------------------+-----------------------------------------
 *	whiteout	| file: rename			| EXCHANGE: the whiteout goes to the old name
 *			| directory: EXCHANGE, unlink	|
 *	anything else	| rename			| RENAME_WHITEOUT
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define RENAME_KNOWN (RENAME_NOREPLACE | RENAME_EXCHANGE)

/* One of the two names. */
struct side {
	struct cow_ovl_node *dir;
	char name[COW_NAME_MAX + 1];
	size_t len;
	/* Found under the lock: */
	struct cow_fd *d; /* NULL: not brought up */
	struct cow_view v;
	struct cow_ovl_node *n; /* NULL: shows nothing */
};

struct rename {
	struct cow_ovl_inst *i;
	struct side from, to;
	unsigned flags;
	struct cow_ovl_node *hint; /* locked with the directories */
	char
	    husk[COW_TEMP_LEN]; /* where the target is that made place for an empty one; "": none */
};

/* ---------------------------------------------------------------- look */

static void side_forget(struct side *s)
{
	cow_fd_put(cow_steal_ptr(&s->d));
	cow_ovl_put(cow_steal_ptr(&s->n));
}

static int side_look(struct side *s)
{
	if (atomic_load(&s->dir->gone))
		return -ESTALE;
	int r = atomic_load(&s->dir->has_up) ? cow_fd_get(s->dir, COW_FD_PATH, &s->d) : 0;
	if (r < 0)
		return r;
	int dirfd = s->d ? s->d->fd : -1;
	r = cow_view_locked(s->dir, dirfd, s->name, s->len, &s->v);
	if (r == 0 && s->v.what != COW_NOTHING)
		r = cow_not_ours(s->dir->inst, dirfd, s->name,
				 cow_view_victim_locked(s->dir, dirfd, s->name, &s->v, &s->n));
	if (r == 0 && !s->n)
		r = cow_gone_is_stale(dirfd, -ENOENT) == -ESTALE ? -ESTALE : 0;
	return r;
}

/* What rename(2) refuses by what the names are. 1: they are the same object, nothing to do. */
static int check_types(const struct rename *rn)
{
	const struct cow_ovl_node *from = rn->from.n, *to = rn->to.n;
	if (!from)
		return -ENOENT;
	if (rn->flags & RENAME_NOREPLACE && to)
		return -EEXIST;
	if (rn->flags & RENAME_EXCHANGE && !to)
		return -ENOENT;
	if (from == to)
		return 1;
	if (rn->flags & RENAME_EXCHANGE || !to)
		return 0;
	if (S_ISDIR(from->type) && !S_ISDIR(to->type))
		return -ENOTDIR;
	return !S_ISDIR(from->type) && S_ISDIR(to->type) ? -EISDIR : 0;
}

/* Is all there that the locked part needs? -EAGAIN: not yet. */
static int check_ready(const struct rename *rn)
{
	bool exchange = rn->flags & RENAME_EXCHANGE;
	struct cow_ovl_node *to = rn->to.n;
	if (to && S_ISDIR(to->type) && !exchange && to != rn->hint)
		return -EAGAIN;
	/* Where the system call looks for itself it is only asked to save a copy for nothing. */
	if (to && S_ISDIR(to->type) && !exchange &&
	    (!cow_dir_simple(to) || !atomic_load(&rn->from.n->has_up))) {
		int r = cow_dir_empty_locked(to);
		if (r != 1)
			return r < 0 ? r : -ENOTEMPTY;
	}
	if (!rn->from.d || !rn->to.d || !atomic_load(&rn->from.n->has_up) ||
	    (exchange && !atomic_load(&to->has_up)))
		return -EAGAIN;
	return 0;
}

/* Is @n the directory @dir or one above it? What the kernel says when the name is moved counts; this
 * is to refuse before anything is prepared, and to choose between errors. No lock is held. */
static bool is_above(const struct cow_ovl_node *n, struct cow_ovl_node *dir)
{
	cow_autonode at = cow_ovl_get(dir);
	for (unsigned depth = 0; depth < COW_DEPTH_MAX && at != dir->inst->root; depth++) {
		cow_autonode up = NULL;
		if (at == n)
			return true;
		if (cow_parent_entered(at, &up) < 0)
			return false;
		cow_ovl_put(at);
		at = cow_steal_ptr(&up);
	}
	return at == n;
}

/* One inside the other: rename(2) looks at that before it looks at types and emptiness. */
static int nested(const struct rename *rn, int r)
{
	if (rn->from.n && S_ISDIR(rn->from.n->type) && is_above(rn->from.n, rn->to.dir))
		return -EINVAL;
	if (rn->to.n && S_ISDIR(rn->to.n->type) && is_above(rn->to.n, rn->from.dir))
		return rn->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return r;
}

/* Outside the locks: lock more next time, bring up what has to be. */
static int get_ready(struct rename *rn)
{
	struct cow_ovl_node *to = rn->to.n;
	int r = nested(rn, 0);
	if (r < 0)
		return r;
	if (to && S_ISDIR(to->type) && !(rn->flags & RENAME_EXCHANGE) && to != rn->hint) {
		cow_ovl_put(rn->hint);
		rn->hint = cow_ovl_get(to);
		return 0;
	}
	r = cow_bring_up(rn->from.dir, NULL, NULL, NULL);
	if (r == 0)
		r = cow_bring_up(rn->to.dir, NULL, NULL, NULL);
	if (r < 0)
		return r;
	r = cow_bring_up(rn->from.n, NULL, NULL, NULL);
	if (r == 0 && rn->flags & RENAME_EXCHANGE)
		r = cow_bring_up(rn->to.n, NULL, NULL, NULL);
	return r == -ESTALE ? 0 : r; /* it lost its name meanwhile: what is there now? */
}

/* ---------------------------------------------------------------- prepare */

/* A name of the image whose object was brought up under another of its names: give the upper this
 * one too. */
static int materialize(struct side *s)
{
	cow_autofd f = NULL;
	struct stat before;
	if (!s->n || s->v.what != COW_LOWER)
		return 0;
	int r = cow_fd_get(s->n, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_impure_need(s->dir, s->d->fd);
	if (r == 0 && fstat(s->d->fd, &before) < 0)
		r = cow_nerr();
	if (r == 0 && linkat(f->fd, "", s->d->fd, s->name, AT_EMPTY_PATH) < 0)
		r = cow_nerr();
	if (r < 0)
		return r;
	cow_restore_times(s->d->fd, &before);
	const struct cow_dent e = {.number = s->n->low, .known = true, .type = s->n->type};
	cow_delta_put(s->dir, s->name, &e);
	s->v.what = COW_UPPER;
	return 0;
}

/* Say what @n is before it stands where that is not plain. */
static int mark(struct cow_ovl_node *n, struct side *to)
{
	cow_autofd f = NULL;
	bool dir = S_ISDIR(n->type);
	if (n->low == 0 && !(dir && to->v.lower))
		return 0;
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_mark_away(n, f, to->dir, to->d->fd);
	if (r == 0 && dir && n->low != 0)
		r = cow_redirect_write(n->inst, f->fd, n->low);
	if (r == 0 && dir && n->low == 0 && to->v.lower)
		r = cow_opaque_write(f->fd);
	return r;
}

/* A directory of two layers that shows nothing is full of whiteouts: a really empty one takes its
 * place, until the rename is made. A crash between the two leaves it there, so it looks the same;
 * only its handle is another one. */
static int empty_layers(struct rename *rn)
{
	struct side *to = &rn->to;
	cow_autofd old = NULL;
	char temp[COW_TEMP_LEN];
	int r = cow_fd_get(to->n, COW_FD_PATH, &old);
	if (r < 0)
		return r;
	cow_temp_name(rn->i, temp);
	if (mkdirat(rn->i->workfd, temp, 0700) < 0)
		return cow_nerr();
	cow_autoclose int fd = COW_FD_TRY(openat(rn->i->workfd, temp, O_PATH | O_CLOEXEC));
	r = fd < 0 ? cow_nerr() : cow_opaque_write(fd);
	if (r == 0)
		r = cow_copy_looks(old->fd, fd);
	if (r == 0 && renameat2(rn->i->workfd, temp, to->d->fd, to->name, RENAME_EXCHANGE) < 0)
		r = cow_nerr();
	if (r < 0)
		cow_work_drop(rn->i, temp);
	else
		memcpy(rn->husk, temp, sizeof(temp));
	return r;
}

/* Made: the husk goes. Not made: it comes back, and the empty one goes. */
static void settle_husk(struct rename *rn, int r)
{
	if (!rn->husk[0])
		return;
	if (r < 0)
		(void)renameat2(rn->i->workfd, rn->husk, rn->to.d->fd, rn->to.name,
				RENAME_EXCHANGE);
	cow_work_drop(rn->i, rn->husk);
	rn->husk[0] = '\0';
}

static int empty_target(struct rename *rn)
{
	cow_autofd f = NULL;
	const struct side *to = &rn->to;
	if (!rn->i->img || !to->n || !S_ISDIR(to->n->type) || to->v.what != COW_UPPER)
		return 0;
	if (!cow_dir_simple(to->n))
		return empty_layers(rn);
	int r = cow_fd_get(to->n, COW_FD_PATH, &f);
	return r < 0 ? r : cow_drop_strays(f->fd);
}

static int prepare(struct rename *rn)
{
	int r = cow_check_ours(rn->i, rn->from.d->fd, rn->from.name);
	if (r == 0)
		r = cow_check_ours(rn->i, rn->to.d->fd, rn->to.name);
	if (r == 0)
		r = materialize(&rn->from);
	if (r == 0)
		r = mark(rn->from.n, &rn->to);
	if (r == 0 && rn->flags & RENAME_EXCHANGE)
		r = materialize(&rn->to);
	if (r == 0 && rn->flags & RENAME_EXCHANGE)
		r = mark(rn->to.n, &rn->from);
	else if (r == 0)
		r = empty_target(rn);
	return r;
}

/* ---------------------------------------------------------------- move */

/* xfs touches what an EXCHANGE moves; nobody asked for one. */
static int move_back_times(const struct rename *rn, const struct stat *before)
{
	cow_autofd f = NULL;
	int r = cow_fd_get(rn->from.n, COW_FD_PATH, &f);
	if (r == 0)
		cow_restore_times(f->fd, before);
	return 0; /* it is moved: no reason to fail */
}

static int stat_moved(const struct rename *rn, struct stat *ret)
{
	cow_autofd f = NULL;
	int r = cow_fd_get(rn->from.n, COW_FD_PATH, &f);
	return r == 0 && fstat(f->fd, ret) < 0 ? cow_nerr() : r;
}

static int move(const struct rename *rn)
{
	struct stat before;
	const struct side *from = &rn->from, *to = &rn->to;
	bool dir = S_ISDIR(from->n->type);
	bool swap = rn->flags & RENAME_EXCHANGE || (to->v.covered && (from->v.lower || dir));
	unsigned how = swap ? RENAME_EXCHANGE : from->v.lower ? RENAME_WHITEOUT : 0;
	if (how == 0 && rn->flags & RENAME_NOREPLACE && !to->v.covered)
		how = RENAME_NOREPLACE;
	bool own_swap = swap && !(rn->flags & RENAME_EXCHANGE);
	int r = own_swap ? stat_moved(rn, &before) : 0;
	if (r < 0)
		return r;
	if (renameat2(from->d->fd, from->name, to->d->fd, to->name, how) < 0)
		return errno == EEXIST && !(rn->flags & RENAME_NOREPLACE) ? -ENOTEMPTY : cow_nerr();
	/* The whiteout of the target, where it hides nothing: a crash before this leaves it there. */
	if (own_swap && !from->v.lower)
		(void)unlinkat(from->d->fd, from->name, 0);
	return own_swap ? move_back_times(rn, &before) : 0;
}

static void note_at(const struct side *s, const struct cow_ovl_node *n)
{
	const struct cow_dent e = {
	    .ino = n->low ? 0 : n->id - n->inst->rec.id_base,
	    .number = n->low,
	    .known = true,
	    .type = n->type,
	};
	cow_delta_put(s->dir, s->name, &e);
}

static void note(struct rename *rn)
{
	bool exchange = rn->flags & RENAME_EXCHANGE;
	note_at(&rn->to, rn->from.n);
	if (exchange)
		note_at(&rn->from, rn->to.n);
	else if (rn->from.v.lower)
		cow_delta_whiteout(rn->from.dir, rn->from.name);
	else
		cow_delta_remove(rn->from.dir, rn->from.name);
	if (!exchange && rn->to.n)
		cow_unnamed(rn->to.n, rn->to.v.what);
	if (rn->from.n->low)
		cow_moved_add(rn->from.n);
	if (exchange && rn->to.n->low)
		cow_moved_add(rn->to.n);
	cow_node_bump(rn->from.n);
	if (exchange)
		cow_node_bump(rn->to.n);
	cow_node_bump(rn->from.dir);
	cow_node_bump(rn->to.dir);
}

/* ---------------------------------------------------------------- all of it */

/* Return: 0; 1 nothing to do; -EAGAIN: get_ready() and again. */
static int rename_locked(struct rename *rn)
{
	int r = side_look(&rn->from);
	if (r == 0)
		r = side_look(&rn->to);
	if (r == 0)
		r = check_types(rn);
	if (r == 0)
		r = check_ready(rn);
	if (r != 0)
		return r;
	cow_autofd keep = NULL;
	struct cow_ovl_node *replaced = rn->flags & RENAME_EXCHANGE ? NULL : rn->to.n;
	r = replaced ? cow_keep_begin(replaced, &keep) : 0;
	if (r == 0)
		r = prepare(rn);
	if (r == 0)
		r = move(rn);
	settle_husk(rn, r);
	if (r < 0)
		return cow_gone_is_stale(rn->to.d->fd, cow_gone_is_stale(rn->from.d->fd, r));
	note(rn);
	if (replaced)
		cow_keep_end(replaced, cow_steal_ptr(&keep));
	return 0;
}

static int rename_run(struct rename *rn)
{
	for (;;) {
		int r = cow_names_lock(rn->from.dir, rn->to.dir, rn->hint);
		if (r < 0)
			return r;
		r = rename_locked(rn);
		cow_names_unlock(rn->from.dir, rn->to.dir, rn->hint);
		if (r != -EAGAIN)
			return r;
		r = get_ready(rn);
		side_forget(&rn->from);
		side_forget(&rn->to);
		if (r < 0)
			return r;
	}
}

static int rename_entered(struct rename *rn)
{
	if (!S_ISDIR(rn->from.dir->type) || !S_ISDIR(rn->to.dir->type))
		return -ENOTDIR;
	int r = rename_run(rn);
	if (r == -ENOTDIR || r == -EISDIR || r == -ENOTEMPTY)
		r = nested(rn, r);
	if (r == 0 && rn->to.n && !(rn->flags & RENAME_EXCHANGE))
		cow_lost_a_name(rn->to.n);
	side_forget(&rn->from);
	side_forget(&rn->to);
	cow_ovl_put(cow_steal_ptr(&rn->hint));
	if (r == 0)
		r = cow_inst_commit(rn->i);
	return r < 0 ? r : 0;
}

static int side_name(struct side *s, struct cow_ovl_node *dir, const char *name, size_t len)
{
	s->dir = dir;
	s->len = len;
	return cow_name_copy(name, len, s->name);
}

int cow_ovl_rename(struct cow_ovl_node *dir1, const char *name1, size_t len1,
		   struct cow_ovl_node *dir2, const char *name2, size_t len2, unsigned flags,
		   const struct cow_ovl_cred *cred)
{
	struct rename rn = {.i = dir1->inst, .flags = flags};
	if (dir1->inst != dir2->inst)
		return -EXDEV;
	if (flags & ~(unsigned)RENAME_KNOWN || flags == RENAME_KNOWN)
		return -EINVAL;
	int r = side_name(&rn.from, dir1, name1, len1);
	if (r == 0)
		r = side_name(&rn.to, dir2, name2, len2);
	if (r == 0)
		r = cow_inst_enter_change(dir1->inst);
	if (r < 0)
		return r;
	r = rename_entered(&rn);
	cow_inst_leave(dir1->inst);
	return r;
}
