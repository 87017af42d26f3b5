/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A loaded image, for the files that load, check and read it. After cow_image_check() every index,
 * offset and string of the manifest is trusted; nothing in it changes any more.
 */
#ifndef COW_OVERLAY_IMAGE_INTERNAL_H
#define COW_OVERLAY_IMAGE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "common/checked.h"
#include "manifest.h"
#include "ovm_format.h"

#define COW_IMAGE_TREE "tree"

/* What makes two opens the same image. */
struct cow_image_key {
	dev_t file_dev, tree_dev;
	ino_t file_ino, tree_ino;
};

struct cow_ovl_image {
	uint8_t *bytes; /* the whole file, anonymous mapping */
	size_t len;
	const struct cow_ovm_header *head;
	const struct cow_ovm_inode *inodes;
	const struct cow_ovm_dirent *dirents;
	const struct cow_ovm_xset *xsets;
	const struct cow_ovm_xattr *xattrs;
	const struct cow_ovm_digest *digests;
	const struct cow_ovm_hlink *hlinks;
	const char *strings;
	const uint8_t *values;
	size_t count[COW_OVM_NSECTIONS]; /* records of each section */
	struct cow_ovl_image_info info;	 /* of the header, and the id */

	int filefd; /* keeps the inode number of image.ovm from being used again; -1: none */
	int rootfd; /* the data root; -1: none, from memory only */
	dev_t root_dev;

	/* guarded by the registry's lock (image.c): */
	struct cow_image_key key;
	unsigned refs;
	bool loading;
	LIST_ENTRY(cow_ovl_image) all;
};

/* ---- image_load.c */
/* Check a header alone and fill in what it says; id is zeros. */
int cow_image_header(const struct cow_ovm_header *h, struct cow_ovl_image_info *ret,
		     struct cow_err *err);
/*
 * Read @fd into @img, check it, compute its id. @img is zeroed memory with fds of its own.
 * On failure what was filled in is the caller's to give back, with cow_image_unload().
 */
int cow_ovm_load(struct cow_ovl_image *img, int fd, struct cow_err *err);
/* The same from memory: copies. For the fuzz target and tests. */
int cow_image_load_bytes(struct cow_ovl_image *img, const void *bytes, size_t len,
			 struct cow_err *err);
/* Unmap and close; not free. */
void cow_image_unload(struct cow_ovl_image *img);
/* Open DIRFD/image.ovm. Return: fd; -ENOENT none; -EBADMSG not a regular file. */
int cow_image_open_file(int dirfd, struct cow_err *err);
/* Open DIRFD/tree. */
int cow_image_open_tree(int dirfd, struct cow_err *err);

/* ---- image_check.c */
/* Every record, once. Sections lie in the file and have their checksums. Return: 0; -EBADMSG. */
int cow_image_check(const struct cow_ovl_image *img, struct cow_err *err);
/* Attributes the engine keeps for itself: no image may carry them. */
bool cow_image_xattr_reserved(const char *name);

/* ---- manifest.c */
/* Children of a directory in byte order of their names, for what people read. *ret has
 * cow_man_nchild() entries, the caller frees it. Return: 0; -ENOMEM. */
int cow_man_sorted(const struct cow_ovl_image *img, uint32_t dir, struct cow_man_ent **ret);

static inline const struct cow_ovm_inode *cow_image_inode(const struct cow_ovl_image *img,
							  uint32_t ino)
{
	return &img->inodes[ino];
}

static inline mode_t cow_image_mode(const struct cow_ovm_inode *n)
{
	return (mode_t)cow_get_le32(n->mode);
}

#endif
