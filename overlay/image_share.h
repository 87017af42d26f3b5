/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a version being made shares with an earlier one so far; image_twin.c while its tree is filled,
 * image_share.c when its manifest is there.
 */
#ifndef COW_OVERLAY_IMAGE_SHARE_H
#define COW_OVERLAY_IMAGE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay/image.h"

struct cow_ovl_share {
	struct cow_ovl_image *with; /* counted */
	uint8_t *linked; /* bit per number of it: an object of the new tree is a link to it */
	uint8_t *filled; /* likewise: the tree was filled with it, at the same path */
	uint8_t *tried;	 /* bit per number of the new image: its content was found; NULL: none yet */
	uint64_t left;	 /* bytes whose content was not found */
	struct cow_ovl_image_shared sum;
};

static inline bool cow_share_has(const uint8_t *bits, uint32_t ino)
{
	return bits[ino / 8] & 1u << ino % 8;
}

static inline void cow_share_set(uint8_t *bits, uint32_t ino)
{
	bits[ino / 8] |= (uint8_t)(1u << ino % 8);
}

#endif
