/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * After the kernel had the root mounted (overlay.md 4.10, 4.12). It keeps the format but not our
 * marks, so everything is looked at once, from the top, where a directory's own identity decides
 * what its names are:
 *
 *	directory with a redirect, or at home and not opaque	gets the mark it would have from us
 *	other object of the image away from home		its origin is decoded, gets the mark
 *	object with several names in the image			gets the mark and its anchor; a second
 *								copy of it (the kernel splits them) is
 *								one born in the upper from now on
 *	directory that holds objects of the image		is marked so: the kernel takes the mark
 *								away where it does not need it
 *	deletion written as a file (trusted.overlay.whiteout)	becomes a whiteout
 *
 * Repeating it changes nothing, so a crash in the middle costs a repetition: the record says which
 * work/work was seen last, and that is written after.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "idattr.h"
#include "internal.h"
#include "names_each.h"
#include "numbers.h"
#include "origin_map.h"

struct adopt {
	struct cow_ovl_inst *i;
	struct cow_origin_map origins; /* filled at the first question */
};

struct level {
	struct adopt *a;
	int fd;
	uint32_t number; /* of the directory in the image; 0: born in the upper */
	bool file_whiteouts;
	bool needs_impure;
	unsigned depth;
};

static int adopt_dir(struct adopt *a, int fd, uint32_t number, unsigned depth);

/* What the image has under the name in a directory. */
static bool home_of(const struct level *l, const char *name, mode_t type, uint32_t *ret)
{
	struct cow_man_ent ent;
	if (l->number == 0 || !cow_man_find(l->a->i->img, l->number, name, strlen(name), &ent) ||
	    ent.type != type)
		return false;
	*ret = ent.ino;
	return true;
}

/* "/path" from the top of the image, or a name in the directory's own place there. */
static int redirect_of(const struct level *l, int fd, uint32_t *ret)
{
	char path[COW_PROC_PATH_LEN], value[COW_PATH_MAX + 2];
	cow_proc_path(fd, path);
	*ret = 0;
	ssize_t len = getxattr(path, COW_XA_REDIRECT, value, sizeof(value) - 1);
	if (len < 0)
		return errno == ENODATA ? 0 : cow_nerr();
	value[len] = '\0';
	if (value[0] == '/') {
		*ret = cow_man_lookup_path(l->a->i->img, value + 1);
		if (*ret != 0 && !S_ISDIR(cow_man_type(l->a->i->img, *ret)))
			*ret = 0;
	} else {
		(void)home_of(l, value, S_IFDIR, ret);
	}
	return 0;
}

/* A mark that cannot be right (another lineage, an object the image has not got) counts as none. */
static int marked(const struct level *l, int fd, mode_t type, uint32_t *ret)
{
	int r = cow_ident_read(l->a->i, fd, ret);
	if (r == -EBADMSG)
		*ret = 0;
	else if (r < 0)
		return r;
	if (*ret != 0 &&
	    (!cow_man_has(l->a->i->img, *ret) || cow_man_type(l->a->i->img, *ret) != type))
		*ret = 0;
	return 0;
}

static int adopt_subdir(struct level *l, int fd, const char *name)
{
	uint32_t number = 0;
	int r = marked(l, fd, S_IFDIR, &number);
	if (r < 0)
		return r;
	if (number == 0) {
		r = redirect_of(l, fd, &number);
		if (r == 0 && number == 0) {
			r = cow_opaque_read(fd);
			if (r == 0)
				(void)home_of(l, name, S_IFDIR, &number);
		}
		if (r >= 0 && number != 0)
			r = cow_ident_write(l->a->i, fd, number);
		if (r < 0)
			return r;
	}
	l->needs_impure |= number != 0;
	return adopt_dir(l->a, fd, number, l->depth + 1);
}

/* The first one seen is the object; what else came from it is a file of its own. */
static int adopt_linked(const struct level *l, int fd, uint32_t number)
{
	struct cow_ovl_inst *i = l->a->i;
	char path[COW_PROC_PATH_LEN];
	struct cow_fh fh, anchor;
	int mnt_id;
	int r = cow_fh_of(fd, &fh, &mnt_id);
	if (r < 0)
		return r;
	if (!cow_anchor_find(i, number, &anchor)) {
		r = cow_ident_write(i, fd, number);
		return r < 0 ? r : cow_anchor_add(i, number, fd, &fh);
	}
	if (memcmp(&anchor, &fh, sizeof(fh)) == 0)
		return 0;
	cow_proc_path(fd, path);
	if ((removexattr(path, COW_XA_ORIGIN) < 0 && errno != ENODATA) ||
	    (removexattr(path, COW_XA_ID) < 0 && errno != ENODATA))
		return cow_nerr();
	return 0;
}

static int adopt_other(struct level *l, int fd, const char *name, mode_t type)
{
	struct cow_ovl_inst *i = l->a->i;
	uint32_t number, home = 0;
	int r = marked(l, fd, type, &number);
	if (r < 0)
		return r;
	if (number == 0) {
		r = cow_origin_has(fd);
		if (r != 1)
			return r;
		r = cow_origin_map_find(&l->a->origins, i->img, fd, &number);
		if (r < 0)
			return r;
		(void)home_of(l, name, type, &home);
		if (number == 0) /* a lower tree that was copied since: only home can tell */
			number = home;
		if (number == 0 || cow_man_type(i->img, number) != type)
			return 0;
	}
	l->needs_impure = true;
	if (cow_man_nnames(i->img, number) > 1)
		return adopt_linked(l, fd, number);
	return number == home ? 0 : cow_ident_write(i, fd, number);
}

static int to_whiteout(const struct level *l, const char *name)
{
	struct cow_ovl_inst *i = l->a->i;
	char temp[COW_TEMP_LEN];
	int r = cow_whiteout_temp(i, temp);
	if (r == 0 && renameat(i->workfd, temp, l->fd, name) < 0) {
		r = cow_nerr();
		cow_work_drop(i, temp);
	}
	return r;
}

static int is_file_whiteout(const struct level *l, int fd, const struct stat *st)
{
	char path[COW_PROC_PATH_LEN];
	if (!l->file_whiteouts || !S_ISREG(st->st_mode) || st->st_size != 0)
		return 0;
	cow_proc_path(fd, path);
	if (getxattr(path, COW_XA_WHITEOUT, NULL, 0) >= 0)
		return 1;
	return errno == ENODATA ? 0 : cow_nerr();
}

static int adopt_one(void *ctx, const char *name)
{
	struct level *l = ctx;
	struct stat st;
	cow_autoclose int fd = COW_FD_TRY(openat(l->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (fstat(fd, &st) < 0)
		return cow_nerr();
	if (st.st_dev != l->a->i->dev || cow_is_whiteout(st.st_mode, st.st_rdev))
		return 0;
	int r = is_file_whiteout(l, fd, &st);
	if (r != 0)
		return r < 0 ? r : to_whiteout(l, name);
	if (S_ISDIR(st.st_mode))
		return adopt_subdir(l, fd, name);
	return adopt_other(l, fd, name, st.st_mode & S_IFMT);
}

static int adopt_dir(struct adopt *a, int fd, uint32_t number, unsigned depth)
{
	char path[COW_PROC_PATH_LEN], opaque = '\0';
	struct level l = {.a = a, .fd = fd, .number = number, .depth = depth};
	if (depth > COW_DEPTH_MAX)
		return -ELOOP;
	cow_proc_path(fd, path);
	l.file_whiteouts = getxattr(path, COW_XA_OPAQUE, &opaque, 1) == 1 && opaque == 'x';
	int r = cow_names_each(fd, adopt_one, &l);
	if (r == 0 && l.needs_impure)
		r = cow_impure_set(fd);
	if (r == 0 && l.file_whiteouts && removexattr(path, COW_XA_OPAQUE) < 0)
		r = cow_nerr();
	return r;
}

int cow_adopt(struct cow_ovl_inst *i)
{
	struct adopt a = {.i = i};
	int r = cow_ident_write(i, i->treefd, COW_MAN_ROOT);
	if (r == 0)
		r = adopt_dir(&a, i->treefd, COW_MAN_ROOT, 0);
	cow_origin_map_free(&a.origins);
	return r;
}
