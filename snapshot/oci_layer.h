/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An image as the one layer of a container image: a tar archive (pax), packed with gzip, which every tool of
 * containers reads. Names, attributes and order come from the manifest, so the same version gives the
 * same bytes.
 */
#ifndef COW_SNAPSHOT_OCI_LAYER_H
#define COW_SNAPSHOT_OCI_LAYER_H

#include <stdint.h>

#include "common/err.h"
#include "overlay/image_read.h"

#define COW_OCI_SHA256_LEN 32

struct cow_oci_layer {
	uint8_t sum[COW_OCI_SHA256_LEN];  /* of the packed layer */
	uint8_t diff[COW_OCI_SHA256_LEN]; /* of the tar archive */
	uint64_t bytes;			  /* packed */
	uint64_t sockets;		  /* left out: tar has no place for them */
};

/*
 * cow_oci_layer_write - to @fd, an empty file.
 * @progress: now and then, with bytes of content; may be NULL; < 0 ends it.
 * Return: 0; -EBADMSG the image is damaged; -errno.
 */
int cow_oci_layer_write(const struct cow_ovl_image *img, int fd,
			int (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
			struct cow_oci_layer *ret, struct cow_err *err);

#endif
