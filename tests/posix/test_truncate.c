/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * truncate(2), ftruncate(2), O_TRUNC: sizes, zeros, errors.
 */
#include "posix.h"

#include <signal.h>
#include <sys/resource.h>

static void truncate_shrinks(void)
{
	OK(truncate("file", 5));
	DATA("file", "abcde");
}

static void truncate_to_nothing(void)
{
	OK(truncate("big", 0));
	SIZE("big", 0);
	EQ(look("big").st_blocks, 0);
	DATA("big", "");
}

static void truncate_to_the_same(void)
{
	OK(truncate("file", LETTERS_LEN));
	DATA("file", LETTERS);
}

static void truncate_grows_with_zeros(void)
{
	char want[100] = LETTERS;
	OK(truncate("file", sizeof(want)));
	expect_data(HERE, "file", want, sizeof(want));
}

static void truncate_shrink_and_grow_forgets(void)
{
	char want[LETTERS_LEN] = "abc";
	OK(truncate("file", 3));
	OK(truncate("file", LETTERS_LEN));
	expect_data(HERE, "file", want, sizeof(want));
}

static void truncate_in_the_middle_of_a_page(void)
{
	static char want[BIG_SIZE];
	for (size_t i = 0; i < 100001; i++)
		want[i] = big_byte(i);
	OK(truncate("big", 100001));
	expect_data(HERE, "big", want, 100001);
	OK(truncate("big", BIG_SIZE));
	expect_data(HERE, "big", want, BIG_SIZE);
}

static void truncate_one_byte_less(void)
{
	static char want[BIG_SIZE];
	for (size_t i = 0; i < BIG_SIZE; i++)
		want[i] = big_byte(i);
	OK(truncate("big", BIG_SIZE - 1));
	expect_data(HERE, "big", want, BIG_SIZE - 1);
}

static void truncate_by_fd(void)
{
	int fd = open_rw("file");
	EQ(lseek(fd, 20, SEEK_SET), 20);
	OK(ftruncate(fd, 3));
	EQ(lseek(fd, 0, SEEK_CUR), 20); /* stays */
	EQ(write(fd, "X", 1), 1);
	SIZE("file", 21);
}

static void truncate_seen_by_others(void)
{
	char c;
	int fd = FD(open("file", O_RDONLY));
	EQ(pread(fd, &c, 1, 20), 1);
	OK(truncate("file", 3));
	EQ(pread(fd, &c, 1, 20), 0);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_size, 3);
}

static void truncate_beyond_4_gib(void)
{
	OK(truncate("file", (5LL << 30) + 1));
	SIZE("file", (5LL << 30) + 1);
	IS(look("file").st_blocks < 1000);
	OK(truncate("file", LETTERS_LEN));
	DATA("file", LETTERS);
}

static void truncate_of_a_hard_link(void)
{
	OK(truncate("hard1", 2));
	DATA("hard2", "ab");
}

static void truncate_through_a_link(void)
{
	OK(truncate("link", 2));
	DATA("file", "ab");
	SIZE("link", 4);
}

static void truncate_errors(void)
{
	FAILS(EISDIR, truncate("dir", 0));
	FAILS(ENOENT, truncate("nothing", 0));
	FAILS(ENOTDIR, truncate("file/x", 0));
	FAILS(EINVAL, truncate("file", -1));
	FAILS(EINVAL, truncate("fifo", 0));
	FAILS(EINVAL, ftruncate(FD(open("file", O_RDONLY)), 0));
	FAILS(EINVAL, ftruncate(open_rw("file"), -1));
	DATA("file", LETTERS);
}

static void truncate_too_large(void)
{
	FAILS(EFBIG, truncate("file", INT64_MAX));
	DATA("file", LETTERS);
}

static void truncate_beyond_the_limit(void)
{
	const struct rlimit limit = {1000, 1000};
	in_child()
	{
		(void)signal(SIGXFSZ, SIG_IGN);
		OK(setrlimit(RLIMIT_FSIZE, &limit));
		FAILS(EFBIG, truncate("file", 1001));
		OK(truncate("file", 1000));
		FAILS(EFBIG, pwrite(open_rw("file"), "x", 1, 1000));
		EQ(pwrite(open_rw("file"), "xyz", 3, 998), 2);
	}
	SIZE("file", 1000);
}

static void truncate_by_open(void)
{
	OK(close(FD(open("file", O_WRONLY | O_TRUNC))));
	SIZE("file", 0);
	MODE("file", 0644);
	NLINK("file", 1);
}

static void truncate_by_open_for_reading(void)
{
	OK(close(FD(open("file", O_RDONLY | O_TRUNC)))); /* Linux does it */
	SIZE("file", 0);
}

static void truncate_by_open_keeps_other_names(void)
{
	OK(close(FD(open("hard1", O_WRONLY | O_TRUNC))));
	SIZE("hard2", 0);
	SAME("hard1", "hard2");
}

static void truncate_a_holed_file(void)
{
	OK(truncate("hole", HOLE_DATA + 3));
	int fd = FD(open("hole", O_RDONLY));
	char buf[8] = "";
	EQ(pread(fd, buf, 8, HOLE_DATA), 3);
	IS(memcmp(buf, "abc", 3) == 0);
	EQ(pread(fd, buf, 8, 100), 8);
	EQ(buf[0], 0);
}

static const struct check checks[] = {
    CHECK(truncate_shrinks, NEED_FILE),
    CHECK(truncate_to_nothing, NEED_BIG),
    CHECK(truncate_to_the_same, NEED_FILE),
    CHECK(truncate_grows_with_zeros, NEED_FILE),
    CHECK(truncate_shrink_and_grow_forgets, NEED_FILE),
    CHECK(truncate_in_the_middle_of_a_page, NEED_BIG),
    CHECK(truncate_one_byte_less, NEED_BIG),
    CHECK(truncate_by_fd, NEED_FILE),
    CHECK(truncate_seen_by_others, NEED_FILE),
    CHECK(truncate_beyond_4_gib, NEED_FILE),
    CHECK(truncate_of_a_hard_link, NEED_HARD),
    CHECK(truncate_through_a_link, NEED_FILE | NEED_LINK),
    CHECK(truncate_errors, NEED_FILE | NEED_DIR | NEED_FIFO),
    CHECK(truncate_too_large, NEED_FILE),
    CHECK(truncate_beyond_the_limit, NEED_FILE),
    CHECK(truncate_by_open, NEED_FILE),
    CHECK(truncate_by_open_for_reading, NEED_FILE),
    CHECK(truncate_by_open_keeps_other_names, NEED_HARD),
    CHECK(truncate_a_holed_file, NEED_HOLE),
};
TOPIC(truncate);
