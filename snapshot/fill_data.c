/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data and hard links of a tree being filled, whatever it is filled from.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/fs.h"
#include "fill.h"

#define BUF_SIZE (256u << 10)

/* ---------------------------------------------------------------- hard links */

/* First place of an object with several names. */
struct link_seen {
	uint64_t dev, id;
	char *path;
};

static int link_cmp(const void *a, const void *b)
{
	const struct link_seen *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void link_free(void *p)
{
	struct link_seen *l = p;
	free(l->path);
	free(l);
}

int cow_fill_link_earlier(struct cow_fill_links *links, struct cow_fill *f, uint64_t dev,
			  uint64_t id, const char *path, int dst, const char *name)
{
	struct link_seen key = {.dev = dev, .id = id};
	struct link_seen **found = tfind(&key, &links->root, link_cmp);
	int r = found ? cow_fill_room(f, dst, name) : 0;
	if (r < 0)
		return r;
	if (found && linkat(f->tree, (*found)->path, dst, name, 0) == 0)
		return 1;
	if (found && errno != ENOENT)
		return -errno;
	if (found) { /* the first name was gone before it could be made: this one is the first */
		char *again = strdup(path);
		if (!again)
			return -ENOMEM;
		free((*found)->path);
		(*found)->path = again;
		return 0;
	}

	struct link_seen *l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = key;
	l->path = strdup(path);
	if (!l->path || !tsearch(l, &links->root, link_cmp)) {
		link_free(l);
		return -ENOMEM;
	}
	return 0;
}

void cow_fill_links_done(struct cow_fill_links *links)
{
	tdestroy(links->root, link_free);
	links->root = NULL;
}

/* ---------------------------------------------------------------- data */

int cow_fill_copier_init(struct cow_fill_copier *c, struct cow_fill *f)
{
	*c = (struct cow_fill_copier){.f = f, .buf = malloc(BUF_SIZE)};
	return c->buf ? 0 : -ENOMEM;
}

void cow_fill_copier_done(struct cow_fill_copier *c)
{
	free(c->buf);
	c->buf = NULL;
}

int cow_fill_range(struct cow_fill_copier *c, int src, off_t from, struct cow_fill_out *dst,
		   off_t to, uint64_t len)
{
	while (len) {
		size_t want = len < BUF_SIZE ? (size_t)len : BUF_SIZE;
		ssize_t n = cow_pread_full(src, c->buf, want, from);
		if (n <= 0)
			return (int)n; /* 0: it has shrunk under us */
		int r = cow_fill_out_write(dst, c->buf, (size_t)n, to);
		if (r < 0)
			return r;
		from += n;
		to += n;
		len -= (uint64_t)n;
		c->f->bytes += (uint64_t)n;
		r = cow_fill_progress(c->f);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_range(struct cow_fill_copier *c, int src, int dst, off_t off, off_t end)
{
	struct cow_fill_out out = {.fd = dst, .twin = -1};
	return off < end ? cow_fill_range(c, src, off, &out, off, (uint64_t)(end - off)) : 0;
}

static int copy_sparse(struct cow_fill_copier *c, int src, int dst, off_t size)
{
	for (off_t off = 0; off < size;) {
		off_t data = lseek(src, off, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		if (data < 0)
			return -errno;
		off_t hole = lseek(src, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		int r = copy_range(c, src, dst, data, hole < size ? hole : size);
		if (r < 0)
			return r;
		off = hole;
	}
	return ftruncate(dst, size) < 0 ? -errno : 0;
}

int cow_fill_data(struct cow_fill_copier *c, int src, int dst, const struct stat *st)
{
	if (!c->cannot_clone && st->st_size) {
		if (ioctl(dst, FICLONE, src) == 0) {
			c->f->bytes += (uint64_t)st->st_size;
			return cow_fill_progress(c->f);
		}
		if (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOTTY)
			c->cannot_clone = 1; /* for this walk; other errors are this file's own */
	}
	if ((uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size)
		return copy_sparse(c, src, dst, st->st_size);
	return copy_range(c, src, dst, 0, st->st_size);
}

/* Holes of the source are read as zeros: what they hide is compared too. */
static int still_the_same(struct cow_fill_copier *c, int src, struct cow_fill_out *out,
			  const struct stat *st)
{
	uint64_t before = c->f->bytes;
	int r = 0;
	for (off_t off = 0; r == 0 && out->twin >= 0 && off < st->st_size;) {
		ssize_t n = cow_pread_full(src, c->buf, BUF_SIZE, off);
		if (n <= 0)
			return n < 0 ? (int)n : 0;
		r = cow_fill_out_same(out, c->buf, (size_t)n, off);
		if (r <= 0)
			break;
		off += n;
		c->f->bytes += (uint64_t)n;
		r = cow_fill_progress(c->f);
	}
	if (r == 0 && out->twin >= 0 && out->same == st->st_size)
		return 1;
	c->f->bytes = before;
	return r;
}

int cow_fill_out_data(struct cow_fill_copier *c, int src, struct cow_fill_out *out,
		      const struct stat *st)
{
	if (out->twin >= 0) {
		int r = still_the_same(c, src, out, st);
		if (r != 0)
			return r < 0 ? r : cow_fill_out_end(out, st->st_size);
		r = cow_fill_out_give_up(out);
		if (r < 0)
			return r;
	}
	int r = cow_fill_data(c, src, out->fd, st);
	return r < 0 ? r : cow_fill_out_end(out, st->st_size);
}
