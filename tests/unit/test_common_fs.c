/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cow_test.h"

#include <sys/mount.h>
#include <sys/resource.h>

#include "common/cleanup.h"

static void put_file(int dirfd, const char *name, const char *content)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(cow_write_full(fd, content, strlen(content)), 0);
	assert_int_equal(close(fd), 0);
}

static int count_entries(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	const struct dirent *de;
	int n = 0;
	assert_non_null(d);
	while (cow_readdir(d, &de) > 0)
		n++;
	(void)closedir(d);
	return n;
}

static void removal_takes_everything_below_and_nothing_beside(void **state)
{
	struct tmpdir *t = *state;
	char path[64];
	put_file(t->fd, "outside", "keep");
	assert_int_equal(mkdirat(t->fd, "outdir", 0755), 0);
	put_file(t->fd, "outdir/f", "keep");
	assert_int_equal(mkdirat(t->fd, "tree", 0755), 0);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(path, sizeof(path), "tree/d%d", i);
		assert_int_equal(mkdirat(t->fd, path, 0700), 0);
		(void)snprintf(path, sizeof(path), "tree/d%d/f", i);
		put_file(t->fd, path, "x");
	}
	/* Links out of the tree are removed as links. */
	assert_int_equal(symlinkat("../outside", t->fd, "tree/l1"), 0);
	assert_int_equal(symlinkat("../outdir", t->fd, "tree/l2"), 0);
	assert_int_equal(cow_rm_rf_at(t->fd, "tree", 0), 0);
	assert_int_equal(faccessat(t->fd, "tree", F_OK, 0), -1);
	assert_int_equal(faccessat(t->fd, "outside", F_OK, 0), 0);
	assert_int_equal(faccessat(t->fd, "outdir/f", F_OK, 0), 0);
}

static void removal_of_a_link_to_a_directory_removes_the_link(void **state)
{
	struct tmpdir *t = *state;
	assert_int_equal(mkdirat(t->fd, "dir", 0755), 0);
	put_file(t->fd, "dir/f", "x");
	assert_int_equal(symlinkat("dir", t->fd, "link"), 0);
	assert_int_equal(cow_rm_rf_at(t->fd, "link", 0), 0);
	assert_int_equal(faccessat(t->fd, "dir/f", F_OK, 0), 0);
	/* As a root whose content is to go, a link is refused. */
	assert_int_equal(symlinkat("dir", t->fd, "link"), 0);
	assert_true(cow_rm_rf_at(t->fd, "link", COW_RM_CONTENTS) < 0);
	assert_int_equal(faccessat(t->fd, "dir/f", F_OK, 0), 0);
}

static void removal_refuses_names_that_are_paths(void **state)
{
	struct tmpdir *t = *state;
	static const char *const bad[] = {"", ".", "..", "a/b", "/tmp", "../x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_rm_rf_at(t->fd, bad[i], 0), -EINVAL);
	assert_int_equal(cow_rm_rf_at(t->fd, "absent", 0), 0);
}

static void removal_of_contents_keeps_the_directory(void **state)
{
	struct tmpdir *t = *state;
	assert_int_equal(mkdirat(t->fd, "dir", 0755), 0);
	assert_int_equal(mkdirat(t->fd, "dir/sub", 0755), 0);
	put_file(t->fd, "dir/sub/f", "x");
	assert_int_equal(cow_rm_rf_at(t->fd, "dir", COW_RM_CONTENTS), 0);
	cow_autoclose int fd = cow_opendir_at(t->fd, "dir");
	assert_true(fd >= 0);
	assert_int_equal(count_entries(fd), 0);
}

/* I7: a client can make a tree as deep as it likes, and leave siblings on the way. */
static void removal_goes_deep_without_a_deep_stack(void **state)
{
	struct tmpdir *t = *state;
	struct rlimit before, few = {.rlim_cur = 100};
	int fd = dup(t->fd);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		if (i % 100 == 50)
			put_file(next, "f", "x");
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int r = cow_rm_rf_at(t->fd, "d", 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(r, 0);
	assert_int_equal(count_entries(t->fd), 0);
}

static unsigned long fd_table_size(void)
{
	char text[4096];
	cow_autoclose int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = cow_read_full(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	const char *line = strstr(text, "\nFDSize:");
	assert_non_null(line);
	return strtoul(line + sizeof("\nFDSize:") - 1, NULL, 10);
}

static void descriptors_are_reserved_up_to_the_limit(void **state)
{
	struct rlimit before, some = {.rlim_cur = 5000};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	some.rlim_max = before.rlim_max;
	assert_true(fd_table_size() < 5000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &some), 0);
	cow_fd_table_reserve();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(fd_table_size() >= 5000);
	assert_int_equal(fcntl(4999, F_GETFD), -1); /* none is left open */
}

static void removal_does_not_enter_a_mount(void **state)
{
	struct tmpdir *t = *state;
	char path[128];
	assert_int_equal(mkdirat(t->fd, "tree", 0755), 0);
	assert_int_equal(mkdirat(t->fd, "tree/mnt", 0755), 0);
	put_file(t->fd, "tree/f", "x");
	(void)snprintf(path, sizeof(path), "%s/tree/mnt", t->path);
	if (mount("none", path, "tmpfs", 0, "size=64k") < 0) {
		print_message("skipped: cannot mount tmpfs here (%s)\n", strerror(errno));
		skip();
	}
	int fd = openat(t->fd, "tree/mnt/inside", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	int r = cow_rm_rf_at(t->fd, "tree", 0);
	int alive = faccessat(t->fd, "tree/mnt/inside", F_OK, 0);
	(void)close(fd);
	assert_int_equal(umount2(path, 0), 0);
	assert_int_equal(r, -EXDEV);
	assert_int_equal(alive, 0);
	assert_int_equal(faccessat(t->fd, "tree/f", F_OK, 0), -1);
}

static void replacement_is_atomic_and_leaves_no_temporary(void **state)
{
	struct tmpdir *t = *state;
	char *s;
	size_t len;
	assert_int_equal(cow_write_file_at(t->fd, "conf", "one", 3, 0600), 0);
	assert_int_equal(cow_write_file_at(t->fd, "conf", "second", 6, 0640), 0);
	assert_int_equal(cow_read_file_at(t->fd, "conf", 100, &s, &len), 0);
	assert_int_equal(len, 6);
	assert_string_equal(s, "second");
	free(s);
	struct stat st;
	assert_int_equal(fstatat(t->fd, "conf", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(count_entries(t->fd), 1);
	assert_int_equal(cow_read_file_at(t->fd, "conf", 5, &s, &len), -EFBIG);
	/* A failed replacement: the target is a directory. */
	assert_int_equal(mkdirat(t->fd, "dir", 0755), 0);
	assert_int_equal(cow_write_file_at(t->fd, "dir", "x", 1, 0600), -EISDIR);
	assert_int_equal(count_entries(t->fd), 2);
}

static void sweep_removes_temporaries_only(void **state)
{
	struct tmpdir *t = *state;
	put_file(t->fd, ".tmp-conf-0123456789abcdef", "half");
	put_file(t->fd, "conf", "whole");
	assert_int_equal(cow_sweep_tmp_at(t->fd), 0);
	assert_int_equal(count_entries(t->fd), 1);
}

static void link_swap_replaces_in_one_step(void **state)
{
	struct tmpdir *t = *state;
	char *s;
	assert_int_equal(cow_symlink_swap_at(t->fd, "roots/1", "current"), 0);
	assert_int_equal(cow_symlink_swap_at(t->fd, "roots/2", "current"), 0);
	assert_int_equal(cow_readlink_at(t->fd, "current", &s), 0);
	assert_string_equal(s, "roots/2");
	free(s);
	assert_int_equal(count_entries(t->fd), 1);
	assert_int_equal(cow_readlink_at(t->fd, "absent", &s), -ENOENT);
}

static void beneath_refuses_every_way_out(void **state)
{
	struct tmpdir *t = *state;
	put_file(t->fd, "secret", "x");
	assert_int_equal(mkdirat(t->fd, "root", 0755), 0);
	put_file(t->fd, "root/f", "x");
	assert_int_equal(symlinkat("../secret", t->fd, "root/up"), 0);
	assert_int_equal(symlinkat("/etc/passwd", t->fd, "root/abs"), 0);
	assert_int_equal(symlinkat("f", t->fd, "root/in"), 0);
	cow_autoclose int root = cow_opendir_at(t->fd, "root");
	assert_true(root >= 0);
	static const char *const out[] = {"../secret", "/etc/passwd", "up", "abs",
					  "x/../../secret"};
	for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
		assert_true(cow_open_beneath(root, out[i], O_RDONLY, 0) < 0);
	int fd = cow_open_beneath(root, "in", O_RDONLY, 0);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(cow_open_beneath(root, "in", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
	fd = cow_open_beneath(root, "f", O_RDONLY | O_NOFOLLOW, 0);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void lock_excludes_within_one_process_too(void **state)
{
	struct tmpdir *t = *state;
	int a = cow_lock_at(t->fd, "lock", 0);
	assert_true(a >= 0);
	assert_int_equal(cow_lock_at(t->fd, "lock", 20), -EBUSY);
	(void)close(a);
	int b = cow_lock_at(t->fd, "lock", 0);
	assert_true(b >= 0);
	(void)close(b);
}
/* A name counts, whatever it leads to. */
static void existence_is_told_from_absence_and_error(void **state)
{
	struct tmpdir *t = *state;
	put_file(t->fd, "f", "x");
	assert_int_equal(symlinkat("nowhere", t->fd, "link"), 0);
	assert_int_equal(cow_exists_at(t->fd, "f"), 1);
	assert_int_equal(cow_exists_at(t->fd, "link"), 1);
	assert_int_equal(cow_exists_at(t->fd, "g"), 0);
	assert_int_equal(cow_exists_at(t->fd, "f/g"), -ENOTDIR);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, tmpdir_setup, tmpdir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(removal_takes_everything_below_and_nothing_beside),
	    T(removal_of_a_link_to_a_directory_removes_the_link),
	    T(removal_refuses_names_that_are_paths),
	    T(removal_of_contents_keeps_the_directory),
	    T(removal_goes_deep_without_a_deep_stack),
	    cmocka_unit_test(descriptors_are_reserved_up_to_the_limit),
	    T(removal_does_not_enter_a_mount),
	    T(replacement_is_atomic_and_leaves_no_temporary),
	    T(sweep_removes_temporaries_only),
	    T(link_swap_replaces_in_one_step),
	    T(beneath_refuses_every_way_out),
	    T(existence_is_told_from_absence_and_error),
	    T(lock_excludes_within_one_process_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
