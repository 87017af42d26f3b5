/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "archive_write.h"
#include "common/checked.h"

COW_DEFINE_AUTO(ZSTD_CCtx, ZSTD_freeCCtx)

#define TABLE_LEVEL 19 /* a table is small */
#define LDM_FROM (1u << 20)
#define CHAIN_FROM 5 /* levels of zstd whose matches are found by chains */
#define TREE_FROM 13 /* by a tree, which takes twice the room */
#define HASH_MAX 24u  /* 64 MiB for a thread */
#define CHAIN_MAX 26u /* 256 MiB for a thread, of trees */

static unsigned window_log(size_t len)
{
	unsigned log = 10; /* the smallest of zstd */
	while (log < COW_ARC_WINDOW_LOG && (size_t)1 << log < len)
		log++;
	return log;
}

static int set(ZSTD_CCtx *c, ZSTD_cParameter which, int value)
{
	return ZSTD_isError(ZSTD_CCtx_setParameter(c, which, value)) ? -EINVAL : 0;
}

/* With a prefix the whole of it has to be in reach, which the level alone does not provide for. */
static int reach(ZSTD_CCtx *c, unsigned log, int level)
{
	unsigned chain = level < TREE_FROM ? log : log + 1;
	int r = set(c, ZSTD_c_chainLog, (int)(chain < CHAIN_MAX ? chain : CHAIN_MAX));
	if (r == 0 && level < TREE_FROM)
		r = set(c, ZSTD_c_hashLog, (int)(log < HASH_MAX ? log : HASH_MAX));
	return r;
}

static int set_up(ZSTD_CCtx *c, size_t plain, size_t prefix, int level)
{
	unsigned log = window_log(plain + prefix);
	int r = set(c, ZSTD_c_compressionLevel, level);
	if (r == 0)
		r = set(c, ZSTD_c_windowLog, (int)log);
	if (r == 0 && plain + prefix >= LDM_FROM)
		r = set(c, ZSTD_c_enableLongDistanceMatching, 1);
	if (r == 0 && prefix && level >= CHAIN_FROM)
		r = reach(c, log, level);
	return r;
}

/* -> length or -errno */
static ssize_t pack(const void *prefix, size_t prefix_len, const void *plain, size_t len, int level,
		    uint8_t *to, size_t room)
{
	COW_CLEANUP(cow_auto_ZSTD_freeCCtx) ZSTD_CCtx *c = ZSTD_createCCtx();
	if (!c)
		return -ENOMEM;
	int r = set_up(c, len, prefix_len, level);
	if (r < 0)
		return r;
	if (prefix_len && ZSTD_isError(ZSTD_CCtx_refPrefix(c, prefix, prefix_len)))
		return -ENOMEM;
	size_t n = ZSTD_compress2(c, to, room, plain, len);
	return ZSTD_isError(n) ? -ENOMEM : (ssize_t)n; /* there is room, so nothing else is lacking */
}

static void put_slices(struct cow_arc_slice_bytes *to, const struct cow_arc_slice *s, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		cow_put_le32(to[k].number, s[k].number);
		cow_put_le32(to[k].length, s[k].length);
		cow_put_le64(to[k].offset, s[k].offset);
	}
}

int cow_arc_pack(enum cow_arc_type type, const struct cow_arc_block *b, const void *prefix,
		 const void *plain, int level, struct cow_arc_packed *ret)
{
	size_t slices = (size_t)b->nown + b->nfrom;
	size_t table_len = slices * sizeof(struct cow_arc_slice_bytes);
	size_t room = sizeof(struct cow_arc_record) + ZSTD_compressBound(table_len) +
		      ZSTD_compressBound(b->plain_len);
	cow_autofree struct cow_arc_slice_bytes *table = malloc(table_len + 1);
	cow_autofree uint8_t *bytes = malloc(room);
	if (!table || !bytes)
		return -ENOMEM;
	struct cow_arc_record h = {.zeros = {0}};
	put_slices(table, b->own, b->nown);
	put_slices(table + b->nown, b->from, b->nfrom);
	uint8_t *at = bytes + sizeof(h);
	ssize_t packed_table =
	    slices ? pack(NULL, 0, table, table_len, TABLE_LEVEL, at, room - sizeof(h)) : 0;
	if (packed_table < 0)
		return (int)packed_table;
	ssize_t packed = pack(prefix, b->prefix_len, plain, b->plain_len, level, at + packed_table,
			      room - sizeof(h) - (size_t)packed_table);
	if (packed < 0)
		return (int)packed;
	cow_put_le32(h.type, type);
	cow_put_le32(h.nown, b->nown);
	cow_put_le32(h.nfrom, b->nfrom);
	cow_put_le32(h.table_len, (uint32_t)packed_table);
	cow_put_le32(h.plain_len, b->plain_len);
	cow_put_le32(h.prefix_len, b->prefix_len);
	cow_put_le32(h.packed_len, (uint32_t)packed);
	cow_put_le64(h.sum, XXH64(at, (size_t)(packed_table + packed), 0));
	cow_put_le64(h.head_sum, XXH64(&h, offsetof(struct cow_arc_record, head_sum), 0));
	memcpy(bytes, &h, sizeof(h));
	ret->len = sizeof(h) + (size_t)(packed_table + packed);
	ret->bytes = cow_steal_ptr(&bytes);
	return 0;
}
