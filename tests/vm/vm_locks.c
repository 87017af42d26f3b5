/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * vm_locks hold DIR READY STOP - take a POSIX lock and a flock on two files in DIR, make READY and write under both locks until
 *	STOP is there. A lock that was lost makes these writes fail.
 * vm_locks want DIR STOP - as another client: neither lock is to be had; once STOP is there, both must be.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "vm_client.h"

static int open_lock(const char *name)
{
	return (int)OK(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

static int try_posix(int fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	return fcntl(fd, F_SETLK, &l);
}

static void write_under(int fd, unsigned long n)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%lu\n", n);
	OK(pwrite(fd, text, (size_t)len, 0));
	OK(fsync(fd));
}

static int hold(const char *ready, const char *stop)
{
	int a = open_lock("lock.posix"), b = open_lock("lock.flock");
	unsigned long n = 0;
	OK(try_posix(a));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(close(open_lock(ready)));
	for (; !there(stop); n++) {
		write_under(a, n);
		write_under(b, n);
		pause_ms(20);
	}
	(void)printf("held, %lu writes under each\n", n);
	return 0;
}

/* 1: taken (and given back), 0: refused. */
static int taken(const char *name, int posix)
{
	int fd = open_lock(name);
	int r = posix ? try_posix(fd) : flock(fd, LOCK_EX | LOCK_NB);
	if (r < 0 && errno != EAGAIN && errno != EACCES)
		DIE("%s: %m", name);
	OK(close(fd));
	return r == 0;
}

static int want(const char *stop)
{
	unsigned long refused = 0;
	int stopped;
	double end = 0;
	for (;;) {
		int a = taken("lock.posix", 1), b = taken("lock.flock", 0);
		/* Looked at last: while the server recovers a call waits, and what it takes after STOP
		 * came may be free. STOP comes here first. */
		stopped = there(stop);
		if (!stopped && (a || b))
			DIE("%s taken, though another client holds it (after %lu refusals)",
			    a ? "lock.posix" : "lock.flock", refused);
		if (a && b)
			break;
		refused++;
		if (stopped && end == 0)
			end = now_s(CLOCK_MONOTONIC) + 120;
		if (stopped && now_s(CLOCK_MONOTONIC) > end)
			DIE("still refused two minutes after the other client let go");
		pause_ms(50);
	}
	(void)printf("refused %lu times, then taken\n", refused);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4)
		OK(chdir(argv[2]));
	if (argc == 5 && strcmp(argv[1], "hold") == 0)
		return hold(argv[3], argv[4]);
	if (argc == 4 && strcmp(argv[1], "want") == 0)
		return want(argv[3]);
	DIE("usage: vm_locks hold DIR READY STOP | want DIR STOP");
}
