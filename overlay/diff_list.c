/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "grow.h"

/* ---------------------------------------------------------------- collecting */

struct cow_diff_entry *cow_diff_add(struct cow_diff_list *l, const char *path)
{
	if (cow_grow(&l->entries, &l->room, l->n + 1) < 0)
		return NULL;
	char *copy = strdup(path);
	if (!copy)
		return NULL;
	l->entries[l->n] = (struct cow_diff_entry){.path = copy};
	return &l->entries[l->n++];
}

void cow_diff_judge(struct cow_diff_entry *e, unsigned what)
{
	e->what = what;
	e->drop = what == 0;
	e->kind = what & (COW_CHANGED_DATA | COW_CHANGED_TYPE) ? COW_CHANGE_MODIFIED
							       : COW_CHANGE_ATTRIBUTES;
}

int cow_diff_add_nameless(struct cow_diff_list *l, uint32_t ino, unsigned what)
{
	if (cow_grow(&l->nameless, &l->nameless_room, l->nnameless + 1) < 0)
		return -ENOMEM;
	l->nameless[l->nnameless++] = (struct cow_diff_nameless){.ino = ino, .what = what};
	return 0;
}

void cow_diff_done(struct cow_diff_list *l)
{
	free(l->nameless);
	for (size_t k = 0; k < l->n; k++) {
		free(l->entries[k].path);
		free(l->entries[k].old_path);
	}
	free(l->entries);
	free(l->gone);
	free(l->moved);
	*l = (struct cow_diff_list){0};
}

/* ---------------------------------------------------------------- orders */

static int name_cmp(const void *a, const void *b)
{
	const struct cow_diff_name *x = a, *y = b;
	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

static int number_cmp(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static int path_cmp(const void *a, const void *b)
{
	const struct cow_diff_entry *x = a, *y = b;
	int r = strcmp(x->path, y->path);
	return r ? r : (x->kind > y->kind) - (x->kind < y->kind);
}

/* ---------------------------------------------------------------- what is still where it was */

static bool is_moved(const struct cow_diff_list *l, uint32_t ino)
{
	return l->nmoved && bsearch(&ino, l->moved, l->nmoved, sizeof(ino), number_cmp);
}

static bool is_gone(const struct cow_diff_list *l, struct cow_diff_name name)
{
	return l->ngone && bsearch(&name, l->gone, l->ngone, sizeof(name), name_cmp);
}

/* The one name of a directory; parent 0 for the root. */
static struct cow_diff_name dir_name(const struct cow_diff_list *l, uint32_t dir)
{
	struct cow_diff_name name = {0};
	struct cow_man_ent ent;
	if (dir == COW_MAN_ROOT || cow_man_nnames(l->img, dir) == 0)
		return name;
	cow_man_name(l->img, dir, 0, &name.parent, &ent);
	name.cookie = ent.cookie;
	return name;
}

/* Gone by itself, or with a directory above it that is gone. */
static bool is_unreachable(const struct cow_diff_list *l, struct cow_diff_name name)
{
	for (unsigned depth = 0; name.parent && depth < COW_DEPTH_MAX; depth++) {
		if (is_gone(l, name))
			return true;
		if (is_moved(l, name.parent))
			return false; /* it went along */
		name = dir_name(l, name.parent);
	}
	return false;
}

/* Was one of the hidden directories an entry was compared with moved away? */
static bool has_nothing_hidden(const struct cow_diff_list *l, const struct cow_diff_entry *e)
{
	for (uint32_t dir = e->hidden; dir; dir = dir_name(l, dir).parent) {
		if (is_moved(l, dir))
			return true;
		if (dir == e->hidden_top)
			break;
	}
	return false;
}

/* ---------------------------------------------------------------- moves */

static int collect_moved(struct cow_diff_list *l)
{
	size_t count = 0;
	l->moved = calloc(l->n + 1, sizeof(*l->moved));
	if (!l->moved)
		return -ENOMEM;
	for (size_t k = 0; k < l->n; k++)
		if (l->entries[k].moved)
			l->moved[count++] = l->entries[k].moved;
	qsort(l->moved, count, sizeof(*l->moved), number_cmp);
	l->nmoved = count;
	return 0;
}

static char *path_of(const struct cow_ovl_image *img, uint32_t parent, const char *name)
{
	char *path;
	cow_autofree char *dir = malloc(COW_PATH_MAX + 1);
	if (!dir || cow_man_path(img, parent, dir, COW_PATH_MAX + 1) < 0)
		return NULL;
	return asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0 ? NULL : path;
}

static int collect_gone(struct cow_diff_list *l)
{
	l->gone = calloc(l->n + 1, sizeof(*l->gone));
	if (!l->gone)
		return -ENOMEM;
	for (size_t k = 0; k < l->n; k++)
		if (l->entries[k].gone)
			l->gone[l->ngone++] = l->entries[k].home;
	qsort(l->gone, l->ngone, sizeof(*l->gone), name_cmp);
	return 0;
}

/* Entries that stand on names of the image, to be found by name. */
struct places {
	struct place {
		struct cow_diff_name name;
		size_t entry;
		bool used; /* a moved object has been told to come from here */
	} * list;
	size_t n;
	/* Names without an entry that one of several links to an object has been told to come from. */
	struct cow_diff_name *used;
	size_t nused, used_room;
};

static int place_cmp(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return name_cmp(&x->name, &y->name);
}

static int collect_places(const struct cow_diff_list *l, struct places *ret)
{
	ret->n = 0;
	ret->list = calloc(l->n + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t k = 0; k < l->n; k++)
		if (l->entries[k].home.parent)
			ret->list[ret->n++] =
			    (struct place){.name = l->entries[k].home, .entry = k};
	qsort(ret->list, ret->n, sizeof(*ret->list), place_cmp);
	return 0;
}

/* Is it seen away from home by more than one name? */
static bool is_linked(const struct cow_diff_list *l, uint32_t ino)
{
	const uint32_t *at = bsearch(&ino, l->moved, l->nmoved, sizeof(ino), number_cmp);
	return at && ((at > l->moved && at[-1] == ino) ||
		      (at + 1 < l->moved + l->nmoved && at[1] == ino));
}

/* It vanished with a directory above it. -> 1 taken, 0 by another link before, -ENOMEM */
static int take_vanished(const struct cow_diff_list *l, struct places *places,
			 struct cow_diff_name name, uint32_t ino)
{
	if (!is_linked(l, ino)) /* nearly always */
		return 1;
	for (size_t k = 0; k < places->nused; k++)
		if (name_cmp(&places->used[k], &name) == 0)
			return 0;
	if (cow_grow(&places->used, &places->used_room, places->nused + 1) < 0)
		return -ENOMEM;
	places->used[places->nused++] = name;
	return 1;
}

/* The place an object came from was deleted, or somebody else's since: neither is worth a word of its
 * own, but the new object there is. Return: as take_vanished(). */
static int take_place(struct cow_diff_list *l, struct places *places, struct cow_diff_name name,
		      uint32_t ino)
{
	struct place key = {.name = name};
	struct place *p =
	    places->n ? bsearch(&key, places->list, places->n, sizeof(key), place_cmp) : NULL;
	if (!p)
		return take_vanished(l, places, name, ino);
	if (p->used)
		return 0; /* by another link to the same object */
	p->used = true;
	struct cow_diff_entry *e = &l->entries[p->entry];
	if (e->kind == COW_CHANGE_DELETED) {
		e->drop = true;
	} else if (!e->moved) {
		e->kind = COW_CHANGE_ADDED;
		e->what = 0;
		e->drop = false;
	}
	return 1;
}

static int find_origin(struct cow_diff_list *l, struct places *places, struct cow_diff_entry *e)
{
	struct cow_diff_name name;
	struct cow_man_ent ent;
	size_t n = cow_man_nnames(l->img, e->moved);
	for (size_t k = 0; k < n; k++) {
		cow_man_name(l->img, e->moved, k, &name.parent, &ent);
		name.cookie = ent.cookie;
		int r = is_unreachable(l, name) ? take_place(l, places, name, e->moved) : 0;
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		e->old_path = path_of(l->img, name.parent, ent.name);
		if (!e->old_path)
			return -ENOMEM;
		e->kind = COW_CHANGE_MOVED;
		e->drop = false;
		return 0;
	}
	e->kind = COW_CHANGE_ADDED; /* one more link to what is still there */
	e->what = 0;
	e->drop = false;
	return 0;
}

/* Compared with what was not hidden there but moved away: the comparison meant nothing. */
static void judge_hidden(const struct cow_diff_list *l, struct cow_diff_entry *e)
{
	if (!has_nothing_hidden(l, e))
		return;
	e->home = (struct cow_diff_name){0};
	e->gone = false;
	if (e->kind == COW_CHANGE_DELETED) {
		e->drop = true;
	} else if (!e->moved) {
		e->kind = COW_CHANGE_ADDED;
		e->what = 0;
		e->drop = false;
	}
}

/* ---------------------------------------------------------------- objects without a name in the upper layer */

static const char *moved_to(const struct cow_diff_list *l, uint32_t dir)
{
	for (size_t k = 0; k < l->n; k++)
		if (l->entries[k].moved == dir)
			return l->entries[k].path;
	return NULL;
}

/* Where the client has a name of the image that has not moved by itself. NULL: no memory. */
static char *path_now(const struct cow_diff_list *l, uint32_t parent, const char *last)
{
	char *path = strdup(last);
	struct cow_man_ent ent;
	for (uint32_t dir = parent; path && dir != COW_MAN_ROOT;) {
		const char *to = is_moved(l, dir) ? moved_to(l, dir) : NULL;
		uint32_t above = 0;
		if (!to)
			cow_man_name(l->img, dir, 0, &above, &ent);
		cow_autofree char *rest = path;
		if (asprintf(&path, "%s/%s", to ? to : ent.name, rest) < 0)
			path = NULL;
		if (to)
			break;
		dir = above;
	}
	return path;
}

/* Each name that still shows it is changed: what it was changed by is gone, or it would have a name. */
static int name_one(struct cow_diff_list *l, const struct cow_diff_nameless *o)
{
	struct cow_diff_name name;
	struct cow_man_ent ent;
	size_t n = cow_man_nnames(l->img, o->ino);
	for (size_t k = 0; k < n; k++) {
		cow_man_name(l->img, o->ino, k, &name.parent, &ent);
		name.cookie = ent.cookie;
		if (is_unreachable(l, name))
			continue;
		cow_autofree char *path = path_now(l, name.parent, ent.name);
		struct cow_diff_entry *e = path ? cow_diff_add(l, path) : NULL;
		if (!e)
			return -ENOMEM;
		e->type = cow_man_type(l->img, o->ino);
		cow_diff_judge(e, o->what);
	}
	return 0;
}

static void remove_dropped(struct cow_diff_list *l)
{
	size_t kept = 0;
	for (size_t k = 0; k < l->n; k++) {
		if (l->entries[k].drop) {
			free(l->entries[k].path);
			free(l->entries[k].old_path);
		} else {
			l->entries[kept++] = l->entries[k];
		}
	}
	l->n = kept;
}

int cow_diff_finish(struct cow_diff_list *l)
{
	struct places places = {0};
	if (l->n)
		qsort(l->entries, l->n, sizeof(*l->entries), path_cmp);
	int r = collect_moved(l);
	for (size_t k = 0; r == 0 && k < l->n; k++)
		judge_hidden(l, &l->entries[k]);
	if (r == 0)
		r = collect_gone(l);
	if (r == 0)
		r = collect_places(l, &places);
	for (size_t k = 0; r == 0 && k < l->n; k++)
		if (l->entries[k].moved)
			r = find_origin(l, &places, &l->entries[k]);
	free(places.list);
	free(places.used);
	for (size_t k = 0; r == 0 && k < l->nnameless; k++)
		r = name_one(l, &l->nameless[k]);
	if (l->nnameless && l->n)
		qsort(l->entries, l->n, sizeof(*l->entries), path_cmp);
	remove_dropped(l);
	return r;
}
