/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "archive_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"

int cow_arc_tree_fail(struct cow_arc_tree *t, uint32_t number, int r, const char *doing)
{
	cow_autofree char *path = cow_ovl_image_path(t->img, number);
	if (r == -EINTR)
		return cow_err_set(t->err, r, "import of '%s' was stopped", t->what);
	return cow_err_set(t->err, r, "%s %s", doing, COW_Q(path ? path : "?"));
}

int cow_arc_tree_bad(struct cow_arc_tree *t, uint32_t number, const char *why)
{
	cow_autofree char *path = cow_ovl_image_path(t->img, number);
	return cow_err_say(t->err, COW_ERR_FAILED, -EBADMSG, "'%s' is damaged: %s: %s", t->what,
			   COW_Q(path ? path : "?"), why);
}

static int tick(void *ctx)
{
	return cow_fill_progress(ctx);
}

int cow_arc_tree_init(struct cow_arc_tree *t)
{
	struct cow_ovl_image_info info, of_base = {.next_number = 0};
	cow_ovl_image_info(t->img, &info);
	if (t->base)
		cow_ovl_image_info(t->base, &of_base);
	t->fd = t->dir = -1;
	t->hash.progress = tick;
	t->hash.ctx = t->fill;
	t->done = calloc(info.next_number / 8 + 1, 1);
	t->used = calloc(of_base.next_number / 8 + 1, 1);
	int r = t->done && t->used ? 0 : -ENOMEM;
	if (r == 0)
		r = cow_arc_digests_make(t->img, &t->all);
	if (r == 0 && t->base)
		r = cow_arc_digests_make(t->base, &t->known);
	if (r == 0)
		r = cow_fill_copier_init(&t->copier, t->fill);
	if (r == 0)
		r = cow_arc_hash_init(&t->hash);
	return r < 0 ? cow_err_set(t->err, r, "import '%s'", t->what) : 0;
}

void cow_arc_tree_done(struct cow_arc_tree *t)
{
	if (t->fd >= 0)
		(void)close(t->fd); /* of a tree that is given up */
	if (t->dir >= 0)
		(void)close(t->dir);
	free(t->dir_path);
	free(t->done);
	free(t->used);
	cow_arc_digests_done(&t->all);
	cow_arc_digests_done(&t->known);
	cow_fill_copier_done(&t->copier);
	cow_arc_hash_done(&t->hash);
}

/* ---------------------------------------------------------------- finding the place */

/* A directory of the new tree, of any depth. All of them were made here and are directories. */
static int open_dir(int tree, char *path)
{
	if (strlen(path) < PATH_MAX)
		return cow_open_beneath(tree, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	cow_autoclose int dir = -1;
	for (char *name = path; name;) {
		char *slash = strchr(name, '/');
		if (slash)
			*slash = 0;
		int next = cow_opendir_at(dir < 0 ? tree : dir, name);
		if (slash)
			*slash++ = '/';
		if (next < 0)
			return next;
		if (dir >= 0)
			(void)close(dir);
		dir = next;
		name = slash;
	}
	return cow_steal_fd(&dir);
}

int cow_arc_tree_parent(struct cow_arc_tree *t, uint32_t number, int *ret_dir, char **ret_name)
{
	cow_autofree char *path = cow_ovl_image_path(t->img, number);
	char *slash = path ? strrchr(path, '/') : NULL;
	char *name = path ? strdup(slash ? slash + 1 : path) : NULL;
	if (!name)
		return -ENOMEM;
	*ret_name = name;
	if (!slash) {
		*ret_dir = t->fill->tree;
		return 0;
	}
	*slash = 0;
	if (!t->dir_path || strcmp(t->dir_path, path) != 0) {
		int dir = open_dir(t->fill->tree, path);
		if (dir < 0)
			return dir;
		if (t->dir >= 0)
			(void)close(t->dir);
		free(t->dir_path);
		t->dir = dir;
		t->dir_path = cow_steal_ptr(&path);
	}
	*ret_dir = t->dir;
	return 0;
}

int cow_arc_tree_create(struct cow_arc_tree *t, uint32_t number)
{
	cow_autofree char *name = NULL;
	int dir = -1;
	int r = cow_arc_tree_parent(t, number, &dir, &name);
	return r < 0 ? r : cow_fill_file(dir, name);
}

/* ---------------------------------------------------------------- attributes */

static int xattrs(struct cow_arc_tree *t, uint32_t number, int fd, int dir, const char *name)
{
	struct cow_ovl_image_object o;
	uint64_t lost = t->fill->xattrs_lost;
	(void)cow_ovl_image_object(t->img, number, &o); /* it is there */
	if (o.nxattr == 0)
		return 0;
	cow_autofree char *path = cow_ovl_image_path(t->img, number);
	if (!path)
		return -ENOMEM;
	for (size_t k = 0; k < o.nxattr; k++) {
		const char *key;
		const void *value;
		size_t len;
		if (!cow_ovl_image_xattr(t->img, number, k, &key, &value, &len))
			return -EBADMSG;
		int r = cow_fill_xattr(t->fill, fd, dir, name, path, key, value, len);
		if (r < 0)
			return r;
	}
	/* The tree would not be what its manifest says. */
	return t->fill->xattrs_lost == lost ? 0 : -EOPNOTSUPP;
}

int cow_arc_tree_attr(struct cow_arc_tree *t, uint32_t number, int fd)
{
	struct cow_ovl_image_object o;
	(void)cow_ovl_image_object(t->img, number, &o); /* it is there */
	struct cow_meta m = cow_meta_of(&o.attr);
	int r = cow_fill_owner(fd, &m);
	if (r == 0)
		r = xattrs(t, number, fd, -1, "");
	return r < 0 ? r : cow_fill_finish_fd(fd, &m);
}

int cow_arc_tree_attr_at(struct cow_arc_tree *t, uint32_t number, int dir, const char *name)
{
	struct cow_ovl_image_object o;
	(void)cow_ovl_image_object(t->img, number, &o); /* it is there */
	struct cow_meta m = cow_meta_of(&o.attr);
	int r = xattrs(t, number, -1, dir, name);
	return r < 0 ? r : cow_fill_finish_at(dir, name, &m);
}

/* ---------------------------------------------------------------- content */

/* All of the file has come: it is what the manifest says, or the import ends. */
static int file_end(struct cow_arc_tree *t)
{
	struct cow_ovl_image_object o;
	uint32_t number = t->number;
	if (number == 0)
		return 0;
	cow_autoclose int fd = cow_steal_fd(&t->fd);
	t->number = 0;
	(void)cow_ovl_image_object(t->img, number, &o); /* file_begin() has seen it */
	int r = cow_arc_hash_end(&t->hash, o.attr.size, o.digest);
	if (r == -EBADMSG)
		return cow_arc_tree_bad(t, number, "not the content that belongs there");
	if (r == 0 && ftruncate(fd, (off_t)o.attr.size) < 0)
		r = -errno;
	if (r == 0)
		r = cow_arc_tree_attr(t, number, fd);
	if (r < 0)
		return cow_arc_tree_fail(t, number, r, "make");
	cow_arc_tree_set_done(t, number);
	return 0;
}

static int file_begin(struct cow_arc_tree *t, uint32_t number)
{
	struct cow_ovl_image_object o;
	int r = file_end(t);
	if (r < 0)
		return r;
	if (!cow_ovl_image_object(t->img, number, &o) || !S_ISREG(o.attr.mode))
		return cow_err_say(t->err, COW_ERR_FAILED, -EBADMSG,
				   "'%s' is damaged: content of an object that is no file", t->what);
	if (cow_arc_tree_is_done(t, number))
		return cow_arc_tree_bad(t, number, "its content comes twice");
	t->fd = cow_arc_tree_create(t, number);
	if (t->fd < 0)
		return cow_arc_tree_fail(t, number, t->fd, "make");
	t->number = number;
	r = cow_arc_hash_begin(&t->hash);
	return r < 0 ? cow_arc_tree_fail(t, number, r, "make") : 0;
}

int cow_arc_tree_slice(struct cow_arc_tree *t, const struct cow_arc_slice *s, const uint8_t *bytes)
{
	struct cow_ovl_image_object o;
	int r = s->number == t->number ? 0 : file_begin(t, s->number);
	if (r < 0)
		return r;
	(void)cow_ovl_image_object(t->img, s->number, &o); /* file_begin() has seen it */
	if (s->offset < t->hash.at || s->offset + s->length > o.attr.size)
		return cow_arc_tree_bad(t, s->number, "content beside the file");
	r = cow_arc_hash_add(&t->hash, s->offset, bytes, s->length);
	if (r == 0)
		r = cow_pwrite_full(t->fd, bytes, s->length, (off_t)s->offset);
	t->fill->bytes += s->length;
	if (r == 0)
		r = cow_fill_progress(t->fill);
	return r < 0 ? cow_arc_tree_fail(t, s->number, r, "write") : 0;
}

/* ---------------------------------------------------------------- what has not come */

/* A file with this content that is complete; 0: none. */
static uint32_t find_equal(const struct cow_arc_tree *t, const uint8_t *digest)
{
	uint32_t n;
	for (size_t k = cow_arc_digests_find(&t->all, digest);
	     (n = cow_arc_digests_at(&t->all, k, digest)) != 0; k++)
		if (cow_arc_tree_is_done(t, n))
			return n;
	return 0;
}

static int copy_equal(struct cow_arc_tree *t, uint32_t from, int fd)
{
	struct stat st;
	cow_autofree char *name = NULL;
	int dir = -1;
	int r = cow_arc_tree_parent(t, from, &dir, &name);
	if (r < 0)
		return r;
	cow_autoclose int src = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (src < 0 || fstat(src, &st) < 0)
		return -errno;
	return cow_fill_data(&t->copier, src, fd, &st);
}

static int all_zeros(struct cow_arc_tree *t, const struct cow_ovl_image_object *o, int fd)
{
	int r = cow_arc_hash_begin(&t->hash);
	if (r == 0)
		r = cow_arc_hash_end(&t->hash, o->attr.size, o->digest);
	if (r < 0)
		return r;
	return ftruncate(fd, (off_t)o->attr.size) < 0 ? -errno : 0;
}

static int complete(struct cow_arc_tree *t, uint32_t number, const struct cow_ovl_image_object *o)
{
	uint32_t equal = find_equal(t, o->digest);
	cow_autoclose int fd = cow_arc_tree_create(t, number);
	if (fd < 0)
		return cow_arc_tree_fail(t, number, fd, "make");
	int r = equal ? copy_equal(t, equal, fd) : all_zeros(t, o, fd);
	if (r == -EBADMSG)
		return cow_arc_tree_bad(t, number, "its content is not there");
	if (r == 0)
		r = cow_arc_tree_attr(t, number, fd);
	if (r < 0)
		return cow_arc_tree_fail(t, number, r, "make");
	cow_arc_tree_set_done(t, number);
	return 0;
}

int cow_arc_tree_begin(struct cow_arc_tree *t)
{
	return cow_arc_skeleton_begin(t);
}

int cow_arc_tree_finish(struct cow_arc_tree *t)
{
	struct cow_ovl_image_object o;
	int r = file_end(t);
	for (size_t k = 0; r == 0 && k < t->all.n; k++) {
		uint32_t number = t->all.numbers[k];
		if (!cow_arc_tree_is_done(t, number) && cow_ovl_image_object(t->img, number, &o))
			r = complete(t, number, &o);
	}
	return r < 0 ? r : cow_arc_skeleton_finish(t);
}
