/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listing of a directory of the image: two sorted sequences, the delta's and the manifest's, merged
 * by cookie, the hash of the name (delta.c). So a cookie says where to go on whatever was created
 * or removed since, and after a restart. A handful of entries is taken under the names lock, which is then
 * given back for the callbacks.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

#define BATCH 16

struct item {
	struct cow_ovl_node *node;
	uint64_t cookie, id;
	mode_t type;
	size_t len;
	char name[COW_NAME_MAX + 1];
};

struct scan {
	struct cow_ovl_node *dir;
	unsigned flags;
	uint64_t cookie; /* of the last entry taken */
	const struct cow_delta *delta;
	struct cow_delta *own; /* an observer's, read for this call */
	int dirfd;
	struct item item[BATCH];
	size_t n;
	bool end;
};

static void forget_items(struct scan *s)
{
	for (size_t k = 0; k < s->n; k++)
		cow_ovl_put(cow_steal_ptr(&s->item[k].node));
	s->n = 0;
}

/* Entry behind the cookie: of the delta, else of the image. Whiteouts are stepped over. */
static bool next_name(struct scan *s, const struct cow_dent **ret_e, struct cow_man_ent *low)
{
	const struct cow_ovl_image *img = s->dir->inst->img;
	uint64_t cookie = s->cookie;
	for (;;) {
		const struct cow_dent *e = s->delta ? cow_delta_after(s->delta, cookie) : NULL;
		size_t k = cow_man_after(img, s->dir->low, cookie);
		bool have = k < cow_man_nchild(img, s->dir->low);
		if (have)
			cow_man_child(img, s->dir->low, k, low);
		if (!e && !have)
			return false;
		if (e && (!have || e->cookie <= low->cookie)) {
			cookie = e->cookie;
			if (e->whiteout)
				continue;
			*ret_e = e;
			return true;
		}
		*ret_e = NULL;
		return true;
	}
}

static int take_upper(struct scan *s, const struct cow_dent *e, struct item *it)
{
	struct cow_view v = {
	    .what = COW_UPPER,
	    .lower = e->low,
	    .type = e->type,
	    .known = __atomic_load_n(&e->known, __ATOMIC_ACQUIRE),
	};
	v.number = v.known ? __atomic_load_n(&e->number, __ATOMIC_RELAXED) : 0;
	memcpy(it->name, e->name, e->len + 1u);
	it->len = e->len;
	it->cookie = e->cookie;
	it->type = e->type;
	bool nodes = s->flags & COW_READDIR_NODES;
	if (!nodes && v.known && (v.number || e->ino)) {
		it->id = v.number ? v.number : s->dir->inst->rec.id_base + e->ino;
		return 0;
	}
	if (v.lower)
		(void)cow_man_find(s->dir->inst->img, s->dir->low, e->name, e->len, &v.low);
	struct cow_ovl_node *node;
	int r = cow_view_node_locked(s->dir, s->dirfd, it->name, &v, &node);
	if (r < 0)
		return r;
	it->node = node;
	it->id = node->id;
	it->type = node->type;
	return 0;
}

static int take_lower(struct scan *s, const struct cow_man_ent *low, struct item *it)
{
	memcpy(it->name, low->name, low->len + 1);
	it->len = low->len;
	it->cookie = low->cookie;
	it->type = low->type;
	it->id = low->ino;
	return s->flags & COW_READDIR_NODES
		   ? cow_node_intern_low(s->dir->inst, low->ino, NULL, &it->node)
		   : 0;
}

static int fill_locked(struct scan *s)
{
	while (s->n < BATCH) {
		const struct cow_dent *e;
		struct cow_man_ent low;
		struct item *it = &s->item[s->n];
		if (!next_name(s, &e, &low)) {
			s->end = true;
			return 0;
		}
		*it = (struct item){0};
		int r = e ? take_upper(s, e, it) : take_lower(s, &low, it);
		if (r < 0 && r != -ENOENT && r != -EXDEV && r != -ESTALE)
			return r;
		s->cookie = e ? e->cookie : low.cookie;
		if (r == 0)
			s->n++;
	}
	return 0;
}

static int fill_layers(struct scan *s)
{
	cow_autofd d = NULL;
	int r = atomic_load(&s->dir->gone) ? -ESTALE : 0;
	if (r == 0 && atomic_load(&s->dir->has_up))
		r = cow_fd_get(s->dir, COW_FD_PATH, &d);
	s->dirfd = d ? d->fd : -1;
	s->delta = s->dir->delta;
	if (r == 0 && d && !s->delta) { /* an observer */
		if (!s->own)
			r = cow_delta_load(s->dir, d->fd, &s->own);
		s->delta = s->own;
	}
	return r < 0 ? r : fill_locked(s);
}

static int fill(struct scan *s)
{
	int r = cow_node_enter(s->dir);
	if (r < 0)
		return r;
	r = cow_names_lock_shared(s->dir);
	if (r == 0) {
		r = fill_layers(s);
		cow_names_unlock_shared(s->dir);
	}
	cow_inst_leave(s->dir->inst);
	return r;
}

/* Return: 0 go on, > 0 stop, < 0 stop with it. */
static int report(struct scan *s, const struct item *it, cow_ovl_readdir_fn fn, void *ctx)
{
	struct cow_ovl_attr attr;
	struct cow_ovl_dirent ent = {
	    .name = it->name,
	    .name_len = it->len,
	    .cookie = it->cookie,
	    .id = it->id,
	    .type = it->type,
	};
	if (s->flags & COW_READDIR_NODES) {
		int r = cow_node_enter(it->node);
		if (r < 0)
			return r;
		r = cow_attr_get(it->node, &attr);
		cow_inst_leave(it->node->inst);
		if (r == -ESTALE) /* it vanished */
			return 0;
		if (r < 0)
			return r;
		ent.node = it->node;
		ent.attr = &attr;
	}
	return fn(ctx, &ent);
}

int cow_readdir_layers(struct cow_ovl_node *dir, uint64_t cookie, unsigned flags,
		       cow_ovl_readdir_fn fn, void *ctx, int *ret_eof)
{
	cow_autofree struct scan *s = calloc(1, sizeof(*s));
	int r = s ? 0 : -ENOMEM;
	if (r < 0)
		return r;
	s->dir = dir;
	s->flags = flags;
	s->cookie = cookie;
	while (r == 0 && !s->end) {
		r = fill(s);
		for (size_t k = 0; r == 0 && k < s->n; k++)
			r = report(s, &s->item[k], fn, ctx);
		forget_items(s);
	}
	cow_delta_free(s->own);
	if (r >= 0)
		*ret_eof = r == 0;
	return r < 0 ? r : 0;
}
