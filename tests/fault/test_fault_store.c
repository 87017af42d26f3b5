/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * gc, an import that shares files with the version before, and fix-ups taken back and made: killed at each of their system
 * calls, and with each of their allocations and system calls failing once. What is left is whole or invisible, other versions
 * are as they were, a sweep cleans up, and a repeated run ends where an undisturbed one does (I1, I2, I3).
 */
#include "cow_test.h"

#include <errno.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fault.h"
#include "snapshot/fixups.h"
#include "snapshot/gc.h"

static struct tmpdir *tmp;
static char store_path[96], source[96];
static struct cow_store *store;

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

static int try_import(unsigned *ret_version, struct cow_err *err)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	return cow_image_import(store, "img", source, &opts, ret_version, err);
}

static unsigned import(const char *text)
{
	struct cow_err err = COW_ERR_INIT;
	unsigned version = 0;
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	put(dir, "changes", text);
	must(try_import(&version, &err), &err);
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
	put(dir, "moves", "here and there");
	put(dir, "linked", "with two names");
	assert_int_equal(linkat(dir, "linked", dir, "sub/linked", 0), 0);
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
	int fd = cow_store_fd(store);
	(void)import("one");
	(void)import("two");
	unsigned newest = import("three");
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef", 0700), 0);
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef/tree", 0700), 0);
	return newest;
}

/* ---------------------------------------------------------------- tests */

/* @act in a process of its own, killed at its call number @nth. Return: was it? */
static bool killed(int (*act)(void), unsigned long nth)
{
	int status = 0;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fault_arm_kill(nth);
		_exit(act() == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

/* @act, whose fault number @nth comes here. Return: did it? */
static bool failed(int (*act)(void), int errnum, unsigned long nth)
{
	fault_arm(errnum, nth);
	int r = act();
	bool fired = fault_disarm();
	if (!fired)
		assert_int_equal(r, 0);
	return fired;
}

/* What is tried, on what, and what must hold after it, whatever came of it. */
struct trial {
	unsigned (*before)(void); /* -> a version */
	int (*act)(void);
	void (*after)(unsigned version);
	unsigned step; /* without COWHERD_TEST_LONG: each of so many; 0: each */
};

static unsigned long step_of(const struct trial *t)
{
	const char *is_long = getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe): one thread */
	return is_long || t->step == 0 ? 1 : t->step;
}

static void kill_at_each_call(const struct trial *t)
{
	unsigned long nth = 0;
	unsigned long kills = 0;
	for (bool again = true; again; nth += step_of(t), kills += again) {
		unsigned version = t->before();
		again = killed(t->act, nth);
		t->after(version);
	}
	print_message("killed at %lu calls\n", kills);
	assert_true(nth > 200);
}

static void try_each_fault(const struct trial *t)
{
	static const int errnums[] = {0, EIO};
	unsigned long points = 0;
	for (size_t k = 0; k < sizeof(errnums) / sizeof(*errnums); k++) {
		unsigned long nth = 0;
		for (bool again = true; again; nth += step_of(t), points++) {
			unsigned version = t->before();
			again = failed(t->act, errnums[k], nth);
			t->after(version);
		}
	}
	print_message("%lu faults\n", points);
	assert_true(points * step_of(t) > 200);
}

static const struct trial gc_trial = {prepare, gc, check_what_is_left};

static void gc_killed_at_each_call(void **state)
{
	(void)state;
	kill_at_each_call(&gc_trial);
}

static void gc_with_each_fault(void **state)
{
	(void)state;
	try_each_fault(&gc_trial);
}

/* ---------------------------------------------------------------- an import that shares */

static int import_again(void)
{
	struct cow_err err = COW_ERR_INIT;
	unsigned version;
	return try_import(&version, &err);
}

/* The source has changed: a file has moved, which is found by its digest, one has a new content and two are as they
 * were, of which one is a link. -> the version before the change */
static unsigned prepare_import(void)
{
	static unsigned long round;
	char text[32];
	unsigned before = import("one");
	assert_int_equal(gc(), 0);
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	(void)snprintf(text, sizeof(text), "content of round %lu", round++);
	put(dir, "changes", text);
	if (renameat(dir, "moves", dir, "sub/moves") < 0)
		assert_int_equal(renameat(dir, "sub/moves", dir, "moves"), 0);
	return before;
}

/* The version before is there, at most one more, and a repeated import makes one that shares with it. */
static void check_import(unsigned before)
{
	char path[128];
	struct stat old, new;
	struct cow_err err = COW_ERR_INIT;
	struct seen s = look_at_all();
	assert_in_range(s.newest, before, before + 1);
	assert_in_range(s.count, 1, 2);
	must(cow_store_sweep(store, &err), &err);
	assert_int_equal(look_at_all().count, s.count);
	assert_int_equal(import_again(), 0);
	/* With the one right before: it may be the one that was disturbed, which need not share. */
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree/same", store_path, s.newest);
	s = look_at_all();
	assert_int_equal(stat(path, &old), 0);
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree/same", store_path, s.newest);
	assert_int_equal(stat(path, &new), 0);
	assert_int_equal(old.st_ino, new.st_ino);
	assert_int_equal(gc(), 0);
}

static const struct trial import_trial = {prepare_import, import_again, check_import};

static void import_killed_at_each_call(void **state)
{
	(void)state;
	kill_at_each_call(&import_trial);
}

static void import_with_each_fault(void **state)
{
	(void)state;
	try_each_fault(&import_trial);
}

/* ---------------------------------------------------------------- fix-ups taken back, and made */

static const char *const all[] = {"all", NULL};

static void put_in(int dir, const char *sub, const char *name, const char *text)
{
	if (mkdirat(dir, sub, 0755) < 0)
		assert_int_equal(errno, EEXIST);
	cow_autoclose int fd = cow_opendir_at(dir, sub);
	put(fd, name, text);
}

/* Files of all kinds of changes: rewritten, removed, made, with directories, linked. */
static int setup_fixups(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	unsigned version = 0;
	if (setup(state) < 0)
		return -1;
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_in(dir, "etc", "fstab", "/dev/sda1 / ext4 defaults 0 1\n");
	put_in(dir, "etc", "machine-id", "0123456789abcdef0123456789abcdef\n");
	put_in(dir, "etc/init.d", "resize2fs_once", "");
	put_in(dir, "usr", "x", "");
	assert_int_equal(linkat(dir, "etc/machine-id", dir, "usr/machine-id", 0), 0);
	cow_autoclose int fd = openat(dir, "etc/fstab", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(fd, "trusted.note", "x", 1, 0), 0);
	must(cow_image_import(store, "img", source, NULL, &version, &err), &err);
	assert_int_equal(version, 1);
	return 0;
}

static unsigned undone; /* the version that fix-ups are made in after all */

static int change_fixups(unsigned version_of, const struct cow_fixup_opts *what)
{
	struct cow_err err = COW_ERR_INIT;
	char ref[32];
	cow_autoimage i = NULL;
	unsigned version = 0;
	(void)snprintf(ref, sizeof(ref), "img@%u", version_of);
	int r = cow_image_find(store, ref, &i, &err);
	if (r == 0)
		r = cow_image_fixup(store, i, what, NULL, &version, &err);
	if (r == 0)
		assert_int_not_equal(version, 0);
	else
		assert_true(err.code != COW_OK && *cow_err_str(&err));
	return r;
}

static int undo_fixups(void)
{
	return change_fixups(1, &(struct cow_fixup_opts){.undo = all});
}

static int redo_fixups(void)
{
	return change_fixups(undone, &(struct cow_fixup_opts){.redo = all});
}

static struct seen there; /* before */

static unsigned look_before(void)
{
	there = look_at_all();
	return there.newest;
}

/* The tree of a version has what it should, or there is none. */
static void check_fixups(unsigned version, bool made)
{
	char path[128], *text = NULL;
	struct stat st, other;
	size_t len;
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree", store_path, version);
	cow_autoclose int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree >= 0);
	assert_int_equal(cow_read_file_at(tree, "etc/fstab", 4096, &text, &len), 0);
	assert_int_equal(strncmp(text, "/dev/sda1", 9) != 0, made);
	free(text);
	if ((fstatat(tree, "etc/systemd", &st, AT_SYMLINK_NOFOLLOW) == 0) != made)
		fail_msg("etc/systemd after %s", fault_where());
	assert_int_equal(fstatat(tree, "etc/machine-id", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(tree, "usr/machine-id", &other, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_size == 0, made);
	if ((st.st_ino == other.st_ino) != !made)
		fail_msg("links after %s", fault_where());
	cow_autoclose int fd = openat(tree, "etc/fstab", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fgetxattr(fd, "trusted.note", path, sizeof(path)) == 1, !made);
}

static int rm_newer(void *ctx, const struct cow_image *i)
{
	const unsigned *last = ctx;
	struct cow_err err = COW_ERR_INIT;
	if (i->version > *last)
		must(cow_image_rm(store, i, &err), &err);
	return 0;
}

/* The versions of before are there, at most one more; a repeated run makes it. */
static void check_change(unsigned newest, bool made, int (*act)(void))
{
	struct cow_err err = COW_ERR_INIT;
	struct seen s = look_at_all(), swept;
	assert_in_range(s.count, there.count, there.count + 1);
	if (s.count > there.count)
		check_fixups(s.newest, made);
	check_fixups(1, true);
	must(cow_store_sweep(store, &err), &err);
	swept = look_at_all();
	assert_int_equal(swept.count, s.count);
	assert_int_equal(act(), 0);
	check_fixups(look_at_all().newest, made);
	must(cow_image_each(store, rm_newer, &newest, &err), &err);
	assert_int_equal(look_at_all().count, there.count);
}

static void check_undo(unsigned newest)
{
	check_change(newest, false, undo_fixups);
}

static void check_redo(unsigned newest)
{
	check_change(newest, true, redo_fixups);
}

static const struct trial undo_trial = {look_before, undo_fixups, check_undo, 5};
static const struct trial redo_trial = {look_before, redo_fixups, check_redo, 7};

static void undo_killed_at_each_call(void **state)
{
	(void)state;
	kill_at_each_call(&undo_trial);
}

static void undo_with_each_fault(void **state)
{
	(void)state;
	try_each_fault(&undo_trial);
}

static void redo_killed_at_each_call(void **state)
{
	(void)state;
	assert_int_equal(undo_fixups(), 0);
	undone = look_at_all().newest;
	kill_at_each_call(&redo_trial);
}

static void redo_with_each_fault(void **state)
{
	(void)state;
	try_each_fault(&redo_trial);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest fixups[] = {
	    cmocka_unit_test(undo_killed_at_each_call),
	    cmocka_unit_test(undo_with_each_fault),
	    cmocka_unit_test(redo_killed_at_each_call),
	    cmocka_unit_test(redo_with_each_fault),
	};
	const struct CMUnitTest removals[] = {
	    cmocka_unit_test(gc_killed_at_each_call),
	    cmocka_unit_test(gc_with_each_fault),
	};
	const struct CMUnitTest imports[] = {
	    cmocka_unit_test(import_killed_at_each_call),
	    cmocka_unit_test(import_with_each_fault),
	};
	if (argc == 2 && strcmp(argv[1], "gc") == 0)
		return cmocka_run_group_tests(removals, setup, teardown);
	if (argc == 2 && strcmp(argv[1], "import") == 0)
		return cmocka_run_group_tests(imports, setup, teardown);
	if (argc == 2 && strcmp(argv[1], "fixups") == 0)
		return cmocka_run_group_tests(fixups, setup_fixups, teardown);
	(void)fputs("usage: test_fault_store fixups|gc|import\n", stderr);
	return 2;
}
