/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A source file as the stream of bytes it holds, whatever it is packed with: gzip, bzip2, xz, zstd, or
 * a zip file with one member that counts. What the bytes are (tar, disk) is for the caller to see.
 */
#ifndef COW_SNAPSHOT_UNPACK_H
#define COW_SNAPSHOT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

struct cow_unpack;

#define COW_UNPACK_HEAD 4096 /* bytes that can be looked at before they are read */

/*
 * cow_unpack_open - @fd: the file or pipe, borrowed, read from where it stands; @what: its name for
 * messages, kept. *@read_bytes is advanced with every byte read from @fd.
 * Return: 0; -EBADMSG damaged, or a zip file of which no member counts; other -errno.
 */
int cow_unpack_open(int fd, const char *what, uint64_t *read_bytes, struct cow_unpack **ret,
		    struct cow_err *err);
void cow_unpack_close(struct cow_unpack *u); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_unpack, cow_unpack_close)
#define cow_autounpack COW_CLEANUP(cow_auto_cow_unpack_close) struct cow_unpack *

/* The beginning, up to COW_UNPACK_HEAD bytes; it stays to be read. Return: how much. */
size_t cow_unpack_head(const struct cow_unpack *u, const uint8_t **ret);

/* Are the bytes those of the file itself? 1 or 0. */
int cow_unpack_is_plain(const struct cow_unpack *u);

/* The next piece, never empty, valid until the next call. Return: 1; 0 at the end, all sums right;
 * -EBADMSG damaged or cut short (@u says which, cow_unpack_why()); other -errno of read(2). */
int cow_unpack_next(struct cow_unpack *u, const void **ret, size_t *ret_len);

/* What cow_unpack_next() failed of, for messages; "" before that. */
const char *cow_unpack_why(const struct cow_unpack *u);

#endif
