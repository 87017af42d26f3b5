/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * vm_stale DIR READY GO - what a client has open and mounted when its root is reset.
 *
 * Works on objects in DIR and makes READY. As soon as GO is there, the reset is over: the first request of
 * every kind, made once, must end in ESTALE. Prints what each took. Before GO, an error other than ESTALE is a
 * failure too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vm_client.h"

#define BLOCK 4096

static char block[BLOCK] __attribute__((aligned(BLOCK)));
static const char *top;
static int file, dir;

static int do_read(void)
{
	return (int)pread(file, block, BLOCK, 0);
}

static int do_write(void)
{
	return (int)pwrite(file, block, BLOCK, 0);
}

static int do_stat(void)
{
	struct statx st;
	return statx(file, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
}

static int do_chmod(void)
{
	return fchmod(file, 0600);
}

static int do_create(void)
{
	return openat(dir, "new", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
}

static int do_mkdir(void)
{
	return mkdirat(dir, "newdir", 0755);
}

static int do_unlink(void)
{
	return unlinkat(dir, "there", 0);
}

static int do_rename(void)
{
	return renameat(dir, "there", dir, "elsewhere");
}

static int do_lookup(void)
{
	struct stat st;
	return fstatat(dir, "never-asked-for", &st, 0);
}

static int do_walk(void)
{
	char path[4096];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/never/asked/for", top);
	return stat(path, &st);
}

static const struct {
	const char *name;
	int (*call)(void);
} calls[] = {
    {"read", do_read},	   {"write", do_write},
    {"stat", do_stat},	   {"chmod", do_chmod},
    {"create", do_create}, {"mkdir", do_mkdir},
    {"unlink", do_unlink}, {"rename", do_rename},
    {"lookup", do_lookup}, {"walk from the root", do_walk},
};

static void make_objects(void)
{
	dir = (int)OK(open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	file = (int)OK(openat(dir, "held", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644));
	OK(pwrite(file, block, BLOCK, 0));
	OK(close((int)OK(openat(dir, "there", O_WRONLY | O_CREAT | O_CLOEXEC, 0644))));
}

static void work_until(const char *go)
{
	while (!there(go)) {
		if ((do_read() < 0 || do_write() < 0 || do_stat() < 0) && errno != ESTALE)
			DIE("before the end of the reset: %m");
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		DIE("usage: vm_stale DIR READY GO");
	top = argv[1];
	make_objects();
	OK(close((int)OK(open(argv[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0644))));
	work_until(argv[3]);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		double start = now_s(CLOCK_MONOTONIC);
		int r = calls[i].call(), e = errno;
		double took = now_s(CLOCK_MONOTONIC) - start;
		if (r >= 0)
			DIE("%s: success after the reset", calls[i].name);
		if (e != ESTALE)
			DIE("%s: %s instead of ESTALE", calls[i].name, strerrorname_np(e));
		(void)printf("%s: ESTALE after %.1f ms\n", calls[i].name, took * 1e3);
	}
	return 0;
}
