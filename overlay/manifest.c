/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Questions to a loaded manifest, answered from memory. The records were checked when the image was
 * loaded (image_check.c); nothing here looks at a range again.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/bounds.h"
#include "image_internal.h"

static uint64_t cookie_at(const struct cow_ovl_image *img, size_t dirent)
{
	return cow_get_le64(img->dirents[dirent].cookie);
}

static void fill_ent(const struct cow_ovl_image *img, size_t dirent, struct cow_man_ent *ret)
{
	const struct cow_ovm_dirent *d = &img->dirents[dirent];
	*ret = (struct cow_man_ent){
	    .name = img->strings + cow_get_le32(d->name),
	    .len = d->name_len,
	    .cookie = cow_get_le64(d->cookie),
	    .ino = cow_get_le32(d->ino),
	    .type = (mode_t)d->type << 12,
	};
}

bool cow_man_has(const struct cow_ovl_image *img, uint32_t ino)
{
	return ino < img->info.next_number && cow_image_mode(cow_image_inode(img, ino)) != 0;
}

mode_t cow_man_type(const struct cow_ovl_image *img, uint32_t ino)
{
	return cow_image_mode(cow_image_inode(img, ino)) & S_IFMT;
}

static struct timespec time_of(const uint8_t s[8], const uint8_t ns[4])
{
	return (struct timespec){
	    .tv_sec = (time_t)(int64_t)cow_get_le64(s),
	    .tv_nsec = (long)cow_get_le32(ns),
	};
}

void cow_man_attr(const struct cow_ovl_image *img, uint32_t ino, struct cow_ovl_attr *ret)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	mode_t mode = cow_image_mode(n);
	bool device = S_ISCHR(mode) || S_ISBLK(mode);
	*ret = (struct cow_ovl_attr){
	    .id = ino,
	    .change = cow_get_le64(n->ctime) * 1000000000u + cow_get_le32(n->ctime_ns),
	    .size = cow_get_le64(n->size),
	    .bytes_used = cow_get_le64(n->blocks) * 512,
	    .mode = mode,
	    .nlink = cow_get_le32(n->nlink),
	    .uid = cow_get_le32(n->uid),
	    .gid = cow_get_le32(n->gid),
	    .rdev = device ? makedev(cow_get_le32(n->a), cow_get_le32(n->b)) : 0,
	    .atime = time_of(n->atime, n->atime_ns),
	    .mtime = time_of(n->mtime, n->mtime_ns),
	    .ctime = time_of(n->ctime, n->ctime_ns),
	};
}

uint64_t cow_man_hash(const struct cow_ovl_image *img, const char *name, size_t len)
{
	return cow_ovm_hash(img->head->hash_key, name, len);
}

/* ---------------------------------------------------------------- directories */

/* Children of a directory: a range of DIRENTS. */
struct range {
	size_t first, end;
};

static struct range children(const struct cow_ovl_image *img, uint32_t dir)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, dir);
	assert(S_ISDIR(cow_image_mode(n)));
	size_t first = cow_get_le32(n->a);
	return (struct range){.first = first, .end = first + cow_get_le32(n->b)};
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * First dirent of the range whose cookie is @cookie or more. Cookies are keyed hashes below 2^63 and
 * lie evenly: look where it would be and widen from there, which touches a cache line or two.
 */
static size_t lower_bound(const struct cow_ovl_image *img, struct range in, uint64_t cookie)
{
	size_t lo = in.first, hi = in.end, step = 1;
	size_t at = lo + (size_t)(((cookie >> 31) * (hi - lo)) >> 32);
	if (at >= hi)
		at = hi > lo ? hi - 1 : hi;
	while (lo < hi) {
		if (cookie_at(img, at) < cookie) {
			lo = at + 1;
			at = lo + min_size(step - 1, (hi - lo) / 2);
		} else {
			hi = at;
			at = hi - min_size(step, (hi - lo + 1) / 2);
		}
		if (step < hi - lo)
			step *= 2;
	}
	return lo;
}

size_t cow_man_nchild(const struct cow_ovl_image *img, uint32_t dir)
{
	struct range in = children(img, dir);
	return in.end - in.first;
}

void cow_man_child(const struct cow_ovl_image *img, uint32_t dir, size_t idx,
		   struct cow_man_ent *ret)
{
	struct range in = children(img, dir);
	assert(idx < in.end - in.first);
	fill_ent(img, in.first + idx, ret);
}

bool cow_man_find(const struct cow_ovl_image *img, uint32_t dir, const char *name, size_t len,
		  struct cow_man_ent *ret)
{
	struct range in = children(img, dir);
	if (len == 0 || len > COW_NAME_MAX || in.first == in.end)
		return false;
	/* From a name's hash to its cookie every value is in use. */
	uint64_t cookie = cow_man_hash(img, name, len);
	size_t at = lower_bound(img, in, cookie);
	for (; at < in.end && cookie_at(img, at) == cookie; at++, cookie++) {
		const struct cow_ovm_dirent *d = &img->dirents[at];
		__builtin_prefetch(cow_image_inode(img, cow_get_le32(d->ino))); /* asked for next */
		if (d->name_len != len ||
		    memcmp(img->strings + cow_get_le32(d->name), name, len) != 0)
			continue;
		fill_ent(img, at, ret);
		return true;
	}
	return false;
}

size_t cow_man_after(const struct cow_ovl_image *img, uint32_t dir, uint64_t cookie)
{
	struct range in = children(img, dir);
	if (cookie >= INT64_MAX)
		return in.end - in.first;
	return lower_bound(img, in, cookie + 1) - in.first;
}

bool cow_man_at_cookie(const struct cow_ovl_image *img, uint32_t dir, uint64_t cookie,
		       struct cow_man_ent *ret)
{
	struct range in = children(img, dir);
	size_t at = lower_bound(img, in, cookie);
	if (at == in.end || cookie_at(img, at) != cookie)
		return false;
	fill_ent(img, at, ret);
	return true;
}

static int by_name(const void *pa, const void *pb)
{
	const struct cow_man_ent *a = pa, *b = pb;
	return strcmp(a->name, b->name);
}

int cow_man_sorted(const struct cow_ovl_image *img, uint32_t dir, struct cow_man_ent **ret)
{
	size_t n = cow_man_nchild(img, dir);
	struct cow_man_ent *list = reallocarray(NULL, n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t k = 0; k < n; k++)
		cow_man_child(img, dir, k, &list[k]);
	qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	return 0;
}

/* ---------------------------------------------------------------- names of an object */

size_t cow_man_nnames(const struct cow_ovl_image *img, uint32_t ino)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	if (ino == COW_MAN_ROOT)
		return 0;
	return S_ISDIR(cow_image_mode(n)) ? 1 : cow_get_le32(n->nlink);
}

void cow_man_name(const struct cow_ovl_image *img, uint32_t ino, size_t idx, uint32_t *ret_parent,
		  struct cow_man_ent *ret)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	assert(idx < cow_man_nnames(img, ino));
	size_t at = cow_get_le32(n->dirent);
	if (idx > 0)
		at = cow_get_le32(img->hlinks[cow_get_le32(n->hlink) + idx].dirent);
	fill_ent(img, at, ret);
	*ret_parent = cow_get_le32(img->dirents[at].dir);
}

/* ---------------------------------------------------------------- what belongs to a type */

const char *cow_man_target(const struct cow_ovl_image *img, uint32_t ino, size_t *ret_len)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	assert(S_ISLNK(cow_image_mode(n)));
	*ret_len = cow_get_le32(n->b);
	return img->strings + cow_get_le32(n->a);
}

const uint8_t *cow_man_digest(const struct cow_ovl_image *img, uint32_t ino)
{
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	assert(S_ISREG(cow_image_mode(n)));
	return img->digests[cow_get_le32(n->a)].sha256;
}

size_t cow_man_nxattr(const struct cow_ovl_image *img, uint32_t ino)
{
	uint32_t set = cow_get_le32(cow_image_inode(img, ino)->xset);
	return set ? cow_get_le32(img->xsets[set - 1].count) : 0;
}

void cow_man_xattr(const struct cow_ovl_image *img, uint32_t ino, size_t idx, const char **ret_name,
		   const void **ret_value, size_t *ret_len)
{
	assert(idx < cow_man_nxattr(img, ino));
	uint32_t set = cow_get_le32(cow_image_inode(img, ino)->xset);
	const struct cow_ovm_xattr *x = &img->xattrs[cow_get_le32(img->xsets[set - 1].first) + idx];
	*ret_name = img->strings + cow_get_le32(x->name);
	*ret_value = img->values + cow_get_le32(x->value);
	*ret_len = cow_get_le32(x->value_len);
}

bool cow_man_same_xattrs(const struct cow_ovl_image *a, uint32_t a_ino,
			 const struct cow_ovl_image *b, uint32_t b_ino)
{
	size_t count = cow_man_nxattr(a, a_ino);
	if (count != cow_man_nxattr(b, b_ino))
		return false;
	for (size_t k = 0; k < count; k++) {
		const char *a_name, *b_name;
		const void *a_value, *b_value;
		size_t a_len, b_len;
		cow_man_xattr(a, a_ino, k, &a_name, &a_value, &a_len);
		cow_man_xattr(b, b_ino, k, &b_name, &b_value, &b_len);
		if (strcmp(a_name, b_name) != 0 || a_len != b_len ||
		    memcmp(a_value, b_value, a_len) != 0)
			return false;
	}
	return true;
}

int cow_man_rootfd(const struct cow_ovl_image *img)
{
	return img->rootfd;
}

const uint8_t *cow_man_uuid(const struct cow_ovl_image *img)
{
	return img->info.uuid;
}

const uint8_t *cow_man_lineage(const struct cow_ovl_image *img)
{
	return img->info.lineage;
}
