/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Objects of an image by path and by number, for callers outside of the engine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "image_internal.h"

uint32_t cow_ovl_image_number(const struct cow_ovl_image *img, const char *path)
{
	return cow_man_lookup_path(img, path);
}

void cow_ovl_image_attr(const struct cow_ovl_image *img, uint32_t number, struct cow_ovl_attr *ret)
{
	cow_man_attr(img, number, ret);
}

bool cow_ovl_image_has(const struct cow_ovl_image *img, uint32_t number)
{
	return cow_man_has(img, number);
}

bool cow_ovl_image_xattr(const struct cow_ovl_image *img, uint32_t number, size_t idx,
			 const char **ret_name, const void **ret_value, size_t *ret_len)
{
	if (idx >= cow_man_nxattr(img, number))
		return false;
	cow_man_xattr(img, number, idx, ret_name, ret_value, ret_len);
	return true;
}

static int tell_name(const struct cow_ovl_image *img, uint32_t parent,
		     const struct cow_man_ent *ent, char *path,
		     int (*fn)(void *ctx, const char *path), void *ctx)
{
	ssize_t len = cow_man_path(img, parent, path, COW_PATH_MAX + 1);
	if (len < 0)
		return (int)len;
	if ((size_t)len + ent->len + 1 > COW_PATH_MAX)
		return -ENAMETOOLONG;
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, ent->name, ent->len + 1);
	return fn(ctx, path);
}

int cow_ovl_image_names(const struct cow_ovl_image *img, uint32_t number,
			int (*fn)(void *ctx, const char *path), void *ctx)
{
	cow_autofree char *path = malloc(COW_PATH_MAX + 1);
	size_t n = cow_man_nnames(img, number);
	int r = path ? 0 : -ENOMEM;
	for (size_t k = 0; r == 0 && k < n; k++) {
		struct cow_man_ent ent;
		uint32_t parent;
		cow_man_name(img, number, k, &parent, &ent);
		r = tell_name(img, parent, &ent, path, fn, ctx);
	}
	return r;
}

uint32_t cow_ovl_image_linked(const struct cow_ovl_image *img, uint32_t after)
{
	struct cow_ovl_image_info info;
	cow_ovl_image_info(img, &info);
	for (uint32_t n = after + 1; n < info.next_number; n++)
		if (cow_man_has(img, n) && cow_man_nnames(img, n) > 1)
			return n;
	return 0;
}
