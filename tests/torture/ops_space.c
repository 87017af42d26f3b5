/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Operations on size and space, mappings, and what makes caches let go: truncation, fallocate,
 * holes, mmap, fsync, fadvise, drop_caches.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define PAGE 4096u

static uint64_t pick_size(struct worker *w, const struct file *f)
{
	uint64_t size = f->size + rng_below(&w->rng, 20000);
	switch (rng_below(&w->rng, 5)) {
	case 0:
		return rng_chance(&w->rng, 30) ? 0 : rng_below(&w->rng, FILE_MAX / 4);
	case 1:
		size = rng_below(&w->rng, FILE_MAX) & ~(PAGE - 1);
		break;
	default: /* some bytes more or less */
		size = size < 10000 ? 0 : size - 10000;
	}
	return size > FILE_MAX ? FILE_MAX : size;
}

static void op_truncate(struct worker *w, struct file *f)
{
	char path[4096];
	uint64_t size = pick_size(w, f);
	if (f->nnames == 0)
		return;
	before_change(w, f);
	(void)snprintf(path, sizeof(path), "%s/%s", opt.path,
		       f->names[rng_below(&w->rng, f->nnames)]);
	struct note *n = note(w, f, "truncate", 0, size);
	n->result = truncate(path, (off_t)size);
	if (n->result < 0)
		fail_call(w, f, "truncate");
	model_resize(f, size);
}

static void op_ftruncate(struct worker *w, struct file *f)
{
	uint64_t size = pick_size(w, f);
	struct slot *s = slot_for(w, f, NEED_WRITE);
	struct note *n = note(w, f, "ftruncate", 0, size);
	n->result = ftruncate(s->fd, (off_t)size);
	if (n->result < 0)
		fail_call(w, f, "ftruncate");
	model_resize(f, size);
}

static void op_open_trunc(struct worker *w, struct file *f)
{
	if (f->nnames > 0)
		(void)slot_open(w, f, O_TRUNC | (rng_chance(&w->rng, 50) ? O_RDWR : O_WRONLY));
}

/* ---------------------------------------------------------------- fallocate, holes */

static void op_fallocate(struct worker *w, struct file *f)
{
	static const struct {
		const char *name;
		int mode;
	} kinds[] = {
	    {"fallocate", 0},
	    {"fallocate keep size", FALLOC_FL_KEEP_SIZE},
	    {"punch hole", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
	    {"zero range", FALLOC_FL_ZERO_RANGE},
	    {"zero range keep size", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	};
	static bool refused[sizeof(kinds) / sizeof(*kinds)];
	unsigned k = rng_below(&w->rng, sizeof(kinds) / sizeof(*kinds));
	uint64_t off;
	size_t len;
	struct slot *s = slot_for(w, f, NEED_WRITE);
	(void)pick_range(w, f, FILE_MAX, &off, &len);
	if (refused[k])
		return;
	struct note *n = note(w, f, kinds[k].name, off, len);
	n->result = fallocate(s->fd, kinds[k].mode, (off_t)off, (off_t)len);
	if (n->result < 0 && errno == EOPNOTSUPP) {
		(void)refused_once(&refused[k], kinds[k].name);
		return;
	}
	if (n->result < 0)
		fail_call(w, f, kinds[k].name);
	if (kinds[k].mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_zero(f, off, len);
	if (!(kinds[k].mode & FALLOC_FL_KEEP_SIZE) && off + len > f->size)
		model_resize(f, off + len);
}

/* What is called a hole has to be zero; the end is found. */
static void op_seek(struct worker *w, struct file *f)
{
	struct slot *s = slot_for(w, f, NEED_READ);
	if (f->size == 0)
		return;
	uint64_t off = rng_below(&w->rng, (unsigned)f->size);
	struct note *n = note(w, f, "seek data", off, 0);
	off_t data = lseek(s->fd, (off_t)off, SEEK_DATA);
	n->result = data;
	if (data < 0 && errno != ENXIO)
		fail_call(w, f, "seek data");
	uint64_t end = data < 0 ? f->size : (uint64_t)data;
	if (end < off || end > f->size)
		fail(w, f, "data at %lld, looked from %llu", (long long)data,
		     (unsigned long long)off);
	for (uint64_t k = off; k < end; k++)
		if (f->data[k])
			fail(w, f, "no data before %llu, but a byte %u at %llu",
			     (unsigned long long)end, f->data[k], (unsigned long long)k);
	if (data < 0)
		return;
	off_t hole = lseek(s->fd, data, SEEK_HOLE);
	if (hole < 0)
		fail_call(w, f, "seek hole");
	if (hole <= data || (uint64_t)hole > f->size)
		fail(w, f, "hole at %lld behind data at %lld", (long long)hole, (long long)data);
}

/* ---------------------------------------------------------------- mappings */

static void op_mmap(struct worker *w, struct file *f)
{
	bool writable = rng_chance(&w->rng, 60);
	struct slot *s = slot_for(w, f, writable ? NEED_MAP_WRITE : NEED_READ);
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	map_drop(w, f);
	uint64_t off = rng_below(&w->rng, (unsigned)(f->size / PAGE + 1)) * (uint64_t)PAGE;
	size_t len = (size_t)PAGE * (1 + rng_below(&w->rng, 40));
	struct note *n = note(w, f, writable ? "mmap rw" : "mmap r", off, len);
	void *p = mmap(NULL, len, prot, MAP_SHARED, s->fd, (off_t)off);
	n->result = p == MAP_FAILED ? -1 : 0;
	if (p == MAP_FAILED)
		fail_call(w, f, "mmap");
	f->map = (struct map){p, off, len, writable};
}

/* Part of the mapping that is in the file. */
static bool pick_mapped(struct worker *w, struct file *f, uint64_t *off, size_t *len)
{
	if (!f->map.p || f->size <= f->map.off)
		return false;
	uint64_t end = f->map.off + f->map.len;
	if (end > f->size)
		end = f->size;
	unsigned room = (unsigned)(end - f->map.off);
	*off = f->map.off + rng_below(&w->rng, room);
	*len = 1 + rng_below(&w->rng, rng_chance(&w->rng, 50) ? 300 : IO_LEN_MAX);
	if (*len > end - *off)
		*len = end - *off;
	return true;
}

static void op_map_read(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	if (!pick_mapped(w, f, &off, &len)) {
		op_mmap(w, f);
		if (!pick_mapped(w, f, &off, &len))
			return;
	}
	(void)note(w, f, "map read", off, len);
	memcpy(w->buf, f->map.p + (off - f->map.off), len);
	check_bytes(w, f, w->buf, off, len, "mapping");
}

static void op_map_write(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	if (!f->map.p || !f->map.writable)
		op_mmap(w, f);
	if (!f->map.writable || !pick_mapped(w, f, &off, &len))
		return;
	fill_random(w, w->buf, len);
	struct note *n = note(w, f, "map write", off, len);
	memcpy(f->map.p + (off - f->map.off), w->buf, len);
	model_write(f, w->buf, off, len);
	unsigned how = rng_below(&w->rng, 10);
	if (how > 2)
		return;
	(void)snprintf(n->detail, sizeof(n->detail), how ? "msync async" : "msync");
	if (msync(f->map.p, f->map.len, how ? MS_ASYNC : MS_SYNC) < 0)
		fail_call(w, f, "msync");
}

static void op_munmap(struct worker *w, struct file *f)
{
	map_drop(w, f);
}

/* ---------------------------------------------------------------- caches */

static void op_fsync(struct worker *w, struct file *f)
{
	bool data = rng_chance(&w->rng, 50);
	struct slot *s = slot_for(w, f, rng_chance(&w->rng, 50) ? NEED_WRITE : NEED_READ);
	struct note *n = note(w, f, data ? "fdatasync" : "fsync", 0, 0);
	n->result = data ? fdatasync(s->fd) : fsync(s->fd);
	if (n->result < 0)
		fail_call(w, f, n->what);
}

static void op_forget(struct worker *w, struct file *f)
{
	struct slot *s = slot_for(w, f, NEED_READ);
	(void)note(w, f, "fadvise dontneed", 0, 0);
	if (posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		fail(w, f, "posix_fadvise failed");
}

const struct op ops_space[] = {
    {"truncate", 25, op_truncate},
    {"ftruncate", 35, op_ftruncate},
    {"open_trunc", 3, op_open_trunc},
    {"fallocate", 50, op_fallocate},
    {"seek", 20, op_seek},
    {"mmap", 15, op_mmap},
    {"map_read", 60, op_map_read},
    {"map_write", 60, op_map_write},
    {"munmap", 8, op_munmap},
    {"fsync", 6, op_fsync},
    {"forget", 12, op_forget},
    {NULL, 0, NULL},
};
