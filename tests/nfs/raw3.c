/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "raw3.h"

struct xdr n3_args, n3_res;

struct raw n3_connect(const char *addr, const char *port, uint32_t uid)
{
	return raw_connect(addr, (unsigned)strtoul(port, NULL, 10), uid, uid);
}

void n3_begin(const struct fh3 *h)
{
	n3_args.len = 0;
	x_opaque(&n3_args, h->b, h->len);
}

uint32_t n3_call(struct raw *c, uint32_t proc)
{
	uint32_t r = raw_try(c, 100003, 3, proc, &n3_args, &n3_res);
	return r ? r : r_u32(&n3_res);
}

struct fh3 n3_unhex(const char *s)
{
	struct fh3 h = {.len = strlen(s) / 2};
	if (h.len > N3_FH_MAX || strlen(s) % 2)
		raw_die("no handle: %s", s);
	for (size_t i = 0; i < h.len; i++) {
		char byte[3] = {s[2 * i], s[2 * i + 1], 0};
		h.b[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return h;
}

void n3_print(const struct fh3 *h)
{
	for (size_t i = 0; i < h->len; i++)
		(void)printf("%02x", h->b[i]);
	(void)printf("\n");
}

uint32_t n3_mount(struct raw *c, const char *path, struct fh3 *ret)
{
	n3_args.len = 0;
	x_str(&n3_args, path);
	uint32_t r = raw_try(c, 100005, 3, 1, &n3_args, &n3_res);
	if (r == 0)
		r = r_u32(&n3_res);
	if (r == 0)
		ret->len = r_opaque(&n3_res, ret->b, sizeof(ret->b));
	return r;
}

/* -------------------------------------------------- parts of arguments and results */

static void put_mode(uint32_t mode)
{
	x_u32(&n3_args, 1);
	x_u32(&n3_args, mode);
	for (int i = 0; i < 5; i++)
		x_u32(&n3_args, 0); /* owner, group, size, times: as they are */
}

static void read_attr(struct n3_attr *a)
{
	a->type = r_u32(&n3_res);
	a->mode = r_u32(&n3_res);
	a->nlink = r_u32(&n3_res);
	a->uid = r_u32(&n3_res);
	a->gid = r_u32(&n3_res);
	a->size = r_u64(&n3_res);
	a->used = r_u64(&n3_res);
	r_u64(&n3_res); /* device */
	a->fsid = r_u64(&n3_res);
	a->fileid = r_u64(&n3_res);
	r_u64(&n3_res); /* atime */
	a->mtime_s = r_u32(&n3_res);
	a->mtime_ns = r_u32(&n3_res);
	a->ctime_s = r_u32(&n3_res);
	a->ctime_ns = r_u32(&n3_res);
}

static void skip_attr(void)
{
	if (r_u32(&n3_res))
		r_raw(&n3_res, NULL, 84);
}

static void read_handle(struct fh3 *ret)
{
	WANT("a handle in the reply", r_u32(&n3_res), 1);
	ret->len = r_opaque(&n3_res, ret->b, sizeof(ret->b));
}

static uint32_t name_call(struct raw *c, uint32_t proc, const struct fh3 *dir, const char *name)
{
	n3_begin(dir);
	x_str(&n3_args, name);
	return n3_call(c, proc);
}

static uint32_t made(uint32_t status, struct fh3 *ret)
{
	if (status == 0)
		read_handle(ret);
	return status;
}

/* -------------------------------------------------- calls */

uint32_t n3_lookup(struct raw *c, const struct fh3 *dir, const char *name, struct fh3 *ret)
{
	uint32_t r = name_call(c, P3_LOOKUP, dir, name);
	if (r == 0)
		ret->len = r_opaque(&n3_res, ret->b, sizeof(ret->b));
	return r;
}

uint32_t n3_getattr(struct raw *c, const struct fh3 *h, struct n3_attr *ret)
{
	n3_begin(h);
	uint32_t r = n3_call(c, P3_GETATTR);
	if (r == 0)
		read_attr(ret);
	return r;
}

uint32_t n3_set_mode(struct raw *c, const struct fh3 *h, uint32_t mode)
{
	n3_begin(h);
	put_mode(mode);
	x_u32(&n3_args, 0); /* no guard */
	return n3_call(c, P3_SETATTR);
}

uint32_t n3_set_size(struct raw *c, const struct fh3 *h, uint64_t size)
{
	n3_begin(h);
	for (int i = 0; i < 3; i++)
		x_u32(&n3_args, 0);
	x_u32(&n3_args, 1);
	x_u64(&n3_args, size);
	for (int i = 0; i < 3; i++)
		x_u32(&n3_args, 0);
	return n3_call(c, P3_SETATTR);
}

uint32_t n3_read(struct raw *c, const struct fh3 *h, uint64_t off, void *p, size_t max, size_t *ret,
		 uint32_t *ret_eof)
{
	n3_begin(h);
	x_u64(&n3_args, off);
	x_u32(&n3_args, (uint32_t)max);
	uint32_t r = n3_call(c, P3_READ);
	if (r)
		return r;
	skip_attr();
	r_u32(&n3_res);
	*ret_eof = r_u32(&n3_res);
	*ret = r_opaque(&n3_res, p, max);
	return r;
}

uint32_t n3_write_some(struct raw *c, const struct fh3 *h, uint64_t off, const void *p, size_t len,
		       uint32_t stable, size_t *ret_len)
{
	n3_begin(h);
	x_u64(&n3_args, off);
	x_u32(&n3_args, (uint32_t)len);
	x_u32(&n3_args, stable);
	x_opaque(&n3_args, p, len);
	uint32_t r = n3_call(c, P3_WRITE);
	if (r)
		return r;
	if (r_u32(&n3_res)) /* size and times before */
		r_raw(&n3_res, NULL, 24);
	skip_attr();
	*ret_len = r_u32(&n3_res);
	WANT("stability", r_u32(&n3_res) >= stable, 1);
	return r;
}

uint32_t n3_write(struct raw *c, const struct fh3 *h, uint64_t off, const void *p, size_t len)
{
	size_t n;
	return n3_write_some(c, h, off, p, len, RAW_FILE_SYNC, &n);
}

uint32_t n3_commit(struct raw *c, const struct fh3 *h)
{
	n3_begin(h);
	x_u64(&n3_args, 0);
	x_u32(&n3_args, 0);
	return n3_call(c, P3_COMMIT);
}

uint32_t n3_create(struct raw *c, const struct fh3 *dir, const char *name, uint32_t how,
		   uint64_t verifier, struct fh3 *ret)
{
	n3_begin(dir);
	x_str(&n3_args, name);
	x_u32(&n3_args, how);
	if (how == N3_EXCLUSIVE)
		x_raw(&n3_args, &verifier, 8);
	else
		put_mode(0644);
	return made(n3_call(c, P3_CREATE), ret);
}

uint32_t n3_mkdir(struct raw *c, const struct fh3 *dir, const char *name, uint32_t mode,
		  struct fh3 *ret)
{
	n3_begin(dir);
	x_str(&n3_args, name);
	put_mode(mode);
	return made(n3_call(c, P3_MKDIR), ret);
}

uint32_t n3_symlink(struct raw *c, const struct fh3 *dir, const char *name, const char *target,
		    struct fh3 *ret)
{
	n3_begin(dir);
	x_str(&n3_args, name);
	put_mode(0777);
	x_str(&n3_args, target);
	return made(n3_call(c, P3_SYMLINK), ret);
}

uint32_t n3_readlink(struct raw *c, const struct fh3 *h, char *p, size_t max, size_t *ret)
{
	n3_begin(h);
	uint32_t r = n3_call(c, P3_READLINK);
	if (r)
		return r;
	skip_attr();
	*ret = r_opaque(&n3_res, p, max);
	return r;
}

uint32_t n3_remove(struct raw *c, const struct fh3 *dir, const char *name)
{
	return name_call(c, P3_REMOVE, dir, name);
}

uint32_t n3_rmdir(struct raw *c, const struct fh3 *dir, const char *name)
{
	return name_call(c, P3_RMDIR, dir, name);
}

uint32_t n3_rename(struct raw *c, const struct fh3 *from, const char *name, const struct fh3 *to,
		   const char *name2)
{
	n3_begin(from);
	x_str(&n3_args, name);
	x_opaque(&n3_args, to->b, to->len);
	x_str(&n3_args, name2);
	return n3_call(c, P3_RENAME);
}

uint32_t n3_link(struct raw *c, const struct fh3 *file, const struct fh3 *dir, const char *name)
{
	n3_begin(file);
	x_opaque(&n3_args, dir->b, dir->len);
	x_str(&n3_args, name);
	return n3_call(c, P3_LINK);
}

uint32_t n3_readdir(struct raw *c, const struct fh3 *dir, uint32_t bytes, uint64_t *cookie,
		    uint64_t *verifier, n3_entry entry, void *arg, uint32_t *ret_eof)
{
	char name[256];
	n3_begin(dir);
	x_u64(&n3_args, *cookie);
	x_u64(&n3_args, *verifier);
	x_u32(&n3_args, bytes);
	uint32_t r = n3_call(c, P3_READDIR);
	if (r)
		return r;
	skip_attr();
	*verifier = r_u64(&n3_res);
	while (r_u32(&n3_res)) {
		uint64_t fileid = r_u64(&n3_res);
		name[r_opaque(&n3_res, name, sizeof(name) - 1)] = '\0';
		*cookie = r_u64(&n3_res);
		entry(arg, name, fileid, *cookie);
	}
	*ret_eof = r_u32(&n3_res);
	return r;
}
