/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A btrfs send stream from a stranger, looked at command by command before `btrfs receive` gets it. Only a stream that
 * makes one subvolume passes, whose paths lie in it, which stands on the subvolume that is meant and on no other, and
 * which holds no more than was said. What the subvolume it stands on is called is rewritten: in another store
 * the same version is another subvolume. Knows no file system. Threads: one.
 *
 *	stream	"btrfs-stream" NUL | version u32 = 1 | commands
 *	command	0 length u32 of what follows | 4 command u16 | 6 CRC-32C u32 of all, itself as zeros | attributes
 *	attribute	0 type u16 | 2 length u16 | value
 *
 * Little endian. Source: fs/btrfs/send.h of the kernel; version 1 is what every `btrfs receive` takes.
 */
#ifndef COW_SNAPSHOT_BTRFS_STREAM_H
#define COW_SNAPSHOT_BTRFS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "btrfs.h"
#include "common/cleanup.h"
#include "common/err.h"

/* What it may hold, at most. */
struct cow_btrfs_stream_limits {
	uint64_t length;  /* of the stream */
	uint64_t bytes;	  /* of content that is written */
	uint64_t objects; /* that are made */
};

struct cow_btrfs_stream_opts {
	const char *what, *name; /* name: of the subvolume that is made */
	bool difference;	 /* it stands on another subvolume, called: */
	uint8_t parent[COW_BTRFS_UUID_LEN];
	uint64_t parent_ctransid;
	struct cow_btrfs_stream_limits limits;
	/* Takes what was found good, whole commands. < 0 ends it. */
	int (*give)(void *ctx, const void *p, size_t len, struct cow_err *err);
	void *ctx;
};

struct cow_btrfs_stream;

/* @opts: copied; .what and .name are kept. Return: 0; -ENOMEM. */
int cow_btrfs_stream_new(const struct cow_btrfs_stream_opts *opts, struct cow_btrfs_stream **ret);
void cow_btrfs_stream_free(struct cow_btrfs_stream *s); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_btrfs_stream, cow_btrfs_stream_free)
#define cow_autobtrfsstream COW_CLEANUP(cow_auto_cow_btrfs_stream_free) struct cow_btrfs_stream *

/* The next bytes. Return: 0; -EBADMSG damaged or hostile; -EOPNOTSUPP another version; give()'s. */
int cow_btrfs_stream_take(struct cow_btrfs_stream *s, const void *p, size_t len,
			  struct cow_err *err);
/* No more come. Return: 0; -EBADMSG it is not complete. */
int cow_btrfs_stream_end(const struct cow_btrfs_stream *s, struct cow_err *err);

#endif
