/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rebase of a client: plan, fresh root with the plan made true in it, swap.
 *
 * The old root is only looked at. What a crash leaves is what a reset leaves (client_swap.c): the new
 * root has no name before the plan is true in it, and is on disk before `current` names it (I2).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commit_internal.h"
#include "common/checked.h"
#include "common/fs.h"
#include "names.h"
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

static bool same_lineage(const struct cow_rebase *rb)
{
	struct cow_ovl_image_info a, b;
	cow_ovl_image_info(rb->v1, &a);
	cow_ovl_image_info(rb->v2, &b);
	return memcmp(a.lineage, b.lineage, sizeof(a.lineage)) == 0;
}

/* The root, to be read. To attach it for a moment sets right what the kernel did to it, if anything;
 * where somebody has it, as the NFS server while after its machine was switched off, it is in order. */
static int open_ours(struct cow_rebase *rb, struct cow_err *err)
{
	struct cow_ovl_image *below = rb->numbers ? rb->v1 : NULL;
	struct cow_ovl_inst *inst = NULL;
	struct cow_err why = COW_ERR_INIT;
	char who[COW_OVL_HOLDER_MAX];
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
	rb->lineage = same_lineage(rb);
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

static int find_image(struct cow_store *s, const struct cow_client *c, const char *ref,
		      struct cow_image **ret, struct cow_err *err)
{
	int r = cow_image_find(s, ref ? ref : c->follows, ret, err);
	return r < 0 && !ref ? cow_err_prefix(err, r, "client %s follows %s", c->id, c->follows)
			     : r;
}

static int replay(struct cow_rebase *rb, int roots, const char *name, struct cow_err *err)
{
	struct cow_ovl_inst *to = NULL;
	struct cow_ovl_image *below = rb->client->backend == COW_BACKEND_OVERLAY ? rb->v2 : NULL;
	cow_autoclose int dir = cow_opendir_at(roots, name);
	int r = dir < 0 ? cow_err_set(err, dir, "open root %s", name)
			: cow_ovl_inst_open(dir, below, COW_OVL_STAGED, &to, err);
	if (r < 0)
		return cow_err_prefix(err, r, "attach the new root");
	r = cow_rebase_replay(rb, to, err);
	int closed = cow_ovl_inst_close(to);
	return r < 0 || closed == 0 ? r : cow_err_set(err, closed, "detach the new root");
}

/* One above everything there is, so that a number names one root for ever. */
static int next_root(int roots, char ret[16])
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	uint64_t highest = 0, n;
	int r = cow_names_read(roots, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (cow_parse_u64(names.name[i], 1, UINT32_MAX - 1, &n) == 0 && n > highest)
			highest = n;
	(void)snprintf(ret, 16, "%u", (unsigned)highest + 1);
	return r;
}

/* The new root, not referred to, as the plan says. */
static int make_root(struct cow_rebase *rb, int roots, const char *name,
		     const struct cow_image *image, struct cow_err *err)
{
	unsigned n = (unsigned)strtoul(name, NULL, 10);
	const struct cow_root_how how = {
	    .previous = rb->client->root,
	    .highest = n,
	    .why = COW_WHY_ROLL,
	};
	int r = cow_client_make_root(rb->s, roots, n, rb->client, image, &how, err);
	if (r < 0)
		return r;
	r = replay(rb, roots, name, err);
	if (r == 0 && syncfs(roots) < 0) /* I2 */
		r = cow_err_set(err, -errno, "write root %s to disk", name);
	/* It may have been switched on since. */
	if (r == 0)
		r = cow_client_refuse_running(rb->s, &rb->client->mac, 0, "rebase", err);
	if (r < 0)
		(void)cow_tree_delete_at(roots, name); /* else the sweep has it */
	return r;
}

static int swap_to(struct cow_rebase *rb, int dir, const struct cow_image *image,
		   struct cow_err *err)
{
	char name[16], target[32];
	cow_autoclose int roots = cow_opendir_at(dir, "roots");
	int r = roots < 0 ? roots : next_root(roots, name);
	if (r < 0)
		return cow_err_set(err, r, "look at the roots of client %s", rb->client->id);
	r = make_root(rb, roots, name, image, err);
	if (r < 0)
		return r;
	(void)snprintf(target, sizeof(target), "roots/%s", name);
	r = cow_next_drop(dir); /* overtaken */
	if (r == 0)
		r = cow_symlink_swap_at(dir, target, "current");
	return r < 0 ? cow_err_set(err, r, "swap to root %s", name)
		     : cow_client_epoch_repair(dir, err);
}

/* With the locks held. */
static int rebase(struct cow_rebase *rb, int dir, const char *ref, struct cow_err *err)
{
	cow_autoimage image = NULL;
	int r = find_image(rb->s, rb->client, ref, &image, err);
	if (r == 0)
		r = begin(rb, image, err);
	return r < 0 ? r : swap_to(rb, dir, image, err);
}

static int rebase_locked(struct cow_rebase *rb, const struct cow_mac *mac, const char *ref,
			 struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int lock = -1;
	cow_autoclient c = NULL;
	cow_autoclient after = NULL;
	cow_mac_text(mac, id);
	cow_autoclose int store_lock = cow_store_lock(rb->s, err);
	if (store_lock < 0)
		return store_lock;
	cow_autoclose int dir = cow_client_lock(rb->s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	if (dir < 0)
		return dir;
	int r = cow_client_refuse_running(rb->s, mac, 0, "rebase", err);
	if (r == 0)
		r = cow_client_read(dir, id, &c, err);
	rb->client = c;
	if (r == 0)
		r = rebase(rb, dir, ref, err);
	rb->client = NULL;
	if (r < 0)
		return cow_err_prefix(err, r, "rebase client %s", id);
	r = cow_client_read(dir, id, &after, err);
	if (r == 0)
		r = cow_client_sweep_roots(rb->s, dir, after);
	return r < 0 ? cow_err_set(err, r,
				   "the swap is done, but removing the old root of client %s", id)
		     : 0;
}

int cow_client_rebase(struct cow_store *s, const struct cow_mac *mac, const char *image,
		      const struct cow_rebase_opts *opts, struct cow_err *err)
{
	struct cow_rebase rb = COW_REBASE_EMPTY;
	rb.s = s;
	rb.opts = opts;
	int r = rebase_locked(&rb, mac, image, err);
	if (r == 0)
		r = report(&rb);
	cow_rebase_done(&rb);
	return r;
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
	if (r == 0)
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
