/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Golden images: a tree becomes a manifest and the manifest answers as the tree would.
 */
#include "ovm_test.h"

#include <openssl/evp.h>

#include "common/bounds.h"

/* ---------------------------------------------------------------- what a tree holds */

static void assert_as_in_tree(const struct cow_ovl_image *img, int tree, const char *path)
{
	struct stat st;
	struct cow_ovl_attr a;
	uint32_t ino = at(img, path);
	ok(fstatat(tree, path, &st, AT_SYMLINK_NOFOLLOW));
	cow_man_attr(img, ino, &a);
	assert_int_equal(a.id, ino);
	assert_int_equal(a.mode, st.st_mode);
	assert_int_equal(cow_man_type(img, ino), st.st_mode & S_IFMT);
	assert_int_equal(a.uid, st.st_uid);
	assert_int_equal(a.gid, st.st_gid);
	assert_int_equal(a.size, st.st_size);
	assert_int_equal(a.bytes_used, st.st_blocks * 512);
	assert_int_equal(a.mtime.tv_sec, st.st_mtim.tv_sec);
	assert_int_equal(a.mtime.tv_nsec, st.st_mtim.tv_nsec);
	assert_int_equal(a.ctime.tv_sec, st.st_ctim.tv_sec);
	assert_int_equal(a.change,
			 (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		assert_int_equal(a.rdev, st.st_rdev);
	if (!S_ISDIR(st.st_mode))
		assert_int_equal(a.nlink, st.st_nlink);
}

static void every_type_of_object_comes_back_as_it_is(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info info;
	size_t len;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	for (size_t k = 0; k < sizeof(zoo) / sizeof(*zoo); k++)
		if (is_root() || k < 7)
			assert_as_in_tree(img, f->tree, zoo[k]);
	assert_string_equal(cow_man_target(img, at(img, "dir/link"), &len), "../over/there");
	assert_int_equal(len, strlen("../over/there"));
	cow_ovl_image_info(img, &info);
	assert_int_equal(info.inodes, is_root() ? 11 : 8);
	assert_int_equal(info.bytes, 6);
	assert_int_equal(info.next_number, info.inodes + 1);
}

static void directories_count_their_subdirectories(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_attr a;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	cow_man_attr(img, COW_MAN_ROOT, &a);
	assert_int_equal(a.nlink, 3);
	cow_man_attr(img, at(img, "dir/sub"), &a);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(cow_man_nchild(img, at(img, "dir/sub")), 0);
}

static void digests_are_those_of_the_contents(void **state)
{
	struct ovm *f = *state;
	uint8_t want[COW_OVM_DIGEST_LEN];
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	assert_int_equal(EVP_Digest("hello\n", 6, want, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(cow_man_digest(img, at(img, "file")), want, sizeof(want));
	assert_int_equal(EVP_Digest("", 0, want, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(cow_man_digest(img, at(img, "empty")), want, sizeof(want));
}

static void an_empty_tree_is_an_image(void **state)
{
	struct ovm *f = *state;
	struct cow_man_ent ent;
	const struct cow_ovl_image *img = ovm_image(f);
	assert_int_equal(cow_man_nchild(img, COW_MAN_ROOT), 0);
	assert_int_equal(cow_man_nnames(img, COW_MAN_ROOT), 0);
	assert_int_equal(cow_man_after(img, COW_MAN_ROOT, 0), 0);
	assert_false(cow_man_find(img, COW_MAN_ROOT, "x", 1, &ent));
	assert_false(cow_man_at_cookie(img, COW_MAN_ROOT, 3, &ent));
	assert_false(cow_man_has(img, 0));
	assert_true(cow_man_has(img, 1));
	assert_false(cow_man_has(img, 2));
	assert_false(cow_man_has(img, UINT32_MAX));
}

static void hard_links_are_one_object_with_all_its_names(void **state)
{
	struct ovm *f = *state;
	bool seen_a = false, seen_b = false;
	ok(mkdirat(f->tree, "d", 0755));
	put_file(f->tree, "d/b", "x");
	ok(linkat(f->tree, "d/b", f->tree, "a", 0));
	ok(linkat(f->tree, "d/b", f->tree, "d/c", 0));
	put_file(f->tree, "single", "x");
	ok(symlinkat("t", f->tree, "s1"));
	ok(linkat(f->tree, "s1", f->tree, "d/s2", 0));
	const struct cow_ovl_image *img = ovm_image(f);
	uint32_t ino = at(img, "a"), parent;
	assert_int_equal(at(img, "d/b"), ino);
	assert_int_equal(at(img, "d/c"), ino);
	assert_int_equal(at(img, "s1"), at(img, "d/s2"));
	assert_int_not_equal(at(img, "single"), ino);
	assert_int_equal(cow_man_nnames(img, ino), 3);
	assert_int_equal(cow_man_nnames(img, at(img, "single")), 1);
	struct cow_man_ent ent;
	cow_man_name(img, ino, 0, &parent, &ent);
	assert_string_equal(ent.name, "a"); /* the first name of the walk */
	assert_int_equal(parent, COW_MAN_ROOT);
	for (size_t k = 1; k < 3; k++) {
		cow_man_name(img, ino, k, &parent, &ent);
		assert_int_equal(parent, at(img, "d"));
		seen_a |= strcmp(ent.name, "b") == 0;
		seen_b |= strcmp(ent.name, "c") == 0;
	}
	assert_true(seen_a && seen_b);
	struct cow_ovl_attr a;
	cow_man_attr(img, ino, &a);
	assert_int_equal(a.nlink, 3);
}

static void a_link_from_outside_of_the_tree_is_not_counted(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_attr a;
	put_file(f->tree, "in", "x");
	ok(linkat(f->tree, "in", f->dirfd, "out", 0));
	const struct cow_ovl_image *img = ovm_image(f);
	cow_man_attr(img, at(img, "in"), &a);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(cow_man_nnames(img, at(img, "in")), 1);
}

static void sparse_files_keep_size_and_blocks(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_attr a;
	cow_autoclose int fd = openat(f->tree, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok(ftruncate(fd, 64 << 20));
	assert_int_equal(pwrite(fd, "x", 1, 1 << 20), 1);
	ok(fsync(fd));
	const struct cow_ovl_image *img = ovm_image(f);
	assert_as_in_tree(img, f->tree, "sparse");
	cow_man_attr(img, at(img, "sparse"), &a);
	assert_true(a.bytes_used < 1 << 20);
}

/* ---------------------------------------------------------------- extended attributes */

static void assert_xattr(const struct cow_ovl_image *img, uint32_t ino, size_t idx,
			 const char *name, const void *value, size_t len)
{
	const char *got_name;
	const void *got;
	size_t got_len;
	cow_man_xattr(img, ino, idx, &got_name, &got, &got_len);
	assert_string_equal(got_name, name);
	assert_int_equal(got_len, len);
	assert_memory_equal(got, value, len);
}

static void extended_attributes_come_back_sorted(void **state)
{
	struct ovm *f = *state;
	put_file(f->tree, "f", "x");
	put_file(f->tree, "g", "y");
	int fd = openat(f->tree, "f", O_RDONLY | O_CLOEXEC);
	int r = fsetxattr(fd, "user.zz", "1\0002", 3, 0);
	if (r < 0 && errno == EOPNOTSUPP)
		skip();
	ok(r);
	ok(fsetxattr(fd, "user.a", "", 0, 0));
	ok(fsetxattr(fd, "user.mm", "middle", 6, 0));
	ok(close(fd));
	fd = open_dir(f->tree, ".");
	ok(fsetxattr(fd, "user.root", "of the tree", 11, 0));
	ok(close(fd));
	const struct cow_ovl_image *img = ovm_image(f);
	uint32_t ino = at(img, "f");
	assert_int_equal(cow_man_nxattr(img, ino), 3);
	assert_xattr(img, ino, 0, "user.a", "", 0);
	assert_xattr(img, ino, 1, "user.mm", "middle", 6);
	assert_xattr(img, ino, 2, "user.zz", "1\0002", 3);
	assert_int_equal(cow_man_nxattr(img, at(img, "g")), 0);
	assert_xattr(img, COW_MAN_ROOT, 0, "user.root", "of the tree", 11);
}

static void objects_of_every_type_have_their_attributes(void **state)
{
	struct ovm *f = *state;
	if (!is_root())
		skip();
	make_zoo(f->tree);
	for (size_t k = 0; k < sizeof(zoo) / sizeof(*zoo); k++)
		set_on_path(f, zoo[k], "trusted.path", zoo[k], strlen(zoo[k]));
	const struct cow_ovl_image *img = ovm_image(f);
	for (size_t k = 0; k < sizeof(zoo) / sizeof(*zoo); k++) {
		assert_int_equal(cow_man_nxattr(img, at(img, zoo[k])), 1);
		assert_xattr(img, at(img, zoo[k]), 0, "trusted.path", zoo[k], strlen(zoo[k]));
	}
}

static void access_lists_come_back(void **state)
{
	struct ovm *f = *state;
	uint8_t acl[64];
	size_t len = make_acl(acl);
	put_file(f->tree, "f", "x");
	ok(mkdirat(f->tree, "d", 0755));
	int fd = openat(f->tree, "f", O_RDONLY | O_CLOEXEC);
	int r = fsetxattr(fd, "system.posix_acl_access", acl, len, 0);
	if (r < 0 && errno == EOPNOTSUPP)
		skip();
	ok(r);
	ok(close(fd));
	set_on_path(f, "d", "system.posix_acl_default", acl, len);
	const struct cow_ovl_image *img = ovm_image(f);
	assert_xattr(img, at(img, "f"), 0, "system.posix_acl_access", acl, len);
	assert_xattr(img, at(img, "d"), 0, "system.posix_acl_default", acl, len);
	assert_as_in_tree(img, f->tree, "f");
}

static void equal_sets_of_attributes_are_kept_once(void **state)
{
	struct ovm *f = *state;
	for (int k = 0; k < 20; k++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "f%d", k);
		put_file(f->tree, name, "");
		cow_autoclose int fd = openat(f->tree, name, O_RDONLY | O_CLOEXEC);
		if (fsetxattr(fd, "user.a", "same", 4, 0) < 0 && errno == EOPNOTSUPP)
			skip();
		ok(fsetxattr(fd, "user.b", k == 19 ? "none" : "same", 4, 0));
	}
	const struct cow_ovl_image *img = ovm_image(f);
	assert_int_equal(img->count[COW_OVM_XSETS], 2);
	assert_int_equal(img->count[COW_OVM_XATTRS], 4);
	assert_int_equal(img->count[COW_OVM_VALUES], 8);
	assert_xattr(img, at(img, "f7"), 1, "user.b", "same", 4);
	assert_xattr(img, at(img, "f19"), 1, "user.b", "none", 4);
}

/* ---------------------------------------------------------------- names */

static void names_of_255_bytes_and_of_any_byte_are_found(void **state)
{
	struct ovm *f = *state;
	char names[4][COW_NAME_MAX + 1] = {{0}};
	for (int k = 0; k < COW_NAME_MAX; k++) {
		names[0][k] = 'n';
		if (k + 1 != '/')
			names[1][k > '/' - 1 ? k - 1 : k] = (char)(k + 1);
	}
	(void)strcpy(names[2], "\xff\xfe not utf8");
	(void)strcpy(names[3], "...");
	for (size_t k = 0; k < 4; k++)
		put_file(f->tree, names[k], names[k]);
	const struct cow_ovl_image *img = ovm_image(f);
	for (size_t k = 0; k < 4; k++) {
		struct cow_man_ent ent;
		assert_true(cow_man_find(img, COW_MAN_ROOT, names[k], strlen(names[k]), &ent));
		assert_string_equal(ent.name, names[k]);
		assert_int_equal(ent.len, strlen(names[k]));
		assert_int_equal(ent.type, S_IFREG);
	}
	struct cow_man_ent ent;
	assert_false(cow_man_find(img, COW_MAN_ROOT, names[0], COW_NAME_MAX - 1, &ent));
	assert_false(cow_man_find(img, COW_MAN_ROOT, "", 0, &ent));
	assert_false(cow_man_find(img, COW_MAN_ROOT, ".", 1, &ent));
	assert_false(cow_man_find(img, COW_MAN_ROOT, "..", 2, &ent));
}

static void a_symlink_of_4095_bytes_is_kept(void **state)
{
	struct ovm *f = *state;
	char target[COW_SYMLINK_MAX + 1];
	size_t len = COW_SYMLINK_MAX;
	memset(target, 't', sizeof(target));
	target[len] = '\0';
	int r = symlinkat(target, f->tree, "l");
	if (r < 0 && errno == ENAMETOOLONG) { /* xfs: 1024 */
		len = 1000;
		target[len] = '\0';
		r = symlinkat(target, f->tree, "l");
	}
	ok(r);
	const struct cow_ovl_image *img = ovm_image(f);
	size_t got;
	assert_string_equal(cow_man_target(img, at(img, "l"), &got), target);
	assert_int_equal(got, len);
}

#define MANY 5000

static void a_directory_of_5000_names_is_sorted_and_searchable(void **state)
{
	struct ovm *f = *state;
	char name[32], first[32];
	struct cow_man_ent ent, other;
	uint64_t before = 0;
	ok(mkdirat(f->tree, "d", 0755));
	cow_autoclose int d = open_dir(f->tree, "d");
	for (int k = 0; k < MANY; k++) { /* ten names a file: they are quick to make */
		(void)snprintf(name, sizeof(name), "name-%d", k);
		if (k % 10 == 0) {
			put_file(d, name, "");
			memcpy(first, name, sizeof(first));
		} else {
			ok(linkat(d, first, d, name, 0));
		}
	}
	const struct cow_ovl_image *img = ovm_image(f);
	uint32_t dir = at(img, "d");
	assert_int_equal(cow_man_nchild(img, dir), MANY);
	for (int k = 0; k < MANY; k++) {
		(void)snprintf(name, sizeof(name), "name-%d", k);
		assert_true(cow_man_find(img, dir, name, strlen(name), &ent));
		assert_string_equal(ent.name, name);
		assert_int_equal(ent.cookie, cow_man_hash(img, name, strlen(name)));
		assert_int_equal(cow_man_nnames(img, ent.ino), 10);
		assert_true(cow_man_at_cookie(img, dir, ent.cookie, &other));
		assert_int_equal(other.ino, ent.ino);
		assert_false(cow_man_at_cookie(img, dir, ent.cookie + 1, &other));
		(void)snprintf(name, sizeof(name), "nome-%d", k);
		assert_false(cow_man_find(img, dir, name, strlen(name), &ent));
	}
	for (size_t k = 0; k < MANY; k++) {
		cow_man_child(img, dir, k, &ent);
		assert_true(ent.cookie > before && ent.cookie >= COW_MAN_COOKIE_MIN);
		assert_int_equal(cow_man_after(img, dir, before), k);
		assert_int_equal(cow_man_after(img, dir, ent.cookie - 1), k);
		before = ent.cookie;
	}
	assert_int_equal(cow_man_after(img, dir, before), MANY);
	assert_int_equal(cow_man_after(img, dir, UINT64_MAX), MANY);
	assert_int_equal(cow_man_after(img, dir, INT64_MAX), MANY);
}

static void every_path_leads_back_to_its_number(void **state)
{
	struct ovm *f = *state;
	char path[64];
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	for (uint32_t ino = 1; ino < img->info.next_number; ino++) {
		ssize_t n = cow_man_path(img, ino, path, sizeof(path));
		assert_int_equal(n, strlen(path));
		assert_int_equal(cow_man_lookup_path(img, path), ino);
		assert_int_equal(cow_man_path(img, ino, path, (size_t)n + 1), n);
		assert_int_equal(cow_man_path(img, ino, path, (size_t)n), -ENAMETOOLONG);
	}
	assert_int_equal(cow_man_path(img, COW_MAN_ROOT, path, 1), 0);
	assert_string_equal(path, "");
	static const char *const none[] = {"/",	   "/file",  "file/", "dir//sub", "dir/sub/",
					   "none", "file/x", "dir/.", "dir/.."};
	for (size_t k = 0; k < sizeof(none) / sizeof(*none); k++)
		assert_int_equal(cow_man_lookup_path(img, none[k]), 0);
}

#define DEPTH 600

/* Deeper than PATH_MAX, with names long enough for it. */
static void make_deep(int tree)
{
	int fd = dup(tree);
	for (int k = 0; k < DEPTH; k++) {
		ok(mkdirat(fd, "directory-nine", 0755));
		int next = open_dir(fd, "directory-nine");
		ok(close(fd));
		fd = next;
	}
	put_file(fd, "bottom", "deep");
	ok(close(fd));
}

static void a_path_longer_than_the_kernel_takes_opens_step_by_step(void **state)
{
	struct ovm *f = *state;
	char small[PATH_MAX], big[DEPTH * 16], text[8] = "";
	make_deep(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	uint32_t ino = COW_MAN_ROOT, deepest = COW_MAN_ROOT;
	for (struct cow_man_ent ent; cow_man_type(img, ino) == S_IFDIR; ino = ent.ino) {
		deepest = ino;
		cow_man_child(img, ino, 0, &ent);
	}
	assert_int_equal(cow_man_path(img, ino, small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(cow_man_path(img, ino, big, sizeof(big)), DEPTH * 15 + 6);
	assert_int_equal(cow_man_lookup_path(img, big), ino);
	int fd = cow_man_open(img, ino, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 4);
	assert_string_equal(text, "deep");
	ok(close(fd));
	fd = cow_man_open(img, deepest, O_PATH | O_DIRECTORY);
	assert_true(fd >= 0);
	ok(close(fd));
	ok(cow_ovl_image_verify(f->dirfd, NULL, NULL, NULL, NULL, NULL));
}

#define T(name) cmocka_unit_test_setup_teardown(name, ovm_setup, ovm_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(every_type_of_object_comes_back_as_it_is),
	    T(directories_count_their_subdirectories),
	    T(digests_are_those_of_the_contents),
	    T(an_empty_tree_is_an_image),
	    T(hard_links_are_one_object_with_all_its_names),
	    T(a_link_from_outside_of_the_tree_is_not_counted),
	    T(sparse_files_keep_size_and_blocks),
	    T(extended_attributes_come_back_sorted),
	    T(objects_of_every_type_have_their_attributes),
	    T(access_lists_come_back),
	    T(equal_sets_of_attributes_are_kept_once),
	    T(names_of_255_bytes_and_of_any_byte_are_found),
	    T(a_symlink_of_4095_bytes_is_kept),
	    T(a_directory_of_5000_names_is_sorted_and_searchable),
	    T(every_path_leads_back_to_its_number),
	    T(a_path_longer_than_the_kernel_takes_opens_step_by_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
