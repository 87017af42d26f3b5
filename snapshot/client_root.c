/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Roots of a client: made fresh from an image, swept when nothing refers to them any more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "btrfs.h"
#include "client_internal.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "names.h"
#include "tree.h"

/* ---------------------------------------------------------------- backends */

static int tree_put(void *ctx, const char *path, const void *buf, size_t len, mode_t mode)
{
	const int *tree = ctx;
	return cow_tree_write(*tree, path, buf, len, mode);
}

static int fill_btrfs(struct cow_store *s, int dir, const struct cow_root_how *how,
		      const struct cow_image *image, struct cow_err *err)
{
	cow_autoclose int golden = cow_image_tree(s, image);
	int r = golden < 0 ? golden : cow_btrfs_snapshot(golden, dir, "tree");
	if (r < 0)
		return cow_err_set(err, r, "snapshot image %s@%u", image->name, image->version);
	cow_autoclose int tree = cow_opendir_at(dir, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the new root");
	const struct cow_ovl_create_opts opts = {.durability = how->durability};
	struct cow_identity to = {.tree = tree, .put = tree_put, .ctx = &tree};
	r = how->mac ? cow_identity_write(s, &to, how->mac, how->name, err) : 0;
	return r < 0 ? r : cow_ovl_inst_create(dir, NULL, &opts, err);
}

static int seed_put(void *ctx, const char *path, const void *buf, size_t len, mode_t mode)
{
	return cow_ovl_seed_file(ctx, path, buf, len, mode);
}

/* The manifest is not loaded: its size must not matter. */
static int fill_overlay(struct cow_store *s, int dir, const struct cow_root_how *how,
			const struct cow_image *image, struct cow_err *err)
{
	const struct cow_ovl_create_opts opts = {.durability = how->durability};
	cow_autoseed seed = NULL;
	cow_autoclose int golden = cow_image_version(s, image);
	if (golden < 0)
		return cow_err_set(err, golden, "open image %s@%u", image->name, image->version);
	cow_autoclose int tree = cow_opendir_at(golden, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the tree of image %s@%u", image->name,
				   image->version);
	int r = cow_ovl_inst_create_peek(dir, golden, &opts, err);
	if (r < 0)
		return cow_err_prefix(err, r, "make a root from image %s@%u", image->name,
				      image->version);
	r = how->mac ? cow_ovl_seed_begin(dir, golden, &seed, err) : 0;
	if (r < 0 || !how->mac)
		return r;
	struct cow_identity to = {.tree = tree, .put = seed_put, .ctx = seed};
	return cow_identity_write(s, &to, how->mac, how->name, err);
}

int cow_root_fill(struct cow_store *s, int dir, const struct cow_image *image,
		  const struct cow_root_how *how, struct cow_err *err)
{
	struct cow_root root = {
	    .version = image->version,
	    .backend = how->backend,
	    .previous = how->previous,
	    .swapped_s = cow_realtime_s(),
	    .boot_dir = image->boot_dir,
	    .initramfs = image->initramfs,
	};
	root.made_s = root.swapped_s;
	root.why = how->why;
	root.highest = how->highest;
	(void)snprintf(root.name, sizeof(root.name), "%s", how->name ? how->name : "");
	(void)snprintf(root.order, sizeof(root.order), "%s", how->order ? how->order : "");
	memcpy(root.image, image->name, sizeof(root.image));
	int r = cow_store_check_backend(s, how->backend, err);
	if (r == 0)
		r = cow_image_check_backend(s, image, how->backend, err);
	if (r == 0)
		r = how->backend == COW_BACKEND_OVERLAY ? fill_overlay(s, dir, how, image, err)
							: fill_btrfs(s, dir, how, image, err);
	return r < 0 ? r : cow_root_write(dir, &root, COW_PUT_STAGED, err);
}

/* ---------------------------------------------------------------- making and sweeping */

int cow_client_make_root(struct cow_store *s, int roots, unsigned n, const struct cow_client *c,
			 const struct cow_image *image, const struct cow_root_how *how,
			 struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(COW_NEW_PREFIX) + COW_HEX64_LEN], name[16];
	int r = cow_store_check_space(s, err);
	if (r < 0)
		return r;
	r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "make a root");
	(void)snprintf(temp, sizeof(temp), COW_NEW_PREFIX "%s", hex);
	(void)snprintf(name, sizeof(name), "%u", n);
	r = cow_mkdir_at(roots, temp, 0700);
	cow_autoclose int dir = r < 0 ? r : cow_opendir_at(roots, temp);
	if (dir < 0)
		return cow_err_set(err, dir, "make a root");
	struct cow_root_how all = *how;
	all.backend = c->backend;
	all.durability = c->durability;
	all.mac = &c->mac;
	all.name = c->name;
	r = cow_root_fill(s, dir, image, &all, err);
	if (r == 0 && renameat(roots, temp, roots, name) < 0)
		r = cow_err_set(err, -errno, "make root %u", n);
	if (r < 0)
		(void)cow_tree_delete_at(roots, temp); /* else the sweep has it */
	return r;
}

int cow_client_root_numbers(int client_dir, unsigned **ret, size_t *ret_n)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	uint64_t n;
	int r = cow_names_read(client_dir, "roots", &names);
	if (r < 0)
		return r;
	unsigned *list = calloc(names.n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*ret_n = 0;
	for (size_t i = 0; i < names.n; i++)
		if (cow_parse_u64(names.name[i], 1, UINT32_MAX - 1, &n) == 0)
			list[(*ret_n)++] = (unsigned)n;
	cow_numbers_sort(list, *ret_n);
	*ret = list;
	return 0;
}

/* The number above which a root stays, so that with the previous one keep_roots of them do: the last made. */
static unsigned stays_above(const struct cow_client *c, const unsigned *list, size_t n)
{
	unsigned room = c->keep_roots - (c->previous && c->keep_roots ? 1 : 0);
	while (n > 0 && room > 0) {
		unsigned k = list[--n];
		room -= k <= c->highest && k != c->root && k != c->previous;
	}
	return room > 0 || n == 0 ? 0 : list[n - 1];
}

static int sweep_one(struct cow_store *s, int roots, const struct cow_client *c, const char *name,
		     unsigned above)
{
	uint64_t n = 0;
	if (cow_parse_u64(name, 1, UINT32_MAX, &n) < 0)
		return strncmp(name, COW_NEW_PREFIX, strlen(COW_NEW_PREFIX)) == 0
			   ? cow_trash_put(s, roots, name)
			   : 0; /* not ours */
	bool kept = c->keep_roots && (n == c->previous || (n > above && n <= c->highest));
	return n == c->root || kept ? 0 : cow_trash_put(s, roots, name);
}

int cow_client_sweep_roots(struct cow_store *s, int client_dir, const struct cow_client *c)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autofree unsigned *list = NULL;
	size_t count = 0;
	int r = cow_client_root_numbers(client_dir, &list, &count);
	if (r < 0)
		return r;
	unsigned above = stays_above(c, list, count);
	cow_autoclose int roots = cow_opendir_at(client_dir, "roots");
	r = roots < 0 ? roots : cow_names_read(roots, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = sweep_one(s, roots, c, names.name[i], above);
	return r;
}
