/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What two or more processes do at once: one wins, nothing is seen half done.
 */
#include "posix.h"

#include <stdlib.h>
#include <sys/mman.h>

#define RACERS 4
#define ROUNDS 25

/* Counters that the processes of a check share. */
static volatile unsigned *shared(size_t n)
{
	void *p = mmap(NULL, n * sizeof(unsigned), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	IS(p != MAP_FAILED);
	return p;
}

/* @run ROUNDS times in RACERS processes, which wait for each other before each round.
 * @lost: errno of who loses. Return: by round, how many won. */
static const volatile unsigned *race(int (*run)(unsigned round), int lost)
{
	pid_t pid[RACERS];
	volatile unsigned *won = shared(ROUNDS), *ready = shared(ROUNDS);
	for (unsigned k = 0; k < RACERS; k++)
		if (start(&pid[k])) {
			for (unsigned i = 0; i < ROUNDS; i++) {
				__atomic_add_fetch(&ready[i], 1, __ATOMIC_SEQ_CST);
				while (ready[i] < RACERS)
					(void)usleep(0);
				int r = run(i);
				if (r == 0)
					__atomic_add_fetch(&won[i], 1, __ATOMIC_SEQ_CST);
				else
					EQ(errno, lost);
			}
			child_end();
		}
	for (unsigned k = 0; k < RACERS; k++)
		join(pid[k]);
	return won;
}

static void expect_one_winner(struct here h, int (*run)(unsigned round), int lost)
{
	const volatile unsigned *won = race(run, lost);
	for (unsigned i = 0; i < ROUNDS; i++)
		expect_eq(h, "winners of a round", won[i], 1);
}

static const char *name(unsigned i, const char *prefix)
{
	static char text[32];
	(void)snprintf(text, sizeof(text), "%s%03u", prefix, i);
	return text;
}

static int do_create(unsigned i)
{
	int fd = open(name(i, "new"), O_CREAT | O_EXCL | O_WRONLY, 0644);
	return fd < 0 ? -1 : close(fd);
}

static int do_mkdir(unsigned i)
{
	return mkdir(name(i, "dir"), 0755);
}

static int do_link(unsigned i)
{
	return link("file", name(i, "link"));
}

static int do_unlink(unsigned i)
{
	return unlink(name(i, "many/"));
}

static int do_rename(unsigned i)
{
	char to[32];
	(void)snprintf(to, sizeof(to), "moved%d", (int)getpid());
	return rename(name(i, "many/"), to);
}

static int do_rename_noreplace(unsigned i)
{
	char from[32];
	(void)snprintf(from, sizeof(from), "own%d.%u", (int)getpid(), i);
	put(from, "");
	return renameat2(AT_FDCWD, from, AT_FDCWD, name(i, "target"), RENAME_NOREPLACE);
}

static void race_to_create(void)
{
	expect_one_winner(HERE, do_create, EEXIST);
}

static void race_to_mkdir(void)
{
	expect_one_winner(HERE, do_mkdir, EEXIST);
}

static void race_to_link(void)
{
	expect_one_winner(HERE, do_link, EEXIST);
	NLINK("file", 1 + ROUNDS);
}

static void race_to_unlink(void)
{
	expect_one_winner(HERE, do_unlink, ENOENT);
}

static void race_to_rename(void)
{
	expect_one_winner(HERE, do_rename, ENOENT);
}

static void race_to_rename_noreplace(void)
{
	expect_one_winner(HERE, do_rename_noreplace, EEXIST);
}

/* Each process writes its own bytes of one file, which nobody has changed before. */
static int do_write(unsigned i)
{
	const unsigned own = (unsigned)getpid();
	int fd = open_rw(name(i, "many/"));
	ssize_t n = pwrite(fd, &own, sizeof(own), (off_t)(own % 1000) * 8);
	OK(close(fd));
	return n == sizeof(own) ? 0 : -1;
}

static void race_of_first_writes(void)
{
	const volatile unsigned *won = race(do_write, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		char buf[8192] = "";
		unsigned found = 0;
		EQ(won[i], RACERS);
		int fd = FD(open(name(i, "many/"), O_RDONLY));
		OK(read(fd, buf, sizeof(buf)));
		OK(close(fd));
		for (size_t at = 0; at < sizeof(buf); at += 8)
			found += memcmp(buf + at, "\0\0\0\0", 4) != 0;
		EQ(found, RACERS);
	}
}

static int do_chmod(unsigned i)
{
	return chmod(name(i, "many/"), 0600) < 0 || truncate(name(i, "many/"), 5) < 0 ? -1 : 0;
}

static void race_of_first_changes(void)
{
	const volatile unsigned *won = race(do_chmod, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		EQ(won[i], RACERS);
		MODE(name(i, "many/"), 0600);
		SIZE(name(i, "many/"), 5);
	}
}

/* ---------------------------------------------------------------- seen by a reader meanwhile */

static void rename_over_is_never_half(void)
{
	pid_t pid;
	if (start(&pid)) {
		for (int i = 0; i < 200; i++) {
			put("tmp", i % 2 ? LETTERS : "0123456789");
			OK(rename("tmp", "file"));
		}
		child_end();
	}
	for (int i = 0; i < 400; i++) {
		char buf[32];
		int fd = FD(open("file", O_RDONLY)); /* always there */
		ssize_t n = OK(read(fd, buf, sizeof(buf)));
		IS((n == LETTERS_LEN && buf[0] == 'a') || (n == 10 && buf[0] == '0'));
		OK(close(fd));
	}
	join(pid);
}

static void exchange_is_never_half(void)
{
	pid_t pid;
	if (start(&pid)) {
		for (int i = 0; i < 200; i++)
			OK(renameat2(AT_FDCWD, "dir", AT_FDCWD, "empty", RENAME_EXCHANGE));
		child_end();
	}
	for (int i = 0; i < 400; i++) {
		IS(S_ISDIR(look("dir").st_mode));
		IS(S_ISDIR(look("empty").st_mode));
	}
	join(pid);
	DATA("dir/in", "in");
}

static void copied_up_is_never_half(void)
{
	pid_t pid;
	if (start(&pid)) {
		pause_ms(2);
		EQ(pwrite(open_rw("big"), "Z", 1, BIG_SIZE - 1), 1);
		child_end();
	}
	for (int i = 0; i < 50; i++) {
		static char buf[BIG_SIZE];
		int fd = FD(open("big", O_RDONLY));
		EQ(pread(fd, buf, sizeof(buf), 0), BIG_SIZE);
		for (size_t k = 0; k < BIG_SIZE - 1; k += 97)
			if (buf[k] != big_byte(k))
				fail(HERE, "byte %zu: expected 0x%02x, came 0x%02x", k, big_byte(k),
				     buf[k]);
		OK(close(fd));
	}
	join(pid);
}

static const struct check checks[] = {
    CHECK(race_to_create, 0),
    CHECK(race_to_mkdir, 0),
    CHECK(race_to_link, NEED_FILE),
    CHECK(race_to_unlink, NEED_MANY),
    CHECK(race_to_rename, NEED_MANY),
    CHECK(race_to_rename_noreplace, 0),
    CHECK(race_of_first_writes, NEED_MANY),
    CHECK(race_of_first_changes, NEED_MANY),
    CHECK(rename_over_is_never_half, NEED_FILE),
    CHECK(exchange_is_never_half, NEED_DIR | NEED_EMPTY),
    CHECK(copied_up_is_never_half, NEED_BIG),
};
TOPIC(races);
