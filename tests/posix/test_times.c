/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * utimensat(2), and which calls change which times.
 */
#include "posix.h"

#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>

static int set_times(const char *path, struct timespec a, struct timespec m)
{
	const struct timespec t[2] = {a, m};
	return utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW);
}

static const struct timespec now_ = {0, UTIME_NOW}, omit = {0, UTIME_OMIT};

static void expect_time(struct here h, const char *what, struct timespec got, time_t s, long ns)
{
	if (got.tv_sec != s || got.tv_nsec != ns)
		fail(h, "%s: expected %jd.%09ld, came %jd.%09ld", what, (intmax_t)s, ns,
		     (intmax_t)got.tv_sec, got.tv_nsec);
}
#define ATIME(path, s, ns) expect_time(HERE, "atime of " path, look(path).st_atim, s, ns)
#define MTIME(path, s, ns) expect_time(HERE, "mtime of " path, look(path).st_mtim, s, ns)

static void utimens_sets_nanoseconds(void)
{
	OK(set_times(subject, (struct timespec){1111111111, 999999999},
		     (struct timespec){1222222222, 1}));
	struct stat st = look(subject);
	expect_time(HERE, "atime", st.st_atim, 1111111111, 999999999);
	expect_time(HERE, "mtime", st.st_mtim, 1222222222, 1);
}

static void utimens_now(void)
{
	struct timespec before, after;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &before);
	OK(set_times(subject, now_, now_));
	(void)clock_gettime(CLOCK_REALTIME, &after);
	struct stat st = look(subject);
	IS(st.st_mtim.tv_sec >= before.tv_sec - 1 && st.st_mtim.tv_sec <= after.tv_sec);
	EQ(st.st_atim.tv_sec, st.st_mtim.tv_sec);
	EQ(st.st_atim.tv_nsec, st.st_mtim.tv_nsec);
}

static void utimens_omit_one(void)
{
	OK(set_times("file", omit, (struct timespec){5, 6}));
	ATIME("file", OLD_S, OLD_NS);
	MTIME("file", 5, 6);
	OK(set_times("file", (struct timespec){7, 8}, omit));
	ATIME("file", 7, 8);
	MTIME("file", 5, 6);
}

static void utimens_omit_both(void)
{
	CHANGES("", "file", set_times("file", omit, omit));
	FAILS(ENOENT, utimensat(AT_FDCWD, "nothing", (struct timespec[]){now_, now_}, 0));
}

static void utimens_now_and_omit(void)
{
	CHANGES("mc", "file", set_times("file", omit, now_));
	CHANGES("ac", "file", set_times("file", now_, omit));
}

static void utimens_changes_ctime(void)
{
	CHANGES(
	    "c", "file",
	    set_times("file", (struct timespec){OLD_S, OLD_NS}, (struct timespec){OLD_S, OLD_NS}));
}

static void utimens_errors(void)
{
	static const struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
	FAILS(EINVAL, utimensat(AT_FDCWD, "file", bad, 0));
	FAILS(ENOTDIR, utimensat(AT_FDCWD, "file/x", NULL, 0));
	FAILS(ENOENT, utimensat(AT_FDCWD, "", NULL, 0));
	MTIME("file", OLD_S, OLD_NS);
}

static void utimens_of_links(void)
{
	static const struct timespec t[2] = {{1, 2}, {3, 4}};
	OK(utimensat(AT_FDCWD, "link", t, 0));
	MTIME("file", 3, 4);
	MTIME("link", OLD_S, OLD_NS);
	OK(utimensat(AT_FDCWD, "link", t, AT_SYMLINK_NOFOLLOW));
	MTIME("link", 3, 4);
}

static void utimens_by_fd(void)
{
	static const struct timespec t[2] = {{1, 2}, {3, 4}};
	OK(futimens(FD(open("file", O_RDONLY)), t));
	MTIME("file", 3, 4);
	OK(futimens(FD(open("dir", O_RDONLY)), t));
	MTIME("dir", 3, 4);
}

static void utimens_range(void)
{
	static const time_t s[] = {0,	       -1,	   -2147483647, 2147483647,
				   2147483648, 4294967296, 15032385534};
	for (size_t i = 0; i < sizeof(s) / sizeof(*s); i++) {
		OK(set_times("file", (struct timespec){s[i], 5}, (struct timespec){s[i], 5}));
		MTIME("file", s[i], 5);
		ATIME("file", s[i], 5);
	}
}

static void utimens_range_is_clamped(void)
{
	OK(set_times("file", (struct timespec){1LL << 40, 0}, (struct timespec){-(1LL << 40), 0}));
	ATIME("file", 15032385535, 0); /* 34 bits above -2^31 */
	MTIME("file", -2147483648, 0);
}

/* ---------------------------------------------------------------- files */

static void times_of_a_new_object(void)
{
	struct timespec before;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &before);
	tick();
	put("new", "");
	struct stat st = look("new");
	IS(st.st_mtim.tv_sec > before.tv_sec || st.st_mtim.tv_nsec > before.tv_nsec);
	expect_time(HERE, "atime", st.st_atim, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	expect_time(HERE, "ctime", st.st_ctim, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times_after_write(void)
{
	int fd = open_rw("file");
	CHANGES("mc", "file", pwrite(fd, "x", 1, 0));
	CHANGES("", "file", pwrite(fd, "x", 0, 0));
	CHANGES("mc", "file", pwrite(fd, "x", 1, 100));
	CHANGES("", "file", close(fd));
}

static void times_after_fsync(void)
{
	int fd = open_rw("file");
	EQ(pwrite(fd, "x", 1, 0), 1);
	CHANGES("", "file", fsync(fd));
}

static void times_after_open(void)
{
	CHANGES("", "file", open("file", O_RDONLY));
	CHANGES("", "file", open("file", O_RDWR));
	CHANGES("", "file", open("file", O_RDWR | O_CREAT, 0644));
}

static void times_after_read(void)
{
	char c;
	int fd = FD(open("file", O_RDONLY));
	CHANGES("a", "file", read(fd, &c, 1));
}

static void times_after_read_noatime(void)
{
	char c;
	int fd = FD(open("file", O_RDONLY | O_NOATIME));
	CHANGES("", "file", read(fd, &c, 1));
}

static void times_after_truncate(void)
{
	CHANGES("mc", "file", truncate("file", 3));
	CHANGES("mc", "file", truncate("file", 100));
	CHANGES("mc", "file", truncate("file", 100)); /* Linux: also for the same size */
	int fd = open_rw("file");
	CHANGES("mc", "file", ftruncate(fd, 100));
	CHANGES("mc", "file", open("file", O_RDWR | O_TRUNC));
	CHANGES("mc", "file", open("file", O_RDWR | O_TRUNC));
}

static void times_after_chmod(void)
{
	CHANGES("c", subject, chmod(subject, 0600));
	CHANGES("c", subject, chmod(subject, 0600));
}

static void times_after_chown(void)
{
	CHANGES("c", subject, lchown(subject, ANN, STAFF));
	CHANGES("c", subject, lchown(subject, (uid_t)-1, GUESTS));
}

static void times_after_xattr(void)
{
	CHANGES("c", "file", setxattr("file", "user.x", "v", 1, 0));
	CHANGES("c", "file", removexattr("file", "user.x"));
	CHANGES("", "file", getxattr("file", "user.x", NULL, 0) < 0 ? 0 : -1);
	CHANGES("", "file", listxattr("file", NULL, 0));
}

static void times_after_fallocate(void)
{
	int fd = open_rw("file");
	CHANGES("mc", "file", fallocate(fd, 0, 0, 100000));
	CHANGES("mc", "file", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
}

static void times_after_mmap_write(void)
{
	int fd = open_rw("file");
	char *p = mmap(NULL, LETTERS_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	IS(p != MAP_FAILED);
	CHANGES("mc", "file", (p[0] = 'x', msync(p, LETTERS_LEN, MS_SYNC)));
}

static void times_after_stat(void)
{
	CHANGES("", "file", access("file", R_OK));
	CHANGES("", "dir", access("dir/in", R_OK));
}

/* ---------------------------------------------------------------- names */

static void times_after_link(void)
{
	CHANGES("c", subject, linkat(AT_FDCWD, subject, AT_FDCWD, "second", 0));
	CHANGES("mc", ".", linkat(AT_FDCWD, subject, AT_FDCWD, "third", 0));
	CHANGES_AT("c", "second", "third", unlink(subject));
}

static void times_after_unlink(void)
{
	CHANGES("mc", ".", unlink("file"));
	CHANGES("", ".", unlink("nothing") < 0 ? 0 : -1);
}

static void times_after_unlink_of_open_file(void)
{
	struct stat before, after;
	int fd = FD(open("file", O_RDONLY));
	OK(fstat(fd, &before));
	tick();
	OK(unlink("file"));
	OK(fstat(fd, &after));
	IS(before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
	   before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
	expect_time(HERE, "mtime", after.st_mtim, before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
}

static void times_after_rename(void)
{
	CHANGES_AT("c", subject, "new", rename(subject, "new"));
	CHANGES("mc", ".", rename("new", subject));
}

static void times_of_both_directories_after_rename(void)
{
	CHANGES("mc", "dir", rename("dir/in", "empty/in"));
	CHANGES("mc", "empty", rename("empty/in", "dir/in"));
	CHANGES("mc", "dir", rename("dir/in", "dir/out"));
}

static void times_of_a_replaced_file(void)
{
	struct stat before, after;
	int fd = FD(open("file", O_RDONLY));
	OK(fstat(fd, &before));
	put("new", "x");
	tick();
	OK(rename("new", "file"));
	OK(fstat(fd, &after));
	IS(before.st_ctim.tv_sec != after.st_ctim.tv_sec ||
	   before.st_ctim.tv_nsec != after.st_ctim.tv_nsec);
}

static void times_of_parent_after_make(void)
{
	CHANGES("mc", "dir", mkdir("dir/d", 0755));
	CHANGES("mc", "dir", symlink("x", "dir/l"));
	CHANGES("mc", "dir", mkfifo("dir/p", 0644));
	CHANGES("mc", "dir", open("dir/f", O_CREAT | O_WRONLY, 0644));
	CHANGES("", "dir", open("dir/f", O_CREAT | O_WRONLY, 0644));
	CHANGES("mc", "dir", rmdir("dir/d"));
	CHANGES("mc", "dir", unlink("dir/l"));
}

static void times_of_parent_after_changes_below(void)
{
	CHANGES("", "dir", chmod("dir/in", 0600));
	CHANGES("", "dir", truncate("dir/in", 1));
	CHANGES("", "dir", setxattr("dir/in", "user.x", "v", 1, 0));
	CHANGES("", "tree", chmod("tree/a/b/f", 0600));
	CHANGES("", "tree", unlink("tree/a/b/f"));
}

static void times_after_readlink(void)
{
	char buf[8];
	CHANGES("a", "link", readlink("link", buf, sizeof(buf)));
}

static void times_after_readdir(void)
{
	DIR *d = opendir("dir");
	IS(d != NULL);
	CHANGES("a", "dir", next(d) ? 0 : -1);
}

static void times_stay_through_first_write_elsewhere(void)
{
	put("tree/a/f", "changed");
	MTIME("tree", OLD_S, OLD_NS);
	MTIME("tree/a", OLD_S, OLD_NS);
	MTIME("tree/a/b", OLD_S, OLD_NS);
	MTIME("tree/f", OLD_S, OLD_NS);
}

static const struct check checks[] = {
    CHECK_EACH(utimens_sets_nanoseconds),
    CHECK_EACH(utimens_now),
    CHECK(utimens_omit_one, NEED_FILE),
    CHECK(utimens_omit_both, NEED_FILE),
    CHECK(utimens_now_and_omit, NEED_FILE),
    CHECK(utimens_changes_ctime, NEED_FILE),
    CHECK(utimens_errors, NEED_FILE),
    CHECK(utimens_of_links, NEED_FILE | NEED_LINK),
    CHECK(utimens_by_fd, NEED_FILE | NEED_DIR),
    CHECK(utimens_range, NEED_FILE),
    CHECK(utimens_range_is_clamped, NEED_FILE),
    CHECK(times_of_a_new_object, 0),
    CHECK(times_after_write, NEED_FILE),
    CHECK(times_after_fsync, NEED_FILE),
    CHECK(times_after_open, NEED_FILE),
    CHECK(times_after_read, NEED_FILE),
    CHECK(times_after_read_noatime, NEED_FILE),
    CHECK(times_after_truncate, NEED_FILE),
    CHECK_NOT_LINKS(times_after_chmod),
    CHECK_EACH(times_after_chown),
    CHECK(times_after_xattr, NEED_FILE),
    CHECK(times_after_fallocate, NEED_FILE),
    CHECK(times_after_mmap_write, NEED_FILE),
    CHECK(times_after_stat, NEED_FILE | NEED_DIR),
    CHECK_NOT_DIRS(times_after_link),
    CHECK(times_after_unlink, NEED_FILE),
    CHECK(times_after_unlink_of_open_file, NEED_FILE),
    CHECK_EACH(times_after_rename),
    CHECK(times_of_both_directories_after_rename, NEED_DIR | NEED_EMPTY),
    CHECK(times_of_a_replaced_file, NEED_FILE),
    CHECK(times_of_parent_after_make, NEED_DIR),
    CHECK(times_of_parent_after_changes_below, NEED_DIR | NEED_TREE),
    CHECK(times_after_readlink, NEED_LINK),
    CHECK(times_after_readdir, NEED_DIR),
    CHECK(times_stay_through_first_write_elsewhere, NEED_TREE),
};
TOPIC(times);
