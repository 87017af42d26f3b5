/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data of regular files. An open pins an fd, so the data outlives the last name; all opens of a
 * node share one fd where their access allows it.
 */
#include <errno.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "internal.h"

#define OPEN_KNOWN (COW_OPEN_READ | COW_OPEN_WRITE | COW_OPEN_TRUNC | COW_OPEN_STAY)

static int open_check(const struct cow_ovl_node *n, unsigned flags)
{
	if (flags & ~(unsigned)OPEN_KNOWN || !(flags & (COW_OPEN_READ | COW_OPEN_WRITE)) ||
	    (flags & COW_OPEN_TRUNC && !(flags & COW_OPEN_WRITE)) ||
	    (flags & COW_OPEN_STAY && flags & COW_OPEN_WRITE))
		return -EINVAL;
	if (S_ISDIR(n->type))
		return -EISDIR;
	return S_ISREG(n->type) ? 0 : -EINVAL;
}

/* For writing an object of the image is brought up, with as much of its data as survives. */
static int open_up(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, unsigned flags)
{
	static const struct cow_ovl_set cut = {.mask = COW_SET_SIZE, .size = 0};
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	bool done = false;
	int r = cow_bring_up(n, cred, flags & COW_OPEN_TRUNC ? &cut : NULL, &done);
	if (r < 0 || !(flags & COW_OPEN_TRUNC))
		return r;
	if (!done) {
		r = cow_fd_get(n, COW_FD_WRITE, &f);
		if (r == 0)
			r = cow_attr_of(n, f->fd, &attr); /* is it alive? */
		if (r == 0)
			r = cow_set_apply(n, f, cred, &cut);
	}
	return r < 0 ? r : cow_inst_commit(n->inst);
}

/* Brought up between getting the fd and counting as an open: nobody keeps the upper for us then. */
static int went_up_meanwhile(struct cow_ovl_open *o)
{
	cow_autofd f = NULL;
	if (!o->fd->lower || !atomic_load(&o->node->has_up))
		return 0;
	int r = cow_fd_get(o->node, COW_FD_READ, &f);
	if (r < 0)
		return r;
	cow_fd_put(o->fd);
	o->fd = cow_steal_ptr(&f);
	return 0;
}

static int open_entered(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, unsigned flags,
			struct cow_ovl_open **ret)
{
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	int r = flags & COW_OPEN_WRITE ? open_up(n, cred, flags) : 0;
	if (r == 0)
		r = cow_fd_get(n, flags & COW_OPEN_WRITE ? COW_FD_WRITE : COW_FD_READ, &f);
	if (r == 0 && !f->lower)
		r = cow_attr_of(n, f->fd, &attr);
	if (r == 0 && atomic_load(&n->gone) && !cow_node_used(n))
		r = -ESTALE;
	if (r != 0)
		return r;
	size_t ngroups = cow_cred_is_root(cred) ? 0 : cred->ngroups;
	struct cow_ovl_open *o = malloc(sizeof(*o) + ngroups * sizeof(*o->groups));
	if (!o)
		return -ENOMEM;
	*o = (struct cow_ovl_open){
	    .node = cow_ovl_get(n),
	    .fd = cow_steal_ptr(&f),
	    .flags = flags,
	    .who = cow_cred_is_root(cred) ? cow_ovl_root_cred : *cred,
	};
	if (ngroups > 0)
		memcpy(o->groups, cred->groups, ngroups * sizeof(*o->groups));
	o->who.groups = o->groups;
	o->who.ngroups = ngroups;
	atomic_fetch_add(&n->opens, 1);
	if (flags & COW_OPEN_WRITE)
		atomic_fetch_add(&n->writers, 1);
	atomic_fetch_add(&n->inst->opens, 1);
	r = went_up_meanwhile(o);
	if (r < 0) {
		cow_ovl_close(o);
		return r;
	}
	*ret = o;
	return 0;
}

int cow_ovl_open(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, unsigned flags,
		 struct cow_ovl_open **ret)
{
	int r = open_check(n, flags);
	if (r == 0)
		r = flags & COW_OPEN_WRITE ? cow_inst_enter_change(n->inst) : cow_node_enter(n);
	if (r < 0)
		return r;
	r = open_entered(n, cred, flags, ret);
	cow_inst_leave(n->inst);
	return r;
}

/* Data of an open: its own fd, unless that is the image's and the object was brought up since. The
 * other one is put by the caller. */
static int data_fd(struct cow_ovl_open *o, struct cow_fd **ret)
{
	if (o->flags & COW_OPEN_STAY || !o->fd->lower || !atomic_load(&o->node->has_up)) {
		*ret = NULL;
		return o->fd->fd;
	}
	int r = cow_fd_get(o->node, COW_FD_READ, ret);
	return r < 0 ? r : (*ret)->fd;
}

void cow_ovl_close(struct cow_ovl_open *o)
{
	if (!o)
		return;
	if (o->flags & COW_OPEN_WRITE)
		atomic_fetch_sub(&o->node->writers, 1);
	bool last = atomic_fetch_sub(&o->node->opens, 1) == 1;
	atomic_fetch_sub(&o->node->inst->opens, 1);
	cow_fd_put(o->fd);
	if (last) {
		cow_unpin(o->node);
		cow_limit_closed(o->node);
	}
	cow_ovl_put(o->node);
	free(o);
}

int cow_ovl_backing(struct cow_ovl_open *o)
{
	const struct cow_ovl_inst *i = o->node->inst;
	if (i->flags & COW_OVL_OBSERVER)
		return -EROFS;
	if (atomic_load(&i->limit) != 0)
		return -EDQUOT;
	if (o->fd->lower)
		return -EXDEV;
	if (o->flags & COW_OPEN_WRITE)
		atomic_store(&o->node->dirty, true);
	return o->fd->fd;
}

unsigned cow_ovl_writers(const struct cow_ovl_node *n)
{
	return atomic_load(&n->writers);
}

bool cow_ovl_open_is_golden(const struct cow_ovl_open *o)
{
	return o->fd->lower && (o->flags & COW_OPEN_STAY || !atomic_load(&o->node->has_up));
}

int cow_ovl_open_golden_id(const struct cow_ovl_open *o, uint64_t *ret_dev, uint64_t *ret_ino)
{
	struct stat st;
	if (!o->fd->lower || !(o->flags & COW_OPEN_STAY))
		return -ENOENT;
	if (fstat(o->fd->fd, &st) < 0)
		return cow_nerr();
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	return 0;
}

struct cow_ovl_node *cow_ovl_open_node(const struct cow_ovl_open *o)
{
	return o->node;
}

static int enter_open(struct cow_ovl_open *o, unsigned need)
{
	if (!(o->flags & need))
		return -EBADF;
	return need == COW_OPEN_WRITE ? cow_inst_enter_change(o->node->inst)
				      : cow_node_enter(o->node);
}

/* Length and end of a transfer. */
static int iov_check(const struct iovec *iov, int iovcnt, uint64_t off, size_t *ret_total)
{
	size_t total = 0;
	uint64_t end;
	if (iovcnt < 0 || iovcnt > IOV_MAX)
		return -EINVAL;
	for (int k = 0; k < iovcnt; k++)
		if (!cow_add_ok(total, iov[k].iov_len, &total))
			return -EINVAL;
	if (total > SSIZE_MAX)
		return -EINVAL;
	if (!cow_add_ok(off, (uint64_t)total, &end) || end > INT64_MAX)
		return -EFBIG;
	*ret_total = total;
	return 0;
}

typedef ssize_t (*io_fn)(int fd, const struct iovec *iov, int iovcnt, off_t off);

static ssize_t io_read(int fd, const struct iovec *iov, int iovcnt, off_t off)
{
	return preadv(fd, iov, iovcnt, off);
}

static ssize_t io_write(int fd, const struct iovec *iov, int iovcnt, off_t off)
{
	return pwritev(fd, iov, iovcnt, off);
}

/* The rest of a transfer the kernel cut short, piece by piece. An error counts only when nothing at
 * all was moved before it. */
static ssize_t io_rest(io_fn io, int fd, const struct iovec *iov, int iovcnt, uint64_t off,
		       size_t done)
{
	size_t base = 0; /* bytes of the pieces before this one */
	for (int k = 0; k < iovcnt; base += iov[k++].iov_len)
		while (done < base + iov[k].iov_len) {
			struct iovec one = {
			    .iov_base = (uint8_t *)iov[k].iov_base + (done - base),
			    .iov_len = iov[k].iov_len - (done - base),
			};
			ssize_t n = io(fd, &one, 1, (off_t)(off + done));
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && done == 0)
				return cow_nerr();
			if (n <= 0)
				return (ssize_t)done;
			done += (size_t)n;
		}
	return (ssize_t)done;
}

static ssize_t io_all(io_fn io, int fd, const struct iovec *iov, int iovcnt, uint64_t off,
		      size_t total)
{
	ssize_t n = io(fd, iov, iovcnt, (off_t)off);
	if (n < 0 && errno != EINTR)
		return cow_nerr();
	if (n < 0)
		n = 0;
	return (size_t)n == total ? n : io_rest(io, fd, iov, iovcnt, off, (size_t)n);
}

/* All of it at once, or nothing: a short answer is the end of the file or of what is cached. */
static ssize_t cached_all(int fd, const struct iovec *iov, int iovcnt, uint64_t off, size_t total)
{
	struct stat st;
	ssize_t n = preadv2(fd, iov, iovcnt, (off_t)off, RWF_NOWAIT);
	if (n < 0 || (size_t)n == total)
		return n < 0 ? -EAGAIN : n;
	bool ends = fstat(fd, &st) == 0 && off + (uint64_t)n >= (uint64_t)st.st_size;
	return ends ? n : -EAGAIN;
}

typedef ssize_t (*read_fn)(int fd, const struct iovec *iov, int iovcnt, uint64_t off, size_t total);

static ssize_t read_all(int fd, const struct iovec *iov, int iovcnt, uint64_t off, size_t total)
{
	return io_all(io_read, fd, iov, iovcnt, off, total);
}

static ssize_t read_by(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt, uint64_t off,
		       read_fn fn)
{
	size_t total;
	int r = iov_check(iov, iovcnt, off, &total);
	if (r == -EFBIG) /* nothing can be there */
		r = off > INT64_MAX ? -EINVAL : r;
	if (r == 0)
		r = enter_open(o, COW_OPEN_READ);
	if (r < 0)
		return r;
	cow_autofd other = NULL;
	int fd = data_fd(o, &other);
	ssize_t n = fd < 0 ? fd : fn(fd, iov, iovcnt, off, total);
	cow_inst_leave(o->node->inst);
	return n;
}

ssize_t cow_ovl_read(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt, uint64_t off)
{
	return read_by(o, iov, iovcnt, off, read_all);
}

ssize_t cow_ovl_read_cached(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt,
			    uint64_t off)
{
	return read_by(o, iov, iovcnt, off, cached_all);
}

/*
 * fdatasync(2) makes data findable by its inode, not by a name: ext4 does not commit the link that put
 * a copy in place of the image's file when what was written needed no new blocks. After a power cut
 * the image's file would show again, without what was acknowledged.
 */
static int sync_file(struct cow_ovl_node *n, int fd, bool data_only)
{
	int r = cow_sync_whole(n->inst) ? 0 : cow_inst_settle(n->inst);
	return r < 0 ? r : cow_sync_fd(n->inst, fd, data_only);
}

static int sync_data(struct cow_ovl_node *n, int fd)
{
	return n->inst->durability == COW_OVL_VOLATILE ? 0 : sync_file(n, fd, true);
}

static ssize_t write_entered(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt,
			     uint64_t off, size_t total, unsigned flags)
{
	int r = flags & COW_WRITE_GATHERED ? 0 : cow_strip_for(o->fd, &o->who);
	if (r < 0)
		return r;
	struct cow_reserved res;
	r = cow_limit_grow(o->node, o->fd->fd, off, total, &res);
	if (r < 0)
		return r;
	atomic_store(&o->node->dirty, true);
	ssize_t n = io_all(io_write, o->fd->fd, iov, iovcnt, off, total);
	cow_limit_settle(o->node, o->fd->fd, &res);
	cow_node_bump(o->node);
	if (n > 0 && flags & COW_WRITE_STABLE)
		r = sync_data(o->node, o->fd->fd);
	return r < 0 ? r : n;
}

ssize_t cow_ovl_write(struct cow_ovl_open *o, const struct iovec *iov, int iovcnt, uint64_t off,
		      unsigned flags)
{
	size_t total;
	int r = flags & ~(unsigned)(COW_WRITE_STABLE | COW_WRITE_GATHERED)
		    ? -EINVAL
		    : iov_check(iov, iovcnt, off, &total);
	if (r == 0)
		r = enter_open(o, COW_OPEN_WRITE);
	if (r < 0)
		return r;
	ssize_t n = write_entered(o, iov, iovcnt, off, total, flags);
	cow_inst_leave(o->node->inst);
	return n;
}

static bool fallocate_known(int mode)
{
	return mode == 0 || mode == FALLOC_FL_KEEP_SIZE || mode == FALLOC_FL_ZERO_RANGE ||
	       mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ||
	       mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

static int range_check(uint64_t off, uint64_t len)
{
	uint64_t end;
	return cow_add_ok(off, len, &end) && end <= INT64_MAX ? 0 : -EFBIG;
}

static int fallocate_entered(struct cow_ovl_open *o, int mode, uint64_t off, uint64_t len)
{
	int r = cow_strip_for(o->fd, &o->who);
	if (r == 0)
		r = cow_strip_caps(o->fd->fd); /* btrfs leaves them where nothing was allocated */
	if (r < 0)
		return r;
	struct cow_reserved res;
	r = cow_limit_grow(o->node, o->fd->fd, off, mode & FALLOC_FL_PUNCH_HOLE ? 0 : len, &res);
	if (r < 0)
		return r;
	atomic_store(&o->node->dirty, true);
	do {
		r = fallocate(o->fd->fd, mode, (off_t)off, (off_t)len) < 0 ? cow_nerr() : 0;
	} while (r == -EINTR);
	cow_limit_settle(o->node, o->fd->fd, &res);
	cow_node_bump(o->node);
	return r == 0 && o->node->inst->durability == COW_OVL_STRICT ? sync_data(o->node, o->fd->fd)
								     : r;
}

int cow_ovl_fallocate(struct cow_ovl_open *o, int mode, uint64_t off, uint64_t len)
{
	int r = fallocate_known(mode) ? range_check(off, len) : -EOPNOTSUPP;
	if (r == 0)
		r = enter_open(o, COW_OPEN_WRITE);
	if (r < 0)
		return r;
	r = fallocate_entered(o, mode, off, len);
	cow_inst_leave(o->node->inst);
	return r;
}

int cow_ovl_seek(struct cow_ovl_open *o, uint64_t off, int whence, uint64_t *ret_off)
{
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (off > INT64_MAX)
		return -ENXIO;
	int r = cow_node_enter(o->node);
	if (r < 0)
		return r;
	cow_autofd other = NULL;
	int fd = data_fd(o, &other);
	/* Moves the position of the shared fd too, which nothing of ours looks at. */
	off_t at = fd < 0 ? -1 : lseek(fd, (off_t)off, whence);
	r = fd < 0 ? fd : at < 0 ? cow_nerr() : 0;
	cow_inst_leave(o->node->inst);
	if (r == 0)
		*ret_off = (uint64_t)at;
	return r;
}

static int commit_entered(struct cow_ovl_node *n, bool data_only)
{
	cow_autofd f = NULL;
	if (n->inst->durability == COW_OVL_VOLATILE)
		return 0;
	if (!atomic_load(&n->has_up)) /* the image's: durable since it was published */
		return 0;
	if (!S_ISREG(n->type))
		return cow_domain_commit(n->inst->domain, n->inst);
	int r = cow_fd_get(n, COW_FD_READ, &f); /* the one written through, if it is still open */
	if (r < 0)
		return r;
	atomic_store(&n->dirty, false);
	r = sync_file(n, f->fd, data_only);
	int before = atomic_exchange(&n->wb_err, 0);
	return before < 0 ? before : r;
}

static int commit(struct cow_ovl_node *n, bool data_only)
{
	int r = cow_inst_enter_change(n->inst);
	if (r < 0)
		return r;
	r = commit_entered(n, data_only);
	cow_inst_leave(n->inst);
	return r;
}

int cow_ovl_commit(struct cow_ovl_node *n)
{
	return commit(n, true);
}

int cow_ovl_fsync(struct cow_ovl_node *n)
{
	return commit(n, false);
}

/* Both ends checked as FICLONERANGE does, so that the copy behaves like the clone it replaces. */
static int clone_check(struct cow_ovl_open *src, int src_fd, uint64_t src_off,
		       struct cow_ovl_open *dst, uint64_t dst_off, uint64_t *len)
{
	struct stat st;
	if (fstat(src_fd, &st) < 0)
		return cow_nerr();
	uint64_t size = (uint64_t)st.st_size;
	if (src_off > size || *len > size - src_off)
		return -EINVAL;
	if (*len == 0)
		*len = size - src_off;
	if (src->node == dst->node && src_off < dst_off + *len && dst_off < src_off + *len)
		return -EINVAL;
	return 0;
}

static int copy_range(int in, uint64_t in_off, int out, uint64_t out_off, uint64_t len)
{
	off_t from = (off_t)in_off, to = (off_t)out_off;
	while (len > 0) {
		ssize_t n = copy_file_range(in, &from, out, &to, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cow_nerr();
		if (n == 0) /* the source was cut meanwhile */
			return -EIO;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Whether the image shares a file system with the upper is no business of clients. */
static bool from_image(const struct cow_ovl_open *o)
{
	return o->fd->lower;
}

static int clone_entered(struct cow_ovl_open *src, uint64_t src_off, struct cow_ovl_open *dst,
			 uint64_t dst_off, uint64_t len)
{
	cow_autofd other = NULL;
	int src_fd = data_fd(src, &other);
	struct file_clone_range range = {
	    .src_fd = src_fd,
	    .src_offset = src_off,
	    .src_length = len,
	    .dest_offset = dst_off,
	};
	int r = src_fd < 0 ? src_fd : clone_check(src, src_fd, src_off, dst, dst_off, &len);
	if (r < 0 || len == 0)
		return r;
	r = cow_strip_for(dst->fd, &dst->who);
	if (r < 0)
		return r;
	struct cow_reserved res;
	r = cow_limit_grow(dst->node, dst->fd->fd, dst_off, len, &res);
	if (r < 0)
		return r;
	atomic_store(&dst->node->dirty, true);
	r = ioctl(dst->fd->fd, FICLONERANGE, &range) < 0 ? cow_nerr() : 0;
	if (r == -EOPNOTSUPP || r == -ENOTTY || r == -EINVAL ||
	    (r == -EXDEV && from_image(src))) /* no reflinks, or odd block borders */
		r = copy_range(src_fd, src_off, dst->fd->fd, dst_off, len);
	cow_limit_settle(dst->node, dst->fd->fd, &res);
	cow_node_bump(dst->node);
	return r == 0 && dst->node->inst->durability == COW_OVL_STRICT
		   ? sync_data(dst->node, dst->fd->fd)
		   : r;
}

static int clone_enter(struct cow_ovl_inst *src, struct cow_ovl_inst *dst)
{
	int r;
	if (src == dst)
		return cow_inst_enter_change(dst);
	/* Lower address first: each may have a closer waiting that stops new readers. */
	if ((uintptr_t)src < (uintptr_t)dst) {
		r = cow_inst_enter(src);
		if (r < 0)
			return r;
		r = cow_inst_enter_change(dst);
		if (r < 0)
			cow_inst_leave(src);
		return r;
	}
	r = cow_inst_enter_change(dst);
	if (r < 0)
		return r;
	r = cow_inst_enter(src);
	if (r < 0)
		cow_inst_leave(dst);
	return r;
}

int cow_ovl_clone(struct cow_ovl_open *src, uint64_t src_off, struct cow_ovl_open *dst,
		  uint64_t dst_off, uint64_t len)
{
	struct cow_ovl_inst *from = src->node->inst, *to = dst->node->inst;
	if (!(src->flags & COW_OPEN_READ) || !(dst->flags & COW_OPEN_WRITE))
		return -EBADF;
	int r = range_check(src_off, len);
	if (r == 0)
		r = range_check(dst_off, len);
	if (r == 0)
		r = clone_enter(from, to);
	if (r < 0)
		return r;
	r = from != to && from->dev != to->dev && !(from->btrfs && to->btrfs)
		? -EXDEV
		: clone_entered(src, src_off, dst, dst_off, len);
	cow_inst_leave(to);
	if (from != to)
		cow_inst_leave(from);
	return r;
}

ssize_t cow_ovl_copy(struct cow_ovl_open *src, uint64_t src_off, struct cow_ovl_open *dst,
		     uint64_t dst_off, uint64_t len)
{
	struct cow_ovl_attr attr;
	int r = cow_ovl_getattr(src->node, &attr);
	if (r < 0)
		return r;
	if (src_off >= attr.size || len == 0)
		return 0;
	if (len > attr.size - src_off)
		len = attr.size - src_off;
	r = cow_ovl_clone(src, src_off, dst, dst_off, len);
	return r < 0 ? r : (ssize_t)len;
}
