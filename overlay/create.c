/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * New objects. One system call makes the object with its type, owner and mode; what has to follow
 * (mode bits that call drops, further attributes) is done before anybody is told, and undone
 * together with the object when it fails. dir->names is held throughout, so that no rename or
 * remove of ours puts another object under the name in between.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "internal.h"

#define SPECIAL_BITS (S_ISUID | S_ISGID | S_ISVTX)

static int check(const struct cow_ovl_create *how)
{
	size_t len;
	switch (how->type) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFCHR:
		if (how->rdev == makedev(0, 0)) /* marks deleted names in overlays */
			return -EPERM;
		break;
	case S_IFLNK:
		len = how->target ? strnlen(how->target, COW_SYMLINK_MAX + 1) : 0;
		if (len == 0)
			return -EINVAL;
		if (len > COW_SYMLINK_MAX)
			return -ENAMETOOLONG;
		break;
	default:
		return -EINVAL;
	}
	if (how->mode & ~(mode_t)07777)
		return -EINVAL;
	return cow_set_check(&how->set, how->type);
}

/* The mode the creating call gets. As root it would keep setgid on a program whose group the caller
 * is not in, so that bit waits until the group is known. */
static mode_t first_mode(const struct cow_ovl_create *how, const struct cow_ovl_cred *cred)
{
	return cow_cred_is_root(cred) ? how->mode : how->mode & ~(mode_t)S_ISGID;
}

/* Return: 0 or, for a regular file, its fd. */
static int make_object(int dirfd, const char *name, const struct cow_ovl_cred *cred,
		       const struct cow_ovl_create *how)
{
	struct cow_cred_saved *saved;
	mode_t mode = first_mode(how, cred);
	int r = cow_cred_assume(cred, &saved);
	if (r < 0)
		return r;
	if (S_ISREG(how->type))
		r = COW_FD_TRY(openat(dirfd, name,
				      O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC | O_NOCTTY,
				      mode));
	else if (S_ISDIR(how->type))
		r = mkdirat(dirfd, name, mode);
	else if (S_ISLNK(how->type))
		r = symlinkat(how->target, dirfd, name);
	else
		r = mknodat(dirfd, name, how->type | mode, how->rdev);
	if (r < 0)
		r = cow_nerr();
	cow_cred_restore(saved);
	return r;
}

/* Setuid, setgid, sticky: mkdir(2) drops some, we held one back. Other bits are what the caller
 * asked for already, or what a default ACL made of it. */
static int add_special_bits(struct cow_ovl_node *n, const struct cow_fd *f,
			    const struct cow_ovl_cred *cred, mode_t wanted,
			    const struct cow_ovl_attr *attr)
{
	if (wanted & S_IXGRP && !cow_cred_has_group(cred, attr->gid))
		wanted &=
		    ~(mode_t)S_ISGID; /* without S_IXGRP it gives no rights: kept, as locally */
	mode_t missing = wanted & SPECIAL_BITS & ~attr->mode;
	if (missing == 0 || S_ISLNK(n->type))
		return 0;
	cow_node_bump(n);
	return cow_fd_chmod(f, (attr->mode & 07777) | missing);
}

static int finish(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
		  const struct cow_ovl_create *how, struct cow_ovl_attr *attr)
{
	cow_autofd f = NULL;
	if (!how->set.mask && !(how->mode & SPECIAL_BITS & ~attr->mode))
		return 0; /* what most are: nothing follows */
	int r = cow_fd_get(n, cow_set_level(&how->set), &f);
	if (r == 0)
		r = add_special_bits(n, f, cred, how->mode, attr);
	if (r == 0)
		r = cow_set_apply(n, f, cred, &how->set);
	return r < 0 ? r : cow_attr_of(n, f->fd, attr);
}

static int count_it(struct cow_ovl_node *n, struct cow_reserved *res)
{
	cow_autofd f = NULL;
	if (res->bytes == 0)
		return 0;
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0)
		cow_limit_settle(n, f->fd, res);
	return r;
}

/* Make it in @dirfd as @name, with all attributes; undone as a whole when something fails. */
static int make_whole(struct cow_ovl_inst *i, int dirfd, const char *name,
		      const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
		      struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	cow_autonode n = NULL;
	struct cow_reserved res;
	int fd = cow_limit_take(i, 0, &res);
	if (fd == 0)
		fd = make_object(dirfd, name, cred, how);
	if (fd < 0) {
		cow_limit_cancel(i, &res);
		return fd;
	}
	unsigned level = S_ISREG(how->type) ? COW_FD_WRITE : COW_FD_PATH;
	if (!S_ISREG(how->type))
		fd = cow_open_name(dirfd, name);
	int r = fd < 0 ? fd : cow_upper_made(i, fd, level, &n, ret_attr);
	if (r == 0)
		r = finish(n, cred, how, ret_attr);
	if (r == 0)
		r = count_it(n, &res);
	cow_limit_cancel(i, &res);
	if (r < 0) {
		/* It was never announced. A failure here leaves an object with owner and mode
		 * right. */
		(void)unlinkat(dirfd, name, S_ISDIR(how->type) ? AT_REMOVEDIR : 0);
		if (n)
			cow_fd_forget(n);
		return r;
	}
	*ret = cow_steal_ptr(&n);
	return 0;
}

/* Where a whiteout is: made apart, then put in its place in one step. A directory hides what the
 * image has under its name. */
static int put_over(struct cow_ovl_node *dir, int dirfd, const char *name, int from,
		    const char *temp, struct cow_ovl_node *n)
{
	if (!S_ISDIR(n->type))
		return renameat(from, temp, dirfd, name) < 0 ? cow_nerr() : 0;
	cow_autofd f = NULL;
	struct stat before;
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_opaque_write(f->fd);
	if (r == 0 && fstat(f->fd, &before) < 0)
		r = cow_nerr();
	if (r == 0 && renameat2(from, temp, dirfd, name, RENAME_EXCHANGE) < 0)
		r = cow_nerr();
	if (r < 0)
		return r;
	cow_restore_times(f->fd, &before); /* xfs touches what is exchanged */
	(void)unlinkat(from, temp, 0);	   /* the whiteout; else swept at attach */
	return 0;
}

static int create_over(struct cow_ovl_node *dir, int dirfd, const char *name,
		       const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
		       struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	struct cow_ovl_inst *i = dir->inst;
	struct cow_stage stage;
	cow_autonode n = NULL;
	char temp[COW_TEMP_LEN];
	int r = cow_stage_begin(i, dirfd, &stage);
	if (r < 0)
		return r;
	cow_temp_name(i, temp);
	r = make_whole(i, stage.fd, temp, cred, how, &n, ret_attr);
	if (r == 0) {
		r = put_over(dir, dirfd, name, stage.fd, temp, n);
		if (r < 0) {
			(void)unlinkat(stage.fd, temp, S_ISDIR(how->type) ? AT_REMOVEDIR : 0);
			cow_fd_forget(n);
		}
	}
	cow_stage_end(i, &stage);
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

static void note(struct cow_ovl_node *dir, const char *name, const struct cow_ovl_node *n)
{
	const struct cow_dent e = {
	    .ino = n->id - n->inst->rec.id_base,
	    .known = true,
	    .type = n->type,
	};
	cow_node_bump(dir);
	cow_delta_put(dir, name, &e);
}

/* A directory that is not one of the image may still hold whiteouts that mean nothing. */
static int is_stray(struct cow_ovl_node *dir, int dirfd, const char *name)
{
	struct cow_view v;
	if (!dir->inst->img)
		return 0;
	int r = cow_view_locked(dir, dirfd, name, strlen(name), &v);
	return r < 0 ? r : v.covered;
}

static int create_locked(struct cow_ovl_node *dir, int dirfd, const char *name, size_t len,
			 const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
			 struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	struct cow_view v = {0};
	int r = 0;
	if (atomic_load(&dir->gone))
		return -ESTALE;
	if (!cow_dir_simple(dir)) {
		r = cow_view_locked(dir, dirfd, name, len, &v);
		if (r == 0 && v.what != COW_NOTHING)
			r = -EEXIST;
	}
	if (r == 0 && !v.covered) {
		r = make_whole(dir->inst, dirfd, name, cred, how, ret, ret_attr);
		if (r == -EEXIST && cow_dir_simple(dir) && is_stray(dir, dirfd, name) == 1)
			v.covered = true;
	}
	if ((r == 0 || r == -EEXIST) && v.covered)
		r = create_over(dir, dirfd, name, cred, how, ret, ret_attr);
	if (r == 0)
		note(dir, name, *ret);
	return cow_gone_is_stale(dirfd, r);
}

static int create_entered(struct cow_ovl_node *dir, const char *name, size_t len,
			  const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
			  struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	char name0[COW_NAME_MAX + 1];
	cow_autofd d = NULL;
	cow_autonode n = NULL;
	struct cow_ovl_attr attr;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	int r = cow_name_copy(name, len, name0);
	if (r == 0)
		r = check(how);
	if (r == 0 && !atomic_load(&dir->has_up)) /* no copy for nothing */
		r = cow_name_free(dir, name0, len);
	if (r == 0)
		r = cow_dir_up(dir, &d);
	if (r == 0)
		r = cow_names_lock(dir, NULL, NULL);
	if (r != 0)
		return r;
	r = create_locked(dir, d->fd, name0, len, cred, how, &n, &attr);
	cow_names_unlock(dir, NULL, NULL);
	if (r == 0)
		r = cow_inst_commit(dir->inst);
	if (r < 0)
		return r;
	if (ret_attr)
		*ret_attr = attr;
	if (ret)
		*ret = cow_steal_ptr(&n);
	return 0;
}

int cow_ovl_create(struct cow_ovl_node *dir, const char *name, size_t len,
		   const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	int r = cow_inst_enter_change(dir->inst);
	if (r < 0)
		return r;
	r = create_entered(dir, name, len, cred, how, ret, ret_attr);
	cow_inst_leave(dir->inst);
	return r;
}
