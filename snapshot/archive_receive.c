/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_receive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive_tree.h"
#include "archive_write.h"
#include "common/fs.h"
#include "common/kv.h"
#include "image_internal.h"

struct work {
	struct cow_arc_receive *rx;
	struct cow_arc_in *in;
	struct cow_err *err;
	uint8_t *manifest; /* as far as it has come */
	size_t manifest_len, manifest_room;
	struct cow_ovl_image *base; /* NULL: none */
	struct cow_ovl_image *img;  /* NULL: its manifest has not come */
	struct cow_arc_tree tree;
	int tree_begun;
	uint8_t *prefix;
	size_t prefix_room;
};

static int failed(const struct work *w, int r)
{
	return cow_err_set(w->err, r, "import '%s'", w->rx->what);
}

static int bad(const struct work *w, const char *why)
{
	return cow_arc_in_bad(w->in, why, w->err);
}

/* ---------------------------------------------------------------- HEAD and CONF */

static int take_head(struct work *w, const struct cow_arc_block *b)
{
	const uint8_t *text;
	struct cow_arc_receive *rx = w->rx;
	int r = cow_arc_in_unpack(w->in, NULL, &text, w->err);
	if (r == 0)
		r = cow_arc_head_parse(text, b->plain_len, rx->what, &rx->info, w->err);
	if (r == 0 && rx->info.btrfs != cow_arc_in_is_btrfs(w->in))
		return bad(w, "what it says of itself");
	if (r == 0)
		r = rx->accept(rx->ctx, &rx->info, &w->base, w->err);
	if (r == 0 && rx->info.btrfs && !rx->sink)
		return cow_err_say(w->err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "'%s' holds a btrfs stream", rx->what);
	return r;
}

static int take_conf(struct work *w, const struct cow_arc_block *b)
{
	const uint8_t *text;
	int r = cow_arc_in_unpack(w->in, NULL, &text, w->err);
	if (r == 0)
		r = cow_kv_parse((const char *)text, b->plain_len, "image.conf", &w->rx->conf,
				 w->err);
	return r < 0 ? cow_err_prefix(w->err, r, "'%s'", w->rx->what) : 0;
}

/* ---------------------------------------------------------------- the manifest */

static int manifest_complete(struct work *w)
{
	struct cow_ovl_image_info info;
	char hex[COW_IMAGE_ID_LEN + 1];
	int r = cow_ovl_image_parse(w->manifest, w->manifest_len, &w->img, w->err);
	if (r < 0)
		return cow_err_prefix(w->err, r, "'%s'", w->rx->what);
	cow_ovl_image_info(w->img, &info);
	cow_image_id_text(info.id, hex);
	if (strcmp(hex, w->rx->info.id) != 0)
		return bad(w, "its manifest is another one");
	if (info.bytes > COW_ARC_BYTES_MAX)
		return bad(w, "files above the limits");
	r = cow_write_file_at(w->rx->stage, COW_OVM_NAME, w->manifest, w->manifest_len, 0400);
	free(cow_steal_ptr(&w->manifest)); /* the image has a copy */
	if (r < 0)
		return failed(w, r);
	if (w->rx->info.btrfs)
		return w->rx->sink->begin(w->rx->ctx, w->img, w->err);
	w->tree = (struct cow_arc_tree){
	    .fill = w->rx->fill,
	    .img = w->img,
	    .base = w->base,
	    .what = w->rx->what,
	    .err = w->err,
	};
	w->tree_begun = 1;
	r = cow_arc_tree_init(&w->tree);
	return r < 0 ? r : cow_arc_tree_begin(&w->tree);
}

/* Memory grows with what comes, not with what was said. */
static int take_manifest(struct work *w, const struct cow_arc_slice *s, const uint8_t *bytes)
{
	uint64_t want = w->rx->info.manifest_len;
	if (w->img || s->offset != w->manifest_len || s->length > want - w->manifest_len)
		return bad(w, "the manifest in the wrong place");
	if (!w->manifest || w->manifest_room - w->manifest_len < s->length) {
		size_t room = w->manifest_room * 2 + s->length;
		uint8_t *grown = realloc(w->manifest, room);
		if (!grown)
			return failed(w, -ENOMEM);
		w->manifest = grown;
		w->manifest_room = room;
	}
	memcpy(w->manifest + w->manifest_len, bytes, s->length);
	w->manifest_len += s->length;
	return w->manifest_len == want ? manifest_complete(w) : 0;
}

/* ---------------------------------------------------------------- DATA */

static int in_base(const struct work *w, const struct cow_arc_slice *s)
{
	struct cow_ovl_image_object o;
	uint64_t size = 0;
	size_t len;
	if (s->number == COW_ARC_MANIFEST_NUMBER) {
		(void)cow_ovl_image_bytes(w->base, &len);
		size = len;
	} else if (cow_ovl_image_object(w->base, s->number, &o) && S_ISREG(o.attr.mode)) {
		size = o.attr.size;
	}
	return s->offset <= size && s->length <= size - s->offset;
}

static int read_prefix(struct work *w, const struct cow_arc_block *b)
{
	if (b->nfrom && !w->base)
		return bad(w, "it needs a base and names none");
	for (size_t k = 0; k < b->nfrom; k++)
		if (!in_base(w, &b->from[k]))
			return bad(w, "it needs what the base has not");
	if (b->prefix_len > w->prefix_room) {
		free(w->prefix);
		w->prefix_room = 0;
		w->prefix = malloc(b->prefix_len);
		if (!w->prefix)
			return failed(w, -ENOMEM);
		w->prefix_room = b->prefix_len;
	}
	int r = cow_arc_read_slices(w->base, b->from, b->nfrom, w->prefix, w->err);
	return r < 0 ? cow_err_prefix(w->err, r, "base of '%s'", w->rx->what) : 0;
}

static int take_data(struct work *w, const struct cow_arc_block *b)
{
	const uint8_t *bytes;
	int r = read_prefix(w, b);
	if (r == 0)
		r = cow_arc_in_unpack(w->in, w->prefix, &bytes, w->err);
	for (size_t k = 0; r == 0 && k < b->nown; bytes += b->own[k++].length) {
		const struct cow_arc_slice *s = &b->own[k];
		if (s->number == COW_ARC_MANIFEST_NUMBER)
			r = take_manifest(w, s, bytes);
		else if (!w->img)
			r = bad(w, "content before the manifest");
		else if (w->rx->info.btrfs)
			r = bad(w, "content besides its stream");
		else
			r = cow_arc_tree_slice(&w->tree, s, bytes);
	}
	return r;
}

static int take_stream(struct work *w)
{
	return w->img ? cow_arc_in_stream(w->in, w->rx->sink->take, w->rx->ctx, w->err)
		      : bad(w, "content before the manifest");
}

static int take_records(struct work *w)
{
	enum cow_arc_type type;
	struct cow_arc_block b;
	int r;
	while ((r = cow_arc_in_next(w->in, &type, &b, w->err)) > 0) {
		r = type == COW_ARC_HEAD     ? take_head(w, &b)
		    : type == COW_ARC_CONF   ? take_conf(w, &b)
		    : type == COW_ARC_STREAM ? take_stream(w)
					     : take_data(w, &b);
		if (r < 0)
			return r;
	}
	if (r == 0 && !w->img)
		r = bad(w, "its manifest is not complete");
	if (r == 0 && w->rx->info.btrfs)
		return w->rx->sink->end(w->rx->ctx, w->err);
	return r < 0 ? r : cow_arc_tree_finish(&w->tree);
}

int cow_arc_receive(struct cow_arc_receive *rx, cow_arc_read_fn read, void *read_ctx,
		    struct cow_err *err)
{
	struct cow_err own = COW_ERR_INIT;
	struct work w = {.rx = rx, .err = err ? err : &own};
	int r = cow_arc_in_new(read, read_ctx, rx->what, &w.in, w.err);
	if (r == 0)
		r = take_records(&w);
	if (w.tree_begun)
		cow_arc_tree_done(&w.tree);
	cow_ovl_image_close(w.img);
	cow_ovl_image_close(w.base);
	cow_arc_in_free(w.in);
	free(w.manifest);
	free(w.prefix);
	return r;
}

/* ---------------------------------------------------------------- what was unpacked */

struct bytes {
	struct cow_unpack *u;
	const uint8_t *p;
	size_t len;
};

static int read_bytes(void *ctx, void *buf, size_t len, size_t *ret_got)
{
	struct bytes *b = ctx;
	size_t got = 0;
	while (got < len) {
		const void *p = NULL;
		int r = b->len ? 1 : cow_unpack_next(b->u, &p, &b->len);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		b->p = p ? p : b->p;
		size_t n = len - got < b->len ? len - got : b->len;
		memcpy((uint8_t *)buf + got, b->p, n);
		b->p += n;
		b->len -= n;
		got += n;
	}
	*ret_got = got;
	return 0;
}

int cow_arc_receive_all(struct cow_arc_receive *rx, struct cow_unpack *u, struct cow_err *err)
{
	struct bytes b = {.u = u};
	uint8_t more;
	size_t got = 0;
	int r = cow_arc_receive(rx, read_bytes, &b, err);
	if (r < 0)
		return r;
	r = read_bytes(&b, &more, 1, &got);
	if (r < 0)
		return cow_err_set(err, r, "read '%s'", rx->what);
	return got == 0 ? 0
			: cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				      "'%s' is damaged: something follows its end", rx->what);
}
