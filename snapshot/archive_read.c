/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_read.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "common/bounds.h"
#include "common/checked.h"

struct buffer {
	uint8_t *p;
	size_t room;
};

struct cow_arc_in {
	cow_arc_read_fn read;
	void *ctx;
	const char *what;
	uint64_t at;
	unsigned last; /* type of the record before; 0: none */
	unsigned flags;
	bool stream_ended; /* its frame is complete */
	EVP_MD_CTX *sha;
	ZSTD_DCtx *zstd;
	struct cow_arc_record head;
	struct buffer packed; /* table and content of the record at hand */
	struct buffer table, plain;
	struct cow_arc_slice *slices;
	size_t slices_room;
};

int cow_arc_in_bad(const struct cow_arc_in *in, const char *why, struct cow_err *err)
{
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is damaged: %s", in->what, why);
}

int cow_arc_begins(const uint8_t *head, size_t len)
{
	return len >= sizeof(struct cow_arc_file) && memcmp(head, COW_ARC_MAGIC, 8) == 0;
}

/* All @len bytes of the stream; they count for the archive's digest. */
static int take(struct cow_arc_in *in, void *buf, size_t len, struct cow_err *err)
{
	size_t got = 0;
	int r = in->read(in->ctx, buf, len, &got);
	if (r < 0)
		return cow_err_set(err, r, "read '%s'", in->what);
	if (got < len)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is cut short", in->what);
	in->at += len;
	if (EVP_DigestUpdate(in->sha, buf, len) != 1)
		return cow_err_set(err, -ENOMEM, "read '%s'", in->what);
	return 0;
}

static int room(struct cow_arc_in *in, struct buffer *b, size_t len, struct cow_err *err)
{
	if (len <= b->room)
		return 0;
	free(b->p);
	b->room = 0;
	b->p = malloc(len);
	if (!b->p)
		return cow_err_set(err, -ENOMEM, "read '%s'", in->what);
	b->room = len;
	return 0;
}

static int begin(struct cow_arc_in *in, struct cow_err *err)
{
	struct cow_arc_file f;
	in->sha = EVP_MD_CTX_new();
	in->zstd = ZSTD_createDCtx();
	if (!in->sha || !in->zstd || EVP_DigestInit_ex2(in->sha, EVP_sha256(), NULL) != 1 ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, COW_ARC_WINDOW_LOG)))
		return cow_err_set(err, -ENOMEM, "read '%s'", in->what);
	int r = take(in, &f, sizeof(f), err);
	if (r < 0)
		return r;
	if (!cow_arc_begins((const uint8_t *)&f, sizeof(f)))
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "'%s' is no archive of cowherd",
				   in->what);
	in->flags = cow_get_le32(f.flags);
	if (cow_get_le32(f.version) != COW_ARC_VERSION || in->flags & ~COW_ARC_BTRFS)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "'%s' was made by a newer version", in->what);
	return 0;
}

int cow_arc_in_new(cow_arc_read_fn read, void *ctx, const char *what, struct cow_arc_in **ret,
		   struct cow_err *err)
{
	cow_autoarcin in = calloc(1, sizeof(*in));
	if (!in)
		return cow_err_set(err, -ENOMEM, "read '%s'", what);
	in->read = read;
	in->ctx = ctx;
	in->what = what;
	int r = begin(in, err);
	if (r == 0)
		*ret = cow_steal_ptr(&in);
	return r;
}

void cow_arc_in_free(struct cow_arc_in *in)
{
	if (!in)
		return;
	EVP_MD_CTX_free(in->sha);
	ZSTD_freeDCtx(in->zstd);
	free(in->packed.p);
	free(in->table.p);
	free(in->plain.p);
	free(in->slices);
	free(in);
}

uint64_t cow_arc_in_at(const struct cow_arc_in *in)
{
	return in->at;
}

/* ---------------------------------------------------------------- a record's head */

static size_t plain_max(unsigned type)
{
	switch (type) {
	case COW_ARC_HEAD:
		return COW_ARC_HEAD_MAX;
	case COW_ARC_CONF:
		return COW_KV_FILE_MAX;
	case COW_ARC_DATA:
		return COW_ARC_PLAIN_MAX;
	case COW_ARC_STREAM:
		return 0; /* it is no frame of its own */
	default:
		return COW_ARC_SHA256_LEN;
	}
}

static size_t packed_max(unsigned type)
{
	return type == COW_ARC_STREAM ? COW_ARC_STREAM_MAX : ZSTD_compressBound(plain_max(type));
}

/* HEAD CONF DATA... END, of a btrfs stream HEAD CONF DATA... STREAM... END */
static int in_order(const struct cow_arc_in *in, unsigned type)
{
	unsigned last = in->last;
	switch (type) {
	case COW_ARC_HEAD:
		return last == 0;
	case COW_ARC_CONF:
		return last == COW_ARC_HEAD;
	case COW_ARC_DATA:
		return last == COW_ARC_CONF || last == COW_ARC_DATA;
	case COW_ARC_STREAM:
		return in->flags & COW_ARC_BTRFS && !in->stream_ended &&
		       (last == COW_ARC_DATA || last == COW_ARC_STREAM);
	case COW_ARC_END:
		return in->flags & COW_ARC_BTRFS ? in->stream_ended : last == COW_ARC_DATA;
	default:
		return 0;
	}
}

static int check_head(struct cow_arc_in *in, struct cow_arc_block *ret, struct cow_err *err)
{
	const struct cow_arc_record *h = &in->head;
	unsigned type = cow_get_le32(h->type);
	if (cow_get_le64(h->head_sum) != XXH64(h, offsetof(struct cow_arc_record, head_sum), 0))
		return cow_arc_in_bad(in, "the sum of a record's head", err);
	if (!in_order(in, type))
		return cow_arc_in_bad(in, "a record of an unknown type, or in the wrong place", err);
	*ret = (struct cow_arc_block){
	    .nown = cow_get_le32(h->nown),
	    .nfrom = cow_get_le32(h->nfrom),
	    .plain_len = cow_get_le32(h->plain_len),
	    .prefix_len = cow_get_le32(h->prefix_len),
	};
	size_t slices = (size_t)ret->nown + ret->nfrom;
	if (ret->plain_len > plain_max(type) || ret->prefix_len > COW_ARC_PREFIX_MAX ||
	    ret->nown > COW_ARC_SLICES_MAX || ret->nfrom > COW_ARC_SLICES_MAX ||
	    cow_get_le32(h->table_len) >
		ZSTD_compressBound(slices * sizeof(struct cow_arc_slice_bytes)) ||
	    cow_get_le32(h->packed_len) > packed_max(type) ||
	    cow_get_le32(h->zeros))
		return cow_arc_in_bad(in, "lengths above the limits", err);
	if ((type == COW_ARC_DATA) != (ret->nown > 0) || (type != COW_ARC_DATA && ret->nfrom) ||
	    (ret->nfrom > 0) != (ret->prefix_len > 0))
		return cow_arc_in_bad(in, "slices of a record", err);
	return 0;
}

/* ---------------------------------------------------------------- what is in it */

static int zstd_failed(struct cow_arc_in *in, size_t n, struct cow_err *err)
{
	return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation
		   ? cow_err_set(err, -ENOMEM, "read '%s'", in->what)
		   : cow_arc_in_bad(in, ZSTD_getErrorName(n), err);
}

/* Exactly @len bytes come out. */
static int unpack(struct cow_arc_in *in, struct buffer *to, size_t len, const uint8_t *from,
		  size_t from_len, struct cow_err *err)
{
	int r = room(in, to, len, err);
	if (r < 0)
		return r;
	size_t n = ZSTD_decompressDCtx(in->zstd, to->p, len, from, from_len);
	if (ZSTD_isError(n))
		return zstd_failed(in, n, err);
	return n == len ? 0 : cow_arc_in_bad(in, "less content than said", err);
}

/* @n slices whose lengths add up to @want. */
static int take_slices(const struct cow_arc_slice_bytes *p, struct cow_arc_slice *to, size_t n,
		       uint32_t want)
{
	uint64_t sum = 0;
	for (size_t k = 0; k < n; k++) {
		to[k] = (struct cow_arc_slice){
		    .number = cow_get_le32(p[k].number),
		    .length = cow_get_le32(p[k].length),
		    .offset = cow_get_le64(p[k].offset),
		};
		sum += to[k].length;
		if (to[k].length == 0 || to[k].offset > (uint64_t)INT64_MAX - to[k].length)
			return -EBADMSG;
	}
	return sum == want ? 0 : -EBADMSG;
}

static int read_table(struct cow_arc_in *in, struct cow_arc_block *b, struct cow_err *err)
{
	size_t n = (size_t)b->nown + b->nfrom, len = n * sizeof(struct cow_arc_slice_bytes);
	if (n == 0)
		return cow_get_le32(in->head.table_len) ? cow_arc_in_bad(in, "a table", err) : 0;
	int r = unpack(in, &in->table, len, in->packed.p, cow_get_le32(in->head.table_len), err);
	if (r < 0)
		return r;
	if (n > in->slices_room) {
		struct cow_arc_slice *grown = reallocarray(in->slices, n, sizeof(*grown));
		if (!grown)
			return cow_err_set(err, -ENOMEM, "read '%s'", in->what);
		in->slices = grown;
		in->slices_room = n;
	}
	const struct cow_arc_slice_bytes *t = (const void *)in->table.p;
	b->own = in->slices;
	b->from = in->slices + b->nown;
	if (take_slices(t, b->own, b->nown, b->plain_len) < 0 ||
	    take_slices(t + b->nown, b->from, b->nfrom, b->prefix_len) < 0)
		return cow_arc_in_bad(in, "slices of a record", err);
	return 0;
}

int cow_arc_in_unpack(struct cow_arc_in *in, const void *prefix, const uint8_t **ret,
		      struct cow_err *err)
{
	size_t len = cow_get_le32(in->head.prefix_len);
	if (len && ZSTD_isError(ZSTD_DCtx_refPrefix(in->zstd, prefix, len)))
		return cow_err_set(err, -ENOMEM, "read '%s'", in->what);
	int r = unpack(in, &in->plain, cow_get_le32(in->head.plain_len),
		       in->packed.p + cow_get_le32(in->head.table_len),
		       cow_get_le32(in->head.packed_len), err);
	*ret = in->plain.p;
	return r;
}

/* Pieces of a frame whose length nobody has said. */
int cow_arc_in_stream(struct cow_arc_in *in,
		      int (*give)(void *ctx, const void *p, size_t len, struct cow_err *err),
		      void *ctx, struct cow_err *err)
{
	ZSTD_inBuffer from = {.src = in->packed.p, .size = cow_get_le32(in->head.packed_len)};
	ZSTD_outBuffer to = {.pos = 0};
	int r = room(in, &in->plain, ZSTD_DStreamOutSize(), err);
	to.dst = in->plain.p;
	to.size = in->plain.room;
	/* A buffer that was filled may not be all that was to come. */
	while (r == 0 && (from.pos < from.size || to.pos == to.size)) {
		if (in->stream_ended)
			return cow_arc_in_bad(in, "something follows its stream", err);
		to.pos = 0;
		size_t more = ZSTD_decompressStream(in->zstd, &to, &from);
		if (ZSTD_isError(more))
			return zstd_failed(in, more, err);
		in->stream_ended = more == 0;
		r = to.pos ? give(ctx, to.dst, to.pos, err) : 0;
		if (in->stream_ended && from.pos == from.size)
			break;
	}
	return r;
}

bool cow_arc_in_is_btrfs(const struct cow_arc_in *in)
{
	return in->flags & COW_ARC_BTRFS;
}

/* @sum: of all before the last record. */
static int check_end(struct cow_arc_in *in, const uint8_t sum[COW_ARC_SHA256_LEN],
		     struct cow_err *err)
{
	const uint8_t *said = NULL;
	if (cow_get_le32(in->head.plain_len) != COW_ARC_SHA256_LEN)
		return cow_arc_in_bad(in, "its digest", err);
	int r = cow_arc_in_unpack(in, NULL, &said, err);
	if (r < 0)
		return r;
	if (said && memcmp(said, sum, COW_ARC_SHA256_LEN) == 0)
		return 0;
	return cow_arc_in_bad(in, "its digest", err);
}

/* The digest so far; it goes on. */
static int sum_here(struct cow_arc_in *in, uint8_t ret[COW_ARC_SHA256_LEN], struct cow_err *err)
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	int ok = copy && EVP_MD_CTX_copy_ex(copy, in->sha) == 1 &&
		 EVP_DigestFinal_ex(copy, ret, NULL) == 1;
	EVP_MD_CTX_free(copy);
	return ok ? 0 : cow_err_set(err, -ENOMEM, "read '%s'", in->what);
}

int cow_arc_in_next(struct cow_arc_in *in, enum cow_arc_type *ret_type, struct cow_arc_block *ret,
		    struct cow_err *err)
{
	uint8_t sum[COW_ARC_SHA256_LEN];
	struct cow_arc_block b = {.own = NULL};
	int r = sum_here(in, sum, err);
	if (r == 0)
		r = take(in, &in->head, sizeof(in->head), err);
	if (r == 0)
		r = check_head(in, &b, err);
	if (r < 0)
		return r;
	size_t len = (size_t)cow_get_le32(in->head.table_len) + cow_get_le32(in->head.packed_len);
	r = room(in, &in->packed, len + 1, err);
	if (r == 0)
		r = take(in, in->packed.p, len, err);
	if (r < 0)
		return r;
	if (XXH64(in->packed.p, len, 0) != cow_get_le64(in->head.sum))
		return cow_arc_in_bad(in, "the sum of a record", err);
	in->last = cow_get_le32(in->head.type);
	if (in->last == COW_ARC_END)
		return check_end(in, sum, err);
	r = read_table(in, &b, err);
	if (r < 0)
		return r;
	*ret_type = in->last;
	*ret = b;
	return 1;
}
