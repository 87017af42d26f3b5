/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Image objects away from home. They say in the upper what they are, so where they are can always
 * be learnt by walking it. That is done the first time somebody asks for one that is neither in
 * memory nor at home (a handle after a restart), and from then on each move is noted. Kept in memory
 * only: a file could disagree with the tree.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "names_each.h"
#include "numbers.h"

struct walk {
	struct cow_ovl_inst *i;
	int fd;
	bool impure; /* may hold such objects that are no directories */
	unsigned depth;
};

static int walk_dir(struct cow_ovl_inst *i, int fd, unsigned depth);

static int note(struct cow_ovl_inst *i, int fd)
{
	struct cow_fh fh;
	uint32_t number;
	int mnt_id;
	int r = cow_ident_read(i, fd, &number);
	if (r == -EBADMSG) /* not ours: reported by a check, no reason to fail here */
		return 0;
	if (r < 0 || number == 0)
		return r;
	r = cow_fh_of(fd, &fh, &mnt_id);
	return r < 0 ? r : cow_nummap_put(&i->numbers->moved, number, &fh, NULL);
}

static int walk_one(void *ctx, const char *name)
{
	const struct walk *w = ctx;
	struct stat st;
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	bool dir = S_ISDIR(st.st_mode);
	if ((!dir && !w->impure) || st.st_dev != w->i->dev)
		return 0;
	cow_autoclose int fd = COW_FD_TRY(
	    openat(w->fd, name, O_CLOEXEC | O_NOFOLLOW | (dir ? O_RDONLY | O_DIRECTORY : O_PATH)));
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	int r = note(w->i, fd);
	return r < 0 || !dir ? r : walk_dir(w->i, fd, w->depth + 1);
}

static int walk_dir(struct cow_ovl_inst *i, int fd, unsigned depth)
{
	struct walk w = {.i = i, .fd = fd, .depth = depth};
	if (depth > COW_DEPTH_MAX)
		return -ELOOP;
	int r = cow_impure_get(fd);
	if (r < 0)
		return r;
	w.impure = r;
	return cow_names_each(fd, walk_one, &w);
}

/* Needs m. */
static int load_locked(struct cow_ovl_inst *i)
{
	struct cow_numbers *m = i->numbers;
	if (m->moved_loaded && !(i->flags & COW_OVL_OBSERVER))
		return 0;
	cow_nummap_clear(&m->moved);
	int r = walk_dir(i, i->treefd, 0);
	m->moved_loaded = r == 0;
	return r;
}

int cow_moved_find(struct cow_ovl_inst *i, uint32_t number, struct cow_fh *ret)
{
	pthread_mutex_lock(&i->numbers->m);
	int r = load_locked(i);
	const struct cow_numplace *p = r < 0 ? NULL : cow_nummap_get(&i->numbers->moved, number);
	if (p)
		*ret = p->fh;
	pthread_mutex_unlock(&i->numbers->m);
	if (r < 0)
		return r;
	return p ? 0 : -ENOENT;
}

void cow_moved_add(struct cow_ovl_node *n)
{
	struct cow_numbers *m = n->inst->numbers;
	pthread_mutex_lock(&m->m);
	if (m->moved_loaded && cow_nummap_put(&m->moved, n->low, &n->up, NULL) < 0)
		m->moved_loaded = false; /* walk again when somebody asks */
	pthread_mutex_unlock(&m->m);
}
