/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * trusted.cowherd.id: which object of the image an upper object is, once it has left its home. An
 * object that is where the image has it needs none: its path and its origin say it.
 *
 *	0 lineage[16]: UUID shared by all versions of the image | 16 number le32
 *
 * Written before the move it speaks of, by whoever moves or links the object away; never changed.
 * Readers ignore one of another length or of a foreign lineage. Directories carry
 * trusted.overlay.redirect instead.
 */
#ifndef COW_OVERLAY_IDATTR_H
#define COW_OVERLAY_IDATTR_H

#include <assert.h>
#include <stdint.h>

#include "overlay/image.h"

#define COW_IDATTR_NAME "trusted.cowherd.id"

struct cow_idattr {
	uint8_t lineage[COW_OVM_UUID_LEN], number[4];
};
static_assert(sizeof(struct cow_idattr) == 20, "on-disk");

#endif
