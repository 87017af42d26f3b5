/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client becomes an archive: what its root shows is made a version as a commit makes it, which nobody ever sees,
 * and written as what it has otherwise than the image the root came from.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "archive_receive.h"
#include "archive_write.h"
#include "commit_internal.h"
#include "common/kv.h"

struct export {
	struct cow_store *s;
	struct cow_client_at at;
	struct cow_image *image; /* the root came from */
	char id[COW_MAC_TEXT_LEN + 1];
	char *conf; /* text of the settings */
	const struct cow_export_opts *opts;
	struct cow_export_done *ret;
};

/* What an administrator has set, and the host name the root was made with. */
static int settings(struct export *x, struct cow_err *err)
{
	cow_autokv from = NULL;
	cow_autokv kv = NULL;
	size_t len;
	cow_autoclient c = calloc(1, sizeof(*c));
	int r = c ? cow_client_conf_read(x->at.dir, c, &from, err) : -ENOMEM;
	if (r == 0)
		r = cow_kv_new(&kv);
	if (r == 0)
		r = cow_client_keys_copy(from, kv);
	if (r == 0 && *x->at.conf.name)
		r = cow_kv_set(kv, "", "hostname", x->at.conf.name);
	if (r == 0)
		r = cow_kv_format(kv, &x->conf, &len);
	return r < 0 ? cow_err_set(err, r, "read client.conf") : 0;
}

static int write_archive(void *ctx, const struct cow_new_version *v, struct cow_err *err)
{
	struct export *x = ctx;
	struct cow_archive_info info = {.version = x->image->version};
	struct cow_ovl_image_info own, base;
	cow_autoovlimage img = NULL;
	cow_autoovlimage below = NULL;
	size_t len;
	int r = cow_image_manifest(x->s, x->image, &below, err);
	if (r == 0)
		r = cow_ovl_image_open(v->stage, &img, err);
	if (r < 0)
		return r;
	cow_ovl_image_info(img, &own);
	cow_ovl_image_info(below, &base);
	cow_image_id_text(own.id, info.id);
	cow_image_id_text(base.id, info.base);
	(void)cow_ovl_image_bytes(img, &len);
	info.manifest_len = len;
	info.base_version = info.version;
	memcpy(info.client, x->id, sizeof(info.client));
	memcpy(info.name, x->image->name, sizeof(info.name));
	memcpy(info.base_name, x->image->name, sizeof(info.base_name));
	cow_autofree char *head = cow_arc_head_format(&info);
	if (!head)
		return cow_err_set(err, -ENOMEM, "describe the archive");
	const struct cow_arc_content content = {img, below, head, x->conf};
	return cow_arc_export(&content, x->opts, x->ret, err);
}

/* While the root is read: only asked whether to stop. */
static int watch(void *ctx, const struct cow_import_progress *p)
{
	const struct export *x = ctx;
	return x->opts->progress ? x->opts->progress(x->opts->ctx, 0, p->bytes) : 0;
}

static int prepare(struct cow_store *s, const struct cow_mac *mac, unsigned flags, struct export *x,
		   struct cow_err *err)
{
	cow_autoclient c = NULL;
	int r = flags & ~(unsigned)COW_EXPORT_NOW ? cow_err_set(err, -EINVAL, "flags %#x", flags)
						   : cow_arc_check_level(x->opts->level, err);
	if (r == 0)
		r = cow_client_load(s, mac, &c, err); /* is there one? */
	if (r == 0 && !(flags & COW_EXPORT_NOW))
		r = cow_commit_refuse_in_use(s, mac, "export", err);
	if (r == 0)
		r = cow_client_open_root(s, x->id, &x->at, err);
	if (r == 0)
		r = cow_client_find_image(s, &x->at.conf, &x->image, err);
	return r < 0 ? r : settings(x, err);
}

int cow_client_export(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		      const struct cow_export_opts *opts, struct cow_export_done *ret,
		      struct cow_err *err)
{
	struct export x = {.s = s, .at = COW_CLIENT_AT_EMPTY, .opts = opts, .ret = ret};
	char source[COW_MAC_TEXT_LEN + sizeof("client ")],
	    doing[COW_MAC_TEXT_LEN + sizeof("export of client ")];
	cow_mac_text(mac, x.id);
	(void)snprintf(source, sizeof(source), "client %s", x.id);
	(void)snprintf(doing, sizeof(doing), "export of %s", source);
	int r = prepare(s, mac, flags, &x, err);
	if (r == 0) {
		const struct cow_import_opts reading = {.progress = watch, .ctx = &x};
		const struct cow_commit commit = {
		    .s = s,
		    .root = x.at.root,
		    .conf = x.at.conf,
		    .is_client = 1,
		    .in_use = flags & COW_EXPORT_NOW ? 1 : 0,
		    .image = x.image->name,
		    .source = source,
		    .doing = doing,
		    .opts = &reading,
		    .use = write_archive,
		    .use_ctx = &x,
		};
		r = cow_commit_root(&commit, NULL, err);
	}
	cow_client_at_done(&x.at);
	cow_image_free(x.image);
	free(x.conf);
	return r < 0 ? cow_err_prefix(err, r, "export client %s", x.id) : 0;
}
