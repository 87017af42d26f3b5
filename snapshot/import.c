/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of an image: fill a staging directory, make it durable, give it its number by one rename.
 *
 * What a crash leaves, by step:
 *	1 images/NAME with its lock	swept when nothing else is in it
 *	2 .import-HEX/, partly filled	swept by the next import of NAME and by every sweep
 *	3 tree synced, no image.ovm	likewise
 *	4 image.ovm, image.conf		likewise: complete, but it has no number
 *	5 all synced, not renamed	likewise
 *	6 renamed			the version is there, complete (I2)
 *
 * The tree is on disk before the manifest is made: what is read back and recorded as golden is what
 * a later start of the machine finds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "btrfs.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "fill.h"
#include "fixup.h"
#include "image_internal.h"
#include "names.h"

struct import {
	struct cow_store *s;
	const char *name, *source;
	const struct cow_import_opts *opts;
	int dir;  /* images/NAME */
	int lock; /* images/NAME/lock */
	int stage, tree;
	char stage_name[sizeof(COW_IMPORT_PREFIX) + COW_HEX64_LEN];
	struct cow_fill fill;
	struct cow_kv *conf;
};

/* ---------------------------------------------------------------- staging */

static int open_dir(struct import *m, struct cow_err *err)
{
	cow_autoclose int images = cow_opendir_at(m->s->fd, "images");
	int r = images < 0 ? images : cow_mkdir_at(images, m->name, 0700);
	if (r == 0)
		r = m->dir = cow_opendir_at(images, m->name);
	if (r < 0)
		return cow_err_set(err, r, "make image %s", m->name);
	m->lock = cow_lock_at(m->dir, "lock", 0);
	if (m->lock == -EBUSY)
		return cow_err_say(err, COW_ERR_BUSY, -EBUSY,
				   "another import into image %s is running", m->name);
	if (m->lock < 0)
		return cow_err_set(err, m->lock, "lock image %s", m->name);
	return 0;
}

static int stage_begin(struct import *m, struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1];
	cow_autoclose int lock = cow_store_lock(m->s, err);
	if (lock < 0)
		return lock;
	int r = open_dir(m, err);
	if (r < 0)
		return r;
	r = cow_image_sweep_dir(m->dir);
	if (r == 0)
		r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "prepare image %s", m->name);
	(void)snprintf(m->stage_name, sizeof(m->stage_name), COW_IMPORT_PREFIX "%s", hex);
	r = cow_mkdir_at(m->dir, m->stage_name, 0700);
	if (r == 0)
		r = m->stage = cow_opendir_at(m->dir, m->stage_name);
	if (r >= 0)
		r = m->s->btrfs ? cow_btrfs_subvol_create(m->stage, "tree")
				: cow_mkdir_at(m->stage, "tree", 0755);
	if (r == 0)
		r = m->tree = cow_opendir_at(m->stage, "tree");
	return r < 0 ? cow_err_set(err, r, "make a tree for image %s", m->name) : 0;
}

/* Nothing of it was ever visible; a failure here leaves it for the sweep. */
static void stage_drop(struct import *m)
{
	if (m->dir < 0 || m->lock < 0)
		return;
	(void)cow_image_sweep_dir(m->dir);
	if (m->s->btrfs)
		(void)cow_btrfs_sync(m->dir); /* clients may be waiting for the space */
	cow_autoclose int lock = cow_store_lock(m->s, NULL);
	if (lock >= 0)
		cow_image_drop_if_unused(m->s, m->dir, m->name);
}

/* ---------------------------------------------------------------- content */

static int fill_tree(struct import *m, struct cow_err *err)
{
	struct stat st, store;
	/* O_NONBLOCK: a fifo without writer must not hang us; files and directories do not care. */
	cow_autoclose int src = open(m->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (src < 0 || fstat(src, &st) < 0)
		return cow_err_set(err, -errno, "open the source '%s'", m->source);
	if (fstat(m->s->fd, &store) < 0)
		return cow_err_set(err, -errno, "look at store '%s'", m->s->path);
	m->fill = (struct cow_fill){.tree = m->tree, .opts = m->opts};
	if (S_ISDIR(st.st_mode))
		return cow_import_dir(&m->fill, src, m->source, store.st_dev, store.st_ino, err);
	if (!S_ISREG(st.st_mode))
		return cow_err_say(err, COW_ERR_FAILED, -EINVAL,
				   "'%s' is neither a directory nor a file", m->source);
	m->fill.source_total = (uint64_t)st.st_size;
	return cow_import_tar(&m->fill, src, m->source, err);
}

static int check_root(struct import *m, struct cow_err *err)
{
	if (m->fill.inodes > 1)
		return 0;
	return cow_err_say(err, COW_ERR_FAILED, -ENODATA, "'%s' is empty", m->source);
}

/* ---------------------------------------------------------------- record */

static int set_text(struct cow_kv *kv, const char *key, const char *value)
{
	cow_autofree char *text = cow_conf_text(value ? value : "");
	return text ? cow_kv_set(kv, "", key, text) : -ENOMEM;
}

static int add_text(struct cow_kv *kv, const char *key, const char *value)
{
	cow_autofree char *text = cow_conf_text(value ? value : "");
	return text ? cow_kv_add(kv, "", key, text) : -ENOMEM;
}

static int conf_detected(struct import *m)
{
	struct cow_detected d = {0};
	int r = cow_detect(m->tree, &d);
	if (r == 0)
		r = set_text(m->conf, "os", d.os);
	if (r == 0)
		r = set_text(m->conf, "arch", d.arch);
	if (r == 0)
		r = set_text(m->conf, "boot_dir", d.boot_dir);
	if (r == 0)
		r = set_text(m->conf, "initramfs", d.initramfs);
	free(d.os);
	return r;
}

static int conf_begin(struct import *m)
{
	char now[COW_TIME_TEXT_LEN + 1];
	cow_time_text(cow_realtime_s(), now);
	int r = cow_kv_new(&m->conf);
	if (r == 0)
		r = set_text(m->conf, "source", m->source);
	if (r == 0)
		r = set_text(m->conf, "created", now);
	if (r == 0)
		r = set_text(m->conf, "comment", m->opts ? m->opts->comment : NULL);
	if (r == 0)
		r = set_text(
		    m->conf, "backend",
		    cow_backend_name(m->s->btrfs ? COW_BACKEND_BTRFS : COW_BACKEND_OVERLAY));
	if (r == 0)
		r = conf_detected(m);
	if (r == 0)
		r = cow_kv_setf(m->conf, "", "inodes", "%llu", (unsigned long long)m->fill.inodes);
	if (r == 0)
		r = cow_kv_setf(m->conf, "", "bytes", "%llu", (unsigned long long)m->fill.bytes);
	return r;
}

/* What got lost or will not work, for image.conf and the administrator. */
static int conf_notes(struct import *m)
{
	struct cow_fill *f = &m->fill;
	int r = cow_kv_setf(m->conf, "", "capabilities", "%llu", (unsigned long long)f->caps);
	for (size_t i = 0; r == 0 && i < COW_FILL_CAPS_NAMED && f->caps_names[i]; i++)
		r = add_text(m->conf, "capability", f->caps_names[i]);
	if (f->xattrs_lost)
		cow_fill_note(f,
			      "%llu extended attributes are of kinds this file system does not "
			      "keep, such as %s",
			      (unsigned long long)f->xattrs_lost, f->xattr_lost_name);
	for (size_t i = 0; r == 0 && i < f->nnotes; i++)
		r = add_text(m->conf, "note", f->notes[i]);
	return r;
}

static void record_fixup(void *ctx, const char *name, const char *result, const char *what)
{
	struct import *m = ctx;
	char line[512];
	(void)snprintf(line, sizeof(line), "%s: %s%s%s", name, result, *what ? ": " : "", what);
	(void)add_text(m->conf, "fixup", line); /* the tree is what counts, this only tells */
	if (m->opts && m->opts->fixup)
		m->opts->fixup(m->opts->ctx, name, result, what);
}

static int describe(struct import *m, struct cow_err *err)
{
	int r = conf_begin(m);
	if (r < 0)
		return cow_err_set(err, r, "describe image %s", m->name);
	const char *boot_dir = cow_kv_get(m->conf, "", "boot_dir");
	r = cow_fixup_tree(m->tree, boot_dir, m->opts ? m->opts->skip_fixups : NULL, record_fixup,
			   m, err);
	if (r < 0)
		return r;
	r = conf_notes(m);
	return r < 0 ? cow_err_set(err, r, "describe image %s", m->name) : 0;
}

/* The heavy part: all data of the tree reaches the disk here, and nothing changes it any more. */
static int settle_tree(struct import *m, struct cow_err *err)
{
	if (syncfs(m->tree) < 0)
		return cow_err_set(err, -errno, "write image %s to disk", m->name);
	int r = m->s->btrfs ? cow_btrfs_set_read_only(m->tree) : 0;
	return r < 0 ? cow_err_set(err, r, "make the tree of image %s read-only", m->name) : 0;
}

/* ---------------------------------------------------------------- manifest */

static int manifest_progress(void *ctx, uint64_t inodes, uint64_t bytes)
{
	struct import *m = ctx;
	struct cow_import_progress p = {
	    .step = COW_IMPORT_MANIFEST,
	    .inodes = inodes,
	    .bytes = bytes,
	};
	return m->opts && m->opts->progress ? m->opts->progress(m->opts->ctx, &p) : 0;
}

/* Numbers of the version before go on where it can still be read. Nothing of it is needed once it
 * is loaded, so it may be removed meanwhile. */
static int load_parent(struct import *m, struct cow_ovl_image **ret, struct cow_err *err)
{
	unsigned version = 0;
	struct cow_err why = COW_ERR_INIT;
	char note[512];
	int r = cow_image_newest_manifest(m->dir, ret, &version, &why);
	if (r == 0)
		r = *ret ? cow_kv_setf(m->conf, "", "parent", "%u", version) : 0;
	if (r == 0 || r == -ENOMEM)
		return r < 0 ? cow_err_set(err, r, "describe image %s", m->name) : 0;
	if (r != -EBADMSG && r != -EOPNOTSUPP && r != -EIO) {
		if (err)
			*err = why;
		return cow_err_prefix(err, r, "load the manifest of image %s@%u", m->name, version);
	}
	(void)snprintf(note, sizeof(note), "%s@%u cannot be built on: %s", m->name, version,
		       cow_err_str(&why));
	r = add_text(m->conf, "note", note);
	return r < 0 ? cow_err_set(err, r, "describe image %s", m->name) : 0;
}

static int build_manifest(struct import *m, struct cow_err *err)
{
	char hex[COW_IMAGE_ID_LEN + 1];
	struct cow_ovl_image_info info;
	cow_autoovlimage parent = NULL;
	int r = load_parent(m, &parent, err);
	if (r < 0)
		return r;
	struct cow_ovl_image_build how = {
	    .parent = parent, .progress = manifest_progress, .ctx = m};
	r = cow_ovl_image_build(m->stage, &how, &info, err);
	if (r == -EINTR)
		return cow_err_set(err, r, "import of '%s' was stopped", m->source);
	if (r < 0)
		return cow_err_prefix(err, r, "manifest of image %s", m->name);
	for (size_t k = 0; k < COW_OVM_ID_LEN; k++)
		(void)snprintf(hex + 2 * k, 3, "%02x", info.id[k]);
	r = cow_kv_set(m->conf, "", "id", hex);
	if (r == 0) /* with what the fix-ups made */
		r = cow_kv_setf(m->conf, "", "inodes", "%llu", (unsigned long long)info.inodes);
	if (r < 0)
		return cow_err_set(err, r, "describe image %s", m->name);
	return cow_kv_write_at(m->stage, "image.conf", m->conf, 0644, err);
}

/* ---------------------------------------------------------------- publication */

static int next_version(struct import *m, unsigned *ret)
{
	cow_autofree char *text = NULL;
	size_t len;
	uint64_t last = 0;
	unsigned newest;
	int r = cow_image_newest(m->dir, &newest);
	if (r < 0)
		return r;
	r = cow_read_file_at(m->dir, "last", 64, &text, &len);
	if (r == 0)
		r = cow_parse_u64n(text, strcspn(text, "\n"), 0, UINT32_MAX - 1, &last);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = (newest > last ? newest : (unsigned)last) + 1;
	return 0;
}

static int publish(struct import *m, unsigned *ret_version, struct cow_err *err)
{
	char number[16];
	unsigned version;
	cow_autoclose int lock = cow_store_lock(m->s, err);
	if (lock < 0)
		return lock;
	int r = next_version(m, &version);
	if (r < 0)
		return cow_err_set(err, r, "number image %s", m->name);
	int len = snprintf(number, sizeof(number), "%u\n", version);
	r = cow_write_file_at(m->dir, "last", number, (size_t)len, 0644);
	if (r < 0)
		return cow_err_set(err, r, "number image %s", m->name);
	number[len - 1] = 0;
	if (syncfs(m->dir) < 0) /* I2: durable before it has its name */
		return cow_err_set(err, -errno, "write image %s to disk", m->name);
	if (renameat(m->dir, m->stage_name, m->dir, number) < 0)
		return cow_err_set(err, -errno, "publish image %s@%u", m->name, version);
	r = cow_fsync_dir_at(m->dir, ".");
	if (r < 0)
		return cow_err_set(err, r, "publish image %s@%u", m->name, version);
	*ret_version = version;
	return 0;
}

static int run(struct import *m, unsigned *ret_version, struct cow_err *err)
{
	int r = stage_begin(m, err);
	if (r == 0)
		r = fill_tree(m, err);
	if (r == 0)
		r = check_root(m, err);
	if (r == 0)
		r = describe(m, err);
	if (r == 0)
		r = settle_tree(m, err);
	if (r == 0)
		r = build_manifest(m, err);
	if (r == 0)
		r = publish(m, ret_version, err);
	return r;
}

static void release(struct import *m)
{
	const int fds[] = {m->tree, m->stage, m->lock, m->dir};
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* synced before */
	cow_fill_done(&m->fill);
	cow_kv_free(m->conf);
}

int cow_image_import(struct cow_store *s, const char *name, const char *source,
		     const struct cow_import_opts *opts, unsigned *ret_version, struct cow_err *err)
{
	struct import m = {
	    .s = s,
	    .name = name,
	    .source = source,
	    .opts = opts,
	    .dir = -1,
	    .lock = -1,
	    .stage = -1,
	    .tree = -1,
	};
	if (cow_label_check(name) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is no image name: 1 to %d letters, digits, '.', '_', '-'",
				   COW_Q(name), COW_LABEL_MAX);
	if (faccessat(AT_FDCWD, source, F_OK, 0) < 0)
		return cow_err_set(err, -errno, "open the source '%s'", source);
	if (opts) {
		int r = cow_fixup_check(opts->skip_fixups, err);
		if (r < 0)
			return r;
	}
	int r = run(&m, ret_version, err);
	if (r < 0)
		stage_drop(&m);
	release(&m);
	return r;
}
