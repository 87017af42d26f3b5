/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Attributes and extended attributes of a plain instance.
 */
#include "ovl_test.h"

#include <sys/xattr.h>

static const gid_t user_groups[] = {1002, 3000};
static const struct cow_ovl_cred user = {
    .uid = 1001, .gid = 1002, .groups = user_groups, .ngroups = 2};
static const mode_t all_types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
#define NTYPES (sizeof(all_types) / sizeof(*all_types))

static int set_mode(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, mode_t mode)
{
	struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = mode};
	return cow_ovl_setattr(n, cred, &set, NULL);
}

static void every_type_takes_owner_mode_and_times(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set set = {.mask = COW_SET_UID | COW_SET_GID | COW_SET_MODE | COW_SET_ATIME |
					  COW_SET_MTIME,
				  .uid = 4000000000u,
				  .gid = 65534,
				  .mode = 06751,
				  .atime = {.tv_sec = 11, .tv_nsec = 12},
				  .mtime = {.tv_sec = 13, .tv_nsec = 14}};
	for (size_t k = 0; k < NTYPES; k++) {
		struct cow_ovl_attr a;
		cow_autonode n = NULL;
		ok(make(f->root, "o", all_types[k], 0600, &n));
		ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, &a));
		assert_int_equal(a.uid, 4000000000u);
		assert_int_equal(a.gid, 65534);
		/* a symlink has no mode of its own; asking for one is no error */
		assert_int_equal(a.mode & 07777, S_ISLNK(all_types[k]) ? 0777 : 06751);
		assert_int_equal(a.atime.tv_sec, 11);
		assert_int_equal(a.atime.tv_nsec, 12);
		assert_int_equal(a.mtime.tv_sec, 13);
		assert_int_equal(a.mtime.tv_nsec, 14);
		ok(rm(f->root, "o", COW_REMOVE_FILE | COW_REMOVE_DIR));
	}
}

static void a_symlink_is_never_followed(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_create how = {.type = S_IFLNK, .mode = 0777, .target = "victim"};
	struct cow_ovl_set set = {.mask = COW_SET_UID | COW_SET_MTIME, .uid = 5};
	cow_autonode victim = NULL;
	cow_autonode link = NULL;
	ok(make_file(f->root, "victim", &victim));
	ok(cow_ovl_create(f->root, "link", 4, &cow_ovl_root_cred, &how, &link, NULL));
	ok(cow_ovl_setattr(link, &cow_ovl_root_cred, &set, NULL));
	ok(cow_ovl_setxattr(link, &cow_ovl_root_cred, "trusted.on", "link", 4, 0));
	assert_int_equal(attr_of(link).uid, 5);
	assert_int_equal(attr_of(victim).uid, 0);
	assert_true(attr_of(victim).mtime.tv_sec > 1000);
	assert_int_equal(cow_ovl_getxattr(victim, "trusted.on", NULL, 0), -ENODATA);
	assert_int_equal(cow_ovl_getxattr(link, "trusted.on", NULL, 0), 4);
}

static void size_is_for_regular_files(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = 777};
	struct cow_ovl_attr a;
	cow_autonode file = NULL;
	cow_autonode fifo = NULL;
	ok(make_file(f->root, "f", &file));
	ok(make(f->root, "p", S_IFIFO, 0600, &fifo));
	ok(cow_ovl_setattr(file, &cow_ovl_root_cred, &set, &a));
	assert_int_equal(a.size, 777);
	assert_int_equal(cow_ovl_setattr(f->root, &cow_ovl_root_cred, &set, NULL), -EISDIR);
	assert_int_equal(cow_ovl_setattr(fifo, &cow_ovl_root_cred, &set, NULL), -EINVAL);
	set.size = UINT64_MAX;
	assert_int_equal(cow_ovl_setattr(file, &cow_ovl_root_cred, &set, NULL), -EFBIG);
}

static void bad_sets_change_nothing(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	struct cow_ovl_attr before = attr_of(n), after;
	const struct cow_ovl_set bad[] = {
	    {.mask = 1u << 20},
	    {.mask = COW_SET_MODE | COW_SET_UID, .mode = 0100644, .uid = 1},
	    {.mask = COW_SET_UID, .uid = (uid_t)-1},
	    {.mask = COW_SET_MTIME | COW_SET_UID, .uid = 1, .mtime = {.tv_nsec = UTIME_NOW}},
	    {.mask = COW_SET_ATIME | COW_SET_UID, .uid = 1, .atime = {.tv_nsec = -1}},
	};
	for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++)
		assert_int_equal(cow_ovl_setattr(n, &cow_ovl_root_cred, &bad[k], NULL), -EINVAL);
	ok(cow_ovl_getattr(n, &after));
	assert_memory_equal(&before, &after, sizeof(before));
}

static void now_is_the_servers_clock(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set set = {.mask = COW_SET_ATIME | COW_SET_MTIME_NOW | COW_SET_MTIME,
				  .atime = {.tv_sec = 5},
				  .mtime = {.tv_sec = 5}};
	struct cow_ovl_attr a;
	time_t before = time(NULL);
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, &a));
	assert_int_equal(a.atime.tv_sec, 5);
	assert_true(a.mtime.tv_sec >= before - 1);
}

static void change_differs_after_every_change(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	uint64_t last = attr_of(n).change;
	for (int k = 0; k < 1000; k++) {
		ok(set_mode(n, &cow_ovl_root_cred, k & 1 ? 0600 : 0640));
		uint64_t now = attr_of(n).change;
		assert_true(now != last);
		last = now;
	}
	last = attr_of(f->root).change;
	for (int k = 0; k < 200; k++) {
		ok(k & 1 ? rm(f->root, "x", COW_REMOVE_FILE) : make_file(f->root, "x", NULL));
		uint64_t now = attr_of(f->root).change;
		assert_true(now != last);
		last = now;
	}
}

static void chown_strips_setuid_and_an_explicit_mode_sets_it(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set own = {.mask = COW_SET_UID, .uid = 7};
	struct cow_ovl_attr a;
	cow_autonode n = NULL;
	ok(make(f->root, "f", S_IFREG, 06755, &n));
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &own, &a));
	assert_int_equal(a.mode & 07777, 0755);
	own.mask |= COW_SET_MODE;
	own.mode = 04755;
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &own, &a));
	assert_int_equal(a.mode & 07777, 04755);
}

static void setgid_is_for_members_of_the_group(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set own = {.mask = COW_SET_UID | COW_SET_GID, .uid = 1001, .gid = 3000};
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &own, NULL));
	ok(set_mode(n, &user, 02755));
	assert_int_equal(attr_of(n).mode & 07777, 02755); /* a supplementary group */
	own.gid = 3001;
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &own, NULL));
	ok(set_mode(n, &user, 02755));
	assert_int_equal(attr_of(n).mode & 07777, 0755);
	ok(set_mode(n, &cow_ovl_root_cred, 02755));
	assert_int_equal(attr_of(n).mode & 07777, 02755);
}

static void truncation_by_a_user_clears_setuid(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = 3};
	cow_autonode n = NULL;
	ok(make(f->root, "f", S_IFREG, 06777, &n));
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
	assert_int_equal(attr_of(n).mode & 07777, 06777);
	ok(cow_ovl_setattr(n, &user, &set, NULL));
	assert_int_equal(attr_of(n).mode & 07777, 0777);
}

static void xattrs_of_every_type(void **state)
{
	struct ovl *f = *state;
	char buf[64];
	for (size_t k = 0; k < NTYPES; k++) {
		cow_autonode n = NULL;
		ok(make(f->root, "o", all_types[k], 0600, &n));
		ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, "trusted.a", "value", 5, 0));
		assert_int_equal(
		    cow_ovl_setxattr(n, &cow_ovl_root_cred, "trusted.a", "x", 1, XATTR_CREATE),
		    -EEXIST);
		assert_int_equal(
		    cow_ovl_setxattr(n, &cow_ovl_root_cred, "trusted.b", "x", 1, XATTR_REPLACE),
		    -ENODATA);
		assert_int_equal(cow_ovl_getxattr(n, "trusted.a", buf, sizeof(buf)), 5);
		assert_memory_equal(buf, "value", 5);
		assert_int_equal(cow_ovl_getxattr(n, "trusted.a", NULL, 0), 5);
		assert_int_equal(cow_ovl_getxattr(n, "trusted.a", buf, 2), -ERANGE);
		ok(cow_ovl_removexattr(n, &cow_ovl_root_cred, "trusted.a"));
		assert_int_equal(cow_ovl_getxattr(n, "trusted.a", buf, sizeof(buf)), -ENODATA);
		ok(rm(f->root, "o", COW_REMOVE_FILE | COW_REMOVE_DIR));
	}
}

static void our_own_xattrs_are_hidden_and_their_neighbours_are_not(void **state)
{
	struct ovl *f = *state;
	static const char *const hidden[] = {"trusted.overlay.opaque", "trusted.cowherd.id"};
	static const char *const shown[] = {"trusted.overlayfoo", "trusted.overla", "user.x"};
	char list[1024], buf[8];
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_autoclose int raw = openat(f->dirfd, "tree/f", O_RDONLY | O_CLOEXEC);
	assert_true(raw >= 0);
	for (size_t k = 0; k < 2; k++)
		ok(fsetxattr(raw, hidden[k], "y", 1, 0));
	for (size_t k = 0; k < 3; k++)
		ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, shown[k], "y", 1, 0));
	for (size_t k = 0; k < 2; k++)
		assert_int_equal(cow_ovl_getxattr(n, hidden[k], buf, sizeof(buf)), -ENODATA);
	assert_int_equal(cow_ovl_setxattr(n, &cow_ovl_root_cred, hidden[1], "n", 1, 0), -EPERM);
	assert_int_equal(cow_ovl_removexattr(n, &cow_ovl_root_cred, hidden[1]), -EPERM);
	/* the kernel's names are a client's own, kept apart: see row 38 */
	ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, hidden[0], "n", 1, 0));
	assert_int_equal(cow_ovl_getxattr(n, hidden[0], buf, sizeof(buf)), 1);
	assert_int_equal(buf[0], 'n');
	assert_int_equal(fgetxattr(raw, hidden[0], buf, sizeof(buf)), 1);
	assert_int_equal(buf[0], 'y');
	ok(cow_ovl_removexattr(n, &cow_ovl_root_cred, hidden[0]));
	ssize_t len = cow_ovl_listxattr(n, list, sizeof(list)), expected = 0;
	for (size_t k = 0; k < 3; k++)
		expected += (ssize_t)strlen(shown[k]) + 1;
	assert_true(len >= expected); /* a security module may have added one */
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1)
		for (size_t k = 0; k < 2; k++)
			assert_string_not_equal(list + at, hidden[k]);
	assert_int_equal(cow_ovl_listxattr(n, NULL, 0), len);
	assert_int_equal(cow_ovl_listxattr(n, list, (size_t)len - 1), -ERANGE);
}

static void bad_xattr_calls_are_refused(void **state)
{
	struct ovl *f = *state;
	char name[COW_XATTR_NAME_MAX + 2];
	static char big[COW_XATTR_SIZE_MAX + 1];
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	memset(name, 'x', sizeof(name));
	memcpy(name, "user.", 5);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(cow_ovl_getxattr(n, "", NULL, 0), -EINVAL);
	assert_int_equal(cow_ovl_getxattr(n, name, NULL, 0), -ERANGE);
	assert_int_equal(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.x", big, sizeof(big), 0),
			 -E2BIG);
	assert_int_equal(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.x", "", 0, 1 << 10),
			 -EINVAL);
	ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.empty", "", 0, 0));
	assert_int_equal(cow_ovl_getxattr(n, "user.empty", NULL, 0), 0);
}

static void statfs_is_the_file_systems(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_statfs s;
	ok(cow_ovl_statfs(f->inst, &s));
	assert_true(s.bytes_total > 0 && s.bytes_avail <= s.bytes_total);
	assert_int_equal(s.name_max, COW_NAME_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(every_type_takes_owner_mode_and_times),
	    T(a_symlink_is_never_followed),
	    T(size_is_for_regular_files),
	    T(bad_sets_change_nothing),
	    T(now_is_the_servers_clock),
	    T(change_differs_after_every_change),
	    T(chown_strips_setuid_and_an_explicit_mode_sets_it),
	    T(setgid_is_for_members_of_the_group),
	    T(truncation_by_a_user_clears_setuid),
	    T(xattrs_of_every_type),
	    T(our_own_xattrs_are_hidden_and_their_neighbours_are_not),
	    T(bad_xattr_calls_are_refused),
	    T(statfs_is_the_file_systems),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
