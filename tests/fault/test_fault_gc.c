/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * gc killed at each of its system calls, and each of its allocations and system calls failing once. What is
 * left is whole or invisible, the newest version is as it was, a sweep cleans up, and a repeated gc ends
 * where an undisturbed one does (I1, I2, I3).
 */
#include "cow_test.h"

#include <errno.h>
#include <sys/wait.h>

#include "fault.h"
#include "snapshot/gc.h"

static struct tmpdir *tmp;
static char store_path[96], source[96];
static struct cow_store *store;
static unsigned long points;

static void must(int r, const struct cow_err *err)
{
	if (r < 0)
		fail_msg("%s", cow_err_str(err));
}

/* ---------------------------------------------------------------- a store with something to remove */

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

static unsigned import(const char *text)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version = 0;
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	put(dir, "changes", text);
	must(cow_image_import(store, "img", source, &opts, &version, &err), &err);
	return version;
}

static int setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	void *t = NULL;
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	*state = t;
	(void)snprintf(store_path, sizeof(store_path), "%s/store", tmp->path);
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	assert_int_equal(mkdirat(tmp->fd, "src", 0755), 0);
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "sub", 0755), 0);
	put(dir, "same", "the same in all versions");
	must(cow_store_init(store_path, &err), &err);
	must(cow_store_open(store_path, &store, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	cow_store_close(store);
	return tmpdir_teardown(state);
}

static int gc(void)
{
	const struct cow_gc_opts opts = {.keep_last = 1};
	struct cow_gc_sum sum;
	struct cow_err err = COW_ERR_INIT;
	return cow_store_gc(store, &opts, &sum, &err);
}

/* ---------------------------------------------------------------- what must hold */

struct seen {
	unsigned newest, count;
};

/* Every version there is is whole. */
static int look(void *ctx, const struct cow_image *i)
{
	struct seen *s = ctx;
	struct cow_err err = COW_ERR_INIT;
	assert_string_equal(i->name, "img");
	int64_t differences = cow_image_verify(store, i, NULL, NULL, NULL, &err);
	if (differences != 0)
		fail_msg("img@%u after %s: %s", i->version, fault_where(), cow_err_str(&err));
	s->newest = i->version;
	s->count++;
	return 0;
}

static struct seen look_at_all(void)
{
	struct cow_err err = COW_ERR_INIT;
	struct seen s = {0};
	must(cow_image_each(store, look, &s, &err), &err);
	return s;
}

static bool is_empty(const char *path)
{
	const struct dirent *e;
	cow_autodir DIR *d = opendir(path);
	assert_non_null(d);
	return cow_readdir(d, &e) == 0;
}

static void check_what_is_left(unsigned newest)
{
	char trash[112];
	struct cow_err err = COW_ERR_INIT;
	struct seen s = look_at_all();
	assert_int_equal(s.newest, newest);
	must(cow_store_sweep(store, &err), &err);
	(void)snprintf(trash, sizeof(trash), "%s/trash", store_path);
	assert_true(is_empty(trash));
	assert_int_equal(look_at_all().count, s.count); /* a sweep removes no version */
	assert_int_equal(gc(), 0);
	s = look_at_all();
	assert_int_equal(s.newest, newest);
	assert_int_equal(s.count, 1);
}

/* Two versions to remove, and something that a killed import left. -> the one that stays */
static unsigned prepare(void)
{
	cow_autoclose int fd = cow_store_fd(store);
	(void)import("one");
	(void)import("two");
	unsigned newest = import("three");
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef", 0700), 0);
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef/tree", 0700), 0);
	(void)cow_steal_fd(&fd); /* the store's */
	return newest;
}

/* ---------------------------------------------------------------- tests */

static void gc_killed_at_each_call(void **state)
{
	(void)state;
	for (unsigned long nth = 0;; nth++) {
		unsigned newest = prepare();
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			fault_arm_kill(nth);
			_exit(gc() == 0 ? 0 : 1);
		}
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		bool killed = WIFSIGNALED(status);
		if (!killed)
			assert_int_equal(WEXITSTATUS(status), 0);
		check_what_is_left(newest);
		if (!killed)
			break;
		points++;
	}
	print_message("killed at %lu calls\n", points);
	assert_true(points > 100);
}

static void gc_with_each_fault(void **state)
{
	static const int errnums[] = {0, EIO};
	(void)state;
	points = 0;
	for (size_t k = 0; k < sizeof(errnums) / sizeof(*errnums); k++) {
		for (unsigned long nth = 0;; nth++) {
			unsigned newest = prepare();
			fault_arm(errnums[k], nth);
			int r = gc();
			bool fired = fault_disarm();
			if (!fired)
				assert_int_equal(r, 0);
			check_what_is_left(newest);
			if (!fired)
				break;
			points++;
		}
	}
	print_message("%lu faults\n", points);
	assert_true(points > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gc_killed_at_each_call),
	    cmocka_unit_test(gc_with_each_fault),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
