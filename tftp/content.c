/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Contents that need no tree: generated text and plain files of the server.
 */
#include "tftp/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "pieces.h"
#include "tftp/limits.h"

void cow_tftp_content_free(struct cow_tftp_content *c)
{
	if (c)
		c->free(c);
}

struct memory_content {
	struct cow_tftp_content base;
	char *buf;
};

static int memory_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	struct memory_content *m = (struct memory_content *)c;

	if (off > c->size || len > c->size - off)
		return -EIO;
	memcpy(buf, m->buf + off, len);
	return 0;
}

static void memory_free(struct cow_tftp_content *c)
{
	free(((struct memory_content *)c)->buf);
	free(c);
}

int cow_tftp_content_memory(char *buf, size_t len, struct cow_tftp_content **ret)
{
	struct memory_content *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->base = (struct cow_tftp_content){.size = len,
					    .in_memory = true,
					    .settled = true,
					    .read = memory_read,
					    .free = memory_free};
	m->buf = buf;
	*ret = &m->base;
	return 0;
}

int cow_tftp_content_copy(struct cow_tftp_content **c, uint64_t max)
{
	struct cow_tftp_content *copy = NULL;

	if ((*c)->size > max)
		return -EFBIG;
	size_t len = (size_t)(*c)->size;
	cow_autofree char *buf = malloc(len + 1);
	int r = buf ? (*c)->read(*c, buf, len, 0) : -ENOMEM;

	if (r == 0)
		r = cow_tftp_content_memory(buf, len, &copy);
	if (r < 0)
		return r;
	(void)cow_steal_ptr(&buf); /* the copy's */
	cow_tftp_content_free(*c);
	*c = copy;
	return 0;
}

struct fd_content {
	struct cow_tftp_content base;
	int fd;
};

static int fd_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	ssize_t n = cow_pread_full(((struct fd_content *)c)->fd, buf, len, (off_t)off);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EIO; /* it shrank under us */
}

static void fd_free(struct cow_tftp_content *c)
{
	(void)close(((struct fd_content *)c)->fd); /* opened for reading: nothing to lose */
	free(c);
}

int cow_tftp_content_fd(int fd, uint64_t size, struct cow_tftp_content **ret)
{
	struct fd_content *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->base = (struct cow_tftp_content){.size = size, .read = fd_read, .free = fd_free};
	f->fd = fd;
	*ret = &f->base;
	return 0;
}

struct buffered_content {
	struct cow_tftp_content base;
	struct cow_tftp_content *inner;
	struct cow_tftp_piece *piece; /* NULL before the first block */
};

static int move_to(struct buffered_content *b, uint64_t off)
{
	cow_tftp_piece_put(b->piece);
	b->piece = NULL;
	return cow_tftp_piece_get(b->inner, off, &b->piece);
}

static int buffered_read(struct cow_tftp_content *c, void *buf, size_t len, uint64_t off)
{
	struct buffered_content *b = (struct buffered_content *)c;

	while (len > 0) {
		const struct cow_tftp_piece *p = b->piece;

		if (!p || off < p->at || off >= p->at + p->len) {
			int r = move_to(b, off);

			if (r < 0)
				return r;
			p = b->piece;
		}
		size_t there = (size_t)(p->at + p->len - off), n = len < there ? len : there;

		memcpy(buf, p->data + (off - p->at), n);
		buf = (uint8_t *)buf + n;
		off += n;
		len -= n;
	}
	return 0;
}

static void buffered_free(struct cow_tftp_content *c)
{
	struct buffered_content *b = (struct buffered_content *)c;

	cow_tftp_piece_put(b->piece); /* before the file it is of */
	cow_tftp_content_free(b->inner);
	free(b);
}

int cow_tftp_content_buffered(struct cow_tftp_content **c)
{
	struct buffered_content *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->base = (struct cow_tftp_content){
	    .size = (*c)->size, .read = buffered_read, .free = buffered_free};
	b->inner = *c;
	*c = &b->base;
	return 0;
}

/* Source: RFC 764, "The NVT printer and keyboard"; RFC 1350 section 1. */
static size_t to_netascii(const char *in, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (in[i] == '\n')
			out[n++] = '\r';
		out[n++] = in[i];
		if (in[i] == '\r')
			out[n++] = '\0';
	}
	return n;
}

static int read_as_netascii(struct cow_tftp_content *c, struct cow_tftp_content **ret)
{
	if (c->size > COW_TFTP_NETASCII_MAX)
		return -EFBIG;

	size_t len = (size_t)c->size;
	cow_autofree char *in = malloc(len + 1);
	cow_autofree char *out = malloc(2 * len + 1);
	int r = in && out ? c->read(c, in, len, 0) : -ENOMEM;

	if (r == 0)
		r = cow_tftp_content_memory(out, to_netascii(in, len, out), ret);
	if (r == 0)
		(void)cow_steal_ptr(&out); /* the content's */
	return r;
}

int cow_tftp_content_netascii(struct cow_tftp_content **c)
{
	struct cow_tftp_content *plain = *c;
	int r = read_as_netascii(plain, c);

	cow_tftp_content_free(plain);
	return r;
}
