/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "overlay/image_read.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "image_internal.h"

const void *cow_ovl_image_bytes(const struct cow_ovl_image *img, size_t *ret_len)
{
	*ret_len = img->len;
	return img->bytes;
}

bool cow_ovl_image_object(const struct cow_ovl_image *img, uint32_t number,
			  struct cow_ovl_image_object *ret)
{
	size_t len;
	if (!cow_man_has(img, number))
		return false;
	*ret = (struct cow_ovl_image_object){
	    .nxattr = cow_man_nxattr(img, number),
	    .nnames = cow_man_nnames(img, number),
	};
	cow_man_attr(img, number, &ret->attr);
	if (S_ISREG(ret->attr.mode))
		ret->digest = cow_man_digest(img, number);
	if (S_ISLNK(ret->attr.mode))
		ret->target = cow_man_target(img, number, &len);
	return true;
}

size_t cow_ovl_image_nnames(const struct cow_ovl_image *img, uint32_t dir)
{
	return cow_man_nchild(img, dir);
}

void cow_ovl_image_name(const struct cow_ovl_image *img, uint32_t dir, size_t idx,
			struct cow_ovl_image_name *ret)
{
	struct cow_man_ent ent;
	cow_man_child(img, dir, idx, &ent);
	size_t at = cow_get_le32(cow_image_inode(img, dir)->a) + idx;
	*ret = (struct cow_ovl_image_name){
	    .name = ent.name,
	    .number = ent.ino,
	    .type = ent.type,
	    .first = cow_get_le32(cow_image_inode(img, ent.ino)->dirent) == at,
	};
}

char *cow_ovl_image_path(const struct cow_ovl_image *img, uint32_t number)
{
	char *path = NULL;
	for (size_t room = 256; room <= SIZE_MAX / 4; room *= 2) {
		char *grown = realloc(path, room);
		if (!grown)
			break;
		path = grown;
		if (cow_man_path(img, number, path, room) >= 0)
			return path;
	}
	free(path);
	return NULL;
}

int cow_ovl_image_open_data(const struct cow_ovl_image *img, uint32_t number)
{
	if (!cow_man_has(img, number) || !S_ISREG(cow_man_type(img, number)) || img->rootfd < 0)
		return -EINVAL;
	return cow_man_open(img, number, O_RDONLY);
}
