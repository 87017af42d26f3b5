/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Carrying paths between two roots: the walk. What is done for one object is in carry_object.c, what is
 * equal in carry_same.c.
 */
#include "carry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "carry_internal.h"
#include "commit_internal.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "common/log.h"

static void say_conflict(struct cow_carry *c, const char *what)
{
	c->stats.conflicts++;
	if (c->o.conflict)
		c->o.conflict(c->o.ctx, c->path.s, what);
}

/* Did the image of the old root have the path? A gone image has nothing. */
static int image_had(const struct cow_carry *c)
{
	if (c->o.from_golden < 0)
		return 0;
	cow_autoclose int fd =
	    cow_open_beneath(c->o.from_golden, c->path.s, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd >= 0)
		return 1;
	return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
}

/* ---------------------------------------------------------------- a directory */

static int carry_entry(struct cow_carry *c, const struct cow_entry *from,
		       struct cow_ovl_node *to_dir, const struct cow_entry *to, unsigned flags,
		       unsigned depth);

/* The old root shows nothing there. */
static int take_away(struct cow_carry *c, struct cow_ovl_node *to_dir, const struct cow_entry *to)
{
	int r = image_had(c);
	if (r <= 0)
		return r;
	c->stats.removed++;
	return cow_carry_unmake(c, to_dir, to, 0);
}

static int child(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir,
		 const struct cow_entry *to, unsigned depth)
{
	size_t old;
	int r = cow_growpath_push(&c->path, from ? from->name : to->name, &old);
	if (r < 0)
		return r;
	r = from ? carry_entry(c, from, to_dir, to, 0, depth) : take_away(c, to_dir, to);
	if (r == 0) /* else it is for the message */
		cow_growpath_pop(&c->path, old);
	return r;
}

static int carry_children(struct cow_carry *c, struct cow_ovl_node *from, struct cow_ovl_node *to,
			  bool is_new, unsigned depth)
{
	cow_autoentries a = COW_ENTRIES_EMPTY;
	cow_autoentries b = COW_ENTRIES_EMPTY;
	int r = depth > COW_DEPTH_MAX ? -ELOOP : cow_entries_read(from, &a);
	if (r == 0 && !is_new)
		r = cow_entries_read(to, &b);
	cow_entries_sort(&a);
	cow_entries_sort(&b);
	for (size_t i = 0; r == 0 && i < b.n; i++)
		if (!cow_entries_find(&a, b.list[i].name))
			r = child(c, NULL, to, &b.list[i], depth);
	for (size_t i = 0; r == 0 && i < a.n; i++)
		r = child(c, &a.list[i], to, cow_entries_find(&b, a.list[i].name), depth);
	return r;
}

/* @to: a directory; NULL: there is nothing. */
static int carry_dir(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir,
		     struct cow_ovl_node *to, unsigned flags, unsigned depth)
{
	cow_autonode made = NULL;
	int r = to ? 0 : cow_carry_mkdir(from, to_dir, &made);
	if (r == 0 && !(flags & COW_CARRY_ALONE))
		r = carry_children(c, from->node, to ? to : made, !to, depth);
	if (r == 0 && to)
		r = cow_carry_same_dir(c, from, to);
	if (r > 0)
		c->stats.left++;
	if (r != 0)
		return r < 0 ? r : 0;
	c->stats.objects++;
	return cow_carry_dress(c, from, to ? to : made);
}

static bool same_type(const struct cow_entry *a, const struct cow_entry *b)
{
	return (a->attr.mode & S_IFMT) == (b->attr.mode & S_IFMT);
}

/* @to: what the new root has under the name, NULL: nothing. */
static int carry_entry(struct cow_carry *c, const struct cow_entry *from,
		       struct cow_ovl_node *to_dir, const struct cow_entry *to, unsigned flags,
		       unsigned depth)
{
	bool is_dir = S_ISDIR(from->attr.mode);
	if (to && is_dir && S_ISDIR(to->attr.mode))
		return carry_dir(c, from, to_dir, to->node, flags, depth + 1);
	int r = cow_fill_progress(&c->fill);
	if (r == 0 && to && !is_dir)
		r = cow_carry_is_linked(c, from, to->node) ? 1 : cow_carry_same(c, from, to);
	if (r > 0)
		c->stats.left++;
	if (r != 0)
		return r < 0 ? r : 0;
	if (to && !same_type(from, to))
		say_conflict(c, "is of another kind in the new root: replaced by what is kept");
	if (to)
		r = cow_carry_unmake(c, to_dir, to, 0);
	if (r == 0 && is_dir)
		return carry_dir(c, from, to_dir, NULL, flags, depth + 1);
	if (r == 0)
		r = cow_carry_make(c, from, to_dir);
	if (r == 0)
		c->stats.objects++;
	return r;
}

/* ---------------------------------------------------------------- down to a path */

/* -> 1 found, the caller puts the node; 0 nothing there; -errno. The name is borrowed. */
static int look(struct cow_ovl_node *dir, const char *name, struct cow_entry *ret)
{
	*ret = (struct cow_entry){.name = (char *)(uintptr_t)name, .len = strlen(name)};
	int r = cow_ovl_lookup(dir, name, ret->len, &ret->node, &ret->attr);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r < 0 ? r : 1;
}

/* What is done at the end of a path. @from: NULL: the old root has nothing there. */
typedef int (*end_fn)(struct cow_carry *c, const struct cow_entry *from,
		      struct cow_ovl_node *to_dir, const struct cow_entry *to, unsigned flags);

static int end_carry(struct cow_carry *c, const struct cow_entry *from, struct cow_ovl_node *to_dir,
		     const struct cow_entry *to, unsigned flags)
{
	if (!from)
		return to ? take_away(c, to_dir, to) : 0;
	int r = carry_entry(c, from, to_dir, to, flags, 0);
	return r < 0 ? r : 1;
}

static int end_remove(struct cow_carry *c, const struct cow_entry *from,
		      struct cow_ovl_node *to_dir, const struct cow_entry *to, unsigned flags)
{
	(void)from;
	(void)flags;
	if (!to)
		return 0;
	c->stats.removed++;
	int r = cow_carry_unmake(c, to_dir, to, 0);
	return r < 0 ? r : 1;
}

struct descent {
	struct cow_carry *c;
	end_fn end;
	unsigned flags;
	bool there; /* the old root has the path: what is missing on the way is made */
};

static int go_down(struct descent *d, struct cow_ovl_node *from, struct cow_ovl_node *to,
		   char *rest);

/* A directory of the new root changes below; itself it stays as it is. */
static int go_on(struct descent *d, struct cow_ovl_node *from, struct cow_ovl_node *to, char *rest)
{
	struct cow_ovl_attr before, after;
	int r = cow_ovl_getattr(to, &before);
	if (r < 0)
		return r;
	int done = go_down(d, from, to, rest);
	r = done < 0 ? done : cow_ovl_getattr(to, &after);
	if (r == 0 && (before.mtime.tv_sec != after.mtime.tv_sec ||
		       before.mtime.tv_nsec != after.mtime.tv_nsec))
		r = cow_carry_times(to, &before);
	return r < 0 ? r : done;
}

/* @from: a directory. @to: what stands there; NULL: nothing. */
static int go_through(struct descent *d, const struct cow_entry *from, struct cow_ovl_node *to_dir,
		      const struct cow_entry *to, char *rest)
{
	struct cow_carry *c = d->c;
	cow_autonode made = NULL;
	if (to && S_ISDIR(to->attr.mode))
		return go_on(d, from ? from->node : NULL, to->node, rest);
	if (!d->there)
		return 0;
	int r = 0;
	if (to) {
		say_conflict(c, "is no directory in the new root: replaced by the one of the old");
		r = cow_carry_unmake(c, to_dir, to, 0);
	}
	if (r == 0)
		r = cow_carry_mkdir(from, to_dir, &made);
	int done = r < 0 ? r : go_down(d, from->node, made, rest);
	if (done < 0)
		return done;
	c->stats.objects++;
	r = cow_carry_dress(c, from, made);
	return r < 0 ? r : done;
}

/* @from: NULL: the old root has no such directory. */
static int go_down(struct descent *d, struct cow_ovl_node *from, struct cow_ovl_node *to,
		   char *rest)
{
	struct cow_entry a, b;
	size_t old;
	char *name = strsep(&rest, "/");
	int r = cow_growpath_push(&d->c->path, name, &old);
	int has = r < 0 ? r : from ? look(from, name, &a) : 0;
	cow_autonode an = has > 0 ? a.node : NULL;
	int had = has < 0 ? has : look(to, name, &b);
	cow_autonode bn = had > 0 ? b.node : NULL;
	if (has < 0 || had < 0)
		return has < 0 ? has : had;
	const struct cow_entry *pa = an ? &a : NULL, *pb = bn ? &b : NULL;
	r = rest ? go_through(d, pa, to, pb, rest) : d->end(d->c, pa, to, pb, d->flags);
	if (r >= 0)
		cow_growpath_pop(&d->c->path, old);
	return r;
}

/* -> 1 the old root has the path; 0. A link on the way is said, since it is not followed. */
static int is_there(struct cow_carry *c, char *path)
{
	cow_autonode at = NULL;
	struct cow_entry e;
	int r = cow_ovl_root(c->o.from, &at);
	for (char *name = strsep(&path, "/"); r >= 0 && name; name = strsep(&path, "/")) {
		r = look(at, name, &e);
		if (r <= 0)
			return r;
		cow_ovl_put(at);
		at = e.node;
		if (path && S_ISLNK(e.attr.mode)) {
			say_conflict(c, "is not kept: a symbolic link is on the way");
			return 0;
		}
	}
	return r < 0 ? r : 1;
}

static bool is_path(const char *path)
{
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");
		if (len == 0 || len > COW_NAME_MAX || (len == 1 && *p == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

static int descend(struct cow_carry *c, const char *path, end_fn end, unsigned flags, bool there)
{
	struct descent d = {.c = c, .end = end, .flags = flags, .there = there};
	cow_autofree char *copy = strdup(path);
	cow_autonode from = NULL;
	cow_autonode to = NULL;
	cow_growpath_pop(&c->path, 0);
	int r = copy ? cow_ovl_root(c->o.from, &from) : -ENOMEM;
	if (r == 0)
		r = cow_ovl_root(c->o.to, &to);
	return r < 0 ? r : go_on(&d, from, to, copy);
}

static int fail(struct cow_carry *c, const char *path, int r, struct cow_err *err)
{
	return cow_err_set(err, r, "carry over %s", COW_Q(*c->path.s ? c->path.s : path));
}

int cow_carry_path(struct cow_carry *c, const char *path, unsigned flags, struct cow_err *err)
{
	if (!is_path(path) || flags & ~(unsigned)COW_CARRY_ALONE)
		return fail(c, path, -EINVAL, err);
	cow_autofree char *copy = strdup(path);
	/* What is said about a link on the way names the whole path. */
	size_t old;
	cow_growpath_pop(&c->path, 0);
	int r = copy ? cow_growpath_push(&c->path, path, &old) : -ENOMEM;
	if (r == 0)
		r = is_there(c, copy);
	if (r >= 0)
		r = descend(c, path, end_carry, flags, r > 0);
	c->stats.bytes = c->fill.bytes;
	return r < 0 ? fail(c, path, r, err) : r;
}

int cow_carry_all(struct cow_carry *c, struct cow_err *err)
{
	struct cow_entry e = {.name = NULL};
	cow_autonode from = NULL;
	cow_autonode to = NULL;
	cow_growpath_pop(&c->path, 0);
	int r = cow_ovl_root(c->o.from, &from);
	if (r == 0)
		r = cow_ovl_getattr(from, &e.attr);
	if (r == 0)
		r = cow_ovl_root(c->o.to, &to);
	e.node = from;
	c->all = true;
	if (r == 0)
		r = carry_dir(c, &e, NULL, to, 0, 0);
	c->stats.bytes = c->fill.bytes;
	return r < 0 ? fail(c, "/", r, err) : 0;
}

int cow_carry_remove(struct cow_carry *c, const char *path, struct cow_err *err)
{
	int r = is_path(path) ? descend(c, path, end_remove, 0, false) : -EINVAL;
	return r < 0 ? cow_err_set(err, r, "remove %s", COW_Q(path)) : r;
}

/* ---------------------------------------------------------------- object */

const struct cow_carry_stats *cow_carry_stats(const struct cow_carry *c)
{
	return &c->stats;
}

void cow_carry_free(struct cow_carry *c)
{
	if (!c)
		return;
	cow_carry_links_done(c);
	cow_fill_copier_done(&c->copier);
	cow_fill_done(&c->fill);
	cow_growpath_done(&c->path);
	free(c->names);
	free(c->other_names);
	free(c->value);
	free(c->other_value);
	free(c->same);
	free(c);
}

static int watch(void *ctx, const struct cow_import_progress *p)
{
	const struct cow_carry *c = ctx;
	(void)p;
	return c->o.stop ? c->o.stop(c->o.ctx) : 0;
}

int cow_carry_new(const struct cow_carry_opts *opts, struct cow_carry **ret, struct cow_err *err)
{
	cow_autocarry c = calloc(1, sizeof(*c));
	int r = c ? cow_growpath_init(&c->path) : -ENOMEM;
	if (r == 0)
		r = cow_fill_copier_init(&c->copier, &c->fill);
	if (r < 0)
		return cow_err_set(err, r, "prepare to carry files over");
	c->o = *opts;
	c->watch = (struct cow_import_opts){.progress = watch, .ctx = c};
	c->fill.opts = &c->watch;
	c->names = malloc(COW_XATTR_LIST_MAX);
	c->other_names = malloc(COW_XATTR_LIST_MAX);
	c->value = malloc(COW_XATTR_SIZE_MAX);
	c->other_value = malloc(COW_XATTR_SIZE_MAX);
	c->same = malloc(COW_COMMIT_SAME_BUF);
	if (!c->names || !c->other_names || !c->value || !c->other_value || !c->same)
		return cow_err_set(err, -ENOMEM, "prepare to carry files over");
	*ret = cow_steal_ptr(&c);
	return 0;
}
