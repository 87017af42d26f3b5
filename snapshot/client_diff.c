/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a client changed of its image, whatever the backend.
 */
#include <errno.h>
#include <unistd.h>

#include "client_internal.h"
#include "common/fs.h"
#include "diff_plain.h"

static int diff_overlay(struct cow_store *s, const struct cow_client_at *at, cow_ovl_diff_fn fn,
			void *ctx, struct cow_err *err)
{
	cow_autoovlimage img = NULL;
	int r = cow_client_manifest(s, &at->conf, &img, err);
	return r < 0 ? r : cow_ovl_inst_diff(at->root, img, fn, ctx, err);
}

static int diff_btrfs(struct cow_store *s, const struct cow_client_at *at, cow_ovl_diff_fn fn,
		      void *ctx, struct cow_err *err)
{
	cow_autoimage image = NULL;
	int r = cow_client_find_image(s, &at->conf, &image, err);
	if (r < 0)
		return r;
	cow_autoclose int golden = cow_image_tree(s, image);
	if (golden < 0)
		return cow_err_set(err, golden, "open the tree of image %s@%u", image->name,
				   image->version);
	cow_autoclose int tree = cow_opendir_at(at->root, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the tree of the root");
	return cow_diff_plain(golden, tree, fn, ctx, err);
}

int cow_client_diff_root(struct cow_store *s, const struct cow_client_at *at, cow_ovl_diff_fn fn,
			 void *ctx, struct cow_err *err)
{
	return at->conf.backend == COW_BACKEND_OVERLAY ? diff_overlay(s, at, fn, ctx, err)
						       : diff_btrfs(s, at, fn, ctx, err);
}

int cow_client_diff(struct cow_store *s, const struct cow_mac *mac, cow_ovl_diff_fn fn, void *ctx,
		    struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_mac_text(mac, id);
	int r = cow_client_open_root(s, id, &at, err);
	if (r < 0)
		return r;
	r = cow_client_diff_root(s, &at, fn, ctx, err);
	return r < 0 ? cow_err_prefix(err, r, "root %u of client %s", at.n, id) : r;
}
