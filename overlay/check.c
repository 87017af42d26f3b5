/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is the upper of a root what the format says (overlay.md 4.10, docs/instance.md)? A walk that
 * changes nothing and may run beside a server; what a server is doing at that moment can then show
 * up as a finding that is gone the next time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "idattr.h"
#include "internal.h"
#include "names_each.h"
#include "numbers.h"

struct check {
	struct cow_ovl_inst *i;
	cow_ovl_check_fn fn;
	void *ctx;
	int64_t found;
	ino_t *seen;	/* inode in the upper of each image object met; 0: not met */
	uint32_t nseen; /* numbers below this */
	char path[COW_PATH_MAX + 1];
};

struct level {
	struct check *c;
	int fd;
	uint32_t number; /* of the directory in the image; 0: born in the upper */
	bool impure;
	bool needs_impure;
	size_t path_len;
	unsigned depth;
};

static int check_dir(struct check *c, int fd, uint32_t number, size_t path_len, unsigned depth);

static int report(struct check *c, const char *what)
{
	c->found++;
	return c->fn(c->ctx, c->path[0] ? c->path : "/", what);
}

static size_t path_push(struct check *c, size_t len, const char *name)
{
	int more = snprintf(c->path + len, sizeof(c->path) - len, "/%s", name);
	size_t end = len + (size_t)more;
	return end < sizeof(c->path) ? end : sizeof(c->path) - 1; /* a deeper path is shown cut */
}

static bool home_of(const struct level *l, const char *name, mode_t type, uint32_t *ret)
{
	struct cow_man_ent ent;
	if (l->number == 0 || !cow_man_find(l->c->i->img, l->number, name, strlen(name), &ent))
		return false;
	if (ret && ent.type == type)
		*ret = ent.ino;
	return true;
}

/* The number in the object's own mark. Return: 0, > 0 stop, -errno. */
static int read_mark(struct check *c, int fd, mode_t type, uint32_t *ret)
{
	int r = cow_ident_read(c->i, fd, ret);
	if (r == -EBADMSG)
		return report(c, "its mark is damaged or of another image");
	if (r < 0 || *ret == 0)
		return r;
	if (cow_man_has(c->i->img, *ret) && cow_man_type(c->i->img, *ret) == type)
		return 0;
	*ret = 0;
	return report(c, "its mark names an object the image has not got");
}

static int check_once(struct check *c, uint32_t number, ino_t ino)
{
	if (number >= c->nseen)
		return 0;
	if (c->seen[number] == 0)
		c->seen[number] = ino;
	if (c->seen[number] == ino)
		return 0;
	return report(c, "another object stands for the same one of the image");
}

static int check_redirect(struct check *c, int fd)
{
	char path[COW_PROC_PATH_LEN], value[COW_PATH_MAX + 2];
	cow_proc_path(fd, path);
	ssize_t len = getxattr(path, COW_XA_REDIRECT, value, sizeof(value) - 1);
	if (len < 0)
		return errno == ENODATA ? 0 : cow_nerr();
	value[len] = '\0';
	if (value[0] != '/' || cow_man_lookup_path(c->i->img, value + 1) != 0)
		return 0;
	return report(c, "its redirect leads to nothing in the image");
}

static int check_subdir(struct level *l, int fd, const struct stat *st, const char *name,
			size_t path_len)
{
	struct check *c = l->c;
	uint32_t number = 0;
	int r = read_mark(c, fd, S_IFDIR, &number);
	int opaque = r == 0 ? cow_opaque_read(fd) : 0;
	if (r == 0 && opaque < 0)
		r = opaque;
	if (r == 0 && number == 0 && !opaque)
		(void)home_of(l, name, S_IFDIR, &number);
	if (r == 0 && number != 0 && opaque)
		r = report(c, "a directory of the image is opaque");
	if (r == 0 && number != 0)
		r = check_once(c, number, st->st_ino);
	if (r == 0)
		r = check_redirect(c, fd);
	l->needs_impure |= number != 0;
	return r != 0 ? r : check_dir(c, fd, number, path_len, l->depth + 1);
}

static int check_other(struct level *l, int fd, const struct stat *st, const char *name)
{
	struct check *c = l->c;
	uint32_t number = 0;
	int r = read_mark(c, fd, st->st_mode & S_IFMT, &number);
	if (r == 0 && number == 0) {
		r = cow_origin_has(fd);
		if (r == 1 && !home_of(l, name, st->st_mode & S_IFMT, &number))
			number = 0;
		r = r < 0 ? r : 0;
	}
	if (r != 0 || number == 0)
		return r;
	l->needs_impure = true;
	return check_once(c, number, st->st_ino);
}

static int check_whiteout(const struct level *l, const char *name)
{
	if (l->number == 0)
		return report(l->c, "a whiteout in a directory that hides nothing");
	return home_of(l, name, 0, NULL) ? 0 : report(l->c, "a whiteout over nothing (harmless)");
}

static int check_one(void *ctx, const char *name)
{
	struct level *l = ctx;
	struct check *c = l->c;
	struct stat st;
	size_t path_len = path_push(c, l->path_len, name);
	cow_autoclose int fd = COW_FD_TRY(openat(l->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	int r;
	if (st.st_dev != c->i->dev)
		r = report(c, "a mount or another subvolume");
	else if (cow_is_whiteout(st.st_mode, st.st_rdev))
		r = check_whiteout(l, name);
	else if (S_ISDIR(st.st_mode))
		r = check_subdir(l, fd, &st, name, path_len);
	else
		r = check_other(l, fd, &st, name);
	c->path[l->path_len] = '\0';
	return r;
}

static int check_dir(struct check *c, int fd, uint32_t number, size_t path_len, unsigned depth)
{
	struct level l = {.c = c, .fd = fd, .number = number, .path_len = path_len, .depth = depth};
	if (depth > COW_DEPTH_MAX)
		return report(c, "deeper than anything this version walks");
	int r = cow_impure_get(fd);
	if (r < 0)
		return r;
	l.impure = r;
	r = cow_names_each(fd, check_one, &l);
	if (r == 0 && l.needs_impure && !l.impure)
		r = report(c, "holds objects of the image and is not marked so");
	return r;
}

/* ---------------------------------------------------------------- work directories */

static int check_temp(void *ctx, const char *name)
{
	struct check *c = ctx;
	if (strcmp(name, COW_WHITEOUT_NAME) == 0)
		return 0;
	(void)snprintf(c->path, sizeof(c->path), "%s/%s/%s", COW_WORK_NAME, COW_WORK_NAME, name);
	int r = report(c, "left by interrupted work (swept at the next attach)");
	c->path[0] = '\0';
	return r;
}

static int check_anchor(void *ctx, const char *name)
{
	struct check *c = ctx;
	cow_autonode n = NULL;
	uint32_t number = 0;
	cow_autoclose int fd =
	    COW_FD_TRY(openat(c->i->indexfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	(void)snprintf(c->path, sizeof(c->path), "%s/%s/%s", COW_WORK_NAME, COW_INDEX_NAME, name);
	int r = cow_ident_read(c->i, fd, &number);
	if (r == -EBADMSG || (r == 0 && (number == 0 || !cow_man_has(c->i->img, number))))
		r = report(c, "is no anchor of an object of the image");
	else if (r == 0 && cow_by_number(c->i, number, &n) == -ESTALE)
		r = report(c, "its object has no name left (swept at the next attach)");
	c->path[0] = '\0';
	return r;
}

int64_t cow_ovl_inst_check(int dirfd, struct cow_ovl_image *img, cow_ovl_check_fn fn, void *ctx,
			   struct cow_err *err)
{
	struct check c = {.fn = fn, .ctx = ctx};
	struct cow_ovl_image_info info;
	int r = cow_ovl_inst_open(dirfd, img, COW_OVL_OBSERVER, &c.i, err);
	if (r < 0)
		return r;
	cow_ovl_image_info(img, &info);
	c.nseen = info.next_number;
	c.seen = calloc((size_t)info.next_number + 1, sizeof(*c.seen));
	r = c.seen ? check_dir(&c, c.i->treefd, COW_MAN_ROOT, 0, 0) : -ENOMEM;
	if (r == 0 && c.i->workfd >= 0) /* else one of old that was never attached */
		r = cow_names_each(c.i->workfd, check_temp, &c);
	if (r == 0 && c.i->indexfd >= 0)
		r = cow_names_each(c.i->indexfd, check_anchor, &c);
	free(c.seen);
	(void)cow_ovl_inst_close(c.i); /* an observer has nothing to sync */
	if (r < 0)
		return cow_err_set(err, r, "look through the root");
	return r > 0 ? r : c.found;
}
