/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is open on a file: some descriptors of different kinds at once, one mapping, also after the
 * last name is gone.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool can(const struct slot *s, enum need need)
{
	int mode = s->flags & O_ACCMODE;
	if (s->fd < 0)
		return false;
	switch (need) {
	case NEED_READ:
		return mode != O_WRONLY;
	case NEED_WRITE:
		return mode != O_RDONLY && !(s->flags & O_APPEND);
	case NEED_APPEND:
		return mode != O_RDONLY && (s->flags & O_APPEND);
	case NEED_MAP_WRITE:
		return mode == O_RDWR;
	}
	return false;
}

static int flags_for(struct worker *w, enum need need)
{
	int sync = rng_chance(&w->rng, 2) ? O_DSYNC : 0;
	switch (need) {
	case NEED_READ:
		return rng_chance(&w->rng, 60) ? O_RDONLY : O_RDWR;
	case NEED_WRITE:
		return sync | (rng_chance(&w->rng, 40) ? O_WRONLY : O_RDWR);
	case NEED_APPEND:
		return sync | O_APPEND | (rng_chance(&w->rng, 50) ? O_WRONLY : O_RDWR);
	case NEED_MAP_WRITE:
		break;
	}
	return O_RDWR;
}

unsigned slot_count(const struct file *f)
{
	unsigned n = 0;
	for (unsigned k = 0; k < SLOTS; k++)
		n += f->slots[k].fd >= 0;
	return n;
}

void slot_close(struct worker *w, struct file *f, struct slot *s)
{
	int fd = s->fd;
	s->fd = -1;
	note(w, f, "close", 0, 0)->result = fd;
	if (close(fd) < 0)
		fail_call(w, f, "close");
}

void slot_close_all(struct worker *w, struct file *f)
{
	for (unsigned k = 0; k < SLOTS; k++)
		if (f->slots[k].fd >= 0)
			slot_close(w, f, &f->slots[k]);
}

void map_drop(struct worker *w, struct file *f)
{
	if (!f->map.p)
		return;
	note(w, f, "munmap", f->map.off, f->map.len);
	if (munmap(f->map.p, f->map.len) < 0)
		fail_call(w, f, "munmap");
	f->map.p = NULL;
}

void before_change(struct worker *w, struct file *f)
{
	bool lower = f->lower;
	f->lower = false;
	if (!lower || !opt.tolerant)
		return;
	map_drop(w, f);
	for (unsigned k = 0; k < SLOTS; k++)
		if (f->slots[k].fd >= 0)
			slot_close(w, f, &f->slots[k]);
}

/* Any descriptor of a file without a name leads to it, but the last one must not be given up. */
static struct slot *slot_free(struct worker *w, struct file *f)
{
	for (unsigned k = 0; k < SLOTS; k++)
		if (f->slots[k].fd < 0)
			return &f->slots[k];
	struct slot *s = &f->slots[rng_below(&w->rng, SLOTS)];
	slot_close(w, f, s);
	return s;
}

static struct slot *slot_any(struct file *f)
{
	for (unsigned k = 0; k < SLOTS; k++)
		if (f->slots[k].fd >= 0)
			return &f->slots[k];
	return NULL;
}

struct slot *slot_open(struct worker *w, struct file *f, int flags)
{
	char proc[32];
	const char *path = proc;
	int at = AT_FDCWD;
	if ((flags & O_ACCMODE) != O_RDONLY)
		before_change(w, f);
	struct slot *s = slot_free(w, f);
	if (f->nnames > 0) {
		path = f->names[rng_below(&w->rng, f->nnames)];
		at = opt.dir;
	} else {
		(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", slot_any(f)->fd);
	}
	struct note *n = note(w, f, "open", 0, 0);
	(void)snprintf(n->detail, sizeof(n->detail), "%s%s%s%s%s",
		       (flags & O_ACCMODE) == O_RDONLY	 ? "r"
		       : (flags & O_ACCMODE) == O_WRONLY ? "w"
							 : "rw",
		       flags & O_APPEND ? " append" : "", flags & O_DSYNC ? " dsync" : "",
		       flags & O_TRUNC ? " trunc" : "", f->nnames ? "" : " nameless");
	int fd = openat(at, path, flags | O_CLOEXEC);
	n->result = fd;
	if (fd < 0)
		fail_call(w, f, "open");
	s->fd = fd;
	s->flags = flags;
	if (flags & O_TRUNC)
		model_resize(f, 0);
	return s;
}

struct slot *slot_for(struct worker *w, struct file *f, enum need need)
{
	struct slot *fit[SLOTS];
	unsigned n = 0;
	for (unsigned k = 0; k < SLOTS; k++)
		if (can(&f->slots[k], need))
			fit[n++] = &f->slots[k];
	if (n > 0 && !rng_chance(&w->rng, 3))
		return fit[rng_below(&w->rng, n)];
	return slot_open(w, f, flags_for(w, need));
}

void file_create(struct worker *w, struct file *f)
{
	char name[NAME_ROOM];
	int fd = -1;
	for (unsigned tries = 0; fd < 0; tries++) {
		pool_name(name, w->number, rng_below(&w->rng, pool_size()));
		fd = openat(opt.dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 && (errno != EEXIST || tries > 1000))
			fail_call(w, f, "create");
	}
	struct note *n = note(w, f, "create", 0, 0);
	(void)snprintf(n->detail, sizeof(n->detail), "%s", name);
	memcpy(f->names[0], name, NAME_ROOM);
	f->nnames = 1;
	f->lower = false;
	model_resize(f, 0);
	f->slots[0] = (struct slot){fd, O_RDWR};
}
