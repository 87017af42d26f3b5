/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What trees use on disk, and how much of it is theirs alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "image_internal.h"
#include "snapshot/space.h"

#define EXTENTS 64u

/* A file with several names. */
struct linked {
	uint64_t dev, ino; /* ino 0: a free slot */
	uint64_t seen, nlink;
	uint64_t own; /* bytes that no other file shares */
};

struct cow_space_use {
	uint64_t own, all; /* files with all their names in sight */
	int may_share;	   /* the file system has shared extents */
	struct linked *slots;
	size_t nslots, count; /* nslots: a power of two, or 0 */
};

int cow_space_use_new(const struct cow_store *s, struct cow_space_use **ret)
{
	struct statfs sf;
	cow_autouse u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	if (fstatfs(s->fd, &sf) < 0)
		return -errno;
	u->may_share = sf.f_type == BTRFS_SUPER_MAGIC || sf.f_type == XFS_SUPER_MAGIC;
	*ret = cow_steal_ptr(&u);
	return 0;
}

void cow_space_use_free(struct cow_space_use *u)
{
	if (!u)
		return;
	free(u->slots);
	free(u);
}

uint64_t cow_space_use_own(const struct cow_space_use *u)
{
	uint64_t own = u->own;
	for (size_t k = 0; k < u->nslots; k++)
		if (u->slots[k].ino && u->slots[k].seen >= u->slots[k].nlink)
			own += u->slots[k].own;
	return own;
}

uint64_t cow_space_use_all(const struct cow_space_use *u)
{
	return u->all;
}

/* ---------------------------------------------------------------- files with several names */

static struct linked *slot_of(struct linked *slots, size_t n, uint64_t dev, uint64_t ino)
{
	size_t at = (size_t)((ino + dev * 31) * 0x9e3779b97f4a7c15u >> 20) & (n - 1);
	while (slots[at].ino && (slots[at].ino != ino || slots[at].dev != dev))
		at = (at + 1) & (n - 1);
	return &slots[at];
}

static int make_room(struct cow_space_use *u)
{
	if (u->count * 2 < u->nslots)
		return 0;
	size_t n = u->nslots ? u->nslots * 2 : 1024;
	struct linked *slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t k = 0; k < u->nslots; k++)
		if (u->slots[k].ino)
			*slot_of(slots, n, u->slots[k].dev, u->slots[k].ino) = u->slots[k];
	free(u->slots);
	u->slots = slots;
	u->nslots = n;
	return 0;
}

/* ---------------------------------------------------------------- one object */

/* Bytes of a file that lie in shared extents. One that cannot be asked shares nothing that is known. */
static uint64_t shared_bytes(int dirfd, const char *name)
{
	union {
		struct fiemap head;
		uint8_t room[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
	} map;
	uint64_t sum = 0, from = 0;
	cow_autoclose int fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return 0;
	for (;;) {
		memset(&map, 0, sizeof(map));
		map.head.fm_start = from;
		map.head.fm_length = FIEMAP_MAX_OFFSET - from;
		map.head.fm_extent_count = EXTENTS;
		if (ioctl(fd, FS_IOC_FIEMAP, &map.head) < 0 || map.head.fm_mapped_extents == 0)
			return sum;
		for (uint32_t k = 0; k < map.head.fm_mapped_extents; k++) {
			const struct fiemap_extent *e = &map.head.fm_extents[k];
			if (e->fe_flags & FIEMAP_EXTENT_SHARED)
				sum += e->fe_length;
			if (e->fe_flags & FIEMAP_EXTENT_LAST)
				return sum;
			from = e->fe_logical + e->fe_length;
		}
	}
}

static int add_object(struct cow_space_use *u, int dirfd, const char *name, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_blocks * 512, own = bytes;
	struct linked *l = NULL;
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		int r = make_room(u);
		if (r < 0)
			return r;
		l = slot_of(u->slots, u->nslots, st->st_dev, st->st_ino);
		if (l->ino) {
			l->seen++;
			return 0;
		}
	}
	if (u->may_share && S_ISREG(st->st_mode) && bytes) {
		uint64_t shared = shared_bytes(dirfd, name);
		own = shared < bytes ? bytes - shared : 0;
	}
	u->all += bytes;
	if (!l) {
		u->own += own;
		return 0;
	}
	*l = (struct linked){
	    .dev = st->st_dev, .ino = st->st_ino, .seen = 1, .nlink = st->st_nlink, .own = own};
	u->count++;
	return 0;
}

/* ---------------------------------------------------------------- a tree */

static int add_tree(struct cow_space_use *u, int dirfd, const char *name, unsigned depth);

static int add_children(struct cow_space_use *u, int fd, unsigned depth)
{
	const struct dirent *e;
	int r, again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (again < 0)
		return -errno;
	cow_autodir DIR *dir = fdopendir(again);
	if (!dir) {
		r = -errno;
		(void)close(again);
		return r;
	}
	while ((r = cow_readdir(dir, &e)) > 0) {
		r = add_tree(u, fd, e->d_name, depth);
		if (r < 0)
			return r;
	}
	return r;
}

static int add_tree(struct cow_space_use *u, int dirfd, const char *name, unsigned depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = add_object(u, dirfd, name, &st);
	if (r < 0 || !S_ISDIR(st.st_mode) || depth > COW_DEPTH_MAX)
		return r;
	cow_autoclose int fd = cow_opendir_at(dirfd, name);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
	return add_children(u, fd, depth + 1);
}

int cow_space_use_add(struct cow_space_use *u, int dirfd, const char *name)
{
	return add_tree(u, dirfd, name, 0);
}

/* ---------------------------------------------------------------- versions and clients */

static int use_of(struct cow_store *s, int dir, const char *name, uint64_t *ret_own,
		  uint64_t *ret_all)
{
	cow_autouse u = NULL;
	int r = dir < 0 ? dir : cow_space_use_new(s, &u);
	if (r < 0 || !u)
		return r;
	r = cow_space_use_add(u, dir, name);
	if (r < 0)
		return r;
	if (ret_own)
		*ret_own = cow_space_use_own(u);
	if (ret_all)
		*ret_all = cow_space_use_all(u);
	return 0;
}

int cow_image_space(struct cow_store *s, const struct cow_image *i, uint64_t *ret_own,
		    uint64_t *ret_all, struct cow_err *err)
{
	char number[16];
	cow_autoclose int dir = cow_image_dir(s, i->name);
	(void)snprintf(number, sizeof(number), "%u", i->version);
	int r = use_of(s, dir, number, ret_own, ret_all);
	return r < 0 ? cow_err_set(err, r, "measure image %s@%u", i->name, i->version) : 0;
}

int cow_client_space(struct cow_store *s, const struct cow_client *c, uint64_t *ret_own,
		     uint64_t *ret_all, struct cow_err *err)
{
	cow_autoclose int dir = cow_opendir_at(s->fd, "clients");
	int r = use_of(s, dir, c->id, ret_own, ret_all);
	return r < 0 ? cow_err_set(err, r, "measure client %s", c->id) : 0;
}
