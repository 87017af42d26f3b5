/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A tar archive as a stream of members. Decompression (unpack.h) and tar parsing are two libarchive
 * readers, one feeding the other, because only then can a cut plain archive be told from a complete
 * one: the format ends with zero blocks, and libarchive is content without them.
 */
#ifndef COW_SNAPSHOT_TAR_STREAM_H
#define COW_SNAPSHOT_TAR_STREAM_H

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "unpack.h"

struct cow_tar;

/* Is this the beginning of an archive with a member? 1 or 0. */
int cow_tar_begins(const uint8_t *head, size_t len);

enum cow_tar_end {
	COW_TAR_END_MARKED, /* by blocks of zeros: without them it is cut short */
	COW_TAR_END_KNOWN,  /* what is read is known to be all by other means; some writers forget the blocks */
};

/* @unpack: from its beginning, borrowed; @what: its name for messages, kept. */
int cow_tar_open(struct cow_unpack *unpack, const char *what, enum cow_tar_end end,
		 struct cow_tar **ret, struct cow_err *err);
void cow_tar_close(struct cow_tar *t); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_tar, cow_tar_close)
#define cow_autotar COW_CLEANUP(cow_auto_cow_tar_close) struct cow_tar *

/* Next member, borrowed until the next call. Return: 1; 0 at a proper end; -EBADMSG damaged or cut.
 */
int cow_tar_next(struct cow_tar *t, struct archive_entry **ret, struct cow_err *err);

/* Next piece of the member's data; pieces left out are holes. Return: 1; 0 no more; -EBADMSG. */
int cow_tar_data(struct cow_tar *t, const void **ret, size_t *ret_len, int64_t *ret_off,
		 struct cow_err *err);

#endif
