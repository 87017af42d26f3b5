/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Mappings, and that they agree with read(2) and write(2).
 */
#include "posix.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char *map(const char *path, int prot, int flags, size_t len)
{
	int fd = FD(open(path, prot & PROT_WRITE && flags & MAP_SHARED ? O_RDWR : O_RDONLY));
	char *p = mmap(NULL, len, prot, flags, fd, 0);
	if (p == MAP_FAILED)
		fail(HERE, "mmap of %s: expected success, came %s", path, strerrorname_np(errno));
	OK(close(fd));
	return p;
}

static void mmap_shows_the_file(void)
{
	char *p = map("big", PROT_READ, MAP_SHARED, BIG_SIZE);
	for (size_t i = 0; i < BIG_SIZE; i++)
		if (p[i] != big_byte(i))
			fail(HERE, "byte %zu differs", i);
	p = map("file", PROT_READ, MAP_PRIVATE, 4096);
	IS(memcmp(p, LETTERS, LETTERS_LEN) == 0);
	EQ(p[LETTERS_LEN], 0); /* the rest of the page */
}

static void mmap_shared_write_is_read(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	p[0] = 'M';
	DATA("file", "Mbcdefghijklmnopqrstuvwxyz");
	OK(msync(p, LETTERS_LEN, MS_SYNC));
	OK(munmap(p, LETTERS_LEN));
	DATA("file", "Mbcdefghijklmnopqrstuvwxyz");
}

static void mmap_shared_write_without_msync(void)
{
	in_child()
	{
		char *p = map("big", PROT_READ | PROT_WRITE, MAP_SHARED, BIG_SIZE);
		memset(p, 'M', BIG_SIZE);
	}
	int fd = FD(open("big", O_RDONLY));
	char c;
	for (off_t at = 0; at < BIG_SIZE; at += 4095) {
		EQ(pread(fd, &c, 1, at), 1);
		EQ(c, 'M');
	}
}

static void mmap_shared_sees_write(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	EQ(p[1], 'b');
	EQ(pwrite(open_rw("file"), "W", 1, 1), 1);
	EQ(p[1], 'W');
}

static void mmap_reader_sees_later_write(void)
{
	char *p = map("file", PROT_READ, MAP_SHARED, LETTERS_LEN); /* opened for reading only */
	EQ(p[1], 'b');
	EQ(pwrite(open_rw("file"), "W", 1, 1), 1);
	EQ(p[1], 'W');
}

static void mmap_between_processes(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	in_child()
	{
		char *q = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
		q[2] = 'Q';
	}
	EQ(p[2], 'Q');
	DATA("file", "abQdefghijklmnopqrstuvwxyz");
}

static void mmap_two_names_one_memory(void)
{
	char *p = map("hard1", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	char *q = map("hard2", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	p[0] = 'H';
	EQ(q[0], 'H');
	DATA("hard2", "Hbcdefghijklmnopqrstuvwxyz");
}

static void mmap_private_write_is_private(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_PRIVATE, LETTERS_LEN);
	p[0] = 'P';
	DATA("file", LETTERS);
	EQ(p[1], 'b');
}

static void mmap_behind_the_end(void)
{
	in_child()
	{
		pid_t pid = fork();
		int status;
		if (pid == 0) {
			volatile char *p = map("file", PROT_READ, MAP_SHARED, 8192);
			_exit(p[4096]);
		}
		EQ(waitpid(pid, &status, 0), pid);
		IS(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	}
}

static void mmap_after_growth(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, 8192);
	int fd = open_rw("file");
	OK(ftruncate(fd, 8192));
	EQ(p[5000], 0);
	p[5000] = 'G';
	char c;
	EQ(pread(fd, &c, 1, 5000), 1);
	EQ(c, 'G');
}

static void mmap_truncate_zeroes_the_page(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	OK(truncate("file", 3));
	EQ(p[2], 'c');
	EQ(p[3], 0);
	OK(truncate("file", LETTERS_LEN));
	EQ(p[10], 0);
}

static void mmap_outlives_its_name(void)
{
	char *p = map("file", PROT_READ | PROT_WRITE, MAP_SHARED, LETTERS_LEN);
	OK(unlink("file"));
	EQ(p[5], 'f');
	p[5] = 'U';
	OK(msync(p, LETTERS_LEN, MS_SYNC));
	EQ(p[5], 'U');
}

static void mmap_needs_the_right_open(void)
{
	int r = FD(open("file", O_RDONLY)), w = FD(open("file", O_WRONLY));
	errno = 0;
	IS(mmap(NULL, 26, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0) == MAP_FAILED);
	EQ(errno, EACCES);
	IS(mmap(NULL, 26, PROT_READ, MAP_SHARED, w, 0) == MAP_FAILED);
	EQ(errno, EACCES);
	IS(mmap(NULL, 26, PROT_READ | PROT_WRITE, MAP_PRIVATE, r, 0) != MAP_FAILED);
	IS(mmap(NULL, 26, PROT_READ, MAP_SHARED, FD(open("dir", O_RDONLY)), 0) == MAP_FAILED);
	EQ(errno, ENODEV);
}

static void mmap_to_execute(void)
{
	char *p = map("exe", PROT_READ | PROT_EXEC, MAP_PRIVATE, 4096);
	IS(memcmp(p, "\177ELF", 4) == 0);
}

static const struct check checks[] = {
    CHECK(mmap_shows_the_file, NEED_FILE | NEED_BIG),
    CHECK(mmap_shared_write_is_read, NEED_FILE),
    CHECK(mmap_shared_write_without_msync, NEED_BIG),
    CHECK(mmap_shared_sees_write, NEED_FILE),
    CHECK(mmap_reader_sees_later_write, NEED_FILE),
    CHECK(mmap_between_processes, NEED_FILE),
    CHECK(mmap_two_names_one_memory, NEED_HARD),
    CHECK(mmap_private_write_is_private, NEED_FILE),
    CHECK(mmap_behind_the_end, NEED_FILE),
    CHECK(mmap_after_growth, NEED_FILE),
    CHECK(mmap_truncate_zeroes_the_page, NEED_FILE),
    CHECK(mmap_outlives_its_name, NEED_FILE),
    CHECK(mmap_needs_the_right_open, NEED_FILE | NEED_DIR),
    CHECK(mmap_to_execute, NEED_EXE),
};
TOPIC(mmap);
