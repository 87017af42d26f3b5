/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * fswork - one workload on a file system; prints the nanoseconds it took. Names are made before the
 * clock runs, where there are few of them.
 *
 *	fswork make DIR FILES MIB MIB   the tree, the same each time: FILES files of up to 16 KiB, ten in a
 *	                                directory, four levels down; `large` and `medium` of so many MiB
 *	fswork walk DIR [THREADS]       list all directories, stat all that is in them
 *	fswork read DIR [THREADS]       and read all files below top*, as tar does
 *	fswork stat DIR FILES N         stat of N files at random, by path
 *	fswork create DIR N             N new files with 100 bytes in a new directory
 *	fswork open DIR N               they are opened for reading, and closed
 *	fswork unlink DIR N             they go
 *	fswork rmtree DIR               top8 and top9, a fifth of the tree
 *	fswork change DIR N             a byte in each of N files
 *	fswork append DIR N             100 bytes to the end of each of N files
 *	fswork change1 FILE             a byte in this one
 *	fswork write FILE MIB           a new file, in pieces of 128 KiB
 *	fswork readfile FILE            in pieces of 128 KiB
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "rng.h"

#define PIECE (128u << 10)
#define PER_LEAF 10u
#define THREADS_MAX 16u

static _Noreturn void die(const char *what)
{
	(void)fprintf(stderr, "fswork: %s: %s\n", what, strerrorname_np(errno));
	_exit(2);
}

static void must(int r, const char *what)
{
	if (r < 0) {
		errno = r == -1 ? errno : -r;
		die(what);
	}
}

static uint64_t started;

static uint64_t now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void begin(void)
{
	started = now_ns();
}

static int end(void)
{
	(void)printf("%llu\n", (unsigned long long)(now_ns() - started));
	return 0;
}

/* ---------------------------------------------------------------- the tree */

static void leaf_path(char *buf, size_t len, unsigned leaf)
{
	(void)snprintf(buf, len, "top%u/part-%u/package-%u", leaf % 10, leaf / 10 % 10, leaf);
}

static void file_path(char *buf, size_t len, unsigned n)
{
	char leaf[64];
	leaf_path(leaf, sizeof(leaf), n / PER_LEAF);
	(void)snprintf(buf, len, "%s/changelog-%u.gz", leaf, n);
}

/* The Nth of the files that stay: those below top0 to top3. */
static unsigned staying(unsigned n)
{
	unsigned leaf = n / PER_LEAF;
	return (leaf / 4 * 10 + leaf % 4) * PER_LEAF + n % PER_LEAF;
}

static void make_file(int dir, const char *name, uint64_t size, struct rng *r)
{
	static uint64_t buf[PIECE / 8];
	cow_autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	must(fd, name);
	for (uint64_t at = 0; at < size;) {
		size_t len = size - at < PIECE ? size - at : PIECE;
		for (size_t k = 0; k < (len + 7) / 8; k++)
			buf[k] = rng_next(r);
		must(cow_write_full(fd, buf, len), name);
		at += len;
	}
}

static int make(int dir, unsigned files, uint64_t large, uint64_t medium)
{
	char path[128];
	struct rng r = {1};
	for (unsigned n = 0; n < files; n++) {
		if (n % PER_LEAF == 0) {
			leaf_path(path, sizeof(path), n / PER_LEAF);
			for (char *at = path; (at = strchr(at, '/')); *at++ = '/') {
				*at = '\0';
				must(cow_mkdir_at(dir, path, 0755), path);
			}
			must(cow_mkdir_at(dir, path, 0755), path);
		}
		file_path(path, sizeof(path), n);
		make_file(dir, path, rng_below(&r, 16384), &r);
	}
	make_file(dir, "large", large << 20, &r);
	make_file(dir, "medium", medium << 20, &r);
	return 0;
}

/* ---------------------------------------------------------------- walks */

static void read_all(int fd, uint8_t *buf, const char *name)
{
	ssize_t n;
	while ((n = read(fd, buf, PIECE)) > 0)
		continue;
	must((int)n, name);
}

struct walk {
	bool reading;
	uint8_t buf[PIECE];
};

static void walk_dir(struct walk *w, int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	must(fd, name);
	cow_autodir DIR *d = fdopendir(fd);
	if (!d)
		die(name);
	for (struct dirent *e; (e = readdir(d));) { /* NOLINT(concurrency-mt-unsafe): own DIR */
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		must(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW), e->d_name);
		if (S_ISDIR(st.st_mode)) {
			walk_dir(w, fd, e->d_name);
		} else if (w->reading) {
			cow_autoclose int file = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC);
			must(file, e->d_name);
			read_all(file, w->buf, e->d_name);
		}
	}
}

static struct {
	int dir;
	bool reading;
	atomic_uint next;
} job;

static void *walk_thread(void *arg)
{
	char name[16];
	unsigned top;
	struct walk *w = malloc(sizeof(*w));
	if (!w)
		die("memory");
	w->reading = job.reading;
	while ((top = atomic_fetch_add(&job.next, 1)) < 10) {
		(void)snprintf(name, sizeof(name), "top%u", top);
		walk_dir(w, job.dir, name);
	}
	free(w);
	return arg;
}

static int walk(int dir, bool reading, unsigned threads)
{
	pthread_t id[THREADS_MAX];
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	job.dir = dir;
	job.reading = reading;
	begin();
	for (unsigned k = 1; k < threads; k++)
		if (pthread_create(&id[k], NULL, walk_thread, NULL) != 0)
			die("start a thread");
	(void)walk_thread(NULL);
	for (unsigned k = 1; k < threads; k++)
		(void)pthread_join(id[k], NULL);
	return end();
}

/* ---------------------------------------------------------------- names */

static char (*paths)[128];

static void make_paths(unsigned n)
{
	paths = calloc(n, sizeof(*paths));
	if (!paths)
		die("memory");
}

static int stat_storm(int dir, unsigned files, unsigned n)
{
	struct rng r = {2};
	struct stat st;
	make_paths(n);
	for (unsigned k = 0; k < n; k++)
		file_path(paths[k], sizeof(*paths), rng_below(&r, files));
	begin();
	for (unsigned k = 0; k < n; k++)
		must(fstatat(dir, paths[k], &st, 0), paths[k]);
	return end();
}

static void new_paths(unsigned n)
{
	make_paths(n);
	for (unsigned k = 0; k < n; k++)
		(void)snprintf(paths[k], sizeof(*paths), "new/some-file-%u.txt", k);
}

static int create(int dir, unsigned n)
{
	char text[100];
	memset(text, 'x', sizeof(text));
	new_paths(n);
	must(mkdirat(dir, "new", 0755), "new");
	begin();
	for (unsigned k = 0; k < n; k++) {
		int fd = openat(dir, paths[k], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		must(fd, paths[k]);
		must(cow_write_full(fd, text, sizeof(text)), paths[k]);
		must(close(fd), paths[k]);
	}
	return end();
}

static int open_new(int dir, unsigned n)
{
	new_paths(n);
	begin();
	for (unsigned k = 0; k < n; k++) {
		int fd = openat(dir, paths[k], O_RDONLY | O_CLOEXEC);
		must(fd, paths[k]);
		must(close(fd), paths[k]);
	}
	return end();
}

static int remove_new(int dir, unsigned n)
{
	new_paths(n);
	begin();
	for (unsigned k = 0; k < n; k++)
		must(unlinkat(dir, paths[k], 0), paths[k]);
	return end();
}

static void remove_tree(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	must(fd, name);
	DIR *d = fdopendir(fd);
	if (!d)
		die(name);
	for (struct dirent *e; (e = readdir(d));) { /* NOLINT(concurrency-mt-unsafe): own DIR */
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (e->d_type == DT_DIR)
			remove_tree(fd, e->d_name);
		else
			must(unlinkat(fd, e->d_name, 0), e->d_name);
	}
	(void)closedir(d);
	must(unlinkat(at, name, AT_REMOVEDIR), name);
}

static int remove_trees(int dir)
{
	begin();
	remove_tree(dir, "top8");
	remove_tree(dir, "top9");
	return end();
}

/* ---------------------------------------------------------------- changes, large files */

static int change(int dir, unsigned n, bool append)
{
	char text[100];
	size_t len = append ? sizeof(text) : 1;
	memset(text, 'x', sizeof(text));
	make_paths(n);
	for (unsigned k = 0; k < n; k++)
		file_path(paths[k], sizeof(*paths), staying(k));
	begin();
	for (unsigned k = 0; k < n; k++) {
		int fd = openat(dir, paths[k], O_WRONLY | (append ? O_APPEND : 0) | O_CLOEXEC);
		must(fd, paths[k]);
		must(cow_write_full(fd, text, len), paths[k]);
		must(close(fd), paths[k]);
	}
	return end();
}

static int change_one(const char *path)
{
	begin();
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd, path);
	must(cow_write_full(fd, "x", 1), path);
	must(close(fd), path);
	return end();
}

static int write_file(const char *path, unsigned mib)
{
	static uint8_t buf[PIECE];
	memset(buf, 'x', sizeof(buf));
	begin();
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	must(fd, path);
	for (unsigned k = 0; k < mib * ((1u << 20) / PIECE); k++)
		must(cow_write_full(fd, buf, sizeof(buf)), path);
	must(close(fd), path);
	return end();
}

static int read_file(const char *path)
{
	static uint8_t buf[PIECE];
	begin();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd, path);
	read_all(fd, buf, path);
	must(close(fd), path);
	return end();
}

/* ---------------------------------------------------------------- which */

static unsigned number(int argc, char **argv, int k, unsigned otherwise)
{
	uint64_t v = otherwise;
	if (argc > k && cow_parse_u64(argv[k], 1, 100000000, &v) < 0) {
		errno = EINVAL;
		die(argv[k]);
	}
	return (unsigned)v;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	const char *path = argc > 2 ? argv[2] : ".";
	unsigned n = number(argc, argv, 3, 1);
	if (strcmp(what, "change1") == 0)
		return change_one(path);
	if (strcmp(what, "write") == 0)
		return write_file(path, n);
	if (strcmp(what, "readfile") == 0)
		return read_file(path);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir, path);
	if (strcmp(what, "make") == 0)
		return make(dir, n, number(argc, argv, 4, 1), number(argc, argv, 5, 1));
	if (strcmp(what, "walk") == 0 || strcmp(what, "read") == 0)
		return walk(dir, *what == 'r', n);
	if (strcmp(what, "stat") == 0)
		return stat_storm(dir, n, number(argc, argv, 4, 1));
	if (strcmp(what, "create") == 0)
		return create(dir, n);
	if (strcmp(what, "open") == 0)
		return open_new(dir, n);
	if (strcmp(what, "unlink") == 0)
		return remove_new(dir, n);
	if (strcmp(what, "rmtree") == 0)
		return remove_trees(dir);
	if (strcmp(what, "change") == 0 || strcmp(what, "append") == 0)
		return change(dir, n, *what == 'a');
	(void)fprintf(stderr, "fswork: the beginning of tests/bench/fswork.c says what there is\n");
	return 2;
}
