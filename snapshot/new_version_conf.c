/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a version says of itself: image.conf with the fix-ups that were made, and the manifest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "fixup.h"
#include "new_version.h"

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

int cow_new_version_add(struct cow_new_version *v, const char *key, const char *value)
{
	return add_text(v->conf, key, value);
}

static int conf_detected(struct cow_new_version *v)
{
	struct cow_detected d = {0};
	int r = cow_detect(v->tree, &d);
	if (r == 0)
		r = set_text(v->conf, "os", d.os);
	if (r == 0)
		r = set_text(v->conf, "arch", d.arch);
	if (r == 0)
		r = set_text(v->conf, "boot_dir", d.boot_dir);
	if (r == 0)
		r = set_text(v->conf, "initramfs", d.initramfs);
	free(d.os);
	return r;
}

static int conf_begin(struct cow_new_version *v)
{
	char now[COW_TIME_TEXT_LEN + 1];
	cow_time_text(cow_realtime_s(), now);
	int r = set_text(v->conf, "source", v->source);
	if (r == 0)
		r = set_text(v->conf, "created", now);
	if (r == 0)
		r = set_text(v->conf, "comment", v->opts ? v->opts->comment : NULL);
	if (r == 0)
		r = set_text(
		    v->conf, "backend",
		    cow_backend_name(v->s->btrfs ? COW_BACKEND_BTRFS : COW_BACKEND_OVERLAY));
	if (r == 0)
		r = conf_detected(v);
	if (r == 0)
		r = cow_kv_setf(v->conf, "", "inodes", "%llu", (unsigned long long)v->fill.inodes);
	if (r == 0)
		r = cow_kv_setf(v->conf, "", "bytes", "%llu", (unsigned long long)v->fill.bytes);
	return r;
}

/* What got lost or will not work, for image.conf and the administrator. */
static int conf_notes(struct cow_new_version *v)
{
	struct cow_fill *f = &v->fill;
	int r = f->caps_unknown
		    ? 0
		    : cow_kv_setf(v->conf, "", "capabilities", "%llu", (unsigned long long)f->caps);
	for (size_t i = 0; r == 0 && i < COW_FILL_CAPS_NAMED && f->caps_names[i]; i++)
		r = add_text(v->conf, "capability", f->caps_names[i]);
	if (f->xattrs_lost)
		cow_fill_note(f,
			      "%llu extended attributes are of kinds this file system does not "
			      "keep, such as %s",
			      (unsigned long long)f->xattrs_lost, f->xattr_lost_name);
	const char *trouble;
	for (unsigned i = 0; (trouble = cow_detect_trouble(v->tree, i)); i++)
		cow_fill_note(f, "%s", trouble);
	for (size_t i = 0; r == 0 && i < f->nnotes; i++)
		r = add_text(v->conf, "note", f->notes[i]);
	return r;
}

void cow_new_version_fixup(void *ctx, const char *name, const char *result, const char *what)
{
	struct cow_new_version *v = ctx;
	char line[512];
	(void)snprintf(line, sizeof(line), "%s: %s%s%s", name, result, *what ? ": " : "", what);
	(void)add_text(v->conf, "fixup", line); /* the tree is what counts, this only tells */
	if (v->opts && v->opts->fixup)
		v->opts->fixup(v->opts->ctx, name, result, what);
}

static int add_found(void *ctx, const char *key, const char *value)
{
	const struct cow_new_version *v = ctx;
	return add_text(v->conf, key, value);
}

/* As it is now: fix-ups may have changed what an initramfs can do. */
static int conf_bootable(struct cow_new_version *v)
{
	const char *initramfs = cow_detect_initramfs(v->tree);
	int r = set_text(v->conf, "initramfs", initramfs);
	return r < 0 ? r
		     : cow_detect_boards(v->tree, cow_kv_get(v->conf, "", "boot_dir"),
					 cow_kv_get(v->conf, "", "arch"), initramfs, add_found, v);
}

static int fixups(struct cow_new_version *v, struct cow_err *err)
{
	const char *boot_dir = cow_kv_get(v->conf, "", "boot_dir");
	struct cow_fixup_skip skip = {{v->opts ? v->opts->skip_fixups : NULL, v->also_skip}};
	return cow_fixup_tree(v->tree, boot_dir, &skip, &v->log, cow_new_version_fixup, v, err);
}

int cow_new_version_describe(struct cow_new_version *v, struct cow_err *err)
{
	int r = conf_begin(v);
	if (r < 0)
		return cow_err_set(err, r, "describe image %s", v->name);
	r = v->change ? v->change(v->change_ctx, v, err) : fixups(v, err);
	if (r == 0)
		r = cow_fixlog_write(v->stage, &v->log, err);
	if (r < 0)
		return r;
	r = conf_bootable(v);
	if (r == 0)
		r = conf_notes(v);
	return r < 0 ? cow_err_set(err, r, "describe image %s", v->name) : 0;
}

/* ---------------------------------------------------------------- manifest */

#define OLDER_MAX 4		 /* versions before the newest in which files are looked for */
#define OLDER_WORTH (256u << 10) /* bytes not found so far; a manifest of 10 000 objects has more */

static int manifest_progress(void *ctx, uint64_t inodes, uint64_t bytes)
{
	struct cow_new_version *v = ctx;
	struct cow_import_progress p = {
	    .step = COW_IMPORT_MANIFEST,
	    .inodes = inodes,
	    .bytes = bytes,
	    .bytes_total = v->fill.bytes,
	};
	return v->opts && v->opts->progress ? v->opts->progress(v->opts->ctx, &p) : 0;
}

/* Numbers of the version before go on where it can still be read. Nothing of it is needed once it
 * is loaded, so it may be removed meanwhile. What a record says already of where the version came
 * from stays. */
static int load_newest(struct cow_new_version *v, struct cow_err *err)
{
	unsigned version = 0;
	struct cow_err why = COW_ERR_INIT;
	char note[512];
	if (v->looked)
		return 0;
	v->looked = 1;
	int r = cow_image_newest_manifest(v->dir, &v->newest, &version, &why);
	v->newest_number = version;
	if (r == 0)
		r = v->newest && !cow_kv_get(v->conf, "", "parent")
			? cow_kv_setf(v->conf, "", "parent", "%s@%u", v->name, version)
			: 0;
	if (r == 0 || r == -ENOMEM)
		return r < 0 ? cow_err_set(err, r, "describe image %s", v->name) : 0;
	if (r != -EBADMSG && r != -EOPNOTSUPP && r != -EIO) {
		if (err)
			*err = why;
		return cow_err_prefix(err, r, "load the manifest of image %s@%u", v->name, version);
	}
	(void)snprintf(note, sizeof(note), "%s@%u cannot be built on: %s", v->name, version,
		       cow_err_str(&why));
	r = add_text(v->conf, "note", note);
	return r < 0 ? cow_err_set(err, r, "describe image %s", v->name) : 0;
}

static int hex_id(struct cow_new_version *v, const struct cow_ovl_image_info *info)
{
	char hex[COW_IMAGE_ID_LEN + 1];
	cow_image_id_text(info->id, hex);
	return cow_kv_set(v->conf, "", "id", hex);
}

int cow_new_version_share(struct cow_new_version *v, struct cow_err *err)
{
	int r = load_newest(v, err);
	if (r < 0 || !v->newest)
		return r;
	r = cow_ovl_share_new(v->newest, &v->fill.share);
	return r < 0 ? cow_err_set(err, r, "%s", v->doing) : 0;
}

/* Version @number, if it is there and can be read; the others are not worse for it. */
static int share_with_older(struct cow_new_version *v, unsigned number,
			    struct cow_ovl_image_shared *shared, struct cow_err *err)
{
	char name[16];
	cow_autoovlimage img = NULL;
	(void)snprintf(name, sizeof(name), "%u", number);
	cow_autoclose int dir = cow_opendir_at(v->dir, name);
	int r = dir < 0 ? dir : cow_ovl_image_open(dir, &img, NULL);
	if (r == -ENOENT || r == -EBADMSG || r == -EOPNOTSUPP || r == -EIO)
		return 0;
	if (r == 0)
		r = cow_ovl_share_other(v->fill.share, img);
	if (r < 0)
		return cow_err_set(err, r, "share with %s@%u", v->name, number);
	return cow_ovl_image_share(v->stage, v->fill.share, manifest_progress, v, shared, err);
}

/* What the newest version does not have, one before it may have had: a package that was taken back, a root of
 * last week's. Looked for where it saves more than looking costs. */
static int share_older(struct cow_new_version *v, struct cow_ovl_image_shared *shared,
		       struct cow_err *err)
{
	cow_autofree unsigned *list = NULL;
	size_t n = 0, looked = 0;
	int r = cow_image_versions(v->dir, &list, &n);
	if (r < 0)
		return cow_err_set(err, r, "look for earlier versions");
	while (r == 0 && n-- && looked < OLDER_MAX &&
	       cow_ovl_share_left(v->fill.share) >= OLDER_WORTH) {
		if (list[n] >= v->newest_number)
			continue;
		r = share_with_older(v, list[n], shared, err);
		looked++;
	}
	return r;
}

/* What could not be found while the tree was filled: moved files, those of boot partitions, ... */
static int share_rest(struct cow_new_version *v, struct cow_err *err)
{
	struct cow_ovl_image_shared shared = {0};
	if (!v->fill.share)
		return 0;
	int r = cow_ovl_image_share(v->stage, v->fill.share, manifest_progress, v, &shared, err);
	if (r == 0)
		r = share_older(v, &shared, err);
	if (r == -EINTR)
		return cow_err_set(err, r, "%s was stopped", v->doing);
	if (r < 0)
		return cow_err_prefix(err, r, "image %s", v->name);
	r = cow_kv_setf(v->conf, "", "shared", "%llu", (unsigned long long)shared.bytes);
	return r < 0 ? cow_err_set(err, r, "describe image %s", v->name) : 0;
}

int cow_new_version_manifest(struct cow_new_version *v, const struct cow_new_version_numbers *from,
			     struct cow_err *err)
{
	struct cow_ovl_image_info info;
	int r = from->parent ? 0 : load_newest(v, err);
	if (r < 0)
		return r;
	struct cow_ovl_image_build how = {
	    .parent = from->parent ? from->parent : v->newest,
	    .moved = from->parent ? from->moved : NULL,
	    .nmoved = from->parent ? from->nmoved : 0,
	    .next_number_min = from->parent ? from->next_number_min : 0,
	    .progress = manifest_progress,
	    .ctx = v,
	};
	r = cow_ovl_image_build(v->stage, &how, &info, err);
	if (r == -EINTR)
		return cow_err_set(err, r, "%s was stopped", v->doing);
	if (r < 0)
		return cow_err_prefix(err, r, "manifest of image %s", v->name);
	r = share_rest(v, err);
	if (r < 0)
		return r;
	r = hex_id(v, &info);
	if (r == 0) /* with what the fix-ups made */
		r = cow_kv_setf(v->conf, "", "inodes", "%llu", (unsigned long long)info.inodes);
	if (r == 0 && !v->fill.bytes)
		r = cow_kv_setf(v->conf, "", "bytes", "%llu", (unsigned long long)info.bytes);
	if (r < 0)
		return cow_err_set(err, r, "describe image %s", v->name);
	return cow_kv_write_at(v->stage, "image.conf", v->conf, 0644, err);
}
