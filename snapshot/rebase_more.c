/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the list of changes does not say by itself: the other names of a changed object, what an added
 * name is another name of, and what the new version adds to a directory that the client made anew.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "rebase_internal.h"

/* ---------------------------------------------------------------- names of one object */

struct names {
	struct cow_rebase *rb;
	const struct cow_rebase_entry *e; /* not of use once entries are added */
	struct cow_ovl_change change;	  /* of the object */
	uint64_t id;
	char **ret; /* the name that is found; NULL: entries are added */
};

/* Is it a name of the object, where the client has it as the image does? */
static int is_name(struct names *n, const char *path)
{
	cow_autonode other = NULL;
	int r = cow_rebase_node(n->rb->ours, path, &other, NULL);
	return r == -ENOENT ? 0 : r < 0 ? r : cow_ovl_id(other) == n->id;
}

static int see_name(void *ctx, const char *base)
{
	struct names *n = ctx;
	cow_autofree char *path = cow_rebase_client_path(n->rb, base);
	if (!path)
		return -ENOMEM;
	const struct cow_rebase_entry *known = cow_rebase_find(n->rb, path, strlen(path));
	if (known &&
	    (!n->ret || (known->v.act != COW_ACT_FIELDS && known->v.act != COW_ACT_THEIRS)))
		return 0;
	int r = is_name(n, path);
	if (r <= 0)
		return r;
	if (n->ret) {
		*n->ret = cow_steal_ptr(&path);
		return 1;
	}
	n->change.path = path;
	return cow_rebase_add(n->rb, &n->change) ? 0 : -ENOMEM;
}

/* @ret: as struct names. Names of the image's object that the entry's is, if it has several. */
static int each_name(struct cow_rebase *rb, const struct cow_rebase_entry *e, char **ret)
{
	struct cow_ovl_attr attr;
	cow_autonode node = NULL;
	if (!rb->numbers || S_ISDIR(e->line.change.type))
		return 0;
	int r = cow_rebase_node(rb->ours, e->path, &node, &attr);
	if (r < 0)
		return r;
	uint32_t number = attr.nlink > 1 ? cow_ovl_number(node) : 0;
	struct names n = {
	    .rb = rb, .e = e, .change = e->line.change, .id = cow_ovl_id(node), .ret = ret};
	r = number ? cow_ovl_image_names(rb->v1, number, see_name, &n) : 0;
	return r < 0 ? r : 0;
}

int cow_rebase_add_links(struct cow_rebase *rb)
{
	int r = 0;
	for (size_t k = 0; r == 0 && k < rb->sorted; k++) {
		/* Entries move when some are added. */
		const struct cow_rebase_entry e = rb->entries[k];
		if (e.line.change.kind == COW_CHANGE_MODIFIED ||
		    e.line.change.kind == COW_CHANGE_ATTRIBUTES)
			r = each_name(rb, &e, NULL);
	}
	return r;
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

int cow_rebase_find_link(struct cow_rebase *rb, struct cow_rebase_entry *e)
{
	char *path = NULL;
	int r = each_name(rb, e, &path);
	if (r < 0 || !path)
		return r;
	cow_autoplaces p = {0};
	r = cow_rebase_places(rb, path, &p);
	if (r == 0 && p.theirs && is_file_of(rb->v2, p.theirs, e->line.change.type))
		e->link_to = cow_steal_ptr(&path);
	free(path);
	return r;
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
