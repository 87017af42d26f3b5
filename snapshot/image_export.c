/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version of an image becomes an archive.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive_receive.h"
#include "archive_write.h"
#include "common/fs.h"
#include "common/kv.h"
#include "fixlog.h"
#include "image_internal.h"

/* The manifest that is there, and the id it has. */
static int load(struct cow_store *s, const struct cow_image *i, struct cow_ovl_image **ret,
		char id[COW_IMAGE_ID_LEN + 1], struct cow_err *err)
{
	struct cow_ovl_image_info info;
	int r = cow_image_manifest(s, i, ret, err);
	if (r < 0)
		return r;
	cow_ovl_image_info(*ret, &info);
	cow_image_id_text(info.id, id);
	return strcmp(id, i->id) == 0
		   ? 0
		   : cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
				 "image %s@%u is damaged: its manifest is another one", i->name,
				 i->version);
}

static int read_text(int version, const char *name, char **ret)
{
	size_t len;
	int r = cow_read_file_at(version, name, COW_KV_FILE_MAX, ret, &len);
	return r == 0 && strlen(*ret) != len ? -EBADMSG : r;
}

/* image.conf, and behind it, in sections, what the fix-ups changed. */
static int read_conf(struct cow_store *s, const struct cow_image *i, char **ret, struct cow_err *err)
{
	cow_autofree char *conf = NULL;
	cow_autofree char *fixups = NULL;
	cow_autoclose int version = cow_image_version(s, i);
	int r = version < 0 ? version : read_text(version, "image.conf", &conf);
	if (r < 0)
		return cow_err_set(err, r, "read image.conf");
	r = read_text(version, COW_FIXLOG_NAME, &fixups);
	if (r < 0 && r != -ENOENT)
		return cow_err_set(err, r, "read " COW_FIXLOG_NAME);
	if (asprintf(ret, "%s%s", conf, fixups ? fixups : "") < 0) {
		*ret = NULL;
		return cow_err_set(err, -ENOMEM, "read image.conf");
	}
	return strlen(*ret) <= COW_KV_FILE_MAX
		   ? 0
		   : cow_err_set(err, -EFBIG, "image.conf and " COW_FIXLOG_NAME);
}

static int describe(struct cow_store *s, const struct cow_image *i, const struct cow_image *since,
		    struct cow_arc_version *v, struct cow_err *err)
{
	size_t len;
	(void)cow_ovl_image_bytes(v->img, &len);
	v->info.manifest_len = len;
	v->info.version = i->version;
	memcpy(v->info.name, i->name, sizeof(v->info.name));
	if (since) {
		v->info.base_version = since->version;
		memcpy(v->info.base_name, since->name, sizeof(v->info.base_name));
	}
	v->head = cow_arc_head_format(&v->info);
	int r = v->head ? read_conf(s, i, &v->conf, err)
			: cow_err_set(err, -ENOMEM, "describe the archive");
	return r < 0 ? cow_err_prefix(err, r, "record of image %s@%u", i->name, i->version) : 0;
}

int cow_arc_version_describe(struct cow_store *s, const struct cow_image *i,
			     const struct cow_image *since, bool btrfs, struct cow_arc_version *ret,
			     struct cow_err *err)
{
	ret->info.btrfs = btrfs;
	int r = load(s, i, &ret->img, ret->info.id, err);
	if (r == 0 && since)
		r = load(s, since, &ret->base, ret->info.base, err);
	return r < 0 ? r : describe(s, i, since, ret, err);
}

void cow_arc_version_done(struct cow_arc_version *v)
{
	cow_ovl_image_close(v->img);
	cow_ovl_image_close(v->base);
	free(v->head);
	free(v->conf);
}

static int write_out(const struct cow_arc_content *c, const struct cow_arc_plan *plan,
		     const struct cow_export_opts *opts, struct cow_export_done *ret,
		     struct cow_err *err)
{
	const struct cow_arc_write w = {
	    .img = c->img,
	    .base = c->base,
	    .plan = plan,
	    .level = opts->level,
	    .progress = opts->progress,
	    .ctx = opts->ctx,
	};
	struct cow_arc_out *out;
	size_t first = 0;
	int r = cow_arc_out_open(opts->output, opts->fd, &out, err);
	if (r < 0)
		return r;
	r = cow_arc_out_begin(out, c->head, c->conf, plan, &first, err);
	if (r == 0)
		r = cow_arc_write_blocks(&w, first, out, err);
	if (r == 0)
		r = cow_arc_out_finish(out, err);
	*ret = (struct cow_export_done){
	    .bytes = cow_arc_out_len(out),
	    .files = plan->files,
	    .plain = plan->bytes,
	    .resumed = first > 0,
	};
	cow_arc_out_close(out, r);
	return r;
}

int cow_arc_export(const struct cow_arc_content *c, const struct cow_export_opts *opts,
		   struct cow_export_done *ret, struct cow_err *err)
{
	struct cow_arc_plan plan = {.blocks = NULL};
	int r = cow_arc_plan_make(c->img, c->base, &plan, err);
	if (r == 0)
		r = write_out(c, &plan, opts, ret, err);
	cow_arc_plan_done(&plan);
	return r;
}

int cow_arc_check_level(int level, struct cow_err *err)
{
	return level >= 1 && level <= COW_EXPORT_LEVEL_MAX
		   ? 0
		   : cow_err_say(err, COW_ERR_USAGE, -EINVAL, "level %d: 1 to %d", level,
				 COW_EXPORT_LEVEL_MAX);
}

int cow_image_export(struct cow_store *s, const struct cow_image *i, const struct cow_image *since,
		     const struct cow_export_opts *opts, struct cow_export_done *ret,
		     struct cow_err *err)
{
	struct cow_arc_version v = {.img = NULL};
	int r = cow_arc_check_level(opts->level, err);
	if (r < 0)
		return r;
	r = cow_arc_version_describe(s, i, since, false, &v, err);
	if (r == 0) {
		const struct cow_arc_content c = {v.img, v.base, v.head, v.conf};
		r = cow_arc_export(&c, opts, ret, err);
	}
	cow_arc_version_done(&v);
	return r < 0 ? cow_err_prefix(err, r, "export image %s@%u", i->name, i->version) : 0;
}
