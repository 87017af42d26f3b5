/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making and removing directories, their link counts, the way up.
 */
#include "posix.h"

#include <limits.h>
#include <stdlib.h>

static void mkdir_makes_an_empty_directory(void)
{
	OK(mkdir("new", 0750));
	IS(S_ISDIR(look("new").st_mode));
	MODE("new", 0750);
	OWNER("new", 0, 0);
	NLINK("new", 2);
	SAME("new/..", ".");
	SAME("new/.", "new");
}

static void mkdir_obeys_umask(void)
{
	(void)umask(0077);
	OK(mkdir("new", 0777));
	MODE("new", 0700);
}

static void mkdir_keeps_sticky_and_drops_setuid(void)
{
	(void)umask(0);
	OK(mkdir("new", 07777));
	MODE("new", 01777); /* Linux takes permission bits and the sticky bit */
}

static void mkdir_errors(void)
{
	FAILS(EEXIST, mkdir("dir", 0755));
	FAILS(EEXIST, mkdir("file", 0755));
	FAILS(EEXIST, mkdir("link", 0755));
	FAILS(ENOENT, mkdir("nothing/new", 0755));
	FAILS(ENOTDIR, mkdir("file/new", 0755));
	FAILS(EEXIST, mkdir(".", 0755));
	FAILS(ENOENT, mkdir("", 0755));
}

static void mkdir_with_a_slash_behind(void)
{
	OK(mkdir("new/", 0755));
	OK(rmdir("new/"));
	GONE("new");
}

static void mkdir_on_dangling_link(void)
{
	OK(symlink("nothing", "dangling"));
	FAILS(EEXIST, mkdir("dangling", 0755));
	GONE("nothing");
}

static void mkdir_belongs_to_the_caller(void)
{
	OK(chmod(".", 0777));
	as_user(ANN, STAFF) OK(mkdir("new", 0755));
	OWNER("new", ANN, STAFF);
}

static void rmdir_removes(void)
{
	OK(rmdir("empty"));
	GONE("empty");
	FAILS(ENOENT, rmdir("empty"));
}

static void rmdir_errors(void)
{
	FAILS(ENOTEMPTY, rmdir("dir"));
	FAILS(ENOTDIR, rmdir("file"));
	FAILS(ENOTDIR, rmdir("link"));
	FAILS(ENOTDIR, rmdir("file/x"));
	FAILS(ENOENT, rmdir("nothing"));
	FAILS(EINVAL, rmdir("dir/."));
	FAILS(ENOTEMPTY, rmdir("dir/.."));
	THERE("dir/in");
}

static void rmdir_of_link_to_a_directory(void)
{
	OK(symlink("empty", "to"));
	FAILS(ENOTDIR, rmdir("to"));
	FAILS(ENOTDIR, rmdir("to/"));
	THERE("empty");
}

static void rmdir_after_the_last_entry(void)
{
	FAILS(ENOTEMPTY, rmdir("dir"));
	OK(unlink("dir/in"));
	OK(rmdir("dir"));
	GONE("dir");
}

static void rmdir_then_same_name_is_empty(void)
{
	OK(unlink("dir/in"));
	OK(rmdir("dir"));
	OK(mkdir("dir", 0700));
	GONE("dir/in");
	OK(rmdir("dir"));
	put("dir", "a file now");
	DATA("dir", "a file now");
}

static void rmdir_of_the_whole_tree(void)
{
	OK(unlink("tree/a/b/f"));
	OK(rmdir("tree/a/b"));
	OK(unlink("tree/a/f"));
	OK(rmdir("tree/a"));
	OK(unlink("tree/f"));
	OK(rmdir("tree"));
	GONE("tree");
	OK(mkdir("tree", 0755));
	GONE("tree/a");
	GONE("tree/f");
}

static void links_count_subdirectories(void)
{
	NLINK("tree", 3);
	OK(mkdir("tree/new", 0755));
	NLINK("tree", 4);
	OK(rmdir("tree/new"));
	NLINK("tree", 3);
	put("tree/file", "x");
	NLINK("tree", 3);
}

static void links_of_an_empty_directory(void)
{
	NLINK("empty", 2);
	OK(mkdir("empty/a", 0755));
	OK(mkdir("empty/b", 0755));
	NLINK("empty", 4);
	NLINK("empty/a", 2);
}

static void links_follow_a_moved_directory(void)
{
	NLINK("empty", 2);
	OK(rename("tree/a", "empty/a"));
	NLINK("empty", 3);
	NLINK("tree", 2);
}

static void size_of_a_directory(void)
{
	IS(look("dir").st_size > 0);
}

static void new_in_it_is_found(void)
{
	put("dir/new", "new");
	DATA("dir/new", "new");
	DATA("dir/in", "in");
	OK(unlink("dir/in"));
	GONE("dir/in");
	DATA("dir/new", "new");
}

static void dotdot_after_a_move(void)
{
	OK(rename("tree/a/b", "empty/b"));
	SAME("empty/b/..", "empty");
	DATA("empty/b/f", "tree/a/b/f");
	OK(chdir("empty/b"));
	SAME("..", "../../empty");
}

static void getcwd_follows_a_move(void)
{
	char before[PATH_MAX], after[PATH_MAX];
	OK(chdir("tree/a"));
	IS(getcwd(before, sizeof(before)) != NULL);
	OK(rename("../../tree", "../../wood"));
	IS(getcwd(after, sizeof(after)) != NULL);
	const char *tail = strstr(after, "/wood/a");
	IS(tail && tail[7] == 0);
	IS(strncmp(before, after, (size_t)(tail - after)) == 0);
}

static void deep_tree(void)
{
	enum { LEN = 400 }; /* 200 levels */
	char path[LEN + 2] = "";
	for (size_t i = 0; i < LEN; i += 2) {
		path[i] = 'd';
		OK(mkdir(path, 0755));
		path[i + 1] = '/';
	}
	path[LEN] = 'f';
	put(path, "deep");
	DATA(path, "deep");
	OK(rename("d", "e"));
	path[0] = 'e';
	DATA(path, "deep");
}

static void same_names_at_every_level(void)
{
	OK(unlink("tree/a/f"));
	DATA("tree/f", "tree/f");
	GONE("tree/a/f");
	DATA("tree/a/b/f", "tree/a/b/f");
}

static void fsync_of_a_directory(void)
{
	int fd = FD(open("dir", O_RDONLY | O_DIRECTORY));
	OK(fsync(fd));
	put("dir/new", "x");
	OK(fsync(fd));
	OK(fdatasync(fd));
}

static void read_of_a_directory(void)
{
	char c;
	int fd = FD(open("dir", O_RDONLY));
	FAILS(EISDIR, read(fd, &c, 1));
	FAILS(EBADF, write(fd, "x", 1));
	FAILS(EINVAL, ftruncate(fd, 0));
}

static const struct check checks[] = {
    CHECK(mkdir_makes_an_empty_directory, 0),
    CHECK(mkdir_obeys_umask, 0),
    CHECK(mkdir_keeps_sticky_and_drops_setuid, 0),
    CHECK(mkdir_errors, NEED_FILE | NEED_DIR | NEED_LINK),
    CHECK(mkdir_with_a_slash_behind, 0),
    CHECK(mkdir_on_dangling_link, 0),
    CHECK(mkdir_belongs_to_the_caller, 0),
    CHECK(rmdir_removes, NEED_EMPTY),
    CHECK(rmdir_errors, NEED_FILE | NEED_DIR | NEED_LINK),
    CHECK(rmdir_of_link_to_a_directory, NEED_EMPTY),
    CHECK(rmdir_after_the_last_entry, NEED_DIR),
    CHECK(rmdir_then_same_name_is_empty, NEED_DIR),
    CHECK(rmdir_of_the_whole_tree, NEED_TREE),
    CHECK(links_count_subdirectories, NEED_TREE),
    CHECK(links_of_an_empty_directory, NEED_EMPTY),
    CHECK(links_follow_a_moved_directory, NEED_TREE | NEED_EMPTY),
    CHECK(size_of_a_directory, NEED_DIR),
    CHECK(new_in_it_is_found, NEED_DIR),
    CHECK(dotdot_after_a_move, NEED_TREE | NEED_EMPTY),
    CHECK(getcwd_follows_a_move, NEED_TREE),
    CHECK(deep_tree, 0),
    CHECK(same_names_at_every_level, NEED_TREE),
    CHECK(fsync_of_a_directory, NEED_DIR),
    CHECK(read_of_a_directory, NEED_DIR),
};
TOPIC(dirs);
