/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Names of a plain instance: look-up, creation of every type, links, removal, rename.
 */
#include "ovl_test.h"

#include <signal.h>
#include <sys/resource.h>

static const struct cow_ovl_cred user = {.uid = 1001, .gid = 1002};

static void every_type_is_created_with_its_mode(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
				       S_IFBLK, S_IFIFO, S_IFSOCK};
	for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++) {
		cow_autonode n = NULL;
		cow_autonode again = NULL;
		ok(make(f->root, "object", types[k], 0642, &n));
		assert_int_equal(cow_ovl_type(n), types[k]);
		struct cow_ovl_attr a = attr_of(n);
		assert_int_equal(a.mode & S_IFMT, types[k]);
		assert_int_equal(a.mode & 07777, types[k] == S_IFLNK ? 0777 : 0642);
		assert_int_equal(a.id, cow_ovl_id(n));
		assert_int_equal(a.nlink, types[k] == S_IFDIR ? a.nlink : 1);
		if (types[k] == S_IFCHR || types[k] == S_IFBLK)
			assert_int_equal(a.rdev, makedev(1, 3));
		ok(look(f->root, "object", &again));
		assert_ptr_equal(n, again);
		ok(rm(f->root, "object", COW_REMOVE_FILE | COW_REMOVE_DIR));
		assert_int_equal(look(f->root, "object", &again), -ENOENT);
	}
}

static void names_that_are_no_component_are_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_node *n;
	char longest[COW_NAME_MAX + 2];
	memset(longest, 'x', sizeof(longest));
	longest[COW_NAME_MAX + 1] = '\0';
	assert_int_equal(look(f->root, "", &n), -EINVAL);
	assert_int_equal(look(f->root, ".", &n), -EINVAL);
	assert_int_equal(look(f->root, "..", &n), -EINVAL);
	assert_int_equal(look(f->root, "a/b", &n), -EINVAL);
	assert_int_equal(cow_ovl_lookup(f->root, "a\0b", 3, &n, NULL), -EINVAL);
	assert_int_equal(look(f->root, longest, &n), -ENAMETOOLONG);
	longest[COW_NAME_MAX] = '\0';
	ok(make_file(f->root, longest, &n));
	cow_ovl_put(n);
	ok(look(f->root, longest, &n));
	cow_ovl_put(n);
}

static void create_never_opens_what_is_there(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO};
	struct cow_ovl_node *n;
	ok(make(f->root, "there", S_IFLNK, 0777, NULL));
	for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++)
		assert_int_equal(make(f->root, "there", types[k], 0644, &n), -EEXIST);
}

static void the_overlay_marker_device_is_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_create how = {.type = S_IFCHR, .mode = 0600, .rdev = makedev(0, 0)};
	struct cow_ovl_node *n;
	assert_int_equal(cow_ovl_create(f->root, "w", 1, &cow_ovl_root_cred, &how, &n, NULL),
			 -EPERM);
	assert_int_equal(look(f->root, "w", &n), -ENOENT);
}

static void new_objects_belong_to_the_caller(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFSOCK};
	for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++) {
		struct cow_ovl_create how = {
		    .type = types[k], .mode = 04755, .target = "t", .rdev = makedev(1, 3)};
		struct cow_ovl_attr a;
		cow_autonode n = NULL;
		ok(cow_ovl_create(f->root, "mine", 4, &user, &how, &n, &a));
		assert_int_equal(a.uid, 1001);
		assert_int_equal(a.gid, 1002);
		if (types[k] != S_IFLNK)
			assert_int_equal(a.mode & 07777, 04755);
		ok(rm(f->root, "mine", COW_REMOVE_FILE | COW_REMOVE_DIR));
		/* and the thread is root again */
		cow_autonode r = NULL;
		ok(make_file(f->root, "roots", &r));
		assert_int_equal(attr_of(r).uid, 0);
		ok(rm(f->root, "roots", COW_REMOVE_FILE));
	}
}

static void a_user_creates_where_only_root_may_write(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_create how = {.type = S_IFREG, .mode = 0600};
	cow_autonode dir = NULL;
	cow_autonode n = NULL;
	ok(make(f->root, "closed", S_IFDIR, 0700, &dir));
	ok(cow_ovl_create(dir, "f", 1, &user, &how, &n, NULL)); /* checks are the front end's */
	assert_int_equal(attr_of(n).uid, 1001);
}

static void setgid_directories_hand_their_group_on(void **state)
{
	struct ovl *f = *state;
	cow_autonode dir = NULL;
	cow_autonode sub = NULL;
	cow_autonode file = NULL;
	struct cow_ovl_set own = {.mask = COW_SET_GID | COW_SET_MODE, .gid = 7777, .mode = 02777};
	struct cow_ovl_create how = {.type = S_IFDIR, .mode = 0755};
	struct cow_ovl_attr a;
	ok(make(f->root, "team", S_IFDIR, 0777, &dir));
	ok(cow_ovl_setattr(dir, &cow_ovl_root_cred, &own, NULL));
	ok(cow_ovl_create(dir, "sub", 3, &user, &how, &sub, &a));
	assert_int_equal(a.gid, 7777);
	assert_int_equal(a.mode & 07777, 02755);
	how = (struct cow_ovl_create){.type = S_IFREG, .mode = 02755};
	ok(cow_ovl_create(dir, "prog", 4, &user, &how, &file, &a));
	assert_int_equal(a.gid, 7777);
	assert_int_equal(a.mode & 07777, 0755); /* not his group: no setgid program for him */
}

static void create_applies_further_attributes_or_leaves_nothing(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_create how = {.type = S_IFREG, .mode = 0644};
	struct cow_ovl_attr a;
	struct cow_ovl_node *n;
	how.set = (struct cow_ovl_set){.mask = COW_SET_SIZE | COW_SET_MTIME | COW_SET_UID,
				       .size = 12345,
				       .mtime = {.tv_sec = 1000000},
				       .uid = 55};
	ok(cow_ovl_create(f->root, "a", 1, &cow_ovl_root_cred, &how, &n, &a));
	cow_ovl_put(n);
	assert_int_equal(a.size, 12345);
	assert_int_equal(a.mtime.tv_sec, 1000000);
	assert_int_equal(a.uid, 55);

	struct rlimit old, low; /* the file is made, then cannot get its size */
	ok(getrlimit(RLIMIT_FSIZE, &old));
	low = (struct rlimit){.rlim_cur = 10000, .rlim_max = old.rlim_max};
	ok(setrlimit(RLIMIT_FSIZE, &low));
	int r = cow_ovl_create(f->root, "b", 1, &cow_ovl_root_cred, &how, &n, &a);
	ok(setrlimit(RLIMIT_FSIZE, &old));
	assert_int_equal(r, -EFBIG);
	assert_int_equal(look(f->root, "b", &n), -ENOENT);
	how.set.mask = 1u << 30;
	assert_int_equal(cow_ovl_create(f->root, "b", 1, &cow_ovl_root_cred, &how, &n, &a),
			 -EINVAL);
	assert_int_equal(look(f->root, "b", &n), -ENOENT);
}

static void links_count_and_share(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	cow_autonode other = NULL;
	ok(make_file(f->root, "one", &n));
	ok(cow_ovl_link(n, f->root, "two", 3, &cow_ovl_root_cred));
	assert_int_equal(attr_of(n).nlink, 2);
	ok(look(f->root, "two", &other));
	assert_ptr_equal(n, other);
	assert_int_equal(cow_ovl_link(n, f->root, "two", 3, &cow_ovl_root_cred), -EEXIST);
	assert_int_equal(cow_ovl_link(f->root, f->root, "x", 1, &cow_ovl_root_cred), -EPERM);
	ok(rm(f->root, "one", COW_REMOVE_FILE));
	assert_int_equal(attr_of(n).nlink, 1);
	ok(rm(f->root, "two", COW_REMOVE_FILE));
	struct cow_ovl_attr a;
	assert_int_equal(cow_ovl_getattr(n, &a), -ESTALE);
	assert_int_equal(cow_ovl_link(n, f->root, "three", 5, &cow_ovl_root_cred), -ESTALE);
}

static void a_symlink_can_be_linked_and_read(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	char buf[64];
	ok(make(f->root, "l", S_IFLNK, 0777, &n));
	ok(cow_ovl_link(n, f->root, "l2", 2, &cow_ovl_root_cred));
	assert_int_equal(cow_ovl_readlink(n, buf, sizeof(buf)), strlen("some/target"));
	assert_memory_equal(buf, "some/target", strlen("some/target"));
	assert_int_equal(cow_ovl_readlink(n, buf, 3), -ERANGE);
	assert_int_equal(cow_ovl_readlink(f->root, buf, sizeof(buf)), -EINVAL);
}

static void remove_insists_on_the_kind_asked_for(void **state)
{
	struct ovl *f = *state;
	cow_autonode dir = NULL;
	ok(make_file(f->root, "file", NULL));
	ok(make(f->root, "dir", S_IFDIR, 0755, &dir));
	ok(make_file(dir, "in", NULL));
	assert_int_equal(rm(f->root, "file", COW_REMOVE_DIR), -ENOTDIR);
	assert_int_equal(rm(f->root, "dir", COW_REMOVE_FILE), -EISDIR);
	assert_int_equal(rm(f->root, "dir", COW_REMOVE_DIR), -ENOTEMPTY);
	assert_int_equal(rm(f->root, "none", COW_REMOVE_FILE), -ENOENT);
	assert_int_equal(rm(f->root, "file", 0), -EINVAL);
	ok(rm(dir, "in", COW_REMOVE_FILE | COW_REMOVE_DIR));
	ok(rm(f->root, "dir", COW_REMOVE_DIR | COW_REMOVE_FILE));
	ok(rm(f->root, "file", COW_REMOVE_FILE));
}

static void a_removed_directory_is_stale_in_every_call(void **state)
{
	struct ovl *f = *state;
	cow_autonode dir = NULL;
	struct cow_ovl_node *n;
	struct cow_ovl_attr a;
	ok(make(f->root, "dir", S_IFDIR, 0755, &dir));
	ok(rm(f->root, "dir", COW_REMOVE_DIR));
	assert_int_equal(cow_ovl_getattr(dir, &a), -ESTALE);
	assert_int_equal(look(dir, "x", &n), -ESTALE);
	assert_int_equal(make_file(dir, "x", &n), -ESTALE);
	assert_int_equal(cow_ovl_parent(dir, &n), -ESTALE);
	assert_int_equal(rm(dir, "x", COW_REMOVE_FILE), -ESTALE);
	assert_int_equal(mv(dir, "x", f->root, "y", 0), -ESTALE);
}

static void rename_replaces_and_the_old_object_is_stale(void **state)
{
	struct ovl *f = *state;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	cow_autonode now = NULL;
	cow_autonode dir = NULL;
	struct cow_ovl_attr attr;
	ok(make(f->root, "dir", S_IFDIR, 0755, &dir));
	ok(make_file(f->root, "a", &a));
	ok(make_file(dir, "b", &b));
	assert_int_equal(mv(f->root, "a", dir, "b", RENAME_NOREPLACE), -EEXIST);
	ok(mv(f->root, "a", dir, "b", 0));
	ok(look(dir, "b", &now));
	assert_ptr_equal(now, a);
	assert_int_equal(cow_ovl_getattr(b, &attr), -ESTALE);
	assert_int_equal(look(f->root, "a", &now), -ENOENT);
}

static void rename_exchanges(void **state)
{
	struct ovl *f = *state;
	cow_autonode a = NULL;
	cow_autonode d = NULL;
	cow_autonode na = NULL;
	cow_autonode nd = NULL;
	ok(make_file(f->root, "a", &a));
	ok(make(f->root, "d", S_IFDIR, 0755, &d));
	ok(mv(f->root, "a", f->root, "d", RENAME_EXCHANGE));
	ok(look(f->root, "a", &na));
	ok(look(f->root, "d", &nd));
	assert_ptr_equal(na, d);
	assert_ptr_equal(nd, a);
	assert_int_equal(mv(f->root, "a", f->root, "none", RENAME_EXCHANGE), -ENOENT);
}

static void rename_refuses_what_would_make_a_loop(void **state)
{
	struct ovl *f = *state;
	cow_autonode d = NULL;
	ok(make(f->root, "d", S_IFDIR, 0755, &d));
	assert_int_equal(mv(f->root, "d", d, "e", 0), -EINVAL);
	assert_int_equal(mv(f->root, "d", f->root, "e", 1u << 20), -EINVAL);
	ok(make_file(f->root, "file", NULL));
	assert_int_equal(mv(f->root, "d", f->root, "file", 0), -ENOTDIR);
	assert_int_equal(mv(f->root, "file", f->root, "d", 0), -EISDIR);
}

static void parent_leads_up_to_the_root_and_no_further(void **state)
{
	struct ovl *f = *state;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	cow_autonode file = NULL;
	struct cow_ovl_node *up;
	ok(make(f->root, "a", S_IFDIR, 0755, &a));
	ok(make(a, "b", S_IFDIR, 0755, &b));
	ok(make_file(b, "f", &file));
	ok(cow_ovl_parent(b, &up));
	assert_ptr_equal(up, a);
	cow_ovl_put(up);
	ok(cow_ovl_parent(a, &up));
	assert_ptr_equal(up, f->root);
	cow_ovl_put(up);
	ok(cow_ovl_parent(f->root, &up));
	assert_ptr_equal(up, f->root);
	cow_ovl_put(up);
	assert_int_equal(cow_ovl_parent(file, &up), -ENOTDIR);
	assert_int_equal(look(file, "x", &up), -ENOTDIR);
}

static void a_default_acl_reaches_new_files(void **state)
{
	struct ovl *f = *state;
	/* acl(5) in its xattr form: version 2, then tag, perm, id: user rwx, group r-x, other ---.
	 */
	static const uint8_t acl[] = {2, 0,   0,   0,	1,   0,	 7, 0, 255, 255, 255, 255, 4,  0, 5,
				      0, 255, 255, 255, 255, 32, 0, 0, 0,   255, 255, 255, 255};
	struct cow_ovl_create how = {.type = S_IFREG, .mode = 0666};
	struct cow_ovl_attr a;
	cow_autonode dir = NULL;
	cow_autonode n = NULL;
	ok(make(f->root, "d", S_IFDIR, 0755, &dir));
	int r = cow_ovl_setxattr(dir, &cow_ovl_root_cred, "system.posix_acl_default", acl,
				 sizeof(acl), 0);
	if (r == -EOPNOTSUPP) {
		print_message("no ACLs on this file system: not tested\n");
		skip();
	}
	ok(r);
	ok(cow_ovl_create(dir, "f", 1, &user, &how, &n, &a));
	assert_int_equal(a.mode & 07777, 0640);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(every_type_is_created_with_its_mode),
	    T(names_that_are_no_component_are_refused),
	    T(create_never_opens_what_is_there),
	    T(the_overlay_marker_device_is_refused),
	    T(new_objects_belong_to_the_caller),
	    T(a_user_creates_where_only_root_may_write),
	    T(setgid_directories_hand_their_group_on),
	    T(create_applies_further_attributes_or_leaves_nothing),
	    T(links_count_and_share),
	    T(a_symlink_can_be_linked_and_read),
	    T(remove_insists_on_the_kind_asked_for),
	    T(a_removed_directory_is_stale_in_every_call),
	    T(rename_replaces_and_the_old_object_is_stale),
	    T(rename_exchanges),
	    T(rename_refuses_what_would_make_a_loop),
	    T(parent_leads_up_to_the_root_and_no_further),
	    T(a_default_acl_reaches_new_files),
	};
	(void)signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE is to be an error, not the end */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
