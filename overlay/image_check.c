/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is a manifest what image.ovm(5) says? Every index, offset, length, string and link is looked at
 * once, in time proportional to the file, so that readers need not look again. Checksums have been
 * compared before, so what fails here was made wrong, by accident or on purpose.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "image_internal.h"

struct check {
	const struct cow_ovl_image *img;
	struct cow_err *err;
	/* What was met so far; the sections have to hold exactly that. */
	uint64_t objects, bytes, children, digests, hlinks;
	uint8_t *linked; /* a bit per dirent that HLINKS names */
};

static int bad(const struct check *c, const char *section, uint64_t index, const char *what)
{
	return cow_err_say(c->err, COW_ERR_FAILED, -EBADMSG,
			   "the manifest is damaged: %s record %llu: %s", section,
			   (unsigned long long)index, what);
}

/* A string of exactly @len bytes and its NUL. */
static bool string_ok(const struct cow_ovl_image *img, uint32_t off, uint32_t len)
{
	size_t have = img->count[COW_OVM_STRINGS];
	return off < have && len < have - off && img->strings[off + len] == '\0' &&
	       !memchr(img->strings + off, '\0', len);
}

static bool name_ok(const struct cow_ovl_image *img, uint32_t off, uint32_t len)
{
	if (len == 0 || len > COW_NAME_MAX || !string_ok(img, off, len))
		return false;
	const char *s = img->strings + off;
	if (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))
		return false;
	return !memchr(s, '/', len);
}

bool cow_image_xattr_reserved(const char *name)
{
	static const char *const prefixes[] = {"trusted.overlay.", "trusted.cowherd."};
	for (size_t k = 0; k < sizeof(prefixes) / sizeof(*prefixes); k++)
		if (strncmp(name, prefixes[k], strlen(prefixes[k])) == 0)
			return true;
	return false;
}

/* ---------------------------------------------------------------- attributes */

static int check_xattr(const struct check *c, size_t at, const char *before)
{
	const struct cow_ovl_image *img = c->img;
	const struct cow_ovm_xattr *x = &img->xattrs[at];
	uint32_t name = cow_get_le32(x->name), name_len = cow_get_le32(x->name_len);
	uint32_t value = cow_get_le32(x->value), value_len = cow_get_le32(x->value_len);
	size_t have = img->count[COW_OVM_VALUES];
	if (name_len == 0 || name_len > COW_XATTR_NAME_MAX || !string_ok(img, name, name_len))
		return bad(c, "XATTRS", at, "name");
	if (cow_image_xattr_reserved(img->strings + name))
		return bad(c, "XATTRS", at, "reserved name");
	if (before && strcmp(before, img->strings + name) >= 0)
		return bad(c, "XATTRS", at, "order");
	if (value_len > COW_XATTR_SIZE_MAX || value > have || value_len > have - value)
		return bad(c, "XATTRS", at, "value");
	return 0;
}

/* The sets partition XATTRS, and the names of each are a list listxattr(2) could give. */
static int check_xsets(const struct check *c)
{
	const struct cow_ovl_image *img = c->img;
	size_t next = 0, total = img->count[COW_OVM_XATTRS];
	for (size_t k = 0; k < img->count[COW_OVM_XSETS]; k++) {
		uint32_t first = cow_get_le32(img->xsets[k].first);
		uint32_t count = cow_get_le32(img->xsets[k].count);
		size_t list = 0;
		const char *before = NULL;
		if (first != next || count == 0 || count > total - next)
			return bad(c, "XSETS", k, "range");
		for (; next < (size_t)first + count; next++) {
			int r = check_xattr(c, next, before);
			if (r < 0)
				return r;
			before = img->strings + cow_get_le32(img->xattrs[next].name);
			list += cow_get_le32(img->xattrs[next].name_len) + 1;
		}
		if (list > COW_XATTR_LIST_MAX)
			return bad(c, "XSETS", k, "more names than can be listed");
	}
	return next == total ? 0 : bad(c, "XATTRS", next, "in no set");
}

/* ---------------------------------------------------------------- names */

static int check_dirent(const struct check *c, size_t at)
{
	const struct cow_ovl_image *img = c->img;
	const struct cow_ovm_dirent *d = &img->dirents[at];
	uint32_t ino = cow_get_le32(d->ino);
	if (!name_ok(img, cow_get_le32(d->name), d->name_len))
		return bad(c, "DIRENTS", at, "name");
	if (ino <= COW_MAN_ROOT || ino >= img->info.next_number)
		return bad(c, "DIRENTS", at, "number");
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	if (!cow_image_mode(n) || d->type != cow_image_mode(n) >> 12)
		return bad(c, "DIRENTS", at, "type");
	if (d->zeros[0] || d->zeros[1])
		return bad(c, "DIRENTS", at, "reserved bytes");
	/* Its object knows it: as the only name, or as one in HLINKS. */
	if (cow_get_le32(n->nlink) == 1 || S_ISDIR(cow_image_mode(n))) {
		if (cow_get_le32(n->dirent) != at)
			return bad(c, "DIRENTS", at, "not a name of its object");
	} else if (!(c->linked[at / 8] & 1u << at % 8)) {
		return bad(c, "DIRENTS", at, "not in HLINKS");
	}
	return 0;
}

/* The cookie is the name's hash, or a later value and all values from the hash on are in use. */
static int check_cookie(const struct check *c, size_t first, size_t at)
{
	const struct cow_ovl_image *img = c->img;
	const struct cow_ovm_dirent *d = &img->dirents[at];
	const char *name = img->strings + cow_get_le32(d->name);
	uint64_t cookie = cow_get_le64(d->cookie);
	uint64_t hash = cow_ovm_hash(img->head->hash_key, name, d->name_len);
	if (cookie > INT64_MAX || (at > first && cow_get_le64(d[-1].cookie) >= cookie))
		return bad(c, "DIRENTS", at, "order");
	if (cookie == hash)
		return 0;
	if (cookie < hash || cookie - hash > at - first ||
	    cow_get_le64(d[-(ptrdiff_t)(cookie - hash)].cookie) != hash)
		return bad(c, "DIRENTS", at, "cookie");
	for (uint64_t k = 1; k <= cookie - hash; k++) {
		const struct cow_ovm_dirent *other = d - k;
		if (other->name_len == d->name_len &&
		    memcmp(img->strings + cow_get_le32(other->name), name, d->name_len) == 0)
			return bad(c, "DIRENTS", at, "the same name twice");
	}
	return 0;
}

/* Children of one directory. */
static int check_children(struct check *c, uint32_t ino, const struct cow_ovm_inode *n)
{
	const struct cow_ovl_image *img = c->img;
	uint32_t first = cow_get_le32(n->a), count = cow_get_le32(n->b), dirs = 0;
	size_t total = img->count[COW_OVM_DIRENTS];
	if (count == 0 ? first != 0 : first > total || count > total - first)
		return bad(c, "INODES", ino, "range of children");
	if (count && (ino == COW_MAN_ROOT ? first != 0 : first <= cow_get_le32(n->dirent)))
		return bad(c, "INODES", ino, "children before their directory");
	for (size_t at = first; at < (size_t)first + count; at++) {
		if (cow_get_le32(img->dirents[at].dir) != ino)
			return bad(c, "DIRENTS", at, "directory");
		int r = check_cookie(c, first, at);
		if (r < 0)
			return r;
		dirs += img->dirents[at].type == S_IFDIR >> 12;
	}
	c->children += count;
	if (cow_get_le32(n->nlink) != dirs + 2)
		return bad(c, "INODES", ino, "number of links");
	return 0;
}

/* ---------------------------------------------------------------- objects */

/* Names of an object that is no directory: its dirent, or its records in HLINKS. */
static int check_links(struct check *c, uint32_t ino, const struct cow_ovm_inode *n)
{
	const struct cow_ovl_image *img = c->img;
	uint32_t nlink = cow_get_le32(n->nlink), hlink = cow_get_le32(n->hlink);
	if (nlink == 0 || (nlink == 1 && hlink != 0))
		return bad(c, "INODES", ino, "number of links");
	if (nlink == 1)
		return 0;
	if (hlink != c->hlinks || nlink > img->count[COW_OVM_HLINKS] - c->hlinks)
		return bad(c, "INODES", ino, "range of links");
	for (size_t k = hlink; k < (size_t)hlink + nlink; k++) {
		uint32_t at = cow_get_le32(img->hlinks[k].dirent);
		if (at >= img->count[COW_OVM_DIRENTS] || c->linked[at / 8] & 1u << at % 8 ||
		    cow_get_le32(img->dirents[at].ino) != ino)
			return bad(c, "HLINKS", k, "not a name of its object");
		c->linked[at / 8] |= (uint8_t)(1u << at % 8);
	}
	c->hlinks += nlink;
	if (cow_get_le32(img->hlinks[hlink].dirent) != cow_get_le32(n->dirent))
		return bad(c, "INODES", ino, "first name");
	return 0;
}

static int check_regular(struct check *c, uint32_t ino, const struct cow_ovm_inode *n)
{
	if (cow_get_le32(n->a) != c->digests || cow_get_le32(n->b) != 0 ||
	    c->digests == c->img->count[COW_OVM_DIGESTS])
		return bad(c, "INODES", ino, "digest");
	c->digests++;
	if (!cow_add_ok(c->bytes, cow_get_le64(n->size), &c->bytes))
		return bad(c, "INODES", ino, "size");
	return 0;
}

static int check_symlink(const struct check *c, uint32_t ino, const struct cow_ovm_inode *n)
{
	uint32_t len = cow_get_le32(n->b);
	if (len == 0 || len > COW_SYMLINK_MAX || cow_get_le64(n->size) != len ||
	    !string_ok(c->img, cow_get_le32(n->a), len))
		return bad(c, "INODES", ino, "target");
	return 0;
}

/* Fields whose meaning depends on the type. */
static int check_type(struct check *c, uint32_t ino, const struct cow_ovm_inode *n)
{
	uint32_t a = cow_get_le32(n->a), b = cow_get_le32(n->b);
	switch (cow_image_mode(n) & S_IFMT) {
	case S_IFDIR:
		return cow_get_le32(n->hlink) == 0 ? 0 : bad(c, "INODES", ino, "hlink");
	case S_IFREG:
		return check_regular(c, ino, n);
	case S_IFLNK:
		return check_symlink(c, ino, n);
	case S_IFCHR:
		/* 0/0 is a whiteout. */
		return a || b ? 0 : bad(c, "INODES", ino, "device number");
	case S_IFBLK:
		return 0;
	case S_IFIFO:
	case S_IFSOCK:
		return a == 0 && b == 0 ? 0 : bad(c, "INODES", ino, "reserved bytes");
	default:
		return bad(c, "INODES", ino, "type");
	}
}

static bool time_ok(const uint8_t ns[4])
{
	return cow_get_le32(ns) < 1000000000;
}

static bool unused(const struct cow_ovm_inode *n)
{
	static const struct cow_ovm_inode zeros;
	return memcmp(n, &zeros, sizeof(zeros)) == 0;
}

static int check_inode(struct check *c, uint32_t ino)
{
	const struct cow_ovl_image *img = c->img;
	const struct cow_ovm_inode *n = cow_image_inode(img, ino);
	mode_t mode = cow_image_mode(n);
	uint32_t dirent = cow_get_le32(n->dirent);
	if (mode == 0)
		return unused(n) ? 0 : bad(c, "INODES", ino, "neither in use nor zeros");
	if (mode & ~(mode_t)(S_IFMT | 07777) || ino == 0)
		return bad(c, "INODES", ino, "mode");
	c->objects++;
	if (cow_get_le64(n->size) > INT64_MAX || cow_get_le64(n->blocks) > INT64_MAX / 512)
		return bad(c, "INODES", ino, "size");
	if (!time_ok(n->atime_ns) || !time_ok(n->mtime_ns) || !time_ok(n->ctime_ns))
		return bad(c, "INODES", ino, "time");
	if (cow_get_le32(n->uid) == UINT32_MAX || cow_get_le32(n->gid) == UINT32_MAX)
		return bad(c, "INODES", ino, "owner"); /* chown(2) takes it for "keep" */
	if (cow_get_le32(n->xset) > img->count[COW_OVM_XSETS])
		return bad(c, "INODES", ino, "extended attributes");
	if (cow_get_le64(n->zeros))
		return bad(c, "INODES", ino, "reserved bytes");
	if (ino == COW_MAN_ROOT) {
		if (!S_ISDIR(mode) || dirent != 0)
			return bad(c, "INODES", ino, "the root");
	} else if (dirent >= img->count[COW_OVM_DIRENTS] ||
		   cow_get_le32(img->dirents[dirent].ino) != ino) {
		return bad(c, "INODES", ino, "no name");
	}
	int r = check_type(c, ino, n);
	if (r == 0 && !S_ISDIR(mode))
		r = check_links(c, ino, n);
	return r;
}

/* Lengths and sums the header and the sections give, against what was met. */
static int check_totals(const struct check *c)
{
	const struct cow_ovl_image *img = c->img;
	if (c->objects != img->info.inodes || c->bytes != img->info.bytes)
		return bad(c, "header", 0, "sums");
	if (c->digests != img->count[COW_OVM_DIGESTS])
		return bad(c, "DIGESTS", c->digests, "of no file");
	if (c->hlinks != img->count[COW_OVM_HLINKS])
		return bad(c, "HLINKS", c->hlinks, "of no object");
	if (c->children != img->count[COW_OVM_DIRENTS])
		return bad(c, "DIRENTS", c->children, "in no directory");
	return 0;
}

int cow_image_check(const struct cow_ovl_image *img, struct cow_err *err)
{
	cow_autofree uint8_t *linked = calloc(img->count[COW_OVM_DIRENTS] / 8 + 1, 1);
	struct check c = {.img = img, .err = err, .linked = linked};
	if (!linked)
		return cow_err_set(err, -ENOMEM, "check the manifest");
	int r = check_xsets(&c);
	for (uint32_t ino = 0; r == 0 && ino < img->info.next_number; ino++)
		r = check_inode(&c, ino);
	if (r == 0 && !S_ISDIR(cow_image_mode(cow_image_inode(img, COW_MAN_ROOT))))
		r = bad(&c, "INODES", COW_MAN_ROOT, "the root");
	for (size_t at = 0; r == 0 && at < img->count[COW_OVM_DIRENTS]; at++)
		r = check_dirent(&c, at);
	/* Last: the names are known to be strings. */
	for (uint32_t ino = COW_MAN_ROOT; r == 0 && ino < img->info.next_number; ino++)
		if (S_ISDIR(cow_image_mode(cow_image_inode(img, ino))))
			r = check_children(&c, ino, cow_image_inode(img, ino));
	return r < 0 ? r : check_totals(&c);
}
