/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the engine asks a loaded manifest. No call here makes a system call but cow_man_open*(); all
 * take any thread; numbers, indexes and strings were checked when the image was opened, and pointers
 * returned live as long as the image. Number 1 is the root directory.
 */
#ifndef COW_OVERLAY_MANIFEST_H
#define COW_OVERLAY_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "overlay/image.h"
#include "overlay/overlay.h"

#define COW_MAN_ROOT 1u
#define COW_MAN_COOKIE_MIN 3 /* cookies of names are 3 <= c < 2^63 */

/* A name in a directory of the image. */
struct cow_man_ent {
	const char *name; /* terminated */
	size_t len;
	uint64_t
	    cookie; /* hash of the name, made unique in its directory; directories are sorted by it */
	uint32_t ino;
	mode_t type; /* S_IF* */
};

/* Is there an object with this number? */
bool cow_man_has(const struct cow_ovl_image *img, uint32_t ino);
mode_t cow_man_type(const struct cow_ovl_image *img, uint32_t ino); /* S_IF* */
/* Attributes as recorded; id is the number, nlink the recorded one, change the ctime in ns. */
void cow_man_attr(const struct cow_ovl_image *img, uint32_t ino, struct cow_ovl_attr *ret);

/* The hash names are sorted by, keyed for the lineage: COW_MAN_COOKIE_MIN <= h < 2^63. */
uint64_t cow_man_hash(const struct cow_ovl_image *img, const char *name, size_t len);

/* Directories. Children are indexed 0..n-1 in order of their cookies. */
size_t cow_man_nchild(const struct cow_ovl_image *img, uint32_t dir);
void cow_man_child(const struct cow_ovl_image *img, uint32_t dir, size_t idx,
		   struct cow_man_ent *ret);
bool cow_man_find(const struct cow_ovl_image *img, uint32_t dir, const char *name, size_t len,
		  struct cow_man_ent *ret);
/* Index of the first child with a cookie above @cookie; n when there is none. */
size_t cow_man_after(const struct cow_ovl_image *img, uint32_t dir, uint64_t cookie);
/* The child with exactly this cookie, if any. */
bool cow_man_at_cookie(const struct cow_ovl_image *img, uint32_t dir, uint64_t cookie,
		       struct cow_man_ent *ret);

/* All names of an object: cow_man_nnames() of them (1 but for hard links; the root has none). */
size_t cow_man_nnames(const struct cow_ovl_image *img, uint32_t ino);
void cow_man_name(const struct cow_ovl_image *img, uint32_t ino, size_t idx, uint32_t *ret_parent,
		  struct cow_man_ent *ret);

/* Target of a symbolic link, terminated. */
const char *cow_man_target(const struct cow_ovl_image *img, uint32_t ino, size_t *ret_len);

/* Extended attributes, POSIX ACLs as system.posix_acl_*; sorted by name. */
size_t cow_man_nxattr(const struct cow_ovl_image *img, uint32_t ino);
void cow_man_xattr(const struct cow_ovl_image *img, uint32_t ino, size_t idx, const char **ret_name,
		   const void **ret_value, size_t *ret_len);
/* Have two objects, maybe of two images, the same attributes of that kind? */
bool cow_man_same_xattrs(const struct cow_ovl_image *a, uint32_t a_ino,
			 const struct cow_ovl_image *b, uint32_t b_ino);

/* SHA-256 of a regular file's content. */
const uint8_t *cow_man_digest(const struct cow_ovl_image *img, uint32_t ino);

/* Path below the data root by the object's first name, no leading slash ("" for the root).
 * Return: length without the NUL; -ENAMETOOLONG does not fit. */
ssize_t cow_man_path(const struct cow_ovl_image *img, uint32_t ino, char *buf, size_t len);
/* Number of the object at a path as cow_man_path() writes it; 0: none. */
uint32_t cow_man_lookup_path(const struct cow_ovl_image *img, const char *path);

/*
 * cow_man_open - open an object in the data root by its first name: never through a symbolic link,
 * never for writing (I1).
 * @flags: O_RDONLY (regular files) or O_PATH (any type), with nothing else but O_DIRECTORY.
 * Return: fd (O_CLOEXEC); -EIO the object's type, size or mtime is not the recorded one: somebody
 * changed the image; other -errno. Retries nothing: the caller does (EMFILE).
 */
int cow_man_open(const struct cow_ovl_image *img, uint32_t ino, int flags);

/* The data root: readable directory, borrowed. */
int cow_man_rootfd(const struct cow_ovl_image *img);
const uint8_t *cow_man_uuid(const struct cow_ovl_image *img);	 /* COW_OVM_UUID_LEN bytes */
const uint8_t *cow_man_lineage(const struct cow_ovl_image *img); /* likewise */

#endif
