/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a manifest says, object by object: for who carries an image away, or makes a tree of one that came.
 * Attributes, numbers of paths and comparison are in overlay.h. Objects have numbers, see image.ovm(5): 1 is the root, 0 is none. Everything was checked when the
 * manifest was loaded. Pointers returned live as long as the image. Threads: any.
 */
#ifndef COW_OVERLAY_IMAGE_READ_H
#define COW_OVERLAY_IMAGE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "overlay/image.h"
#include "overlay/overlay.h"

#define COW_OVL_IMAGE_ROOT 1u

/*
 * cow_ovl_image_parse - load a manifest that lies in memory, of an image whose tree is not there (yet).
 * @bytes: copied. Nothing can be opened in it; all else is as of cow_ovl_image_open().
 * Return: 0, release with cow_ovl_image_close(); -EBADMSG damaged; -EOPNOTSUPP newer; -ENOMEM.
 */
int cow_ovl_image_parse(const void *bytes, size_t len, struct cow_ovl_image **ret,
			struct cow_err *err);

/* The file itself, byte by byte. */
const void *cow_ovl_image_bytes(const struct cow_ovl_image *img, size_t *ret_len);

struct cow_ovl_image_object {
	struct cow_ovl_attr attr; /* id is the number, nlink the recorded one */
	const uint8_t *digest;	  /* regular files: COW_OVM_ID_LEN bytes; else NULL */
	const char *target;	  /* symbolic links, terminated; else NULL */
	size_t nxattr;
	size_t nnames; /* the root has none */
};
/* Return: false: no object has this number. */
bool cow_ovl_image_object(const struct cow_ovl_image *img, uint32_t number,
			  struct cow_ovl_image_object *ret);

struct cow_ovl_image_name {
	const char *name; /* terminated */
	uint32_t number;
	mode_t type; /* S_IF* */
	bool first;  /* the object's path goes by this name */
};
/* Names in a directory, 0..n-1 in no order that means anything. */
size_t cow_ovl_image_nnames(const struct cow_ovl_image *img, uint32_t dir);
void cow_ovl_image_name(const struct cow_ovl_image *img, uint32_t dir, size_t idx,
			struct cow_ovl_image_name *ret);

/* Path by first names, no leading slash, "" for the root. The caller frees. NULL: no memory. */
char *cow_ovl_image_path(const struct cow_ovl_image *img, uint32_t number);

/* Open the data of a regular file. Return: fd; -EIO it is not as recorded; -EINVAL; other -errno. */
int cow_ovl_image_open_data(const struct cow_ovl_image *img, uint32_t number);

#endif
