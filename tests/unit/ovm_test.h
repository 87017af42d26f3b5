/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Fixture of the tests of manifests: a temporary directory whose `tree/` is filled by the test and
 * made into an image. TMPDIR chooses the file system.
 */
#ifndef COW_TESTS_OVM_TEST_H
#define COW_TESTS_OVM_TEST_H

#include "cow_test.h"

#include <stdbool.h>

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "image_internal.h"

#define ok(expr) assert_int_equal((expr), 0)

struct ovm {
	struct tmpdir *tmp;
	int dirfd, tree; /* the image and its data root */
	struct cow_ovl_image *img;
};

static inline int ovm_setup(void **state)
{
	void *tmp = NULL;
	struct ovm *f = calloc(1, sizeof(*f));
	(void)umask(0);
	if (!f || tmpdir_setup(&tmp) != 0)
		return -1;
	f->tmp = tmp;
	f->dirfd = f->tmp->fd;
	if (mkdirat(f->dirfd, "tree", 0755) < 0)
		return -1;
	f->tree = openat(f->dirfd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->tree < 0 ? -1 : 0;
}

static inline int ovm_teardown(void **state)
{
	struct ovm *f = *state;
	cow_ovl_image_close(f->img);
	(void)close(f->tree);
	void *tmp = f->tmp;
	free(f);
	return tmpdir_teardown(&tmp);
}

static inline void put_file(int dirfd, const char *name, const char *text)
{
	cow_autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	ok(cow_write_full(fd, text, strlen(text)));
}

static inline int open_dir(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline int build_with(int dirfd, const struct cow_ovl_image_build *how, struct cow_err *err)
{
	struct cow_ovl_image_info info;
	struct cow_err own = COW_ERR_INIT;
	int r = cow_ovl_image_build(dirfd, how, &info, err ? err : &own);
	if (r < 0 && !err)
		print_error("build: %s\n", cow_err_str(&own));
	return r;
}

static inline struct cow_ovl_image *open_image(int dirfd)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image *img = NULL;
	int r = cow_ovl_image_open(dirfd, &img, &err);
	if (r < 0)
		print_error("open: %s\n", cow_err_str(&err));
	ok(r);
	return img;
}

/* Make the fixture's tree an image and open it. */
static inline struct cow_ovl_image *ovm_image(struct ovm *f)
{
	cow_ovl_image_close(f->img);
	f->img = NULL;
	if (unlinkat(f->dirfd, COW_OVM_NAME, 0) < 0)
		assert_int_equal(errno, ENOENT);
	ok(build_with(f->dirfd, NULL, NULL));
	f->img = open_image(f->dirfd);
	return f->img;
}

/* Number of a path that is there. */
static inline uint32_t at(const struct cow_ovl_image *img, const char *path)
{
	uint32_t ino = cow_man_lookup_path(img, path);
	if (ino == 0)
		print_error("no '%s'\n", path);
	assert_int_not_equal(ino, 0);
	return ino;
}

/* The manifest's bytes, in memory the caller frees. */
static inline uint8_t *slurp(int dirfd, size_t *ret_len)
{
	char *bytes = NULL;
	ok(cow_read_file_at(dirfd, COW_OVM_NAME, 64 << 20, &bytes, ret_len));
	return (uint8_t *)bytes;
}

static inline int load(const uint8_t *bytes, size_t len)
{
	struct cow_ovl_image img = {.filefd = -1, .rootfd = -1};
	struct cow_err err = COW_ERR_INIT;
	int r = cow_image_load_bytes(&img, bytes, len, &err);
	if (r < 0)
		assert_true(*cow_err_str(&err) != '\0');
	cow_image_unload(&img);
	return r;
}

/* An access list that says more than the mode: user 7 may read. */
static inline size_t make_acl(uint8_t ret[64])
{
	static const struct {
		uint16_t tag, perm;
		uint32_t id;
	} entries[] = {
	    {ACL_USER_OBJ, 6, ACL_UNDEFINED_ID},  {ACL_USER, 4, 7},
	    {ACL_GROUP_OBJ, 4, ACL_UNDEFINED_ID}, {ACL_MASK, 4, ACL_UNDEFINED_ID},
	    {ACL_OTHER, 4, ACL_UNDEFINED_ID},
	};
	size_t len = 4;
	cow_put_le32(ret, POSIX_ACL_XATTR_VERSION);
	for (size_t k = 0; k < sizeof(entries) / sizeof(*entries); k++, len += 8) {
		cow_put_le32(ret + len, entries[k].tag | (uint32_t)entries[k].perm << 16);
		cow_put_le32(ret + len + 4, entries[k].id);
	}
	return len;
}

static inline bool is_root(void)
{
	return geteuid() == 0;
}

static inline void make_socket(int dirfd, const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cow_autoclose int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s >= 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	ok(bind(s, (struct sockaddr *)&addr, sizeof(addr)));
}

/* One of each type the caller may make. */
static inline void make_zoo(int tree)
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

static inline void set_on_path(const struct ovm *f, const char *name, const char *xattr,
			       const void *value, size_t len)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", f->tree, name);
	ok(lsetxattr(path, xattr, value, len, 0));
}

#endif
