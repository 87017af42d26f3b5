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
#include "image_internal.h"

struct export {
	struct cow_store *s;
	const struct cow_image *i;
	struct cow_ovl_image *img, *base;
	struct cow_archive_info info;
	char *head, *conf;
};

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

static int describe(struct export *x, const struct cow_image *since, struct cow_err *err)
{
	size_t len;
	(void)cow_ovl_image_bytes(x->img, &len);
	x->info.manifest_len = len;
	x->info.version = x->i->version;
	memcpy(x->info.name, x->i->name, sizeof(x->info.name));
	if (since) {
		x->info.base_version = since->version;
		memcpy(x->info.base_name, since->name, sizeof(x->info.base_name));
	}
	x->head = cow_arc_head_format(&x->info);
	cow_autoclose int version = cow_image_version(x->s, x->i);
	int r = version < 0
		    ? version
		    : cow_read_file_at(version, "image.conf", COW_KV_FILE_MAX, &x->conf, &len);
	if (r == 0 && (!x->head || strlen(x->conf) != len))
		r = x->head ? -EBADMSG : -ENOMEM;
	return r < 0 ? cow_err_set(err, r, "read the record of image %s@%u", x->i->name,
				   x->i->version)
		     : 0;
}

static int prepare(struct export *x, const struct cow_image *since, struct cow_err *err)
{
	int r = load(x->s, x->i, &x->img, x->info.id, err);
	if (r == 0 && since)
		r = load(x->s, since, &x->base, x->info.base, err);
	return r < 0 ? r : describe(x, since, err);
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
	struct export x = {.s = s, .i = i};
	int r = cow_arc_check_level(opts->level, err);
	if (r < 0)
		return r;
	r = prepare(&x, since, err);
	if (r == 0) {
		const struct cow_arc_content c = {x.img, x.base, x.head, x.conf};
		r = cow_arc_export(&c, opts, ret, err);
	}
	cow_ovl_image_close(x.img);
	cow_ovl_image_close(x.base);
	free(x.head);
	free(x.conf);
	return r < 0 ? cow_err_prefix(err, r, "export image %s@%u", i->name, i->version) : 0;
}
