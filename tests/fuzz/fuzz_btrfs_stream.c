/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * btrfs send streams before `btrfs receive` gets them. The first byte: bit 0 a difference, the others how long the pieces
 * are; then commands, whose sums are made right here, since no fuzzer gets past them. Whatever the bytes are: what is
 * given on makes one subvolume "tree", leads nowhere else, and is a stream with right sums.
 */
#include <ext2fs/ext2fs.h>
#include <stdbool.h>
#include <string.h>

#include "btrfs_stream.h"
#include "common/checked.h"

#define HEAD 17
#define STREAM_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static const uint8_t ours[COW_BTRFS_UUID_LEN] = "the fuzzer's own";

struct seen {
	bool difference;
	unsigned commands, firsts;
	uint64_t bytes, objects, length;
	uint8_t uuid[COW_BTRFS_UUID_LEN];
};

static unsigned le16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

/* Said in another way than the code under test says it. */
static void check_path(const uint8_t *p, size_t len)
{
	char copy[4200];
	must(len < 4096);
	copy[0] = '/';
	memcpy(copy + 1, p, len);
	copy[len + 1] = 0;
	must(strlen(copy) == len + 1);
	memcpy(copy + len + 1, "/", 2);
	must(len == 0 || (!strstr(copy, "//") && !strstr(copy, "/./") && !strstr(copy, "/../")));
}

static void check_attr(struct seen *s, unsigned number, unsigned type, const uint8_t *p, size_t len)
{
	bool first = number == 1 || number == 2;
	if (type == 15 && first)
		must(len == 4 && memcmp(p, "tree", 4) == 0);
	else if (type == 15 || type == 16 || type == 22 || (type == 17 && number != 8))
		check_path(p, len);
	else if (type == 1)
		memcpy(s->uuid, p, len);
	else if (type == 20)
		must(len == 16 &&
		     (memcmp(p, s->uuid, 16) == 0 || (s->difference && memcmp(p, ours, 16) == 0)));
	else if (type == 19)
		s->bytes += len;
}

static int give(void *ctx, const void *p, size_t len, struct cow_err *err)
{
	struct seen *s = ctx;
	uint8_t copy[(64 << 10) + 10];
	(void)err;
	s->length += len;
	if (s->commands++ == 0) {
		must(len == HEAD);
		return 0;
	}
	must(len >= 10 && len <= sizeof(copy));
	memcpy(copy, p, len);
	uint32_t sum = cow_get_le32(copy + 6);
	memset(copy + 6, 0, 4);
	must(sum == ext2fs_crc32c_le(0, copy, len) && cow_get_le32(copy) == len - 10);
	unsigned number = le16(copy + 4);
	must((s->commands == 2) == (number == 1 || number == 2));
	must(number != 2 || s->difference);
	s->objects += number >= 3 && number <= 8;
	for (size_t at = 10; at < len; at += 4 + le16(copy + at + 2)) {
		must(len - at >= 4 && len - at - 4 >= le16(copy + at + 2));
		check_attr(s, number, le16(copy + at), copy + at + 4, le16(copy + at + 2));
	}
	return 0;
}

static void make_sums(uint8_t *p, size_t size)
{
	size_t len;
	for (size_t at = HEAD; at < size && size - at >= 10; at += 10 + len) {
		len = cow_get_le32(p + at);
		if (len > size - at - 10)
			return;
		memset(p + at + 6, 0, 4);
		cow_put_le32(p + at + 6, ext2fs_crc32c_le(0, p + at, 10 + len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autobtrfsstream stream = NULL;
	if (size < 1 || size > STREAM_MAX)
		return 0;
	struct seen seen = {.difference = data[0] & 1};
	struct cow_btrfs_stream_opts o = {
	    .what = "input",
	    .name = "tree",
	    .difference = seen.difference,
	    .limits = {.length = 1 << 16, .bytes = 4096, .objects = 8},
	    .give = give,
	    .ctx = &seen,
	};
	memcpy(o.parent, ours, sizeof(o.parent));
	cow_autofree uint8_t *p = malloc(size);
	must(p != NULL);
	memcpy(p, data + 1, size - 1);
	make_sums(p, size - 1);
	must(cow_btrfs_stream_new(&o, &stream) == 0);
	size_t piece = 1 + (data[0] >> 1) * 7u;
	int r = 0;
	for (size_t at = 0; r == 0 && at < size - 1; at += piece)
		r = cow_btrfs_stream_take(stream, p + at,
					  size - 1 - at < piece ? size - 1 - at : piece, &err);
	if (r == 0)
		r = cow_btrfs_stream_end(stream, &err);
	must(r == 0 ? seen.length == size - 1 && seen.commands > 2
		    : err.code != COW_OK && *cow_err_str(&err));
	must(seen.bytes <= o.limits.bytes && seen.objects <= o.limits.objects &&
	     seen.length <= o.limits.length);
	return 0;
}
