/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Recursive removal that cannot leave its root: every directory is opened by one name below its
 * parent's descriptor, without following links (O_NOFOLLOW) or entering mounts (RESOLVE_NO_XDEV).
 * Iterative, with one descriptor per level. Whoever made the tree may have made it deeper than
 * descriptors last: what lies deeper than FLAT_DEPTH is renamed up to the top first, and removed from
 * there.
 */
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"

#define FLAT_DEPTH 64 /* far more than trees have, far less than RLIMIT_NOFILE */

struct level {
	DIR *dir;
	char name[COW_NAME_MAX + 1]; /* in the level above */
};

struct walk {
	int rootfd; /* directory that holds the tree; borrowed */
	struct level *levels;
	size_t depth, room;
	int first_error;
	int moved_up; /* the top level has got new entries */
};

static int open_child(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int top_fd(const struct walk *w)
{
	return w->depth ? dirfd(w->levels[w->depth - 1].dir) : w->rootfd;
}

static int push(struct walk *w, const char *name)
{
	if (w->depth == COW_DEPTH_MAX)
		return -ELOOP;
	if (w->depth == w->room) {
		size_t room = w->room ? w->room * 2 : 16;
		struct level *p = reallocarray(w->levels, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		w->levels = p;
		w->room = room;
	}
	cow_autoclose int fd = open_child(top_fd(w), name);
	if (fd < 0)
		return cow_steal_fd(&fd);
	DIR *d = fdopendir(fd);
	if (!d)
		return -errno;
	(void)cow_steal_fd(&fd);
	struct level *l = &w->levels[w->depth++];
	l->dir = d;
	memcpy(l->name, name, strlen(name) + 1);
	return 0;
}

static void note(struct walk *w, int r)
{
	if (r < 0 && r != -ENOENT && w->first_error == 0)
		w->first_error = r;
}

/* 0: it cannot be moved (a mount point, another subvolume), so it is entered where it is. */
static int move_up(struct walk *w, const char *name)
{
	char hex[COW_HEX64_LEN + 1], up[sizeof(".rm-") + COW_HEX64_LEN];
	if (cow_random_hex(hex) < 0)
		return 0;
	(void)snprintf(up, sizeof(up), ".rm-%s", hex);
	if (renameat(top_fd(w), name, dirfd(w->levels[0].dir), up) < 0)
		return 0;
	w->moved_up = 1;
	return 1;
}

/* Remove one entry of the top level, or descend into it. */
static void remove_entry(struct walk *w, const struct dirent *de)
{
	if (de->d_type != DT_DIR) {
		if (unlinkat(top_fd(w), de->d_name, 0) == 0)
			return;
		if (errno != EISDIR) { /* d_type may be unknown */
			note(w, -errno);
			return;
		}
	}
	if (w->depth >= FLAT_DEPTH && move_up(w, de->d_name))
		return;
	int r = push(w, de->d_name);
	if (r < 0)
		note(w, r);
}

static void pop(struct walk *w, unsigned flags)
{
	struct level *l = &w->levels[--w->depth];

	(void)closedir(l->dir);
	if (w->depth == 0 && (flags & COW_RM_CONTENTS))
		return;
	if (unlinkat(top_fd(w), l->name, AT_REMOVEDIR) < 0)
		note(w, -errno);
}

int cow_rm_rf_at(int dirfd, const char *name, unsigned flags)
{
	struct walk w = {.rootfd = dirfd};

	if (flags & ~(unsigned)COW_RM_CONTENTS)
		return -EINVAL;
	if (!*name || strlen(name) > COW_NAME_MAX || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return -EINVAL;
	if (!(flags & COW_RM_CONTENTS)) {
		if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -errno;
	}
	int r = push(&w, name);
	note(&w, r);
	while (w.depth) {
		const struct dirent *de = NULL;
		r = cow_readdir(w.levels[w.depth - 1].dir, &de);
		if (de) {
			remove_entry(&w, de);
		} else if (w.depth == 1 && w.moved_up) {
			w.moved_up = 0;
			rewinddir(w.levels[0].dir);
		} else {
			note(&w, r);
			pop(&w, flags);
		}
	}
	free(w.levels);
	return w.first_error;
}
