/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Fixture of the engine's tests: a temporary directory with `tree/` and an attached instance, and
 * short forms of the calls. TMPDIR chooses the file system.
 */
#ifndef COW_TESTS_OVL_TEST_H
#define COW_TESTS_OVL_TEST_H

#include "cow_test.h"

#include <sys/sysmacros.h>

#include "common/bounds.h"
#include "overlay/overlay.h"

struct ovl {
	struct tmpdir *tmp;
	int dirfd;
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *root;
	/* With an image below, see layer_test.h: */
	struct cow_ovl_image *img; /* NULL: plain */
	int image, tree;	   /* image's directory, and the data root in it */
	char *image_text;	   /* what the data root looked like */
};

#define ok(expr) assert_int_equal((expr), 0)

static inline void ovl_attach(struct ovl *f)
{
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_inst_open(f->dirfd, f->img, 0, &f->inst, &err);
	if (r < 0)
		print_error("attach: %s\n", cow_err_str(&err));
	ok(r);
	ok(cow_ovl_root(f->inst, &f->root));
}

static inline void ovl_detach(struct ovl *f)
{
	cow_ovl_put(f->root);
	f->root = NULL;
	ok(cow_ovl_inst_close(f->inst));
	f->inst = NULL;
}

static inline void ovl_restart(struct ovl *f)
{
	ovl_detach(f);
	ovl_attach(f);
}

static inline int ovl_setup_mode(void **state, enum cow_ovl_durability durability)
{
	struct cow_ovl_create_opts opts = {.durability = durability};
	struct cow_err err = COW_ERR_INIT;
	struct ovl *f = calloc(1, sizeof(*f));
	void *tmp = NULL;
	(void)umask(0);
	if (!f || tmpdir_setup(&tmp) != 0)
		return -1;
	f->tmp = tmp;
	f->dirfd = f->tmp->fd;
	if (mkdirat(f->dirfd, "tree", 0755) < 0)
		return -1;
	int r = cow_ovl_inst_create(f->dirfd, NULL, &opts, &err);
	if (r == 0)
		r = cow_ovl_inst_open(f->dirfd, NULL, 0, &f->inst, &err);
	if (r == 0)
		r = cow_ovl_root(f->inst, &f->root);
	if (r < 0)
		print_error("set-up: %s\n", cow_err_str(&err));
	*state = f;
	return r;
}

/* Relaxed: the tests are about meaning, not about disks. */
static inline int ovl_setup(void **state)
{
	return ovl_setup_mode(state, COW_OVL_RELAXED);
}

static inline int ovl_setup_strict(void **state)
{
	return ovl_setup_mode(state, COW_OVL_STRICT);
}

static inline int ovl_setup_volatile(void **state)
{
	return ovl_setup_mode(state, COW_OVL_VOLATILE);
}

static inline int ovl_teardown(void **state)
{
	struct ovl *f = *state;
	cow_ovl_put(f->root);
	int r = cow_ovl_inst_close(f->inst);
	void *tmp = f->tmp;
	free(f);
	int r2 = tmpdir_teardown(&tmp);
	return r < 0 ? r : r2;
}

static inline int make(struct cow_ovl_node *dir, const char *name, mode_t type, mode_t mode,
		       struct cow_ovl_node **ret)
{
	struct cow_ovl_create how = {.type = type, .mode = mode};
	if (type == S_IFLNK)
		how.target = "some/target";
	if (type == S_IFCHR || type == S_IFBLK)
		how.rdev = makedev(1, 3);
	return cow_ovl_create(dir, name, strlen(name), &cow_ovl_root_cred, &how, ret, NULL);
}

static inline int make_file(struct cow_ovl_node *dir, const char *name, struct cow_ovl_node **ret)
{
	return make(dir, name, S_IFREG, 0644, ret);
}

static inline int look(struct cow_ovl_node *dir, const char *name, struct cow_ovl_node **ret)
{
	return cow_ovl_lookup(dir, name, strlen(name), ret, NULL);
}

static inline int rm(struct cow_ovl_node *dir, const char *name, unsigned flags)
{
	return cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred, flags);
}

static inline int mv(struct cow_ovl_node *d1, const char *n1, struct cow_ovl_node *d2,
		     const char *n2, unsigned flags)
{
	return cow_ovl_rename(d1, n1, strlen(n1), d2, n2, strlen(n2), flags, &cow_ovl_root_cred);
}

static inline ssize_t put_text(struct cow_ovl_open *o, const char *text, uint64_t off)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	return cow_ovl_write(o, &iov, 1, off, 0);
}

static inline ssize_t get_bytes(struct cow_ovl_open *o, char *buf, size_t len, uint64_t off)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	return cow_ovl_read(o, &iov, 1, off);
}

static inline struct cow_ovl_attr attr_of(struct cow_ovl_node *n)
{
	struct cow_ovl_attr a;
	ok(cow_ovl_getattr(n, &a));
	return a;
}

#endif
