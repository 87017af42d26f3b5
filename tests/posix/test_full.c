/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A full file system refuses, and loses nothing. Only on small ones: these checks fill them.
 */
#include "posix.h"

#include <sys/statvfs.h>

#define SMALL (2LL << 30)

static int write_zeros(int fd, off_t at, off_t len)
{
	static char zeros[1 << 20];
	for (off_t n; len > 0; at += n, len -= n) {
		n = pwrite(fd, zeros, len < (off_t)sizeof(zeros) ? (size_t)len : sizeof(zeros), at);
		if (n < 0)
			return -1;
	}
	return fsync(fd);
}

/* By the best means there is: NFS has less and less of them the older it is. */
static int take_blocks(int fd, off_t at, off_t len)
{
	int r = fallocate(fd, FALLOC_FL_KEEP_SIZE, at, len);
	if (r < 0 && errno == EOPNOTSUPP)
		r = fallocate(fd, 0, at, len);
	if (r < 0 && errno == EOPNOTSUPP)
		r = write_zeros(fd, at, len);
	return r;
}

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
		if (take_blocks(fd, at, len) == 0) {
			at += len;
			continue;
		}
		EQ(errno, ENOSPC);
		len /= 2;
	}
	return fd;
}

static int result(int r)
{
	return r < 0 ? errno : 0;
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
	int r = result(fallocate(fd, 0, 1 << 20, 1 << 20));
	if (r != EOPNOTSUPP)
		EQ(r, ENOSPC);
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
