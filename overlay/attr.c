/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attributes: reading, setting, and what setting strips. The engine is root, so the kernel keeps
 * setuid and setgid where it would clear them for the caller; we clear them in its place.
 * Sources: chmod(2), write(2), inode(7).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "internal.h"

#define SET_KNOWN                                                                                  \
	(COW_SET_MODE | COW_SET_UID | COW_SET_GID | COW_SET_SIZE | COW_SET_ATIME | COW_SET_MTIME | \
	 COW_SET_ATIME_NOW | COW_SET_MTIME_NOW)
#define NS_PER_S 1000000000
#define DIR_NLINK                                                                                  \
	1 /* of the image's directories: "not counted" to find(1), fts(3); never changes */

static struct timespec ts_of(const struct statx_timestamp *t)
{
	return (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

int cow_attr_of_fd(struct cow_ovl_inst *i, int fd, struct cow_ovl_attr *ret)
{
	struct statx sx;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return cow_nerr();
	if (makedev(sx.stx_dev_major, sx.stx_dev_minor) != i->dev ||
	    (i->btrfs && sx.stx_ino == COW_BTRFS_EMPTY_SUBVOL_INO))
		return -EXDEV;
	*ret = (struct cow_ovl_attr){
	    .id = i->rec.id_base + sx.stx_ino,
	    .change = (uint64_t)sx.stx_ctime.tv_sec * NS_PER_S + sx.stx_ctime.tv_nsec,
	    .size = sx.stx_size,
	    .bytes_used = sx.stx_blocks * 512,
	    .mode = sx.stx_mode,
	    .nlink = sx.stx_nlink,
	    .uid = sx.stx_uid,
	    .gid = sx.stx_gid,
	    .rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor),
	    .atime = ts_of(&sx.stx_atime),
	    .mtime = ts_of(&sx.stx_mtime),
	    .ctime = ts_of(&sx.stx_ctime),
	};
	if (sx.stx_mask & STATX_BTIME)
		ret->btime = ts_of(&sx.stx_btime);
	return 0;
}

/* Before Linux 6.13 ctime moves in steps of a timer tick, and two changes within one would look the
 * same; so those made through us are counted on top. The count is lost with the node: the value can
 * then step back by a few ns, which is still a difference. */
void cow_node_bump(struct cow_ovl_node *n)
{
	atomic_fetch_add(&n->bump, 1);
}

int cow_attr_of(struct cow_ovl_node *n, int fd, struct cow_ovl_attr *ret)
{
	struct cow_ovl_attr attr = {0};
	uint64_t bump = atomic_load(&n->bump); /* before the ctime it is added to */
	int r = cow_attr_of_fd(n->inst, fd, &attr);
	if (r < 0)
		return r == -EXDEV ? -ESTALE : r;
	if (attr.nlink == 0) {
		atomic_store(&n->orphan, true);
		if (!cow_node_used(n))
			return -ESTALE;
	}
	attr.id = n->id;
	attr.change += bump;
	if (n->low != 0 && S_ISDIR(n->type) && attr.nlink > 0)
		attr.nlink = DIR_NLINK;
	*ret = attr;
	return 0;
}

/* Of an object that is as the image has it. No system call. */
static int attr_lower(struct cow_ovl_node *n, struct cow_ovl_attr *ret)
{
	bool gone = atomic_load(&n->gone);
	if (gone && !cow_node_used(n))
		return -ESTALE;
	cow_man_attr(n->inst->img, n->low, ret);
	if (gone)
		ret->nlink = 0;
	else if (S_ISDIR(n->type))
		ret->nlink = DIR_NLINK;
	ret->change += atomic_load(&n->bump);
	return 0;
}

/* Of several names in the image each may have been removed, or replaced by one in the upper. */
static int attr_linked(struct cow_ovl_node *n, struct cow_ovl_attr *attr)
{
	uint32_t names = 0;
	pthread_mutex_lock(&n->copying);
	int r = atomic_load(&n->gone) ? 0 : cow_count_names(n, &names);
	if (r == 0)
		attr->nlink = atomic_load(&n->gone) ? 0 : names;
	pthread_mutex_unlock(&n->copying);
	if (r == 0 && attr->nlink == 0 && !cow_node_used(n))
		r = -ESTALE;
	return r;
}

int cow_attr_get(struct cow_ovl_node *n, struct cow_ovl_attr *ret)
{
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	int r;
	if (!atomic_load(&n->has_up)) {
		r = attr_lower(n, &attr);
	} else {
		r = cow_fd_get(n, COW_FD_PATH, &f);
		if (r == 0)
			r = cow_attr_of(n, f->fd, &attr);
	}
	if (r == 0 && cow_node_linked(n))
		r = attr_linked(n, &attr);
	if (r == 0)
		*ret = attr;
	return r;
}

int cow_ovl_getattr(struct cow_ovl_node *n, struct cow_ovl_attr *ret)
{
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	r = cow_attr_get(n, ret);
	cow_inst_leave(n->inst);
	return r;
}

static bool time_ok(const struct cow_ovl_set *set, unsigned bit, const struct timespec *ts)
{
	/* Also keeps UTIME_NOW and UTIME_OMIT, which are large nanoseconds, out of clients' reach.
	 */
	return !(set->mask & bit) || (ts->tv_nsec >= 0 && ts->tv_nsec < NS_PER_S);
}

int cow_set_check(const struct cow_ovl_set *set, mode_t type)
{
	if (set->mask & ~(unsigned)SET_KNOWN)
		return -EINVAL;
	if (set->mask & COW_SET_SIZE && S_ISDIR(type))
		return -EISDIR;
	if (set->mask & COW_SET_SIZE && !S_ISREG(type))
		return -EINVAL;
	if (set->mask & COW_SET_SIZE && set->size > INT64_MAX)
		return -EFBIG;
	if ((set->mask & COW_SET_MODE && set->mode & ~(mode_t)07777) ||
	    (set->mask & COW_SET_UID && set->uid == (uid_t)-1) ||
	    (set->mask & COW_SET_GID && set->gid == (gid_t)-1) ||
	    !time_ok(set, COW_SET_ATIME, &set->atime) || !time_ok(set, COW_SET_MTIME, &set->mtime))
		return -EINVAL;
	return 0;
}

unsigned cow_set_level(const struct cow_ovl_set *set)
{
	return set->mask & COW_SET_SIZE ? COW_FD_WRITE : COW_FD_PATH;
}

void cow_proc_path(int fd, char ret[COW_PROC_PATH_LEN])
{
	(void)snprintf(ret, COW_PROC_PATH_LEN, "/proc/self/fd/%d", fd); /* always fits */
}

int cow_fd_chmod(const struct cow_fd *f, mode_t mode)
{
	char path[COW_PROC_PATH_LEN];
	if (f->level != COW_FD_PATH)
		return fchmod(f->fd, mode) < 0 ? cow_nerr() : 0;
	cow_proc_path(f->fd, path);
	return chmod(path, mode) < 0 ? cow_nerr() : 0;
}

int cow_strip_caps(int fd)
{
	if (fremovexattr(fd, "security.capability") < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return cow_nerr();
	return 0;
}

/* Source: inode(7); since Linux 6.2 the group counts where the group may not execute. */
int cow_strip_for(const struct cow_fd *f, const struct cow_ovl_cred *cred)
{
	struct stat st;
	if (cow_cred_is_root(cred))
		return 0;
	if (fstat(f->fd, &st) < 0)
		return cow_nerr();
	mode_t mode = st.st_mode & 07777 & ~(mode_t)S_ISUID;
	if (mode & S_IXGRP || !cow_cred_has_group(cred, st.st_gid))
		mode &= ~(mode_t)S_ISGID;
	return mode == (st.st_mode & 07777) ? 0 : cow_fd_chmod(f, mode);
}

static int set_size(struct cow_ovl_node *n, const struct cow_fd *f, const struct cow_ovl_cred *cred,
		    uint64_t size)
{
	int r = cow_strip_for(f, cred);
	if (r < 0)
		return r;
	struct cow_reserved none;
	r = cow_limit_grow(n, f->fd, 0, 0, &none); /* to know what is given back */
	if (r < 0)
		return r;
	do {
		r = ftruncate(f->fd, (off_t)size) < 0 ? cow_nerr() : 0;
	} while (r == -EINTR);
	cow_limit_settle(n, f->fd, &none);
	return r;
}

static int set_owner(struct cow_ovl_node *n, const struct cow_fd *f,
		     const struct cow_ovl_cred *cred, const struct cow_ovl_set *set)
{
	uid_t uid = set->mask & COW_SET_UID ? set->uid : (uid_t)-1;
	gid_t gid = set->mask & COW_SET_GID ? set->gid : (gid_t)-1;
	int r = S_ISDIR(n->type) || S_ISLNK(n->type) ? 0 : cow_strip_for(f, cred);
	return r == 0 && fchownat(f->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? cow_nerr() : r;
}

static int set_mode(struct cow_ovl_node *n, const struct cow_fd *f, const struct cow_ovl_cred *cred,
		    mode_t mode)
{
	struct stat st;
	if (S_ISLNK(n->type))
		return 0; /* Linux gives symlinks no mode of their own; NFS clients send one */
	if (fstat(f->fd, &st) < 0)
		return cow_nerr();
	if (!cow_cred_has_group(cred, st.st_gid))
		mode &= ~(mode_t)S_ISGID;
	return cow_fd_chmod(f, mode);
}

static int set_times(const struct cow_fd *f, const struct cow_ovl_set *set)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
	if (set->mask & COW_SET_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	else if (set->mask & COW_SET_ATIME)
		ts[0] = set->atime;
	if (set->mask & COW_SET_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	else if (set->mask & COW_SET_MTIME)
		ts[1] = set->mtime;
	return utimensat(f->fd, "", ts, AT_EMPTY_PATH) < 0 ? cow_nerr() : 0;
}

int cow_set_apply(struct cow_ovl_node *n, const struct cow_fd *f, const struct cow_ovl_cred *cred,
		  const struct cow_ovl_set *set)
{
	int r = 0;
	if (set->mask & COW_SET_SIZE)
		r = set_size(n, f, cred, set->size);
	if (r == 0 && set->mask & (COW_SET_UID | COW_SET_GID))
		r = set_owner(n, f, cred, set);
	if (r == 0 && set->mask & COW_SET_MODE)
		r = set_mode(n, f, cred, set->mode);
	if (r == 0 &&
	    set->mask & (COW_SET_ATIME | COW_SET_MTIME | COW_SET_ATIME_NOW | COW_SET_MTIME_NOW))
		r = set_times(f, set);
	if (set->mask)
		cow_node_bump(n); /* also when it stopped half-way */
	return r;
}

static int setattr_upper(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
			 const struct cow_ovl_set *set)
{
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	int r = cow_fd_get(n, cow_set_level(set), &f);
	if (r == 0)
		r = cow_attr_of(n, f->fd, &attr); /* is it alive? */
	return r < 0 ? r : cow_set_apply(n, f, cred, set);
}

static int setattr_entered(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
			   const struct cow_ovl_set *set, struct cow_ovl_attr *ret)
{
	bool done = false;
	int r = cow_set_check(set, n->type);
	if (r == 0 && set->mask)
		r = cow_bring_up(n, cred, set, &done);
	if (r == 0 && set->mask && !done)
		r = setattr_upper(n, cred, set);
	if (r == 0 && set->mask)
		r = cow_inst_commit(n->inst);
	if (r == 0 && ret)
		r = cow_attr_get(n, ret);
	return r;
}

int cow_ovl_setattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
		    const struct cow_ovl_set *set, struct cow_ovl_attr *ret)
{
	int r = cow_inst_enter_change(n->inst);
	if (r < 0)
		return r;
	r = setattr_entered(n, cred, set, ret);
	cow_inst_leave(n->inst);
	return r;
}

static ssize_t readlink_lower(struct cow_ovl_node *n, char *buf, size_t len)
{
	size_t got;
	if (atomic_load(&n->gone) && !cow_node_used(n))
		return -ESTALE;
	const char *target = cow_man_target(n->inst->img, n->low, &got);
	if (got > len)
		return -ERANGE;
	__builtin_memcpy(buf, target, got);
	return (ssize_t)got;
}

static ssize_t readlink_entered(struct cow_ovl_node *n, char *buf, size_t len)
{
	char target[COW_SYMLINK_MAX + 1];
	cow_autofd f = NULL;
	if (!S_ISLNK(n->type))
		return -EINVAL;
	if (!atomic_load(&n->has_up))
		return readlink_lower(n, buf, len);
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r < 0)
		return r;
	ssize_t got = readlinkat(f->fd, "", target, sizeof(target));
	if (got < 0)
		return cow_nerr();
	if ((size_t)got > len)
		return -ERANGE;
	__builtin_memcpy(buf, target, (size_t)got);
	return got;
}

ssize_t cow_ovl_readlink(struct cow_ovl_node *n, char *buf, size_t len)
{
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	ssize_t got = readlink_entered(n, buf, len);
	cow_inst_leave(n->inst);
	return got;
}

int cow_ovl_statfs(struct cow_ovl_inst *i, struct cow_ovl_statfs *ret)
{
	struct statvfs sv;
	int r = cow_inst_enter(i);
	if (r < 0)
		return r;
	r = fstatvfs(i->treefd, &sv) < 0 ? cow_nerr() : 0;
	cow_inst_leave(i);
	if (r < 0)
		return r;
	*ret = (struct cow_ovl_statfs){
	    .bytes_total = (uint64_t)sv.f_blocks * sv.f_frsize,
	    .bytes_free = (uint64_t)sv.f_bfree * sv.f_frsize,
	    .bytes_avail = (uint64_t)sv.f_bavail * sv.f_frsize,
	    .files_total = sv.f_files,
	    .files_free = sv.f_ffree,
	    .name_max = (uint32_t)sv.f_namemax,
	};
	cow_limit_statfs(i, ret);
	return 0;
}
