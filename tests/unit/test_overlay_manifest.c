/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Golden images: a tree becomes a manifest and the manifest answers as the tree would.
 */
#include "ovm_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <openssl/evp.h>

#include "common/bounds.h"

static bool is_root(void)
{
	return geteuid() == 0;
}

/* ---------------------------------------------------------------- what a tree holds */

static void make_socket(int dirfd, const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cow_autoclose int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s >= 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	ok(bind(s, (struct sockaddr *)&addr, sizeof(addr)));
}

/* One of each type the caller may make. */
static void make_zoo(int tree)
{
	put_file(tree, "file", "hello\n");
	put_file(tree, "empty", "");
	ok(mkdirat(tree, "dir", 01777));
	ok(mkdirat(tree, "dir/sub", 0750));
	ok(symlinkat("../over/there", tree, "dir/link"));
	ok(mkfifoat(tree, "fifo", 0620));
	make_socket(tree, "sock");
	if (!is_root())
		return;
	ok(mknodat(tree, "chr", S_IFCHR | 0660, makedev(5, 1)));
	ok(mknodat(tree, "blk", S_IFBLK | 0600, makedev(259, 123456)));
	ok(mknodat(tree, "dir/chr", S_IFCHR | 0600, makedev(0, 1)));
	ok(fchownat(tree, "file", 1000, 2000, AT_SYMLINK_NOFOLLOW));
	ok(fchmodat(tree, "file", 06755, 0));
	ok(fchownat(tree, "dir/link", 7, 8, AT_SYMLINK_NOFOLLOW));
}

static const char *const zoo[] = {"file", "empty", "dir", "dir/sub", "dir/link",
				  "fifo", "sock",  "chr", "blk",     "dir/chr"};

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

static void set_on_path(const struct ovm *f, const char *name, const char *xattr, const void *value,
			size_t len)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", f->tree, name);
	ok(lsetxattr(path, xattr, value, len, 0));
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

/* ---------------------------------------------------------------- inheritance */

/* An image beside the fixture's, with the fixture's image or @parent as parent. */
static struct cow_ovl_image *next_version(struct ovm *f, const char *name,
					  const struct cow_ovl_image *parent,
					  void (*fill)(int tree))
{
	struct cow_ovl_image_build how = {.parent = parent};
	ok(mkdirat(f->dirfd, name, 0755));
	cow_autoclose int dir = open_dir(f->dirfd, name);
	ok(mkdirat(dir, "tree", 0755));
	cow_autoclose int tree = open_dir(dir, "tree");
	fill(tree);
	ok(build_with(dir, &how, NULL));
	return open_image(dir);
}

static void fill_v1(int tree)
{
	ok(mkdirat(tree, "etc", 0755));
	put_file(tree, "etc/passwd", "1");
	put_file(tree, "etc/gone", "1");
	put_file(tree, "etc/type", "1");
	put_file(tree, "etc/old-a", "1");
	ok(linkat(tree, "etc/old-a", tree, "etc/old-b", 0));
	ok(mkdirat(tree, "swap", 0755));
	put_file(tree, "swap/x", "1");
}

static void fill_v2(int tree)
{
	put_file(tree, "aaa-new", "2");
	ok(mkdirat(tree, "etc", 0700));
	put_file(tree, "etc/passwd", "changed");
	ok(symlinkat("t", tree, "etc/type"));
	put_file(tree, "etc/old-a", "1"); /* no longer one object */
	put_file(tree, "etc/old-b", "1");
	put_file(tree, "swap", "now a file");
}

static void fill_v3(int tree)
{
	fill_v1(tree);
}

static void equal_paths_keep_their_numbers(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info i1, i2;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	cow_ovl_image_info(v1, &i1);
	cow_ovl_image_info(v2, &i2);
	assert_int_equal(at(v2, "etc"), at(v1, "etc"));
	assert_int_equal(at(v2, "etc/passwd"), at(v1, "etc/passwd"));
	assert_memory_equal(i1.lineage, i2.lineage, sizeof(i1.lineage));
	assert_memory_equal(i1.uuid, i2.parent, sizeof(i1.uuid));
	assert_memory_not_equal(i1.uuid, i2.uuid, sizeof(i1.uuid));
	assert_memory_equal(cow_man_uuid(v2), i2.uuid, sizeof(i2.uuid));
	assert_memory_equal(cow_man_lineage(v2), i1.lineage, sizeof(i2.uuid));
	/* Names are sorted alike in all versions. */
	assert_int_equal(cow_man_hash(v1, "x", 1), cow_man_hash(v2, "x", 1));
	/* What is new has a number no object had. */
	assert_true(at(v2, "aaa-new") >= i1.next_number);
	assert_true(at(v2, "etc/type") >= i1.next_number);
	assert_true(at(v2, "swap") >= i1.next_number);
	assert_false(cow_man_has(v2, at(v1, "etc/gone")));
	assert_false(cow_man_has(v2, at(v1, "etc/type")));
	assert_false(cow_man_has(v2, at(v1, "swap")));
	assert_int_equal(i2.inodes, 8);
	assert_true(i2.next_number > i1.next_number);
	cow_ovl_image_close(v2);
}

static void links_that_part_share_no_number(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	assert_int_equal(at(v2, "etc/old-a"), at(v1, "etc/old-a"));
	assert_true(at(v2, "etc/old-b") >= v1->info.next_number);
	struct cow_ovl_image *v3 = next_version(f, "v3", v2, fill_v3);
	assert_int_equal(at(v3, "etc/old-a"), at(v1, "etc/old-a"));
	assert_int_equal(at(v3, "etc/old-b"), at(v1, "etc/old-a"));
	cow_ovl_image_close(v2);
	cow_ovl_image_close(v3);
}

static void a_path_that_returns_gets_a_new_number(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	struct cow_ovl_image *v3 = next_version(f, "v3", v2, fill_v3);
	static const char *const back[] = {"etc/gone", "etc/type", "swap", "swap/x"};
	for (size_t k = 0; k < sizeof(back) / sizeof(*back); k++)
		assert_true(at(v3, back[k]) >= v2->info.next_number);
	assert_int_equal(at(v3, "etc/passwd"), at(v1, "etc/passwd"));
	assert_true(v3->info.next_number >= v2->info.next_number);
	cow_ovl_image_close(v2);
	cow_ovl_image_close(v3);
}

static void nothing_is_forgotten_when_a_version_is_empty(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	cow_autoclose int none = open_dir(f->dirfd, ".");
	ok(mkdirat(none, "v2", 0755));
	cow_autoclose int dir = open_dir(none, "v2");
	ok(mkdirat(dir, "tree", 0755));
	struct cow_ovl_image_build how = {.parent = v1};
	ok(build_with(dir, &how, NULL));
	struct cow_ovl_image *v2 = open_image(dir);
	assert_int_equal(v2->info.next_number, v1->info.next_number);
	assert_int_equal(v2->info.inodes, 1);
	cow_ovl_image_close(v2);
}

static void the_same_tree_and_parent_give_the_same_bytes(void **state)
{
	struct ovm *f = *state;
	size_t len1, len2;
	make_zoo(f->tree);
	put_file(f->tree, "twin", "x");
	ok(linkat(f->tree, "twin", f->tree, "dir/twin", 0));
	ok(build_with(f->dirfd, NULL, NULL));
	ok(renameat(f->dirfd, COW_OVM_NAME, f->dirfd, "first"));
	ok(mkdirat(f->dirfd, "p", 0755));
	ok(linkat(f->dirfd, "first", f->dirfd, "p/" COW_OVM_NAME, 0));
	ok(mkdirat(f->dirfd, "p/tree", 0755));
	cow_autoclose int p = open_dir(f->dirfd, "p");
	struct cow_ovl_image *parent = open_image(p);
	struct cow_ovl_image_build how = {.parent = parent};
	ok(build_with(f->dirfd, &how, NULL));
	cow_autofree uint8_t *one = slurp(f->dirfd, &len1);
	ok(unlinkat(f->dirfd, COW_OVM_NAME, 0));
	ok(build_with(f->dirfd, &how, NULL));
	cow_autofree uint8_t *two = slurp(f->dirfd, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(one, two, len1);
	cow_ovl_image_close(parent);
}

static void the_id_is_the_digest_of_the_file(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info built, opened, peeked;
	uint8_t want[COW_OVM_ID_LEN], none[COW_OVM_ID_LEN] = {0};
	size_t len;
	make_zoo(f->tree);
	ok(cow_ovl_image_build(f->dirfd, NULL, &built, NULL));
	f->img = open_image(f->dirfd);
	cow_ovl_image_info(f->img, &opened);
	cow_autofree uint8_t *bytes = slurp(f->dirfd, &len);
	assert_int_equal(EVP_Digest(bytes, len, want, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(built.id, want, sizeof(want));
	assert_memory_equal(&opened, &built, sizeof(built));
	ok(cow_ovl_image_peek(f->dirfd, &peeked, NULL));
	assert_memory_equal(peeked.id, none, sizeof(none));
	memcpy(peeked.id, want, sizeof(want));
	assert_memory_equal(&peeked, &built, sizeof(built));
}

/* ---------------------------------------------------------------- refusals */

static void assert_nothing_left(const struct ovm *f)
{
	cow_autodir DIR *d = fdopendir(open_dir(f->dirfd, "."));
	const struct dirent *de;
	assert_non_null(d);
	while (cow_readdir(d, &de) > 0)
		assert_string_equal(de->d_name, "tree");
}

static void assert_refused(const struct ovm *f, int r, const char *path)
{
	struct cow_err err = COW_ERR_INIT;
	assert_int_equal(build_with(f->dirfd, NULL, &err), r);
	assert_non_null(strstr(cow_err_str(&err), path));
	assert_nothing_left(f);
}

static void a_whiteout_is_refused(void **state)
{
	struct ovm *f = *state;
	if (!is_root())
		skip();
	ok(mkdirat(f->tree, "d", 0755));
	ok(mknodat(f->tree, "d/removed", S_IFCHR | 0600, 0));
	assert_refused(f, -EPERM, "/d/removed");
}

static void attributes_of_the_engine_are_refused(void **state)
{
	static const char *const names[] = {"trusted.overlay.opaque", "trusted.overlay.x",
					    "trusted.cowherd.id"};
	struct ovm *f = *state;
	if (!is_root())
		skip();
	ok(mkdirat(f->tree, "d", 0755));
	cow_autoclose int fd = open_dir(f->tree, "d");
	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
		ok(fsetxattr(fd, names[k], "y", 1, 0));
		assert_refused(f, -EPERM, "/d");
		ok(fremovexattr(fd, names[k]));
	}
	ok(fsetxattr(fd, "trusted.overlayfoo", "y", 1, 0)); /* a neighbour, not one of them */
	ok(build_with(f->dirfd, NULL, NULL));
}

/* Runs in a child with mounts of its own. Exit status 0: refused as it should be; 77: cannot. */
static int try_mount(const struct ovm *f, const char *source, const char *point, const char *type,
		     unsigned long flags)
{
	char from[128], to[128];
	struct cow_err err = COW_ERR_INIT;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	(void)snprintf(from, sizeof(from), "%s/tree/%s", f->tmp->path, source);
	(void)snprintf(to, sizeof(to), "%s/tree/%s", f->tmp->path, point);
	if (mount(from, to, type, flags, NULL) < 0)
		return 77;
	/* f->dirfd is still of the old mounts. */
	cow_autoclose int dir = open(f->tmp->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = cow_ovl_image_build(dir, NULL, NULL, &err);
	return r == -EPERM && strstr(err.text, point) ? 0 : 1;
}

static void mount_points_are_refused(void **state)
{
	static const struct {
		const char *source, *point, *type;
		unsigned long flags;
	} mounts[] = {
	    {"d1", "d2", "tmpfs", 0},
	    {"d1", "d2", NULL, MS_BIND}, /* the same file system: only the mount differs */
	    {"f1", "f2", NULL, MS_BIND},
	};
	struct ovm *f = *state;
	ok(mkdirat(f->tree, "d1", 0755));
	ok(mkdirat(f->tree, "d2", 0755));
	put_file(f->tree, "f1", "");
	put_file(f->tree, "f2", "");
	for (size_t k = 0; k < sizeof(mounts) / sizeof(*mounts); k++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			_exit(try_mount(f, mounts[k].source, mounts[k].point, mounts[k].type,
					mounts[k].flags));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(status, 0);
	}
}

static void an_image_is_not_made_twice(void **state)
{
	struct ovm *f = *state;
	size_t len1, len2;
	ok(build_with(f->dirfd, NULL, NULL));
	cow_autofree uint8_t *before = slurp(f->dirfd, &len1);
	struct cow_err err = COW_ERR_INIT;
	assert_int_equal(build_with(f->dirfd, NULL, &err), -EEXIST);
	cow_autofree uint8_t *after = slurp(f->dirfd, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(before, after, len1);
}

static void without_a_tree_there_is_no_image(void **state)
{
	struct ovm *f = *state;
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image *img;
	assert_int_equal(cow_ovl_image_open(f->dirfd, &img, &err), -ENOENT);
	ok(build_with(f->dirfd, NULL, NULL));
	ok(unlinkat(f->dirfd, "tree", AT_REMOVEDIR));
	assert_int_equal(cow_ovl_image_open(f->dirfd, &img, &err), -ENOENT);
	ok(unlinkat(f->dirfd, COW_OVM_NAME, 0));
	assert_int_equal(build_with(f->dirfd, NULL, &err), -ENOENT);
	ok(mkdirat(f->dirfd, "tree", 0755));
}

/* A file so long that progress is told of while it is read: before its end and after it. */
static void make_long_file(const struct ovm *f)
{
	ok(mkdirat(f->tree, "d", 0755));
	cow_autoclose int fd = openat(f->tree, "d/long", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok(ftruncate(fd, 80 << 20));
}

struct meddler {
	const struct ovm *f;
	const char *touch; /* written to in the first call */
	int calls, result;
};

static int meddle(void *ctx, uint64_t inodes, uint64_t bytes)
{
	struct meddler *m = ctx;
	(void)inodes;
	assert_in_range(bytes, 1, 80 << 20);
	if (m->calls++ == 0 && m->touch)
		put_file(m->f->tree, m->touch, "");
	return m->result;
}

static void assert_meddling_is_noticed(struct ovm *f, const char *touch, const char *named)
{
	struct meddler m = {.f = f, .touch = touch};
	struct cow_ovl_image_build how = {.progress = meddle, .ctx = &m};
	struct cow_err err = COW_ERR_INIT;
	make_long_file(f);
	assert_int_equal(build_with(f->dirfd, &how, &err), -EAGAIN);
	assert_non_null(strstr(cow_err_str(&err), named));
	assert_int_equal(m.calls, 1);
	assert_nothing_left(f);
}

static void a_directory_that_changes_meanwhile_is_named(void **state)
{
	assert_meddling_is_noticed(*state, "d/late", "'/d' changed");
}

static void a_file_that_changes_meanwhile_is_named(void **state)
{
	assert_meddling_is_noticed(*state, "d/long", "'/d/long' changed");
}

/* Whatever number it ends it with. */
static void progress_can_end_the_build(void **state)
{
	static const int results[] = {-ECANCELED, -EAGAIN, -EXDEV, -EIO};
	struct ovm *f = *state;
	make_long_file(f);
	for (size_t k = 0; k < sizeof(results) / sizeof(*results); k++) {
		struct meddler m = {.f = f, .result = results[k]};
		struct cow_ovl_image_build how = {.progress = meddle, .ctx = &m};
		struct cow_err err = COW_ERR_INIT;
		assert_int_equal(build_with(f->dirfd, &how, &err), results[k]);
		assert_null(strstr(cow_err_str(&err), "changed"));
		assert_int_equal(m.calls, 1);
		assert_nothing_left(f);
	}
}

/* ---------------------------------------------------------------- opening objects */

static void objects_open_by_number(void **state)
{
	struct ovm *f = *state;
	char text[16] = "";
	struct stat st, want;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	int fd = cow_man_open(img, at(img, "file"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 6);
	assert_string_equal(text, "hello\n");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ok(close(fd));
	for (size_t k = 0; k < sizeof(zoo) / sizeof(*zoo); k++) {
		if (!is_root() && k >= 7)
			continue;
		fd = cow_man_open(img, at(img, zoo[k]), O_PATH);
		assert_true(fd >= 0);
		ok(fstat(fd, &st));
		ok(fstatat(f->tree, zoo[k], &want, AT_SYMLINK_NOFOLLOW));
		assert_int_equal(st.st_ino, want.st_ino);
		ok(close(fd));
	}
	fd = cow_man_open(img, COW_MAN_ROOT, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	ok(close(fd));
}

static void nothing_opens_for_writing(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	static const int flags[] = {O_RDWR,
				    O_WRONLY,
				    O_RDONLY | O_TRUNC,
				    O_RDONLY | O_CREAT,
				    O_RDONLY | O_APPEND,
				    O_PATH | O_NOFOLLOW};
	for (size_t k = 0; k < sizeof(flags) / sizeof(*flags); k++)
		assert_int_equal(cow_man_open(img, at(img, "file"), flags[k]), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "fifo"), O_RDONLY), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "dir/link"), O_RDONLY), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "file"), O_PATH | O_DIRECTORY), -EINVAL);
}

static void a_changed_object_does_not_open(void **state)
{
	struct ovm *f = *state;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1}};
	static const char *const names[] = {"longer", "touched", "gone", "typed",
					    "linked", "d/below", "same"};
	ok(mkdirat(f->tree, "d", 0755));
	for (size_t k = 0; k < 7; k++)
		put_file(f->tree, names[k], "12345");
	const struct cow_ovl_image *img = ovm_image(f);
	put_file(f->tree, "longer", "123456");
	ok(utimensat(f->tree, "touched", times, 0));
	ok(unlinkat(f->tree, "gone", 0));
	ok(unlinkat(f->tree, "typed", 0));
	ok(mkfifoat(f->tree, "typed", 0600));
	ok(unlinkat(f->tree, "linked", 0));
	ok(symlinkat("same", f->tree, "linked"));
	ok(renameat(f->tree, "d", f->tree, "e"));
	ok(symlinkat("e", f->tree, "d"));
	for (size_t k = 0; k < 6; k++) {
		assert_int_equal(cow_man_open(img, at(img, names[k]), O_RDONLY), -EIO);
		assert_int_equal(cow_man_open(img, at(img, names[k]), O_PATH), -EIO);
	}
	int fd = cow_man_open(img, at(img, "same"), O_RDONLY);
	assert_true(fd >= 0);
	ok(close(fd));
}

static void reading_leaves_access_times_alone(void **state)
{
	struct ovm *f = *state;
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
	struct stat st;
	char c;
	put_file(f->tree, "f", "x");
	ok(utimensat(f->tree, "f", times, 0));
	ok(utimensat(f->dirfd, "tree", times, 0));
	const struct cow_ovl_image *img = ovm_image(f);
	int fd = cow_man_open(img, at(img, "f"), O_RDONLY);
	assert_int_equal(read(fd, &c, 1), 1);
	ok(close(fd));
	ok(cow_ovl_image_verify(f->dirfd, NULL, NULL, NULL, NULL, NULL));
	ok(fstatat(f->tree, "f", &st, 0));
	assert_int_equal(st.st_atim.tv_sec, 1);
	ok(fstat(f->tree, &st));
	assert_int_equal(st.st_atim.tv_sec, 1);
}

/* ---------------------------------------------------------------- verify */

struct findings {
	char text[1024];
	int calls, stop_at;
};

static int note(void *ctx, const char *path, const char *what)
{
	struct findings *n = ctx;
	size_t len = strlen(n->text);
	(void)snprintf(n->text + len, sizeof(n->text) - len, "%s: %s\n", path, what);
	return ++n->calls == n->stop_at ? -ECANCELED : 0;
}

static void assert_found(const struct ovm *f, const char *want)
{
	struct findings n = {.calls = 0};
	struct cow_err err = COW_ERR_INIT;
	int64_t r = cow_ovl_image_verify(f->dirfd, NULL, note, NULL, &n, &err);
	if (r < 0)
		print_error("verify: %s\n", cow_err_str(&err));
	assert_int_equal(r, n.calls);
	assert_string_equal(n.text, want);
}

/* Put back what a change of content or attributes does to the time. */
static void keep_mtime(const struct ovm *f, const char *path, const struct timespec *mtime)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *mtime};
	ok(utimensat(f->tree, path, times, AT_SYMLINK_NOFOLLOW));
}

static void a_sound_image_has_no_differences(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	ok(linkat(f->tree, "file", f->tree, "dir/again", 0));
	const struct cow_ovl_image *img = ovm_image(f);
	assert_found(f, "");
	assert_int_equal(cow_ovl_image_verify(f->dirfd, img->info.id, NULL, NULL, NULL, NULL), 0);
}

static void verify_finds_each_kind_of_damage(void **state)
{
	struct ovm *f = *state;
	const struct timespec t = {.tv_sec = 1000};
	static const char *const names[] = {"content", "gone", "mode", "size",
					    "time",    "type", "owner"};
	if (!is_root())
		skip();
	for (size_t k = 0; k < 7; k++)
		put_file(f->tree, names[k], "12345");
	ok(mkdirat(f->tree, "dir", 0755));
	put_file(f->tree, "dir/new", "");
	ok(unlinkat(f->tree, "dir/new", 0));
	ok(symlinkat("t1", f->tree, "link"));
	ok(mknodat(f->tree, "node", S_IFCHR | 0600, makedev(1, 3)));
	put_file(f->tree, "xattr", "");
	put_file(f->tree, "hard1", "h");
	ok(linkat(f->tree, "hard1", f->tree, "hard2", 0));
	put_file(f->tree, "lone1", "h");
	put_file(f->tree, "lone2", "h");
	static const char *const all[] = {"content", "mode",  "size",  "owner", "dir",	 "link",
					  "node",    "hard1", "lone1", "lone2", "xattr", "."};
	for (size_t k = 0; k < 12; k++)
		keep_mtime(f, all[k], &t);
	ok(build_with(f->dirfd, NULL, NULL));
	assert_found(f, "");

	put_file(f->tree, "content", "1234x");
	ok(unlinkat(f->tree, "gone", 0));
	ok(fchmodat(f->tree, "mode", 0600, 0));
	put_file(f->tree, "size", "1234567");
	keep_mtime(f, "time", &t);
	ok(unlinkat(f->tree, "type", 0));
	ok(mkdirat(f->tree, "type", 0755));
	ok(fchownat(f->tree, "owner", 5, 0, 0));
	put_file(f->tree, "dir/new", "");
	ok(unlinkat(f->tree, "link", 0));
	ok(symlinkat("t2", f->tree, "link"));
	ok(unlinkat(f->tree, "node", 0));
	ok(mknodat(f->tree, "node", S_IFCHR | 0600, makedev(1, 5)));
	set_on_path(f, "xattr", "trusted.new", "1", 1);
	ok(unlinkat(f->tree, "hard2", 0));
	put_file(f->tree, "hard2", "h");
	ok(unlinkat(f->tree, "lone2", 0));
	ok(linkat(f->tree, "lone1", f->tree, "lone2", 0));
	static const char *const same[] = {"content", "size",  "dir",	"link",
					   "node",    "hard2", "lone1", "."};
	for (size_t k = 0; k < 8; k++)
		keep_mtime(f, same[k], &t);
	assert_found(f, "/content: content\n"
			"/gone: missing\n"
			"/hard2: hard links\n"
			"/link: target\n"
			"/lone2: hard links\n"
			"/mode: mode\n"
			"/node: device number\n"
			"/owner: owner\n"
			"/size: size\n"
			"/time: modification time\n"
			"/type: type\n"
			"/xattr: extended attributes\n"
			"/dir/new: not in the manifest\n");
}

static void verify_stops_when_told(void **state)
{
	struct ovm *f = *state;
	struct findings n = {.stop_at = 2};
	ok(build_with(f->dirfd, NULL, NULL));
	put_file(f->tree, "a", "");
	put_file(f->tree, "b", "");
	put_file(f->tree, "c", "");
	struct cow_err err = COW_ERR_INIT;
	assert_int_equal(cow_ovl_image_verify(f->dirfd, NULL, note, NULL, &n, &err), -ECANCELED);
	assert_int_equal(n.calls, 2);
}

static void verify_wants_the_manifest_it_was_told(void **state)
{
	struct ovm *f = *state;
	struct findings n = {.calls = 0};
	uint8_t id[COW_OVM_ID_LEN] = {1};
	ok(build_with(f->dirfd, NULL, NULL));
	assert_int_equal(cow_ovl_image_verify(f->dirfd, id, note, NULL, &n, NULL), 1);
	assert_non_null(strstr(n.text, COW_OVM_NAME ": "));
}

static void verify_reads_the_manifest_anew(void **state)
{
	struct ovm *f = *state;
	struct cow_err err = COW_ERR_INIT;
	make_zoo(f->tree);
	(void)ovm_image(f); /* loaded while it was sound */
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 400), 1);
	assert_int_equal(cow_ovl_image_verify(f->dirfd, NULL, NULL, NULL, NULL, &err), -EBADMSG);
}

/* ---------------------------------------------------------------- dump */

static char *dump(const struct cow_ovl_image *img)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	ok(cow_ovl_image_dump(img, out));
	ok(fclose(out));
	return text;
}

static void a_dump_says_what_is_there(void **state)
{
	struct ovm *f = *state;
	const struct timespec t = {.tv_sec = 1234567890, .tv_nsec = 7};
	ok(mkdirat(f->tree, "b dir", 0755));
	put_file(f->tree, "b dir/\xff\\", "hello\n");
	ok(linkat(f->tree, "b dir/\xff\\", f->tree, "b dir/z", 0));
	ok(symlinkat("a b", f->tree, "a"));
	keep_mtime(f, "b dir/z", &t);
	keep_mtime(f, "a", &t);
	cow_autofree char *text = dump(ovm_image(f));
	assert_memory_equal(text, "cowherd-image 1\nid ", 19);
	assert_non_null(strstr(text, "\ninodes 4\nbytes 6\nnext_number 5\n\n/ 1 d 0755 3 "));
	const char *link = strstr(text, "\n/a 2 l 0777 1 ");
	assert_non_null(link);
	assert_non_null(strstr(link, " 1234567890.000000007 "));
	assert_non_null(strstr(link, " a\\x20b\n/b\\x20dir 3 d 0755 2 "));
	const char *file = strstr(link, "\n/b\\x20dir/z 4 f 0644 2 ");
	assert_non_null(file);
	assert_non_null(strstr(file, " 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6"
				     "be03\n/b\\x20dir/\\xff\\x5c 4 h\n"));
}

static void a_dump_is_the_same_every_time(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	put_file(f->tree, "attr", "");
	if (is_root())
		set_on_path(f, "attr", "trusted.a=b", "\n=", 2);
	const struct cow_ovl_image *img = ovm_image(f);
	cow_autofree char *one = dump(img);
	cow_autofree char *two = dump(img);
	assert_string_equal(one, two);
	if (is_root())
		assert_non_null(strstr(one, " trusted.a\\x3db=\\x0a=\n"));
	size_t lines = 0;
	for (const char *p = one; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, img->info.inodes + 9);
}

static void a_dump_reports_a_full_disk(void **state)
{
	struct ovm *f = *state;
	FILE *out = fopen("/dev/full", "we");
	assert_non_null(out);
	assert_int_equal(cow_ovl_image_dump(ovm_image(f), out), -ENOSPC);
	(void)fclose(out); /* reports the same again */
}

/* ---------------------------------------------------------------- one object per image */

static void one_image_opened_twice_is_one_object(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image *one = ovm_image(f);
	struct cow_ovl_image *two = open_image(f->dirfd);
	assert_ptr_equal(one, two);
	assert_ptr_equal(cow_ovl_image_get(one), one);
	cow_ovl_image_close(two);
	cow_ovl_image_close(two);
	assert_true(cow_man_has(one, COW_MAN_ROOT));
	cow_ovl_image_close(NULL);
}

static void an_image_made_anew_is_another_object(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image *one = cow_ovl_image_get(ovm_image(f));
	put_file(f->tree, "new", "");
	const struct cow_ovl_image *two = ovm_image(f);
	assert_ptr_not_equal(one, two);
	assert_int_equal(cow_man_lookup_path(one, "new"), 0);
	assert_int_not_equal(cow_man_lookup_path(two, "new"), 0);
	cow_ovl_image_close(one);
}

static void an_open_image_outlives_its_file(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_not_equal(at(img, "dir/link"), 0);
	cow_autofree char *text = dump(img);
	assert_non_null(text);
}

static void *open_many_times(void *arg)
{
	const struct ovm *f = arg;
	for (int k = 0; k < 200; k++) {
		struct cow_ovl_image *img = NULL;
		if (cow_ovl_image_open(f->dirfd, &img, NULL) < 0 || !cow_man_has(img, 1))
			return arg;
		cow_ovl_image_close(img);
	}
	return NULL;
}

static void threads_open_and_close_one_image(void **state)
{
	struct ovm *f = *state;
	pthread_t t[4];
	void *failed = NULL;
	make_zoo(f->tree);
	ok(build_with(f->dirfd, NULL, NULL));
	for (int k = 0; k < 4; k++)
		ok(pthread_create(&t[k], NULL, open_many_times, f));
	for (int k = 0; k < 4; k++) {
		ok(pthread_join(t[k], &failed));
		assert_null(failed);
	}
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
	    T(equal_paths_keep_their_numbers),
	    T(links_that_part_share_no_number),
	    T(a_path_that_returns_gets_a_new_number),
	    T(nothing_is_forgotten_when_a_version_is_empty),
	    T(the_same_tree_and_parent_give_the_same_bytes),
	    T(the_id_is_the_digest_of_the_file),
	    T(a_whiteout_is_refused),
	    T(attributes_of_the_engine_are_refused),
	    T(mount_points_are_refused),
	    T(an_image_is_not_made_twice),
	    T(without_a_tree_there_is_no_image),
	    T(a_directory_that_changes_meanwhile_is_named),
	    T(a_file_that_changes_meanwhile_is_named),
	    T(progress_can_end_the_build),
	    T(objects_open_by_number),
	    T(nothing_opens_for_writing),
	    T(a_changed_object_does_not_open),
	    T(reading_leaves_access_times_alone),
	    T(a_sound_image_has_no_differences),
	    T(verify_finds_each_kind_of_damage),
	    T(verify_stops_when_told),
	    T(verify_wants_the_manifest_it_was_told),
	    T(verify_reads_the_manifest_anew),
	    T(a_dump_says_what_is_there),
	    T(a_dump_is_the_same_every_time),
	    T(a_dump_reports_a_full_disk),
	    T(one_image_opened_twice_is_one_object),
	    T(an_image_made_anew_is_another_object),
	    T(an_open_image_outlives_its_file),
	    T(threads_open_and_close_one_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
