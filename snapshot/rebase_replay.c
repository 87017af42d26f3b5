/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The plan of a rebase made true in a fresh root of the new version. What the client moved first leaves
 * its place, the innermost first, and is kept in a directory of its own; from then on the new root has
 * the client's paths, and all else is done in their order, so that directories come before what is in
 * them; new names of the new version's files come last. What is left in that directory at the end had no place any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "carry.h"
#include "common/fs.h"
#include "common/log.h"
#include "rebase_internal.h"

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

struct replay {
	struct cow_rebase *rb;
	struct cow_ovl_inst *to;
	struct cow_carry *carry;
	struct cow_ovl_node
	    *aside; /* what has left its place, by the numbers of the entries; NULL: nothing */
	char aside_name[sizeof(".cowherd-") + COW_HEX64_LEN];
	struct cow_err *err;
};

/* What carries paths says better which one of many it was. */
static int fail(const struct replay *p, int r, const char *doing, const char *path)
{
	if (r >= 0 || (p->err && p->err->code != COW_OK))
		return r;
	return cow_err_set(p->err, r, "%s %s", doing, COW_Q(path));
}

/* ---------------------------------------------------------------- names in the new root */

/* A name and the directory it is in. */
struct place {
	struct cow_ovl_node *dir;
	const char *name;
	size_t len;
	struct cow_ovl_attr before; /* of the directory, whose times stay */
};

static void place_done(struct place *p)
{
	cow_ovl_put(p->dir);
}
#define cow_autoplace __attribute__((cleanup(place_done))) struct place

static int open_place(struct cow_ovl_inst *inst, const char *path, struct place *ret)
{
	const char *slash = strrchr(path, '/');
	cow_autofree char *dir = strndup(path, slash ? (size_t)(slash - path) : 0);
	ret->name = slash ? slash + 1 : path;
	ret->len = strlen(ret->name);
	int r = dir ? cow_rebase_node(inst, dir, &ret->dir, &ret->before) : -ENOMEM;
	return r;
}

static int settle(const struct place *p)
{
	const struct cow_ovl_set set = {.mask = COW_SET_MTIME, .mtime = p->before.mtime};
	return cow_ovl_setattr(p->dir, root, &set, NULL);
}

static int move(const struct place *from, const struct place *to)
{
	int r =
	    cow_ovl_rename(from->dir, from->name, from->len, to->dir, to->name, to->len, 0, root);
	if (r == 0)
		r = settle(from);
	return r < 0 ? r : settle(to);
}

/* The directory that an entry's place is in, made as the client has it where it is missing. */
static int need_parent(const struct replay *p, const char *path)
{
	cow_autonode there = NULL;
	const char *slash = strrchr(path, '/');
	if (!slash)
		return 0;
	cow_autofree char *dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	int r = cow_rebase_node(p->to, dir, &there, NULL);
	if (r != -ENOENT)
		return r;
	r = cow_carry_path(p->carry, dir, COW_CARRY_ALONE, p->err);
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- what leaves its place */

static int make_aside(struct replay *p)
{
	static const struct cow_ovl_create how = {.type = S_IFDIR, .mode = 0700};
	char hex[COW_HEX64_LEN + 1];
	cow_autoplace at = {0};
	int r = cow_random_hex(hex);
	(void)snprintf(p->aside_name, sizeof(p->aside_name), ".cowherd-%s", hex);
	if (r == 0)
		r = open_place(p->to, p->aside_name, &at);
	if (r == 0)
		r = cow_ovl_create(at.dir, at.name, at.len, root, &how, &p->aside, NULL);
	return r < 0 ? r : settle(&at);
}

static int place_aside(struct replay *p, size_t k, char name[24], struct place *ret)
{
	int len = snprintf(name, 24, "%zu", k);
	*ret = (struct place){.dir = cow_ovl_get(p->aside), .name = name, .len = (size_t)len};
	return cow_ovl_getattr(p->aside, &ret->before);
}

static int depart(struct replay *p, size_t k)
{
	char name[24];
	cow_autoplace from = {0};
	cow_autoplace to = {0};
	int r = p->aside ? 0 : make_aside(p);
	if (r == 0)
		r = place_aside(p, k, name, &to);
	if (r == 0)
		r = open_place(p->to, p->rb->entries[k].their_path, &from);
	return r < 0 ? r : move(&from, &to);
}

/* Innermost first: in the reverse order of the paths that v2 has. */
struct departure {
	const char *path;
	size_t entry;
};

static int outermost_last(const void *a, const void *b)
{
	return strcmp(((const struct departure *)b)->path, ((const struct departure *)a)->path);
}

static int depart_all(struct replay *p)
{
	size_t n = 0;
	struct cow_rebase *rb = p->rb;
	cow_autofree struct departure *list = calloc(rb->n + 1, sizeof(*list));
	if (!list)
		return fail(p, -ENOMEM, "move", "");
	for (size_t k = 0; k < rb->n; k++)
		if (rb->entries[k].departs)
			list[n++] = (struct departure){rb->entries[k].their_path, k};
	qsort(list, n, sizeof(*list), outermost_last);
	int r = 0;
	for (size_t k = 0; r == 0 && k < n; k++)
		r = fail(p, depart(p, list[k].entry), "move", list[k].path);
	return r;
}

/* ---------------------------------------------------------------- one entry */

static int remove_path(const struct replay *p, const char *path)
{
	int r = cow_carry_remove(p->carry, path, p->err);
	return r < 0 ? r : 0;
}

/* What v2 has gets its new name beside the client's. */
static int save(struct replay *p, size_t k)
{
	const struct cow_rebase_entry *e = &p->rb->entries[k];
	char name[24];
	cow_autofree char *path = NULL;
	cow_autoplace from = {0};
	cow_autoplace to = {0};
	if (asprintf(&path, "%s" COW_REBASE_SUFFIX, e->path) < 0) {
		path = NULL; /* not defined by then */
		return -ENOMEM;
	}
	bool aside = e->departs && !e->taken;
	int r = need_parent(p, path);
	if (r == 0)
		r = remove_path(p, path);
	if (r == 0)
		r = aside ? place_aside(p, k, name, &from) : open_place(p->to, e->path, &from);
	if (r == 0)
		r = open_place(p->to, path, &to);
	return r < 0 ? r : move(&from, &to);
}

static int dress(struct replay *p, const struct cow_rebase_entry *e)
{
	cow_autonode to = NULL;
	int r = e->v.fields ? cow_rebase_node(p->to, e->path, &to, NULL) : 0;
	return r < 0 || !to ? r : cow_rebase_dress(p->rb, e, to);
}

static int link_to(struct replay *p, const struct cow_rebase_entry *e)
{
	cow_autonode to = NULL;
	cow_autoplace at = {0};
	if (!e->link_to || e->v.act != COW_ACT_OURS)
		return 0;
	int r = need_parent(p, e->path);
	if (r == 0)
		r = remove_path(p, e->path);
	if (r == 0)
		r = cow_rebase_node(p->to, e->link_to, &to, NULL);
	if (r == 0)
		r = open_place(p->to, e->path, &at);
	if (r == 0)
		r = cow_ovl_link(to, at.dir, at.name, at.len, root);
	return r < 0 ? r : settle(&at);
}

static int ours(struct replay *p, const struct cow_rebase_entry *e)
{
	if (e->link_to)
		return 0; /* when everything is in its place */
	int r = cow_carry_path(p->carry, e->path, COW_CARRY_ALONE, p->err);
	return r < 0 ? r : dress(p, e);
}

static int tree(struct replay *p, const struct cow_rebase_entry *e)
{
	int r = remove_path(p, e->path);
	if (r == 0)
		r = cow_carry_path(p->carry, e->path, 0, p->err);
	return r < 0 ? r : 0;
}

static int arrive(struct replay *p, size_t k)
{
	const struct cow_rebase_entry *e = &p->rb->entries[k];
	char name[24];
	cow_autoplace from = {0};
	cow_autoplace to = {0};
	int r = need_parent(p, e->path);
	if (r == 0)
		r = remove_path(p, e->path);
	if (r == 0)
		r = place_aside(p, k, name, &from);
	if (r == 0)
		r = open_place(p->to, e->path, &to);
	if (r == 0)
		r = move(&from, &to);
	return r < 0 ? r : dress(p, e);
}

static int replay_one(struct replay *p, size_t k)
{
	const struct cow_rebase_entry *e = &p->rb->entries[k];
	int r = cow_rebase_stop(p->rb);
	if (r == 0 && e->v.save)
		r = save(p, k);
	if (r < 0)
		return r;
	switch (e->v.act) {
	case COW_ACT_THEIRS:
		return 0;
	case COW_ACT_OURS:
		return ours(p, e);
	case COW_ACT_TREE:
		return tree(p, e);
	case COW_ACT_FIELDS:
		return dress(p, e);
	case COW_ACT_MOVE:
		return arrive(p, k);
	case COW_ACT_REMOVE:
		return remove_path(p, e->path);
	}
	return 0;
}

/* ---------------------------------------------------------------- the whole */

/* The engine gives no root directory's times back by itself. */
static int finish(struct replay *p)
{
	cow_autoplace at = {0};
	if (!p->aside)
		return 0;
	int r = open_place(p->to, p->aside_name, &at);
	cow_ovl_put(p->aside);
	p->aside = NULL;
	if (r == 0)
		r = remove_path(p, p->aside_name);
	return fail(p, r < 0 ? r : settle(&at), "remove", p->aside_name);
}

int cow_rebase_replay(struct cow_rebase *rb, struct cow_ovl_inst *to, struct cow_err *err)
{
	struct replay p = {.rb = rb, .to = to, .err = err};
	const struct cow_carry_opts opts = {
	    .from = rb->ours, .to = to, .from_golden = -1, .stop = rb->stop, .ctx = rb->stop_ctx};
	int r = cow_carry_new(&opts, &p.carry, err);
	if (r == 0)
		r = depart_all(&p);
	for (size_t k = 0; r == 0 && k < rb->n; k++)
		r = fail(&p, replay_one(&p, k), "take over", rb->entries[k].path);
	for (size_t k = 0; r == 0 && k < rb->n; k++)
		r = fail(&p, link_to(&p, &rb->entries[k]), "link", rb->entries[k].path);
	if (r == 0)
		r = finish(&p);
	cow_ovl_put(p.aside);
	cow_carry_free(p.carry);
	return r;
}
