/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * fcntl(2) locks of processes and of open files, flock(2), leases.
 */
#include "posix.h"

#include <sys/file.h>

static int lock(int fd, int cmd, short type, off_t from, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};
	return fcntl(fd, cmd, &l);
}

/* Type of the lock that is in the way of a write lock; F_UNLCK: none. */
static int in_the_way(int fd, int cmd, off_t from, off_t len, pid_t *pid)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = len};
	OK(fcntl(fd, cmd, &l));
	if (pid)
		*pid = l.l_pid;
	return l.l_type;
}

static void lock_keeps_another_process_out(void)
{
	int fd = open_rw("file");
	pid_t self = getpid();
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	in_child()
	{
		pid_t who;
		int own = open_rw("file");
		FAILS(EAGAIN, lock(own, F_SETLK, F_WRLCK, 5, 10));
		FAILS(EAGAIN, lock(own, F_SETLK, F_RDLCK, 0, 1));
		EQ(in_the_way(own, F_GETLK, 0, 100, &who), F_WRLCK);
		EQ(who, self);
		OK(lock(own, F_SETLK, F_WRLCK, 10, 10));
	}
}

static void lock_readers_share(void)
{
	int fd = open_rw("file");
	OK(lock(fd, F_SETLK, F_RDLCK, 0, 0));
	in_child()
	{
		int own = open_rw("file");
		OK(lock(own, F_SETLK, F_RDLCK, 0, 0));
		FAILS(EAGAIN, lock(own, F_SETLK, F_WRLCK, 0, 0));
	}
}

static void lock_goes_with_any_close(void)
{
	int fd = open_rw("file");
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	OK(close(FD(open("file", O_RDONLY))));
	in_child() OK(lock(open_rw("file"), F_SETLK, F_WRLCK, 0, 0));
}

static void lock_goes_with_the_process(void)
{
	in_child() OK(lock(open_rw("file"), F_SETLK, F_WRLCK, 0, 0));
	OK(lock(open_rw("file"), F_SETLK, F_WRLCK, 0, 0));
}

static void lock_splits(void)
{
	int fd = open_rw("file");
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 30));
	OK(lock(fd, F_SETLK, F_UNLCK, 10, 10));
	in_child()
	{
		int own = open_rw("file");
		EQ(in_the_way(own, F_GETLK, 10, 10, NULL), F_UNLCK);
		EQ(in_the_way(own, F_GETLK, 9, 1, NULL), F_WRLCK);
		EQ(in_the_way(own, F_GETLK, 20, 1, NULL), F_WRLCK);
	}
}

static void lock_waits(void)
{
	pid_t pid;
	int fd = open_rw("file"), p[2];
	char c;
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	OK(pipe(p));
	if (start(&pid)) {
		OK(lock(open_rw("file"), F_SETLKW, F_WRLCK, 0, 0));
		EQ(write(p[1], "x", 1), 1);
		child_end();
	}
	pause_ms(20);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	FAILS(EAGAIN, read(p[0], &c, 1));
	OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	join(pid);
	EQ(read(p[0], &c, 1), 1);
}

static void lock_deadlock_is_seen(void)
{
	pid_t pid;
	int fd = open_rw("file"), p[2];
	char c;
	OK(pipe(p));
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	if (start(&pid)) {
		int own = open_rw("file");
		OK(lock(own, F_SETLK, F_WRLCK, 1, 1));
		EQ(write(p[1], "r", 1), 1);
		int r = lock(own, F_SETLKW, F_WRLCK, 0, 1);
		IS(r == 0 || errno == EDEADLK);
		EQ(write(p[1], r == 0 ? "y" : "n", 1), 1);
		child_end();
	}
	EQ(read(p[0], &c, 1), 1);
	int r = lock(fd, F_SETLKW, F_WRLCK, 1, 1);
	IS(r == 0 || errno == EDEADLK);
	OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	join(pid);
	EQ(read(p[0], &c, 1), 1);
	EQ(c, r == 0 ? 'n' : 'y'); /* whoever comes second is told */
}

static void lock_needs_the_right_open(void)
{
	FAILS(EBADF, lock(FD(open("file", O_RDONLY)), F_SETLK, F_WRLCK, 0, 0));
	FAILS(EBADF, lock(FD(open("file", O_WRONLY)), F_SETLK, F_RDLCK, 0, 0));
	FAILS(EINVAL, lock(open_rw("file"), F_SETLK, F_WRLCK, -1, 1));
}

static void lock_is_of_the_object(void)
{
	int fd = open_rw("hard1");
	OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	in_child()
	{
		FAILS(EAGAIN, lock(open_rw("hard2"), F_SETLK, F_WRLCK, 0, 0));
		OK(rename("hard1", "moved"));
		FAILS(EAGAIN, lock(open_rw("moved"), F_SETLK, F_WRLCK, 0, 0));
	}
}

static void lock_of_a_reader_holds_out_a_later_writer(void)
{
	int fd = FD(open("file", O_RDONLY)); /* before the first write */
	OK(lock(fd, F_SETLK, F_RDLCK, 0, 0));
	in_child()
	{
		int own = open_rw("file");
		EQ(pwrite(own, "x", 1, 0), 1);
		FAILS(EAGAIN, lock(own, F_SETLK, F_WRLCK, 0, 0));
	}
}

static void ofd_lock_of_one_process(void)
{
	int a = open_rw("file"), b = open_rw("file");
	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 10, 1));
	pid_t who;
	EQ(in_the_way(b, F_OFD_GETLK, 0, 1, &who), F_WRLCK);
	EQ(who, -1);
	OK(close(FD(open("file", O_RDONLY)))); /* does not end it */
	FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	OK(close(a));
	OK(lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
}

static void ofd_lock_is_inherited(void)
{
	int a = open_rw("file"), b = open_rw("file");
	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	in_child()
	{
		OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0)); /* the same open file */
		FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
		FAILS(EAGAIN, lock(b, F_SETLK, F_WRLCK, 0, 0));
	}
}

static void flock_excludes(void)
{
	int a = FD(open("file", O_RDONLY)), b = FD(open("file", O_RDONLY));
	OK(flock(a, LOCK_EX | LOCK_NB));
	FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	FAILS(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
	in_child() FAILS(EWOULDBLOCK, flock(FD(open("file", O_RDONLY)), LOCK_SH | LOCK_NB));
	OK(flock(a, LOCK_UN));
	OK(flock(b, LOCK_EX | LOCK_NB));
}

static void flock_shares(void)
{
	int a = FD(open("file", O_RDONLY)), b = FD(open("file", O_RDONLY));
	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH | LOCK_NB));
	FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	OK(close(a));
	OK(flock(b, LOCK_EX | LOCK_NB));
}

static void flock_goes_with_the_last_copy(void)
{
	int a = FD(open("file", O_RDONLY)), copy = FD(dup(a)), b = FD(open("file", O_RDONLY));
	OK(flock(a, LOCK_EX));
	OK(close(a));
	FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	OK(close(copy));
	OK(flock(b, LOCK_EX | LOCK_NB));
}

static void flock_waits(void)
{
	pid_t pid;
	int a = FD(open("file", O_RDONLY));
	OK(flock(a, LOCK_EX));
	if (start(&pid)) {
		OK(close(a));
		OK(flock(FD(open("file", O_RDONLY)), LOCK_EX));
		child_end();
	}
	pause_ms(20);
	OK(flock(a, LOCK_UN));
	join(pid);
}

static void flock_of_a_directory(void)
{
	int a = FD(open("dir", O_RDONLY)), b = FD(open("dir", O_RDONLY));
	OK(flock(a, LOCK_EX));
	FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
}

static void flock_and_fcntl_are_strangers(void)
{
	int fd = open_rw("file");
	OK(flock(fd, LOCK_EX));
	in_child() OK(lock(open_rw("file"), F_SETLK, F_WRLCK, 0, 0));
}

static void lock_lives_after_unlink(void)
{
	int a = open_rw("file"), b = open_rw("file");
	OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
	OK(unlink("file"));
	FAILS(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
	put("file", "new");
	OK(lock(open_rw("file"), F_OFD_SETLK, F_WRLCK, 0, 0));
}

static void lease_of_a_file(void)
{
	int fd = FD(open("file", O_RDONLY));
	OK(fcntl(fd, F_SETLEASE, F_RDLCK));
	EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	OK(fcntl(fd, F_SETLEASE, F_UNLCK));
}

static const struct check checks[] = {
    CHECK(lock_keeps_another_process_out, NEED_FILE),
    CHECK(lock_readers_share, NEED_FILE),
    CHECK(lock_goes_with_any_close, NEED_FILE),
    CHECK(lock_goes_with_the_process, NEED_FILE),
    CHECK(lock_splits, NEED_FILE),
    CHECK(lock_waits, NEED_FILE),
    CHECK(lock_deadlock_is_seen, NEED_FILE),
    CHECK(lock_needs_the_right_open, NEED_FILE),
    CHECK(lock_is_of_the_object, NEED_HARD),
    CHECK(lock_of_a_reader_holds_out_a_later_writer, NEED_FILE),
    CHECK(ofd_lock_of_one_process, NEED_FILE),
    CHECK(ofd_lock_is_inherited, NEED_FILE),
    CHECK(flock_excludes, NEED_FILE),
    CHECK(flock_shares, NEED_FILE),
    CHECK(flock_goes_with_the_last_copy, NEED_FILE),
    CHECK(flock_waits, NEED_FILE),
    CHECK(flock_of_a_directory, NEED_DIR),
    CHECK(flock_and_fcntl_are_strangers, NEED_FILE),
    CHECK(lock_lives_after_unlink, NEED_FILE),
    CHECK(lease_of_a_file, NEED_FILE),
};
TOPIC(locks);
