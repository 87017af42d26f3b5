/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Links and removal. What can be seen is decided under the names lock of the directory (and of the
 * directory to be removed), then one atomic system call changes it; steps and what a crash leaves:
 * overlay.md 4.8. Under the same lock we learn which object loses a name, so that no idle fd of ours keeps its
 * space or lets it answer.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "names_each.h"

int cow_dir_up(struct cow_ovl_node *dir, struct cow_fd **ret)
{
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	int r = cow_bring_up(dir, NULL, NULL, NULL);
	return r < 0 ? r : cow_fd_get(dir, COW_FD_PATH, ret);
}

int cow_name_free(struct cow_ovl_node *dir, const char *name, size_t len)
{
	struct cow_view v;
	cow_autofd d = NULL;
	int r = cow_names_lock_shared(dir);
	if (r < 0)
		return r;
	r = atomic_load(&dir->has_up) ? cow_fd_get(dir, COW_FD_PATH, &d) : 0;
	if (r == 0)
		r = cow_view_locked(dir, d ? d->fd : -1, name, len, &v);
	cow_names_unlock_shared(dir);
	if (r == 0 && v.what != COW_NOTHING)
		r = -EEXIST;
	return r;
}

/* A btrfs subvolume can be renamed and, since Linux 4.18, removed like a directory; it is not ours.
 */
int cow_check_ours(struct cow_ovl_inst *i, int dirfd, const char *name)
{
	struct stat st;
	if (!i->btrfs)
		return 0; /* a mount point is EBUSY or EXDEV to the kernel itself */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr(); /* the call that follows says it */
	return st.st_dev == i->dev ? 0 : -EXDEV;
}

int cow_not_ours(struct cow_ovl_inst *i, int dirfd, const char *name, int r)
{
	if (r != -EXDEV || dirfd < 0)
		return r;
	r = cow_check_ours(i, dirfd, name);
	return r == 0 ? -EBUSY : r;
}

/* ---------------------------------------------------------------- link */

/* An image object says what it is before it has a name away from home. */
int cow_mark_away(struct cow_ovl_node *n, const struct cow_fd *f, struct cow_ovl_node *dir,
		  int dirfd)
{
	if (n->low == 0)
		return 0;
	int r = cow_ident_write(n->inst, f->fd, n->low);
	return r < 0 ? r : cow_impure_need(dir, dirfd);
}

static int link_over(struct cow_ovl_inst *i, int fd, int dirfd, const char *name)
{
	char temp[COW_TEMP_LEN];
	cow_temp_name(i, temp);
	if (linkat(fd, "", i->workfd, temp, AT_EMPTY_PATH) < 0)
		return cow_nerr();
	if (renameat(i->workfd, temp, dirfd, name) == 0)
		return 0;
	int r = cow_nerr();
	cow_work_drop(i, temp);
	return r;
}

static int link_locked(struct cow_ovl_node *n, const struct cow_fd *f, struct cow_ovl_node *dir,
		       int dirfd, const char *name)
{
	struct cow_view v;
	int r = atomic_load(&dir->gone) ? -ESTALE : 0;
	if (r == 0)
		r = cow_view_locked(dir, dirfd, name, strlen(name), &v);
	if (r == 0 && v.what != COW_NOTHING)
		r = -EEXIST;
	if (r == 0)
		r = cow_mark_away(n, f, dir, dirfd);
	if (r == 0 && v.covered)
		r = link_over(dir->inst, f->fd, dirfd, name);
	else if (r == 0 && linkat(f->fd, "", dirfd, name, AT_EMPTY_PATH) < 0)
		r = cow_nerr();
	if (r < 0)
		return cow_gone_is_stale(f->fd, cow_gone_is_stale(dirfd, r));
	const struct cow_dent e = {
	    .ino = n->low ? 0 : n->id - n->inst->rec.id_base,
	    .number = n->low,
	    .known = true,
	    .type = n->type,
	};
	cow_delta_put(dir, name, &e);
	if (n->low)
		cow_moved_add(n);
	cow_node_bump(n);
	cow_node_bump(dir);
	return 0;
}

static int link_alive(struct cow_ovl_node *n, struct cow_ovl_node *dir, const char *name)
{
	cow_autofd d = NULL;
	cow_autofd f = NULL;
	struct stat st;
	if (atomic_load(&n->gone))
		return -ESTALE;
	int r = cow_dir_up(dir, &d);
	if (r == 0)
		r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0 && fstat(f->fd, &st) < 0)
		r = cow_nerr();
	if (r == 0 && st.st_nlink == 0) /* open, but no name: cannot come back */
		r = -ESTALE;
	if (r == 0)
		r = cow_names_lock(dir, NULL, NULL);
	if (r != 0)
		return r;
	r = link_locked(n, f, dir, d->fd, name);
	cow_names_unlock(dir, NULL, NULL);
	return r;
}

static int link_entered(struct cow_ovl_node *n, struct cow_ovl_node *dir, const char *name,
			size_t len)
{
	char name0[COW_NAME_MAX + 1];
	if (n->inst != dir->inst)
		return -EXDEV;
	int r = cow_name_copy(name, len, name0);
	if (r == 0 && !S_ISDIR(dir->type))
		r = -ENOTDIR;
	if (r == 0 && S_ISDIR(n->type))
		r = -EPERM;
	if (r == 0 && !atomic_load(&n->has_up)) /* no copy for nothing */
		r = cow_name_free(dir, name0, len);
	if (r == 0)
		r = cow_bring_up(n, NULL, NULL, NULL);
	if (r < 0)
		return r;
	/* With several names in the image, what counts them must not miss this one. */
	bool counted = cow_node_linked(n);
	if (counted)
		pthread_mutex_lock(&n->copying);
	r = link_alive(n, dir, name0);
	if (counted)
		pthread_mutex_unlock(&n->copying);
	return r < 0 ? r : cow_inst_commit(dir->inst);
}

int cow_ovl_link(struct cow_ovl_node *n, struct cow_ovl_node *dir, const char *name, size_t len,
		 const struct cow_ovl_cred *cred)
{
	int r = cow_inst_enter_change(dir->inst);
	if (r < 0)
		return r;
	r = link_entered(n, dir, name, len);
	cow_inst_leave(dir->inst);
	return r;
}

/* ---------------------------------------------------------------- remove */

struct removal {
	struct cow_ovl_node *dir;
	struct cow_ovl_inst *i;
	char name[COW_NAME_MAX + 1];
	size_t len;
	unsigned flags;
	/* Found under the lock: */
	struct cow_fd *d;
	struct cow_view v;
	struct cow_ovl_node *victim;
};

static int unlink_as(int dirfd, const char *name, int how)
{
	int r = unlinkat(dirfd, name, how) < 0 ? cow_nerr() : 0;
	return r == -EEXIST ? -ENOTEMPTY : r; /* POSIX lets a file system choose; we do not */
}

static int drop_stray(void *ctx, const char *name)
{
	struct stat st;
	int dirfd = *(int *)ctx;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (!cow_is_whiteout(st.st_mode, st.st_rdev))
		return -ENOTEMPTY;
	return unlinkat(dirfd, name, 0) < 0 ? cow_nerr() : 0;
}

int cow_drop_strays(int dirfd)
{
	return cow_names_each(dirfd, drop_stray, &dirfd);
}

static int remove_simple_dir(struct removal *rm)
{
	int r = unlink_as(rm->d->fd, rm->name, AT_REMOVEDIR);
	if (r != -ENOTEMPTY || !rm->i->img)
		return r;
	cow_autofd f = NULL;
	r = cow_fd_get(rm->victim, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_drop_strays(f->fd);
	return r < 0 ? r : unlink_as(rm->d->fd, rm->name, AT_REMOVEDIR);
}

/* What is in the upper makes place for a whiteout. */
static int replace_by_whiteout(struct removal *rm, bool dir)
{
	char temp[COW_TEMP_LEN];
	int r = cow_whiteout_temp(rm->i, temp);
	if (r < 0)
		return r;
	if (renameat2(rm->i->workfd, temp, rm->d->fd, rm->name, dir ? RENAME_EXCHANGE : 0) < 0)
		r = cow_nerr();
	if (dir || r < 0)
		cow_work_drop(rm->i, temp); /* the husk, or the whiteout */
	return r;
}

/* A directory of the image that does not hide anything where it is now. */
static int take_away(struct removal *rm)
{
	char temp[COW_TEMP_LEN];
	cow_temp_name(rm->i, temp);
	if (renameat(rm->d->fd, rm->name, rm->i->workfd, temp) < 0)
		return cow_nerr();
	cow_work_drop(rm->i, temp);
	return 0;
}

static int unname_locked(struct removal *rm)
{
	bool dir = S_ISDIR(rm->victim->type);
	if (rm->v.what == COW_LOWER)
		return cow_whiteout_link(rm->i, rm->d->fd, rm->name);
	if (rm->v.lower)
		return replace_by_whiteout(rm, dir);
	if (!dir)
		return unlink_as(rm->d->fd, rm->name, 0);
	return rm->victim->low ? take_away(rm) : remove_simple_dir(rm);
}

static int remove_locked(struct removal *rm)
{
	cow_autofd keep = NULL;
	int r = cow_check_ours(rm->i, rm->d->fd, rm->name);
	if (r == 0)
		r = cow_keep_begin(rm->victim, &keep);
	if (r == 0)
		r = unname_locked(rm);
	if (r < 0)
		return cow_gone_is_stale(rm->d->fd, r);
	if (rm->v.lower)
		cow_delta_whiteout(rm->dir, rm->name);
	else
		cow_delta_remove(rm->dir, rm->name);
	cow_unnamed(rm->victim, rm->v.what);
	cow_keep_end(rm->victim, cow_steal_ptr(&keep));
	cow_node_bump(rm->dir);
	return 0;
}

void cow_unnamed(struct cow_ovl_node *n, enum cow_what what)
{
	if (S_ISDIR(n->type) || (what == COW_LOWER && n->low && !cow_node_linked(n)))
		atomic_store(&n->gone, true);
}

static int find_locked(struct removal *rm, struct cow_ovl_node *hint)
{
	cow_autonode n = NULL;
	int r = atomic_load(&rm->dir->gone) ? -ESTALE : 0;
	if (r == 0 && atomic_load(&rm->dir->has_up))
		r = cow_fd_get(rm->dir, COW_FD_PATH, &rm->d);
	int dirfd = rm->d ? rm->d->fd : -1;
	if (r == 0)
		r = cow_view_locked(rm->dir, dirfd, rm->name, rm->len, &rm->v);
	if (r == 0 && rm->v.what == COW_NOTHING)
		r = cow_gone_is_stale(dirfd, -ENOENT);
	if (r == 0)
		r = cow_not_ours(rm->i, dirfd, rm->name,
				 cow_view_victim_locked(rm->dir, dirfd, rm->name, &rm->v, &n));
	if (r == 0 && S_ISDIR(n->type) && !(rm->flags & COW_REMOVE_DIR))
		r = -EISDIR;
	if (r == 0 && !S_ISDIR(n->type) && !(rm->flags & COW_REMOVE_FILE))
		r = -ENOTDIR;
	if (r < 0)
		return r;
	rm->victim = cow_steal_ptr(&n);
	if (S_ISDIR(rm->victim->type) && rm->victim != hint)
		return -EAGAIN; /* it must be locked too */
	/* Where one system call removes it, that looks for itself. */
	if (S_ISDIR(rm->victim->type) && (rm->v.lower || !cow_dir_simple(rm->victim))) {
		r = cow_dir_empty_locked(rm->victim);
		if (r != 1)
			return r < 0 ? r : -ENOTEMPTY;
	}
	return rm->d ? 0 : -EAGAIN; /* the directory must be brought up */
}

static void forget_found(struct removal *rm)
{
	cow_fd_put(cow_steal_ptr(&rm->d));
	cow_ovl_put(cow_steal_ptr(&rm->victim));
}

/* Look under the lock; where more is needed than the directory, get it and look again. */
static int remove_run(struct removal *rm)
{
	cow_autonode hint = NULL;
	for (;;) {
		int r = cow_names_lock(rm->dir, hint, NULL);
		if (r < 0)
			return r;
		r = find_locked(rm, hint);
		if (r == 0)
			r = remove_locked(rm);
		cow_names_unlock(rm->dir, hint, NULL);
		if (r != -EAGAIN || !rm->victim)
			return r;
		bool locked = hint == rm->victim || !S_ISDIR(rm->victim->type);
		cow_ovl_put(hint);
		hint = S_ISDIR(rm->victim->type) ? cow_ovl_get(rm->victim) : NULL;
		forget_found(rm);
		r = locked ? cow_bring_up(rm->dir, NULL, NULL, NULL) : 0;
		if (r < 0)
			return r;
	}
}

static int remove_entered(struct removal *rm, const char *name, size_t len)
{
	if (rm->flags == 0 || rm->flags & ~(unsigned)(COW_REMOVE_FILE | COW_REMOVE_DIR))
		return -EINVAL;
	int r = cow_name_copy(name, len, rm->name);
	if (r == 0 && !S_ISDIR(rm->dir->type))
		r = -ENOTDIR;
	if (r < 0)
		return r;
	rm->len = len;
	r = remove_run(rm);
	if (r == 0)
		cow_lost_a_name(rm->victim);
	forget_found(rm);
	return r < 0 ? r : cow_inst_commit(rm->i);
}

int cow_ovl_remove(struct cow_ovl_node *dir, const char *name, size_t len,
		   const struct cow_ovl_cred *cred, unsigned flags)
{
	struct removal rm = {.dir = dir, .i = dir->inst, .flags = flags};
	int r = cow_inst_enter_change(dir->inst);
	if (r < 0)
		return r;
	r = remove_entered(&rm, name, len);
	cow_inst_leave(dir->inst);
	return r;
}
