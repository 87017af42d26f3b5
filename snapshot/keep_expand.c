/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From the patterns of a keep-list to the names there are. Both roots are asked: what only the new one has
 * may be something the client deleted.
 */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "common/growpath.h"
#include "entries.h"
#include "keep.h"

struct expand {
	struct cow_growpath path;
	cow_keep_fn fn;
	void *ctx;
};

static int go_down(struct expand *x, struct cow_ovl_node *from, struct cow_ovl_node *to,
		   char *rest);

static bool has_pattern(const char *s)
{
	return strpbrk(s, "*?[\\") != NULL;
}

/* NULL: nothing there, or no directory to look into. */
static int look(struct cow_ovl_node *dir, const char *name, struct cow_ovl_node **ret)
{
	*ret = NULL;
	int r = dir ? cow_ovl_lookup(dir, name, strlen(name), ret, NULL) : 0;
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

/* @rest: what follows this name; NULL: it is the last. */
static int take(struct expand *x, struct cow_ovl_node *from, struct cow_ovl_node *to,
		const char *name, char *rest)
{
	size_t old;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	int r = cow_growpath_push(&x->path, name, &old);
	if (r < 0)
		return r;
	if (!rest || !has_pattern(rest)) {
		if (rest)
			r = cow_growpath_push(&x->path, rest, &(size_t){0});
		r = r < 0 ? r : x->fn(x->ctx, x->path.s);
	} else {
		r = look(from, name, &a);
		if (r == 0)
			r = look(to, name, &b);
		if (r == 0 && (a || b))
			r = go_down(x, a, b, rest);
	}
	cow_growpath_pop(&x->path, old);
	return r;
}

static int read_names(struct cow_ovl_node *dir, struct cow_entries *ret)
{
	int r = dir && S_ISDIR(cow_ovl_type(dir)) ? cow_entries_read(dir, ret) : 0;
	cow_entries_sort(ret);
	return r;
}

static int match(struct expand *x, struct cow_ovl_node *from, struct cow_ovl_node *to,
		 const char *pattern, char *rest)
{
	cow_autoentries a = COW_ENTRIES_EMPTY;
	cow_autoentries b = COW_ENTRIES_EMPTY;
	int r = read_names(from, &a);
	if (r == 0)
		r = read_names(to, &b);
	for (size_t i = 0; r >= 0 && i < a.n; i++)
		if (fnmatch(pattern, a.list[i].name, FNM_PERIOD) == 0)
			r = take(x, from, to, a.list[i].name, rest);
	for (size_t i = 0; r >= 0 && i < b.n; i++)
		if (!cow_entries_find(&a, b.list[i].name) &&
		    fnmatch(pattern, b.list[i].name, FNM_PERIOD) == 0)
			r = take(x, from, to, b.list[i].name, rest);
	return r;
}

static int go_down(struct expand *x, struct cow_ovl_node *from, struct cow_ovl_node *to, char *rest)
{
	size_t len = strcspn(rest, "/");
	bool last = !rest[len];
	char *next = last ? NULL : rest + len + 1;
	rest[len] = 0;
	int r = has_pattern(rest) ? match(x, from, to, rest, next) : take(x, from, to, rest, next);
	if (!last)
		rest[len] = '/'; /* it is gone through once more for the next name that matches */
	return r;
}

int cow_keep_expand(const struct cow_keep *k, struct cow_ovl_inst *from, struct cow_ovl_inst *to,
		    cow_keep_fn fn, void *ctx)
{
	struct expand x = {.fn = fn, .ctx = ctx};
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	int r = cow_growpath_init(&x.path);
	if (r == 0)
		r = cow_ovl_root(from, &a);
	if (r == 0 && to)
		r = cow_ovl_root(to, &b);
	for (size_t i = 0; r >= 0 && i < k->n; i++) {
		cow_autofree char *copy = strdup(k->path[i]);
		if (!copy)
			r = -ENOMEM;
		else if (has_pattern(copy))
			r = go_down(&x, a, b, copy);
		else
			r = fn(ctx, copy);
	}
	cow_growpath_done(&x.path);
	return r < 0 ? r : 0;
}
