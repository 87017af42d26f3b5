/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * rename(2) and renameat2(2).
 */
#include "posix.h"

#include <stdlib.h>

static int rename2(const char *from, const char *to, unsigned flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void rename_moves(void)
{
	struct stat before = look(subject);
	OK(rename(subject, "new"));
	GONE(subject);
	struct stat after = look("new");
	EQ(after.st_ino, before.st_ino);
	EQ(after.st_mode, before.st_mode);
	EQ(after.st_rdev, before.st_rdev);
	EQ(after.st_nlink, before.st_nlink);
	EQ(after.st_mtim.tv_nsec, OLD_NS);
	OK(rename("new", subject)); /* and back */
	GONE("new");
	EQ(look(subject).st_ino, before.st_ino);
}

static void rename_into_another_directory(void)
{
	OK(rename(subject, "empty/new"));
	GONE(subject);
	THERE("empty/new");
	OK(rename("empty/new", subject));
	GONE("empty/new");
	OK(rmdir("empty"));
}

static void rename_replaces_a_file(void)
{
	put("old", "old");
	int fd = FD(open("old", O_RDONLY));
	OK(rename("file", "old"));
	DATA("old", LETTERS);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_size, 3);
}

static void rename_replaces_what_was_below(void)
{
	put("new", "new");
	OK(rename("new", "file"));
	DATA("file", "new");
	GONE("new");
	OK(unlink("file"));
	GONE("file");
}

static void rename_replaces_each(void)
{
	put("new", "new");
	OK(rename("new", subject));
	DATA(subject, "new");
}

static void rename_replaces_an_empty_directory(void)
{
	OK(rename("dir", "empty"));
	GONE("dir");
	DATA("empty/in", "in");
	OK(mkdir("dir", 0755));
	GONE("dir/in");
}

static void rename_new_over_empty_directory(void)
{
	OK(mkdir("new", 0700));
	put("new/x", "x");
	OK(rename("new", "empty"));
	DATA("empty/x", "x");
	MODE("empty", 0700);
}

static void rename_over_full_directory(void)
{
	FAILS(ENOTEMPTY, rename("empty", "dir"));
	THERE("dir/in");
	OK(unlink("dir/in"));
	OK(rename("empty", "dir"));
	GONE("empty");
	GONE("dir/in");
}

static void rename_type_mismatch(void)
{
	FAILS(EISDIR, rename("file", "empty"));
	FAILS(ENOTDIR, rename("empty", "file"));
	FAILS(ENOTDIR, rename("empty", "link"));
	FAILS(EISDIR, rename("link", "empty"));
	THERE("file");
	THERE("empty");
}

static void rename_to_itself(void)
{
	OK(rename("file", "file"));
	DATA("file", LETTERS);
	OK(rename("dir", "dir"));
	THERE("dir/in");
}

static void rename_between_hard_links(void)
{
	OK(rename("hard1", "hard2")); /* one object: nothing happens */
	THERE("hard1");
	THERE("hard2");
	NLINK("hard1", 2);
}

static void rename_into_itself(void)
{
	FAILS(EINVAL, rename("tree", "tree/a/new"));
	FAILS(EINVAL, rename("tree", "tree/new"));
	FAILS(ENOTEMPTY, rename("tree/a/b", "tree"));
	THERE("tree/a/b/f");
}

static void rename_of_dots(void)
{
	FAILS(EBUSY, rename(".", "new"));
	FAILS(EBUSY, rename("dir/..", "new"));
	FAILS(EBUSY, rename("file", "dir/.."));
	FAILS(EBUSY, rename("dir/.", "new"));
}

static void rename_missing(void)
{
	FAILS(ENOENT, rename("nothing", "new"));
	FAILS(ENOENT, rename("file", "nothing/new"));
	FAILS(ENOENT, rename("file", ""));
	FAILS(ENOENT, rename("", "new"));
	FAILS(ENOTDIR, rename("file/x", "new"));
	FAILS(ENOTDIR, rename("file", "file/new"));
	FAILS(ENOTDIR, rename("file/", "new"));
	FAILS(ENOTDIR, rename("file", "new/"));
}

static void rename_directory_with_slash(void)
{
	OK(rename("dir/", "new/"));
	DATA("new/in", "in");
}

static void rename_of_a_link(void)
{
	OK(rename("link", "new"));
	IS(S_ISLNK(look("new").st_mode));
	DATA("new", LETTERS);
	THERE("file");
	OK(rename("file", "new"));
	IS(S_ISREG(look("new").st_mode));
}

static void rename_a_full_tree(void)
{
	OK(rename("tree", "wood"));
	GONE("tree");
	DATA("wood/f", "tree/f");
	DATA("wood/a/f", "tree/a/f");
	DATA("wood/a/b/f", "tree/a/b/f");
	put("wood/a/new", "new");
	OK(unlink("wood/a/b/f"));
	OK(rename("wood", "tree"));
	DATA("tree/a/new", "new");
	GONE("tree/a/b/f");
}

static void rename_inner_then_outer(void)
{
	OK(rename("tree/a/b", "tree/b"));
	OK(rename("tree", "wood"));
	DATA("wood/b/f", "tree/a/b/f");
	GONE("wood/a/b");
	OK(rename("wood/a", "wood/b/a"));
	DATA("wood/b/a/f", "tree/a/f");
	OK(mkdir("tree", 0755));
	GONE("tree/f");
	OK(rename("wood/b", "tree/b"));
	DATA("tree/b/a/f", "tree/a/f");
}

static void rename_swap_by_three(void)
{
	OK(rename("tree/a", "tmp"));
	OK(rename("tree", "a"));
	OK(rename("tmp", "tree"));
	DATA("tree/f", "tree/a/f");
	DATA("a/f", "tree/f");
	GONE("a/a");
}

static void rename_over_name_with_history(void)
{
	OK(unlink("file"));
	OK(rename("dir", "file"));
	DATA("file/in", "in");
	OK(rename("file", "dir"));
	GONE("file");
	DATA("dir/in", "in");
}

static void rename_open_file_goes_on(void)
{
	char c;
	int fd = open_rw("file");
	OK(rename("file", "new"));
	EQ(pwrite(fd, "Z", 1, 0), 1);
	int other = FD(open("new", O_RDONLY));
	EQ(read(other, &c, 1), 1);
	EQ(c, 'Z');
}

static void rename_open_directory_goes_on(void)
{
	int fd = FD(open("dir", O_RDONLY | O_DIRECTORY));
	OK(rename("dir", "new"));
	OK(faccessat(fd, "in", F_OK, 0));
	OK(mkdirat(fd, "sub", 0755));
	THERE("new/sub");
}

static void rename_noreplace(void)
{
	FAILS(EEXIST, rename2("file", "dir", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("dir", "empty", RENAME_NOREPLACE));
	FAILS(EEXIST, rename2("file", "file", RENAME_NOREPLACE));
	OK(rename2("file", "new", RENAME_NOREPLACE));
	OK(rename2("dir", "file", RENAME_NOREPLACE));
	DATA("file/in", "in");
}

static void rename_exchange(void)
{
	ino_t other = look("empty").st_ino, own = look(subject).st_ino;
	OK(rename2(subject, "empty", RENAME_EXCHANGE));
	EQ(look("empty").st_ino, own);
	EQ(look(subject).st_ino, other);
	OK(rename2(subject, "empty", RENAME_EXCHANGE));
	EQ(look("empty").st_ino, other);
	OK(rmdir("empty"));
}

static void rename_exchange_two_trees(void)
{
	OK(rename2("tree/a", "dir", RENAME_EXCHANGE));
	DATA("tree/a/in", "in");
	DATA("dir/b/f", "tree/a/b/f");
	SAME("dir/b/..", "dir");
	SAME("tree/a/..", "tree");
}

static void rename_exchange_errors(void)
{
	FAILS(ENOENT, rename2("file", "nothing", RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("file", "dir", RENAME_EXCHANGE | RENAME_NOREPLACE));
	FAILS(EINVAL, rename2("tree", "tree/a/b", RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("tree/a/b", "tree", RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("file", "new", 1U << 30));
}

static void rename_whiteout_leaves_a_device(void)
{
	OK(rename2("file", "new", RENAME_WHITEOUT));
	DATA("new", LETTERS);
	EQ(look("file").st_mode & S_IFMT, S_IFCHR);
	EQ(look("file").st_rdev, 0);
}

static void rename_needs_both_directories(void)
{
	OK(mkdir("a", 0777));
	OK(mkdir("b", 0755));
	OK(chmod("a", 0777));
	put("a/f", "x");
	put("b/f", "y");
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, rename("a/f", "b/g"));
		FAILS(EACCES, rename("b/f", "a/g"));
		OK(rename("a/f", "a/g"));
	}
}

static void rename_of_foreign_directory(void)
{
	OK(chmod(".", 0777));
	OK(mkdir("a", 0777));
	OK(chmod("a", 0777));
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, rename("dir", "a/dir")); /* its ".." would change */
		OK(rename("dir", "renamed"));
	}
	THERE("renamed/in");
}

static const struct check checks[] = {
    CHECK_EACH(rename_moves),
    CHECK_ON(rename_into_another_directory, "file", NEED_FILE | NEED_EMPTY),
    CHECK_ON(rename_into_another_directory, "dir", NEED_DIR | NEED_EMPTY),
    CHECK_ON(rename_into_another_directory, "link", NEED_LINK | NEED_EMPTY),
    CHECK_ON(rename_into_another_directory, "hard1", NEED_HARD | NEED_EMPTY),
    CHECK_ON(rename_into_another_directory, "chr", NEED_CHR | NEED_EMPTY),
    CHECK(rename_replaces_a_file, NEED_FILE),
    CHECK(rename_replaces_what_was_below, NEED_FILE),
    CHECK_NOT_DIRS(rename_replaces_each),
    CHECK(rename_replaces_an_empty_directory, NEED_DIR | NEED_EMPTY),
    CHECK(rename_new_over_empty_directory, NEED_EMPTY),
    CHECK(rename_over_full_directory, NEED_DIR | NEED_EMPTY),
    CHECK(rename_type_mismatch, NEED_FILE | NEED_EMPTY | NEED_LINK),
    CHECK(rename_to_itself, NEED_FILE | NEED_DIR),
    CHECK(rename_between_hard_links, NEED_HARD),
    CHECK(rename_into_itself, NEED_TREE),
    CHECK(rename_of_dots, NEED_FILE | NEED_DIR),
    CHECK(rename_missing, NEED_FILE),
    CHECK(rename_directory_with_slash, NEED_DIR),
    CHECK(rename_of_a_link, NEED_FILE | NEED_LINK),
    CHECK(rename_a_full_tree, NEED_TREE),
    CHECK(rename_inner_then_outer, NEED_TREE),
    CHECK(rename_swap_by_three, NEED_TREE),
    CHECK(rename_over_name_with_history, NEED_FILE | NEED_DIR),
    CHECK(rename_open_file_goes_on, NEED_FILE),
    CHECK(rename_open_directory_goes_on, NEED_DIR),
    CHECK(rename_noreplace, NEED_FILE | NEED_DIR | NEED_EMPTY),
    CHECK_ON(rename_exchange, "file", NEED_FILE | NEED_EMPTY),
    CHECK_ON(rename_exchange, "dir", NEED_DIR | NEED_EMPTY),
    CHECK_ON(rename_exchange, "link", NEED_LINK | NEED_EMPTY),
    CHECK_ON(rename_exchange, "hard1", NEED_HARD | NEED_EMPTY),
    CHECK(rename_exchange_two_trees, NEED_TREE | NEED_DIR),
    CHECK(rename_exchange_errors, NEED_FILE | NEED_DIR | NEED_TREE),
    CHECK(rename_whiteout_leaves_a_device, NEED_FILE),
    CHECK(rename_needs_both_directories, 0),
    CHECK(rename_of_foreign_directory, NEED_DIR),
};
TOPIC(rename);
