/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Export to a file, import of archives and of a directory: killed at each of their system calls, and with each
 * allocation and system call failing once. A file has its old content or all of the new one, a store has the
 * version whole or not at all, a sweep cleans up, and the same again ends as if nothing had been (I2, I3).
 */
#include "archive_world.h"

#include "overlay/image_read.h"

#define OLD "what the file was before"

/* ---------------------------------------------------------------- export to a file */

static unsigned long resumed;

static void drop(const char *name)
{
	assert_true(unlinkat(tmp->fd, name, 0) == 0 || errno == ENOENT);
}

static void put_old(const char *name)
{
	assert_int_equal(cow_write_file_at(tmp->fd, name, OLD, strlen(OLD), 0600), 0);
}

static void no_file(const struct trial *t)
{
	(void)t;
	drop("x.cow");
	drop("x.cow.partial");
}

static void old_file(const struct trial *t)
{
	no_file(t);
	put_old("x.cow");
}

/* An export was interrupted in its last record of data. */
static void part_of_file(const struct trial *t)
{
	no_file(t);
	assert_int_equal(
	    cow_write_file_at(tmp->fd, "x.cow.partial", t->archive->p, t->archive->len - 100, 0600),
	    0);
}

static int export(const struct trial *t, struct cow_err *err)
{
	int again = 0;
	int r = export_as(path_of("x.cow"), -1, t->archive == &full ? NULL : one, &again, err);
	resumed += again > 0;
	return r;
}

static void check_file(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	bool whole = is_there("x.cow") && holds("x.cow", t->archive->p, t->archive->len);
	assert_true(whole || !done);
	if (!whole && t->before == old_file)
		assert_true(holds("x.cow", OLD, strlen(OLD)));
	else if (!whole)
		assert_false(is_there("x.cow"));
	must(export(t, &err), &err);
	assert_true(holds("x.cow", t->archive->p, t->archive->len));
	assert_false(is_there("x.cow.partial"));
}

static void an_export_ends_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "export",
				.step = 17,
				.archive = &full,
				.before = no_file,
				.act = export,
				.after = check_file};
	(void)state;
	each_fault_and_kill(&t);
}

static void a_difference_replaces_the_file_or_not(void **state)
{
	const struct trial t = {.what = "export --since",
				.step = 17,
				.archive = &difference,
				.before = old_file,
				.act = export,
				.after = check_file};
	(void)state;
	each_fault_and_kill(&t);
}

static void an_export_that_goes_on_ends_the_same(void **state)
{
	const struct trial t = {.what = "export that goes on",
				.step = 17,
				.archive = &full,
				.before = part_of_file,
				.act = export,
				.after = check_file};
	(void)state;
	resumed = 0;
	each_fault_and_kill(&t);
	assert_true(resumed > 0); /* at least where nothing came in between */
}

/* Between its opening the partial file and locking it, the export that had it is done. */
static void other_ends(void)
{
	assert_int_equal(renameat(tmp->fd, "x.cow.partial", tmp->fd, "x.cow"), 0);
}

static void an_export_writes_no_file_that_another_has_published(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	(void)state;
	no_file(NULL);
	put_old("x.cow.partial");
	fault_arm_before("flock", other_ends);
	int r = export_as(path_of("x.cow"), -1, NULL, NULL, &err);
	assert_true(fault_disarm());
	assert_int_equal(r, -EBUSY);
	assert_true(says(&err));
	assert_true(holds("x.cow", OLD, strlen(OLD)));
	assert_false(is_there("x.cow.partial"));
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

/* The tree that was imported is the source: with its manifest there is no difference. */
static void check_against_source(void)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image *m = NULL;
	cow_autoimage newest = NULL;
	size_t len;
	must(cow_image_find(to, "img", &newest, &err), &err);
	must(cow_image_manifest(to, newest, &m, &err), &err);
	const void *p = cow_ovl_image_bytes(m, &len);
	assert_int_equal(cow_write_file_at(source, COW_OVM_NAME, p, len, 0600), 0);
	cow_ovl_image_close(m);
	assert_int_equal(cow_ovl_image_verify(source, NULL, NULL, NULL, NULL, &err), 0);
}

static void check_store(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	(void)check_left(done, t->archive != NULL);
	must(import_as(to, "img", path_of(t->input), NULL, &err), &err);
	if (t->archive)
		assert_int_equal(look_at_all(true), 1);
	else
		check_against_source();
}

static void an_archive_is_imported_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "import",
				.step = 17,
				.input = "full.cow",
				.archive = &full,
				.before = clean_store,
				.act = import,
				.after = check_store};
	(void)state;
	each_fault_and_kill(&t);
}

static void a_difference_is_imported_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "import of a difference",
				.step = 17,
				.input = "difference.cow",
				.archive = &difference,
				.before = clean_store,
				.act = import,
				.after = check_store};
	(void)state;
	each_fault_and_kill(&t);
}

static void a_directory_is_imported_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "import of a directory",
				.step = 23,
				.input = "src/tree",
				.before = clean_store,
				.act = import,
				.after = check_store};
	(void)state;
	each_fault_and_kill(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest exports[] = {
	    cmocka_unit_test(an_export_ends_whole_or_not_at_all),
	    cmocka_unit_test(a_difference_replaces_the_file_or_not),
	    cmocka_unit_test(an_export_that_goes_on_ends_the_same),
	    cmocka_unit_test(an_export_writes_no_file_that_another_has_published),
	};
	const struct CMUnitTest imports[] = {
	    cmocka_unit_test(an_archive_is_imported_whole_or_not_at_all),
	    cmocka_unit_test(a_difference_is_imported_whole_or_not_at_all),
	    cmocka_unit_test(a_directory_is_imported_whole_or_not_at_all),
	};
	if (geteuid() != 0) {
		(void)fputs("needs root: owners and trusted attributes\n", stderr);
		return 77;
	}
	big = strcmp(argv[argc - 1], "export") == 0 || step_of(2) == 1 ? BIG_BLOCKS : big;
	if (argc == 2 && strcmp(argv[1], "export") == 0)
		return cmocka_run_group_tests(exports, group_setup, group_teardown);
	if (argc == 2 && strcmp(argv[1], "import") == 0)
		return cmocka_run_group_tests(imports, group_setup, group_teardown);
	(void)fputs("usage: test_fault_archive export|import\n", stderr);
	return 2;
}
