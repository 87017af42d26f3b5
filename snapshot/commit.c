/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A root becomes a version of an image.
 *
 * Who may change the root meanwhile: an overlay root is attached for the time, so that nobody else
 * can, and what the kernel did to it is marked first. Where it is attached already (the NFS server
 * keeps a root for minutes after its client has gone) it is only looked at, and refused when it turns
 * out that something was changed. A btrfs root is snapshotted, which takes no time.
 */
#include "snapshot/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "commit_internal.h"
#include "common/clock.h"
#include "common/fs.h"

/* ---------------------------------------------------------------- the root, to be read */

struct reading {
	struct cow_ovl_inst *inst;
	int watched; /* not ours: look whether it has changed */
	struct timespec since;
};

static int begin_reading(const struct cow_commit *c, int root, struct cow_ovl_image *img,
			 struct reading *rd, struct cow_err *err)
{
	char who[COW_OVL_HOLDER_MAX];
	rd->since = cow_commit_stamp();
	int r = cow_ovl_inst_open(root, img, 0, &rd->inst, err);
	if (r != -EBUSY)
		return r;
	if (!c->is_client || cow_ovl_inst_holder(c->root, who) == -ENOENT)
		return r; /* by the kernel, which has its own idea of what moved */
	rd->watched = !c->in_use;
	return cow_ovl_inst_open(c->root, img, COW_OVL_OBSERVER, &rd->inst, err);
}

static int end_reading(const struct cow_commit *c, struct reading *rd, int r, struct cow_err *err)
{
	int closed = rd->inst ? cow_ovl_inst_close(rd->inst) : 0;
	if (r < 0)
		return r;
	if (closed < 0)
		return cow_err_set(err, closed, "detach the root");
	if (!rd->watched)
		return 0;
	cow_autoclose int upper = cow_opendir_at(c->root, "upper");
	r = upper < 0 ? upper : cow_commit_changed_since(upper, &rd->since);
	if (r < 0)
		return cow_err_set(err, r, "look whether the root has changed");
	if (r == 0)
		return 0;
	cow_err_say(err, COW_ERR_BUSY, -EBUSY, "its root was changed while it was read");
	return cow_err_hint(err, -EBUSY, "end what works in it; --now takes it as it is");
}

/* ---------------------------------------------------------------- the tree */

struct work {
	const struct cow_commit *c;
	struct cow_new_version v;
	struct cow_commit_tree tree;
	struct cow_image *image;   /* the root came from; NULL: gone */
	struct cow_ovl_image *img; /* its manifest; NULL: none, or gone */
	int own_root;		   /* for the time the image itself is read; -1 */
};

#define OWN_ROOT "root"

/* A root on the image with nothing in it, in the staging directory: gone with it after a crash. */
static int make_own_root(struct work *w, struct cow_err *err)
{
	const struct cow_root_how how = {
	    .backend = COW_BACKEND_OVERLAY,
	    .durability = COW_OVL_STRICT,
	};
	int r = cow_mkdir_at(w->v.stage, OWN_ROOT, 0700);
	if (r == 0)
		r = w->own_root = cow_opendir_at(w->v.stage, OWN_ROOT);
	if (r < 0)
		return cow_err_set(err, r, "make a root of image %s", w->image->name);
	return cow_root_fill(w->c->s, w->own_root, w->image, &how, err);
}

static int drop_own_root(struct work *w, int r, struct cow_err *err)
{
	if (w->own_root < 0)
		return r;
	(void)close(w->own_root); /* nothing in it that must last */
	w->own_root = -1;
	int gone = r < 0 ? 0 : cow_tree_delete_at(w->v.stage, OWN_ROOT);
	return gone < 0 ? cow_err_set(err, gone, "remove a root of image %s", w->image->name) : r;
}

static int fill_overlay(struct work *w, struct cow_err *err)
{
	struct reading rd = {.inst = NULL};
	w->tree = (struct cow_commit_tree){
	    .fill = &w->v.fill,
	    .doing = w->c->doing,
	    .leave_out = w->c->in_use,
	    .err = err,
	};
	int r = cow_new_version_begin(&w->v, -1, err);
	if (r < 0)
		return r;
	if (w->c->root < 0)
		r = make_own_root(w, err);
	if (r == 0)
		r = begin_reading(w->c, w->c->root < 0 ? w->own_root : w->c->root, w->img, &rd, err);
	if (r == 0)
		r = cow_commit_fill(&w->tree, rd.inst);
	return drop_own_root(w, end_reading(w->c, &rd, r, err), err);
}

static int fill_btrfs(struct work *w, struct cow_err *err)
{
	cow_autoclose int tree = w->c->root < 0 ? cow_image_tree(w->c->s, w->image)
						: cow_opendir_at(w->c->root, "tree");
	if (tree < 0)
		return cow_err_set(err, tree, "open the tree of the root");
	int r = cow_new_version_begin(&w->v, tree, err);
	w->v.fill.caps_unknown = 1;
	return r;
}

/* ---------------------------------------------------------------- where it came from */

static int find_image(struct work *w, struct cow_err *err)
{
	struct cow_err why = COW_ERR_INIT;
	int needed = w->c->conf.backend == COW_BACKEND_OVERLAY;
	int r = cow_client_find_image(w->c->s, &w->c->conf, &w->image, &why);
	if (r == 0)
		r = cow_image_manifest(w->c->s, w->image, &w->img, &why);
	if (r == 0 || (!needed && r != -ENOMEM))
		return 0; /* a btrfs root stands by itself */
	if (err)
		*err = why;
	return r;
}

/* Fix-ups the image did without as asked, or that were taken back, stay left out. */
struct asked {
	char *name[COW_FIXUPS_MAX];
	const char *list[COW_FIXUPS_MAX + 1]; /* NULL at the end */
	size_t n;
};

/* Name of a fix-up whose line in the record begins with "NAME: @result"; NULL. The caller frees it. */
static int take_name(const char *line, const char *result, char **ret)
{
	const char *colon = strstr(line, ": ");
	*ret = NULL;
	if (!colon || strncmp(colon + 2, result, strlen(result)) != 0)
		return 0;
	*ret = strndup(line, (size_t)(colon - line));
	return *ret ? 1 : -ENOMEM;
}

static int take_asked(struct asked *a, const char *line)
{
	static const char *const results[] = {"skipped: as asked", COW_FIXUP_UNDONE};
	int r = 0;
	for (size_t i = 0; r == 0 && i < 2 && a->n < COW_FIXUPS_MAX; i++)
		r = take_name(line, results[i], &a->name[a->n]);
	if (r <= 0)
		return r;
	a->list[a->n] = a->name[a->n];
	a->n++;
	return 0;
}

/* Of a version made by a cowherd that recorded nothing, that is known. */
static int take_unrecorded(struct cow_fixlog *log, const char *line)
{
	cow_autofree char *name = NULL;
	int r = take_name(line, "done", &name);
	return r <= 0 || cow_fixlog_find(log, name) || strcmp(name, "identity") == 0
		   ? r < 0 ? r : 0
		   : cow_fixlog_lost(log, name);
}

static int read_log(struct work *w, struct cow_err *err)
{
	struct cow_err why = COW_ERR_INIT;
	cow_autoclose int version = cow_image_version(w->c->s, w->image);
	if (version < 0)
		return cow_err_set(err, version, "open image %s@%u", w->image->name,
				   w->image->version);
	int r = cow_fixlog_read(version, &w->v.log, &why);
	if (r == -EBADMSG && !w->c->change) {
		cow_fill_note(&w->v.fill,
			      "what the fix-ups of %s@%u changed cannot be taken back: its %s is damaged",
			      w->image->name, w->image->version, COW_FIXLOG_NAME);
		return 0;
	}
	if (r < 0 && err)
		*err = why;
	return r < 0 ? cow_err_prefix(err, r, "image %s@%u is damaged", w->image->name,
				      w->image->version)
		     : 0;
}

static int read_asked(struct work *w, struct asked *a, struct cow_err *err)
{
	const char *line;
	cow_autokv conf = NULL;
	if (!w->image)
		return 0;
	int r = cow_image_conf(w->c->s, w->image, &conf, err);
	if (r == 0)
		r = read_log(w, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && (line = cow_kv_get_nth(conf, "", "fixup", i)); i++) {
		r = take_asked(a, line);
		if (r == 0)
			r = take_unrecorded(&w->v.log, line);
	}
	return r < 0 ? cow_err_set(err, r, "read the record of the image") : 0;
}

static void asked_done(struct asked *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->name[i]);
}

/* ---------------------------------------------------------------- record, fix-ups, manifest */

static int take_identity(struct work *w, struct cow_err *err)
{
	cow_autoclose int golden = w->image ? cow_image_tree(w->c->s, w->image) : -1;
	if (golden < 0 && w->image)
		return cow_err_set(err, golden, "open the tree of image %s@%u", w->image->name,
				   w->image->version);
	return cow_commit_no_identity(w->v.tree, golden, cow_new_version_fixup, &w->v, err);
}

static int describe(struct work *w, struct cow_err *err)
{
	char parent[COW_LABEL_MAX + 16];
	struct asked asked = {.n = 0};
	(void)snprintf(parent, sizeof(parent), "%s@%u", w->c->conf.image, w->c->conf.version);
	int r = w->c->is_client ? take_identity(w, err) : 0;
	if (r == 0)
		r = read_asked(w, &asked, err);
	w->v.also_skip = asked.list;
	w->v.change = w->c->change;
	w->v.change_ctx = w->c->change_ctx;
	if (r == 0)
		r = cow_new_version_describe(&w->v, err);
	w->v.also_skip = NULL;
	asked_done(&asked);
	if (r < 0)
		return r;
	r = cow_kv_set(w->v.conf, "", "parent", parent);
	return r < 0 ? cow_err_set(err, r, "describe image %s", w->v.name) : 0;
}

/* The root may stand on an older version: numbers that later ones gave are not given again. */
static int highest_number(struct work *w, uint32_t *ret)
{
	struct cow_ovl_image_info own, info;
	cow_autofree unsigned *list = NULL;
	size_t n = 0;
	char number[16];
	cow_ovl_image_info(w->img, &own);
	*ret = own.next_number;
	int r = cow_image_versions(w->v.dir, &list, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		(void)snprintf(number, sizeof(number), "%u", list[i]);
		cow_autoclose int version = cow_opendir_at(w->v.dir, number);
		/* One that cannot be read has no clients either. */
		if (version >= 0 && cow_ovl_image_peek(version, &info, NULL) == 0 &&
		    memcmp(info.lineage, own.lineage, sizeof(own.lineage)) == 0 &&
		    info.next_number > *ret)
			*ret = info.next_number;
	}
	return r;
}

static int make_manifest(struct work *w, struct cow_err *err)
{
	cow_autofree struct cow_ovl_image_moved *moved = NULL;
	struct cow_new_version_numbers from = {.parent = NULL};
	int r = 0;
	/* Numbers count within one image's versions: two names would give the same ones anew. */
	if (w->img && strcmp(w->v.name, w->c->conf.image) == 0) {
		from.parent = w->img;
		r = highest_number(w, &from.next_number_min);
		if (r == 0)
			r = cow_commit_moved(&w->tree, &moved, &from.nmoved);
		from.moved = moved;
	}
	if (r < 0)
		return cow_err_set(err, r, "number the objects of image %s", w->v.name);
	return cow_new_version_manifest(&w->v, &from, err);
}

static int run(struct work *w, unsigned *ret_version, struct cow_err *err)
{
	int r = find_image(w, err);
	if (r == 0)
		r = w->c->conf.backend == COW_BACKEND_OVERLAY ? fill_overlay(w, err)
							      : fill_btrfs(w, err);
	if (r == 0 && !w->c->use)
		r = describe(w, err);
	if (r == 0)
		r = cow_new_version_settle(&w->v, err);
	if (r == 0)
		r = make_manifest(w, err);
	if (r == 0)
		r = w->c->use ? w->c->use(w->c->use_ctx, &w->v, err)
			      : cow_new_version_publish(&w->v, ret_version, err);
	return r;
}

int cow_commit_root(const struct cow_commit *c, unsigned *ret_version, struct cow_err *err)
{
	struct work w = {
	    .c = c,
	    .v =
		{
		    .s = c->s,
		    .name = c->image,
		    .source = c->source,
		    .doing = c->doing,
		    .opts = c->opts,
		    .dir = -1,
		    .lock = -1,
		    .stage = -1,
		    .tree = -1,
		},
	    .own_root = -1,
	};
	int r = c->opts ? cow_fixup_check(c->opts->skip_fixups, err) : 0;
	if (r < 0)
		return r;
	r = run(&w, ret_version, err);
	cow_new_version_end(&w.v, c->use ? -ECANCELED : r);
	cow_commit_tree_done(&w.tree);
	cow_ovl_image_close(w.img);
	cow_image_free(w.image);
	return r;
}

/* ---------------------------------------------------------------- clients */

int cow_commit_refuse_in_use(struct cow_store *s, const struct cow_mac *mac, const char *doing,
			     struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int64_t ago_s = 0;
	cow_mac_text(mac, id);
	int r = cow_client_refuse_mounted(s, mac, doing, err);
	if (r == 0)
		r = cow_client_is_running(s, mac, &ago_s, err);
	if (r <= 0)
		return r;
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_BUSY, -EBUSY,
			"client %s runs (its root was used %lld s ago), so its files are "
			"not in order",
			id, (long long)ago_s),
	    "shut it down first; --now takes the root as it is, as after a power cut");
}

int cow_client_check_commit(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			    struct cow_err *err)
{
	return flags & COW_COMMIT_NOW ? 0 : cow_commit_refuse_in_use(s, mac, "commit", err);
}

int cow_client_commit(struct cow_store *s, const struct cow_mac *mac, const char *image,
		      unsigned flags, const struct cow_import_opts *opts, unsigned *ret_version,
		      struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1], source[COW_MAC_TEXT_LEN + sizeof("client ")],
	    doing[COW_MAC_TEXT_LEN + sizeof("commit of client ")];
	cow_autoclient c = NULL;
	cow_autoclientat struct cow_client_at at = COW_CLIENT_AT_EMPTY;
	cow_mac_text(mac, id);
	if (flags & ~(unsigned)COW_COMMIT_NOW)
		return cow_err_set(err, -EINVAL, "commit client %s: flags %#x", id, flags);
	int r = cow_client_load(s, mac, &c, err);
	if (r == 0)
		r = cow_client_check_commit(s, mac, flags, err);
	if (r == 0)
		r = cow_client_open_root(s, id, &at, err);
	if (r < 0)
		return r;
	(void)snprintf(source, sizeof(source), "client %s", id);
	(void)snprintf(doing, sizeof(doing), "commit of %s", source);
	struct cow_commit commit = {
	    .s = s,
	    .root = at.root,
	    .conf = at.conf,
	    .is_client = 1,
	    .in_use = flags & COW_COMMIT_NOW ? 1 : 0,
	    .image = image,
	    .source = source,
	    .doing = doing,
	    .opts = opts,
	};
	r = cow_commit_root(&commit, ret_version, err);
	return r < 0 ? cow_err_prefix(err, r, "commit client %s", id) : 0;
}
