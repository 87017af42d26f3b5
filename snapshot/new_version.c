/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Staging and publication of a version; its record and manifest are in new_version_conf.c.
 */
#include "new_version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "archive_format.h"
#include "btrfs.h"
#include "common/checked.h"
#include "common/fs.h"
#include "common/log.h"

/* ---------------------------------------------------------------- staging */

static int open_dir(struct cow_new_version *v, struct cow_err *err)
{
	cow_autoclose int images = cow_opendir_at(v->s->fd, "images");
	int r = images < 0 ? images : cow_mkdir_at(images, v->name, 0700);
	if (r == 0)
		r = v->dir = cow_opendir_at(images, v->name);
	if (r < 0)
		return cow_err_set(err, r, "make image %s", v->name);
	v->lock = cow_lock_at(v->dir, "lock", 0);
	if (v->lock == -EBUSY)
		return cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				   "another version of image %s is being made", v->name);
	if (v->lock < 0) {
		(void)unlinkat(images, v->name, AT_REMOVEDIR); /* where it is new, and so empty */
		return cow_err_set(err, v->lock, "lock image %s", v->name);
	}
	return 0;
}

static int make_tree(const struct cow_new_version *v, int subvol)
{
	if (subvol >= 0)
		return cow_btrfs_snapshot(subvol, v->stage, "tree");
	return v->s->btrfs ? cow_btrfs_subvol_create(v->stage, "tree")
			   : cow_mkdir_at(v->stage, "tree", 0755);
}

static int stage_begin(struct cow_new_version *v, int subvol, struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1];
	cow_autoclose int lock = cow_store_lock(v->s, err);
	if (lock < 0)
		return lock;
	int r = open_dir(v, err);
	if (r < 0)
		return r;
	r = cow_image_sweep_dir(v->dir);
	if (r == 0)
		r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "prepare image %s", v->name);
	(void)snprintf(v->stage_name, sizeof(v->stage_name), COW_IMPORT_PREFIX "%s", hex);
	r = cow_mkdir_at(v->dir, v->stage_name, 0700);
	if (r == 0)
		r = v->stage = cow_opendir_at(v->dir, v->stage_name);
	if (r >= 0)
		r = make_tree(v, subvol);
	if (r == 0)
		r = v->tree = cow_opendir_at(v->stage, "tree");
	return r < 0 ? cow_err_set(err, r, "make a tree for image %s", v->name) : 0;
}

int cow_new_version_begin(struct cow_new_version *v, int subvol, struct cow_err *err)
{
	v->dir = v->lock = v->stage = v->tree = -1;
	if (cow_label_check(v->name) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is no image name: 1 to %d letters, digits, '.', '_', '-'",
				   COW_Q(v->name), COW_LABEL_MAX);
	int r = cow_store_check_space(v->s, err);
	if (r < 0)
		return r;
	r = cow_kv_new(&v->conf);
	if (r < 0)
		return cow_err_set(err, r, "describe image %s", v->name);
	r = stage_begin(v, subvol, err);
	if (r == 0)
		v->fill = (struct cow_fill){.tree = v->tree, .opts = v->opts};
	return r;
}

/* The tree of the newest version, if a snapshot can be made of it. -> fd; -ENOENT */
static int open_newest(const struct cow_new_version *v)
{
	char path[32];
	if (!v->s->btrfs || !v->newest)
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "%u/tree", v->newest_number);
	int fd = cow_opendir_at(v->dir, path);
	if (fd < 0 || cow_btrfs_is_subvol(fd) > 0)
		return fd;
	(void)close(fd); /* a directory opened for reading */
	return -ENOENT;
}

/* In place of the one there is. @subvol: see make_tree() */
static int replace_tree(struct cow_new_version *v, int subvol)
{
	(void)close(v->tree); /* a directory opened for reading */
	v->tree = v->fill.tree = -1;
	int r = cow_btrfs_subvol_delete(v->stage, "tree");
	if (r == 0)
		r = make_tree(v, subvol);
	if (r == 0)
		r = v->tree = v->fill.tree = cow_opendir_at(v->stage, "tree");
	return r < 0 ? r : 0;
}

int cow_new_version_on_newest(struct cow_new_version *v, struct cow_err *err)
{
	cow_autoclose int newest = open_newest(v);
	if (newest < 0)
		return newest == -ENOENT ? 0 : cow_err_set(err, newest, "%s", v->doing);
	int r = replace_tree(v, newest);
	if (r == 0)
		r = cow_fill_base_begin(&v->fill, newest);
	if (r == -E2BIG || r == -EPERM || r == -EOPNOTSUPP)
		r = replace_tree(v, -1);
	return r < 0 ? cow_err_set(err, r, "make a tree for image %s", v->name) : 0;
}

/* Nothing of it was ever visible; a failure here leaves it for the sweep. */
static void stage_drop(struct cow_new_version *v)
{
	if (v->dir < 0 || v->lock < 0)
		return;
	if (*v->stage_name)
		(void)cow_tree_delete_at(v->dir, v->stage_name);
	if (v->s->btrfs)
		(void)cow_btrfs_sync(v->dir); /* clients may be waiting for the space */
	cow_autoclose int lock = cow_store_lock(v->s, NULL);
	if (lock >= 0)
		cow_image_drop_if_unused(v->s, v->dir, v->name);
}

void cow_new_version_end(struct cow_new_version *v, int r)
{
	const int fds[] = {v->tree, v->stage, v->lock, v->dir};
	if (r < 0)
		stage_drop(v);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* synced before */
	cow_ovl_share_free(v->fill.share);
	cow_ovl_image_close(v->newest);
	cow_fill_done(&v->fill);
	cow_fixlog_done(&v->log);
	cow_kv_free(v->conf);
}

/* ---------------------------------------------------------------- publication */

int cow_new_version_settle(struct cow_new_version *v, struct cow_err *err)
{
	if (syncfs(v->tree) < 0)
		return cow_err_set(err, -errno, "write image %s to disk", v->name);
	int r = v->s->btrfs ? cow_btrfs_set_read_only(v->tree) : 0;
	return r < 0 ? cow_err_set(err, r, "make the tree of image %s read-only", v->name) : 0;
}

static int next_version(struct cow_new_version *v, unsigned *ret)
{
	cow_autofree char *text = NULL;
	size_t len;
	uint64_t last = 0;
	unsigned newest;
	int r = cow_image_newest(v->dir, &newest);
	if (r < 0)
		return r;
	r = cow_read_file_at(v->dir, "last", 64, &text, &len);
	if (r == 0)
		r = cow_parse_u64n(text, strcspn(text, "\n"), 0, UINT32_MAX - 1, &last);
	if (r < 0 && r != -ENOENT)
		return r;
	newest = newest > last ? newest : (unsigned)last;
	int ahead = v->number > newest && v->number - newest <= COW_ARC_NUMBER_AHEAD;
	*ret = ahead ? v->number : newest + 1;
	return 0;
}

int cow_new_version_publish(struct cow_new_version *v, unsigned *ret_version, struct cow_err *err)
{
	char number[16];
	unsigned version;
	cow_autoclose int lock = cow_store_lock(v->s, err);
	if (lock < 0)
		return lock;
	int r = next_version(v, &version);
	if (r < 0)
		return cow_err_set(err, r, "number image %s", v->name);
	int len = snprintf(number, sizeof(number), "%u\n", version);
	r = cow_write_file_at(v->dir, "last", number, (size_t)len, 0644);
	if (r < 0)
		return cow_err_set(err, r, "number image %s", v->name);
	number[len - 1] = 0;
	if (syncfs(v->dir) < 0) /* I2: durable before it has its name */
		return cow_err_set(err, -errno, "write image %s to disk", v->name);
	if (renameat(v->dir, v->stage_name, v->dir, number) < 0)
		return cow_err_set(err, -errno, "publish image %s@%u", v->name, version);
	r = cow_fsync_dir_at(v->dir, ".");
	if (r < 0)
		return cow_err_set(err, r, "publish image %s@%u", v->name, version);
	*ret_version = version;
	return 0;
}
