/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A stream of bytes as records of an archive: one zstd frame with a window as long as readers take, made by as many
 * threads as there are processors, cut into pieces.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "archive_write.h"
#include "common/checked.h"

COW_DEFINE_AUTO(ZSTD_CCtx, ZSTD_freeCCtx)

#define THREADS_MAX 8
#define READ_LEN (256u << 10)

struct writer {
	ZSTD_CCtx *zstd;
	struct cow_arc_out *out;
	uint8_t *record; /* its head, then what is packed */
	ZSTD_outBuffer to;
	struct cow_err *err;
};

static int failed(const struct writer *w, int r)
{
	return r == -EINTR ? cow_err_set(w->err, r, "the export was stopped")
			   : cow_err_set(w->err, r, "make the archive");
}

static int set(ZSTD_CCtx *c, ZSTD_cParameter which, int value)
{
	return ZSTD_isError(ZSTD_CCtx_setParameter(c, which, value)) ? -EINVAL : 0;
}

static int set_up(ZSTD_CCtx *c, int level)
{
	cpu_set_t cpus;
	int n = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
	int r = set(c, ZSTD_c_compressionLevel, level);
	if (r == 0)
		r = set(c, ZSTD_c_windowLog, COW_ARC_WINDOW_LOG);
	if (r == 0)
		r = set(c, ZSTD_c_enableLongDistanceMatching, 1);
	if (r == 0)
		(void)set(c, ZSTD_c_nbWorkers,
			  n < THREADS_MAX ? n : THREADS_MAX); /* a library without: one */
	return r;
}

static int write_record(struct writer *w)
{
	struct cow_arc_record h = {.zeros = {0}};
	uint8_t *packed = w->record + sizeof(h);
	cow_put_le32(h.type, COW_ARC_STREAM);
	cow_put_le32(h.packed_len, (uint32_t)w->to.pos);
	cow_put_le64(h.sum, XXH64(packed, w->to.pos, 0));
	cow_put_le64(h.head_sum, XXH64(&h, offsetof(struct cow_arc_record, head_sum), 0));
	memcpy(w->record, &h, sizeof(h));
	int r = cow_arc_out_write(w->out, w->record, sizeof(h) + w->to.pos, w->err);
	w->to.pos = 0;
	return r;
}

/* @how: ZSTD_e_continue, or ZSTD_e_end with nothing behind @from. */
static int pack(struct writer *w, ZSTD_inBuffer *from, ZSTD_EndDirective how)
{
	for (;;) {
		size_t left = ZSTD_compressStream2(w->zstd, &w->to, from, how);
		if (ZSTD_isError(left))
			return failed(w, -ENOMEM); /* nothing else can be lacking */
		bool done = how == ZSTD_e_end ? left == 0 : from->pos == from->size;
		int r =
		    w->to.pos == w->to.size || (how == ZSTD_e_end && done) ? write_record(w) : 0;
		if (r < 0 || done)
			return r;
	}
}

static int pack_all(struct writer *w, const struct cow_arc_stream *s, uint8_t *buf, uint64_t *plain)
{
	for (;;) {
		ssize_t n = read(s->fd, buf, READ_LEN);
		if (n < 0 && errno != EINTR)
			return failed(w, -errno);
		ZSTD_inBuffer from = {.src = buf, .size = n > 0 ? (size_t)n : 0};
		int r = n < 0 ? 0 : pack(w, &from, n ? ZSTD_e_continue : ZSTD_e_end);
		if (r < 0 || n == 0)
			return r;
		*plain += from.size;
		r = s->progress ? s->progress(s->ctx, *plain, s->total) : 0;
		if (r < 0)
			return failed(w, r);
	}
}

int cow_arc_write_stream(const struct cow_arc_stream *s, struct cow_arc_out *out,
			 uint64_t *ret_plain, struct cow_err *err)
{
	COW_CLEANUP(cow_auto_ZSTD_freeCCtx) ZSTD_CCtx *zstd = ZSTD_createCCtx();
	cow_autofree uint8_t *record = malloc(sizeof(struct cow_arc_record) + COW_ARC_STREAM_MAX);
	cow_autofree uint8_t *buf = malloc(READ_LEN);
	struct writer w = {.zstd = zstd, .out = out, .record = record, .err = err};
	if (!zstd || !record || !buf)
		return failed(&w, -ENOMEM);
	w.to = (ZSTD_outBuffer){.dst = record + sizeof(struct cow_arc_record),
				.size = COW_ARC_STREAM_MAX};
	int r = set_up(zstd, s->level);
	*ret_plain = 0;
	return r < 0 ? failed(&w, r) : pack_all(&w, s, buf, ret_plain);
}
