/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files of a version that came as a difference, and whose content the base has here. With the same
 * attributes too they are one more link of the base's file, as a commit makes them (I1: nothing of
 * such a file is ever set); else, and on btrfs, they are clones or copies.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_tree.h"

#define SHARE_LOOKED_AT 32 /* files of the base with the same content */

static int is_used(const struct cow_arc_tree *t, uint32_t number)
{
	return t->used[number / 8] >> number % 8 & 1;
}

/* Can @of_base be the file itself? Not for two files of the image: they would become one. */
static int is_same(const struct cow_arc_tree *t, uint32_t number, uint32_t of_base)
{
	struct cow_ovl_image_object b;
	return cow_ovl_image_object(t->base, of_base, &b) && S_ISREG(b.attr.mode) &&
	       !is_used(t, of_base) &&
	       cow_ovl_image_compare(t->base, of_base, t->img, number) == 0;
}

/* By number first: versions of one lineage count their objects together. 0: none. */
static uint32_t find_same(const struct cow_arc_tree *t, uint32_t number,
			  const struct cow_ovl_image_object *o, size_t first)
{
	if (is_same(t, number, number))
		return number;
	for (size_t k = first; k < first + SHARE_LOOKED_AT; k++) {
		uint32_t b = cow_arc_digests_at(&t->known, k, o->digest);
		if (b == 0)
			break;
		if (is_same(t, number, b))
			return b;
	}
	return 0;
}

/* Return: 1 linked; 0 it must be copied; -errno. */
static int link_same(struct cow_arc_tree *t, uint32_t of_base, int fd, int dir, const char *name)
{
	if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0) {
		t->used[of_base / 8] |= (uint8_t)(1u << of_base % 8);
		return 1;
	}
	if (errno == EXDEV || errno == EOPNOTSUPP)
		t->cannot_link = 1;
	else if (errno != EMLINK && errno != EPERM)
		return -errno;
	return 0;
}

static int copy(struct cow_arc_tree *t, uint32_t number, int src, int dir, const char *name)
{
	struct stat st;
	cow_autoclose int dst = cow_fill_file(dir, name);
	if (dst < 0)
		return dst;
	if (fstat(src, &st) < 0)
		return -errno;
	int r = cow_fill_data(&t->copier, src, dst, &st);
	return r < 0 ? r : cow_arc_tree_attr(t, number, dst);
}

int cow_arc_share(struct cow_arc_tree *t, uint32_t number, int dir, const char *name)
{
	struct cow_ovl_image_object o;
	(void)cow_ovl_image_object(t->img, number, &o); /* the caller has it */
	size_t first = cow_arc_digests_find(&t->known, o.digest);
	if (first == t->known.n)
		return 0;
	uint32_t same = t->cannot_link ? 0 : find_same(t, number, &o, first);
	uint32_t of_base = same ? same : t->known.numbers[first];
	cow_autoclose int fd = cow_ovl_image_open_data(t->base, of_base);
	int r = fd < 0 ? fd : 0;
	if (r == 0 && same) {
		r = link_same(t, same, fd, dir, name);
		if (r == 1)
			t->fill->bytes += o.attr.size;
	}
	if (r == 0)
		r = copy(t, number, fd, dir, name);
	if (r < 0)
		return cow_arc_tree_fail(t, number, r, "take from the base");
	cow_arc_tree_set_done(t, number);
	return 1;
}
