/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Editing a tree somebody else made: nothing outside of it is ever reached.
 */
#include "cow_test.h"

#include "common/bounds.h"
#include "tar_path.h"
#include "tree.h"

/* dir/{out (a file outside), tree/} */
struct fixture {
	struct tmpdir *tmp;
	int tree;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *tmp = NULL;
	if (!f || tmpdir_setup(&tmp) < 0)
		return -1;
	f->tmp = tmp;
	assert_int_equal(mkdirat(f->tmp->fd, "tree", 0755), 0);
	f->tree = openat(f->tmp->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->tree >= 0);
	assert_int_equal(cow_write_file_at(f->tmp->fd, "out", "outside", 7, 0644), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *tmp = f->tmp;
	(void)close(f->tree);
	free(f);
	return tmpdir_teardown(&tmp);
}

static void assert_outside_untouched(struct fixture *f)
{
	char *text;
	size_t len;
	assert_int_equal(cow_read_file_at(f->tmp->fd, "out", 100, &text, &len), 0);
	assert_string_equal(text, "outside");
	free(text);
}

static void write_makes_missing_directories(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(cow_tree_write(f->tree, "a/b/c/file", "x", 1, 0640), 0);
	assert_int_equal(fstatat(f->tree, "a/b/c/file", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(fstatat(f->tree, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
}

static void write_keeps_the_mode_of_a_file(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(cow_tree_write(f->tree, "file", "x", 1, 0600), 0);
	assert_int_equal(cow_tree_write(f->tree, "file", "yy", 2, 0644), 0);
	assert_int_equal(cow_tree_lstat(f->tree, "file", &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, 2);
}

static void a_link_in_the_last_place_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(symlinkat("../out", f->tree, "link"), 0);
	assert_int_equal(cow_tree_write(f->tree, "link", "x", 1, 0644), 0);
	assert_int_equal(cow_tree_lstat(f->tree, "link", &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_outside_untouched(f);
}

static void a_link_on_the_way_starts_at_the_trees_root(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(mkdirat(f->tree, "real", 0755), 0);
	assert_int_equal(symlinkat("/real", f->tree, "absolute"), 0);
	assert_int_equal(symlinkat("../../../../real", f->tree, "up"), 0);
	assert_int_equal(cow_tree_write(f->tree, "absolute/one", "x", 1, 0644), 0);
	assert_int_equal(cow_tree_write(f->tree, "up/two", "x", 1, 0644), 0);
	assert_int_equal(fstatat(f->tree, "real/one", &st, 0), 0);
	assert_int_equal(fstatat(f->tree, "real/two", &st, 0), 0);
	assert_outside_untouched(f);
}

static void links_out_of_the_tree_reach_nothing(void **state)
{
	struct fixture *f = *state;
	char *text;
	size_t len;
	char target[128];
	(void)snprintf(target, sizeof(target), "%s/out", f->tmp->path);
	assert_int_equal(symlinkat(target, f->tree, "link"), 0);
	assert_int_equal(symlinkat("/proc/self/cwd", f->tree, "magic"), 0);
	assert_int_equal(cow_tree_read(f->tree, "link", 100, &text, &len), -ENOENT);
	assert_int_equal(cow_tree_has(f->tree, "link"), 0);
	assert_int_equal(cow_tree_has(f->tree, "magic"), 0);
	assert_int_equal(cow_tree_has(f->tree, "../out"), 0);
	assert_true(cow_tree_write(f->tree, "link/below", "x", 1, 0644) < 0);
	assert_outside_untouched(f);
}

static void devices_and_fifos_are_not_opened(void **state)
{
	struct fixture *f = *state;
	char *text;
	size_t len;
	assert_int_equal(mkfifoat(f->tree, "fifo", 0644), 0);
	assert_int_equal(cow_tree_read(f->tree, "fifo", 100, &text, &len), -EINVAL);
	assert_int_equal(cow_tree_write(f->tree, "fifo", "x", 1, 0644), 0); /* replaced */
	assert_int_equal(cow_tree_read(f->tree, "fifo", 100, &text, &len), 0);
	free(text);
}

static void reading_has_a_ceiling(void **state)
{
	struct fixture *f = *state;
	char *text;
	size_t len;
	assert_int_equal(cow_tree_write(f->tree, "file", "12345", 5, 0644), 0);
	assert_int_equal(cow_tree_read(f->tree, "file", 4, &text, &len), -EFBIG);
	assert_int_equal(cow_tree_read(f->tree, "file", 5, &text, &len), 0);
	assert_int_equal(len, 5);
	free(text);
}

static void a_directory_is_not_replaced(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mkdirat(f->tree, "dir", 0755), 0);
	assert_int_equal(cow_tree_write(f->tree, "dir", "x", 1, 0644), -EISDIR);
	assert_int_equal(cow_tree_symlink(f->tree, "dir", "/dev/null"), -EISDIR);
	assert_int_equal(cow_tree_unlink(f->tree, "dir"), -EISDIR);
}

static int count(void *ctx, const char *name)
{
	assert_true(name[0] != '.'); /* temporaries would begin with one */
	++*(int *)ctx;
	return 0;
}

static void failures_leave_no_temporaries(void **state)
{
	struct fixture *f = *state;
	int n = 0;
	assert_int_equal(mkdirat(f->tree, "dir", 0755), 0);
	(void)cow_tree_write(f->tree, "dir", "x", 1, 0644);
	(void)cow_tree_symlink(f->tree, "dir", "target");
	assert_int_equal(cow_tree_each(f->tree, ".", count, &n), 0);
	assert_int_equal(n, 1);
}

static void assert_tar_path(const char *in, int want, const char *out)
{
	char *path = NULL;
	assert_int_equal(cow_tar_path(in, &path), want);
	if (want == 0)
		assert_string_equal(path, out);
	free(path);
}

static void tar_paths_have_one_form(void **state)
{
	char longest[COW_NAME_MAX + 2];
	(void)state;
	assert_tar_path("a/b", 0, "a/b");
	assert_tar_path("./a//b/./c/", 0, "a/b/c");
	assert_tar_path(".", 0, "");
	assert_tar_path("./", 0, "");
	assert_tar_path("...", 0, "...");
	assert_tar_path("..a/b..", 0, "..a/b..");
	assert_tar_path("", -EINVAL, NULL);
	assert_tar_path("/", -EPERM, NULL);
	assert_tar_path("/etc", -EPERM, NULL);
	assert_tar_path("..", -EPERM, NULL);
	assert_tar_path("a/..", -EPERM, NULL);
	assert_tar_path("a/../b", -EPERM, NULL);
	assert_tar_path("./../b", -EPERM, NULL);
	memset(longest, 'n', sizeof(longest));
	longest[COW_NAME_MAX + 1] = 0;
	assert_tar_path(longest, -ENAMETOOLONG, NULL);
	longest[COW_NAME_MAX] = 0;
	assert_tar_path(longest, 0, longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(write_makes_missing_directories, setup, teardown),
	    cmocka_unit_test_setup_teardown(write_keeps_the_mode_of_a_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_link_in_the_last_place_is_replaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_link_on_the_way_starts_at_the_trees_root, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(links_out_of_the_tree_reach_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(devices_and_fifos_are_not_opened, setup, teardown),
	    cmocka_unit_test_setup_teardown(reading_has_a_ceiling, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_directory_is_not_replaced, setup, teardown),
	    cmocka_unit_test_setup_teardown(failures_leave_no_temporaries, setup, teardown),
	    cmocka_unit_test(tar_paths_have_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
