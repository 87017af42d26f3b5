/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What of a client's root outlives a reset or a roll: which lists, and carrying what they name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/bounds.h"
#include "common/fs.h"
#include "entries.h"
#include "keep.h"

/* A root that nothing of is meant to last gets no list by itself. */
static bool lasts(const struct cow_client *c)
{
	return !c->ephemeral && c->durability != COW_OVL_VOLATILE;
}

static int group_has_list(struct cow_store *s, const char *name)
{
	cow_autoclose int dir = cow_opendir_at(s->fd, "keep");
	return dir == -ENOENT ? 0 : dir < 0 ? dir : cow_exists_at(dir, name);
}

int cow_client_keep_names(struct cow_store *s, const struct cow_client *c, char **ret,
			  struct cow_err *err)
{
	char group[sizeof(COW_KEEP_GROUP) + COW_LABEL_MAX];
	const char *names = lasts(c) ? COW_KEEP_DEFAULT : COW_KEEP_NONE;
	(void)snprintf(group, sizeof(group), COW_KEEP_GROUP "%s", c->group);
	if (*c->keep) {
		names = c->keep;
	} else if (*c->group && lasts(c) && strlen(group) <= COW_LABEL_MAX) {
		int r = group_has_list(s, group);
		if (r < 0)
			return cow_err_set(err, r, "look for keep-list %s", group);
		if (r > 0)
			names = group;
	}
	*ret = strdup(names);
	return *ret ? 0 : cow_err_set(err, -ENOMEM, "read keep-lists");
}

/* ---------------------------------------------------------------- two roots */

/* One side, attached. */
struct side {
	struct cow_root conf;
	struct cow_ovl_image *img;
	struct cow_ovl_inst *inst;
};

static int hold(struct cow_keep_use *u, struct cow_ovl_image *img)
{
	for (size_t i = 0; i < u->nhold; i++)
		if (u->hold[i] == img)
			return 0;
	if (u->nhold == u->hold_room) {
		size_t room = u->hold_room ? u->hold_room * 2 : 8;
		struct cow_ovl_image **grown =
		    reallocarray(u->hold, room, sizeof(struct cow_ovl_image *));
		if (!grown)
			return -ENOMEM;
		u->hold = grown;
		u->hold_room = room;
	}
	u->hold[u->nhold++] = cow_ovl_image_get(img);
	return 0;
}

static int side_open(struct cow_keep_use *u, int dir, unsigned flags, struct side *ret,
		     struct cow_err *err)
{
	int r = cow_root_read(dir, &ret->conf, err);
	if (r == 0)
		r = cow_client_manifest(u->s, &ret->conf, &ret->img, err);
	if (r == 0 && ret->img && hold(u, ret->img) < 0)
		r = cow_err_set(err, -ENOMEM, "load an image");
	return r < 0 ? r : cow_ovl_inst_open(dir, ret->img, flags, &ret->inst, err);
}

static int side_close(struct side *side)
{
	int r = cow_ovl_inst_close(side->inst);
	cow_ovl_image_close(side->img);
	*side = (struct side){0};
	return r;
}

struct apply {
	struct cow_keep_use *u;
	struct cow_carry *carry;
	bool renamed; /* the client has another name by now: the old root's is not kept */
	struct cow_err *err;
};

static int carry_one(void *ctx, const char *path)
{
	struct apply *a = ctx;
	if (a->renamed && strcmp(path, "etc/hostname") == 0)
		return 0;
	int r = cow_carry_path(a->carry, path, 0, a->err);
	return r < 0 ? r : 0;
}

/* The image of a snapshot may be gone. */
static int tree_of(struct cow_store *s, const struct cow_root *root, struct cow_err *err)
{
	struct cow_err why = COW_ERR_INIT;
	cow_autoimage image = NULL;
	int r = cow_client_find_image(s, root, &image, &why);
	int fd = r < 0 ? r : cow_image_tree(s, image);
	if (fd >= 0 || fd == -ENOENT)
		return fd;
	return cow_err_set(err, fd, "open image %s@%u", root->image, root->version);
}

static int carry(struct cow_keep_use *u, const struct cow_keep *k, struct side *from,
		 struct side *to, struct cow_err *err)
{
	cow_autocarry c = NULL;
	cow_autoclose int golden = tree_of(u->s, &from->conf, err);
	if (golden < 0 && golden != -ENOENT)
		return golden;
	const struct cow_carry_opts opts = {
	    .from = from->inst,
	    .to = to->inst,
	    .from_golden = golden,
	    .same_image = strcmp(from->conf.image, to->conf.image) == 0 &&
			  from->conf.version == to->conf.version,
	    .conflict = u->conflict,
	    .stop = u->stop,
	    .ctx = u->ctx,
	};
	int r = cow_carry_new(&opts, &c, err);
	if (r < 0)
		return r;
	struct apply a = {
	    .u = u,
	    .carry = c,
	    .renamed = *from->conf.name && strcmp(from->conf.name, u->c->name) != 0,
	    .err = err,
	};
	r = cow_keep_expand(k, from->inst, to->inst, carry_one, &a);
	if (r < 0 && (!err || err->code == COW_OK))
		return cow_err_set(err, r, "look for what is kept");
	u->stats = *cow_carry_stats(c);
	return r;
}

static bool same_ground(const struct cow_root *a, const struct cow_root *b)
{
	return a->backend == COW_BACKEND_OVERLAY && b->backend == COW_BACKEND_OVERLAY &&
	       a->version == b->version && strcmp(a->image, b->image) == 0;
}

/* 1 there is nothing to carry, found out without loading an image; 0 perhaps there is; -errno */
static int is_idle(struct cow_keep_use *u, const struct cow_keep *k, struct cow_err *err)
{
	struct cow_root from = {0}, to = {0};
	int r = cow_root_read(u->from, &from, err);
	if (r == 0)
		r = cow_root_read(u->to, &to, err);
	if (r < 0 || !same_ground(&from, &to))
		return r;
	r = cow_keep_is_idle(k, u->from, u->to);
	return r < 0 ? cow_err_set(err, r, "look for what is kept") : r;
}

static int apply(struct cow_keep_use *u, const struct cow_keep *k, struct cow_err *err)
{
	struct side from = {0}, to = {0};
	int r = side_open(u, u->from, COW_OVL_OBSERVER, &from, err);
	if (r == 0)
		r = side_open(u, u->to, COW_OVL_STAGED, &to, err);
	if (r == 0)
		r = carry(u, k, &from, &to, err);
	(void)side_close(&from); /* only looked at */
	int closed = side_close(&to);
	return r < 0 || closed == 0 ? r : cow_err_set(err, closed, "finish the new root");
}

int cow_client_keep_apply(struct cow_keep_use *u, struct cow_err *err)
{
	cow_autokeep k = {0};
	cow_autofree char *names = NULL;
	int r = u->names ? 0 : cow_client_keep_names(u->s, u->c, &names, err);
	if (r == 0)
		r = cow_keep_load(u->s, u->names ? u->names : names, &k, err);
	if (r == 0 && k.n > 0)
		r = is_idle(u, &k, err);
	if (r == 0 && k.n > 0)
		r = apply(u, &k, err);
	else if (r > 0)
		r = 0;
	if (r >= 0 || r == -ETIME)
		return r;
	return cow_err_hint(err, cow_err_prefix(err, r, "keep what the keep-lists name"),
			    "--factory does without");
}

/* ---------------------------------------------------------------- what there is */

struct each {
	int (*fn)(void *ctx, const char *path, uint64_t objects, uint64_t bytes);
	void *ctx;
	struct cow_ovl_inst *inst;
	uint64_t objects, bytes;
};

static int count(struct each *e, struct cow_ovl_node *n, const struct cow_ovl_attr *attr,
		 unsigned depth)
{
	e->objects++;
	if (S_ISREG(attr->mode))
		e->bytes += attr->size;
	if (!S_ISDIR(attr->mode))
		return 0;
	cow_autoentries list = COW_ENTRIES_EMPTY;
	int r = depth > COW_DEPTH_MAX ? -ELOOP : cow_entries_read(n, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = count(e, list.list[i].node, &list.list[i].attr, depth + 1);
	return r;
}

static int find(struct cow_ovl_inst *inst, const char *path, struct cow_ovl_node **ret)
{
	cow_autonode at = NULL;
	int r = cow_ovl_root(inst, &at);
	while (r == 0 && *path) {
		size_t len = strcspn(path, "/");
		struct cow_ovl_node *next = NULL;
		r = cow_ovl_lookup(at, path, len, &next, NULL);
		if (r < 0)
			return r;
		cow_ovl_put(at);
		at = next;
		path += len + (path[len] == '/');
	}
	*ret = r < 0 ? NULL : cow_steal_ptr(&at);
	return r;
}

static int count_path(void *ctx, const char *path)
{
	struct each *e = ctx;
	struct cow_ovl_attr attr;
	cow_autonode n = NULL;
	int r = find(e->inst, path, &n);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r == 0)
		r = cow_ovl_getattr(n, &attr);
	e->objects = e->bytes = 0;
	if (r == 0)
		r = count(e, n, &attr, 0);
	return r < 0 ? r : e->fn(e->ctx, path, e->objects, e->bytes);
}

int cow_client_kept_each(struct cow_store *s, const struct cow_mac *mac, const char *names,
			 int (*fn)(void *ctx, const char *path, uint64_t objects, uint64_t bytes),
			 void *ctx, struct cow_err *err)
{
	cow_autoclient c = NULL;
	cow_autokeep k = {0};
	cow_autofree char *own = NULL;
	struct each e = {.fn = fn, .ctx = ctx};
	int r = cow_client_load(s, mac, &c, err);
	if (r == 0 && !names)
		r = cow_client_keep_names(s, c, &own, err);
	if (r == 0)
		r = cow_keep_load(s, names ? names : own, &k, err);
	if (r < 0 || k.n == 0)
		return r;
	r = cow_client_attach(s, mac, COW_OVL_OBSERVER, &e.inst, err);
	if (r < 0)
		return r;
	r = cow_keep_expand(&k, e.inst, NULL, count_path, &e);
	(void)cow_ovl_inst_close(e.inst); /* only looked at */
	return r < 0 ? cow_err_set(err, r, "look at what the keep-lists name") : r;
}
