/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Archives: a version of an image on its way to another store. docs/cowherd-archive.5.pod is the reference.
 *
 *	file	0 magic "COWARCHV" | 8 version u32 = 1 | 12 flags u32: 1 btrfs | records
 *	record	0 type u32 | 4 nown u32 | 8 nfrom u32 | 12 table_len u32 | 16 plain_len u32
 *		20 prefix_len u32 | 24 packed_len u32 | 28 zeros[4] | 32 sum u64 | 40 head_sum u64
 *		then table_len bytes, packed_len bytes: zstd frames
 *	slice	0 number u32 | 4 length u32 | 8 offset u64
 *
 * Little endian; sums are XXH64. Written once from front to back. Readers refuse another version, other
 * flags, unknown types and whatever is above the limits here. With the flag, DATA is the manifest alone and STREAM
 * records follow, whose contents are one zstd frame of a btrfs send stream.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_FORMAT_H
#define COW_SNAPSHOT_ARCHIVE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define COW_ARC_MAGIC "COWARCHV"
#define COW_ARC_VERSION 1
#define COW_ARC_BTRFS 1u /* flag */
#define COW_ARC_SHA256_LEN 32

enum cow_arc_type {
	COW_ARC_HEAD = 1,
	COW_ARC_CONF = 2,
	COW_ARC_DATA = 3,
	COW_ARC_END = 4,
	COW_ARC_STREAM = 5,
};

/* Ceilings of what a stranger's archive can ask for. */
#define COW_ARC_HEAD_MAX (64u << 10)		 /* a dozen lines */
#define COW_ARC_PLAIN_MAX (32u << 20)		 /* memory of a reader */
#define COW_ARC_PREFIX_MAX (64u << 20)		 /* likewise */
#define COW_ARC_STREAM_MAX (1u << 20)		 /* memory of both; packed, a piece of the frame */
#define COW_ARC_SLICES_MAX 65536u		 /* of each kind: a table of 2 MiB */
#define COW_ARC_WINDOW_LOG 27			 /* 128 MiB hold prefix and content */
#define COW_ARC_MANIFEST_MAX (UINT64_C(1) << 30) /* memory of a reader; some 5 M objects */
#define COW_ARC_BYTES_MAX (UINT64_C(16) << 40)	 /* time: holes cost nothing to send, and are hashed */
#define COW_ARC_NUMBER_AHEAD 1000 /* versions have 32-bit numbers: none may use them up */

struct cow_arc_file {
	uint8_t magic[8], version[4], flags[4];
};
static_assert(sizeof(struct cow_arc_file) == 16, "on-disk");

struct cow_arc_record {
	uint8_t type[4], nown[4], nfrom[4], table_len[4], plain_len[4], prefix_len[4], packed_len[4],
	    zeros[4], sum[8], head_sum[8];
};
static_assert(sizeof(struct cow_arc_record) == 48, "on-disk");
static_assert(offsetof(struct cow_arc_record, sum) == 32, "on-disk");

struct cow_arc_slice_bytes {
	uint8_t number[4], length[4], offset[8];
};
static_assert(sizeof(struct cow_arc_slice_bytes) == 16, "on-disk");

#define COW_ARC_MANIFEST_NUMBER 0u

/* Bytes of an object. */
struct cow_arc_slice {
	uint32_t number, length;
	uint64_t offset;
};

/* A DATA record in memory. */
struct cow_arc_block {
	struct cow_arc_slice *own, *from;
	uint32_t nown, nfrom;
	uint32_t plain_len, prefix_len; /* sums of their lengths */
};

#endif
