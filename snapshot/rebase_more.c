/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the list of changes does not say by itself: the other names of a changed object, what an added
 * name is another name of, and what the new version adds to a directory that the client made anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rebase_internal.h"

/* ---------------------------------------------------------------- names of one object */

/* The client's node of a name of the image, if it is still that object. Caller puts *ret: NULL, it is not. */
static int still_there(struct cow_rebase *rb, const char *path, uint32_t number,
		       struct cow_ovl_node **ret)
{
	cow_autonode node = NULL;
	int r = cow_rebase_node(rb->ours, path, &node, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret = cow_ovl_number(node) == number ? cow_steal_ptr(&node) : NULL;
	return 0;
}

struct linked {
	struct cow_rebase *rb;
	uint32_t number;
	/* A name is looked for that is not carried and that v2 has, with an object of this type; NULL:
	 * changed ones become entries. */
	char **ret;
	mode_t type;
};

/* Nobody has brought it up, so nobody has changed it. */
static int is_golden(struct cow_ovl_node *node)
{
	struct cow_ovl_source src;
	int r = cow_ovl_source(node, &src);
	if (r < 0)
		return r;
	(void)close(src.fd); /* opened to look */
	return src.golden;
}

static int add_changed(struct linked *l, const char *path, const char *base,
		       struct cow_ovl_node *node)
{
	struct cow_ovl_change change = {.path = path, .type = cow_ovl_type(node)};
	int r = is_golden(node);
	if (r == 0)
		r = cow_rebase_differs(l->rb, path, base, l->number, &change.what);
	if (r != 0 || !change.what)
		return r < 0 ? r : 0;
	change.kind = change.what & COW_CHANGED_DATA ? COW_CHANGE_MODIFIED : COW_CHANGE_ATTRIBUTES;
	return cow_rebase_add(l->rb, &change) ? 0 : -ENOMEM;
}

static bool is_file_of(const struct cow_ovl_image *img, const char *path, mode_t type)
{
	struct cow_ovl_attr attr;
	uint32_t number = cow_ovl_image_number(img, path);
	if (!number)
		return false;
	cow_ovl_image_attr(img, number, &attr);
	return (attr.mode & S_IFMT) == type;
}

/* -> 1 v2 has it, 0, -errno */
static int v2_has(const struct linked *l, const char *path)
{
	cow_autoplaces p = {0};
	int r = cow_rebase_places(l->rb, path, &p);
	return r < 0 ? r : p.theirs && is_file_of(l->rb->v2, p.theirs, l->type);
}

static int see_name(void *ctx, const char *base)
{
	struct linked *l = ctx;
	cow_autonode node = NULL;
	cow_autofree char *path = cow_rebase_client_path(l->rb, base);
	if (!path)
		return -ENOMEM;
	const struct cow_rebase_entry *known = cow_rebase_find(l->rb, path, strlen(path));
	if (known &&
	    (!l->ret || (known->v.act != COW_ACT_FIELDS && known->v.act != COW_ACT_THEIRS)))
		return 0;
	int r = still_there(l->rb, path, l->number, &node);
	if (r < 0 || !node)
		return r;
	if (!l->ret)
		return add_changed(l, path, base, node);
	r = v2_has(l, path);
	if (r > 0)
		*l->ret = cow_steal_ptr(&path);
	return r;
}

int cow_rebase_add_links(struct cow_rebase *rb)
{
	struct linked l = {.rb = rb};
	int r = 0;
	while (rb->numbers && r == 0 && (l.number = cow_ovl_image_linked(rb->v1, l.number)))
		r = cow_ovl_image_names(rb->v1, l.number, see_name, &l);
	return r;
}

int cow_rebase_find_link(struct cow_rebase *rb, struct cow_rebase_entry *e)
{
	struct cow_ovl_attr attr = {0};
	cow_autonode node = NULL;
	if (!rb->numbers || S_ISDIR(e->line.change.type))
		return 0;
	int r = cow_rebase_node(rb->ours, e->path, &node, &attr);
	if (r < 0)
		return r;
	struct linked l = {
	    .rb = rb,
	    .number = attr.nlink > 1 ? cow_ovl_number(node) : 0,
	    .ret = &e->link_to,
	    .type = e->line.change.type,
	};
	r = l.number ? cow_ovl_image_names(rb->v1, l.number, see_name, &l) : 0;
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- directories made anew */

/* Is the directory of the client one that it made in the place of the image's? */
static int is_anew(struct cow_rebase *rb, const char *path)
{
	struct cow_ovl_attr attr;
	cow_autonode node = NULL;
	int r = cow_rebase_node(rb->ours, path, &node, &attr);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return S_ISDIR(attr.mode) && cow_ovl_number(node) == 0;
}

static int add_hidden(struct cow_rebase *rb, const char *base)
{
	cow_autofree char *path = cow_rebase_client_path(rb, base);
	if (!path)
		return -ENOMEM;
	if (cow_rebase_find(rb, path, strlen(path)))
		return 0;
	char *slash = strrchr(path, '/');
	if (!slash)
		return 0;
	*slash = 0;
	int r = is_anew(rb, path);
	*slash = '/';
	if (r <= 0)
		return r;
	struct cow_ovl_attr attr;
	cow_ovl_image_attr(rb->v2, cow_ovl_image_number(rb->v2, base), &attr);
	struct cow_rebase_entry *e = cow_rebase_add(
	    rb, &(struct cow_ovl_change){
		    .kind = COW_CHANGE_DELETED, .path = path, .type = attr.mode & S_IFMT});
	if (!e)
		return -ENOMEM;
	e->anew = true;
	return 0;
}

/* Only the uppermost of what v2 adds: v1 has the directory it is in. */
static bool is_top(const struct cow_rebase *rb, const char *base)
{
	const char *slash = strrchr(base, '/');
	cow_autofree char *dir = slash ? strndup(base, (size_t)(slash - base)) : NULL;
	return dir && is_file_of(rb->v1, dir, S_IFDIR) && !cow_ovl_image_number(rb->v1, base);
}

int cow_rebase_add_hidden(struct cow_rebase *rb)
{
	int r = 0;
	for (size_t k = 0; rb->numbers && r == 0 && k < rb->nchanged; k++)
		if (is_top(rb, rb->changed[k]))
			r = add_hidden(rb, rb->changed[k]);
	return r;
}
