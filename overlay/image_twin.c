/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * While a tree is filled: which file of an earlier version may be the one that is to be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "image_internal.h"
#include "image_share.h"

int cow_ovl_share_new(struct cow_ovl_image *with, struct cow_ovl_share **ret)
{
	struct cow_ovl_share *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	int r = cow_ovl_share_other(s, with);
	if (r < 0) {
		cow_ovl_share_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int cow_ovl_share_other(struct cow_ovl_share *s, struct cow_ovl_image *with)
{
	size_t bytes = (size_t)with->info.next_number / 8 + 1;
	cow_ovl_image_close(s->with);
	s->with = cow_ovl_image_get(with);
	free(s->linked);
	free(s->filled);
	s->linked = calloc(bytes, 1);
	s->filled = calloc(bytes, 1);
	return s->linked && s->filled ? 0 : -ENOMEM;
}

uint64_t cow_ovl_share_left(const struct cow_ovl_share *s)
{
	return s->left;
}

void cow_ovl_share_free(struct cow_ovl_share *s)
{
	if (!s)
		return;
	cow_ovl_image_close(s->with);
	free(s->linked);
	free(s->filled);
	free(s->tried);
	free(s);
}

int cow_ovl_share_twin(const struct cow_ovl_share *s, const char *path,
		       const struct cow_ovl_twin *like, uint32_t *ret_number)
{
	struct cow_ovl_attr a;
	uint32_t ino = cow_man_lookup_path(s->with, path);
	if (ino == 0 || cow_man_type(s->with, ino) != S_IFREG || cow_man_nxattr(s->with, ino) > 0 ||
	    cow_share_has(s->linked, ino))
		return -ENOENT;
	cow_man_attr(s->with, ino, &a);
	if (a.mode != like->mode || a.uid != like->uid || a.gid != like->gid ||
	    a.size != like->size || a.mtime.tv_sec != like->mtime.tv_sec ||
	    a.mtime.tv_nsec != like->mtime.tv_nsec)
		return -ENOENT;
	*ret_number = ino;
	return cow_man_open(s->with, ino, O_RDONLY);
}

uint32_t cow_ovl_share_number(const struct cow_ovl_share *s, const char *path)
{
	uint32_t ino = cow_man_lookup_path(s->with, path);
	if (ino == 0 || cow_man_type(s->with, ino) != S_IFREG)
		return 0;
	return cow_get_le64(cow_image_inode(s->with, ino)->size) > 0 ? ino : 0;
}

void cow_ovl_share_took(struct cow_ovl_share *s, uint32_t number)
{
	cow_share_set(s->linked, number);
	cow_share_set(s->filled, number);
	s->sum.files++;
	s->sum.bytes += cow_get_le64(cow_image_inode(s->with, number)->size);
}
