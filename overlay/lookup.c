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
#include <unistd.h>

#include "internal.h"

/* A name that is replaced between open and stat, time and again, by a very busy neighbour. */
#define LOOKUP_TRIES 1000

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
static int open_path(int dirfd, const char *name)
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

int cow_lookup_entered(struct cow_ovl_node *dir, int dirfd, const char *name,
		       struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	for (unsigned n = 0; n < LOOKUP_TRIES; n++) {
		int fd = open_path(dirfd, name);
		if (fd < 0)
			return cow_gone_is_stale(dirfd, fd);
		int r = cow_node_of_fd(dir->inst, fd, COW_FD_PATH, ret, ret_attr);
		if (r != -ESTALE) /* unlinked after it was opened: what is there now? */
			return r;
	}
	return -EAGAIN;
}

static int lookup_entered(struct cow_ovl_node *dir, const char *name, size_t len,
			  struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	char name0[COW_NAME_MAX + 1];
	cow_autofd d = NULL;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	int r = cow_name_copy(name, len, name0);
	if (r == 0)
		r = cow_fd_get(dir, COW_FD_PATH, &d);
	return r < 0 ? r : cow_lookup_entered(dir, d->fd, name0, ret, ret_attr);
}

int cow_ovl_lookup(struct cow_ovl_node *dir, const char *name, size_t len,
		   struct cow_ovl_node **ret, struct cow_ovl_attr *ret_attr)
{
	int r = cow_inst_enter(dir->inst);
	if (r < 0)
		return r;
	r = lookup_entered(dir, name, len, ret, ret_attr);
	cow_inst_leave(dir->inst);
	return r;
}

static int parent_entered(struct cow_ovl_node *dir, struct cow_ovl_node **ret)
{
	cow_autofd d = NULL;
	struct cow_ovl_attr attr;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	if (dir == dir->inst->root) { /* never above the tree (I4) */
		*ret = cow_ovl_get(dir);
		return 0;
	}
	int r = cow_fd_get(dir, COW_FD_PATH, &d);
	if (r == 0)
		r = cow_attr_of(dir, d->fd, &attr); /* a removed directory still has ".." */
	if (r < 0)
		return r;
	int fd = open_path(d->fd, "..");
	if (fd < 0)
		return cow_gone_is_stale(d->fd, fd);
	return cow_node_of_fd(dir->inst, fd, COW_FD_PATH, ret, NULL);
}

int cow_ovl_parent(struct cow_ovl_node *dir, struct cow_ovl_node **ret)
{
	int r = cow_inst_enter(dir->inst);
	if (r < 0)
		return r;
	r = parent_entered(dir, ret);
	cow_inst_leave(dir->inst);
	return r;
}
