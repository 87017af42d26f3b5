/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Export and import of btrfs streams, on a btrfs: killed at each of their system calls, and with each allocation and
 * system call failing once. A file has its old content or all of the new one, a store has the version whole or not at
 * all, a sweep cleans up, and the same again ends as if nothing had been (I2, I3).
 */
#include "archive_world.h"
#include "btrfs_test.h"

#include <btrfsutil.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Calls that only these make. */
#define WRAP_CALL(type, name, params, args, failed)                                                \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fault_due(false, #name) ? (failed) : __real_##name args;                    \
	}
WRAP_CALL(pid_t, fork, (void), (), -1)
WRAP_CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP_CALL(int, pipe2, (int fds[2], int flags), (fds, flags), -1)
WRAP_CALL(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms), -1)
WRAP_CALL(ssize_t, send, (int fd, const void *p, size_t len, int flags), (fd, p, len, flags), -1)
WRAP_CALL(int, shutdown, (int fd, int how), (fd, how), -1)
WRAP_CALL(int, socketpair, (int domain, int type, int protocol, int fds[2]),
	  (domain, type, protocol, fds), -1)
#define WRAP_UTIL(name, params, args)                                                              \
	WRAP_CALL(enum btrfs_util_error, btrfs_util_##name, params, args,                          \
		  BTRFS_UTIL_ERROR_SUBVOL_CREATE_FAILED)
WRAP_UTIL(create_snapshot_fd2,
	  (int fd, int dir, const char *name, int flags, uint64_t *unused,
	   struct btrfs_util_qgroup_inherit *inherit),
	  (fd, dir, name, flags, unused, inherit))
WRAP_UTIL(create_subvolume_fd,
	  (int dir, const char *name, int flags, uint64_t *unused,
	   struct btrfs_util_qgroup_inherit *inherit),
	  (dir, name, flags, unused, inherit))
WRAP_UTIL(delete_subvolume_fd, (int dir, const char *name, int flags), (dir, name, flags))
WRAP_UTIL(is_subvolume_fd, (int fd), (fd))
WRAP_UTIL(set_subvolume_read_only_fd, (int fd, bool read_only), (fd, read_only))
WRAP_UTIL(subvolume_id_fd, (int fd, uint64_t *ret), (fd, ret))
WRAP_UTIL(sync_fd, (int fd), (fd))

size_t __real_ZSTD_compressStream2(ZSTD_CCtx *c, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
				   ZSTD_EndDirective how);
size_t __wrap_ZSTD_compressStream2(ZSTD_CCtx *c, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
				   ZSTD_EndDirective how);
size_t __wrap_ZSTD_compressStream2(ZSTD_CCtx *c, ZSTD_outBuffer *out, ZSTD_inBuffer *in,
				   ZSTD_EndDirective how)
{
	return fault_due(true, "ZSTD_compressStream2")
		   ? (size_t)-ZSTD_error_memory_allocation
		   : __real_ZSTD_compressStream2(c, out, in, how);
}

static struct bytes all, since_one; /* archives with streams of @two */

static int export_stream(const char *name, const struct cow_image *since, struct cow_err *err)
{
	const struct cow_export_opts opts = {.output = path_of(name), .level = 1};
	struct cow_export_done done;
	return cow_image_export_btrfs(from, two, since, &opts, &done, err);
}

/* ---------------------------------------------------------------- export */

#define OLD "what the file was before"

static bool ended; /* by itself, so that it cleans up */

static void old_file(const struct trial *t)
{
	(void)t;
	ended = false;
	assert_true(unlinkat(tmp->fd, "x.cow.partial", 0) == 0 || errno == ENOENT);
	assert_int_equal(cow_write_file_at(tmp->fd, "x.cow", OLD, strlen(OLD), 0600), 0);
}

static int export(const struct trial *t, struct cow_err *err)
{
	int r = export_stream("x.cow", t->archive == &all ? NULL : one, err);
	ended = true;
	return r;
}

/* It could not be removed, or it was not clear yet that it is nobody else's. */
static bool part_may_stay(void)
{
	static const char *const calls[] = {"unlink", "fstat64", "flock", "lstat64"};
	for (size_t k = 0; k < sizeof(calls) / sizeof(*calls); k++)
		if (strcmp(fault_where(), calls[k]) == 0)
			return true;
	return false;
}

static void check_file(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	assert_true(holds("x.cow", t->archive->p, t->archive->len) ||
		    (!done && holds("x.cow", OLD, strlen(OLD))));
	if (ended && !part_may_stay() && is_there("x.cow.partial"))
		fail_msg("a part is left after %s", fault_where());
	must(export(t, &err), &err);
	assert_true(holds("x.cow", t->archive->p, t->archive->len));
	assert_false(is_there("x.cow.partial"));
}

static void an_export_ends_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "export --btrfs",
				.step = 17,
				.archive = &all,
				.before = old_file,
				.act = export,
				.after = check_file};
	(void)state;
	each_fault_and_kill(&t);
}

static void a_difference_ends_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "export --btrfs --since",
				.step = 17,
				.archive = &since_one,
				.before = old_file,
				.act = export,
				.after = check_file};
	(void)state;
	each_fault_and_kill(&t);
}

/* ---------------------------------------------------------------- import */

static void clean_store(const struct trial *t)
{
	(void)t;
	only_base();
}

static int import(const struct trial *t, struct cow_err *err)
{
	return import_as(to, "img", path_of(t->input), NULL, err);
}

static void check_store(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	(void)check_left(done, true);
	must(import(t, &err), &err);
	assert_int_equal(look_at_all(true), 1);
}

static void a_stream_is_imported_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "import of a stream",
				.step = 71,
				.input = "all.cow",
				.archive = &all,
				.before = clean_store,
				.act = import,
				.after = check_store};
	(void)state;
	each_fault_and_kill(&t);
}

static void a_difference_is_imported_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "import of the stream of a difference",
				.step = 71,
				.input = "since-one.cow",
				.archive = &since_one,
				.before = clean_store,
				.act = import,
				.after = check_store};
	(void)state;
	each_fault_and_kill(&t);
}

static struct bytes load(const char *name)
{
	struct bytes b;
	assert_int_equal(cow_read_file_at(tmp->fd, name, 4 << 20, &b.p, &b.len), 0);
	return b;
}

static int setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	if (group_setup(state) < 0)
		return -1;
	must(export_stream("all.cow", NULL, &err), &err);
	must(export_stream("since-one.cow", one, &err), &err);
	all = load("all.cow");
	since_one = load("since-one.cow");
	return 0;
}

static int teardown(void **state)
{
	free(all.p);
	free(since_one.p);
	(void)group_teardown(state); /* read-only trees go with their file system */
	return 0;
}

static int run(const char *part)
{
	const struct CMUnitTest exports[] = {
	    cmocka_unit_test(an_export_ends_whole_or_not_at_all),
	    cmocka_unit_test(a_difference_ends_whole_or_not_at_all),
	};
	const struct CMUnitTest imports[] = {
	    cmocka_unit_test(a_stream_is_imported_whole_or_not_at_all),
	    cmocka_unit_test(a_difference_is_imported_whole_or_not_at_all),
	};
	return strcmp(part, "export") == 0 ? cmocka_run_group_tests(exports, setup, teardown)
					   : cmocka_run_group_tests(imports, setup, teardown);
}

int main(int argc, char **argv)
{
	char point[80];
	void *dir = NULL;
	if (argc != 2 || (strcmp(argv[1], "export") != 0 && strcmp(argv[1], "import") != 0)) {
		(void)fputs("usage: test_fault_btrfs export|import\n", stderr);
		return 2;
	}
	if (geteuid() != 0) {
		(void)fputs("needs root: mounts\n", stderr);
		return 77;
	}
	if (tmpdir_setup(&dir) < 0)
		return 1;
	int r = 77;
	if (btrfs_test_mount(dir, point) < 0) {
		(void)fputs("cannot make and mount a btrfs\n", stderr);
	} else {
		(void)setenv("TMPDIR", point,
			     1); /* NOLINT(concurrency-mt-unsafe): before threads */
		/* Who was started by one that is killed is waited for here. */
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		r = run(argv[1]);
		btrfs_test_unmount(point);
	}
	return tmpdir_teardown(&dir) < 0 ? 1 : r;
}
