/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The attributes by which objects of an upper tree say what they are. Those of the kernel's overlay
 * file system have its format; ours is
 *
 *	trusted.cowherd.id	0 lineage[16] | 16 number le32
 *
 * on every directory that stands for one of the image, and on every other object of the image that
 * has, or had, a name away from its home (or several names there): number of the object in the
 * images of that lineage. Written before the object leaves home; never changed after.
 */
#ifndef COW_OVERLAY_IDATTR_H
#define COW_OVERLAY_IDATTR_H

#include <assert.h>
#include <stdint.h>

#define COW_XA_ID "trusted.cowherd.id"
#define COW_XA_OPAQUE "trusted.overlay.opaque" /* "y": nothing of the image shows below */
#define COW_XA_REDIRECT                                                                            \
	"trusted.overlay.redirect"	       /* "/path": the image's directory it stands for */
#define COW_XA_ORIGIN "trusted.overlay.origin" /* handle of the lower file, see ident.c */
#define COW_XA_IMPURE "trusted.overlay.impure" /* "y": holds objects that came from the image */

#define COW_XA_WHITEOUT "trusted.overlay.whiteout" /* an empty file means a deleted name */

/* See ident.c. */
#define COW_ORIGIN_HEAD 21
#define COW_ORIGIN_MAGIC 0xfb

struct cow_id_attr {
	uint8_t lineage[16], number[4];
};
static_assert(sizeof(struct cow_id_attr) == 20, "on-disk");

#endif
