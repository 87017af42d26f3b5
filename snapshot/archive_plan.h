/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What goes into an archive, in which order, in which blocks: decided from the manifests alone (and from where
 * files have holes), so that an export that is repeated makes the same plan and can go on with what
 * is there.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_PLAN_H
#define COW_SNAPSHOT_ARCHIVE_PLAN_H

#include "archive_format.h"
#include "common/err.h"
#include "overlay/image_read.h"

struct cow_arc_plan {
	struct cow_arc_block *blocks; /* the manifest's first */
	size_t nblocks, room;
	uint64_t bytes; /* content in all */
	uint64_t files; /* whose content is there */
};

/* @base: NULL: everything. Give back with cow_arc_plan_done(). Return: 0; -EFBIG above a limit; -errno. */
int cow_arc_plan_make(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
		      struct cow_arc_plan *ret, struct cow_err *err);
/* The manifest alone. */
int cow_arc_plan_manifest(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
			  struct cow_arc_plan *ret, struct cow_err *err);
void cow_arc_plan_done(struct cow_arc_plan *p);

/* ---- archive_similar.c */

/* Which file of the base a file was, or is most like: by path, by number, by path with other version
 * numbers in it, by name. */
struct cow_arc_similar;
int cow_arc_similar_new(const struct cow_ovl_image *img, const struct cow_ovl_image *base,
			struct cow_arc_similar **ret);
void cow_arc_similar_free(struct cow_arc_similar *s); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_arc_similar, cow_arc_similar_free)
#define cow_autoarcsimilar COW_CLEANUP(cow_auto_cow_arc_similar_free) struct cow_arc_similar *
/* -> number in the base, a regular file with content; 0: none. @path: of the file in the image. */
uint32_t cow_arc_similar_find(const struct cow_arc_similar *s, uint32_t number, const char *path,
			      uint64_t size);

/* ---- archive_digests.c */

/* Regular files with content, by digest. */
struct cow_arc_digests {
	const struct cow_ovl_image *img;
	uint32_t *numbers; /* sorted by (digest, number) */
	size_t n;
};
int cow_arc_digests_make(const struct cow_ovl_image *img, struct cow_arc_digests *ret);
void cow_arc_digests_done(struct cow_arc_digests *d);
/* Index of the first with this digest; d->n: none. */
size_t cow_arc_digests_find(const struct cow_arc_digests *d, const uint8_t *digest);
/* Number at @idx if it has this digest; 0: it is past the last. */
uint32_t cow_arc_digests_at(const struct cow_arc_digests *d, size_t idx, const uint8_t *digest);

#endif
