/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See pieces.h.
 */
#include "pieces.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tftp/limits.h"

#define BUCKETS 1024u /* a class room that has fallen out of step */

static struct cow_tftp_piece *shared[BUCKETS];

static struct cow_tftp_piece **bucket_of(struct cow_tftp_file_id f, uint64_t at)
{
	uint64_t x = (f.ino * 0x9e3779b97f4a7c15u ^ f.dev) + at / COW_TFTP_PIECE;

	return &shared[x % BUCKETS];
}

static bool is_shared(struct cow_tftp_file_id f)
{
	return f.ino != 0;
}

static struct cow_tftp_piece *find(struct cow_tftp_file_id f, uint64_t at)
{
	struct cow_tftp_piece *p = *bucket_of(f, at);

	while (p && (p->at != at || p->file.ino != f.ino || p->file.dev != f.dev))
		p = p->next;
	return p;
}

static int read_piece(struct cow_tftp_content *c, uint64_t at, struct cow_tftp_piece **ret)
{
	uint64_t left = c->size - at;
	size_t len = left < COW_TFTP_PIECE ? (size_t)left : COW_TFTP_PIECE;
	struct cow_tftp_piece *p = malloc(sizeof(*p) + len);

	if (!p)
		return -ENOMEM;
	*p = (struct cow_tftp_piece){.file = c->file, .at = at, .len = len};
	int r = c->read(c, p->data, len, at);

	if (r < 0) {
		free(p);
		return r;
	}
	if (is_shared(p->file)) {
		struct cow_tftp_piece **b = bucket_of(p->file, at);

		p->next = *b;
		*b = p;
	}
	*ret = p;
	return 0;
}

int cow_tftp_piece_get(struct cow_tftp_content *c, uint64_t off, struct cow_tftp_piece **ret)
{
	uint64_t at = off - off % COW_TFTP_PIECE;
	struct cow_tftp_piece *p = is_shared(c->file) ? find(c->file, at) : NULL;
	/* What is behind @c is told that it is in use, also when nothing has to be read. */
	int r = p ? c->read(c, p->data, 0, at) : read_piece(c, at, &p);

	if (r < 0)
		return r;
	p->holders++;
	*ret = p;
	return 0;
}

void cow_tftp_piece_put(struct cow_tftp_piece *p)
{
	if (!p || --p->holders > 0)
		return;
	if (is_shared(p->file)) {
		struct cow_tftp_piece **b = bucket_of(p->file, p->at);

		while (*b != p)
			b = &(*b)->next;
		*b = p->next;
	}
	free(p);
}
