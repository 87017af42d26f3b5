/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * POSIX ACLs: mode and mask, inheritance, access decisions. ANN is 12001, STAFF 13001.
 */
#include "acl_text.h"

#include <linux/limits.h>
#include <sys/xattr.h>

#define ANN_READS "u::rw-,u:12001:r--,g::---,m::r--,o::---"
#define ANN_WRITES "u::rw-,u:12001:rw-,g::r--,m::rw-,o::---"
#define DEFAULTS "u::rwx,u:12001:rwx,g::r-x,m::rwx,o::---"

static void acl_is_none_at_first(void)
{
	NO_ACL("file");
	NO_ACL("dir");
	NO_DEFAULT_ACL("dir");
	EQ(listxattr("file", NULL, 0), 0);
}

static void acl_set_and_get(void)
{
	OK(acl_set(subject, ACL_ACCESS, ANN_WRITES));
	ACL(subject, ANN_WRITES);
	MODE(subject, 0660); /* the mask is shown as the group's */
	OK(removexattr(subject, ACL_ACCESS));
	NO_ACL(subject);
	EQ(look(subject).st_mode & 07, 0);
}

static void acl_is_listed(void)
{
	char list[64];
	OK(acl_set("file", ACL_ACCESS, ANN_WRITES));
	EQ(listxattr("file", list, sizeof(list)), sizeof(ACL_ACCESS));
	IS(strcmp(list, ACL_ACCESS) == 0);
}

static void acl_equal_to_a_mode_is_a_mode(void)
{
	OK(acl_set("file", ACL_ACCESS, "u::rw-,g::r-x,o::--x"));
	MODE("file", 0651);
	NO_ACL("file");
}

static void acl_replaced_by_a_minimal_one(void)
{
	OK(acl_set("file", ACL_ACCESS, ANN_WRITES));
	OK(acl_set("file", ACL_ACCESS, "u::r--,g::---,o::r--"));
	MODE("file", 0404);
	NO_ACL("file");
}

static void acl_malformed(void)
{
	FAILS(EINVAL,
	      acl_set("file", ACL_ACCESS, "u::rw-,u:12001:rw-,g::r--,o::---")); /* no mask */
	FAILS(EINVAL, acl_set("file", ACL_ACCESS, "u::rw-,g::r--"));
	FAILS(EINVAL, acl_set("file", ACL_ACCESS, "g::r--,u::rw-,o::---"));
	FAILS(EINVAL, setxattr("file", ACL_ACCESS, "xyz", 3, 0));
	MODE("file", 0644);
	NO_ACL("file");
}

static void acl_of_a_link(void)
{
	FAILS(EOPNOTSUPP, lsetxattr("link", ACL_ACCESS, "\2\0\0\0", 4, 0));
	FAILS(EOPNOTSUPP, lgetxattr("link", ACL_ACCESS, NULL, 0));
}

static void acl_default_is_for_directories(void)
{
	FAILS(EACCES, acl_set("file", ACL_DEFAULT, DEFAULTS));
	OK(acl_set("dir", ACL_DEFAULT, DEFAULTS));
	DEFAULT_ACL("dir", DEFAULTS);
	MODE("dir", 0755);
	NO_ACL("dir");
	OK(removexattr("dir", ACL_DEFAULT));
	NO_DEFAULT_ACL("dir");
}

static void acl_by_the_owner_only(void)
{
	OK(chown("file", ANN, STAFF));
	as_user(BOB, STAFF) FAILS(EPERM, acl_set("file", ACL_ACCESS, ANN_WRITES));
	as_user(ANN, STAFF) OK(acl_set("file", ACL_ACCESS, ANN_WRITES));
	ACL("file", ANN_WRITES);
	as_user(BOB, GUESTS) /* whoever sees the file may look */
	    ACL("file", ANN_WRITES);
	as_user(BOB, STAFF) FAILS(EPERM, removexattr("file", ACL_ACCESS));
}

static void acl_set_strips_setgid_outside_the_group(void)
{
	OK(chown("file", ANN, STAFF));
	OK(chmod("file", 02755));
	as_user(ANN, GUESTS)
	    OK(acl_set("file", ACL_ACCESS, "u::rwx,u:12002:r-x,g::r-x,m::r-x,o::r-x"));
	MODE("file", 0755);
}

static void acl_set_changes_ctime(void)
{
	CHANGES("c", "file", acl_set("file", ACL_ACCESS, ANN_WRITES));
	CHANGES("c", "file", removexattr("file", ACL_ACCESS));
	CHANGES("c", "dir", acl_set("dir", ACL_DEFAULT, DEFAULTS));
}

static void acl_of_thirty_entries(void)
{
	char text[ACL_TEXT_MAX] = "u::rw-";
	for (int i = 0; i < 30; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ",u:%d:r--",
			       12001 + i);
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ",g::r--,m::r--,o::---");
	OK(acl_set("file", ACL_ACCESS, text));
	ACL("file", text);
}

/* ---------------------------------------------------------------- the mask */

static void with_acl(void)
{
	OK(acl_set("file", ACL_ACCESS, ANN_WRITES));
	OK(acl_set("dir", ACL_ACCESS, "u::rwx,u:12001:rwx,g::---,m::rwx,o::---"));
	OK(acl_set("dir", ACL_DEFAULT, DEFAULTS));
}

static void acl_as_made(void)
{
	ACL("file", ANN_WRITES);
	MODE("file", 0660);
	DEFAULT_ACL("dir", DEFAULTS);
	MODE("dir", 0770);
}

static void acl_chmod_sets_the_mask(void)
{
	OK(chmod("file", 0640));
	ACL("file", "u::rw-,u:12001:rw-,g::r--,m::r--,o::---");
	MODE("file", 0640);
	OK(chmod("file", 0707));
	ACL("file", "u::rwx,u:12001:rw-,g::r--,m::---,o::rwx");
	OK(chmod("file", 0660));
	ACL("file", ANN_WRITES);
}

static void acl_survives_changes(void)
{
	put("file", "changed");
	ACL("file", ANN_WRITES);
	OK(chown("file", BOB, STAFF));
	ACL("file", ANN_WRITES);
	OK(rename("file", "dir/moved"));
	ACL("dir/moved", ANN_WRITES);
	put("dir/new", "x");
	DEFAULT_ACL("dir", DEFAULTS);
	ACL("dir", "u::rwx,u:12001:rwx,g::---,m::rwx,o::---");
}

static void acl_decides(void)
{
	as_user(ANN, GUESTS)
	{
		OK(close(open_rw("file")));
		put("dir/by_ann", "x");
	}
	as_user(BOB, GUESTS)
	{
		FAILS(EACCES, open("file", O_RDONLY));
		FAILS(EACCES, access("dir/in", F_OK));
	}
	OK(chmod("file", 0640));
	as_user(ANN, GUESTS)
	{
		FAILS(EACCES, open("file", O_RDWR)); /* masked */
		DATA("file", LETTERS);
	}
}

static void acl_decides_after_a_change(void)
{
	as_user(ANN, GUESTS) OK(close(open_rw("file")));
	OK(acl_set("file", ACL_ACCESS, ANN_READS));
	as_user(ANN, GUESTS)
	{
		FAILS(EACCES, open("file", O_RDWR));
		OK(close(FD(open("file", O_RDONLY))));
	}
	OK(removexattr("file", ACL_ACCESS));
	as_user(ANN, GUESTS) FAILS(EACCES, open("file", O_RDONLY));
}

static void acl_decides_for_groups(void)
{
	OK(chown("file", 0, OTHERS));
	OK(acl_set("file", ACL_ACCESS, "u::rw-,g::r--,g:13001:-w-,m::rw-,o::---"));
	as_user(ANN, STAFF)
	{
		FAILS(EACCES, open("file", O_RDONLY));
		OK(close(FD(open("file", O_WRONLY))));
	}
	as_user(ANN, GUESTS, STAFF) OK(close(FD(open("file", O_WRONLY))));
	as_user(ANN, STAFF, OTHERS)
	{ /* one entry must give all that is asked */
		OK(close(FD(open("file", O_RDONLY))));
		FAILS(EACCES, open("file", O_RDWR));
	}
	as_user(ANN, GUESTS) FAILS(EACCES, open("file", O_RDONLY));
}

static void acl_named_user_before_groups(void)
{
	OK(acl_set("file", ACL_ACCESS, "u::rw-,u:12001:---,g::rwx,g:13001:rwx,m::rwx,o::rwx"));
	as_user(ANN, STAFF) FAILS(EACCES, open("file", O_RDONLY));
	as_user(BOB, STAFF) OK(close(open_rw("file")));
}

static void acl_owner_is_not_masked(void)
{
	OK(chown("file", ANN, STAFF));
	OK(acl_set("file", ACL_ACCESS, "u::rw-,u:12002:rwx,g::rwx,m::---,o::---"));
	as_user(ANN, GUESTS) OK(close(open_rw("file")));
	as_user(BOB, GUESTS) FAILS(EACCES, open("file", O_RDONLY));
}

static void acl_on_the_way(void)
{
	OK(acl_set("tree/a", ACL_ACCESS, "u::rwx,u:12001:--x,g::---,m::--x,o::---"));
	as_user(ANN, STAFF)
	{
		DATA("tree/a/b/f", "tree/a/b/f");
		FAILS(EACCES, open("tree/a", O_RDONLY));
	}
	as_user(BOB, STAFF) FAILS(EACCES, access("tree/a/b/f", F_OK));
}

/* ---------------------------------------------------------------- inheritance */

static void acl_inherited_by_a_file(void)
{
	OK(close(FD(open("dir/f", O_CREAT | O_WRONLY, 0666))));
	ACL("dir/f", "u::rw-,u:12001:rwx,g::r-x,m::rw-,o::---");
	MODE("dir/f", 0660);
	NO_DEFAULT_ACL("dir/f");
}

static void acl_inherited_by_a_directory(void)
{
	OK(mkdir("dir/d", 0755));
	ACL("dir/d", "u::rwx,u:12001:rwx,g::r-x,m::r-x,o::---");
	DEFAULT_ACL("dir/d", DEFAULTS);
	MODE("dir/d", 0750);
	OK(mkdir("dir/d/e", 0777));
	DEFAULT_ACL("dir/d/e", DEFAULTS);
	MODE("dir/d/e", 0770);
}

static void acl_inherited_by_specials(void)
{
	OK(mkfifo("dir/p", 0666));
	MODE("dir/p", 0660);
	ACL("dir/p", "u::rw-,u:12001:rwx,g::r-x,m::rw-,o::---");
	OK(symlink("x", "dir/l"));
	EQ(look("dir/l").st_mode, S_IFLNK | 0777);
}

static void acl_default_replaces_umask(void)
{
	(void)umask(077);
	OK(close(FD(open("dir/f", O_CREAT | O_WRONLY, 0666))));
	MODE("dir/f", 0660);
	OK(mkdir("dir/d", 0777));
	MODE("dir/d", 0770);
	OK(acl_set("dir", ACL_DEFAULT, "u::rwx,g::rwx,o::rwx"));
	OK(close(FD(open("dir/g", O_CREAT | O_WRONLY, 0666))));
	MODE("dir/g", 0666);
	NO_ACL("dir/g");
	OK(removexattr("dir", ACL_DEFAULT));
	OK(close(FD(open("dir/h", O_CREAT | O_WRONLY, 0666))));
	MODE("dir/h", 0600);
}

static void acl_inherited_by_another_user(void)
{
	as_user(ANN, STAFF) put("dir/f", "x");
	OWNER("dir/f", ANN, STAFF);
	ACL("dir/f", "u::rw-,u:12001:rwx,g::r-x,m::r--,o::---");
}

static void acl_not_inherited_by_what_moves_in(void)
{
	OK(rename("plain", "dir/plain"));
	NO_ACL("dir/plain");
	MODE("dir/plain", 0644);
	OK(link("other", "dir/other"));
	NO_ACL("dir/other");
}

static void with_acl_and_files(void)
{
	put("plain", "x");
	put("other", "x");
	OK(chmod("plain", 0644));
	OK(acl_set("dir", ACL_DEFAULT, DEFAULTS));
}

static void acl_inherited_with_setgid(void)
{
	OK(chown("dir", 0, STAFF));
	OK(chmod("dir", 02770));
	OK(mkdir("dir/d", 0777));
	OWNER("dir/d", 0, STAFF);
	MODE("dir/d", 02770);
	DEFAULT_ACL("dir/d", DEFAULTS);
}

static const struct check checks[] = {
    CHECK(acl_is_none_at_first, NEED_FILE | NEED_DIR),
    CHECK_NOT_LINKS(acl_set_and_get),
    CHECK(acl_is_listed, NEED_FILE),
    CHECK(acl_equal_to_a_mode_is_a_mode, NEED_FILE),
    CHECK(acl_replaced_by_a_minimal_one, NEED_FILE),
    CHECK(acl_malformed, NEED_FILE),
    CHECK(acl_of_a_link, NEED_LINK),
    CHECK(acl_default_is_for_directories, NEED_FILE | NEED_DIR),
    CHECK(acl_by_the_owner_only, NEED_FILE),
    CHECK(acl_set_strips_setgid_outside_the_group, NEED_FILE),
    CHECK(acl_set_changes_ctime, NEED_FILE | NEED_DIR),
    CHECK(acl_of_thirty_entries, NEED_FILE),
    CHECK_WITH(acl_as_made, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_chmod_sets_the_mask, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_survives_changes, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_decides, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_decides_after_a_change, NEED_FILE | NEED_DIR, with_acl),
    CHECK(acl_decides_for_groups, NEED_FILE),
    CHECK(acl_named_user_before_groups, NEED_FILE),
    CHECK(acl_owner_is_not_masked, NEED_FILE),
    CHECK(acl_on_the_way, NEED_TREE),
    CHECK_WITH(acl_inherited_by_a_file, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_inherited_by_a_directory, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_inherited_by_specials, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_default_replaces_umask, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_inherited_by_another_user, NEED_FILE | NEED_DIR, with_acl),
    CHECK_WITH(acl_not_inherited_by_what_moves_in, NEED_DIR, with_acl_and_files),
    CHECK_WITH(acl_inherited_with_setgid, NEED_FILE | NEED_DIR, with_acl),
};
TOPIC(acl);
