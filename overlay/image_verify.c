/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is the data root still what its manifest says? The walk of the builder, with every object read in
 * the same way and compared instead of recorded. Not compared: access and change times, the space
 * files take and the size of directories, which are matters of the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "image_intern.h"
#include "image_internal.h"
#include "image_scan.h"
#include "image_walk.h"

struct verify {
	struct cow_ovl_image img;
	int (*found)(void *ctx, const char *path, const char *what);
	void *ctx;
	struct cow_err *err;
	struct cow_walk *walk;
	struct cow_scan *scan;
	struct cow_linkmap numbers; /* inode number in the tree -> number, where there are links */
	struct cow_linkmap reals;   /* the other way */
	int64_t differences;
	int stop; /* what found() ended it with */
};

/* Return: 0 go on; -ECANCELED stopped by found(). */
static int differ_at(struct verify *v, const char *path, const char *what)
{
	v->differences++;
	v->stop = v->found ? v->found(v->ctx, path, what) : 0;
	return v->stop ? -ECANCELED : 0;
}

static int differ(struct verify *v, const char *name, const char *what)
{
	return differ_at(v, cow_walk_path(v->walk, name), what);
}

static int failed(struct verify *v, const char *name, int r)
{
	if (r == -ECANCELED && v->stop)
		return r;
	if (cow_scan_stopped(v->scan))
		return cow_err_set(v->err, r, "verify the image");
	return cow_err_set(v->err, r, "verify %s", COW_Q(cow_walk_path(v->walk, name)));
}

/* ---------------------------------------------------------------- one object */

static bool same_xattrs(const struct verify *v, uint32_t ino, const struct cow_scan_object *obj)
{
	size_t n = cow_man_nxattr(&v->img, ino), j = 0;
	for (size_t k = 0; k < n; k++) {
		const char *name;
		const void *value;
		size_t len;
		cow_man_xattr(&v->img, ino, k, &name, &value, &len);
		if (cow_xattr_of_xfs(name)) /* manifests of older versions have them */
			continue;
		if (j == obj->nxattr)
			return false;
		const struct cow_scan_xattr *x = &obj->xattrs[j++];
		if (strcmp(name, x->name) != 0 || len != x->len ||
		    (len && memcmp(value, x->value, len) != 0))
			return false;
	}
	return j == obj->nxattr;
}

static bool same_target(const struct verify *v, uint32_t ino, const struct cow_scan_object *obj)
{
	size_t len;
	const char *target = cow_man_target(&v->img, ino, &len);
	return len == obj->target_len && memcmp(target, obj->target, len) == 0;
}

static int check_attr(struct verify *v, const char *name, uint32_t ino, const struct statx *st)
{
	struct cow_ovl_attr a;
	cow_man_attr(&v->img, ino, &a);
	const struct cow_ovm_inode *n = cow_image_inode(&v->img, ino);
	bool device = S_ISCHR(a.mode) || S_ISBLK(a.mode);
	const struct {
		bool same;
		const char *what;
	} checks[] = {
	    {a.mode == st->stx_mode, "mode"},
	    {a.uid == st->stx_uid && a.gid == st->stx_gid, "owner"},
	    {S_ISDIR(a.mode) || a.size == st->stx_size, "size"},
	    {a.mtime.tv_sec == st->stx_mtime.tv_sec &&
		 a.mtime.tv_nsec == (long)st->stx_mtime.tv_nsec,
	     "modification time"},
	    {!device || (cow_get_le32(n->a) == st->stx_rdev_major &&
			 cow_get_le32(n->b) == st->stx_rdev_minor),
	     "device number"},
	};
	int r = 0;
	for (size_t k = 0; r == 0 && k < sizeof(checks) / sizeof(*checks); k++)
		if (!checks[k].same)
			r = differ(v, name, checks[k].what);
	return r;
}

/* Extended attributes and content, once for an object. */
static int check_rest(struct verify *v, int dirfd, const char *name, uint32_t ino,
		      struct cow_scan_object *obj)
{
	int r = cow_scan_rest(v->scan, dirfd, name ? name : ".", obj);
	if (r == -EIO && !cow_scan_stopped(v->scan))
		return differ(v, name, "cannot be read");
	if (r < 0)
		return failed(v, name, r);
	if (!same_xattrs(v, ino, obj))
		r = differ(v, name, "extended attributes");
	if (r == 0 && S_ISLNK(obj->st.stx_mode) && !same_target(v, ino, obj))
		r = differ(v, name, "target");
	if (r == 0 && S_ISREG(obj->st.stx_mode) &&
	    obj->st.stx_size == cow_get_le64(cow_image_inode(&v->img, ino)->size) &&
	    memcmp(cow_man_digest(&v->img, ino), obj->digest, COW_OVM_DIGEST_LEN) != 0)
		r = differ(v, name, "content");
	return r;
}

/*
 * The names of one object in the manifest are those of one object in the tree, and no others.
 * @ret_again: the object was met under another name.
 */
static int check_links(struct verify *v, const char *name, uint32_t ino, const struct statx *st,
		       bool *ret_again)
{
	*ret_again = false;
	if (S_ISDIR(st->stx_mode) || (st->stx_nlink == 1 && cow_man_nnames(&v->img, ino) == 1))
		return 0;
	uint64_t number = cow_linkmap_get(&v->numbers, st->stx_ino);
	uint64_t real = cow_linkmap_get(&v->reals, ino);
	if (number == ino && real == st->stx_ino) {
		*ret_again = true;
		return 0;
	}
	if (number || real)
		return differ(v, name, "hard links");
	int r = cow_linkmap_put(&v->numbers, st->stx_ino, ino);
	if (r == 0)
		r = cow_linkmap_put(&v->reals, ino, st->stx_ino);
	return r < 0 ? failed(v, name, r) : 0;
}

/* @name NULL: the root, as "." of @dirfd. */
static int check_object(struct verify *v, int dirfd, const char *name, uint32_t ino)
{
	struct cow_scan_object obj;
	bool again;
	int r = cow_scan_stat(v->scan, dirfd, name ? name : ".", &obj);
	if (r == -EXDEV)
		return differ(v, name, "mount point or another subvolume");
	if (r < 0)
		return failed(v, name, r);
	if ((obj.st.stx_mode & S_IFMT) != cow_man_type(&v->img, ino))
		return differ(v, name, "type");
	r = check_links(v, name, ino, &obj.st, &again);
	if (r < 0 || again)
		return r;
	r = check_attr(v, name, ino, &obj.st);
	if (r == 0)
		r = check_rest(v, dirfd, name, ino, &obj);
	if (r == 0 && name && S_ISDIR(obj.st.stx_mode)) {
		r = cow_walk_enter(v->walk, name, obj.st.stx_ino, ino);
		if (r < 0)
			r = failed(v, name, r);
	}
	return r;
}

/* ---------------------------------------------------------------- the tree */

static int visit(void *ctx, struct cow_walk *w, const struct cow_walk_dir *dir)
{
	struct verify *v = ctx;
	cow_autofree struct cow_man_ent *want = NULL;
	size_t n = cow_man_nchild(&v->img, dir->tag), k = 0, j = 0;
	int r = cow_man_sorted(&v->img, dir->tag, &want);
	if (r < 0)
		return failed(v, NULL, r);
	while (r == 0 && (k < n || j < dir->count)) {
		int order = k == n	      ? 1
			    : j == dir->count ? -1
					      : strcmp(want[k].name, dir->names[j].name);
		if (order < 0) {
			r = differ(v, want[k++].name, "missing");
		} else if (order > 0) {
			r = differ(v, dir->names[j++].name, "not in the manifest");
		} else {
			r = check_object(v, dir->fd, want[k].name, want[k].ino);
			k++;
			j++;
		}
	}
	(void)w;
	return r;
}

static int verify_tree(struct verify *v)
{
	v->err->code = COW_OK;
	int r = check_object(v, v->img.rootfd, NULL, COW_MAN_ROOT);
	if (r == 0)
		r = cow_walk_run(v->walk, COW_MAN_ROOT);
	/* The walk's own failures have no words yet. */
	return r < 0 && v->err->code == COW_OK ? failed(v, NULL, r) : r;
}

/* Read anew: a loaded image would not show what has happened to the file since. */
static int verify_load(struct verify *v, int dirfd, const uint8_t *want_id)
{
	int r = v->img.filefd = cow_image_open_file(dirfd, v->err);
	if (r >= 0)
		r = v->img.rootfd = cow_image_open_tree(dirfd, v->err);
	if (r >= 0)
		r = cow_ovm_load(&v->img, v->img.filefd, v->err);
	if (r == 0 && want_id && memcmp(want_id, v->img.info.id, COW_OVM_ID_LEN) != 0)
		r = differ_at(v, COW_OVM_NAME, "another manifest than the one asked for");
	return r;
}

int64_t cow_ovl_image_verify(int dirfd, const uint8_t *want_id,
			     int (*found)(void *ctx, const char *path, const char *what),
			     int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			     struct cow_err *err)
{
	struct cow_err own = COW_ERR_INIT;
	struct verify v = {
	    .img = {.filefd = -1, .rootfd = -1},
	    .found = found,
	    .ctx = ctx,
	    .err = err ? err : &own,
	};
	int r = verify_load(&v, dirfd, want_id);
	if (r == 0) {
		r = cow_walk_new(v.img.rootfd, visit, &v, &v.walk);
		if (r == 0)
			r = cow_scan_new(v.img.rootfd, progress, ctx, &v.scan);
		r = r < 0 ? cow_err_set(v.err, r, "verify the image") : verify_tree(&v);
	}
	cow_walk_free(v.walk);
	cow_scan_free(v.scan);
	cow_linkmap_done(&v.numbers);
	cow_linkmap_done(&v.reals);
	cow_image_unload(&v.img);
	if (v.stop)
		return v.stop;
	return r < 0 ? r : v.differences;
}
