/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * fallocate(2), every mode ext4 has.
 */
#include "posix.h"

#include <linux/falloc.h>

#define KEEP FALLOC_FL_KEEP_SIZE

static void expect_range(struct here h, int fd, off_t from, size_t len, off_t shift, bool zero)
{
	static char buf[BIG_SIZE];
	expect_eq(h, "bytes read", pread(fd, buf, len, from), (int64_t)len);
	for (size_t i = 0; i < len; i++) {
		char want = big_byte((size_t)(from + shift) + i);
		if (zero)
			want = 0;
		if (buf[i] != want)
			fail(h, "byte %zu: expected 0x%02x, came 0x%02x", (size_t)from + i, want,
			     buf[i]);
	}
}
#define BIG(fd, from, len) expect_range(HERE, fd, from, len, 0, false)
#define SHIFTED(fd, from, len, shift) expect_range(HERE, fd, from, len, shift, false)
#define ZEROS(fd, from, len) expect_range(HERE, fd, from, len, 0, true)

static void fallocate_grows(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, 0, 0, BIG_SIZE + 10000));
	SIZE("big", BIG_SIZE + 10000);
	BIG(fd, 0, BIG_SIZE);
	ZEROS(fd, BIG_SIZE, 10000);
	IS(look("big").st_blocks * 512 >= BIG_SIZE + 10000);
}

static void fallocate_in_a_hole(void)
{
	int fd = open_rw("hole");
	OK(fallocate(fd, 0, 0, BIG_SIZE));
	SIZE("hole", BIG_SIZE);
	IS(look("hole").st_blocks * 512 >= BIG_SIZE);
	ZEROS(fd, 0, HOLE_DATA);
	char c;
	EQ(pread(fd, &c, 1, HOLE_DATA), 1);
	EQ(c, 'a');
}

static void fallocate_keep_size(void)
{
	int fd = open_rw("file");
	OK(fallocate(fd, KEEP, 0, 1 << 20));
	SIZE("file", LETTERS_LEN);
	DATA("file", LETTERS);
	IS(look("file").st_blocks * 512 >= 1 << 20);
}

static void fallocate_punch_hole(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | KEEP, 65536, 65536));
	BIG(fd, 0, 65536);
	ZEROS(fd, 65536, 65536);
	BIG(fd, 131072, BIG_SIZE - 131072);
	SIZE("big", BIG_SIZE);
	EQ(lseek(fd, 0, SEEK_HOLE), 65536);
	EQ(lseek(fd, 65536, SEEK_DATA), 131072);
}

static void fallocate_punch_unaligned(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | KEEP, 1001, 20003));
	BIG(fd, 0, 1001);
	ZEROS(fd, 1001, 20003);
	BIG(fd, 21004, BIG_SIZE - 21004);
}

static void fallocate_zero_range(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 1000, 50000));
	BIG(fd, 0, 1000);
	ZEROS(fd, 1000, 50000);
	BIG(fd, 51000, BIG_SIZE - 51000);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, BIG_SIZE, 1000));
	SIZE("big", BIG_SIZE + 1000);
}

static void fallocate_zero_range_keep_size(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | KEEP, BIG_SIZE - 1000, 50000));
	SIZE("big", BIG_SIZE);
	BIG(fd, 0, BIG_SIZE - 1000);
	ZEROS(fd, BIG_SIZE - 1000, 1000);
}

static void fallocate_collapse_range(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 65536, 65536));
	SIZE("big", BIG_SIZE - 65536);
	BIG(fd, 0, 65536);
	SHIFTED(fd, 65536, BIG_SIZE - 131072, 65536);
}

static void fallocate_insert_range(void)
{
	int fd = open_rw("big");
	OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, 65536, 65536));
	SIZE("big", BIG_SIZE + 65536);
	BIG(fd, 0, 65536);
	ZEROS(fd, 65536, 65536);
	SHIFTED(fd, 131072, BIG_SIZE - 65536, -65536);
}

static void fallocate_errors(void)
{
	int fd = open_rw("file");
	FAILS(EINVAL, fallocate(fd, 0, 0, 0));
	FAILS(EINVAL, fallocate(fd, 0, -1, 10));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	FAILS(EOPNOTSUPP, fallocate(fd, 1 << 20, 0, 10));
	FAILS(EBADF, fallocate(FD(open("file", O_RDONLY)), 0, 0, 10));
	FAILS(EBADF, fallocate(FD(open("dir", O_RDONLY)), 0, 0, 10));
	FAILS(EFBIG, fallocate(fd, 0, 0, INT64_MAX));
	DATA("file", LETTERS);
}

static void fallocate_by_posix(void)
{
	int fd = open_rw("file");
	EQ(posix_fallocate(fd, 100, 100), 0);
	SIZE("file", 200);
}

static void fallocate_more_than_there_is(void)
{
	FAILS(ENOSPC, fallocate(open_rw("file"), 0, 0, 1LL << 43));
	OK(truncate("file", LETTERS_LEN)); /* it may have grown */
	DATA("file", LETTERS);
}

static const struct check checks[] = {
    CHECK(fallocate_grows, NEED_BIG),
    CHECK(fallocate_in_a_hole, NEED_HOLE),
    CHECK(fallocate_keep_size, NEED_FILE),
    CHECK(fallocate_punch_hole, NEED_BIG),
    CHECK(fallocate_punch_unaligned, NEED_BIG),
    CHECK(fallocate_zero_range, NEED_BIG),
    CHECK(fallocate_zero_range_keep_size, NEED_BIG),
    CHECK(fallocate_collapse_range, NEED_BIG),
    CHECK(fallocate_insert_range, NEED_BIG),
    CHECK(fallocate_errors, NEED_FILE | NEED_DIR),
    CHECK(fallocate_by_posix, NEED_FILE),
    CHECK(fallocate_more_than_there_is, NEED_FILE),
};
TOPIC(fallocate);
