/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A full file system refuses, and loses nothing. Only on small ones: these checks fill them.
 */
#include "posix.h"

#include <sys/statvfs.h>

#define SMALL (2LL << 30)

/* All blocks root can have, in "fill"; the fd. */
static int fill(void)
{
	struct statvfs s;
	OK(statvfs(".", &s));
	if ((int64_t)(s.f_bfree * s.f_frsize) > SMALL)
		skip("more than 2 GiB are free");
	int fd = FD(open("fill", O_CREAT | O_EXCL | O_RDWR, 0644));
	off_t at = 0;
	for (off_t len = SMALL; len >= 4096;) {
		if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, len) == 0) {
			at += len;
			continue;
		}
		EQ(errno, ENOSPC);
		len /= 2;
	}
	return fd;
}

static void expect_big_intact(void)
{
	static char want[BIG_SIZE];
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = big_byte(i);
	expect_data(HERE, "big", want, sizeof(want));
}

static void full_write_is_refused(void)
{
	static char buf[1 << 20];
	int fd = open_rw("file"), filler = fill();
	FAILS(ENOSPC, fallocate(fd, 0, 1 << 20, 1 << 20));
	ssize_t n = pwrite(fd, buf, sizeof(buf), 4096);
	if (n < 0)
		EQ(errno, ENOSPC);
	else if (n == (ssize_t)sizeof(buf)) /* gathered in memory: said later */
		FAILS(ENOSPC, fsync(fd));
	OK(close(filler));
	OK(unlink("fill"));
	OK(truncate("file", LETTERS_LEN));
	DATA("file", LETTERS);
	EQ(pwrite(fd, buf, sizeof(buf), 4096), sizeof(buf));
	OK(fsync(fd));
}

static void full_first_change_is_refused_or_done(void)
{
	OK(close(fill()));
	int r = chmod("big", 0600); /* may need a copy of it */
	if (r < 0)
		EQ(errno, ENOSPC);
	expect_big_intact();
	MODE("big", r < 0 ? 0644 : 0600);
	EQ(look("big").st_mtim.tv_nsec, OLD_NS);
	OK(unlink("fill"));
	OK(chmod("big", 0640));
	expect_big_intact();
	MODE("big", 0640);
}

static void full_open_for_writing_is_refused_or_done(void)
{
	OK(close(fill()));
	int fd = open("big", O_RDWR);
	if (fd < 0)
		EQ(errno, ENOSPC);
	expect_big_intact();
	OK(unlink("fill"));
	fd = open_rw("big");
	EQ(pwrite(fd, "A", 1, 0), 1);
	SIZE("big", BIG_SIZE);
	EQ(big_byte(0), 'A');
	expect_big_intact();
}

static int result(int r)
{
	return r < 0 ? errno : 0;
}

static void full_removal_works(void)
{
	int filler = fill();
	int file = result(unlink("file")), in = result(unlink("dir/in"));
	int dir = result(rmdir("dir"));
	OK(ftruncate(filler, 0)); /* so that this one's objects can be removed, whatever came */
	EQ(file, 0);
	EQ(in, 0);
	EQ(dir, 0);
	GONE("file");
	GONE("dir");
	put("file", "again");
	DATA("file", "again");
}

static const struct check checks[] = {
    CHECK(full_write_is_refused, NEED_FILE),
    CHECK(full_first_change_is_refused_or_done, NEED_BIG),
    CHECK(full_open_for_writing_is_refused_or_done, NEED_BIG),
    CHECK(full_removal_works, NEED_FILE | NEED_DIR),
};
TOPIC(full);
