/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data of regular files. An open for writing copies the file up; the kernel's pages of it stay good,
 * since the data does not change by that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

/* An open for writing can read as well: the kernel fills partly written pages. */
static unsigned flags_of(int flags)
{
	unsigned f = COW_OPEN_READ;
	if ((flags & O_ACCMODE) != O_RDONLY)
		f |= COW_OPEN_WRITE;
	if (flags & O_TRUNC) /* also of a file opened for reading: the kernel has checked */
		f |= COW_OPEN_WRITE | COW_OPEN_TRUNC;
	return f;
}

/* Take @o over, also on failure, and tell how it is to be used. */
static int give_file(fuse_req_t req, struct fuse_file_info *fi, struct cow_ovl_open *o)
{
	struct cow_front *f = cow_front_of(req);
	struct cow_front_file *x = malloc(sizeof(*x));
	if (!x) {
		cow_ovl_close(o);
		return -ENOMEM;
	}
	x->o = o;
	pthread_mutex_lock(&f->files_m);
	LIST_INSERT_HEAD(&f->files, x, all);
	pthread_mutex_unlock(&f->files_m);
	fi->fh = (uint64_t)(uintptr_t)x;
	fi->keep_cache = !f->opts.observer;
	fi->noflush = !f->opts.writeback; /* nothing of ours waits for a close */
	cow_pass_open(&f->pass, req, o, fi);
	return 0;
}

static void take_file_back(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct cow_front *f = cow_front_of(req);
	struct cow_front_file *x = cow_file_of(fi);
	cow_pass_close(&f->pass, req, x->o);
	pthread_mutex_lock(&f->files_m);
	LIST_REMOVE(x, all);
	pthread_mutex_unlock(&f->files_m);
	cow_ovl_close(x->o);
	free(x);
}

void cow_files_close(struct cow_front *f)
{
	struct cow_front_file *x;
	while ((x = LIST_FIRST(&f->files))) {
		LIST_REMOVE(x, all);
		cow_ovl_close(x->o);
		free(x);
	}
}

/* Whether his writes leave a setgid bit hangs on all his groups. */
static bool groups_matter(fuse_req_t req, struct cow_ovl_node *n, int flags)
{
	struct cow_ovl_attr a;
	return (flags & O_ACCMODE) != O_RDONLY && fuse_req_ctx(req)->uid != 0 &&
	       cow_ovl_getattr(n, &a) == 0 && a.mode & S_ISGID;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct cow_caller who;
	struct cow_ovl_open *o;
	cow_caller_of(req, groups_matter(req, cow_node_of(req, ino), fi->flags), &who);
	unsigned tries = 0;
	int r;
	do { /* it may copy up */
		r = cow_ovl_open(cow_node_of(req, ino), &who.cred, flags_of(fi->flags), &o);
	} while (cow_front_again(req, r, &tries));
	if (r == 0)
		r = give_file(req, fi, o);
	if (r < 0)
		cow_reply_int(req, r);
	else if (fuse_reply_open(req, fi) != 0)
		take_file_back(req, fi); /* nobody else will */
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct cow_caller who;
	struct cow_ovl_node *n;
	struct cow_ovl_attr a;
	struct cow_ovl_open *o;
	struct cow_ovl_create how = {.type = S_IFREG, .mode = mode & 07777};
	int r = cow_front_make(req, parent, name, &how, &n, &a);
	if (r < 0) {
		cow_reply_int(req, r);
		return;
	}
	cow_caller_of(req, false, &who);
	r = cow_ovl_open(n, &who.cred, flags_of(fi->flags) & ~(unsigned)COW_OPEN_TRUNC, &o);
	if (r == 0)
		r = give_file(req, fi, o);
	if (r < 0) {
		cow_ovl_put(n);
		cow_reply_int(req, r);
		return;
	}
	struct fuse_entry_param e;
	cow_entry_of(cow_front_of(req), n, &a, &e);
	if (fuse_reply_create(req, &e, fi) != 0) {
		take_file_back(req, fi);
		cow_ovl_put(n);
	}
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	take_file_back(req, fi);
	cow_reply_int(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct iovec iov = {.iov_base = malloc(size), .iov_len = size};
	if (!iov.iov_base) {
		cow_reply_int(req, -ENOMEM);
		return;
	}
	ssize_t n = cow_ovl_read_cached(cow_open_of(fi), &iov, 1, (uint64_t)off);
	if (n == -EAGAIN) {
		cow_turn_slow(&cow_front_of(req)->turn);
		n = cow_ovl_read(cow_open_of(fi), &iov, 1, (uint64_t)off);
	}
	if (n < 0)
		cow_reply_int(req, (int)n);
	else
		(void)fuse_reply_buf(req, iov.iov_base, (size_t)n);
	free(iov.iov_base);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	/* Only read, whatever the type says. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = size};
	/* Gathered writes come through any open of the file; the kernel gathers none that strip. */
	unsigned flags = fi->writepage ? COW_WRITE_GATHERED : 0;
	unsigned tries = 0;
	ssize_t n;
	do {
		n = cow_ovl_write(cow_open_of(fi), &iov, 1, (uint64_t)off, flags);
	} while (cow_front_again(req, n, &tries));
	if (n < 0)
		cow_reply_int(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct cow_ovl_node *n = cow_node_of(req, ino);
	int r = cow_front_of(req)->opts.observer ? 0 /* nothing of ours to write */
		: datasync			 ? cow_ovl_commit(n)
						 : cow_ovl_fsync(n);
	cow_reply_int(req, r);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	unsigned tries = 0;
	int r;
	do {
		r = cow_ovl_fallocate(cow_open_of(fi), mode, (uint64_t)off, (uint64_t)len);
	} while (cow_front_again(req, r, &tries));
	cow_reply_int(req, r);
}

/*
 * What programs wrote to a mapping, or the kernel gathered, is not here yet and looks like a hole. So
 * while anybody may write, all of the file is data.
 */
static int seek_in_written(struct cow_ovl_node *n, uint64_t off, int whence, uint64_t *ret)
{
	struct cow_ovl_attr a;
	int r = cow_ovl_getattr(n, &a);
	if (r < 0)
		return r;
	if (off >= a.size)
		return -ENXIO;
	*ret = whence == SEEK_DATA ? off : a.size;
	return 0;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	uint64_t at;
	struct cow_ovl_node *n = cow_node_of(req, ino);
	if (cow_front_of(req)->opts.writeback) { /* only the kernel knows the size: let it answer */
		cow_reply_int(req, -ENOSYS);
		return;
	}
	int r = cow_ovl_writers(n) > 0 ? seek_in_written(n, (uint64_t)off, whence, &at)
				       : cow_ovl_seek(cow_open_of(fi), (uint64_t)off, whence, &at);
	if (r < 0)
		cow_reply_int(req, r);
	else
		(void)fuse_reply_lseek(req, (off_t)at);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t in_ino, off_t in_off,
			       struct fuse_file_info *in, fuse_ino_t out_ino, off_t out_off,
			       struct fuse_file_info *out, size_t len, int flags)
{
	ssize_t n = cow_ovl_copy(cow_open_of(in), (uint64_t)in_off, cow_open_of(out),
				 (uint64_t)out_off, len);
	if (n < 0)
		cow_reply_int(req, (int)n);
	else
		(void)fuse_reply_write(req, (size_t)n);
}

void cow_file_ops(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->release = op_release;
	ops->read = op_read;
	ops->write = op_write;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
}
