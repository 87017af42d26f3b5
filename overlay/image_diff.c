/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What one version of an image has that another has not, by their manifests alone: no file is opened,
 * content is compared by digest. Depth costs memory, not stack.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/growpath.h"
#include "grow.h"
#include "image_internal.h"

/* A directory that both have, or (@old_dir 0) only the new one. */
struct level {
	uint32_t old_dir, new_dir;
	struct cow_man_ent *old_list, *new_list; /* sorted by name */
	size_t nold, nnew, old_next, new_next;
	size_t path; /* its length before this level */
};

struct diff {
	const struct cow_ovl_image *old_img, *new_img;
	cow_ovl_image_diff_fn fn;
	void *ctx;
	struct level *levels;
	size_t depth, room;
	struct cow_growpath path;
};

static int by_name(const void *a, const void *b)
{
	const struct cow_man_ent *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static int list_dir(const struct cow_ovl_image *img, uint32_t dir, struct cow_man_ent **ret,
		    size_t *ret_n)
{
	size_t n = cow_man_nchild(img, dir);
	struct cow_man_ent *list = calloc(n ? n : 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t k = 0; k < n; k++)
		cow_man_child(img, dir, k, &list[k]);
	qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	*ret_n = n;
	return 0;
}

/* ---------------------------------------------------------------- two objects */

static bool same_data(const struct diff *d, uint32_t o, uint32_t n, const struct cow_ovl_attr *oa,
		      const struct cow_ovl_attr *na)
{
	size_t olen, nlen;
	switch (na->mode & S_IFMT) {
	case S_IFREG:
		return oa->size == na->size &&
		       memcmp(cow_man_digest(d->old_img, o), cow_man_digest(d->new_img, n),
			      COW_OVM_DIGEST_LEN) == 0;
	case S_IFLNK: {
		const char *ot = cow_man_target(d->old_img, o, &olen);
		const char *nt = cow_man_target(d->new_img, n, &nlen);
		return olen == nlen && memcmp(ot, nt, nlen) == 0;
	}
	case S_IFCHR:
	case S_IFBLK:
		return oa->rdev == na->rdev;
	default:
		return true;
	}
}

static unsigned what_differs(const struct diff *d, uint32_t o, uint32_t n,
			     const struct cow_ovl_attr *oa, const struct cow_ovl_attr *na)
{
	unsigned what = 0;
	if ((oa->mode & S_IFMT) != (na->mode & S_IFMT))
		return COW_CHANGED_TYPE;
	if (!same_data(d, o, n, oa, na))
		what |= COW_CHANGED_DATA;
	if (oa->mode != na->mode)
		what |= COW_CHANGED_MODE;
	if (oa->uid != na->uid || oa->gid != na->gid)
		what |= COW_CHANGED_OWNER;
	if (!S_ISDIR(na->mode) &&
	    (oa->mtime.tv_sec != na->mtime.tv_sec || oa->mtime.tv_nsec != na->mtime.tv_nsec))
		what |= COW_CHANGED_MTIME;
	if (!cow_man_same_xattrs(d->old_img, o, d->new_img, n))
		what |= COW_CHANGED_XATTRS;
	return what;
}

static uint64_t bytes_of(const struct cow_ovl_attr *a)
{
	return S_ISREG(a->mode) ? a->size : 0;
}

static int tell(struct diff *d, enum cow_ovl_change_kind kind, unsigned what, uint32_t o,
		uint32_t n)
{
	struct cow_ovl_attr oa = {0}, na = {0};
	if (o)
		cow_man_attr(d->old_img, o, &oa);
	if (n)
		cow_man_attr(d->new_img, n, &na);
	struct cow_ovl_image_change c = {
	    .kind = kind,
	    .what = what,
	    .type = (n ? na.mode : oa.mode) & S_IFMT,
	    .path = d->path.s,
	    .old_size = bytes_of(&oa),
	    .size = bytes_of(&na),
	};
	return d->fn(d->ctx, &c);
}

unsigned cow_ovl_image_compare(const struct cow_ovl_image *old_img, uint32_t o,
			       const struct cow_ovl_image *new_img, uint32_t n)
{
	const struct diff d = {.old_img = old_img, .new_img = new_img};
	struct cow_ovl_attr oa, na;
	cow_man_attr(old_img, o, &oa);
	cow_man_attr(new_img, n, &na);
	return what_differs(&d, o, n, &oa, &na);
}

static int tell_pair(struct diff *d, uint32_t o, uint32_t n)
{
	unsigned what = cow_ovl_image_compare(d->old_img, o, d->new_img, n);
	if (!what)
		return 0;
	bool data = (what & (COW_CHANGED_DATA | COW_CHANGED_TYPE)) != 0;
	return tell(d, data ? COW_CHANGE_MODIFIED : COW_CHANGE_ATTRIBUTES, what, o, n);
}

/* ---------------------------------------------------------------- the walk */

static void pop(struct diff *d)
{
	struct level *l = &d->levels[--d->depth];
	cow_growpath_pop(&d->path, l->path);
	free(l->old_list);
	free(l->new_list);
}

/* The path is that of the directory already; @before: its length without the directory. */
static int push(struct diff *d, uint32_t o, uint32_t n, size_t before)
{
	struct level l = {.old_dir = o, .new_dir = n, .path = before};
	int r = cow_grow(&d->levels, &d->room, d->depth + 1);
	if (r == 0 && o)
		r = list_dir(d->old_img, o, &l.old_list, &l.nold);
	if (r == 0 && n)
		r = list_dir(d->new_img, n, &l.new_list, &l.nnew);
	if (r < 0) {
		free(l.old_list);
		free(l.new_list);
		return r;
	}
	d->levels[d->depth++] = l;
	return 0;
}

static bool is_dir(const struct cow_man_ent *e)
{
	return e && S_ISDIR(e->type);
}

/* One name: @o, @n what it is in either version; NULL: it is not there. */
static int visit(struct diff *d, const struct cow_man_ent *o, const struct cow_man_ent *n)
{
	size_t before;
	int r = cow_growpath_push(&d->path, o ? o->name : n->name, &before);
	if (r < 0)
		return r;
	if (!o)
		r = tell(d, COW_CHANGE_ADDED, 0, 0, n->ino);
	else if (!n)
		r = tell(d, COW_CHANGE_DELETED, 0, o->ino, 0);
	else
		r = tell_pair(d, o->ino, n->ino);
	if (r == 0 && (is_dir(o) || is_dir(n)))
		return push(d, is_dir(o) ? o->ino : 0, is_dir(n) ? n->ino : 0, before);
	cow_growpath_pop(&d->path, before);
	return r;
}

static int step(struct diff *d)
{
	struct level *l = &d->levels[d->depth - 1];
	const struct cow_man_ent *o = l->old_next < l->nold ? &l->old_list[l->old_next] : NULL;
	const struct cow_man_ent *n = l->new_next < l->nnew ? &l->new_list[l->new_next] : NULL;
	if (!o && !n) {
		pop(d);
		return 0;
	}
	int order = !o ? 1 : !n ? -1 : strcmp(o->name, n->name);
	l->old_next += order <= 0;
	l->new_next += order >= 0;
	return visit(d, order <= 0 ? o : NULL, order >= 0 ? n : NULL);
}

int cow_ovl_image_diff(const struct cow_ovl_image *old_img, const struct cow_ovl_image *new_img,
		       cow_ovl_image_diff_fn fn, void *ctx)
{
	struct diff d = {.old_img = old_img, .new_img = new_img, .fn = fn, .ctx = ctx};
	int r = cow_growpath_init(&d.path);
	if (r == 0)
		r = tell_pair(&d, COW_MAN_ROOT, COW_MAN_ROOT);
	if (r == 0)
		r = push(&d, COW_MAN_ROOT, COW_MAN_ROOT, 0);
	while (r == 0 && d.depth)
		r = step(&d);
	while (d.depth)
		pop(&d);
	free(d.levels);
	cow_growpath_done(&d.path);
	return r;
}
