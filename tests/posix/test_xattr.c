/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Extended attributes: names, values, flags, limits, who may, on every type.
 */
#include "posix.h"

#include <linux/limits.h>
#include <stdlib.h>
#include <sys/xattr.h>

static void expect_xattr(struct here h, const char *path, const char *name, const char *want)
{
	char got[256];
	ssize_t n = lgetxattr(path, name, got, sizeof(got));
	if (n < 0)
		fail(h, "%s of %s: expected \"%s\", came %s", name, path, want,
		     strerrorname_np(errno));
	if ((size_t)n != strlen(want) || memcmp(got, want, (size_t)n) != 0)
		fail(h, "%s of %s: expected \"%s\", came \"%.*s\"", name, path, want, (int)n, got);
}
#define XATTR(path, name, want) expect_xattr(HERE, path, name, want)
#define NO_XATTR(path, name) FAILS(ENODATA, lgetxattr(path, name, NULL, 0))

static int set(const char *path, const char *name, const char *value)
{
	return lsetxattr(path, name, value, strlen(value), 0);
}

/* Is @name listed, how often? */
static int listed(const char *path, const char *name)
{
	char list[4096];
	int times = 0;
	ssize_t n = OK(llistxattr(path, list, sizeof(list)));
	for (char *p = list; p < list + n; p += strlen(p) + 1)
		times += strcmp(p, name) == 0;
	return times;
}

/* ---------------------------------------------------------------- each type, each namespace */

static void xattr_trusted(void)
{
	NO_XATTR(subject, "trusted.x");
	OK(set(subject, "trusted.x", "value"));
	XATTR(subject, "trusted.x", "value");
	EQ(listed(subject, "trusted.x"), 1);
	OK(set(subject, "trusted.x", "another value"));
	XATTR(subject, "trusted.x", "another value");
	OK(lremovexattr(subject, "trusted.x"));
	NO_XATTR(subject, "trusted.x");
	EQ(listed(subject, "trusted.x"), 0);
}

static void xattr_security(void)
{
	OK(set(subject, "security.test", "value"));
	XATTR(subject, "security.test", "value");
	EQ(listed(subject, "security.test"), 1);
	OK(lremovexattr(subject, "security.test"));
	NO_XATTR(subject, "security.test");
}

static void xattr_user(void)
{
	OK(set(subject, "user.x", "value"));
	XATTR(subject, "user.x", "value");
	EQ(listed(subject, "user.x"), 1);
	OK(lremovexattr(subject, "user.x"));
	NO_XATTR(subject, "user.x");
}

static void xattr_user_is_refused(void)
{
	FAILS(EPERM, set(subject, "user.x", "value"));
	NO_XATTR(subject, "user.x");
}

static void xattr_stays_over_chown_and_rename(void)
{
	OK(set(subject, "trusted.x", "value"));
	OK(lchown(subject, ANN, STAFF));
	OK(rename(subject, "new"));
	XATTR("new", "trusted.x", "value");
}

/* ---------------------------------------------------------------- what an image can have */

static void with_xattrs(void)
{
	OK(set("file", "user.a", "one"));
	OK(set("file", "trusted.b", "two"));
	OK(set("file", "security.c", "three"));
	OK(set("dir", "user.d", "four"));
	OK(set("dir", "trusted.e", "five"));
	OK(set("link", "trusted.f", "six"));
}

static void xattr_as_made(void)
{
	XATTR("file", "user.a", "one");
	XATTR("file", "trusted.b", "two");
	XATTR("file", "security.c", "three");
	XATTR("dir", "user.d", "four");
	XATTR("link", "trusted.f", "six");
	NO_XATTR("file", "user.b");
	EQ(listed("file", "user.a"), 1);
	EQ(listed("file", "trusted.b"), 1);
	EQ(listed("dir", "user.d"), 1);
}

static void xattr_survives_a_write(void)
{
	put("file", "changed");
	XATTR("file", "user.a", "one");
	XATTR("file", "trusted.b", "two");
	XATTR("file", "security.c", "three");
	put("dir/new", "x");
	XATTR("dir", "user.d", "four");
	XATTR("dir", "trusted.e", "five");
	OK(lchown("link", ANN, STAFF));
	XATTR("link", "trusted.f", "six");
}

static void xattr_change_of_one_keeps_others(void)
{
	OK(set("file", "user.a", "changed"));
	XATTR("file", "user.a", "changed");
	XATTR("file", "trusted.b", "two");
	OK(removexattr("file", "trusted.b"));
	NO_XATTR("file", "trusted.b");
	XATTR("file", "security.c", "three");
	OK(removexattr("dir", "user.d"));
	NO_XATTR("dir", "user.d");
	XATTR("dir", "trusted.e", "five");
	DATA("file", LETTERS);
	DATA("dir/in", "in");
}

static void xattr_list_by_size(void)
{
	char list[64];
	EQ(listxattr("file", NULL, 0), 0);
	OK(set("file", "user.x", "v"));
	EQ(listxattr("file", NULL, 0), sizeof("user.x"));
	EQ(listxattr("file", list, sizeof("user.x")), sizeof("user.x"));
}

static void xattr_list_is_exact(void)
{
	char list[256];
	EQ(listxattr("file", NULL, 0),
	   sizeof("user.a") + sizeof("trusted.b") + sizeof("security.c"));
	EQ(listxattr("file", list, sizeof(list)), listxattr("file", NULL, 0));
	FAILS(ERANGE, listxattr("file", list, 3));
	EQ(llistxattr("link", NULL, 0), sizeof("trusted.f"));
}

/* ---------------------------------------------------------------- flags, sizes, errors */

static void xattr_create_and_replace(void)
{
	FAILS(ENODATA, setxattr("file", "user.x", "a", 1, XATTR_REPLACE));
	OK(setxattr("file", "user.x", "a", 1, XATTR_CREATE));
	FAILS(EEXIST, setxattr("file", "user.x", "b", 1, XATTR_CREATE));
	XATTR("file", "user.x", "a");
	OK(setxattr("file", "user.x", "b", 1, XATTR_REPLACE));
	XATTR("file", "user.x", "b");
	FAILS(EINVAL, setxattr("file", "user.x", "b", 1, 4));
}

static void xattr_flags_on_what_was_there(void)
{
	FAILS(EEXIST, setxattr("file", "user.a", "b", 1, XATTR_CREATE));
	OK(setxattr("file", "user.a", "b", 1, XATTR_REPLACE));
	XATTR("file", "user.a", "b");
	OK(removexattr("file", "user.a"));
	FAILS(ENODATA, setxattr("file", "user.a", "b", 1, XATTR_REPLACE));
}

static void xattr_sizes(void)
{
	char buf[8];
	OK(set("file", "user.x", "12345"));
	EQ(getxattr("file", "user.x", NULL, 0), 5);
	FAILS(ERANGE, getxattr("file", "user.x", buf, 4));
	EQ(getxattr("file", "user.x", buf, 5), 5);
	OK(setxattr("file", "user.empty", "", 0, 0));
	EQ(getxattr("file", "user.empty", buf, sizeof(buf)), 0);
	EQ(listed("file", "user.empty"), 1);
	OK(setxattr("file", "user.bytes", "a\0b\n", 4, 0));
	EQ(getxattr("file", "user.bytes", buf, sizeof(buf)), 4);
	IS(memcmp(buf, "a\0b\n", 4) == 0);
}

static void xattr_of_3000_bytes(void)
{
	static char value[3000], back[4096];
	memset(value, 'v', sizeof(value));
	OK(setxattr("file", "user.big", value, sizeof(value), 0));
	EQ(getxattr("file", "user.big", back, sizeof(back)), sizeof(value));
	IS(memcmp(value, back, sizeof(value)) == 0);
	DATA("file", LETTERS);
}

static void xattr_beyond_64k(void)
{
	static char value[XATTR_SIZE_MAX + 1];
	FAILS(E2BIG, setxattr("file", "user.big", value, sizeof(value), 0));
	NO_XATTR("file", "user.big");
}

static void xattr_name_lengths(void)
{
	char name[XATTR_NAME_MAX + 2];
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[XATTR_NAME_MAX + 1] = 0;
	FAILS(ERANGE, setxattr("file", name, "v", 1, 0));
	name[XATTR_NAME_MAX] = 0;
	OK(setxattr("file", name, "v", 1, 0));
	EQ(listed("file", name), 1);
	XATTR("file", name, "v");
}

static void xattr_bad_names(void)
{
	FAILS(EINVAL, setxattr("file", "user.", "v", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("file", "nothing.x", "v", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("file", "user", "v", 1, 0));
	FAILS(ERANGE, setxattr("file", "", "v", 1, 0));
	FAILS(ENODATA, removexattr("file", "user.nothing"));
	FAILS(ENOENT, setxattr("missing", "user.x", "v", 1, 0));
	FAILS(EOPNOTSUPP, getxattr("file", "nothing.x", NULL, 0));
}

static void xattr_many(void)
{
	char name[32], list[4096];
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "user.number%02d", i);
		OK(set("file", name, name + 5));
	}
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "user.number%02d", i);
		XATTR("file", name, name + 5);
	}
	EQ(listxattr("file", list, sizeof(list)), 60 * sizeof("user.number00"));
	for (int i = 0; i < 60; i += 2) {
		(void)snprintf(name, sizeof(name), "user.number%02d", i);
		OK(removexattr("file", name));
	}
	EQ(listxattr("file", list, sizeof(list)), 30 * sizeof("user.number00"));
}

static void xattr_names_have_case(void)
{
	OK(set("file", "user.Name", "a"));
	OK(set("file", "user.name", "b"));
	XATTR("file", "user.Name", "a");
	XATTR("file", "user.name", "b");
}

static void xattr_by_fd(void)
{
	char buf[64];
	int fd = FD(open("file", O_RDONLY));
	OK(fsetxattr(fd, "user.x", "v", 1, 0));
	EQ(fgetxattr(fd, "user.x", buf, sizeof(buf)), 1);
	EQ(flistxattr(fd, buf, sizeof(buf)), sizeof("user.x"));
	OK(fremovexattr(fd, "user.x"));
	FAILS(ENODATA, fgetxattr(fd, "user.x", buf, sizeof(buf)));
	FAILS(EBADF, fgetxattr(FD(open("file", O_PATH)), "user.x", buf, sizeof(buf)));
}

static void xattr_through_links(void)
{
	OK(setxattr("link", "user.x", "v", 1, 0));
	XATTR("file", "user.x", "v");
	OK(set("hard1", "user.x", "w"));
	XATTR("hard2", "user.x", "w");
}

static void xattr_user_needs_access(void)
{
	OK(set("file", "user.x", "v"));
	as_user(ANN, STAFF)
	{
		XATTR("file", "user.x", "v");
		FAILS(EACCES, set("file", "user.x", "w"));
		FAILS(EACCES, removexattr("file", "user.x"));
	}
	OK(chmod("file", 0600));
	as_user(ANN, STAFF) FAILS(EACCES, getxattr("file", "user.x", NULL, 0));
	OK(chmod("file", 0622));
	as_user(ANN, STAFF) OK(set("file", "user.x", "w"));
	XATTR("file", "user.x", "w");
}

static void xattr_user_in_sticky_directory(void)
{
	OK(chmod("dir", 01777));
	as_user(ANN, STAFF) FAILS(EPERM, set("dir", "user.x", "v")); /* the owner only */
	OK(chown("dir", ANN, STAFF));
	as_user(ANN, STAFF) OK(set("dir", "user.x", "v"));
}

static void xattr_trusted_needs_root(void)
{
	OK(set("file", "trusted.x", "v"));
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF)
	{
		FAILS(EPERM, set("file", "trusted.x", "w"));
		FAILS(ENODATA, getxattr("file", "trusted.x", NULL, 0));
		FAILS(EPERM, removexattr("file", "trusted.x"));
	}
	XATTR("file", "trusted.x", "v");
}

static void xattr_trusted_is_listed_to_root(void)
{
	OK(set("file", "trusted.x", "v"));
	EQ(listed("file", "trusted.x"), 1);
	as_user(ANN, STAFF) EQ(listed("file", "trusted.x"), 0);
}

static void xattr_security_needs_root(void)
{
	OK(set("file", "security.test", "v"));
	OK(chown("file", ANN, STAFF));
	as_user(ANN, STAFF)
	{
		XATTR("file", "security.test", "v");
		FAILS(EPERM, set("file", "security.test", "w"));
	}
}

static void xattr_capability_is_checked(void)
{
	FAILS(EINVAL, set("file", "security.capability", "nonsense"));
	NO_XATTR("file", "security.capability");
}

static const unsigned char caps[20] = {0, 0, 0, 2, 1}; /* VFS_CAP_REVISION_2; CAP_CHOWN */

static void with_capability(void)
{
	OK(setxattr("file", "security.capability", caps, sizeof(caps), 0));
	OK(chmod("file", 0777));
}

static void xattr_capability_goes_with_a_write(void)
{
	OK(getxattr("file", "security.capability", NULL, 0));
	in_child() EQ(pwrite(open_rw("file"), "x", 1, 0), 1); /* by root too */
	NO_XATTR("file", "security.capability");
}

static void xattr_capability_goes_with_chown(void)
{
	OK(chown("file", ANN, STAFF));
	NO_XATTR("file", "security.capability");
}

static void xattr_capability_goes_with_truncate(void)
{
	OK(truncate("file", 3));
	NO_XATTR("file", "security.capability");
}

static void xattr_capability_stays_with_chmod(void)
{
	OK(chmod("file", 0755));
	OK(rename("file", "new"));
	OK(getxattr("new", "security.capability", NULL, 0));
}

static void xattr_of_an_overlay_is_a_clients_own(void)
{
	OK(set("file", "trusted.overlay.opaque", "y"));
	XATTR("file", "trusted.overlay.opaque", "y");
	EQ(listed("file", "trusted.overlay.opaque"), 1);
	OK(set("dir", "trusted.overlay.opaque", "y"));
	THERE("dir/in");
	OK(removexattr("dir", "trusted.overlay.opaque"));
	NO_XATTR("dir", "trusted.overlay.opaque");
}

static const struct check checks[] = {
    CHECK_EACH(xattr_trusted),
    CHECK_EACH(xattr_security),
    CHECK_ON(xattr_user, "file", NEED_FILE),
    CHECK_ON(xattr_user, "dir", NEED_DIR),
    CHECK_ON(xattr_user, "hard1", NEED_HARD),
    CHECK_ON(xattr_user_is_refused, "link", NEED_LINK),
    CHECK_SPECIALS(xattr_user_is_refused),
    CHECK_EACH(xattr_stays_over_chown_and_rename),
    CHECK_WITH(xattr_as_made, NEED_FILE | NEED_DIR | NEED_LINK, with_xattrs),
    CHECK_WITH(xattr_survives_a_write, NEED_FILE | NEED_DIR | NEED_LINK, with_xattrs),
    CHECK_WITH(xattr_change_of_one_keeps_others, NEED_FILE | NEED_DIR | NEED_LINK, with_xattrs),
    CHECK_WITH(xattr_list_is_exact, NEED_FILE | NEED_DIR | NEED_LINK, with_xattrs),
    CHECK(xattr_list_by_size, NEED_FILE),
    CHECK(xattr_create_and_replace, NEED_FILE),
    CHECK_WITH(xattr_flags_on_what_was_there, NEED_FILE | NEED_DIR | NEED_LINK, with_xattrs),
    CHECK(xattr_sizes, NEED_FILE),
    CHECK(xattr_of_3000_bytes, NEED_FILE),
    CHECK(xattr_beyond_64k, NEED_FILE),
    CHECK(xattr_name_lengths, NEED_FILE),
    CHECK(xattr_bad_names, NEED_FILE),
    CHECK(xattr_many, NEED_FILE),
    CHECK(xattr_names_have_case, NEED_FILE),
    CHECK(xattr_by_fd, NEED_FILE),
    CHECK(xattr_through_links, NEED_FILE | NEED_LINK | NEED_HARD),
    CHECK(xattr_user_needs_access, NEED_FILE),
    CHECK(xattr_user_in_sticky_directory, NEED_DIR),
    CHECK(xattr_trusted_needs_root, NEED_FILE),
    CHECK(xattr_trusted_is_listed_to_root, NEED_FILE),
    CHECK(xattr_security_needs_root, NEED_FILE),
    CHECK(xattr_capability_is_checked, NEED_FILE),
    CHECK_WITH(xattr_capability_goes_with_a_write, NEED_FILE, with_capability),
    CHECK_WITH(xattr_capability_goes_with_chown, NEED_FILE, with_capability),
    CHECK_WITH(xattr_capability_goes_with_truncate, NEED_FILE, with_capability),
    CHECK_WITH(xattr_capability_stays_with_chmod, NEED_FILE, with_capability),
    CHECK(xattr_of_an_overlay_is_a_clients_own, NEED_FILE | NEED_DIR),
};
TOPIC(xattr);
