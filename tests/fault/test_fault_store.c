/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * gc, an import that shares files with the version before, and fix-ups taken back and made: killed at each of their system
 * calls, and with each of their allocations and system calls failing once. What is left is whole or invisible, other versions
 * are as they were, a sweep cleans up, and a repeated run ends where an undisturbed one does (I1, I2, I3).
 */
#include "world.h"

#include <sys/xattr.h>

#include "snapshot/fixups.h"
#include "snapshot/gc.h"

static char store_path[96], source[96];
static struct cow_store *store;

/* ---------------------------------------------------------------- a store with something to remove */

static unsigned import(const char *text)
{
	struct cow_err err = COW_ERR_INIT;
	unsigned version = 0;
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	put(dir, "changes", text);
	must(import_as(store, "img", source, &version, &err), &err);
	return version;
}

static int setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	(void)state;
	if (world_begin() < 0)
		return -1;
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

/* On btrfs their trees are read-only. */
static int remove_image(void *ctx, const struct cow_image *i)
{
	(void)ctx;
	return cow_image_rm(store, i, NULL);
}

static int teardown(void **state)
{
	(void)state;
	if (cow_image_each(store, remove_image, NULL, NULL) < 0)
		return -1;
	cow_store_close(store);
	return world_end();
}

static int gc(const struct trial *t, struct cow_err *err)
{
	const struct cow_gc_opts opts = {.keep_last = 1};
	struct cow_gc_sum sum;
	(void)t;
	return cow_store_gc(store, &opts, &sum, err);
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

static unsigned version; /* before: of the trial at hand */

static void check_what_is_left(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	(void)done;
	struct seen s = look_at_all();
	assert_int_equal(s.newest, version);
	must(cow_store_sweep(store, &err), &err);
	assert_int_equal(entries("store/trash", ""), 0);
	assert_int_equal(look_at_all().count, s.count); /* a sweep removes no version */
	must(gc(t, &err), &err);
	s = look_at_all();
	assert_int_equal(s.newest, version);
	assert_int_equal(s.count, 1);
}

/* Two versions to remove, and something that a killed import left. The third stays. */
static void prepare(const struct trial *t)
{
	int fd = cow_store_fd(store);
	(void)t;
	(void)import("one");
	(void)import("two");
	version = import("three");
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef", 0700), 0);
	assert_int_equal(mkdirat(fd, "images/img/.import-0123456789abcdef/tree", 0700), 0);
}

/* ---------------------------------------------------------------- tests */

static const struct trial gc_trial = {
    .what = "gc", .least = 200, .before = prepare, .act = gc, .after = check_what_is_left};

static void gc_killed_at_each_call(void **state)
{
	(void)state;
	each_kill(&gc_trial);
}

static void gc_with_each_fault(void **state)
{
	(void)state;
	each_fault(&gc_trial);
}

/* ---------------------------------------------------------------- an import that shares */

static int import_again(const struct trial *t, struct cow_err *err)
{
	(void)t;
	return import_as(store, "img", source, NULL, err);
}

/* The source has changed: a file has moved, which is found by its digest, one has a new content and two are as they
 * were, of which one is a link. */
static void prepare_import(const struct trial *t)
{
	static unsigned long round;
	char text[32];
	struct cow_err err = COW_ERR_INIT;
	version = import("one");
	must(gc(t, &err), &err);
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	(void)snprintf(text, sizeof(text), "content of round %lu", round++);
	put(dir, "changes", text);
	if (renameat(dir, "moves", dir, "sub/moves") < 0)
		assert_int_equal(renameat(dir, "sub/moves", dir, "moves"), 0);
}

/* The version before is there, at most one more, and a repeated import makes one that shares with it. */
static void check_import(const struct trial *t, bool done)
{
	char path[128];
	struct stat old, new;
	struct cow_err err = COW_ERR_INIT;
	struct seen s = look_at_all();
	(void)done;
	assert_in_range(s.newest, version, version + 1);
	assert_in_range(s.count, 1, 2);
	must(cow_store_sweep(store, &err), &err);
	assert_int_equal(look_at_all().count, s.count);
	must(import_again(t, &err), &err);
	/* With the one right before: it may be the one that was disturbed, which need not share. */
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree/same", store_path, s.newest);
	s = look_at_all();
	assert_int_equal(stat(path, &old), 0);
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree/same", store_path, s.newest);
	assert_int_equal(stat(path, &new), 0);
	assert_int_equal(old.st_ino, new.st_ino);
	must(gc(t, &err), &err);
}

static const struct trial import_trial = {.what = "import that shares",
					  .least = 200,
					  .before = prepare_import,
					  .act = import_again,
					  .after = check_import};

static void import_killed_at_each_call(void **state)
{
	(void)state;
	each_kill(&import_trial);
}

static void import_with_each_fault(void **state)
{
	(void)state;
	each_fault(&import_trial);
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
	unsigned imported = 0;
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
	must(cow_image_import(store, "img", source, NULL, &imported, &err), &err);
	assert_int_equal(imported, 1);
	return 0;
}

static unsigned undone; /* the version that fix-ups are made in after all */

static int change_fixups(unsigned version_of, const struct cow_fixup_opts *what,
			 struct cow_err *err)
{
	char ref[32];
	cow_autoimage i = NULL;
	unsigned made = 0;
	(void)snprintf(ref, sizeof(ref), "img@%u", version_of);
	int r = cow_image_find(store, ref, &i, err);
	if (r == 0)
		r = cow_image_fixup(store, i, what, NULL, &made, err);
	if (r == 0)
		assert_int_not_equal(made, 0);
	return r;
}

static int undo_fixups(const struct trial *t, struct cow_err *err)
{
	(void)t;
	return change_fixups(1, &(struct cow_fixup_opts){.undo = all}, err);
}

static int redo_fixups(const struct trial *t, struct cow_err *err)
{
	(void)t;
	return change_fixups(undone, &(struct cow_fixup_opts){.redo = all}, err);
}

static struct seen there; /* before */

static void look_before(const struct trial *t)
{
	(void)t;
	there = look_at_all();
	version = there.newest;
}

/* The tree of a version has what it should, or there is none. */
static void check_fixups(unsigned of, bool made)
{
	char path[128], *text = NULL;
	struct stat st, other;
	size_t len;
	(void)snprintf(path, sizeof(path), "%s/images/img/%u/tree", store_path, of);
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
static void check_change(const struct trial *t, bool made)
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
	must(t->act(t, &err), &err);
	check_fixups(look_at_all().newest, made);
	must(cow_image_each(store, rm_newer, &version, &err), &err);
	assert_int_equal(look_at_all().count, there.count);
}

static void check_undo(const struct trial *t, bool done)
{
	(void)done;
	check_change(t, false);
}

static void check_redo(const struct trial *t, bool done)
{
	(void)done;
	check_change(t, true);
}

static const struct trial undo_trial = {.what = "fix-ups taken back",
					.step = 5,
					.least = 200,
					.before = look_before,
					.act = undo_fixups,
					.after = check_undo};
static const struct trial redo_trial = {.what = "fix-ups made",
					.step = 7,
					.least = 200,
					.before = look_before,
					.act = redo_fixups,
					.after = check_redo};

static void undo_killed_at_each_call(void **state)
{
	(void)state;
	each_kill(&undo_trial);
}

static void undo_with_each_fault(void **state)
{
	(void)state;
	each_fault(&undo_trial);
}

static void redo_killed_at_each_call(void **state)
{
	(void)state;
	struct cow_err err = COW_ERR_INIT;
	must(undo_fixups(NULL, &err), &err);
	undone = look_at_all().newest;
	each_kill(&redo_trial);
}

static void redo_with_each_fault(void **state)
{
	(void)state;
	each_fault(&redo_trial);
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
