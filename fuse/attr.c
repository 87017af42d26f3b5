/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attributes, link targets and the state of the file system.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/bounds.h"
#include "internal.h"

#define BLOCK 4096u

void cow_stat_of(const struct cow_ovl_attr *a, struct stat *ret)
{
	*ret = (struct stat){
	    .st_ino = a->id,
	    .st_mode = a->mode,
	    .st_nlink = a->nlink,
	    .st_uid = a->uid,
	    .st_gid = a->gid,
	    .st_rdev = a->rdev,
	    .st_size = (off_t)a->size,
	    .st_blksize = BLOCK,
	    .st_blocks = (blkcnt_t)((a->bytes_used + 511) / 512),
	    .st_atim = a->atime,
	    .st_mtim = a->mtime,
	    .st_ctim = a->ctime,
	};
}

void cow_entry_of(const struct cow_front *f, struct cow_ovl_node *n, const struct cow_ovl_attr *a,
		  struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
	    .ino = (fuse_ino_t)(uintptr_t)n,
	    .generation = 1,
	    .attr_timeout = f->timeout_s,
	    .entry_timeout = f->timeout_s,
	};
	cow_stat_of(a, &ret->attr);
}

void cow_caller_of(fuse_req_t req, bool groups, struct cow_caller *ret)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	int n = groups && ctx->uid != 0 ? fuse_req_getgroups(req, FRONT_GROUPS, ret->groups) : 0;
	if (n < 0) /* it has gone; nobody is left to profit from a group */
		n = 0;
	if (n > FRONT_GROUPS)
		n = FRONT_GROUPS;
	ret->cred = (struct cow_ovl_cred){
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .groups = ret->groups,
	    .ngroups = (size_t)n,
	};
}

static void reply_attr(fuse_req_t req, const struct cow_ovl_attr *a)
{
	struct stat st;
	cow_stat_of(a, &st);
	(void)fuse_reply_attr(req, &st, cow_front_of(req)->timeout_s);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct cow_ovl_attr a;
	int r = cow_ovl_getattr(cow_node_of(req, ino), &a);
	if (r < 0)
		cow_reply_int(req, r);
	else
		reply_attr(req, &a);
}

static unsigned mask_of(int to_set)
{
	static const struct {
		int theirs;
		unsigned ours;
	} map[] = {
	    {FUSE_SET_ATTR_MODE, COW_SET_MODE},
	    {FUSE_SET_ATTR_UID, COW_SET_UID},
	    {FUSE_SET_ATTR_GID, COW_SET_GID},
	    {FUSE_SET_ATTR_SIZE, COW_SET_SIZE},
	    {FUSE_SET_ATTR_ATIME, COW_SET_ATIME},
	    {FUSE_SET_ATTR_MTIME, COW_SET_MTIME},
	    {FUSE_SET_ATTR_ATIME_NOW, COW_SET_ATIME_NOW},
	    {FUSE_SET_ATTR_MTIME_NOW, COW_SET_MTIME_NOW},
	};
	unsigned mask = 0;
	for (size_t k = 0; k < sizeof(map) / sizeof(*map); k++)
		if (to_set & map[k].theirs)
			mask |= map[k].ours;
	return mask;
}

/* Times the kernel kept for later: of an object that lost its last name meanwhile nobody sees them. */
static bool gathered(const struct cow_front *f, const struct cow_ovl_set *set)
{
	return f->opts.writeback && (set->mask & ~(unsigned)(COW_SET_ATIME | COW_SET_MTIME)) == 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		       struct fuse_file_info *fi)
{
	struct cow_ovl_attr a;
	struct cow_caller who;
	struct cow_ovl_set set = {
	    .mask = mask_of(to_set),
	    .mode = st->st_mode & 07777,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size = (uint64_t)st->st_size,
	    .atime = st->st_atim,
	    .mtime = st->st_mtim,
	};
	/* A mode is what the kernel made of it, by all that the caller may; which bits a new owner or
	 * size costs is left to us. */
	bool strips = set.mask & (COW_SET_UID | COW_SET_GID | COW_SET_SIZE);
	cow_caller_of(req, strips, &who);
	const struct cow_ovl_cred *cred =
	    strips && !(set.mask & COW_SET_MODE) ? &who.cred : &cow_ovl_root_cred;
	unsigned tries = 0;
	int r;
	do { /* it may copy up */
		r = cow_ovl_setattr(cow_node_of(req, ino), cred, &set, &a);
	} while (cow_front_again(req, r, &tries));
	if (r == -ESTALE && gathered(cow_front_of(req), &set))
		r = cow_ovl_getattr(cow_node_of(req, ino), &a);
	if (r < 0)
		cow_reply_int(req, r);
	else
		reply_attr(req, &a);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[COW_SYMLINK_MAX + 1];
	ssize_t n = cow_ovl_readlink(cow_node_of(req, ino), target, sizeof(target) - 1);
	if (n < 0) {
		cow_reply_int(req, (int)n);
		return;
	}
	target[n] = '\0';
	(void)fuse_reply_readlink(req, target);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct cow_front *f = cow_front_of(req);
	struct cow_ovl_statfs s;
	pthread_rwlock_rdlock(&f->swap);
	int r = cow_ovl_statfs(f->inst, &s);
	pthread_rwlock_unlock(&f->swap);
	if (r < 0) {
		cow_reply_int(req, r);
		return;
	}
	struct statvfs v = {
	    .f_bsize = BLOCK,
	    .f_frsize = BLOCK,
	    .f_blocks = s.bytes_total / BLOCK,
	    .f_bfree = s.bytes_free / BLOCK,
	    .f_bavail = s.bytes_avail / BLOCK,
	    .f_files = s.files_total,
	    .f_ffree = s.files_free,
	    .f_favail = s.files_free,
	    .f_namemax = s.name_max,
	};
	(void)fuse_reply_statfs(req, &v);
}

void cow_attr_ops(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->readlink = op_readlink;
	ops->statfs = op_statfs;
}
