/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Who may do what: classes of the mode, supplementary groups, directories, the sticky bit.
 */
#include "posix.h"

#include <stdlib.h>

/* What of "rwx" the caller may do, by access(2) with its effective ids, and by opening. */
static void expect_access(struct here h, const char *path, const char *want)
{
	char got[4] = "---";
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
		got[0] = 'r';
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
		got[1] = 'w';
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		got[2] = 'x';
	if (strcmp(got, want) != 0)
		fail(h, "access to %s: expected %s, came %s", path, want, got);
	if (!S_ISREG(look(path).st_mode))
		return;
	int r = open(path, O_RDONLY), w = open(path, O_WRONLY);
	if ((r >= 0) != (want[0] == 'r') || (w >= 0) != (want[1] == 'w'))
		fail(h, "opening %s: expected %s, came %c%c", path, want, r >= 0 ? 'r' : '-',
		     w >= 0 ? 'w' : '-');
	(void)close(r);
	(void)close(w);
}
#define ACCESS(path, want) expect_access(HERE, path, want)

static void access_by_class(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0421)); /* r for the owner, w for the group, x for the others */
	as_user(ANN, STAFF) ACCESS("file", "r--");
	as_user(BOB, STAFF) ACCESS("file", "-w-");
	as_user(BOB, GUESTS) ACCESS("file", "--x");
	as_user(ANN, GUESTS) ACCESS("file", "r--");
}

static void access_of_the_first_class_that_fits(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0077));
	as_user(ANN, STAFF) ACCESS("file", "---");
	OK(chmod("file", 0707));
	as_user(BOB, STAFF) ACCESS("file", "---");
}

static void access_by_supplementary_group(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0060));
	as_user(BOB, GUESTS, OTHERS, STAFF) ACCESS("file", "rw-");
	as_user(BOB, GUESTS, OTHERS) ACCESS("file", "---");
}

static void access_of_root(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0));
	OK(chmod("dir", 0));
	ACCESS("file", "rw-");
	ACCESS("dir", "rwx");
	OK(chmod("file", 0001));
	ACCESS("file", "rwx");
}

static void access_needs_search_on_the_way(void)
{
	OK(chmod("tree/a", 0700));
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, open("tree/a/b/f", O_RDONLY));
		FAILS(EACCES, access("tree/a/f", F_OK));
		FAILS(EACCES, access("tree/a/nothing", F_OK));
		OK(access("tree/f", R_OK));
	}
	OK(chmod("tree/a", 0711));
	as_user(ANN, STAFF)
	{
		DATA("tree/a/b/f", "tree/a/b/f");
		FAILS(EACCES, open("tree/a", O_RDONLY));
	}
	OK(chmod("tree/a", 0744));
	as_user(ANN, STAFF)
	{
		OK(close(FD(open("tree/a", O_RDONLY))));
		FAILS(EACCES, access("tree/a/f", F_OK));
	}
}

static void access_to_make_in_a_directory(void)
{
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, creat("dir/new", 0644));
		FAILS(EACCES, mkdir("dir/new", 0755));
		FAILS(EACCES, symlink("x", "dir/new"));
		FAILS(EACCES, mkfifo("dir/new", 0644));
		FAILS(EACCES, unlink("dir/in"));
		FAILS(EACCES, rename("dir/in", "dir/out"));
		FAILS(EEXIST, mkdir("dir/in", 0755));
	}
	OK(chmod("dir", 0773)); /* w and x are enough */
	as_user(ANN, STAFF)
	{
		put("dir/new", "x");
		OK(unlink("dir/in"));
		OK(unlink("dir/new"));
	}
}

static void access_by_group_of_a_directory(void)
{
	OK(chown("dir", BOB, STAFF));
	OK(chmod("dir", 0770));
	as_user(ANN, GUESTS, STAFF) put("dir/new", "x");
	OWNER("dir/new", ANN, GUESTS);
	as_user(ANN, GUESTS) FAILS(EACCES, access("dir/new", F_OK));
}

static void access_for_execution(void)
{
	OK(chmod("exe", 0744));
	as_user(ANN, STAFF) FAILS(EACCES, execl("./exe", "exe", "0", (char *)NULL));
	OK(chmod("exe", 0711));
	as_user(ANN, STAFF)
	{ /* need not be readable */
		FAILS(EACCES, open("exe", O_RDONLY));
		FAILS(ENOENT, execl("./nothing", "nothing", (char *)NULL));
		OK(execl("./exe", "exe", "0", (char *)NULL));
	}
}

static void execution_without_any_x(void)
{
	OK(chmod("exe", 0666));
	in_child() FAILS(EACCES, execl("./exe", "exe", "0", (char *)NULL)); /* for root too */
	in_child() FAILS(EACCES, execl("./dir", "dir", (char *)NULL));
}

static void access_after_chmod_is_at_once(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(BOB, GUESTS) ACCESS("file", "r--");
	OK(chmod("file", 0600));
	as_user(BOB, GUESTS) ACCESS("file", "---");
	OK(chown("file", BOB, STAFF));
	as_user(BOB, GUESTS) ACCESS("file", "rw-");
}

static void access_real_and_effective(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0600));
	in_child()
	{
		OK(setresuid(ANN, BOB, BOB));
		OK(access("file", R_OK)); /* of the real user */
		FAILS(EACCES, faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
		FAILS(EACCES, open("file", O_RDONLY));
	}
}

/* ---------------------------------------------------------------- sticky directories */

static void sticky_directory(void)
{
	OK(chown("dir", ANN, STAFF));
	OK(chmod("dir", 01777));
	OK(chown("dir/in", BOB, GUESTS));
	OK(chmod("dir/in", 0666));
}

static void sticky_guards_from_strangers(void)
{
	as_user(12003, GUESTS)
	{
		FAILS(EPERM, unlink("dir/in"));
		FAILS(EPERM, rename("dir/in", "dir/out"));
		FAILS(EPERM, rename("dir/in", "out"));
		put("dir/mine", "x");
		FAILS(EPERM, rename("dir/mine", "dir/in"));
		OK(unlink("dir/mine"));
	}
	THERE("dir/in");
}

static void sticky_lets_the_owners(void)
{
	as_user(BOB, GUESTS) OK(rename("dir/in", "dir/out")); /* his file */
	as_user(ANN, GUESTS) OK(unlink("dir/out"));	      /* her directory */
	GONE("dir/out");
}

static void sticky_guards_directories(void)
{
	OK(mkdir("dir/sub", 0777));
	OK(chown("dir/sub", BOB, GUESTS));
	as_user(12003, GUESTS)
	{
		FAILS(EPERM, rmdir("dir/sub"));
		FAILS(EPERM, rename("dir/sub", "dir/other"));
	}
	as_user(BOB, GUESTS) OK(rmdir("dir/sub"));
}

static void sticky_lets_root(void)
{
	OK(unlink("dir/in"));
	GONE("dir/in");
}

/* ---------------------------------------------------------------- utimens, mknod, open flags */

static void access_to_set_times(void)
{
	static const struct timespec some[2] = {{1, 0}, {2, 0}};
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 0666));
	as_user(BOB, GUESTS)
	{
		FAILS(EPERM, utimensat(AT_FDCWD, "file", some, 0));
		OK(utimensat(AT_FDCWD, "file", NULL, 0)); /* may write */
	}
	OK(chmod("file", 0644));
	as_user(BOB, GUESTS) FAILS(EACCES, utimensat(AT_FDCWD, "file", NULL, 0));
	as_user(ANN, STAFF) OK(utimensat(AT_FDCWD, "file", some, 0));
	EQ(look("file").st_mtim.tv_sec, 2);
}

static void access_to_make_devices(void)
{
	OK(chmod(".", 0777));
	as_user(ANN, STAFF)
	{
		FAILS(EPERM, mknod("new", S_IFCHR | 0644, 0x103));
		FAILS(EPERM, mknod("new", S_IFBLK | 0644, 0x103));
		OK(mknod("new", S_IFIFO | 0644, 0));
		OK(mknod("other", S_IFREG | 0644, 0));
	}
	OWNER("new", ANN, STAFF);
}

static void access_for_noatime(void)
{
	as_user(ANN, STAFF) FAILS(EPERM, open("file", O_RDONLY | O_NOATIME));
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF) OK(close(FD(open("file", O_RDONLY | O_NOATIME))));
}

static void access_to_truncate(void)
{
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, truncate("file", 0));
		FAILS(EACCES, open("file", O_RDONLY | O_TRUNC));
		FAILS(EINVAL, ftruncate(FD(open("file", O_RDONLY)), 0));
	}
	DATA("file", LETTERS);
}

static const struct check checks[] = {
    CHECK(access_by_class, NEED_FILE),
    CHECK(access_of_the_first_class_that_fits, NEED_FILE),
    CHECK(access_by_supplementary_group, NEED_FILE),
    CHECK(access_of_root, NEED_FILE | NEED_DIR),
    CHECK(access_needs_search_on_the_way, NEED_TREE),
    CHECK(access_to_make_in_a_directory, NEED_DIR),
    CHECK(access_by_group_of_a_directory, NEED_DIR),
    CHECK(access_for_execution, NEED_EXE),
    CHECK(execution_without_any_x, NEED_EXE | NEED_DIR),
    CHECK(access_after_chmod_is_at_once, NEED_FILE),
    CHECK(access_real_and_effective, NEED_FILE),
    CHECK_WITH(sticky_guards_from_strangers, NEED_DIR, sticky_directory),
    CHECK_WITH(sticky_lets_the_owners, NEED_DIR, sticky_directory),
    CHECK_WITH(sticky_guards_directories, NEED_DIR, sticky_directory),
    CHECK_WITH(sticky_lets_root, NEED_DIR, sticky_directory),
    CHECK(access_to_set_times, NEED_FILE),
    CHECK(access_to_make_devices, 0),
    CHECK(access_for_noatime, NEED_FILE),
    CHECK(access_to_truncate, NEED_FILE),
};
TOPIC(access);
