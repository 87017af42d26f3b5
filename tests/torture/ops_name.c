/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Operations on names and descriptors between those on data: open and close, rename, link, unlink
 * while open, stat, a look at the whole file.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void op_open(struct worker *w, struct file *f)
{
	static const int kinds[] = {O_RDONLY, O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_APPEND};
	(void)slot_open(w, f, RNG_PICK(&w->rng, kinds));
}

static void op_close(struct worker *w, struct file *f)
{
	struct slot *s = &f->slots[rng_below(&w->rng, SLOTS)];
	if (s->fd >= 0)
		slot_close(w, f, s);
}

static void op_close_all(struct worker *w, struct file *f)
{
	if (rng_chance(&w->rng, 50))
		map_drop(w, f);
	slot_close_all(w, f);
}

/* ---------------------------------------------------------------- stat, whole file */

static void check_stat(struct worker *w, struct file *f, const struct stat *st, const char *how)
{
	if ((uint64_t)st->st_size != f->size)
		fail(w, f, "%s: expected size %llu, found %lld", how, (unsigned long long)f->size,
		     (long long)st->st_size);
	if (st->st_nlink != f->nnames)
		fail(w, f, "%s: expected %u links, found %lu", how, f->nnames,
		     (unsigned long)st->st_nlink);
}

static void op_stat(struct worker *w, struct file *f)
{
	struct stat st, by_fd;
	(void)note(w, f, "stat", 0, 0);
	if (f->nnames) {
		if (fstatat(opt.dir, f->names[rng_below(&w->rng, f->nnames)], &st, 0) < 0)
			fail_call(w, f, "stat");
		check_stat(w, f, &st, "stat");
	}
	if (slot_count(f) == 0)
		return;
	if (fstat(slot_for(w, f, NEED_READ)->fd, &by_fd) < 0)
		fail_call(w, f, "fstat");
	check_stat(w, f, &by_fd, "fstat");
}

static void op_whole(struct worker *w, struct file *f)
{
	struct slot *s = f->nnames ? slot_open(w, f, O_RDONLY) : slot_for(w, f, NEED_READ);
	struct note *n = note(w, f, "read all", 0, FILE_MAX);
	for (uint64_t off = 0; off <= f->size; off += IO_LEN_MAX) {
		size_t want = f->size - off < IO_LEN_MAX ? f->size - off : IO_LEN_MAX;
		n->result = pread(s->fd, w->buf, IO_LEN_MAX, (off_t)off);
		if (n->result < 0)
			fail_call(w, f, "read all");
		if ((size_t)n->result != want)
			fail(w, f, "read all at %llu: expected %zu bytes, got %lld",
			     (unsigned long long)off, want, (long long)n->result);
		check_bytes(w, f, w->buf, off, want, "read all");
	}
}

/* ---------------------------------------------------------------- names */

static struct file *holder(struct worker *w, const char *name, unsigned *ret_n)
{
	for (unsigned k = 0; k < opt.nfiles; k++)
		for (unsigned n = 0; n < w->files[k].nnames; n++)
			if (strcmp(w->files[k].names[n], name) == 0) {
				*ret_n = n;
				return &w->files[k];
			}
	return NULL;
}

static void check_absent(struct worker *w, struct file *f, const char *name)
{
	struct stat st;
	if (fstatat(opt.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		fail(w, f, "%s is still there", name);
}

static void forget_name(struct worker *w, struct file *f, unsigned n)
{
	if (n != --f->nnames)
		memcpy(f->names[n], f->names[f->nnames], NAME_ROOM);
	if (f->nnames == 0 && slot_count(f) == 0)
		map_drop(w, f);
}

/* Some file systems cannot change a golden file that has lost its names: it is copied up before. */
static void before_loss(struct worker *w, struct file *f)
{
	if (opt.tolerant && f->lower)
		(void)slot_open(w, f, O_RDWR);
}

static void op_rename(struct worker *w, struct file *f)
{
	char name[NAME_ROOM], old[NAME_ROOM];
	unsigned other;
	if (f->nnames == 0)
		return;
	pool_name(name, w->number, rng_below(&w->rng, pool_size()));
	struct file *victim = holder(w, name, &other);
	if (victim && victim != f && rng_chance(&w->rng, 60))
		return; /* not too often */
	unsigned n = rng_below(&w->rng, f->nnames);
	memcpy(old, f->names[n], NAME_ROOM);
	before_change(w, f);
	if (victim && victim != f)
		before_loss(w, victim);
	struct note *log = note(w, f, "rename", 0, 0);
	(void)snprintf(log->detail, sizeof(log->detail), "%s %s", old, name);
	if (victim && victim != f)
		(void)snprintf(note(w, victim, "replaced", 0, 0)->detail, NAME_ROOM, "%s", name);
	log->result = renameat(opt.dir, old, opt.dir, name);
	if (log->result < 0)
		fail_call(w, f, "rename");
	if (victim == f)
		return; /* two names of one file: nothing happens */
	memcpy(f->names[n], name, NAME_ROOM);
	if (victim)
		forget_name(w, victim, other);
	check_absent(w, f, old);
}

static void op_exchange(struct worker *w, struct file *f)
{
	static bool refused;
	char mine[NAME_ROOM];
	struct file *g = &w->files[rng_below(&w->rng, opt.nfiles)];
	if (refused || g == f || f->nnames == 0 || g->nnames == 0)
		return;
	before_change(w, f);
	before_change(w, g);
	struct note *log = note(w, f, "exchange", 0, 0);
	(void)snprintf(log->detail, sizeof(log->detail), "%s %s", f->names[0], g->names[0]);
	memcpy(note(w, g, "exchange", 0, 0)->detail, log->detail, sizeof(log->detail));
	log->result = renameat2(opt.dir, f->names[0], opt.dir, g->names[0], 1 << 1);
	if (log->result < 0 && (errno == EINVAL || errno == ENOSYS)) {
		(void)refused_once(&refused, "RENAME_EXCHANGE");
		return;
	}
	if (log->result < 0)
		fail_call(w, f, "exchange");
	memcpy(mine, f->names[0], NAME_ROOM);
	memcpy(f->names[0], g->names[0], NAME_ROOM);
	memcpy(g->names[0], mine, NAME_ROOM);
}

static void op_link(struct worker *w, struct file *f)
{
	char name[NAME_ROOM];
	unsigned other;
	pool_name(name, w->number, rng_below(&w->rng, pool_size()));
	if (f->nnames == 0 || f->nnames == NAMES || holder(w, name, &other))
		return;
	before_change(w, f);
	struct note *n = note(w, f, "link", 0, 0);
	(void)snprintf(n->detail, sizeof(n->detail), "%s", name);
	n->result = linkat(opt.dir, f->names[0], opt.dir, name, 0);
	if (n->result < 0)
		fail_call(w, f, "link");
	memcpy(f->names[f->nnames++], name, NAME_ROOM);
}

static void op_unlink(struct worker *w, struct file *f)
{
	char name[NAME_ROOM];
	/* Files without a name come back by and by; not all of them should be so. */
	if (f->nnames == 0 || (f->nnames == 1 && rng_chance(&w->rng, 50)))
		return;
	before_loss(w, f);
	unsigned n = rng_below(&w->rng, f->nnames);
	memcpy(name, f->names[n], NAME_ROOM);
	struct note *log = note(w, f, "unlink", 0, 0);
	(void)snprintf(log->detail, sizeof(log->detail), "%s", name);
	log->result = unlinkat(opt.dir, name, 0);
	if (log->result < 0)
		fail_call(w, f, "unlink");
	forget_name(w, f, n);
	check_absent(w, f, name);
}

const struct op ops_name[] = {
    {"open", 20, op_open},	    {"close", 20, op_close},
    {"close_all", 6, op_close_all}, {"stat", 50, op_stat},
    {"whole", 8, op_whole},	    {"rename", 12, op_rename},
    {"exchange", 4, op_exchange},   {"link", 8, op_link},
    {"unlink", 10, op_unlink},	    {NULL, 0, NULL},
};
