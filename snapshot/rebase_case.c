/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What v2 has where the client changed something: the other half of a case of the rule.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rebase_internal.h"

mode_t cow_rebase_type(const struct cow_ovl_image *img, uint32_t number)
{
	struct cow_ovl_attr attr;
	if (!number)
		return 0;
	cow_ovl_image_attr(img, number, &attr);
	return attr.mode & S_IFMT;
}

static void compare(const struct cow_rebase *rb, const struct cow_rebase_entry *e,
		    struct cow_rebase_case *c)
{
	c->their_type = cow_rebase_type(rb->v2, e->theirs);
	if (!e->theirs)
		c->theirs = e->base ? COW_THEIRS_GONE : COW_THEIRS_NOTHING;
	else if (!e->base)
		c->theirs = COW_THEIRS_NEW;
	else
		c->their_what = cow_ovl_image_compare(rb->v1, e->base, rb->v2, e->theirs);
	if (e->base && e->theirs)
		c->theirs = c->their_what ? COW_THEIRS_CHANGED : COW_THEIRS_SAME;
}

/* An object of the image that the client has elsewhere. */
static const struct cow_rebase_entry *moved_away(const struct cow_rebase *rb, const char *base)
{
	for (size_t k = 0; k < rb->sorted; k++)
		if (rb->entries[k].old_path && strcmp(rb->entries[k].old_path, base) == 0)
			return &rb->entries[k];
	return NULL;
}

static int take_path(void *ctx, const char *path)
{
	char **ret = ctx;
	*ret = strdup(path);
	return *ret ? 1 : -ENOMEM;
}

/* Where v2 has what the client moved: moves of moved directories come later in the order of paths than
 * those of the directories, so the ones above are known. */
static int find_moved(struct cow_rebase *rb, struct cow_rebase_entry *e)
{
	bool dir = S_ISDIR(e->line.change.type);
	e->base = cow_ovl_image_number(rb->v1, e->old_path);
	e->theirs = cow_ovl_image_number(rb->v2, e->old_path);
	free(e->their_path);
	e->their_path = NULL;
	if (dir && e->base < rb->common && e->theirs != e->base && cow_ovl_image_has(rb->v2, e->base)) {
		e->theirs = e->base;
		int r = cow_ovl_image_names(rb->v2, e->base, take_path, &e->their_path);
		return r < 0 ? r : 0;
	}
	/* What is something else now is gone. */
	if (!e->theirs || cow_rebase_type(rb->v2, e->theirs) != cow_rebase_type(rb->v1, e->base))
		return 0;
	e->their_path = strdup(e->old_path);
	return e->their_path ? 0 : -ENOMEM;
}

int cow_rebase_find_moved(struct cow_rebase *rb)
{
	int r = 0;
	for (size_t k = 0; r == 0 && k < rb->sorted; k++)
		if (rb->entries[k].line.change.kind == COW_CHANGE_MOVED)
			r = find_moved(rb, &rb->entries[k]);
	return r;
}

/* Has v2 something of its own where the client put a moved object? Return: 1, 0, -errno. */
static int is_taken(struct cow_rebase *rb, struct cow_rebase_entry *e,
		    const struct cow_rebase_places *p, struct cow_rebase_case *c)
{
	uint32_t was = cow_ovl_image_number(rb->v1, p->base);
	uint32_t is = p->theirs ? cow_ovl_image_number(rb->v2, p->theirs) : 0;
	if (!is || (e->their_path && strcmp(e->their_path, p->theirs) == 0))
		return 0;
	if (was)
		return !moved_away(rb, p->base) && (cow_ovl_image_compare(rb->v1, was, rb->v2, is) &
							~(unsigned)COW_CHANGED_MTIME ||
						    cow_rebase_changed_below(rb, p->base));
	if (S_ISDIR(e->line.change.type))
		return 1;
	/* v2 may have moved it to the same place. */
	struct cow_rebase_entry there = *e;
	there.theirs = is;
	there.base = 0;
	struct cow_rebase_case same = {0};
	int r = cow_rebase_agree(rb, &there, p->theirs, &same);
	const unsigned object = (unsigned)COW_CHANGED_DATA | COW_CHANGED_TYPE;
	if (r == 0 && (same.agree & object) == object) {
		*c = (struct cow_rebase_case){.kind = COW_CHANGE_ADDED,
					      .type = c->type,
					      .theirs = COW_THEIRS_NEW,
					      .their_type = c->type,
					      .agree = same.agree};
		return 0;
	}
	return r < 0 ? r : 1;
}

static int look_at_moved(struct cow_rebase *rb, struct cow_rebase_entry *e,
			 const struct cow_rebase_places *p, struct cow_rebase_case *c)
{
	compare(rb, e, c);
	c->their_move = e->their_path && strcmp(e->their_path, e->old_path) != 0 &&
			!(p->theirs && strcmp(e->their_path, p->theirs) == 0);
	int r = is_taken(rb, e, p, c);
	if (r < 0)
		return r;
	e->taken = c->taken = r > 0;
	e->departs = e->their_path != NULL;
	return 0;
}

static int look_at(struct cow_rebase *rb, struct cow_rebase_entry *e,
		   const struct cow_rebase_places *p, struct cow_rebase_case *c)
{
	const struct cow_ovl_change *change = &e->line.change;
	e->base = change->kind == COW_CHANGE_ADDED ? 0 : cow_ovl_image_number(rb->v1, p->base);
	e->theirs = p->theirs ? cow_ovl_image_number(rb->v2, p->theirs) : 0;
	if (change->kind == COW_CHANGE_ADDED && cow_ovl_image_number(rb->v1, p->base))
		e->theirs =
		    0; /* the object of the image has gone elsewhere, and takes v2's along */
	compare(rb, e, c);
	if (S_ISDIR(cow_rebase_type(rb->v1, e->base)) &&
	    (change->kind == COW_CHANGE_DELETED || !S_ISDIR(change->type)))
		c->below = cow_rebase_changed_below(rb, p->base);
	return 0;
}

int cow_rebase_look(struct cow_rebase *rb, struct cow_rebase_entry *e, struct cow_rebase_case *c)
{
	bool moved = e->line.change.kind == COW_CHANGE_MOVED;
	cow_autoplaces p = {0};
	int r = cow_rebase_places(rb, e->path, &p);
	if (r == 0)
		r = moved ? look_at_moved(rb, e, &p, c) : look_at(rb, e, &p, c);
	if (r < 0 || c->kind == COW_CHANGE_DELETED || c->agree || c->needed)
		return r;
	if (c->theirs != COW_THEIRS_NEW && c->theirs != COW_THEIRS_CHANGED)
		return 0;
	return cow_rebase_agree(rb, e, moved ? e->their_path : p.theirs, c);
}
