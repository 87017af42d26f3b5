/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Hard links, symbolic links.
 */
#include "posix.h"

#include <limits.h>
#include <stdlib.h>

static void link_makes_a_second_name(void)
{
	OK(linkat(AT_FDCWD, subject, AT_FDCWD, "second", 0));
	SAME(subject, "second");
	EQ(look("second").st_nlink, strcmp(subject, "hard1") == 0 ? 3 : 2);
	OK(unlink(subject));
	EQ(look("second").st_nlink, strcmp(subject, "hard1") == 0 ? 2 : 1);
}

static void link_shares_data_and_attributes(void)
{
	OK(link("file", "second"));
	put("second", "changed");
	DATA("file", "changed");
	OK(chmod("file", 0600));
	MODE("second", 0600);
	OK(truncate("second", 2));
	DATA("file", "ch");
}

static void link_from_below_shares(void)
{
	SAME("hard1", "hard2");
	NLINK("hard1", 2);
	put("hard1", "changed");
	DATA("hard2", "changed");
	SAME("hard1", "hard2");
	NLINK("hard2", 2);
	OK(chmod("hard2", 0600));
	MODE("hard1", 0600);
}

static void link_from_below_loses_one_name(void)
{
	OK(unlink("hard1"));
	NLINK("hard2", 1);
	DATA("hard2", LETTERS);
	OK(link("hard2", "hard1"));
	SAME("hard1", "hard2");
	NLINK("hard1", 2);
}

static void link_from_below_open_sees_write(void)
{
	char c[3] = "";
	int fd = FD(open("hard1", O_RDONLY));
	int w = open_rw("hard2");
	EQ(pwrite(w, "XY", 2, 0), 2);
	EQ(pread(fd, c, 2, 0), 2);
	IS(strcmp(c, "XY") == 0);
}

static void link_into_another_directory(void)
{
	OK(link("file", "dir/second"));
	SAME("file", "dir/second");
	OK(unlink("file"));
	DATA("dir/second", LETTERS);
	NLINK("dir/second", 1);
}

static void link_errors(void)
{
	FAILS(EEXIST, link("file", "dir"));
	FAILS(EEXIST, link("file", "file"));
	FAILS(EEXIST, link("file", "link"));
	FAILS(ENOENT, link("nothing", "new"));
	FAILS(ENOENT, link("file", "nothing/new"));
	FAILS(ENOTDIR, link("file/x", "new"));
	FAILS(ENOTDIR, link("file", "file/new"));
	FAILS(ENOENT, link("file", "new/"));
	NLINK("file", 1);
}

static void link_of_a_directory(void)
{
	FAILS(EPERM, link("dir", "new"));
	GONE("new");
}

static void link_follows_only_when_asked(void)
{
	OK(linkat(AT_FDCWD, "link", AT_FDCWD, "a", 0));
	SAME("a", "link");
	OK(linkat(AT_FDCWD, "link", AT_FDCWD, "b", AT_SYMLINK_FOLLOW));
	SAME("b", "file");
}

static void link_many_times(void)
{
	char name[16];
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		OK(link("file", name));
	}
	NLINK("file", 301);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		OK(unlink(name));
	}
	NLINK("file", 1);
}

static void link_by_proc_fd(void)
{
	char path[32];
	int fd = FD(open("file", O_RDONLY));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "second", AT_SYMLINK_FOLLOW));
	SAME("file", "second");
}

static void symlink_tells_its_target(void)
{
	char buf[16];
	EQ(readlink("link", buf, sizeof(buf)), 4);
	IS(memcmp(buf, "file", 4) == 0);
	SIZE("link", 4);
	EQ(look("link").st_mode, S_IFLNK | 0777);
	NLINK("link", 1);
}

static void symlink_is_cut_to_the_buffer(void)
{
	char buf[4] = "....";
	EQ(readlink("link", buf, 2), 2);
	IS(memcmp(buf, "fi..", 4) == 0);
	FAILS(EINVAL, readlink("link", buf, 0));
}

static void symlink_is_followed(void)
{
	DATA("link", LETTERS);
	put("link", "through");
	DATA("file", "through");
	IS(S_ISLNK(look("link").st_mode));
}

static void symlink_errors(void)
{
	char c;
	FAILS(EEXIST, symlink("x", "file"));
	FAILS(EEXIST, symlink("x", "link"));
	FAILS(ENOENT, symlink("", "new"));
	FAILS(ENOENT, symlink("x", "nothing/new"));
	FAILS(ENOTDIR, symlink("x", "file/new"));
	FAILS(ENOENT, symlink("x", "new/"));
	FAILS(EINVAL, readlink("file", &c, 1));
	FAILS(EINVAL, readlink("dir", &c, 1));
	FAILS(ENOENT, readlink("nothing", &c, 1));
}

static void symlink_target_lengths(void)
{
	static const size_t lengths[] = {1, 59, 60, 61, 255, 1000, 4000, PATH_MAX - 1};
	char target[PATH_MAX + 1], back[PATH_MAX + 1], name[16];
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		memset(target, 't', sizeof(target));
		target[lengths[i]] = 0;
		(void)snprintf(name, sizeof(name), "l%zu", i);
		OK(symlink(target, name));
		EQ(readlink(name, back, sizeof(back)), lengths[i]);
		IS(memcmp(target, back, lengths[i]) == 0);
		SIZE(name, lengths[i]);
	}
	memset(target, 't', PATH_MAX);
	target[PATH_MAX] = 0;
	FAILS(ENAMETOOLONG, symlink(target, "too"));
}

static void symlink_target_is_kept_as_it_is(void)
{
	static const char *const targets[] = {"/", "//a//b/", ".", "..", "a b", "\xff", "./x/../y"};
	char back[32];
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		OK(symlink(targets[i], "new"));
		EQ(readlink("new", back, sizeof(back)), strlen(targets[i]));
		IS(memcmp(back, targets[i], strlen(targets[i])) == 0);
		OK(unlink("new"));
	}
}

static void symlink_loops(void)
{
	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	FAILS(ELOOP, open("a", O_RDONLY));
	FAILS(ELOOP, access("a/x", F_OK));
	OK(symlink("self", "self"));
	FAILS(ELOOP, truncate("self", 0));
	OK(unlink("self"));
}

static void symlink_chain_of_forty(void)
{
	char from[8] = "link", to[8];
	for (int i = 2; i <= 40; i++) { /* path_resolution(7): 40 are followed */
		(void)snprintf(to, sizeof(to), "c%d", i);
		OK(symlink(from, to));
		memcpy(from, to, sizeof(from));
	}
	DATA("c40", LETTERS);
	OK(symlink("c40", "c41"));
	FAILS(ELOOP, open("c41", O_RDONLY));
}

static void symlink_in_the_middle(void)
{
	OK(symlink("tree/a", "to"));
	DATA("to/f", "tree/a/f");
	DATA("to/../f", "tree/f");
	put("to/new", "new");
	DATA("tree/a/new", "new");
}

static void symlink_to_a_directory_with_slash(void)
{
	OK(symlink("dir", "to"));
	IS(S_ISLNK(look("to").st_mode));
	IS(S_ISDIR(look("to/").st_mode));
	FAILS(ENOTDIR, access("link/", F_OK));
}

static void symlink_belongs_to_the_caller(void)
{
	OK(chmod(".", 0777));
	as_user(ANN, STAFF) OK(symlink("x", "new"));
	OWNER("new", ANN, STAFF);
	EQ(look("new").st_mode, S_IFLNK | 0777);
}

static void symlink_replaced_by_another(void)
{
	char back[8];
	OK(unlink("link"));
	OK(symlink("else", "link"));
	EQ(readlink("link", back, sizeof(back)), 4);
	IS(memcmp(back, "else", 4) == 0);
	OK(symlink("third", "tmp"));
	OK(rename("tmp", "link"));
	EQ(readlink("link", back, sizeof(back)), 5);
}

static const struct check checks[] = {
    CHECK_NOT_DIRS(link_makes_a_second_name),
    CHECK(link_shares_data_and_attributes, NEED_FILE),
    CHECK(link_from_below_shares, NEED_HARD),
    CHECK(link_from_below_loses_one_name, NEED_HARD),
    CHECK(link_from_below_open_sees_write, NEED_HARD),
    CHECK(link_into_another_directory, NEED_FILE | NEED_DIR),
    CHECK(link_errors, NEED_FILE | NEED_DIR | NEED_LINK),
    CHECK(link_of_a_directory, NEED_DIR),
    CHECK(link_follows_only_when_asked, NEED_FILE | NEED_LINK),
    CHECK(link_many_times, NEED_FILE),
    CHECK(link_by_proc_fd, NEED_FILE),
    CHECK(symlink_tells_its_target, NEED_LINK),
    CHECK(symlink_is_cut_to_the_buffer, NEED_LINK),
    CHECK(symlink_is_followed, NEED_FILE | NEED_LINK),
    CHECK(symlink_errors, NEED_FILE | NEED_DIR | NEED_LINK),
    CHECK(symlink_target_lengths, 0),
    CHECK(symlink_target_is_kept_as_it_is, 0),
    CHECK(symlink_loops, 0),
    CHECK(symlink_chain_of_forty, NEED_FILE | NEED_LINK),
    CHECK(symlink_in_the_middle, NEED_TREE),
    CHECK(symlink_to_a_directory_with_slash, NEED_FILE | NEED_DIR | NEED_LINK),
    CHECK(symlink_belongs_to_the_caller, 0),
    CHECK(symlink_replaced_by_another, NEED_LINK),
};
TOPIC(links);
