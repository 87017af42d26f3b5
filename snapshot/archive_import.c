/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version that comes as an archive: what it stands on here, what is said of it here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive_btrfs.h"
#include "archive_receive.h"
#include "common/kv.h"
#include "new_version.h"

/* The version with this id, of image @name if there is a choice. */
struct search {
	const char *id, *name;
	struct cow_image *found;
	struct cow_err *err;
};

static int look(void *ctx, const struct cow_image *i)
{
	struct search *s = ctx;
	if (strcmp(i->id, s->id) != 0 || (s->found && strcmp(i->name, s->name) != 0))
		return 0;
	cow_image_free(s->found);
	s->found = calloc(1, sizeof(*s->found));
	if (!s->found)
		return cow_err_set(s->err, -ENOMEM, "look for the image with the id %s", s->id);
	memcpy(s->found->name, i->name, sizeof(i->name));
	memcpy(s->found->id, i->id, sizeof(i->id));
	s->found->version = i->version;
	return 0;
}

int cow_image_find_id(struct cow_store *s, const char *id, const char *name, struct cow_image **ret,
		      struct cow_err *err)
{
	struct search search = {.id = id, .name = name, .err = err};
	int r = cow_image_each(s, look, &search, err);
	if (r == 0 && !search.found)
		r = cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "no image has the id %s", id);
	if (r < 0) {
		cow_image_free(search.found);
		return r;
	}
	*ret = search.found;
	return 0;
}

struct import {
	struct cow_new_version *v;
	struct cow_image *base;	     /* NULL: none */
	struct cow_arc_btrfs *btrfs; /* NULL: no stream has begun */
};

/* Has this store another version under that name and number? */
static bool is_another(struct cow_store *s, const struct cow_archive_info *info)
{
	char ref[COW_LABEL_MAX + 16];
	cow_autoimage here = NULL;
	(void)snprintf(ref, sizeof(ref), "%s@%u", info->base_name, info->base_version);
	return cow_image_find(s, ref, &here, NULL) == 0;
}

static int base_missing(struct cow_store *s, const struct cow_archive_info *info, const char *what,
			struct cow_err *err)
{
	char whose[COW_LABEL_MAX + 16];
	if (*info->client)
		(void)snprintf(whose, sizeof(whose), "client %s", info->client);
	else
		(void)snprintf(whose, sizeof(whose), "%s@%u", info->name, info->version);
	cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
		    "'%s' has what %s has otherwise than %s@%u, id %s, which is not here", what,
		    whose, info->base_name, info->base_version, info->base);
	if (is_another(s, info))
		return cow_err_hint(err, -ENOENT,
				    "%s@%u here is another version, made apart from that one%s",
				    info->base_name, info->base_version,
				    *info->client ? ": import that one first, it gets another number"
						  : ": import that one first, it gets another "
						    "number; or export since a version that both "
						    "stores have (same id), or without --since");
	return cow_err_hint(err, -ENOENT, *info->client
					      ? "import that image first"
					      : "import that first, or export without --since");
}

int cow_archive_base(struct cow_store *s, const struct cow_archive_info *info, const char *name,
		     const char *what, struct cow_image **ret_image, struct cow_ovl_image **ret,
		     struct cow_err *err)
{
	struct cow_ovl_image_info got;
	char hex[COW_IMAGE_ID_LEN + 1];
	struct cow_err why = COW_ERR_INIT;
	int r = cow_image_find_id(s, info->base, name, ret_image, &why);
	if (r == -ENOENT)
		return base_missing(s, info, what, err);
	if (r == 0)
		r = cow_image_manifest(s, *ret_image, ret, &why);
	if (r < 0) {
		if (err)
			*err = why;
		return cow_err_prefix(err, r, "base of '%s'", what);
	}
	cow_ovl_image_info(*ret, &got);
	cow_image_id_text(got.id, hex);
	if (strcmp(hex, info->base) == 0)
		return 0;
	cow_ovl_image_close(cow_steal_ptr(ret));
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
			   "base of '%s': image %s@%u is damaged: its manifest is another one",
			   what, (*ret_image)->name, (*ret_image)->version);
}

static int accept(void *ctx, const struct cow_archive_info *info, struct cow_ovl_image **ret_base,
		  struct cow_err *err)
{
	struct import *m = ctx;
	struct cow_err why = COW_ERR_INIT;
	cow_autoimage have = NULL;
	*ret_base = NULL;
	if (*info->client)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
						"'%s' is the archive of client %s, not of an image",
						m->v->source, info->client),
				    "'cowherd client import' makes the client of it");
	int r = cow_image_find_id(m->v->s, info->id, m->v->name, &have, &why);
	if (r < 0 && r != -ENOENT) {
		if (err)
			*err = why;
		return r;
	}
	if (have && strcmp(have->name, m->v->name) == 0) {
		m->v->number = have->version;
		return -EALREADY;
	}
	m->v->number = info->version;
	if (info->btrfs && !m->v->s->btrfs)
		return cow_err_hint(err,
				    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
						"'%s' holds a btrfs stream, and store '%s' is not on "
						"btrfs",
						m->v->source, m->v->s->path),
				    "export without --btrfs: that any store takes");
	return *info->base ? cow_archive_base(m->v->s, info, m->v->name, m->v->source, &m->base,
					      ret_base, err)
			   : 0;
}

static int stream_begin(void *ctx, const struct cow_ovl_image *img, struct cow_err *err)
{
	struct import *m = ctx;
	return cow_arc_btrfs_begin(m->v, m->base, img, &m->btrfs, err);
}

static int stream_take(void *ctx, const void *p, size_t len, struct cow_err *err)
{
	const struct import *m = ctx;
	return cow_arc_btrfs_take(m->btrfs, p, len, err);
}

static int stream_end(void *ctx, struct cow_err *err)
{
	const struct import *m = ctx;
	return cow_arc_btrfs_end(m->btrfs, err);
}

/* What was true where it comes from and is not here. */
static int here(struct import *m, const struct cow_arc_receive *rx)
{
	struct cow_new_version *v = m->v;
	const char *backend =
	    cow_backend_name(v->s->btrfs ? COW_BACKEND_BTRFS : COW_BACKEND_OVERLAY);
	int r = cow_kv_set(rx->conf, "", "id", rx->info.id);
	if (r == 0)
		r = cow_kv_set(rx->conf, "", "backend", backend);
	if (r == 0)
		r = cow_kv_setf(rx->conf, "", "origin", "%s@%u", rx->info.name, rx->info.version);
	if (r == 0)
		r = cow_kv_set(rx->conf, "", "parent", NULL);
	if (r == 0 && m->base)
		r = cow_kv_setf(rx->conf, "", "parent", "%s@%u", m->base->name, m->base->version);
	if (r == 0 && v->opts && v->opts->comment) {
		cow_autofree char *text = cow_conf_text(v->opts->comment);
		r = text ? cow_kv_set(rx->conf, "", "comment", text) : -ENOMEM;
	}
	return r;
}

/* What the fix-ups changed came behind the record, in sections. */
static int take_fixups(struct import *m, struct cow_arc_receive *rx, struct cow_err *err)
{
	const char *section, *key, *value;
	cow_autokv conf = NULL;
	cow_autokv fixups = NULL;
	int r = cow_kv_new(&conf);
	if (r == 0)
		r = cow_kv_new(&fixups);
	for (size_t n = 0; r == 0 && cow_kv_entry(rx->conf, n, &section, &key, &value) == 0; n++)
		r = cow_kv_add(*section ? fixups : conf, section, key, value);
	if (r == 0)
		r = cow_fixlog_parse(fixups, &m->v->log);
	if (r == -EBADMSG)
		return cow_err_say(err, COW_ERR_FAILED, r,
				   "'%s' is damaged: what it says the fix-ups changed", m->v->source);
	if (r < 0)
		return cow_err_set(err, r, "read what the fix-ups changed");
	cow_kv_free(rx->conf);
	rx->conf = cow_steal_ptr(&conf);
	return cow_fixlog_write(m->v->stage, &m->v->log, err);
}

int cow_import_archive(struct cow_new_version *v, struct cow_unpack *u, struct cow_err *err)
{
	static const struct cow_arc_sink sink = {stream_begin, stream_take, stream_end};
	struct import m = {.v = v};
	struct cow_arc_receive rx = {
	    .fill = &v->fill,
	    .stage = v->stage,
	    .what = v->source,
	    .accept = accept,
	    .sink = &sink,
	    .ctx = &m,
	};
	int r = cow_arc_receive_all(&rx, u, err);
	cow_arc_btrfs_free(m.btrfs);
	if (r == 0)
		r = take_fixups(&m, &rx, err);
	if (r == 0) {
		r = here(&m, &rx);
		if (r < 0)
			r = cow_err_set(err, r, "describe image %s", v->name);
	}
	if (r == 0) {
		r = cow_image_conf_check(rx.conf, err);
		if (r < 0)
			r = cow_err_prefix(err, r, "'%s'", v->source);
	}
	if (r == 0)
		r = cow_kv_write_at(v->stage, "image.conf", rx.conf, 0644, err);
	cow_image_free(m.base);
	cow_kv_free(rx.conf);
	return r;
}
