/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Objects without a name that are still in use.
 */
#include "posix.h"

#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>

static int open_and_unlink(int flags)
{
	int fd = FD(open("file", flags));
	OK(unlink("file"));
	return fd;
}

static void unlinked_reads(void)
{
	char buf[LETTERS_LEN];
	int fd = open_and_unlink(O_RDONLY);
	EQ(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	IS(memcmp(buf, LETTERS, sizeof(buf)) == 0);
}

static void unlinked_writes(void)
{
	char buf[3];
	int fd = open_and_unlink(O_RDWR);
	EQ(pwrite(fd, "new", 3, 100), 3);
	EQ(pread(fd, buf, 3, 100), 3);
	IS(memcmp(buf, "new", 3) == 0);
	OK(fsync(fd));
	GONE("file");
}

static void unlinked_has_no_links(void)
{
	struct stat st;
	int fd = FD(open("file", O_RDONLY));
	OK(fstat(fd, &st));
	ino_t ino = st.st_ino;
	OK(unlink("file"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_size, LETTERS_LEN);
	EQ(st.st_ino, ino);
}

static void unlinked_truncates(void)
{
	struct stat st;
	int fd = open_and_unlink(O_RDWR);
	OK(ftruncate(fd, 3));
	OK(fstat(fd, &st));
	EQ(st.st_size, 3);
	OK(ftruncate(fd, 100000));
	OK(fstat(fd, &st));
	EQ(st.st_size, 100000);
}

static void unlinked_changes_attributes(void)
{
	static const struct timespec t[2] = {{1, 2}, {3, 4}};
	struct stat st;
	int fd = open_and_unlink(O_RDONLY); /* not copied up before */
	OK(fchmod(fd, 0600));
	OK(fchown(fd, ANN, STAFF));
	OK(futimens(fd, t));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0600);
	EQ(st.st_uid, ANN);
	EQ(st.st_gid, STAFF);
	EQ(st.st_mtim.tv_sec, 3);
	EQ(st.st_nlink, 0);
}

static void unlinked_xattrs(void)
{
	char buf[8];
	int fd = open_and_unlink(O_RDONLY);
	OK(fsetxattr(fd, "user.x", "v", 1, 0));
	EQ(fgetxattr(fd, "user.x", buf, sizeof(buf)), 1);
	OK(fremovexattr(fd, "user.x"));
}

static void unlinked_allocates(void)
{
	int fd = open_and_unlink(O_RDWR);
	struct stat st;
	OK(fallocate(fd, 0, 0, 8192));
	OK(fstat(fd, &st));
	EQ(st.st_size, 8192);
}

static void unlinked_maps(void)
{
	int fd = open_and_unlink(O_RDWR);
	char c, *p = mmap(NULL, LETTERS_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	IS(p != MAP_FAILED);
	EQ(p[3], 'd');
	p[3] = 'D';
	EQ(pread(fd, &c, 1, 3), 1);
	EQ(c, 'D');
}

static void unlinked_opens_again_by_proc(void)
{
	char path[32], c;
	int fd = open_and_unlink(O_RDWR);
	EQ(pwrite(fd, "1", 1, 0), 1);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = FD(open(path, O_RDWR));
	EQ(pread(again, &c, 1, 0), 1);
	EQ(c, '1');
	EQ(pwrite(again, "2", 1, 0), 1);
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(c, '2');
}

static void unlinked_found_before_opens(void)
{
	char path[32], c;
	int fd = FD(open("file", O_PATH)); /* as open(2) between finding and opening */
	OK(unlink("file"));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EQ(pread(FD(open(path, O_RDONLY)), &c, 1, 3), 1);
	EQ(c, 'd');
}

static void unlinked_cannot_be_linked(void)
{
	char path[32];
	int fd = open_and_unlink(O_RDWR);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FAILS(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
	GONE("again");
}

static void unlinked_other_name_lives(void)
{
	struct stat st;
	int fd = open_rw("hard1");
	OK(unlink("hard1"));
	EQ(pwrite(fd, "Z", 1, 0), 1);
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 1);
	DATA("hard2", "Zbcdefghijklmnopqrstuvwxyz");
	OK(unlink("hard2"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(pwrite(fd, "Z", 1, 1), 1);
}

static void unlinked_twins_stay_apart(void)
{
	char c;
	int old = open_and_unlink(O_RDWR);
	put("file", "second");
	int newer = open_rw("file");
	OK(unlink("file"));
	put("file", "third");
	EQ(pread(old, &c, 1, 0), 1);
	EQ(c, 'a');
	EQ(pread(newer, &c, 1, 0), 1);
	EQ(c, 's');
	EQ(pwrite(old, "!", 1, 0), 1);
	EQ(pread(newer, &c, 1, 0), 1);
	EQ(c, 's');
	DATA("file", "third");
}

static void unlinked_two_opens_share(void)
{
	char c;
	int a = FD(open("file", O_RDONLY)), b = open_rw("file");
	OK(unlink("file"));
	EQ(pwrite(b, "S", 1, 0), 1);
	EQ(pread(a, &c, 1, 0), 1);
	EQ(c, 'S');
}

static void unlinked_survives_its_directory(void)
{
	char buf[2];
	int fd = open_rw("dir/in");
	OK(unlink("dir/in"));
	OK(rmdir("dir"));
	EQ(pread(fd, buf, 2, 0), 2);
	EQ(pwrite(fd, "xyz", 3, 0), 3);
	OK(fsync(fd));
}

static void replaced_reads_and_writes(void)
{
	char c;
	int fd = open_rw("file");
	put("new", "new");
	OK(rename("new", "file"));
	EQ(pread(fd, &c, 1, 25), 1);
	EQ(c, 'z');
	EQ(pwrite(fd, "Z", 1, 0), 1);
	DATA("file", "new");
}

static void unlinked_frees_space(void)
{
	struct stat st;
	int fd = FD(open("new", O_CREAT | O_RDWR, 0644));
	OK(fallocate(fd, 0, 0, 1 << 20));
	OK(unlink("new"));
	OK(fstat(fd, &st));
	IS(st.st_blocks * 512 >= 1 << 20);
	OK(close(fd));
}

static void unlinked_fifo(void)
{
	struct stat st;
	int fd = FD(open("fifo", O_PATH));
	OK(unlink("fifo"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	IS(S_ISFIFO(st.st_mode));
}

static void unlinked_link(void)
{
	struct stat st;
	char buf[8];
	int fd = FD(open("link", O_PATH | O_NOFOLLOW));
	OK(unlink("link"));
	EQ(readlinkat(fd, "", buf, sizeof(buf)), 4);
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
}

/* ---------------------------------------------------------------- directories */

static void removed_cwd(void)
{
	char path[64];
	OK(chdir("empty"));
	OK(rmdir("../empty")); /* ".." still leads out */
	FAILS(ENOENT, open("new", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdir("new", 0755));
	FAILS(ENOENT, symlink("x", "new"));
	FAILS(ENOENT, access("new", F_OK));
	IS(!getcwd(path, sizeof(path)) && errno == ENOENT);
	OK(chdir(".."));
	GONE("empty");
}

static void removed_cwd_is_empty(void)
{
	OK(chdir("empty"));
	OK(rmdir("../empty"));
	DIR *d = opendir(".");
	IS(d != NULL);
	IS(!next(d) && errno == 0);
	NLINK(".", 0);
	OK(closedir(d));
}

static void removed_directory_has_no_links(void)
{
	struct stat st;
	int fd = FD(open("empty", O_RDONLY | O_DIRECTORY));
	OK(rmdir("empty"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	IS(S_ISDIR(st.st_mode));
}

static void removed_directory_takes_nothing(void)
{
	int fd = FD(open("empty", O_RDONLY | O_DIRECTORY));
	OK(rmdir("empty"));
	FAILS(ENOENT, openat(fd, "new", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdirat(fd, "new", 0755));
	FAILS(ENOENT, linkat(AT_FDCWD, "file", fd, "new", 0));
	FAILS(ENOENT, renameat(AT_FDCWD, "file", fd, "new"));
	FAILS(ENOENT, faccessat(fd, "new", F_OK, 0));
	THERE("file");
}

static void removed_directory_changes_attributes(void)
{
	struct stat st;
	int fd = FD(open("empty", O_RDONLY | O_DIRECTORY));
	OK(rmdir("empty"));
	OK(fchmod(fd, 0700));
	OK(fchown(fd, ANN, STAFF));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFDIR | 0700);
	EQ(st.st_uid, ANN);
}

static void removed_directory_lists_nothing(void)
{
	int fd = FD(open("empty", O_RDONLY | O_DIRECTORY));
	DIR *d = fdopendir(fd);
	IS(d != NULL);
	OK(rmdir("empty"));
	IS(next(d) == NULL && errno == 0);
	EQ(closedir(d), 0);
}

static void removed_directory_and_its_follower(void)
{
	int fd = FD(open("dir", O_RDONLY | O_DIRECTORY));
	OK(unlink("dir/in"));
	OK(rmdir("dir"));
	OK(mkdir("dir", 0755));
	put("dir/new", "x");
	FAILS(ENOENT, faccessat(fd, "new", F_OK, 0));
	FAILS(ENOENT, faccessat(fd, "in", F_OK, 0));
	FAILS(ENOENT, openat(fd, "other", O_CREAT | O_WRONLY, 0644));
}

static const struct check checks[] = {
    CHECK(unlinked_reads, NEED_FILE),
    CHECK(unlinked_writes, NEED_FILE),
    CHECK(unlinked_has_no_links, NEED_FILE),
    CHECK(unlinked_truncates, NEED_FILE),
    CHECK(unlinked_changes_attributes, NEED_FILE),
    CHECK(unlinked_xattrs, NEED_FILE),
    CHECK(unlinked_allocates, NEED_FILE),
    CHECK(unlinked_maps, NEED_FILE),
    CHECK(unlinked_opens_again_by_proc, NEED_FILE),
    CHECK(unlinked_found_before_opens, NEED_FILE),
    CHECK(unlinked_cannot_be_linked, NEED_FILE),
    CHECK(unlinked_other_name_lives, NEED_HARD),
    CHECK(unlinked_twins_stay_apart, NEED_FILE),
    CHECK(unlinked_two_opens_share, NEED_FILE),
    CHECK(unlinked_survives_its_directory, NEED_DIR),
    CHECK(replaced_reads_and_writes, NEED_FILE),
    CHECK(unlinked_frees_space, 0),
    CHECK(unlinked_fifo, NEED_FIFO),
    CHECK(unlinked_link, NEED_LINK),
    CHECK(removed_cwd, NEED_EMPTY),
    CHECK(removed_cwd_is_empty, NEED_EMPTY),
    CHECK(removed_directory_has_no_links, NEED_EMPTY),
    CHECK(removed_directory_takes_nothing, NEED_EMPTY | NEED_FILE),
    CHECK(removed_directory_changes_attributes, NEED_EMPTY),
    CHECK(removed_directory_lists_nothing, NEED_EMPTY),
    CHECK(removed_directory_and_its_follower, NEED_DIR),
};
TOPIC(unlinked);
