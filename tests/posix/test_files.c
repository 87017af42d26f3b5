/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making, finding and removing files and whatever else is no directory.
 */
#include "posix.h"

#include <limits.h>

static void creat_makes_an_empty_file(void)
{
	int fd = FD(creat("new", 0640));
	struct stat st = look("new");
	IS(S_ISREG(st.st_mode));
	MODE("new", 0640);
	OWNER("new", 0, 0);
	SIZE("new", 0);
	NLINK("new", 1);
	EQ(st.st_blocks, 0);
	OK(close(fd));
}

static void creat_obeys_umask(void)
{
	(void)umask(0137);
	OK(close(FD(creat("new", 0777))));
	MODE("new", 0640);
}

static void creat_keeps_setuid_and_sticky(void)
{
	(void)umask(0);
	OK(close(FD(creat("new", 07777))));
	MODE("new", 07777);
}

static void creat_on_existing_empties_it(void)
{
	OK(chmod("file", 0600));
	OK(close(FD(creat("file", 0777))));
	SIZE("file", 0);
	MODE("file", 0600);
}

static void creat_read_only_mode_still_writes(void)
{
	as_user(ANN, STAFF) FAILS(EACCES, creat("new", 0400));
	OK(chmod(".", 0777));
	as_user(ANN, STAFF)
	{
		int fd = FD(creat("new", 0400));
		EQ(write(fd, "x", 1), 1);
		FAILS(EACCES, open("new", O_WRONLY));
	}
	DATA("new", "x");
}

static void creat_belongs_to_the_caller(void)
{
	OK(chmod(".", 0777));
	as_user(ANN, STAFF, GUESTS) OK(close(FD(creat("new", 0644))));
	OWNER("new", ANN, STAFF);
}

static void creat_through_missing_directory(void)
{
	FAILS(ENOENT, creat("nothing/new", 0644));
	FAILS(ENOTDIR, creat("file/new", 0644));
	FAILS(EISDIR, creat("dir", 0644));
	FAILS(ENOENT, creat("", 0644));
	FAILS(EISDIR, creat("new/", 0644));
}

static void creat_through_dangling_link(void)
{
	OK(unlink("file"));
	OK(close(FD(creat("link", 0644))));
	THERE("file");
	IS(S_ISLNK(look("link").st_mode));
}

static void unlink_removes(void)
{
	OK(unlink(subject));
	GONE(subject);
	FAILS(ENOENT, unlink(subject));
}

static void unlink_then_same_name_again(void)
{
	OK(unlink("file"));
	put("file", "new");
	DATA("file", "new");
	NLINK("file", 1);
	OK(unlink("file"));
	OK(mkdir("file", 0700));
	IS(S_ISDIR(look("file").st_mode));
	OK(rmdir("file"));
	OK(symlink("x", "file"));
	IS(S_ISLNK(look("file").st_mode));
}

static void unlink_of_a_directory(void)
{
	FAILS(EISDIR, unlink("dir"));
	FAILS(EISDIR, unlink("empty"));
	THERE("dir/in");
}

static void unlink_errors(void)
{
	FAILS(ENOENT, unlink("nothing"));
	FAILS(ENOTDIR, unlink("file/x"));
	FAILS(ENOTDIR, unlink("file/"));
	FAILS(EISDIR, unlink("."));
	FAILS(ENOENT, unlink(""));
}

static void unlink_of_a_link_keeps_its_target(void)
{
	OK(unlink("link"));
	GONE("link");
	DATA("file", LETTERS);
}

static void name_of_255_bytes(void)
{
	char name[NAME_MAX + 2];
	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = 0;
	put(name, "long");
	DATA(name, "long");
	OK(rename(name, "short"));
	OK(rename("short", name));
	OK(mkdir("d", 0755));
	OK(link(name, "d/x"));
	OK(unlink(name));
	GONE(name);
}

static void name_of_256_bytes(void)
{
	char name[NAME_MAX + 2];
	memset(name, 'n', sizeof(name));
	name[NAME_MAX + 1] = 0;
	FAILS(ENAMETOOLONG, creat(name, 0644));
	FAILS(ENAMETOOLONG, mkdir(name, 0755));
	FAILS(ENAMETOOLONG, symlink("x", name));
	FAILS(ENAMETOOLONG, mkfifo(name, 0644));
	FAILS(ENAMETOOLONG, link("file", name));
	FAILS(ENAMETOOLONG, rename("file", name));
	FAILS(ENAMETOOLONG, unlink(name));
	FAILS(ENAMETOOLONG, access(name, F_OK));
}

static void path_of_4096_bytes(void)
{
	char path[PATH_MAX + 1];
	for (size_t i = 0; i < PATH_MAX; i++)
		path[i] = i % 2 ? '/' : '.';
	memcpy(path + PATH_MAX - 6, "file", 5);
	OK(access(path, F_OK));
	path[PATH_MAX - 6] = '.';
	path[PATH_MAX - 5] = '/';
	memcpy(path + PATH_MAX - 4, "file", 5);
	FAILS(ENAMETOOLONG, access(path, F_OK));
}

static void names_are_bytes(void)
{
	static const char *const names[] = {"\xff\xfe",	    "new\nline", " ",  "a\\b",
					    "\x01",	    "...",	 "-x", "caf\xc3\xa9",
					    "cafe\xcc\x81", ".wh.x",	 "#x", ".fuse_hidden1"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		put(names[i], names[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		DATA(names[i], names[i]);
}

static void names_have_case(void)
{
	put("FILE", "upper");
	DATA("file", LETTERS);
	DIFFERENT("file", "FILE");
}

static void stat_tells_what_was_made(void)
{
	struct stat st = look("file");
	IS(S_ISREG(st.st_mode));
	MODE("file", 0644);
	OWNER("file", 0, 0);
	SIZE("file", LETTERS_LEN);
	EQ(st.st_mtim.tv_sec, OLD_S);
	EQ(st.st_mtim.tv_nsec, OLD_NS);
	EQ(st.st_dev, look(".").st_dev);
	IS(st.st_blocks * 512 >= st.st_size);
	IS(st.st_ino != look(".").st_ino);
}

static void stat_is_the_same_by_fd(void)
{
	struct stat st;
	int fd = FD(open(subject, O_PATH | O_NOFOLLOW));
	OK(fstat(fd, &st));
	struct stat by_path = look(subject);
	EQ(st.st_ino, by_path.st_ino);
	EQ(st.st_mode, by_path.st_mode);
	EQ(st.st_rdev, by_path.st_rdev);
	EQ(st.st_size, by_path.st_size);
	EQ(st.st_nlink, by_path.st_nlink);
	OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	EQ(st.st_ino, by_path.st_ino);
}

static void number_stays_after_a_change(void)
{
	ino_t ino = look(subject).st_ino;
	OK(fchownat(AT_FDCWD, subject, ANN, STAFF, AT_SYMLINK_NOFOLLOW));
	EQ(look(subject).st_ino, ino);
	OK(rename(subject, "moved"));
	EQ(look("moved").st_ino, ino);
	OK(mkdir("d", 0755));
	OK(rename("moved", "d/moved"));
	EQ(look("d/moved").st_ino, ino);
}

static void number_stays_while_open(void)
{
	struct stat st;
	int fd = FD(open("file", O_RDONLY));
	OK(fstat(fd, &st));
	int w = open_rw("file");
	EQ(write(w, "A", 1), 1);
	EQ(look("file").st_ino, st.st_ino);
	OK(fstat(fd, &st));
	EQ(look("file").st_ino, st.st_ino);
}

static void statx_knows_birth(void)
{
	struct statx x;
	OK(statx(AT_FDCWD, "file", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &x));
	IS(x.stx_mask & STATX_BTIME);
	IS(x.stx_btime.tv_sec > OLD_S);
}

static void statx_of_new_file_birth_is_now(void)
{
	struct statx x, y;
	tick();
	put("new", "x");
	OK(statx(AT_FDCWD, "new", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
	IS(x.stx_mask & STATX_BTIME);
	tick();
	OK(chmod("new", 0600));
	OK(statx(AT_FDCWD, "new", 0, STATX_BASIC_STATS | STATX_BTIME, &y));
	EQ(x.stx_btime.tv_nsec, y.stx_btime.tv_nsec);
	EQ(x.stx_btime.tv_sec, y.stx_btime.tv_sec);
}

static void reading_sees_what_was_made(void)
{
	DATA("file", LETTERS);
	DATA("hard2", LETTERS);
	DATA("tree/a/b/f", "tree/a/b/f");
	DATA("tree/../tree/a/./f", "tree/a/f");
}

static void write_changes_only_this_file(void)
{
	put("tree/a/f", "changed");
	DATA("tree/a/f", "changed");
	DATA("tree/f", "tree/f");
	DATA("tree/a/b/f", "tree/a/b/f");
}

static const struct check checks[] = {
    CHECK(creat_makes_an_empty_file, 0),
    CHECK(creat_obeys_umask, 0),
    CHECK(creat_keeps_setuid_and_sticky, 0),
    CHECK(creat_on_existing_empties_it, NEED_FILE),
    CHECK(creat_read_only_mode_still_writes, 0),
    CHECK(creat_belongs_to_the_caller, 0),
    CHECK(creat_through_missing_directory, NEED_FILE | NEED_DIR),
    CHECK(creat_through_dangling_link, NEED_FILE | NEED_LINK),
    CHECK_NOT_DIRS(unlink_removes),
    CHECK(unlink_then_same_name_again, NEED_FILE),
    CHECK(unlink_of_a_directory, NEED_DIR | NEED_EMPTY),
    CHECK(unlink_errors, NEED_FILE),
    CHECK(unlink_of_a_link_keeps_its_target, NEED_FILE | NEED_LINK),
    CHECK(name_of_255_bytes, 0),
    CHECK(name_of_256_bytes, NEED_FILE),
    CHECK(path_of_4096_bytes, NEED_FILE),
    CHECK(names_are_bytes, 0),
    CHECK(names_have_case, NEED_FILE),
    CHECK(stat_tells_what_was_made, NEED_FILE),
    CHECK_EACH(stat_is_the_same_by_fd),
    CHECK_EACH(number_stays_after_a_change),
    CHECK(number_stays_while_open, NEED_FILE),
    CHECK(statx_knows_birth, NEED_FILE),
    CHECK(statx_of_new_file_birth_is_now, 0),
    CHECK(reading_sees_what_was_made, NEED_FILE | NEED_HARD | NEED_TREE),
    CHECK(write_changes_only_this_file, NEED_TREE),
};
TOPIC(files);
