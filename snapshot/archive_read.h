/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The records of an archive, one after the other, from whatever gives bytes. Sums, limits and order are
 * checked here; what the records mean is the caller's. Threads: one.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_READ_H
#define COW_SNAPSHOT_ARCHIVE_READ_H

#include <stdbool.h>

#include "archive_format.h"
#include "common/cleanup.h"
#include "common/err.h"

struct cow_arc_in;

/* Fill @buf with @len bytes; fewer only at the end. Return: 0, *ret_got how many; -errno. */
typedef int (*cow_arc_read_fn)(void *ctx, void *buf, size_t len, size_t *ret_got);

/* Does an archive begin like this? 1 or 0. */
int cow_arc_begins(const uint8_t *head, size_t len);

/*
 * cow_arc_in_new - @read, @ctx: called for bytes from the beginning on; @what: name for messages, kept.
 * Return: 0; -EBADMSG no archive; -EOPNOTSUPP made by a newer version; -errno.
 */
int cow_arc_in_new(cow_arc_read_fn read, void *ctx, const char *what, struct cow_arc_in **ret,
		   struct cow_err *err);
void cow_arc_in_free(struct cow_arc_in *in); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_arc_in, cow_arc_in_free)
#define cow_autoarcin COW_CLEANUP(cow_auto_cow_arc_in_free) struct cow_arc_in *

/*
 * cow_arc_in_next - the next record: HEAD, CONF, DATA as often as there is one, of a btrfs stream STREAM likewise, in
 * this order.
 * @ret: valid until the next call; its content is still packed.
 * Return: 1; 0 the archive is complete and has its digest; -EBADMSG damaged, cut short or hostile.
 */
int cow_arc_in_next(struct cow_arc_in *in, enum cow_arc_type *ret_type, struct cow_arc_block *ret,
		    struct cow_err *err);

/* cow_arc_in_unpack - its content, plain_len bytes, valid until the next call. @prefix: prefix_len bytes. */
int cow_arc_in_unpack(struct cow_arc_in *in, const void *prefix, const uint8_t **ret,
		      struct cow_err *err);

/* cow_arc_in_stream - what the STREAM record at hand adds to the stream. @give: < 0 ends it. */
int cow_arc_in_stream(struct cow_arc_in *in,
		      int (*give)(void *ctx, const void *p, size_t len, struct cow_err *err),
		      void *ctx, struct cow_err *err);

/* Does it hold a btrfs stream? */
bool cow_arc_in_is_btrfs(const struct cow_arc_in *in);

/* Bytes of the archive that were read so far. */
uint64_t cow_arc_in_at(const struct cow_arc_in *in);

/* "'WHAT' is damaged: WHY", -EBADMSG. */
int cow_arc_in_bad(const struct cow_arc_in *in, const char *why, struct cow_err *err);

#endif
