/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The plan of a rebase: every change of the client with what becomes of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "rebase_internal.h"

#define NAMED_MAX 5 /* paths in a refusal */

/* ---------------------------------------------------------------- entries */

struct cow_rebase_entry *cow_rebase_add(struct cow_rebase *rb, const struct cow_ovl_change *change)
{
	if (rb->n == rb->room) {
		size_t room = rb->room ? rb->room * 2 : 64;
		struct cow_rebase_entry *grown = reallocarray(rb->entries, room, sizeof(*grown));
		if (!grown)
			return NULL;
		rb->entries = grown;
		rb->room = room;
	}
	struct cow_rebase_entry *e = &rb->entries[rb->n];
	*e = (struct cow_rebase_entry){.line.change = *change, .path = strdup(change->path)};
	if (change->old_path)
		e->old_path = strdup(change->old_path);
	if (!e->path || (change->old_path && !e->old_path)) {
		free(e->path);
		free(e->old_path);
		return NULL;
	}
	e->line.change.path = e->path;
	e->line.change.old_path = e->old_path;
	rb->n++;
	return e;
}

int cow_rebase_stop(const struct cow_rebase *rb)
{
	return rb->stop ? rb->stop(rb->stop_ctx) : 0;
}

static int take_change(void *ctx, const struct cow_ovl_change *change)
{
	return cow_rebase_add(ctx, change) ? cow_rebase_stop(ctx) : -ENOMEM;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct cow_rebase_entry *)a)->path,
		      ((const struct cow_rebase_entry *)b)->path);
}

static void sort(struct cow_rebase *rb)
{
	if (rb->n)
		qsort(rb->entries, rb->n, sizeof(*rb->entries), by_path);
	rb->sorted = rb->n;
}

/* As strcmp(), with a path that may go on. */
static int path_cmp(const char *path, size_t len, const char *other)
{
	int r = strncmp(path, other, len);
	return r ? r : other[len] ? -1 : 0;
}

struct cow_rebase_entry *cow_rebase_find(const struct cow_rebase *rb, const char *path, size_t len)
{
	size_t low = 0, high = rb->sorted;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = path_cmp(path, len, rb->entries[mid].path);
		if (r == 0)
			return &rb->entries[mid];
		if (r > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---------------------------------------------------------------- what v2 changed */

static int take_theirs(void *ctx, const struct cow_ovl_image_change *change)
{
	struct cow_rebase *rb = ctx;
	if (change->kind == COW_CHANGE_DELETED || change->what == COW_CHANGED_MTIME)
		return 0;
	if (rb->nchanged == rb->changed_room) {
		size_t room = rb->changed_room ? rb->changed_room * 2 : 256;
		char **grown = reallocarray(rb->changed, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		rb->changed = grown;
		rb->changed_room = room;
	}
	rb->changed[rb->nchanged] = strdup(change->path);
	return rb->changed[rb->nchanged] ? (rb->nchanged++, 0) : -ENOMEM;
}

static int string_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---------------------------------------------------------------- judging */

static enum cow_rebase_policy policy_of(const struct cow_rebase *rb, const char *path)
{
	if (cow_rebase_glob(rb->opts->theirs, path))
		return COW_POLICY_THEIRS;
	return cow_rebase_glob(rb->opts->both, path) ? COW_POLICY_BOTH : COW_POLICY_OURS;
}

/* What was said for a directory above. */
static enum cow_rebase_cover cover_above(const struct cow_rebase *rb, const char *path)
{
	for (size_t len = strlen(path); len > 0; len--) {
		if (path[len] != '/')
			continue;
		const struct cow_rebase_entry *e = cow_rebase_find(rb, path, len);
		if (e && e->cover)
			return e->cover;
		for (size_t k = rb->sorted; k < rb->n; k++)
			if (path_cmp(path, len, rb->entries[k].path) == 0)
				return rb->entries[k].cover;
	}
	return COW_COVER_NOT;
}

static void covered(struct cow_rebase_entry *e, enum cow_rebase_cover cover)
{
	bool tree = cover == COW_COVER_TREE;
	e->v = (struct cow_rebase_verdict){
	    .result = tree ? COW_REBASE_KEPT : COW_REBASE_DROPPED,
	    .act = COW_ACT_THEIRS,
	    .why = tree ? "with the directory above it" : "with the directory above it, as asked",
	};
	e->cover = cover;
	e->departs = tree && e->their_path != NULL;
	free(e->link_to);
	e->link_to = NULL;
}

/* A directory that is as the client wants it goes for all that is in it, or nothing of it does. */
static enum cow_rebase_cover cover_of(const struct cow_rebase *rb, const struct cow_rebase_entry *e)
{
	if (!S_ISDIR(e->line.change.type) || e->line.change.kind == COW_CHANGE_DELETED)
		return COW_COVER_NOT;
	if (e->v.act == COW_ACT_TREE)
		return COW_COVER_TREE;
	if (e->v.act != COW_ACT_THEIRS || e->line.change.kind == COW_CHANGE_ATTRIBUTES)
		return COW_COVER_NOT;
	return e->line.change.kind == COW_CHANGE_MOVED ||
		       !S_ISDIR(cow_rebase_type(rb->v2, e->theirs))
		   ? COW_COVER_THEIRS
		   : COW_COVER_NOT;
}

/* Two objects must not be saved under one name, and a saved one is newer than what was saved before. */
static void check_saved(struct cow_rebase *rb, struct cow_rebase_entry *e)
{
	char path[COW_PATH_MAX + 1];
	const char *slash = strrchr(e->path, '/');
	if (!e->v.save)
		return;
	int len = snprintf(path, sizeof(path), "%s" COW_REBASE_SUFFIX, e->path);
	if ((size_t)len >= sizeof(path) ||
	    strlen(slash ? slash + 1 : e->path) + strlen(COW_REBASE_SUFFIX) > COW_NAME_MAX) {
		e->v.save = false;
		e->v.why =
		    "both changed it; its name is too long to keep the new version's beside it";
		return;
	}
	struct cow_rebase_entry *before = cow_rebase_find(rb, path, (size_t)len);
	if (before && before->line.change.kind == COW_CHANGE_ADDED)
		before->outdated = true; /* it comes later */
}

static int judge(struct cow_rebase *rb, struct cow_rebase_entry *e)
{
	const struct cow_ovl_change *change = &e->line.change;
	struct cow_rebase_case c = {
	    .kind = change->kind,
	    .what = change->what,
	    .type = change->type,
	    .anew = e->anew,
	    .needed = e->needed,
	    .policy = policy_of(rb, e->path),
	    .package = cow_rebase_package(change),
	};
	int r = cow_rebase_identity(rb, change, &c.identity);
	if (r == 0)
		r = cow_rebase_look(rb, e, &c);
	if (r < 0)
		return r;
	e->v = cow_rebase_judge(&c);
	if (e->outdated)
		e->v = (struct cow_rebase_verdict){.result = COW_REBASE_DROPPED,
						   .act = COW_ACT_THEIRS,
						   .why = "a newer one takes its place"};
	if (change->kind == COW_CHANGE_MOVED && e->v.act == COW_ACT_THEIRS &&
	    c.kind == change->kind)
		e->departs = false;
	e->cover = cover_of(rb, e);
	check_saved(rb, e);
	return 0;
}

/* ---------------------------------------------------------------- directories that must be there */

static bool makes_something(const struct cow_rebase_entry *e)
{
	return e->v.act == COW_ACT_OURS || e->v.act == COW_ACT_TREE || e->v.act == COW_ACT_MOVE;
}

/* -> 1 v2 has something there that is no directory. */
static int is_in_the_way(struct cow_rebase *rb, const char *dir)
{
	cow_autoplaces p = {0};
	int r = cow_rebase_places(rb, dir, &p);
	if (r < 0 || !p.theirs)
		return r;
	mode_t type = cow_rebase_type(rb->v2, cow_ovl_image_number(rb->v2, p.theirs));
	return type && !S_ISDIR(type);
}

/* The uppermost directory above the entry that v2 has no directory for becomes an entry itself. */
static int need_directories(struct cow_rebase *rb, size_t k)
{
	cow_autofree char *path = strdup(rb->entries[k].path);
	if (!path)
		return -ENOMEM;
	for (size_t len = 1; path[len]; len++) {
		if (path[len] != '/')
			continue;
		path[len] = 0;
		const struct cow_rebase_entry *own = cow_rebase_find(rb, path, len);
		int r = own && own->line.change.kind != COW_CHANGE_ATTRIBUTES
			    ? 0
			    : is_in_the_way(rb, path);
		if (r < 0)
			return r;
		if (r > 0) {
			struct cow_rebase_entry *e = cow_rebase_add(
			    rb, &(struct cow_ovl_change){
				    .kind = COW_CHANGE_MODIFIED, .type = S_IFDIR, .path = path});
			if (!e)
				return -ENOMEM;
			e->needed = true;
			return judge(rb, e);
		}
		path[len] = '/';
	}
	return 0;
}

static int judge_all(struct cow_rebase *rb)
{
	int r = 0;
	for (size_t k = 0; r == 0 && k < rb->sorted; k++) {
		enum cow_rebase_cover cover = cover_above(rb, rb->entries[k].path);
		r = cow_rebase_stop(rb);
		if (r == 0 && !cover)
			r = judge(rb, &rb->entries[k]);
		if (r == 0 && !cover && makes_something(&rb->entries[k]))
			r = need_directories(rb, k);
	}
	/* Also what was judged before it turned out what must become of the directory. */
	for (size_t k = 0; r == 0 && k < rb->sorted; k++) {
		struct cow_rebase_entry *e = &rb->entries[k];
		enum cow_rebase_cover cover = cover_above(rb, e->path);
		if (cover)
			covered(e, cover);
		else if (e->v.act == COW_ACT_OURS && e->line.change.kind == COW_CHANGE_ADDED)
			r = cow_rebase_find_link(rb, e);
	}
	return r;
}

/* ---------------------------------------------------------------- packages */

static int refuse_packages(struct cow_rebase *rb, struct cow_err *err)
{
	char list[NAMED_MAX * 64] = "";
	size_t found = 0, len = 0;
	for (size_t k = 0; k < rb->n; k++) {
		if (!cow_rebase_package(&rb->entries[k].line.change))
			continue;
		if (found++ < NAMED_MAX && len < sizeof(list) - 1)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", COW_Q(rb->entries[k].path));
	}
	if (!found || rb->opts->flags & COW_REBASE_FORCE)
		return 0;
	return cow_err_hint(
	    err,
	    cow_err_say(
		err, COW_ERR_REFUSED, -EPERM,
		"the client changed its package database or files of packages, which cannot be "
		"merged: %s%s (%zu in all)",
		list, found > NAMED_MAX ? ", ..." : "", found),
	    "roll it without --rebase, with a keep-list for what is its own; or give --force: the "
	    "packages are then those of the new version");
}

/* ---------------------------------------------------------------- the whole */

static int fill_up(struct cow_rebase *rb)
{
	sort(rb);
	int r = cow_rebase_find_moved(rb);
	if (r == 0)
		r = cow_rebase_add_links(rb);
	if (r == 0)
		r = cow_rebase_add_hidden(rb);
	sort(rb);
	return r;
}

int cow_rebase_plan(struct cow_rebase *rb, struct cow_err *err)
{
	struct cow_err why = COW_ERR_INIT;
	int r = cow_ovl_image_diff(rb->v1, rb->v2, take_theirs, rb);
	if (r < 0)
		return cow_err_set(err, r, "compare the two versions");
	if (rb->nchanged)
		qsort(rb->changed, rb->nchanged, sizeof(*rb->changed), string_cmp);
	r = cow_client_diff_root(rb->s, &rb->at, take_change, rb, &why);
	if (r < 0 && why.code != COW_OK) {
		if (err)
			*err = why;
		return r;
	}
	if (r == 0) /* else it was take_change() */
		r = fill_up(rb);
	if (r < 0)
		return cow_err_set(err, r, "look through the changes");
	r = refuse_packages(rb, err);
	if (r < 0)
		return r;
	r = judge_all(rb);
	if (r < 0)
		return cow_err_set(err, r, "compare the root with the new version");
	sort(rb);
	for (size_t k = 0; k < rb->n; k++) {
		struct cow_rebase_entry *e = &rb->entries[k];
		e->line.result = e->v.result;
		e->line.why = e->v.why;
		e->line.saved = e->v.save;
	}
	return 0;
}

void cow_rebase_done(struct cow_rebase *rb)
{
	for (size_t k = 0; k < rb->n; k++) {
		free(rb->entries[k].path);
		free(rb->entries[k].old_path);
		free(rb->entries[k].their_path);
		free(rb->entries[k].link_to);
	}
	free(rb->entries);
	for (size_t k = 0; k < rb->nchanged; k++)
		free(rb->changed[k]);
	free(rb->changed);
	free(rb->buf);
	free(rb->names);
	free(rb->value);
	if (rb->ours)
		(void)cow_ovl_inst_close(rb->ours); /* nothing was changed through it */
	cow_ovl_image_close(rb->v1);
	cow_ovl_image_close(rb->v2);
	if (rb->tree1 >= 0)
		(void)close(rb->tree1); /* opened to look */
	if (rb->tree2 >= 0)
		(void)close(rb->tree2);
	cow_client_at_done(&rb->at);
}
