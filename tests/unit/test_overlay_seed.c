/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Files put into a fresh root before anybody attaches it, and what the kernel's overlayfs makes of
 * the result.
 */
#include "upper_test.h"

static struct cow_ovl_seed *begin(struct upper *u)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_seed *s = NULL;
	ok(cow_ovl_seed_begin(u->root, u->img, &s, &err));
	return s;
}

static void seed(struct upper *u, const char *path, const char *text)
{
	cow_autoseed s = begin(u);
	ok(cow_ovl_seed_file(s, path, text, strlen(text), 0640));
}

static void a_file_over_nothing_belongs_to_root(void **state)
{
	struct stat st;
	seed(*state, "new", "text");
	expect_text("root/upper/new", "text");
	sys(stat("root/upper/new", &st));
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_uid, 0);
	assert_true(getxattr("root/upper/new", "trusted.overlay.origin", NULL, 0) < 0);
	assert_true(getxattr("root/upper", "trusted.overlay.impure", NULL, 0) < 0);
}

static void owner_and_mode_of_the_images_file_are_kept(void **state)
{
	struct stat st;
	put_file("img/tree/hosts", "old");
	sys(chown("img/tree/hosts", 7, 8));
	sys(chmod("img/tree/hosts", 04751));
	seed(*state, "hosts", "new");
	sys(stat("root/upper/hosts", &st));
	assert_int_equal(st.st_mode, S_IFREG | 04751);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 8);
	expect_text("img/tree/hosts", "old"); /* I1 */
}

static void a_link_in_the_place_is_replaced_not_followed(void **state)
{
	struct stat st;
	put_file("outside", "untouched");
	sys(symlink("../../outside", "img/tree/link"));
	seed(*state, "link", "text");
	expect_text("root/upper/link", "text");
	expect_text("outside", "untouched");
	sys(stat("root/upper/link", &st));
	assert_int_equal(st.st_mode, S_IFREG | 0640);
}

static void directories_above_are_copies_of_the_images(void **state)
{
	/* user::rwx, user:51:rwx, group::r-x, mask::rwx, other::--- */
	static const uint8_t acl[] = {
	    2, 0,  0,	 0,    1,    0,	   7,  0, 0xff, 0xff, 0xff, 0xff, 2,	0,   7,
	    0, 51, 0,	 0,    0,    4,	   0,  5, 0,	0xff, 0xff, 0xff, 0xff, 16,  0,
	    7, 0,  0xff, 0xff, 0xff, 0xff, 32, 0, 0,	0,    0xff, 0xff, 0xff, 0xff};
	struct timespec times[2] = {{1000, 1}, {2000, 2}};
	uint8_t buf[sizeof(acl) + 1];
	struct stat a, b;
	make_dir("img/tree/a");
	make_dir("img/tree/a/b");
	sys(chown("img/tree/a/b", 3, 4));
	sys(setxattr("img/tree/a/b", "trusted.note", "x", 1, 0));
	int acls = setxattr("img/tree/a/b", "system.posix_acl_access", acl, sizeof(acl), 0) == 0;
	/* What new directories in a/ inherit must not reach the copy of a/b. */
	if (acls)
		sys(setxattr("img/tree/a", "system.posix_acl_default", acl, sizeof(acl), 0));
	sys(utimensat(AT_FDCWD, "img/tree/a/b", times, 0));
	sys(utimensat(AT_FDCWD, "img/tree/a", times, 0));
	seed(*state, "a/b/file", "text");
	sys(stat("img/tree/a/b", &a));
	sys(stat("root/upper/a/b", &b));
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(b.st_uid, 3);
	assert_int_equal(b.st_gid, 4);
	assert_memory_equal(&a.st_mtim, &b.st_mtim, sizeof(a.st_mtim));
	sys(stat("root/upper/a", &b));
	assert_int_equal(b.st_mtim.tv_sec, 2000);
	assert_int_equal(b.st_mtim.tv_nsec, 2);
	assert_int_equal(getxattr("root/upper/a/b", "trusted.note", buf, sizeof(buf)), 1);
	if (acls) {
		assert_int_equal(
		    getxattr("root/upper/a/b", "system.posix_acl_access", buf, sizeof(buf)),
		    sizeof(acl));
		assert_memory_equal(buf, acl, sizeof(acl));
		assert_true(getxattr("root/upper/a/b", "system.posix_acl_default", NULL, 0) < 0);
	}
	assert_int_equal(getxattr("root/upper", "trusted.overlay.impure", buf, 2), 1);
	assert_int_equal(getxattr("root/upper/a", "trusted.overlay.impure", buf, 2), 1);
	assert_true(getxattr("root/upper/a/b", "trusted.overlay.impure", NULL, 0) < 0);
	assert_true(getxattr("root/upper/a", "trusted.overlay.opaque", NULL, 0) < 0);
}

static void attributes_of_overlay_file_systems_are_not_copied(void **state)
{
	make_dir("img/tree/a");
	sys(setxattr("img/tree/a", "trusted.overlay.opaque", "y", 1, 0));
	sys(setxattr("img/tree/a", "trusted.cowherd.id", "12345678901234567890", 20, 0));
	seed(*state, "a/file", "text");
	assert_true(getxattr("root/upper/a", "trusted.overlay.opaque", NULL, 0) < 0);
	assert_true(getxattr("root/upper/a", "trusted.cowherd.id", NULL, 0) < 0);
}

/* I6: the kernel takes the directories for those of the image, numbers and all. */
static void the_kernel_merges_them(void **state)
{
	struct stat lower, merged;
	make_dir("img/tree/a");
	make_dir("img/tree/a/b");
	put_file("img/tree/a/b/golden", "golden");
	put_file("img/tree/a/b/both", "image's");
	seed(*state, "a/b/both", "root's");
	seed(*state, "a/b/c/d/own", "own");
	kernel_mount();
	expect_text("mnt/a/b/golden", "golden");
	expect_text("mnt/a/b/both", "root's");
	expect_text("mnt/a/b/c/d/own", "own");
	for (const char *const *p = (const char *const[]){"a", "a/b", NULL}; *p; p++) {
		char path[32];
		(void)snprintf(path, sizeof(path), "img/tree/%s", *p);
		sys(stat(path, &lower));
		(void)snprintf(path, sizeof(path), "mnt/%s", *p);
		sys(stat(path, &merged));
		assert_int_equal(merged.st_ino, lower.st_ino);
	}
	kernel_umount();
}

static void links_on_the_way_stay_in_the_image(void **state)
{
	struct upper *u = *state;
	cow_autoseed s = begin(u);
	make_dir("img/tree/usr");
	make_dir("img/tree/usr/etc");
	sys(symlink("/usr/etc", "img/tree/etc"));
	sys(symlink("../../../../../../../../usr", "img/tree/up"));
	sys(symlink("etc/..", "img/tree/round"));
	ok(cow_ovl_seed_file(s, "etc/one", "1", 1, 0644));
	ok(cow_ovl_seed_file(s, "up/etc/two", "2", 1, 0644));
	ok(cow_ovl_seed_file(s, "round/three", "3", 1, 0644));
	ok(cow_ovl_seed_file(s, "etc/new/./../four", "4", 1, 0644));
	expect_text("root/upper/usr/etc/one", "1");
	expect_text("root/upper/usr/etc/two", "2");
	expect_text("root/upper/usr/three", "3");
	expect_text("root/upper/usr/etc/four", "4");
	assert_false(exists("root/upper/etc"));
}

static void what_is_in_the_way_is_refused(void **state)
{
	struct upper *u = *state;
	char name[300], deep[COW_PATH_MAX + 64];
	cow_autoseed s = begin(u);
	make_dir("img/tree/dir");
	put_file("img/tree/file", "x");
	sys(symlink("loop", "img/tree/loop"));
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	memset(deep, 'd', sizeof(deep));
	for (size_t k = 100; k < sizeof(deep); k += 100)
		deep[k] = '/';
	deep[sizeof(deep) - 1] = 0;
	assert_int_equal(cow_ovl_seed_file(s, "dir", "", 0, 0644), -EISDIR);
	assert_int_equal(cow_ovl_seed_file(s, "file/x", "", 0, 0644), -ENOTDIR);
	assert_int_equal(cow_ovl_seed_file(s, "loop/x", "", 0, 0644), -ELOOP);
	assert_int_equal(cow_ovl_seed_file(s, name, "", 0, 0644), -ENAMETOOLONG);
	assert_int_equal(cow_ovl_seed_file(s, deep, "", 0, 0644), -ENAMETOOLONG);
	for (const char *const *p =
		 (const char *const[]){"", ".", "..", "dir/", "dir/.", "dir/..", "/", NULL};
	     *p; p++)
		assert_int_equal(cow_ovl_seed_file(s, *p, "", 0, 0644), -EINVAL);
	assert_false(exists("root/upper/dir"));
	/* a name the root made itself is no directory of the image's */
	ok(cow_ovl_seed_file(s, "mine", "", 0, 0644));
	assert_int_equal(cow_ovl_seed_file(s, "mine/x", "", 0, 0644), -ENOTDIR);
}

static void the_last_one_counts(void **state)
{
	struct upper *u = *state;
	char target[16] = "";
	cow_autoseed s = begin(u);
	ok(cow_ovl_seed_file(s, "x", "a longer text", 13, 0644));
	ok(cow_ovl_seed_file(s, "x", "b", 1, 0644));
	expect_text("root/upper/x", "b");
	ok(cow_ovl_seed_symlink(s, "x", "to/there"));
	sys(readlink("root/upper/x", target, sizeof(target) - 1));
	assert_string_equal(target, "to/there");
	ok(cow_ovl_seed_file(s, "x", "c", 1, 0644));
	expect_text("root/upper/x", "c");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_file_over_nothing_belongs_to_root),
	    T(owner_and_mode_of_the_images_file_are_kept),
	    T(a_link_in_the_place_is_replaced_not_followed),
	    T(directories_above_are_copies_of_the_images),
	    T(attributes_of_overlay_file_systems_are_not_copied),
	    T(the_kernel_merges_them),
	    T(links_on_the_way_stay_in_the_image),
	    T(what_is_in_the_way_is_refused),
	    T(the_last_one_counts),
	};
	int r = upper_begin();
	return r ? r : cmocka_run_group_tests(tests, NULL, NULL);
}
