/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Links, removal, rename: each is one atomic system call. Around it, under dir->names, we learn
 * which object loses a name, so that no idle fd of ours keeps its space or lets it answer.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define RENAME_KNOWN (RENAME_NOREPLACE | RENAME_EXCHANGE)

static int dir_fd(struct cow_ovl_node *dir, struct cow_fd **ret)
{
	return S_ISDIR(dir->type) ? cow_fd_get(dir, COW_FD_PATH, ret) : -ENOTDIR;
}

static int link_entered(struct cow_ovl_node *n, struct cow_ovl_node *dir, const char *name,
			size_t len)
{
	char name0[COW_NAME_MAX + 1];
	cow_autofd d = NULL;
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	if (n->inst != dir->inst)
		return -EXDEV;
	int r = cow_name_copy(name, len, name0);
	if (r == 0)
		r = dir_fd(dir, &d);
	if (r == 0 && S_ISDIR(n->type))
		r = -EPERM;
	if (r == 0)
		r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_attr_of(n, f->fd, &attr);
	if (r == 0 && attr.nlink == 0) /* open, but no name: cannot come back */
		r = -ESTALE;
	if (r != 0)
		return r;
	pthread_mutex_lock(&dir->names);
	r = linkat(f->fd, "", d->fd, name0, AT_EMPTY_PATH) < 0 ? cow_nerr() : 0;
	pthread_mutex_unlock(&dir->names);
	if (r < 0)
		return cow_gone_is_stale(f->fd, cow_gone_is_stale(d->fd, r));
	cow_node_bump(n);
	cow_node_bump(dir);
	return cow_inst_commit(dir->inst);
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

/* A btrfs subvolume can be renamed and, since Linux 4.18, removed like a directory; it is not ours.
 */
static int check_ours(struct cow_ovl_inst *i, int dirfd, const char *name)
{
	struct stat st;
	if (!i->btrfs)
		return 0; /* a mount point is EBUSY or EXDEV to the kernel itself */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : cow_nerr(); /* the call that follows says it */
	return st.st_dev == i->dev ? 0 : -EXDEV;
}

/* The node a name stands for, if somebody holds it. Counted; NULL: nobody does, or no such name. */
static struct cow_ovl_node *held_node(struct cow_ovl_inst *i, int dirfd, const char *name)
{
	struct cow_fh fh;
	int mnt_id;
	return cow_fh_of_name(dirfd, name, &fh, &mnt_id) == 0 ? cow_node_find(i, &fh) : NULL;
}

static void lost_a_name(struct cow_ovl_node *n)
{
	if (!n)
		return;
	cow_node_bump(n);
	cow_fd_forget(n);
}

static int unlink_as(int dirfd, const char *name, unsigned flags)
{
	int r = -EISDIR;
	if (flags & COW_REMOVE_FILE)
		r = unlinkat(dirfd, name, 0) < 0 ? cow_nerr() : 0;
	if (r == -EISDIR && flags & COW_REMOVE_DIR)
		r = unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? cow_nerr() : 0;
	return r == -EEXIST ? -ENOTEMPTY : r; /* POSIX lets a file system choose; we do not */
}

static int remove_locked(struct cow_ovl_node *dir, int dirfd, const char *name, unsigned flags)
{
	int r = check_ours(dir->inst, dirfd, name);
	if (r < 0)
		return r;
	cow_autonode victim = held_node(dir->inst, dirfd, name);
	r = unlink_as(dirfd, name, flags);
	if (r < 0)
		return cow_gone_is_stale(dirfd, r);
	lost_a_name(victim);
	cow_node_bump(dir);
	return 0;
}

static int remove_entered(struct cow_ovl_node *dir, const char *name, size_t len, unsigned flags)
{
	char name0[COW_NAME_MAX + 1];
	cow_autofd d = NULL;
	if (flags == 0 || flags & ~(unsigned)(COW_REMOVE_FILE | COW_REMOVE_DIR))
		return -EINVAL;
	int r = cow_name_copy(name, len, name0);
	if (r == 0)
		r = dir_fd(dir, &d);
	if (r != 0)
		return r;
	pthread_mutex_lock(&dir->names);
	r = remove_locked(dir, d->fd, name0, flags);
	pthread_mutex_unlock(&dir->names);
	return r < 0 ? r : cow_inst_commit(dir->inst);
}

int cow_ovl_remove(struct cow_ovl_node *dir, const char *name, size_t len,
		   const struct cow_ovl_cred *cred, unsigned flags)
{
	int r = cow_inst_enter_change(dir->inst);
	if (r < 0)
		return r;
	r = remove_entered(dir, name, len, flags);
	cow_inst_leave(dir->inst);
	return r;
}

struct rename {
	struct cow_ovl_node *dir1, *dir2;
	int fd1, fd2;
	char name1[COW_NAME_MAX + 1], name2[COW_NAME_MAX + 1];
	unsigned flags;
};

static int rename_locked(const struct rename *rn)
{
	struct cow_ovl_inst *i = rn->dir1->inst;
	int r = check_ours(i, rn->fd1, rn->name1);
	if (r == 0)
		r = check_ours(i, rn->fd2, rn->name2);
	if (r < 0)
		return r;
	cow_autonode moved = held_node(i, rn->fd1, rn->name1);
	cow_autonode other = held_node(i, rn->fd2, rn->name2);
	if (renameat2(rn->fd1, rn->name1, rn->fd2, rn->name2, rn->flags) < 0)
		return cow_gone_is_stale(rn->fd2, cow_gone_is_stale(rn->fd1, cow_nerr()));
	if (moved)
		cow_node_bump(moved);
	if (other && rn->flags & RENAME_EXCHANGE)
		cow_node_bump(other);
	else
		lost_a_name(other);
	cow_node_bump(rn->dir1);
	cow_node_bump(rn->dir2);
	return 0;
}

static int rename_entered(struct rename *rn)
{
	cow_autofd d1 = NULL;
	cow_autofd d2 = NULL;
	struct cow_ovl_node *first = rn->dir1, *second = rn->dir2;
	int r = dir_fd(rn->dir1, &d1);
	if (r == 0)
		r = dir_fd(rn->dir2, &d2);
	if (r != 0)
		return r;
	rn->fd1 = d1->fd;
	rn->fd2 = d2->fd;
	if ((uintptr_t)first > (uintptr_t)second) {
		first = rn->dir2;
		second = rn->dir1;
	}
	pthread_mutex_lock(&first->names);
	if (first != second)
		pthread_mutex_lock(&second->names);
	r = rename_locked(rn);
	if (first != second)
		pthread_mutex_unlock(&second->names);
	pthread_mutex_unlock(&first->names);
	return r < 0 ? r : cow_inst_commit(rn->dir1->inst);
}

int cow_ovl_rename(struct cow_ovl_node *dir1, const char *name1, size_t len1,
		   struct cow_ovl_node *dir2, const char *name2, size_t len2, unsigned flags,
		   const struct cow_ovl_cred *cred)
{
	struct rename rn = {.dir1 = dir1, .dir2 = dir2, .flags = flags};
	if (dir1->inst != dir2->inst)
		return -EXDEV;
	if (flags & ~(unsigned)RENAME_KNOWN || flags == RENAME_KNOWN)
		return -EINVAL;
	int r = cow_name_copy(name1, len1, rn.name1);
	if (r == 0)
		r = cow_name_copy(name2, len2, rn.name2);
	if (r == 0)
		r = cow_inst_enter_change(dir1->inst);
	if (r < 0)
		return r;
	r = rename_entered(&rn);
	cow_inst_leave(dir1->inst);
	return r;
}
