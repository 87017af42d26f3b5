/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rebase of a client: plan, and the plan made true in a fresh root, which client_swap.c makes and swaps.
 * The old root is only looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commit_internal.h"
#include "common/fs.h"
#include "rebase_internal.h"

/* ---------------------------------------------------------------- what is compared */

static int open_version(struct cow_rebase *rb, const struct cow_image *image,
			struct cow_ovl_image **ret, int *ret_tree, struct cow_err *err)
{
	int r = cow_image_manifest(rb->s, image, ret, err);
	if (r < 0)
		return r;
	*ret_tree = cow_image_tree(rb->s, image);
	return *ret_tree < 0 ? cow_err_set(err, *ret_tree, "open the tree of image %s@%u",
					   image->name, image->version)
			     : 0;
}

static int open_v1(struct cow_rebase *rb, struct cow_err *err)
{
	cow_autoimage image = NULL;
	int r = cow_client_find_image(rb->s, &rb->at.conf, &image, err);
	if (r == -ENOENT)
		return cow_err_hint(
		    err,
		    cow_err_say(err, COW_ERR_REFUSED, -EPERM,
				"version %s@%u, which its root came from, is gone: what the client "
				"changed cannot be told",
				rb->at.conf.image, rb->at.conf.version),
		    "roll it without --rebase, with a keep-list for what is its own");
	return r < 0 ? r : open_version(rb, image, &rb->v1, &rb->tree1, err);
}

/* The root, to be read. To attach it for a moment sets right what the kernel did to it, if anything;
 * where somebody has it, as the NFS server while after its machine was switched off, it is in order. */
static int open_ours(struct cow_rebase *rb, struct cow_err *err)
{
	struct cow_ovl_image *below = rb->numbers ? rb->v1 : NULL;
	struct cow_ovl_inst *inst = NULL;
	struct cow_err why = COW_ERR_INIT;
	char who[COW_OVL_HOLDER_MAX];
	if (rb->opts->flags & COW_REBASE_RUNNING) /* its server may want it at any time */
		return cow_ovl_inst_open(rb->at.root, below, COW_OVL_OBSERVER, &rb->ours, err);
	int r = cow_ovl_inst_open(rb->at.root, below, 0, &inst, &why);
	if (r == 0)
		r = cow_ovl_inst_close(inst);
	if (r == 0 || (r == -EBUSY && cow_ovl_inst_holder(rb->at.root, who) == 0))
		return cow_ovl_inst_open(rb->at.root, below, COW_OVL_OBSERVER, &rb->ours, err);
	if (why.code == COW_OK)
		return cow_err_set(err, r, "detach the root");
	if (err)
		*err = why;
	return r;
}

static int begin(struct cow_rebase *rb, const struct cow_image *v2, struct cow_err *err)
{
	int r = cow_client_open_root(rb->s, rb->client->id, &rb->at, err);
	if (r == 0)
		r = open_v1(rb, err);
	if (r == 0)
		r = open_version(rb, v2, &rb->v2, &rb->tree2, err);
	if (r < 0)
		return r;
	r = cow_rebase_common(rb, rb->at.conf.image, v2->name);
	if (r < 0)
		return cow_err_set(err, r, "look for what the versions have in common");
	rb->numbers = rb->at.conf.backend == COW_BACKEND_OVERLAY;
	rb->buf = malloc(COW_COMMIT_SAME_BUF);
	rb->names = malloc(COW_XATTR_LIST_MAX);
	rb->value = malloc(COW_XATTR_SIZE_MAX);
	if (!rb->buf || !rb->names || !rb->value)
		return cow_err_set(err, -ENOMEM, "compare the root with its image");
	r = open_ours(rb, err);
	return r < 0 ? r : cow_rebase_plan(rb, err);
}

static int report(const struct cow_rebase *rb)
{
	int r = 0;
	for (size_t k = 0; r == 0 && rb->opts->fn && k < rb->n; k++)
		r = rb->opts->fn(rb->opts->ctx, &rb->entries[k].line);
	return r;
}

/* ---------------------------------------------------------------- doing it */

static int replay(struct cow_rebase *rb, int dir, struct cow_err *err)
{
	struct cow_ovl_inst *to = NULL;
	struct cow_ovl_image *below = rb->client->backend == COW_BACKEND_OVERLAY ? rb->v2 : NULL;
	int r = cow_ovl_inst_open(dir, below, COW_OVL_STAGED, &to, err);
	if (r < 0)
		return cow_err_prefix(err, r, "attach the new root");
	r = cow_rebase_replay(rb, to, err);
	int closed = cow_ovl_inst_close(to);
	return r < 0 || closed == 0 ? r : cow_err_set(err, closed, "detach the new root");
}

static int refuse_in_use(struct cow_store *s, const struct cow_client *c, bool boots,
			 struct cow_err *err)
{
	return boots ? cow_client_refuse_mounted(s, &c->mac, "rebase", err)
		     : cow_client_refuse_running(s, &c->mac, 0, "rebase", err);
}

int cow_rebase_apply(struct cow_store *s, const struct cow_client *c, int to,
		     const struct cow_rebase_how *how, struct cow_err *err)
{
	struct cow_rebase rb = COW_REBASE_EMPTY;
	struct cow_root conf;
	cow_autoimage image = NULL;
	rb.s = s;
	rb.client = c;
	rb.opts = how->opts;
	rb.stop = how->stop;
	rb.stop_ctx = how->ctx;
	int r = cow_root_read(to, &conf, err);
	if (r == 0)
		r = cow_client_find_image(s, &conf, &image, err);
	if (r == 0)
		r = begin(&rb, image, err);
	if (r == 0)
		r = replay(&rb, to, err);
	/* It may have been switched on since. */
	if (r == 0)
		r = refuse_in_use(s, c, how->boots, err);
	if (r == 0)
		r = report(&rb);
	cow_rebase_done(&rb);
	return r;
}

static int find_image(struct cow_store *s, const struct cow_client *c, const char *ref,
		      struct cow_image **ret, struct cow_err *err)
{
	int r = cow_image_find(s, ref ? ref : c->follows, ret, err);
	return r < 0 && !ref ? cow_err_prefix(err, r, "client %s follows %s", c->id, c->follows)
			     : r;
}

int cow_client_rebase_plan(struct cow_store *s, const struct cow_mac *mac, const char *image,
			   const struct cow_rebase_opts *opts, struct cow_err *err)
{
	struct cow_rebase rb = COW_REBASE_EMPTY;
	cow_autoimage to = NULL;
	cow_autoclient c = NULL;
	rb.s = s;
	rb.opts = opts;
	int r = cow_client_load(s, mac, &c, err);
	rb.client = c;
	if (r == 0 && !(opts->flags & COW_REBASE_RUNNING))
		r = cow_client_refuse_running(s, mac, 0, "rebase", err);
	if (r == 0)
		r = find_image(s, c, image, &to, err);
	if (r == 0)
		r = begin(&rb, to, err);
	if (r == 0)
		r = report(&rb);
	cow_rebase_done(&rb);
	return r < 0 && c ? cow_err_prefix(err, r, "rebase client %s", c->id) : r;
}
