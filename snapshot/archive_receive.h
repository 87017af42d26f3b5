/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An archive becomes a tree and its manifest, in a directory that nobody sees yet. Knows no store.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_RECEIVE_H
#define COW_SNAPSHOT_ARCHIVE_RECEIVE_H

#include "archive_read.h"
#include "fill.h"
#include "snapshot/archive.h"
#include "unpack.h"

/* What makes the tree of an archive that holds a btrfs stream; image.ovm is in the stage by then. */
struct cow_arc_sink {
	int (*begin)(void *ctx, const struct cow_ovl_image *img, struct cow_err *err);
	int (*take)(void *ctx, const void *p, size_t len, struct cow_err *err);
	int (*end)(void *ctx, struct cow_err *err);
};

struct cow_arc_receive {
	struct cow_fill *fill; /* its tree is empty */
	int stage;	       /* image.ovm is made here */
	const char *what;      /* for messages */
	/* Asked when it is known what comes. ret_base: NULL where the archive needs none; closed by the
	 * receiver. < 0 ends it. */
	int (*accept)(void *ctx, const struct cow_archive_info *info,
		      struct cow_ovl_image **ret_base, struct cow_err *err);
	const struct cow_arc_sink *sink; /* NULL: a btrfs stream is refused */
	void *ctx;
	/* Found out, also after a failure: */
	struct cow_archive_info info;
	struct cow_kv *conf; /* NULL: it has not come; the caller frees it */
};
/* Return: 0; -EBADMSG damaged or hostile; -errno. After a failure the tree is anything. */
int cow_arc_receive(struct cow_arc_receive *rx, cow_arc_read_fn read, void *read_ctx,
		    struct cow_err *err);

/* The same with all that @u gives, whose end is the archive's. */
int cow_arc_receive_all(struct cow_arc_receive *rx, struct cow_unpack *u, struct cow_err *err);

/* ---- archive_head.c */

/* The text of a HEAD record; the caller frees. NULL: no memory. */
char *cow_arc_head_format(const struct cow_archive_info *info);
/* -EBADMSG; -EOPNOTSUPP of an unknown kind. */
int cow_arc_head_parse(const uint8_t *text, size_t len, const char *what,
		       struct cow_archive_info *ret, struct cow_err *err);

#endif
