/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data: offsets, vectors, holes, copies inside the kernel, large files.
 */
#include "posix.h"

#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void expect_big(struct here h, int fd, off_t from, size_t len, off_t shift)
{
	static char buf[BIG_SIZE];
	expect_eq(h, "bytes read", pread(fd, buf, len, from), (int64_t)len);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != big_byte((size_t)(from + shift) + i))
			fail(h, "byte %zu: expected 0x%02x, came 0x%02x", (size_t)from + i,
			     big_byte((size_t)(from + shift) + i), buf[i]);
}
#define BIG(fd, from, len) expect_big(HERE, fd, from, len, 0)

static void io_read_at_the_end(void)
{
	char buf[100], *volatile nowhere = (char *)8;
	int fd = FD(open("file", O_RDONLY));
	EQ(pread(fd, buf, 100, 20), 6);
	EQ(pread(fd, buf, 100, LETTERS_LEN), 0);
	EQ(pread(fd, buf, 100, 1 << 20), 0);
	EQ(pread(fd, buf, 0, 0), 0);
	FAILS(EINVAL, pread(fd, buf, 1, -1));
	FAILS(EFAULT, pread(fd, nowhere, 1, 0));
}

static void io_read_all_of_a_big_file(void)
{
	BIG(FD(open("big", O_RDONLY)), 0, BIG_SIZE);
	SIZE("big", BIG_SIZE);
}

static void io_write_in_the_middle(void)
{
	int fd = open_rw("big");
	EQ(pwrite(fd, "middle", 6, 100000), 6);
	BIG(fd, 0, 100000);
	BIG(fd, 100006, BIG_SIZE - 100006);
	char buf[6];
	EQ(pread(fd, buf, 6, 100000), 6);
	IS(memcmp(buf, "middle", 6) == 0);
	SIZE("big", BIG_SIZE);
}

static void io_write_behind_the_end(void)
{
	static const char end[3] = {'e', 'n', 'd'};
	char want[60] = LETTERS;
	int fd = open_rw("file");
	EQ(pwrite(fd, end, sizeof(end), 57), sizeof(end));
	memcpy(want + 57, end, sizeof(end));
	expect_data(HERE, "file", want, sizeof(want));
}

static void io_offsets(void)
{
	char c;
	int fd = open_rw("file");
	EQ(lseek(fd, 3, SEEK_SET), 3);
	EQ(lseek(fd, 2, SEEK_CUR), 5);
	EQ(read(fd, &c, 1), 1);
	EQ(c, 'f');
	EQ(lseek(fd, -1, SEEK_END), LETTERS_LEN - 1);
	EQ(write(fd, "!?", 2), 2);
	EQ(lseek(fd, 0, SEEK_CUR), LETTERS_LEN + 1);
	FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
	EQ(lseek(fd, 1000, SEEK_SET), 1000);
	SIZE("file", LETTERS_LEN + 1);
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 1000);
}

static void io_vectors(void)
{
	char a[3], b[5], c[30];
	const struct iovec in[] = {{a, 3}, {b, 5}, {c, 30}};
	const struct iovec out[] = {{(char[]){'1', '2'}, 2}, {NULL, 0}, {(char[]){'3'}, 1}};
	int fd = open_rw("file");
	EQ(readv(fd, in, 3), LETTERS_LEN);
	IS(memcmp(b, "defgh", 5) == 0);
	EQ(preadv(fd, in, 2, 10), 8);
	IS(memcmp(a, "klm", 3) == 0);
	EQ(pwritev(fd, out, 3, 1), 3);
	DATA("file", "a123efghijklmnopqrstuvwxyz");
	volatile int fewer = -1;
	FAILS(EINVAL, readv(fd, in, fewer));
}

static void io_pwritev2_append(void)
{
	const struct iovec out = {(char[]){'!'}, 1};
	int fd = open_rw("file");
	EQ(pwritev2(fd, &out, 1, 0, RWF_APPEND), 1);
	DATA("file", LETTERS "!");
}

static void io_dup_shares_the_offset(void)
{
	char c;
	int fd = FD(open("file", O_RDONLY)), other = FD(dup(fd));
	EQ(read(fd, &c, 1), 1);
	EQ(read(other, &c, 1), 1);
	EQ(c, 'b');
}

static void io_visible_to_another_process(void)
{
	int fd = open_rw("file");
	EQ(pwrite(fd, "ZZ", 2, 0), 2); /* not closed, not synced */
	in_child() DATA("file", "ZZcdefghijklmnopqrstuvwxyz");
	in_child() EQ(pwrite(open_rw("file"), "YY", 2, 2), 2);
	DATA("file", "ZZYYefghijklmnopqrstuvwxyz");
}

static void io_sync_calls(void)
{
	int fd = open_rw("file");
	EQ(write(fd, "x", 1), 1);
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	OK(syncfs(fd));
	OK(fsync(FD(open("file", O_RDONLY))));
}

static void io_advice(void)
{
	int fd = FD(open("big", O_RDONLY));
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	OK(readahead(fd, 0, BIG_SIZE));
	BIG(fd, 0, BIG_SIZE);
}

/* ---------------------------------------------------------------- holes, large files */

static void io_hole_reads_as_zeros(void)
{
	static char buf[BIG_SIZE], want[BIG_SIZE];
	memcpy(want + HOLE_DATA, LETTERS, LETTERS_LEN);
	int fd = FD(open("hole", O_RDONLY));
	EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	IS(memcmp(buf, want, sizeof(buf)) == 0);
	IS(look("hole").st_blocks * 512 <= BIG_SIZE / 2);
}

static void expect_hole(int fd)
{
	EQ(lseek(fd, 0, SEEK_HOLE), 0);
	off_t data = OK(lseek(fd, 0, SEEK_DATA));
	IS(data > 0 && data <= HOLE_DATA);
	IS(OK(lseek(fd, HOLE_DATA, SEEK_HOLE)) > HOLE_DATA);
	IS(OK(lseek(fd, HOLE_DATA, SEEK_HOLE)) < BIG_SIZE);
	FAILS(ENXIO, lseek(fd, BIG_SIZE - 1, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, BIG_SIZE, SEEK_HOLE));
}

static void io_seek_hole_and_data(void)
{
	expect_hole(FD(open("hole", O_RDONLY)));
}

static void io_holes_stay_after_a_write(void)
{
	int fd = open_rw("hole");
	EQ(pwrite(fd, "A", 1, HOLE_DATA), 1);
	OK(fsync(fd));
	expect_hole(fd);
	IS(look("hole").st_blocks * 512 <= BIG_SIZE / 2);
}

static void io_seek_in_a_full_file(void)
{
	int fd = FD(open("big", O_RDONLY));
	EQ(lseek(fd, 1000, SEEK_DATA), 1000);
	EQ(lseek(fd, 1000, SEEK_HOLE), BIG_SIZE);
	FAILS(ENXIO, lseek(fd, BIG_SIZE, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, -1, SEEK_DATA));
}

static void io_new_sparse_file(void)
{
	int fd = FD(open("new", O_CREAT | O_RDWR, 0644));
	EQ(pwrite(fd, "x", 1, 10 << 20), 1);
	SIZE("new", (10 << 20) + 1);
	OK(fsync(fd));
	IS(look("new").st_blocks * 512 < 1 << 20);
	off_t data = OK(lseek(fd, 0, SEEK_DATA));
	IS(data > 0);
}

static void io_beyond_4_gib(void)
{
	static const off_t at[] = {(1LL << 31) - 2, (1LL << 32) - 2, (1LL << 32) + 5, 1LL << 40};
	char buf[4];
	int fd = FD(open("file", O_RDWR));
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++)
		EQ(pwrite(fd, "1234", 4, at[i]), 4);
	SIZE("file", (1LL << 40) + 4);
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		EQ(pread(fd, buf, 4, at[i]), 4);
		IS(memcmp(buf, "1234", 4) == 0);
	}
	EQ(pread(fd, buf, 4, (1LL << 31) + 2), 4);
	EQ(buf[0], 0);
	EQ(pread(fd, buf, 4, 0), 4);
	IS(memcmp(buf, "abcd", 4) == 0);
	EQ(lseek(fd, 0, SEEK_END), (1LL << 40) + 4);
	IS(look("file").st_blocks < 1000);
	OK(ftruncate(fd, 0));
}

static void io_beyond_the_largest(void)
{
	int fd = open_rw("file");
	FAILS(EFBIG, pwrite(fd, "x", 1, 1LL << 60));
	FAILS(EINVAL, pwrite(fd, "x", 1, -1));
}

/* ---------------------------------------------------------------- copies inside the kernel */

static void io_copy_file_range(void)
{
	int in = FD(open("big", O_RDONLY)), out = FD(open("new", O_CREAT | O_RDWR, 0644));
	loff_t from = 1000, to = 0;
	ssize_t left = 100000;
	while (left > 0) {
		ssize_t n = OK(copy_file_range(in, &from, out, &to, (size_t)left, 0));
		IS(n > 0);
		left -= n;
	}
	EQ(from, 101000);
	SIZE("new", 100000);
	expect_big(HERE, out, 0, 100000, 1000);
}

static void io_copy_file_range_onto_below(void)
{
	int in = FD(open("file", O_RDONLY)), out = open_rw("big");
	loff_t to = 5000;
	EQ(copy_file_range(in, NULL, out, &to, LETTERS_LEN, 0), LETTERS_LEN);
	char buf[LETTERS_LEN];
	EQ(pread(out, buf, LETTERS_LEN, 5000), LETTERS_LEN);
	IS(memcmp(buf, LETTERS, LETTERS_LEN) == 0);
	BIG(out, 0, 5000);
	BIG(out, 5000 + LETTERS_LEN, BIG_SIZE - 5000 - LETTERS_LEN);
}

static void io_copy_file_range_errors(void)
{
	int in = FD(open("big", O_RDONLY)), out = open_rw("file");
	loff_t from = 0, to = 10;
	FAILS(EBADF, copy_file_range(out, NULL, in, NULL, 10, 0));
	FAILS(EINVAL, copy_file_range(in, NULL, out, NULL, 10, 1U << 20));
	FAILS(EINVAL, copy_file_range(out, &from, out, &to, 20, 0)); /* overlaps */
	from = BIG_SIZE;
	EQ(copy_file_range(in, &from, out, NULL, 10, 0), 0);
	DATA("file", LETTERS);
}

static void io_sendfile(void)
{
	int in = FD(open("big", O_RDONLY)), out = FD(open("new", O_CREAT | O_RDWR, 0644));
	off_t from = 100;
	while (from < BIG_SIZE)
		IS(OK(sendfile(out, in, &from, BIG_SIZE)) > 0);
	SIZE("new", BIG_SIZE - 100);
	expect_big(HERE, out, 0, BIG_SIZE - 100, 100);
}

static void io_splice(void)
{
	int in = FD(open("file", O_RDONLY)), out = open_rw("big"), p[2];
	loff_t to = 7;
	char buf[LETTERS_LEN];
	OK(pipe(p));
	EQ(splice(in, NULL, p[1], NULL, LETTERS_LEN, 0), LETTERS_LEN);
	EQ(splice(p[0], NULL, out, &to, LETTERS_LEN, 0), LETTERS_LEN);
	EQ(pread(out, buf, LETTERS_LEN, 7), LETTERS_LEN);
	IS(memcmp(buf, LETTERS, LETTERS_LEN) == 0);
}

static void io_reflink_is_refused(void)
{
	int in = FD(open("big", O_RDONLY)), out = FD(open("new", O_CREAT | O_RDWR, 0644));
	FAILS(EOPNOTSUPP, ioctl(out, FICLONE, in));
	SIZE("new", 0);
}

static void io_on_a_read_only_fd_of_another_state(void)
{
	char c;
	OK(chmod("file", 0400));
	int fd = FD(open("file", O_RDONLY));
	OK(unlink("file"));
	put("file", "another");
	EQ(pread(fd, &c, 1, 25), 1);
	EQ(c, 'z');
	DATA("file", "another");
}

static const struct check checks[] = {
    CHECK(io_read_at_the_end, NEED_FILE),
    CHECK(io_read_all_of_a_big_file, NEED_BIG),
    CHECK(io_write_in_the_middle, NEED_BIG),
    CHECK(io_write_behind_the_end, NEED_FILE),
    CHECK(io_offsets, NEED_FILE),
    CHECK(io_vectors, NEED_FILE),
    CHECK(io_pwritev2_append, NEED_FILE),
    CHECK(io_dup_shares_the_offset, NEED_FILE),
    CHECK(io_visible_to_another_process, NEED_FILE),
    CHECK(io_sync_calls, NEED_FILE),
    CHECK(io_advice, NEED_BIG),
    CHECK(io_hole_reads_as_zeros, NEED_HOLE),
    CHECK(io_seek_hole_and_data, NEED_HOLE),
    CHECK(io_holes_stay_after_a_write, NEED_HOLE),
    CHECK(io_seek_in_a_full_file, NEED_BIG),
    CHECK(io_new_sparse_file, 0),
    CHECK(io_beyond_4_gib, NEED_FILE),
    CHECK(io_beyond_the_largest, NEED_FILE),
    CHECK(io_copy_file_range, NEED_BIG),
    CHECK(io_copy_file_range_onto_below, NEED_FILE | NEED_BIG),
    CHECK(io_copy_file_range_errors, NEED_FILE | NEED_BIG),
    CHECK(io_sendfile, NEED_BIG),
    CHECK(io_splice, NEED_FILE | NEED_BIG),
    CHECK(io_reflink_is_refused, NEED_BIG),
    CHECK(io_on_a_read_only_fd_of_another_state, NEED_FILE),
};
TOPIC(io);
