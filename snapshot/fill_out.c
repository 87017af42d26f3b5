/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A file being made that the version before may have already: what comes is compared with that file first, and
 * written only from the first difference on. So a version that differs little is made without writing
 * what is there, and a damaged file below does not get into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fs.h"
#include "fill.h"

#define BUF_SIZE (64u << 10)

static int make(struct cow_fill_out *o)
{
	int fd = cow_fill_base_reuse(o->f, o->dir, o->name, 0);
	o->reused = fd >= 0;
	if (fd == -ENOENT) {
		int r = cow_fill_room(o->f, o->dir, o->name);
		fd = r < 0 ? r : cow_fill_file(o->dir, o->name);
	}
	if (fd < 0)
		return fd;
	o->fd = fd;
	return 0;
}

int cow_fill_out_begin(struct cow_fill *f, int dir, const char *name, const char *path,
		       const struct cow_meta *m, uint64_t size, struct cow_fill_out *ret)
{
	*ret = (struct cow_fill_out){.f = f, .dir = dir, .name = name, .fd = -1, .twin = -1};
	ret->twin = cow_fill_base_file(f, dir, name, m, size, &ret->there);
	if (ret->twin >= 0) {
		ret->number = f->share ? cow_ovl_share_number(f->share, path) : 0;
		return 0;
	}
	if (!f->share || !m || size == 0)
		return make(ret);
	const struct cow_ovl_twin like = {
	    .mode = m->mode,
	    .uid = m->uid,
	    .gid = m->gid,
	    .size = size,
	    .mtime = m->times[1],
	};
	/* One that cannot be opened has no twin; why, the next who reads the image will say. */
	ret->twin = cow_ovl_share_twin(f->share, path, &like, &ret->number);
	return ret->twin < 0 ? make(ret) : 0;
}

void cow_fill_out_done(struct cow_fill_out *o)
{
	if (o->fd >= 0)
		(void)close(o->fd); /* what counts is synced later */
	if (o->twin >= 0)
		(void)close(o->twin);
	o->fd = o->twin = -1;
}

/* ---------------------------------------------------------------- comparing */

/* @buf NULL: zeros. 1, 0 or -errno */
static int same_range(const struct cow_fill_out *o, const char *buf, size_t len, off_t off)
{
	static const char zeros[BUF_SIZE];
	char mine[BUF_SIZE];
	while (len) {
		size_t want = len < sizeof(mine) ? len : sizeof(mine);
		ssize_t n = cow_pread_full(o->twin, mine, want, off);
		if (n == -EIO)
			return 0;
		if (n < 0)
			return (int)n;
		if ((size_t)n != want || memcmp(mine, buf ? buf : zeros, want) != 0)
			return 0;
		buf = buf ? buf + want : NULL;
		off += n;
		len -= want;
	}
	return 1;
}

int cow_fill_out_same(struct cow_fill_out *o, const void *buf, size_t len, off_t off)
{
	int r = off < o->same ? 0 : 1;
	if (r > 0 && off > o->same)
		r = same_range(o, NULL, (size_t)(off - o->same), o->same);
	if (r > 0)
		r = same_range(o, buf, len, off);
	if (r > 0)
		o->same = off + (off_t)len;
	return r;
}

/* ---------------------------------------------------------------- writing after all */

int cow_fill_out_give_up(struct cow_fill_out *o)
{
	(void)close(o->twin); /* only read */
	o->twin = -1;
	return make(o);
}

/* What was the same so far; zeros become holes, as most of them were. */
static int copy_same(int from, int to, off_t end)
{
	static const char zeros[BUF_SIZE];
	char buf[BUF_SIZE];
	for (off_t off = 0; off < end;) {
		size_t want = end - off < (off_t)sizeof(buf) ? (size_t)(end - off) : sizeof(buf);
		ssize_t n = cow_pread_full(from, buf, want, off);
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		int r = memcmp(buf, zeros, (size_t)n) == 0
			    ? 0
			    : cow_pwrite_full(to, buf, (size_t)n, off);
		if (r < 0)
			return r;
		off += n;
	}
	return 0;
}

static int diverge(struct cow_fill_out *o)
{
	cow_autoclose int twin = o->twin;
	o->twin = -1;
	int fd = o->there.ino ? cow_fill_base_reuse(o->f, o->dir, o->name, o->same) : -ENOENT;
	if (fd >= 0) {
		o->fd = fd;
		o->reused = 1;
	}
	if (fd != -ENOENT)
		return fd < 0 ? fd : 0;
	int r = make(o);
	return r < 0 ? r : copy_same(twin, o->fd, o->same);
}

int cow_fill_out_write(struct cow_fill_out *o, const void *buf, size_t len, off_t off)
{
	int r = o->twin >= 0 ? cow_fill_out_same(o, buf, len, off) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	r = o->twin >= 0 ? diverge(o) : 0;
	return r < 0 ? r : cow_pwrite_full(o->fd, buf, len, off);
}

/* ---------------------------------------------------------------- the end */

/* The file stays where it is: nothing was written, and what attributes it lacks its descriptor can set. */
static int take_over(struct cow_fill_out *o)
{
	int r = cow_fill_base_take(o->f, &o->there, o->twin);
	if (r < 0)
		return r;
	o->fd = o->twin;
	o->twin = -1;
	if (o->number)
		cow_ovl_share_took(o->f->share, o->number);
	return r;
}

/* Between subvolumes, and when a file has all the links it can have, there is no link. */
static int take_link(struct cow_fill_out *o)
{
	int r = cow_fill_room(o->f, o->dir, o->name);
	if (r < 0)
		return r;
	if (linkat(o->twin, "", o->dir, o->name, AT_EMPTY_PATH) == 0) {
		cow_ovl_share_took(o->f->share, o->number);
		return 1;
	}
	return errno == EXDEV || errno == EOPNOTSUPP || errno == EMLINK || errno == EPERM ? 0
											  : -errno;
}

static int take_clone(struct cow_fill_out *o)
{
	cow_autoclose int twin = o->twin;
	o->twin = -1;
	int r = make(o);
	if (r < 0)
		return r;
	if (ioctl(o->fd, FICLONE, twin) < 0)
		return copy_same(twin, o->fd, o->same);
	cow_ovl_share_took(o->f->share, o->number);
	return 0;
}

/* All that came was the same. Return: 1, 0 or -errno */
static int is_twin(struct cow_fill_out *o, off_t size)
{
	int r = o->same < size ? same_range(o, NULL, (size_t)(size - o->same), o->same) : 1;
	if (r > 0)
		o->same = size;
	return r;
}

/*
 * A file with holes gets an inode of its own: a btrfs stream knows no holes in one that has lost data, and sends
 * all of them as zeros.
 */
static int part_holes(struct cow_fill_out *o, off_t size)
{
	off_t hole = size > 0 ? lseek(o->fd, 0, SEEK_HOLE) : 0;
	if (hole < 0)
		return -errno;
	if (hole >= size)
		return 0;
	cow_autoclose int before = o->fd;
	o->fd = -1;
	if (unlinkat(o->dir, o->name, 0) < 0)
		return -errno;
	int fd = cow_fill_file(o->dir, o->name);
	if (fd < 0)
		return fd;
	o->fd = fd;
	return ioctl(fd, FICLONE, before) < 0 ? -errno : 0;
}

int cow_fill_out_end(struct cow_fill_out *o, off_t size)
{
	int r = o->twin >= 0 ? is_twin(o, size) : 0;
	if (r > 0 && o->there.ino) {
		r = take_over(o);
		if (r != -ENOENT)
			return r;
		r = 0;
	}
	if (r > 0) {
		r = take_link(o);
		if (r != 0)
			return r;
		r = take_clone(o);
	} else if (r == 0 && o->twin >= 0) {
		r = diverge(o);
	}
	if (r == 0 && ftruncate(o->fd, size) < 0)
		r = -errno;
	return r == 0 && o->reused ? part_holes(o, size) : r;
}
