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

static int fill_root(struct cow_store *s, int dir, const struct cow_client *c,
		     const struct cow_image *image, unsigned previous, struct cow_err *err)
{
	struct cow_ovl_create_opts opts = {.durability = c->durability};
	struct cow_root root = {
	    .version = image->version,
	    .previous = previous,
	    .swapped_s = cow_realtime_s(),
	    .boot_dir = image->boot_dir,
	    .initramfs = image->initramfs,
	};
	memcpy(root.image, image->name, sizeof(root.image));
	cow_autoclose int golden = cow_image_tree(s, image);
	int r = golden < 0 ? golden : cow_btrfs_snapshot(golden, dir, "tree");
	if (r < 0)
		return cow_err_set(err, r, "snapshot image %s@%u", image->name, image->version);
	cow_autoclose int tree = cow_opendir_at(dir, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the new root");
	r = cow_identity_write(s, tree, &c->mac, c->name, err);
	if (r == 0)
		r = cow_ovl_inst_create(dir, NULL, &opts, err);
	return r < 0 ? r : cow_root_write(dir, &root, COW_PUT_STAGED, err);
}

int cow_client_make_root(struct cow_store *s, int roots, unsigned n, const struct cow_client *c,
			 const struct cow_image *image, unsigned previous, struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(COW_NEW_PREFIX) + COW_HEX64_LEN], name[16];
	int r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "make a root");
	(void)snprintf(temp, sizeof(temp), COW_NEW_PREFIX "%s", hex);
	(void)snprintf(name, sizeof(name), "%u", n);
	r = cow_mkdir_at(roots, temp, 0700);
	cow_autoclose int dir = r < 0 ? r : cow_opendir_at(roots, temp);
	if (dir < 0)
		return cow_err_set(err, dir, "make a root");
	r = fill_root(s, dir, c, image, previous, err);
	if (r == 0 && renameat(roots, temp, roots, name) < 0)
		r = cow_err_set(err, -errno, "make root %u", n);
	if (r < 0)
		(void)cow_tree_delete_at(roots, temp); /* else the sweep has it */
	return r;
}

int cow_client_sweep_roots(int client_dir, unsigned current, unsigned previous)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	cow_autoclose int roots = cow_opendir_at(client_dir, "roots");
	int r = roots < 0 ? roots : cow_names_read(roots, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		uint64_t n = 0;
		if (cow_parse_u64(names.name[i], 1, UINT32_MAX, &n) < 0 &&
		    strncmp(names.name[i], COW_NEW_PREFIX, strlen(COW_NEW_PREFIX)) != 0)
			continue; /* not ours */
		if (n != 0 && (n == current || n == previous))
			continue;
		r = cow_tree_delete_at(roots, names.name[i]);
	}
	return r;
}
