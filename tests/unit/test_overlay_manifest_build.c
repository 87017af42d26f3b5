/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Trees that no manifest is made of, and such as change meanwhile.
 */
#include "ovm_test.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

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

#define T(name) cmocka_unit_test_setup_teardown(name, ovm_setup, ovm_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_whiteout_is_refused),
	    T(attributes_of_the_engine_are_refused),
	    T(mount_points_are_refused),
	    T(an_image_is_not_made_twice),
	    T(without_a_tree_there_is_no_image),
	    T(a_directory_that_changes_meanwhile_is_named),
	    T(a_file_that_changes_meanwhile_is_named),
	    T(progress_can_end_the_build),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
