/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From an origin the kernel wrote to the number of the image's object: the handle in it is opened in
 * the data root, and the inode found there is looked up. Needed only when the kernel moved things.
 */
#ifndef COW_OVERLAY_ORIGIN_MAP_H
#define COW_OVERLAY_ORIGIN_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cow_ovl_image;

struct cow_origin_map {
	struct cow_inode_number {
		ino_t ino;
		uint32_t number;
	} * v; /* sorted by ino */
	size_t n;
	dev_t dev;
	bool filled;
};

/* @fd: object with an origin. *ret 0: none of this image. Return: 0 or -errno. */
int cow_origin_map_find(struct cow_origin_map *m, const struct cow_ovl_image *img, int fd,
			uint32_t *ret);
void cow_origin_map_free(struct cow_origin_map *m);

#endif
