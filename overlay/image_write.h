/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Finished sections to a file: header with sums, uuid and id, published by one rename.
 */
#ifndef COW_OVERLAY_IMAGE_WRITE_H
#define COW_OVERLAY_IMAGE_WRITE_H

#include "common/err.h"
#include "ovm_format.h"

struct cow_image_parts {
	struct {
		const void *bytes;
		size_t len;
	} section[COW_OVM_NSECTIONS];
	uint8_t hash_key[COW_SIPHASH_KEY_LEN];
};

/*
 * cow_image_write - make DIRFD/image.ovm, mode 0400: it names files of every user and has digests of
 * what they hold.
 * @info: lineage, parent, inodes, bytes, next_number; uuid and id are filled in. The uuid is made of
 *        everything else in the file, so that the same parts give the same file.
 * Crash: the whole file or none (I2, I3). Return: 0; -EEXIST; -EFBIG; -errno.
 */
int cow_image_write(int dirfd, const struct cow_image_parts *parts, struct cow_ovl_image_info *info,
		    struct cow_err *err);

#endif
