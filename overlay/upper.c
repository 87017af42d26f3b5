/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is this object of the upper tree: one of the image, brought up, or one born here? A directory
 * of the image says so itself, or stands at its home without being opaque. Any other object of the
 * image has an origin and stands at its home, or says itself what it is. overlay.md 4.4.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

/* Directories. One at home that does not say so (made by the kernel, or with a fresh root) is told,
 * since from inside, by "..", it could not be known. */
static int identify_dir(struct cow_ovl_inst *i, const struct cow_man_ent *low, int fd,
			uint32_t *ret)
{
	int r = cow_ident_read(i, fd, ret);
	if (r < 0 || *ret != 0 || !low || !S_ISDIR(low->type))
		return r;
	r = cow_opaque_read(fd);
	if (r != 0)
		return r < 0 ? r : 0;
	*ret = low->ino;
	return i->flags & COW_OVL_OBSERVER ? 0 : cow_ident_write(i, fd, low->ino);
}

static int identify_other(struct cow_ovl_inst *i, const struct cow_man_ent *low, int fd,
			  uint32_t *ret)
{
	int r = cow_ident_read(i, fd, ret);
	if (r < 0 || *ret != 0 || !low)
		return r;
	r = cow_origin_has(fd);
	if (r == 1)
		*ret = low->ino;
	return r < 0 ? r : 0;
}

/* @low counts only where its type is the object's. */
static int identify(struct cow_ovl_inst *i, struct cow_ovl_node *dir, const struct cow_man_ent *low,
		    int fd, mode_t type, uint32_t *ret)
{
	*ret = 0;
	if (!i->img)
		return 0;
	if (low && low->type != type)
		low = NULL;
	int r;
	if (S_ISDIR(type)) {
		r = identify_dir(i, low, fd, ret);
	} else {
		/* Only a directory that is marked holds image objects that are not at home. */
		r = low || !dir ? 1 : cow_impure_is(dir, -1);
		if (r == 1)
			r = identify_other(i, low, fd, ret);
	}
	if (r == -EBADMSG)
		return -EIO;
	if (r == 0 && *ret != 0 &&
	    (!cow_man_has(i->img, *ret) || cow_man_type(i->img, *ret) != type))
		return -EIO; /* says it is something the image has not got */
	return r;
}

/* Node of the object and whether it is alive; the fd stays the caller's. */
static int intern(struct cow_ovl_inst *i, int fd, uint32_t number, const struct cow_ovl_attr *attr,
		  struct cow_ovl_node **ret)
{
	cow_autonode n = NULL;
	struct cow_fh fh;
	int mnt_id;
	int r = cow_fh_of(fd, &fh, &mnt_id);
	if (r < 0)
		return r;
	if (mnt_id != i->mnt_id)
		return -EXDEV;
	r = number ? cow_node_intern_low(i, number, &fh, &n)
		   : cow_node_intern(i, &fh, attr->id, attr->mode & S_IFMT, &n);
	if (r < 0)
		return r;
	if (number && memcmp(&n->up, &fh, sizeof(fh)) != 0)
		return -EIO; /* two upper objects say they are the same one of the image */
	if (attr->nlink == 0 && !cow_node_used(n))
		return -ESTALE;
	*ret = cow_steal_ptr(&n);
	return 0;
}

static int to_cache(struct cow_ovl_node **n, int *fd, unsigned level, struct cow_ovl_node **ret)
{
	cow_autofd f = NULL;
	int r = cow_fd_adopt((*n)->inst, *n, cow_steal_fd(fd), level, &f);
	if (r == 0)
		*ret = cow_steal_ptr(n);
	return r;
}

int cow_upper_node(struct cow_ovl_inst *i, struct cow_ovl_node *dir, const struct cow_man_ent *low,
		   int fd_taken, unsigned level, struct cow_ovl_node **ret)
{
	cow_autoclose int fd = fd_taken;
	cow_autonode n = NULL;
	struct cow_ovl_attr attr;
	uint32_t number;
	int r = cow_attr_of_fd(i, fd, &attr);
	if (r < 0)
		return r;
	if (i->img && cow_is_whiteout(attr.mode, attr.rdev))
		return -ENOENT;
	r = identify(i, dir, low, fd, attr.mode & S_IFMT, &number);
	if (r == 0)
		r = intern(i, fd, number, &attr, &n);
	return r != 0 ? r : to_cache(&n, &fd, level, ret);
}

int cow_upper_made(struct cow_ovl_inst *i, int fd_taken, unsigned level, struct cow_ovl_node **ret,
		   struct cow_ovl_attr *ret_attr)
{
	cow_autoclose int fd = fd_taken;
	cow_autonode n = NULL;
	struct cow_ovl_attr attr;
	int r = cow_attr_of_fd(i, fd, &attr);
	if (r == 0)
		r = intern(i, fd, 0, &attr, &n);
	if (r == 0 && ret_attr)
		*ret_attr = attr;
	return r != 0 ? r : to_cache(&n, &fd, level, ret);
}

/* In memory it is enough that the object is alive; else it is opened and looked at. */
int cow_upper_from_fh(struct cow_ovl_inst *i, const struct cow_fh *fh, struct cow_ovl_node **ret)
{
	struct cow_key key;
	cow_key_of_upper(fh, &key);
	cow_autonode n = cow_node_find(i, &key);
	if (n) {
		cow_autofd f = NULL;
		struct cow_ovl_attr attr;
		int r = cow_fd_get(n, COW_FD_PATH, &f);
		if (r == 0)
			r = cow_attr_of(n, f->fd, &attr);
		if (r < 0)
			return r;
		*ret = cow_steal_ptr(&n);
		return 0;
	}
	int fd = cow_fh_open(i, fh, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return fd;
	int r = cow_upper_made(i, fd, COW_FD_PATH, ret, NULL);
	return r == -EXDEV ? -ESTALE : r; /* a handle of ours never led there */
}
