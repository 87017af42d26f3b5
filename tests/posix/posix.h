/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The frame of the POSIX suite. A check is a function that runs in a process and a directory of its own
 * (the current one, 0755, root's), umask 022, on objects it asks for in its table entry. They were made a
 * moment ago, or by `posix --lower-setup` in what has become an image since: the check cannot tell.
 * It ends at the first expectation that is not met.
 */
#ifndef COW_TESTS_POSIX_H
#define COW_TESTS_POSIX_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Objects, by name. All have the times OLD_S and the owner 0:0; modes are 0644 or, where not, said. */
enum {
	NEED_FILE = 1 << 0,  /* "file": LETTERS */
	NEED_DIR = 1 << 1,   /* "dir", 0755, and "dir/in": "in" */
	NEED_EMPTY = 1 << 2, /* "empty", 0755 */
	NEED_LINK = 1 << 3,  /* "link" -> "file" */
	NEED_FIFO = 1 << 4,  /* "fifo" */
	NEED_SOCK = 1 << 5,  /* "sock" */
	NEED_CHR = 1 << 6,   /* "chr": the null device */
	NEED_BLK = 1 << 7,   /* "blk": a number nobody has */
	NEED_HARD = 1 << 8,  /* "hard1", "hard2": one file, LETTERS */
	NEED_BIG = 1 << 9,   /* "big": BIG_SIZE bytes big_byte() */
	NEED_EXE = 1 << 10,  /* "exe", 0755: sleep(1) */
	NEED_TREE = 1 << 11, /* "tree/a/b/f", "tree/a/f", "tree/f": their own names */
	NEED_MANY = 1 << 12, /* "many/000".."many/MANY-1", empty */
	NEED_HOLE = 1 << 13, /* "hole": BIG_SIZE of nothing, but for LETTERS at HOLE_DATA */
};

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define LETTERS_LEN 26
#define BIG_SIZE (256 << 10)
#define HOLE_DATA (128 << 10)
#define MANY 300
#define OLD_S 1000000000
#define OLD_NS 123456789

static inline char big_byte(size_t i)
{
	return (char)('A' + (i * 7 + i / 251) % 53);
}

/* Users and groups that nobody else is. */
enum { ANN = 12001, BOB = 12002, STAFF = 13001, GUESTS = 13002, OTHERS = 13003 };

struct check {
	const char *name;
	void (*run)(void);
	unsigned needs;
	const char *subject;   /* object of this run, where one function is run on several */
	void (*prepare)(void); /* makes what NEED_* has not got; umask 0 */
};

struct topic {
	const struct check *checks;
	size_t n;
};

#define TOPIC(name) const struct topic topic_##name = {checks, sizeof(checks) / sizeof(*checks)}

#define CHECK(fn, needs)                                                                           \
	{                                                                                          \
#fn, fn, needs, NULL, NULL                                                         \
	}
#define CHECK_WITH(fn, needs, prepare)                                                             \
	{                                                                                          \
#fn, fn, needs, NULL, prepare                                                      \
	}
#define CHECK_ON(fn, type, need)                                                                   \
	{                                                                                          \
#fn "." type, fn, need, type, NULL                                                 \
	}
#define CHECK_SPECIALS(fn)                                                                         \
	CHECK_ON(fn, "fifo", NEED_FIFO), CHECK_ON(fn, "sock", NEED_SOCK),                          \
	    CHECK_ON(fn, "chr", NEED_CHR), CHECK_ON(fn, "blk", NEED_BLK)
#define CHECK_NOT_LINKS(fn)                                                                        \
	CHECK_ON(fn, "file", NEED_FILE), CHECK_ON(fn, "dir", NEED_DIR),                            \
	    CHECK_ON(fn, "hard1", NEED_HARD), CHECK_SPECIALS(fn)
#define CHECK_NOT_DIRS(fn)                                                                         \
	CHECK_ON(fn, "file", NEED_FILE), CHECK_ON(fn, "link", NEED_LINK),                          \
	    CHECK_ON(fn, "hard1", NEED_HARD), CHECK_SPECIALS(fn)
#define CHECK_EACH(fn) CHECK_ON(fn, "dir", NEED_DIR), CHECK_NOT_DIRS(fn)

extern const struct topic topic_files, topic_dirs, topic_links, topic_rename, topic_mode,
    topic_owner, topic_access, topic_times, topic_xattr, topic_acl, topic_truncate, topic_open,
    topic_io, topic_mmap, topic_unlinked, topic_locks, topic_readdir, topic_special, topic_statfs,
    topic_fallocate, topic_full, topic_races;

extern const char *subject; /* of the running check */

/* ---------------------------------------------------------------- expectations */

struct here {
	const char *file;
	int line;
};
#define HERE ((struct here){__FILE__, __LINE__})

void __attribute__((noreturn, format(printf, 2, 3))) fail(struct here h, const char *fmt, ...);
void __attribute__((noreturn)) skip(const char *why);

int64_t expect_ok(struct here h, const char *what, int64_t r);
void expect_errno(struct here h, const char *what, int64_t r, int want);
void expect_eq(struct here h, const char *what, int64_t got, int64_t want);
void expect_mode(struct here h, const char *path, mode_t want);
void expect_data(struct here h, const char *path, const void *want, size_t len);
void expect_same(struct here h, const char *a, const char *b, bool same);
void expect_changes(struct here h, const char *path, const struct stat *before, const char *want);

/* A call that must succeed; its value. */
#define OK(call) expect_ok(HERE, #call, (call))
#define FD(call) ((int)OK(call))
#define FAILS(want_errno, call) expect_errno(HERE, #call, (call), want_errno)
#define EQ(got, want) expect_eq(HERE, #got, (int64_t)(got), (int64_t)(want))
#define IS(cond) ((cond) ? (void)0 : fail(HERE, "not so: %s", #cond))
#define GONE(path) FAILS(ENOENT, faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
#define THERE(path) OK(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
#define MODE(path, want) expect_mode(HERE, path, want)
#define SIZE(path, want) expect_eq(HERE, "size of " #path, look(path).st_size, want)
#define NLINK(path, want) expect_eq(HERE, "links of " #path, (int64_t)look(path).st_nlink, want)
#define OWNER(path, uid, gid)                                                                      \
	(expect_eq(HERE, "owner of " #path, look(path).st_uid, uid),                               \
	 expect_eq(HERE, "group of " #path, look(path).st_gid, gid))
#define DATA(path, text) expect_data(HERE, path, text, strlen(text))
#define SAME(a, b) expect_same(HERE, a, b, true)
#define DIFFERENT(a, b) expect_same(HERE, a, b, false)

/* @call changes of the times of @path these, of "amc", and no others. */
#define CHANGES(want, path, call) CHANGES_AT(want, path, path, call)
#define CHANGES_AT(want, before, after, call)                                                      \
	do {                                                                                       \
		struct stat before_ = look(before);                                                \
		tick();                                                                            \
		OK(call);                                                                          \
		expect_changes(HERE, after, &before_, want);                                       \
	} while (0)

/* ---------------------------------------------------------------- tools */

struct stat look(const char *path); /* lstat(2) */
void put(const char *path, const char *text);
int open_rw(const char *path);
struct dirent *next(DIR *d); /* NULL at the end with errno 0 */
void tick(void);	     /* until the clock of file times has moved */

/* What follows runs in a child, as that user, with no capabilities, and is waited for:
 *	as_user(ANN, STAFF, GUESTS, OTHERS)
 *		OK(unlink("file"));
 */
#define GROUPS_OF(...) ((const gid_t[]){0, ##__VA_ARGS__})
#define as_user(uid, gid, ...)                                                                     \
	for (; child_as(uid, gid, GROUPS_OF(__VA_ARGS__) + 1,                                      \
			sizeof(GROUPS_OF(__VA_ARGS__)) / sizeof(gid_t) - 1);                       \
	     child_end())
#define in_child() for (; child_same(); child_end())
bool child_as(uid_t uid, gid_t gid, const gid_t *groups, size_t n);
bool child_same(void);
void __attribute__((noreturn)) child_end(void);

/* A child that runs beside: if (start(&pid)) { …; child_end(); } … join(pid); */
bool start(pid_t *pid);
void join(pid_t pid);
void pause_ms(unsigned ms);

void make_objects(unsigned needs);

#endif
