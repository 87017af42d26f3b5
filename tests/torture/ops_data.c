/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Operations that read and write: at offsets, at the position, in vectors, at the end, from file to
 * file.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#define VECTORS 5

void fill_random(struct worker *w, uint8_t *buf, size_t len)
{
	for (size_t k = 0; k < len; k += 8) {
		uint64_t v = rng_next(&w->rng);
		memcpy(buf + k, &v, len - k < 8 ? len - k : 8);
	}
}

/* 1..IO_LEN_MAX, small ones as often as large ones. */
static size_t pick_len(struct worker *w)
{
	size_t len = (size_t)1 << rng_below(&w->rng, 18);
	switch (rng_below(&w->rng, 4)) {
	case 0:
		return len > IO_LEN_MAX ? IO_LEN_MAX : len;
	case 1:
		return (size_t)4096 * (1 + rng_below(&w->rng, 16));
	default:
		return 1 + rng_below(&w->rng, len > IO_LEN_MAX ? IO_LEN_MAX : (unsigned)len);
	}
}

static uint64_t pick_off(struct worker *w, const struct file *f, uint64_t limit)
{
	uint64_t off = rng_below(&w->rng, (unsigned)limit);
	switch (rng_below(&w->rng, 6)) {
	case 0:
		return off & ~(uint64_t)4095;
	case 1: /* around the edge of a page */
		off = (off & ~(uint64_t)4095) + rng_below(&w->rng, 9);
		return off < 4 ? 0 : off - 4;
	case 2: /* around the end */
		off = f->size + rng_below(&w->rng, 17);
		return off < 8 ? 0 : off - 8;
	case 3: /* not far behind it */
		return f->size + rng_below(&w->rng, 3 * 4096);
	default:
		return off;
	}
}

bool pick_range(struct worker *w, const struct file *f, uint64_t limit, uint64_t *off, size_t *len)
{
	if (limit == 0)
		return false;
	*off = pick_off(w, f, limit);
	*len = pick_len(w);
	if (*off >= limit)
		*off = rng_below(&w->rng, (unsigned)limit);
	if (*len > limit - *off)
		*len = limit - *off;
	return true;
}

/* Room for reads: mostly in the file. */
static uint64_t reading_limit(struct worker *w, const struct file *f)
{
	return f->size == 0 || rng_chance(&w->rng, 15) ? FILE_MAX : f->size;
}

/* Files grow step by step and seldom to the full. */
static uint64_t writing_limit(struct worker *w, const struct file *f)
{
	if (rng_chance(&w->rng, 5) || f->size > FILE_MAX - 65536)
		return FILE_MAX;
	return f->size > FILE_MAX / 2 && rng_chance(&w->rng, 80) ? f->size : f->size + 65536;
}

static size_t expected(const struct file *f, uint64_t off, size_t len)
{
	if (off >= f->size)
		return 0;
	return f->size - off < len ? f->size - off : len;
}

static void check_read(struct worker *w, struct file *f, uint64_t off, size_t len, ssize_t n,
		       const char *how)
{
	if (n < 0)
		fail_call(w, f, how);
	if ((size_t)n != expected(f, off, len))
		fail(w, f, "%s at %llu: expected %zu bytes, got %zd", how, (unsigned long long)off,
		     expected(f, off, len), n);
	check_bytes(w, f, w->buf, off, (size_t)n, how);
}

static void op_pread(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	struct slot *s = slot_for(w, f, NEED_READ);
	(void)pick_range(w, f, reading_limit(w, f), &off, &len);
	struct note *n = note(w, f, "pread", off, len);
	n->result = pread(s->fd, w->buf, len, (off_t)off);
	check_read(w, f, off, len, n->result, "pread");
}

static unsigned split(struct worker *w, struct iovec iov[VECTORS], size_t len)
{
	unsigned n = 0;
	uint8_t *at = w->buf;
	while (n < VECTORS - 1 && len > 1) {
		size_t part = 1 + rng_below(&w->rng, (unsigned)len - 1);
		iov[n++] = (struct iovec){at, part};
		at += part;
		len -= part;
	}
	iov[n++] = (struct iovec){at, len};
	return n;
}

static void seek_to(struct worker *w, struct file *f, const struct slot *s, uint64_t off)
{
	if (lseek(s->fd, (off_t)off, SEEK_SET) != (off_t)off)
		fail_call(w, f, "lseek");
}

static void op_readv(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	struct iovec iov[VECTORS];
	struct slot *s = slot_for(w, f, NEED_READ);
	(void)pick_range(w, f, reading_limit(w, f), &off, &len);
	unsigned parts = split(w, iov, len);
	struct note *n = note(w, f, "readv", off, len);
	seek_to(w, f, s, off);
	n->result = readv(s->fd, iov, (int)parts);
	check_read(w, f, off, len, n->result, "readv");
	if (lseek(s->fd, 0, SEEK_CUR) != (off_t)(off + (uint64_t)n->result))
		fail(w, f, "position after readv is wrong");
}

static void check_written(struct worker *w, struct file *f, ssize_t n, size_t len, const char *how)
{
	if (n < 0)
		fail_call(w, f, how);
	if ((size_t)n != len)
		fail(w, f, "%s took %zd of %zu bytes", how, n, len);
}

/* Where a write really goes: beside its place when it is one of those made wrong on purpose. */
static uint64_t place(struct worker *w, uint64_t off)
{
	return opt.inject && ++w->writes % opt.inject == 0 ? off + 1 : off;
}

static void op_pwrite(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	struct slot *s = slot_for(w, f, NEED_WRITE);
	(void)pick_range(w, f, writing_limit(w, f), &off, &len);
	fill_random(w, w->buf, len);
	struct note *n = note(w, f, "pwrite", off, len);
	n->result = pwrite(s->fd, w->buf, len, (off_t)place(w, off));
	check_written(w, f, n->result, len, "pwrite");
	model_write(f, w->buf, off, len);
}

static void op_writev(struct worker *w, struct file *f)
{
	uint64_t off;
	size_t len;
	struct iovec iov[VECTORS];
	struct slot *s = slot_for(w, f, NEED_WRITE);
	(void)pick_range(w, f, writing_limit(w, f), &off, &len);
	fill_random(w, w->buf, len);
	unsigned parts = split(w, iov, len);
	struct note *n = note(w, f, "writev", off, len);
	seek_to(w, f, s, off);
	n->result = writev(s->fd, iov, (int)parts);
	check_written(w, f, n->result, len, "writev");
	model_write(f, w->buf, off, len);
}

/* pwrite(2) on such a descriptor appends too, whatever its offset. */
static void op_append(struct worker *w, struct file *f)
{
	size_t len = 1 + rng_below(&w->rng, 9000);
	if (len > FILE_MAX - f->size)
		return;
	struct slot *s = slot_for(w, f, NEED_APPEND);
	fill_random(w, w->buf, len);
	struct note *n = note(w, f, "append", f->size, len);
	n->result =
	    rng_chance(&w->rng, 30) ? pwrite(s->fd, w->buf, len, 0) : write(s->fd, w->buf, len);
	check_written(w, f, n->result, len, "append");
	model_write(f, w->buf, f->size, len);
}

/* ---------------------------------------------------------------- file to file */

/* A file to take data from, perhaps the same; a range of it and a place in @f that do not overlap. */
static struct file *pick_source(struct worker *w, struct file *f, uint64_t *from, uint64_t *to,
				size_t *len)
{
	struct file *src = &w->files[rng_below(&w->rng, opt.nfiles)];
	size_t room;
	if (src->nnames == 0 && slot_count(src) == 0)
		src = f;
	if (!pick_range(w, src, reading_limit(w, src), from, len) ||
	    !pick_range(w, f, writing_limit(w, f), to, &room))
		return NULL;
	if (*len > FILE_MAX - *to)
		*len = FILE_MAX - *to;
	uint64_t gap = *from > *to ? *from - *to : *to - *from;
	if (src == f && *len > gap)
		*len = gap;
	return *len ? src : NULL;
}

static void copied(struct worker *w, struct file *f, struct file *src, uint64_t from, uint64_t to,
		   size_t len, ssize_t n, const char *how)
{
	size_t want = expected(src, from, len);
	if (n < 0)
		fail_call(w, f, how);
	/* Less than asked is allowed, nothing is not. */
	if ((size_t)n > want || (n == 0 && want > 0))
		fail(w, f, "%s: expected %zu bytes, got %zd", how, want, n);
	if (n > 0)
		model_write(f, src->data + from, to, (uint64_t)n);
}

static void op_copy_range(struct worker *w, struct file *f)
{
	static bool refused;
	uint64_t from, to;
	size_t len;
	struct file *src = pick_source(w, f, &from, &to, &len);
	if (!src || refused)
		return;
	struct slot *out = slot_for(w, f, NEED_WRITE);
	struct slot *in = slot_for(w, src, NEED_READ);
	if (out->fd < 0 || !(out->flags & O_ACCMODE)) /* its place was needed for the other */
		return;
	off_t from_off = (off_t)from, to_off = (off_t)to;
	struct note *n = note(w, f, "copy_range", to, len);
	n->result = copy_file_range(in->fd, &from_off, out->fd, &to_off, len, 0);
	if (n->result < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
		(void)refused_once(&refused, "copy_file_range");
		return;
	}
	copied(w, f, src, from, to, len, n->result, "copy_file_range");
}

static void op_sendfile(struct worker *w, struct file *f)
{
	uint64_t from, to;
	size_t len;
	struct file *src = pick_source(w, f, &from, &to, &len);
	if (!src || src == f)
		return;
	struct slot *out = slot_for(w, f, NEED_WRITE);
	struct slot *in = slot_for(w, src, NEED_READ);
	off_t from_off = (off_t)from;
	struct note *n = note(w, f, "sendfile", to, len);
	seek_to(w, f, out, to);
	n->result = sendfile(out->fd, in->fd, &from_off, len);
	copied(w, f, src, from, to, len, n->result, "sendfile");
}

const struct op ops_data[] = {
    {"pread", 220, op_pread},	   {"readv", 60, op_readv},   {"pwrite", 170, op_pwrite},
    {"writev", 50, op_writev},	   {"append", 50, op_append}, {"copy_range", 40, op_copy_range},
    {"sendfile", 30, op_sendfile}, {NULL, 0, NULL},
};
