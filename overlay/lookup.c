/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From a name to a node, and from a directory to its parent. A name that leads out of the tree (a
 * mount point, another btrfs subvolume) is -EXDEV and never entered (I4).
 */
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* A name that is replaced between open and stat, time and again, by a very busy neighbour; or one that
 * is being removed: its object has no name left a while before the name leads nowhere. xfs may wait
 * for its log in between, so after the first tries we wait too. */
#define LOOKUP_TRIES 1000
#define LOOKUP_SPINS 16
#define LOOKUP_PAUSE_NS 100000

static void pause_before_try(unsigned n)
{
	static const struct timespec pause = {.tv_nsec = LOOKUP_PAUSE_NS};
	if (n > LOOKUP_SPINS)
		(void)nanosleep(&pause, NULL); /* shorter is fine */
}

int cow_name_copy(const char *name, size_t len, char ret[COW_NAME_MAX + 1])
{
	if (len > COW_NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len) || memchr(name, '\0', len) ||
	    (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
		return -EINVAL;
	memcpy(ret, name, len);
	ret[len] = '\0';
	return 0;
}

int cow_gone_is_stale(int dirfd, int r)
{
	struct stat st;
	if (r != -ENOENT)
		return r;
	return fstat(dirfd, &st) == 0 && st.st_nlink == 0 ? -ESTALE : r;
}

/* openat2(2) does not cross into a mount; without it (a filter that knows only older calls) the
 * mount id is compared after the open, which is done in any case. */
int cow_open_name(int dirfd, const char *name)
{
	struct open_how how = {
	    .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	    .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	int fd = COW_FD_TRY((int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how)));
	if (fd < 0 && errno == ENOSYS)
		fd = COW_FD_TRY(openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	return fd < 0 ? cow_nerr() : fd;
}

int cow_lookup_upper(struct cow_ovl_node *dir, int dirfd, const char *name,
		     struct cow_ovl_node **ret)
{
	for (unsigned n = 0; n < LOOKUP_TRIES; n++) {
		pause_before_try(n);
		int fd = cow_open_name(dirfd, name);
		if (fd < 0)
			return cow_gone_is_stale(dirfd, fd);
		int r = cow_upper_node(dir->inst, dir, NULL, fd, COW_FD_PATH, ret);
		if (r != -ESTALE) /* unlinked after it was opened: what is there now? */
			return r;
	}
	return -EAGAIN;
}

/*
 * A directory as the image has it answers without a lock. What is in it has no upper before the
 * directory has one, so when that is still so after the node was found or made, the node is right;
 * whatever happens next finds it. Return: -EAGAIN the directory has an upper.
 */
static int lookup_untouched(struct cow_ovl_node *dir, const char *name, size_t len,
			    struct cow_ovl_node **ret)
{
	struct cow_man_ent ent;
	cow_autonode n = NULL;
	if (atomic_load(&dir->has_up))
		return -EAGAIN;
	if (atomic_load(&dir->gone))
		return -ESTALE;
	int r = cow_man_find(dir->inst->img, dir->low, name, len, &ent)
		    ? cow_node_intern_low(dir->inst, ent.ino, NULL, &n)
		    : -ENOENT;
	if (atomic_load(&dir->has_up))
		return -EAGAIN;
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

/* A directory of the image: look and act under one lock. */
static int lookup_layers(struct cow_ovl_node *dir, const char *name, size_t len,
			 struct cow_ovl_node **ret)
{
	cow_autofd d = NULL;
	struct cow_view v;
	int r = lookup_untouched(dir, name, len, ret);
	if (r != -EAGAIN)
		return r;
	r = cow_names_lock_shared(dir);
	if (r < 0)
		return r;
	if (atomic_load(&dir->gone))
		r = -ESTALE;
	if (r == 0 && atomic_load(&dir->has_up))
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0)
		r = cow_view_locked(dir, d ? d->fd : -1, name, len, &v);
	if (r == 0 && v.what == COW_NOTHING)
		r = -ENOENT;
	if (r == 0)
		r = cow_view_node_locked(dir, d ? d->fd : -1, name, &v, ret);
	cow_names_unlock_shared(dir);
	return r;
}

static int lookup_entered(struct cow_ovl_node *dir, const char *name, size_t len,
			  struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	char name0[COW_NAME_MAX + 1];
	cow_autofd d = NULL;
	cow_autonode n = NULL;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	int r = cow_name_copy(name, len, name0);
	if (r == 0 && !cow_dir_simple(dir))
		r = lookup_layers(dir, name0, len, &n);
	else if (r == 0)
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0 && d)
		r = cow_lookup_upper(dir, d->fd, name0, &n);
	if (r == 0 && ret_attr)
		r = cow_attr_get(n, ret_attr);
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

int cow_ovl_lookup(struct cow_ovl_node *dir, const char *name, size_t len,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	int r = cow_node_enter(dir);
	if (r < 0)
		return r;
	for (unsigned n = 0; r == 0; n++) {
		r = lookup_entered(dir, name, len, ret, ret_attr);
		/* It went between finding it and looking at it. */
		if (r != -ESTALE || n == LOOKUP_TRIES || atomic_load(&dir->gone))
			break;
		struct cow_ovl_attr attr;
		pause_before_try(n);
		r = cow_attr_get(dir, &attr); /* or was it the directory? */
	}
	cow_inst_leave(dir->inst);
	return r;
}

static int parent_upper(struct cow_ovl_node *dir, struct cow_ovl_node **ret)
{
	cow_autofd d = NULL;
	struct cow_ovl_attr attr;
	int r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0)
		r = cow_attr_of(dir, d->fd, &attr); /* a removed directory still has ".." */
	if (r < 0)
		return r;
	int fd = cow_open_name(d->fd, "..");
	if (fd < 0)
		return cow_gone_is_stale(d->fd, fd);
	return cow_upper_node(dir->inst, NULL, NULL, fd, COW_FD_PATH, ret);
}

int cow_parent_entered(struct cow_ovl_node *dir, struct cow_ovl_node **ret)
{
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (dir == dir->inst->root) { /* never above the tree (I4) */
		*ret = cow_ovl_get(dir);
		return 0;
	}
	if (atomic_load(&dir->gone))
		return -ESTALE;
	if (atomic_load(&dir->has_up))
		return parent_upper(dir, ret);
	uint32_t parent;
	struct cow_man_ent ent;
	cow_man_name(dir->inst->img, dir->low, 0, &parent, &ent);
	return cow_by_number(dir->inst, parent, ret);
}

int cow_ovl_parent(struct cow_ovl_node *dir, struct cow_ovl_node **ret)
{
	int r = cow_node_enter(dir);
	if (r < 0)
		return r;
	r = cow_parent_entered(dir, ret);
	cow_inst_leave(dir->inst);
	return r;
}
