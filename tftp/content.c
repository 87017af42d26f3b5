/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Contents that need no tree: generated text and plain files of the server.
 */
#include "tftp/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"

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
	m->base = (struct cow_tftp_content){.size = len, .read = memory_read, .free = memory_free};
	m->buf = buf;
	*ret = &m->base;
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
