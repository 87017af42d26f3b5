/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version of an image with fix-ups taken back, or made after all: a commit of the version itself, as it is, in which
 * nothing else is changed.
 */
#include "snapshot/fixups.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commit_internal.h"

/* ---------------------------------------------------------------- what the record says */

/* "NAME: RESULT" or "NAME: RESULT: WHAT" in image.conf. */
static const char *line_of(const struct cow_kv *conf, const char *name)
{
	const char *line;
	size_t len = strlen(name);
	for (size_t n = 0; (line = cow_kv_get_nth(conf, "", "fixup", n)); n++)
		if (strncmp(line, name, len) == 0 && strncmp(line + len, ": ", 2) == 0)
			return line + len + 2;
	return NULL;
}

static bool is_done(const struct cow_kv *conf, const char *name)
{
	const char *line = line_of(conf, name);
	return line && strncmp(line, "done", 4) == 0;
}

static void read_line(const struct cow_kv *conf, const char *name, char *result, size_t size,
		      struct cow_fixup_state *st)
{
	const char *line = line_of(conf, name), *colon = line ? strstr(line, ": ") : NULL;
	(void)snprintf(result, size, "%.*s",
		       line ? (int)(colon ? colon - line : (ptrdiff_t)strlen(line)) : 7,
		       line ? line : "unknown");
	st->result = result;
	st->what = colon ? colon + 2 : "";
}

/* What an earlier version was made with is there, and not needed any more. */
static int say(const struct cow_kv *conf, const struct cow_fixlog_step *s, const char *name,
	       const char *about, int (*fn)(void *ctx, const struct cow_fixup_state *state), void *ctx)
{
	char result[32];
	struct cow_fixup_state st = {.name = name, .about = about};
	cow_autofree const char **paths = calloc(s ? s->n + 1 : 1, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	read_line(conf, name, result, sizeof(result), &st);
	if (s && (s->n || s->lost) && strcmp(result, "not needed") == 0) {
		st.result = "done";
		st.what = s->did ? s->did : "";
	}
	for (size_t i = 0; s && i < s->n; i++)
		if (s->change[i].kind != COW_FIXLOG_DIR)
			paths[st.npaths++] = s->change[i].path;
	st.undoable = s && s->n && !s->lost;
	for (size_t i = 0; s && i < s->n; i++)
		st.undoable = st.undoable && !s->change[i].lost;
	st.paths = paths;
	return fn(ctx, &st);
}

int cow_image_fixups(struct cow_store *s, const struct cow_image *i,
		     int (*fn)(void *ctx, const struct cow_fixup_state *state), void *ctx,
		     struct cow_err *err)
{
	const char *name, *about;
	cow_autokv conf = NULL;
	cow_autofixlog log = COW_FIXLOG_EMPTY;
	int r = cow_image_conf(s, i, &conf, err);
	if (r < 0)
		return r;
	cow_autoclose int version = cow_image_version(s, i);
	r = version < 0 ? cow_err_set(err, version, "open image %s@%u", i->name, i->version)
			: cow_fixlog_read(version, &log, err);
	if (r < 0)
		return cow_err_prefix(err, r, "image %s@%u", i->name, i->version);
	for (unsigned n = 0; r == 0 && (name = cow_fixup_name(n, &about)); n++)
		r = say(conf, cow_fixlog_find(&log, name), name, about, fn, ctx);
	return r == -ENOMEM ? cow_err_set(err, r, "fix-ups of image %s", i->name) : r;
}

/* ---------------------------------------------------------------- a new version */

struct change {
	const struct cow_image *image;
	const struct cow_fixup_opts *what;
	struct cow_new_version *v;
	struct cow_kv *conf; /* of the image */
	char comment[256];
	unsigned changed;
};

/* In both reports of a fix-up: the caller's, and the record of the new version. */
static void report(void *ctx, const char *name, const char *result, const char *what)
{
	struct change *x = ctx;
	const struct cow_import_opts *opts = x->v->opts;
	if (strcmp(result, "not needed") != 0)
		cow_new_version_fixup(x->v, name, result, what);
	else if (opts && opts->fixup)
		opts->fixup(opts->ctx, name, result, what);
}

static bool asked(const char *const *list, const char *name)
{
	const struct cow_fixup_skip names = {{list, NULL}};
	return cow_fixup_skipped(&names, name);
}

static void add_comment(struct change *x, const char *done, const char *name)
{
	size_t len = strlen(x->comment);
	(void)snprintf(x->comment + len, sizeof(x->comment) - len, "%sfix-up %s %s", len ? ", " : "",
		       name, done);
	x->changed++;
}

static int not_recorded(const struct change *x, const char *name, struct cow_err *err)
{
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -EPERM,
					"what fix-up %s changed in %s@%u is not recorded: it was "
					"made by an older cowherd",
					name, x->image->name, x->image->version),
			    "import the image again with --no-fixup %s", name);
}

/* The last one first: each finds the tree as it left it. */
static int undo_all(struct change *x, struct cow_err *err)
{
	const char *names[COW_FIXUPS_MAX], *about;
	unsigned n = 0;
	while (n < COW_FIXUPS_MAX && (names[n] = cow_fixup_name(n, &about)))
		n++;
	while (n-- > 0) {
		const char *name = names[n];
		const struct cow_fixlog_step *s = cow_fixlog_find(&x->v->log, name);
		if (!asked(x->what->undo, name))
			continue;
		if (s ? s->lost && s->n == 0 : is_done(x->conf, name))
			return not_recorded(x, name, err);
		int r = cow_fixup_undo(x->v->tree, &x->v->log, name,
				       x->what->force ? COW_FIXUP_FORCE : 0, report, x, err);
		if (r < 0)
			return r;
		if (r > 0)
			add_comment(x, "undone", name);
	}
	return 0;
}

static int redo_all(struct change *x, struct cow_err *err)
{
	const char *name, *about;
	const char *boot_dir = cow_kv_get(x->v->conf, "", "boot_dir");
	for (unsigned n = 0; (name = cow_fixup_name(n, &about)); n++) {
		if (!asked(x->what->redo, name))
			continue;
		int r = cow_fixup_one(x->v->tree, boot_dir, name, &x->v->log, report, x, err);
		if (r < 0)
			return r;
		if (r > 0)
			add_comment(x, "done", name);
	}
	return 0;
}

/* Lines of the fix-ups that stay as they are. */
static int keep_lines(struct change *x)
{
	const char *line;
	int r = 0;
	for (size_t n = 0; r == 0 && (line = cow_kv_get_nth(x->conf, "", "fixup", n)); n++) {
		char name[COW_LABEL_MAX + 1];
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(line, ":"), line);
		if (strcmp(name, "identity") != 0 && !line_of(x->v->conf, name))
			r = cow_new_version_add(x->v, "fixup", line);
	}
	return r;
}

static int make_changes(void *ctx, struct cow_new_version *v, struct cow_err *err)
{
	struct change *x = ctx;
	x->v = v;
	int r = undo_all(x, err);
	if (r == 0)
		r = redo_all(x, err);
	if (r == 0 && (x->changed == 0 || x->what->dry_run))
		return -ECANCELED;
	if (r < 0)
		return r;
	r = keep_lines(x);
	if (r == 0 && !(v->opts && v->opts->comment))
		r = cow_kv_set(v->conf, "", "comment", x->comment);
	return r < 0 ? cow_err_set(err, r, "describe image %s", v->name) : 0;
}

static int check(const struct cow_fixup_opts *what, struct cow_err *err)
{
	int r = cow_fixup_check(what->undo, err);
	if (r == 0)
		r = cow_fixup_check(what->redo, err);
	for (const char *const *name = what->undo; r == 0 && name && *name; name++)
		if (asked(what->redo, *name))
			r = cow_err_say(err, COW_ERR_USAGE, -EINVAL,
					"fix-up %s: to be taken back or to be made?", *name);
	return r;
}

static enum cow_backend kind_of(struct cow_store *s, const struct cow_image *i)
{
	return cow_image_check_backend(s, i, COW_BACKEND_BTRFS, NULL) == 0 ? COW_BACKEND_BTRFS
									    : COW_BACKEND_OVERLAY;
}

int cow_image_fixup(struct cow_store *s, const struct cow_image *i, const struct cow_fixup_opts *what,
		    const struct cow_import_opts *opts, unsigned *ret_version, struct cow_err *err)
{
	char doing[COW_LABEL_MAX + 64];
	struct change x = {.image = i, .what = what};
	struct cow_commit c = {
	    .s = s,
	    .root = -1,
	    .conf = {.version = i->version, .backend = kind_of(s, i)},
	    .image = i->name,
	    .source = "fixup",
	    .doing = doing,
	    .opts = opts,
	    .change = make_changes,
	    .change_ctx = &x,
	};
	memcpy(c.conf.image, i->name, sizeof(c.conf.image));
	(void)snprintf(doing, sizeof(doing), "change of fix-ups of image %s", i->name);
	*ret_version = 0;
	int r = check(what, err);
	if (r == 0)
		r = cow_image_conf(s, i, &x.conf, err);
	if (r == 0)
		r = cow_commit_root(&c, ret_version, err);
	cow_kv_free(x.conf);
	if (r == -ECANCELED)
		return 0;
	return r < 0 ? cow_err_prefix(err, r, "fix-ups of image %s@%u", i->name, i->version) : 0;
}
