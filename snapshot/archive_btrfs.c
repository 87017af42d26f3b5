/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_btrfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "btrfs.h"
#include "btrfs_receive.h"
#include "btrfs_stream.h"
#include "common/log.h"
#include "overlay/image_read.h"

#define SCRATCH "receive"
#define BASE "base"
#define TREE "tree" /* what every version's is called, so every stream's */

/* A stream has names, attributes and what stands around them besides content. */
#define OBJECT_ROOM (UINT64_C(64) << 10)
#define STREAM_ROOM (UINT64_C(64) << 20)

struct cow_arc_btrfs {
	struct cow_new_version *v;
	int scratch;
	uint64_t bytes; /* of files */
	struct cow_btrfs_stream *stream;
	struct cow_btrfs_receive *receive;
	/* The first difference to the manifest: */
	char path[160], what[80];
};

static int tick(void *ctx)
{
	const struct cow_arc_btrfs *b = ctx;
	return cow_fill_progress(&b->v->fill);
}

static int give(void *ctx, const void *p, size_t len, struct cow_err *err)
{
	const struct cow_arc_btrfs *b = ctx;
	return cow_btrfs_receive_give(b->receive, p, len, err);
}

static int make_scratch(struct cow_arc_btrfs *b, struct cow_err *err)
{
	int r = cow_btrfs_subvol_create(b->v->stage, SCRATCH);
	if (r == 0)
		r = b->scratch = cow_opendir_at(b->v->stage, SCRATCH);
	return r < 0 ? cow_err_set(err, r, "make a place for '%s'", b->v->source) : 0;
}

static int snapshot_base(struct cow_arc_btrfs *b, int tree, struct cow_btrfs_stream_opts *o)
{
	int r = cow_random(o->parent, sizeof(o->parent));
	if (r == 0)
		r = cow_btrfs_snapshot(tree, b->scratch, BASE);
	cow_autoclose int fd = r < 0 ? r : cow_opendir_at(b->scratch, BASE);
	if (fd < 0)
		return fd;
	r = cow_btrfs_set_received(fd, o->parent, o->parent_ctransid);
	return r < 0 ? r : cow_btrfs_set_read_only(fd);
}

static int make_base(struct cow_arc_btrfs *b, const struct cow_image *base,
		     struct cow_btrfs_stream_opts *o, struct cow_err *err)
{
	cow_autoclose int tree = cow_image_tree(b->v->s, base);
	int r = tree < 0 ? tree : cow_btrfs_is_subvol(tree);
	if (r == 0)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
						"base of '%s': the tree of image %s@%u is no btrfs "
						"subvolume",
						b->v->source, base->name, base->version),
				    "export without --btrfs: that goes on any tree");
	if (r > 0)
		r = snapshot_base(b, tree, o);
	return r < 0 ? cow_err_set(err, r, "base of '%s': image %s@%u", b->v->source, base->name,
				   base->version)
		     : 0;
}

static struct cow_btrfs_stream_limits limits_of(const struct cow_ovl_image *img, uint64_t bytes)
{
	size_t manifest;
	struct cow_ovl_image_info info;
	cow_ovl_image_info(img, &info);
	(void)cow_ovl_image_bytes(img, &manifest);
	/* Less than 2^44 bytes and 2^31 objects, and a manifest of 2^30: it fits. */
	uint64_t objects = info.inodes * OBJECT_ROOM;
	return (struct cow_btrfs_stream_limits){
	    .length = 4 * bytes + objects + 16 * (uint64_t)manifest + STREAM_ROOM,
	    .bytes = bytes + objects,
	    .objects = info.inodes - 1, /* the root is made with the subvolume */
	};
}

static int begin(struct cow_arc_btrfs *b, const struct cow_image *base,
		 const struct cow_ovl_image *img, struct cow_err *err)
{
	struct cow_ovl_image_info info;
	cow_ovl_image_info(img, &info);
	b->bytes = info.bytes;
	struct cow_btrfs_stream_opts o = {
	    .what = b->v->source,
	    .name = TREE,
	    .difference = base,
	    .parent_ctransid = 1, /* nobody compares it */
	    .limits = limits_of(img, info.bytes),
	    .give = give,
	    .ctx = b,
	};
	int r = make_scratch(b, err);
	if (r == 0 && base)
		r = make_base(b, base, &o, err);
	if (r < 0)
		return r;
	r = cow_btrfs_stream_new(&o, &b->stream);
	if (r < 0)
		return cow_err_set(err, r, "%s", b->v->doing);
	return cow_btrfs_receive_begin(b->scratch, tick, b, &b->receive, err);
}

int cow_arc_btrfs_begin(struct cow_new_version *v, const struct cow_image *base,
			const struct cow_ovl_image *img, struct cow_arc_btrfs **ret,
			struct cow_err *err)
{
	struct cow_arc_btrfs *b = calloc(1, sizeof(*b));
	if (!b)
		return cow_err_set(err, -ENOMEM, "%s", v->doing);
	b->v = v;
	b->scratch = -1;
	int r = begin(b, base, img, err);
	if (r < 0)
		cow_arc_btrfs_free(b);
	else
		*ret = b;
	return r;
}

/* The messages of what runs below say nothing of the source. */
static int context(const struct cow_arc_btrfs *b, int r, struct cow_err *err)
{
	if (r == -EINTR)
		return cow_err_set(err, r, "%s was stopped", b->v->doing);
	return cow_err_prefix(err, r, "%s", b->v->doing);
}

int cow_arc_btrfs_take(struct cow_arc_btrfs *b, const void *p, size_t len, struct cow_err *err)
{
	int r = cow_fill_progress(&b->v->fill);
	if (r == 0)
		r = cow_btrfs_stream_take(b->stream, p, len, err);
	b->v->fill.bytes += len;
	return r < 0 ? context(b, r, err) : 0;
}

/* ---------------------------------------------------------------- what was made */

static int found(void *ctx, const char *path, const char *what)
{
	struct cow_arc_btrfs *b = ctx;
	(void)snprintf(b->path, sizeof(b->path), "%s", path);
	(void)snprintf(b->what, sizeof(b->what), "%s", what);
	return -ESTALE; /* one is enough */
}

static int progress(void *ctx, uint64_t inodes, uint64_t bytes)
{
	const struct cow_arc_btrfs *b = ctx;
	const struct cow_import_opts *o = b->v->opts;
	const struct cow_import_progress p = {
	    .step = COW_IMPORT_MANIFEST, .inodes = inodes, .bytes = bytes, .bytes_total = b->bytes};
	return o && o->progress ? o->progress(o->ctx, &p) : 0;
}

/* A snapshot of what was made takes the place of the empty tree: it can be written to, belongs to nobody's chain
 * of streams, and can have that name. */
static int take_tree(struct cow_arc_btrfs *b)
{
	struct cow_new_version *v = b->v;
	cow_autoclose int made = cow_opendir_at(b->scratch, TREE);
	int r = made < 0 ? made : cow_btrfs_subvol_delete(v->stage, TREE);
	if (r == 0)
		r = cow_btrfs_snapshot(made, v->stage, TREE);
	if (r < 0)
		return r;
	(void)close(cow_steal_fd(&v->tree)); /* only looked at */
	r = v->tree = cow_opendir_at(v->stage, TREE);
	v->fill.tree = v->tree;
	if (r < 0)
		return r;
	(void)close(cow_steal_fd(&made)); /* likewise: what is open is not freed */
	(void)close(cow_steal_fd(&b->scratch));
	return cow_btrfs_subvol_delete(v->stage, SCRATCH);
}

static int check_tree(struct cow_arc_btrfs *b, struct cow_err *err)
{
	int64_t n = cow_ovl_image_verify(b->v->stage, NULL, found, progress, b, err);
	if (n == -ESTALE)
		return cow_err_say(
		    err, COW_ERR_FAILED, -EBADMSG,
		    "'%s' is damaged, or its base here: %s is not what its manifest says: %s",
		    b->v->source, COW_Q(*b->path ? b->path : "/"), b->what);
	return (int)n;
}

int cow_arc_btrfs_end(struct cow_arc_btrfs *b, struct cow_err *err)
{
	int r = cow_btrfs_stream_end(b->stream, err);
	if (r == 0)
		r = cow_btrfs_receive_end(b->receive, err);
	if (r < 0)
		return context(b, r, err);
	r = take_tree(b);
	return r < 0 ? cow_err_set(err, r, "%s: take what was received", b->v->doing)
		     : check_tree(b, err);
}

void cow_arc_btrfs_free(struct cow_arc_btrfs *b)
{
	if (!b)
		return;
	cow_btrfs_receive_free(b->receive);
	cow_btrfs_stream_free(b->stream);
	if (b->scratch >= 0)
		(void)close(b->scratch); /* only looked at */
	free(b);
}
