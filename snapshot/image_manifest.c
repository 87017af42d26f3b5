/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Manifests of images: loading, checking, and what can be made of a version that has one or not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "btrfs.h"
#include "common/fs.h"
#include "image_internal.h"

static int no_manifest(const struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	if (*i->id)
		return cow_err_say(err, COW_ERR_FAILED, -EIO,
				   "image %s@%u is damaged: %s is missing", i->name, i->version,
				   COW_OVM_NAME);
	cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
		    "image %s@%u has no manifest: it was imported by a cowherd that made none",
		    i->name, i->version);
	return cow_err_hint(err, -EOPNOTSUPP,
			    "import it once more: cowherd image import --no-fixup all %s "
			    "%s/images/%s/%u/tree",
			    i->name, s->path, i->name, i->version);
}

static int open_version(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	int dir = cow_image_version(s, i);
	if (dir < 0)
		return cow_err_set(err, dir, "open image %s@%u", i->name, i->version);
	int r = cow_exists_at(dir, COW_OVM_NAME);
	if (r > 0)
		return dir;
	(void)close(dir);
	return r < 0 ? cow_err_set(err, r, "look for the manifest of image %s@%u", i->name,
				   i->version)
		     : no_manifest(s, i, err);
}

static int check_btrfs(struct cow_store *s, const struct cow_image *i, struct cow_err *err)
{
	cow_autoclose int tree = cow_image_tree(s, i);
	int r = tree < 0 ? tree : cow_btrfs_is_subvol(tree);
	if (r < 0)
		return cow_err_set(err, r, "open image %s@%u", i->name, i->version);
	if (r > 0)
		return 0;
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
					"backend btrfs: the tree of image %s@%u is no btrfs "
					"subvolume",
					i->name, i->version),
			    "use backend overlay, or import the image into a store on btrfs");
}

int cow_image_check_backend(struct cow_store *s, const struct cow_image *i, enum cow_backend b,
			    struct cow_err *err)
{
	if (b == COW_BACKEND_BTRFS)
		return check_btrfs(s, i, err);
	cow_autoclose int dir = open_version(s, i, err);
	return dir < 0 ? dir : 0;
}

int cow_image_manifest(struct cow_store *s, const struct cow_image *i, struct cow_ovl_image **ret,
		       struct cow_err *err)
{
	cow_autoclose int dir = open_version(s, i, err);
	if (dir < 0)
		return dir;
	int r = cow_ovl_image_open(dir, ret, err);
	return r < 0 ? cow_err_prefix(err, r, "image %s@%u", i->name, i->version) : 0;
}

int cow_image_newest_manifest(int dir, struct cow_ovl_image **ret, unsigned *ret_version,
			      struct cow_err *err)
{
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	char number[16];
	*ret = NULL;
	int r = cow_image_versions(dir, &list, &n);
	if (r < 0)
		return cow_err_set(err, r, "look for earlier versions");
	while (n--) {
		(void)snprintf(number, sizeof(number), "%u", list[n]);
		cow_autoclose int version = cow_opendir_at(dir, number);
		if (version == -ENOENT)
			continue; /* removed meanwhile */
		if (version < 0)
			return cow_err_set(err, version, "open version %u", list[n]);
		if (faccessat(version, COW_OVM_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*ret_version = list[n];
		return cow_ovl_image_open(version, ret, err);
	}
	return 0;
}

/* ---------------------------------------------------------------- verify */

static int hex_to_id(const char *hex, uint8_t id[COW_OVM_ID_LEN])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t k = 0; k < COW_OVM_ID_LEN; k++) {
		const char *hi = hex[2 * k] ? strchr(digits, hex[2 * k]) : NULL;
		const char *lo = hi && hex[2 * k + 1] ? strchr(digits, hex[2 * k + 1]) : NULL;
		if (!lo)
			return -EBADMSG;
		id[k] = (uint8_t)((hi - digits) << 4 | (lo - digits));
	}
	return hex[COW_IMAGE_ID_LEN] ? -EBADMSG : 0;
}

int64_t cow_image_verify(struct cow_store *s, const struct cow_image *i,
			 int (*found)(void *ctx, const char *path, const char *what),
			 int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			 struct cow_err *err)
{
	uint8_t id[COW_OVM_ID_LEN];
	cow_autoclose int dir = open_version(s, i, err);
	if (dir < 0)
		return dir;
	if (hex_to_id(i->id, id) < 0)
		return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				   "the record of image %s@%u holds no id", i->name, i->version);
	int64_t n = cow_ovl_image_verify(dir, id, found, progress, ctx, err);
	return n < 0 ? cow_err_prefix(err, (int)n, "verify image %s@%u", i->name, i->version) : n;
}
