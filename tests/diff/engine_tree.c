/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the engine shows, and whether it agrees with itself: listing and look-up give one id and
 * type, every name comes once, cookies resume anywhere, a directory's parent is the one it is in,
 * link counts are the number of names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend_engine.h"
#include "common/bounds.h"
#include "util.h"

/* ---------------------------------------------------------------- directories */

struct chunk {
	struct entries *l;
	size_t left;
	uint64_t cookie;
};

static int take_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct chunk *c = ctx;
	struct entries *l = c->l;
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 16;
		l->v = must(reallocarray(l->v, l->room, sizeof(*l->v)));
	}
	l->v[l->n++] = (struct entry){
	    .name = must(strndup(ent->name, ent->name_len)),
	    .id = ent->id,
	    .cookie = ent->cookie,
	    .type = ent->type,
	    .node = ent->node ? cow_ovl_get(ent->node) : NULL,
	    .attr = ent->attr ? *ent->attr : (struct cow_ovl_attr){0},
	};
	c->cookie = ent->cookie;
	return --c->left == 0;
}

int engine_chunk(struct cow_ovl_node *dir, unsigned flags, uint64_t *cookie, size_t max,
		 struct entries *l, int *ret_eof)
{
	struct chunk c = {.l = l, .left = max ? max : SIZE_MAX, .cookie = *cookie};
	int r = cow_ovl_readdir(dir, *cookie, flags, take_entry, &c, ret_eof);
	*cookie = c.cookie;
	return r;
}

int engine_list(struct cow_ovl_node *dir, unsigned flags, size_t step, struct entries *ret)
{
	uint64_t cookie = 0;
	int r = 0, eof = 0;
	*ret = (struct entries){0};
	while (r == 0 && !eof) {
		size_t before = ret->n;
		r = engine_chunk(dir, flags, &cookie, step, ret, &eof);
		if (r == 0 && !eof && ret->n == before)
			r = -ELOOP; /* neither an entry nor the end */
	}
	return r;
}

void entries_free(struct entries *l)
{
	for (size_t k = 0; k < l->n; k++) {
		free(l->v[k].name);
		cow_ovl_put(l->v[k].node);
	}
	free(l->v);
	*l = (struct entries){0};
}

/* By one, two or three, another time by another. */
static void check_steps(struct engine *e, struct cow_ovl_node *dir, const struct entries *all,
			const char *path)
{
	size_t step = 1 + e->snapshots % 3;
	struct entries l;
	int r = engine_list(dir, 0, step, &l);
	if (r < 0)
		engine_complain(e, "/%s: listing by %zu: %s", path, step, errname(r));
	else if (l.n != all->n)
		engine_complain(e, "/%s: %zu names, listed by %zu it has %zu", path, all->n, step,
				l.n);
	for (size_t k = 0; k < l.n && k < all->n && r == 0; k++)
		if (strcmp(l.v[k].name, all->v[k].name) != 0 || l.v[k].id != all->v[k].id ||
		    l.v[k].type != all->v[k].type || l.v[k].cookie != all->v[k].cookie) {
			engine_complain(e, "/%s: listed by %zu, %s is not the same", path, step,
					l.v[k].name);
			break;
		}
	entries_free(&l);
}

static void check_entry(struct engine *e, struct cow_ovl_node *dir, const struct entry *ent,
			const char *path)
{
	struct cow_ovl_attr a;
	cow_autonode n = NULL;
	cow_autonode parent = NULL;
	int r = cow_ovl_lookup(dir, ent->name, strlen(ent->name), &n, &a);
	if (r < 0) {
		engine_complain(e, "/%s: listed, look-up says %s", path, errname(r));
		return;
	}
	struct ident listed = ident_of(ent->node), found = ident_of(n);
	if (!ident_same(&listed, &found) || ent->id != found.id || ent->attr.id != found.id ||
	    a.id != found.id || ent->type != found.type || (a.mode & S_IFMT) != found.type)
		engine_complain(e, "/%s: ids %llu %llu %llu %llu, types %o %o", path,
				(unsigned long long)ent->id, (unsigned long long)listed.id,
				(unsigned long long)found.id, (unsigned long long)a.id, ent->type,
				found.type);
	if (ent->cookie < 3 || ent->cookie >> 63)
		engine_complain(e, "/%s: cookie %llu", path, (unsigned long long)ent->cookie);
	if (!S_ISDIR(ent->type))
		return;
	r = cow_ovl_parent(n, &parent);
	if (r < 0 || cow_ovl_id(parent) != cow_ovl_id(dir))
		engine_complain(e, "/%s: another parent (%s)", path, errname(r));
}

/* ---------------------------------------------------------------- objects */

static ssize_t get_xattr(void *ctx, const char *name, void *buf, size_t len)
{
	return cow_ovl_getxattr(ctx, name, buf, len);
}

static void take_data(struct engine *e, struct cow_ovl_node *n, struct object *o)
{
	cow_autoopen open = NULL;
	o->data_len = o->attr.size < DATA_MAX ? o->attr.size : DATA_MAX;
	o->data = must(malloc(o->data_len + 1));
	struct iovec iov = {.iov_base = o->data, .iov_len = o->data_len + 1};
	ssize_t r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &open);
	if (r == 0)
		r = cow_ovl_read(open, &iov, 1, 0);
	if (r != (ssize_t)o->data_len)
		engine_complain(e, "/%s: %zu bytes long, reading gives %zd", o->path, o->data_len,
				r);
	if (r < 0)
		o->data_len = 0;
}

static void take_object(struct engine *e, struct tree *t, struct cow_ovl_node *n,
			const struct cow_ovl_attr *a, const char *path)
{
	static char names[COW_XATTR_LIST_MAX], target[COW_SYMLINK_MAX + 1];
	struct object o = {.path = must(strdup(path)), .attr = attr_of_engine(a)};
	struct ident id = ident_of(n);
	engine_seen(e, &id, path);
	memcpy(o.handle, id.handle, id.len);
	o.handle_len = id.len;
	ssize_t r = cow_ovl_listxattr(n, names, sizeof(names));
	if (r < 0)
		engine_complain(e, "/%s: listing attributes: %s", path, errname((int)r));
	o.xattrs = xattrs_text(names, r < 0 ? 0 : (size_t)r, get_xattr, n);
	if (S_ISLNK(a->mode)) {
		r = cow_ovl_readlink(n, target, sizeof(target));
		if (r < 0)
			engine_complain(e, "/%s: reading the link: %s", path, errname((int)r));
		o.target = must(strndup(target, r < 0 ? 0 : (size_t)r));
	}
	if (S_ISREG(a->mode))
		take_data(e, n, &o);
	tree_add(t, &o);
}

static void take_dir(struct engine *e, struct tree *t, struct cow_ovl_node *dir, const char *path,
		     unsigned depth)
{
	char child[PATH_MAX];
	struct entries l;
	if (depth > DEPTH_MAX)
		trouble("a deep tree");
	int r = engine_list(dir, COW_READDIR_NODES, 0, &l);
	if (r < 0)
		engine_complain(e, "/%s: listing: %s", path, errname(r));
	check_steps(e, dir, &l, path);
	for (size_t k = 0; k < l.n; k++) {
		struct entry *ent = &l.v[k];
		(void)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", ent->name);
		check_entry(e, dir, ent, child);
		take_object(e, t, ent->node, &ent->attr, child);
		if (S_ISDIR(ent->type))
			take_dir(e, t, ent->node, child, depth + 1);
	}
	entries_free(&l);
}

/* ---------------------------------------------------------------- the whole */

static void check_links(struct engine *e, const struct tree *t)
{
	for (size_t k = 0; k < t->n; k++) {
		const struct object *o = &t->v[k];
		uint64_t names = 0;
		for (size_t j = 0; j < t->n; j++)
			names += t->v[j].attr.id == o->attr.id;
		if (names != (S_ISDIR(o->attr.mode) ? 1 : o->attr.nlink))
			engine_complain(e, "/%s: %llu names with its id, link count %llu", o->path,
					(unsigned long long)names,
					(unsigned long long)o->attr.nlink);
	}
}

void engine_snapshot(struct side *s, struct tree *ret)
{
	struct engine *e = (struct engine *)s;
	struct cow_ovl_attr a;
	*ret = (struct tree){0};
	int r = cow_ovl_getattr(e->root, &a);
	if (r < 0) {
		errno = -r;
		trouble("attributes of the root");
	}
	e->snapshots++;
	take_object(e, ret, e->root, &a, "");
	take_dir(e, ret, e->root, "", 0);
	tree_sort(ret);
	check_links(e, ret);
}
