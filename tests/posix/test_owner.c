/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * chown(2): what it sets and who may.
 */
#include "posix.h"

static void chown_sets_both(void)
{
	OK(lchown(subject, ANN, STAFF));
	OWNER(subject, ANN, STAFF);
	OK(lchown(subject, BOB, (gid_t)-1));
	OWNER(subject, BOB, STAFF);
	OK(lchown(subject, (uid_t)-1, GUESTS));
	OWNER(subject, BOB, GUESTS);
}

static void chown_large_ids(void)
{
	OK(lchown("file", 4000000000U, 4294967294U));
	OWNER("file", 4000000000U, 4294967294U);
}

static void chown_follows_links(void)
{
	OK(chown("link", ANN, STAFF));
	OWNER("file", ANN, STAFF);
	OWNER("link", 0, 0);
	OK(lchown("link", BOB, GUESTS));
	OWNER("link", BOB, GUESTS);
	OWNER("file", ANN, STAFF);
}

static void chown_by_fd(void)
{
	OK(fchown(FD(open("file", O_RDONLY)), ANN, STAFF));
	OWNER("file", ANN, STAFF);
	OK(fchown(FD(open("dir", O_RDONLY)), BOB, GUESTS));
	OWNER("dir", BOB, GUESTS);
	FAILS(EBADF, fchown(FD(open("file", O_PATH)), 0, 0));
	OK(fchownat(FD(open("file", O_PATH)), "", BOB, GUESTS, AT_EMPTY_PATH));
	OWNER("file", BOB, GUESTS);
}

static void chown_of_one_hard_link(void)
{
	OK(chown("hard1", ANN, STAFF));
	OWNER("hard2", ANN, STAFF);
}

static void chown_errors(void)
{
	FAILS(ENOENT, chown("nothing", 0, 0));
	FAILS(ENOTDIR, chown("file/x", 0, 0));
}

static void chown_user_by_root_only(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF)
	{
		FAILS(EPERM, chown("file", BOB, (gid_t)-1));
		OK(chown("file", ANN, (gid_t)-1)); /* no change */
	}
	as_user(BOB, STAFF) FAILS(EPERM, chown("file", BOB, (gid_t)-1));
	OWNER("file", ANN, STAFF);
}

static void chgrp_to_own_groups_only(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF, GUESTS)
	{
		FAILS(EPERM, chown("file", (uid_t)-1, OTHERS));
		OK(chown("file", (uid_t)-1, GUESTS));
	}
	OWNER("file", ANN, GUESTS);
	as_user(BOB, STAFF, GUESTS) FAILS(EPERM, chown("file", (uid_t)-1, STAFF));
	OWNER("file", ANN, GUESTS);
}

static void chown_keeps_data_and_times(void)
{
	OK(chown("file", ANN, STAFF));
	DATA("file", LETTERS);
	EQ(look("file").st_mtim.tv_sec, OLD_S);
	EQ(look("file").st_mtim.tv_nsec, OLD_NS);
	MODE("file", 0644);
}

static void chown_keeps_a_directory_full(void)
{
	OK(chown("dir", ANN, STAFF));
	DATA("dir/in", "in");
	OWNER("dir/in", 0, 0);
	EQ(look("dir").st_mtim.tv_nsec, OLD_NS);
}

static void chown_keeps_the_target(void)
{
	char buf[8];
	OK(lchown("link", ANN, STAFF));
	EQ(readlink("link", buf, sizeof(buf)), 4);
	IS(memcmp(buf, "file", 4) == 0);
	EQ(look("link").st_mtim.tv_nsec, OLD_NS);
}

static const struct check checks[] = {
    CHECK_EACH(chown_sets_both),
    CHECK(chown_large_ids, NEED_FILE),
    CHECK(chown_follows_links, NEED_FILE | NEED_LINK),
    CHECK(chown_by_fd, NEED_FILE | NEED_DIR),
    CHECK(chown_of_one_hard_link, NEED_HARD),
    CHECK(chown_errors, NEED_FILE),
    CHECK(chown_user_by_root_only, NEED_FILE),
    CHECK(chgrp_to_own_groups_only, NEED_FILE),
    CHECK(chown_keeps_data_and_times, NEED_FILE),
    CHECK(chown_keeps_a_directory_full, NEED_DIR),
    CHECK(chown_keeps_the_target, NEED_LINK),
};
TOPIC(owner);
