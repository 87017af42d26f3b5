/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Fixture of the tests about upper layers: an image (img/tree, img/image.ovm) and a root (root/upper,
 * root/work) in a temporary directory that is also the working directory, and the kernel's overlayfs
 * over both. Needs root and a mount namespace of its own. TMPDIR chooses the file system.
 */
#ifndef COW_TESTS_UPPER_TEST_H
#define COW_TESTS_UPPER_TEST_H

#include "cow_test.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "common/bounds.h"
#include "overlay/image.h"
#include "overlay/overlay.h"

#define ok(expr) assert_int_equal((expr), 0)
/* libc calls: errno is shown. */
#define sys(expr)                                                                                  \
	do {                                                                                       \
		if ((expr) < 0) {                                                                  \
			print_error("%s: %s\n", #expr, strerrordesc_np(errno));                    \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

struct upper {
	struct tmpdir *tmp;
	int img, root; /* directories */
	struct cow_ovl_image *image;
};

static inline void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	sys(fd);
	ok(cow_write_full(fd, text, strlen(text)));
	sys(close(fd));
}

static inline void make_dir(const char *path)
{
	sys(mkdir(path, 0755));
}

static inline void expect_text(const char *path, const char *want)
{
	char buf[256] = "";
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	sys(fd);
	sys(read(fd, buf, sizeof(buf) - 1));
	sys(close(fd));
	assert_string_equal(buf, want);
}

static inline int exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

/* A mount namespace of our own, umask 0. 0 or 77. */
static inline int upper_begin(void)
{
	(void)umask(0);
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		(void)puts("needs root and a mount namespace");
		return 77;
	}
	return 0;
}

static inline int upper_setup(void **state)
{
	struct upper *u = calloc(1, sizeof(*u));
	void *tmp = NULL;
	if (!u || tmpdir_setup(&tmp) != 0)
		return -1;
	u->tmp = tmp;
	if (chdir(u->tmp->path) < 0)
		return -1;
	make_dir("img");
	make_dir("img/tree");
	make_dir("root");
	make_dir("root/upper");
	make_dir("root/work");
	make_dir("mnt");
	u->img = open("img", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	u->root = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = u;
	return u->img < 0 || u->root < 0 ? -1 : 0;
}

static inline int upper_teardown(void **state)
{
	struct upper *u = *state;
	(void)umount2("mnt", MNT_DETACH);
	(void)chdir("/");
	cow_ovl_image_close(u->image);
	(void)close(u->img);
	(void)close(u->root);
	void *tmp = u->tmp;
	free(u);
	return tmpdir_teardown(&tmp);
}

/* The image's tree is complete: make the manifest and load it. */
static inline void seal_image(struct upper *u)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	int r = cow_ovl_image_build(u->img, &how, &info, &err);
	if (r == 0)
		r = cow_ovl_image_open(u->img, &u->image, &err);
	if (r < 0)
		print_error("image: %s\n", cow_err_str(&err));
	ok(r);
}

/* The kernel's overlayfs of image and root on mnt/, writable. */
static inline void kernel_mount(void)
{
	sys(mount("overlay", "mnt", "overlay", 0,
		  "lowerdir=img/tree,upperdir=root/upper,workdir=root/work,redirect_dir=on,"
		  "index=off,nfs_export=off,metacopy=off"));
}

static inline void kernel_umount(void)
{
	sys(umount("mnt"));
}

#endif
