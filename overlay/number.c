/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From the number of an image object to its node. It is at home unless its parent there is gone, or
 * the name there is hidden or replaced; then it may have moved. So handles of untouched objects
 * need no table, on disk or in memory, and survive restarts (I5). overlay.md 4.4.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "internal.h"
#include "numbers.h"

int cow_numbers_load(struct cow_ovl_inst *i)
{
	i->numbers = calloc(1, sizeof(*i->numbers));
	if (!i->numbers)
		return -ENOMEM;
	(void)pthread_mutex_init(&i->numbers->m, NULL); /* cannot fail without attributes */
	return cow_anchors_load(i);
}

void cow_numbers_free(struct cow_numbers *m)
{
	if (!m)
		return;
	cow_nummap_clear(&m->anchors);
	cow_nummap_clear(&m->moved);
	(void)pthread_mutex_destroy(&m->m);
	free(m);
}

/* Alive, also where only an open keeps it. */
static int check_alive(struct cow_ovl_node *n)
{
	return atomic_load(&n->gone) && !cow_node_used(n) ? -ESTALE : 0;
}

/* What name @k of the object shows. Return: 0 with *ret set when it shows the object. */
static int at_name_locked(struct cow_ovl_node *dir, const struct cow_man_ent *ent, uint32_t number,
			  struct cow_ovl_node **ret)
{
	cow_autofd d = NULL;
	cow_autonode n = NULL;
	struct cow_view v;
	int r = atomic_load(&dir->gone) ? -ESTALE : 0;
	if (r == 0 && atomic_load(&dir->has_up))
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0)
		r = cow_view_locked(dir, d ? d->fd : -1, ent->name, ent->len, &v);
	if (r == 0 && v.what == COW_NOTHING)
		r = -ESTALE;
	if (r == 0)
		r = cow_view_node_locked(dir, d ? d->fd : -1, ent->name, &v, &n);
	if (r == -ENOENT || (r == 0 && n->low != number))
		r = -ESTALE;
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

static int at_name(struct cow_ovl_inst *i, uint32_t number, size_t k, struct cow_ovl_node **ret)
{
	cow_autonode dir = NULL;
	struct cow_man_ent ent;
	uint32_t parent;
	cow_man_name(i->img, number, k, &parent, &ent);
	int r = cow_by_number(i, parent, &dir); /* as deep as the image's tree */
	if (r == 0)
		r = cow_names_lock_shared(dir);
	if (r < 0)
		return r;
	r = at_name_locked(dir, &ent, number, ret);
	cow_names_unlock_shared(dir);
	return r;
}

/* Somewhere in the upper, under a name the image does not give it. */
static int away(struct cow_ovl_inst *i, uint32_t number, struct cow_ovl_node **ret)
{
	struct cow_fh fh;
	cow_autonode n = NULL;
	int r = cow_moved_find(i, number, &fh);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	int fd = cow_fh_open(i, &fh, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return fd;
	r = cow_upper_node(i, NULL, NULL, fd, COW_FD_PATH, &n);
	if (r == 0 && n->low != number) /* the handle is of another object by now */
		r = -ESTALE;
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r == -EXDEV || r == -ENOENT ? -ESTALE : r;
}

static int search(struct cow_ovl_inst *i, uint32_t number, struct cow_ovl_node **ret)
{
	for (size_t k = 0; k < cow_man_nnames(i->img, number); k++) {
		int r = at_name(i, number, k, ret);
		if (r != -ESTALE)
			return r;
	}
	return away(i, number, ret);
}

int cow_by_number(struct cow_ovl_inst *i, uint32_t number, struct cow_ovl_node **ret)
{
	struct cow_key key;
	if (!cow_man_has(i->img, number))
		return -ESTALE;
	cow_key_of_number(number, &key);
	cow_autonode n = cow_node_find(i, &key);
	bool sure = n && (atomic_load(&n->has_up) || !(i->flags & COW_OVL_OBSERVER));
	int r = sure ? check_alive(n) : search(i, number, ret);
	if (sure && r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

/* ---------------------------------------------------------------- counting */

/* Names of the image that still show the image's entry, the object itself brought up or not. */
static int count_at_home(struct cow_ovl_node *n, uint32_t *ret)
{
	struct cow_ovl_inst *i = n->inst;
	*ret = 0;
	for (size_t k = 0; k < cow_man_nnames(i->img, n->low); k++) {
		cow_autonode dir = NULL;
		cow_autofd d = NULL;
		struct cow_man_ent ent;
		struct cow_view v = {0};
		uint32_t parent;
		cow_man_name(i->img, n->low, k, &parent, &ent);
		int r = cow_by_number(i, parent, &dir);
		if (r == -ESTALE)
			continue;
		if (r == 0)
			r = cow_names_lock_shared(dir);
		if (r < 0)
			return r;
		if (atomic_load(&dir->has_up))
			r = cow_fd_get(dir, COW_FD_PATH, &d);
		if (r == 0 && !atomic_load(&dir->gone))
			r = cow_view_locked(dir, d ? d->fd : -1, ent.name, ent.len, &v);
		cow_names_unlock_shared(dir);
		if (r < 0 && r != -ESTALE)
			return r;
		*ret += v.what == COW_LOWER;
	}
	return 0;
}

/* Links in the upper, less the anchor. */
static int count_upper(struct cow_ovl_node *n, uint32_t *ret)
{
	struct stat st;
	cow_autofd f = NULL;
	struct cow_fh anchor;
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r < 0)
		return r;
	if (fstat(f->fd, &st) < 0)
		return cow_nerr();
	*ret = (uint32_t)st.st_nlink;
	if (*ret > 0 && cow_anchor_find(n->inst, n->low, &anchor))
		(*ret)--;
	return 0;
}

int cow_count_names(struct cow_ovl_node *n, uint32_t *ret)
{
	uint32_t home, up = 0;
	int r = count_at_home(n, &home);
	if (r == 0 && atomic_load(&n->has_up))
		r = count_upper(n, &up);
	if (r == -ESTALE) /* no link at all */
		r = 0;
	if (r == 0)
		*ret = home + up;
	return r;
}

void cow_lost_a_name(struct cow_ovl_node *n)
{
	uint32_t left;
	if (!n)
		return;
	cow_node_bump(n);
	if (cow_node_linked(n)) {
		pthread_mutex_lock(&n->copying);
		/* A failure leaves it alive in memory; what a handle leads to later is counted anew. */
		if (cow_count_names(n, &left) == 0 && left == 0) {
			atomic_store(&n->gone, true);
			if (atomic_load(&n->has_up))
				cow_anchor_drop(n->inst, n->low);
		}
		pthread_mutex_unlock(&n->copying);
	}
	cow_limit_lost_name(n);
	cow_fd_forget(n);
}
