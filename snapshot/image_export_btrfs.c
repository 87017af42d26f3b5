/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version of an image becomes an archive whose tree is a btrfs send stream.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive_write.h"
#include "btrfs.h"
#include "btrfs_send.h"
#include "common/log.h"
#include "image_internal.h"

struct export
{
	struct cow_store *s;
	const struct cow_image *i;
	const struct cow_export_opts *opts;
	struct cow_arc_version version;
	int tree, parent; /* parent: -1: none */
	uint64_t bytes;	  /* of files */
	struct cow_export_done *done;
	/* The first difference to the manifest: */
	char path[160];
};

/* -> fd or -errno */
static int open_tree_of(const struct export *x, const struct cow_image *i, struct cow_err *err)
{
	if (!x->s->btrfs)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
						"store '%s' is not on btrfs, so there is no btrfs "
						"stream of it",
						x->s->path),
				    "export without --btrfs");
	cow_autoclose int tree = cow_image_tree(x->s, i);
	int r = tree < 0 ? tree : cow_btrfs_is_subvol(tree);
	if (r < 0)
		return cow_err_set(err, r, "open image %s@%u", i->name, i->version);
	if (r > 0)
		return cow_steal_fd(&tree);
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
					"the tree of image %s@%u is no btrfs subvolume", i->name,
					i->version),
			    "export without --btrfs");
}

/* ---------------------------------------------------------------- is it what its manifest says? */

static int found(void *ctx, const char *path, const char *what)
{
	struct export *x = ctx;
	(void)what;
	(void)snprintf(x->path, sizeof(x->path), "%s", path);
	return -ESTALE; /* one is enough */
}

/* Only asked whether to stop. */
static int watch(void *ctx, uint64_t inodes, uint64_t bytes)
{
	const struct export *x = ctx;
	(void)inodes;
	(void)bytes;
	return x->opts->progress ? x->opts->progress(x->opts->ctx, 0, x->bytes) : 0;
}

static int check(struct export *x, struct cow_err *err)
{
	int64_t n = cow_image_verify(x->s, x->i, found, watch, x, err);
	if (n == -EINTR)
		return cow_err_set(err, (int)n, "the export was stopped");
	if (n == -ESTALE)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
						"the image is damaged: %s is not as recorded",
						COW_Q(*x->path ? x->path : "/")),
				    "cowherd image verify tells what differs");
	return (int)n;
}

/* ---------------------------------------------------------------- writing */

static int write_manifest(const struct export *x, struct cow_arc_out *out, struct cow_err *err)
{
	struct cow_arc_plan plan = {.blocks = NULL};
	const struct cow_arc_write w = {
	    .img = x->version.img,
	    .base = x->version.base,
	    .plan = &plan,
	    .level = x->opts->level,
	};
	int r = cow_arc_plan_manifest(w.img, w.base, &plan, err);
	if (r == 0)
		r = cow_arc_write_blocks(&w, 0, out, err);
	cow_arc_plan_done(&plan);
	return r;
}

static int write_stream(const struct export *x, struct cow_arc_out *out, struct cow_err *err)
{
	struct cow_btrfs_send *send;
	struct cow_arc_stream stream = {
	    .level = x->opts->level,
	    .total = x->parent < 0 ? x->bytes : 0, /* of a difference nobody knows */
	    .progress = x->opts->progress,
	    .ctx = x->opts->ctx,
	};
	int r = cow_btrfs_send_begin(x->tree, x->parent, &send, &stream.fd);
	if (r < 0)
		return cow_err_set(err, r, "make a btrfs stream");
	r = cow_arc_write_stream(&stream, out, &x->done->plain, err);
	int sent = cow_btrfs_send_end(send);
	return r == 0 && sent < 0 ? cow_err_set(err, sent, "make a btrfs stream") : r;
}

static int write_out(const struct export *x, struct cow_err *err)
{
	struct cow_arc_out *out;
	int r = cow_arc_out_open(x->opts->output, x->opts->fd, &out, err);
	if (r < 0)
		return r;
	r = cow_arc_out_begin_btrfs(out, x->version.head, x->version.conf, err);
	if (r == 0)
		r = write_manifest(x, out, err);
	if (r == 0)
		r = write_stream(x, out, err);
	if (r == 0)
		r = cow_arc_out_finish(out, err);
	x->done->bytes = cow_arc_out_len(out);
	cow_arc_out_close(out, r);
	return r;
}

static int run(struct export *x, const struct cow_image *since, struct cow_err *err)
{
	struct cow_ovl_image_info info;
	int r = cow_arc_check_level(x->opts->level, err);
	if (r == 0)
		r = x->tree = open_tree_of(x, x->i, err);
	if (r >= 0 && since)
		r = x->parent = open_tree_of(x, since, err);
	if (r >= 0)
		r = cow_arc_version_describe(x->s, x->i, since, true, &x->version, err);
	if (r < 0)
		return r;
	cow_ovl_image_info(x->version.img, &info);
	x->bytes = info.bytes;
	x->done->files = info.inodes;
	r = check(x, err);
	return r < 0 ? r : write_out(x, err);
}

int cow_image_export_btrfs(struct cow_store *s, const struct cow_image *i,
			   const struct cow_image *since, const struct cow_export_opts *opts,
			   struct cow_export_done *ret, struct cow_err *err)
{
	struct export x = {.s = s, .i = i, .opts = opts, .tree = -1, .parent = -1, .done = ret};
	*ret = (struct cow_export_done){.bytes = 0};
	int r = run(&x, since, err);
	cow_arc_version_done(&x.version);
	if (x.tree >= 0)
		(void)close(x.tree); /* only read from */
	if (x.parent >= 0)
		(void)close(x.parent); /* likewise */
	return r < 0 ? cow_err_prefix(err, r, "export image %s@%u", i->name, i->version) : 0;
}
