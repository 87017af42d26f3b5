/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * New objects. One system call makes the object with its type, owner and mode; what has to follow
 * (mode bits that call drops, further attributes) is done before anybody is told, and undone
 * together with the object when it fails. dir->names is held throughout, so that no rename or
 * remove of ours puts another object under the name in between.
 */
#include <errno.h>
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
	if (!cow_cred_has_group(cred, attr->gid))
		wanted &= ~(mode_t)S_ISGID;
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
	int r = cow_fd_get(n, cow_set_level(&how->set), &f);
	if (r == 0)
		r = add_special_bits(n, f, cred, how->mode, attr);
	if (r == 0)
		r = cow_set_apply(n, f, cred, &how->set);
	return r < 0 ? r : cow_attr_of(n, f->fd, attr);
}

static int create_locked(struct cow_ovl_node *dir, int dirfd, const char *name,
			 const struct cow_ovl_cred *cred, const struct cow_ovl_create *how,
			 struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	cow_autonode n = NULL;
	int fd = make_object(dirfd, name, cred, how);
	if (fd < 0)
		return cow_gone_is_stale(dirfd, fd);
	cow_node_bump(dir);
	int r = S_ISREG(how->type) ? cow_node_of_fd(dir->inst, fd, COW_FD_WRITE, &n, ret_attr)
				   : cow_lookup_entered(dir, dirfd, name, &n, ret_attr);
	if (r == 0)
		r = finish(n, cred, how, ret_attr);
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
	if (r == 0)
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r != 0)
		return r;
	pthread_mutex_lock(&dir->names);
	r = create_locked(dir, d->fd, name0, cred, how, &n, &attr);
	pthread_mutex_unlock(&dir->names);
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
