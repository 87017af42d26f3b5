/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The limit of a root: what counts, what is refused, what is given back.
 */
#include "layer_test.h"

#include <linux/falloc.h>

#define KIB 1024u
#define MIB (1024u * 1024)

static struct cow_ovl_stats stats_of(struct ovl *f)
{
	struct cow_ovl_stats s;
	cow_ovl_stats(f->inst, &s);
	return s;
}

static void limit(struct ovl *f, uint64_t bytes)
{
	ok(cow_ovl_inst_limit(f->inst, bytes));
}

/* Write @len bytes at @off. Return: as cow_ovl_write(). */
static ssize_t fill(struct ovl *f, const char *path, uint64_t off, size_t len)
{
	static char data[2 * MIB];
	cow_autonode n = get(f, path);
	cow_autoopen o = NULL;
	struct iovec iov = {.iov_base = data, .iov_len = len};
	memset(data, 'x', sizeof(data));
	int r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o);
	return r < 0 ? r : cow_ovl_write(o, &iov, 1, off, 0);
}

static void a_write_beyond_it_is_refused_and_the_rest_works(void **state)
{
	struct ovl *f = *state;
	limit(f, 1 * MIB);
	ok(make_at(f, "new", S_IFREG, 0644));
	assert_int_equal(fill(f, "new", 0, 512 * KIB), 512 * KIB);
	assert_int_equal(fill(f, "new", 512 * KIB, 1 * MIB), -ENOSPC);
	cow_autonode n = get(f, "new");
	assert_int_equal(attr_of(n).size, 512 * KIB);
	assert_true(stats_of(f).used <= 1 * MIB);
	cow_autonode low = get(f, "file");
	assert_text(low, "of the image");
	assert_int_equal(fill(f, "new", 0, 512 * KIB), 512 * KIB); /* over what is there */
}

static void a_copy_counts_and_beyond_it_leaves_the_image_in_place(void **state)
{
	struct ovl *f = *state;
	limit(f, 256 * KIB);
	uint64_t before = stats_of(f).used;
	assert_int_equal(fill(f, "file", 0, 2), 2);
	assert_true(stats_of(f).used > before);
	ok(make_at(f, "big", S_IFREG, 0644));
	assert_int_equal(fill(f, "big", 0, 232 * KIB), 232 * KIB);
	char more[16];
	int made = 0;
	do /* an empty file costs something too */
		(void)snprintf(more, sizeof(more), "more%d", made++);
	while (make_at(f, more, S_IFREG, 0644) == 0 && made < 100);
	assert_true(made < 100);
	cow_autonode n = get(f, "dir/file");
	struct cow_ovl_set chmod = {.mask = COW_SET_MODE, .mode = 0600};
	assert_int_equal(cow_ovl_setattr(n, &cow_ovl_root_cred, &chmod, NULL), -ENOSPC);
	assert_text(n, "in dir");
}

static void what_is_removed_is_given_back(void **state)
{
	struct ovl *f = *state;
	limit(f, 4 * MIB);
	uint64_t before = stats_of(f).used;
	ok(make_at(f, "new", S_IFREG, 0644));
	assert_int_equal(fill(f, "new", 0, 1 * MIB), 1 * MIB);
	assert_true(stats_of(f).used >= before + 1 * MIB);
	ok(ln_at(f, "new", "other"));
	ok(rm_at(f, "new"));
	assert_true(stats_of(f).used >= before + 1 * MIB); /* it has another name */
	ok(rm_at(f, "other"));
	assert_int_equal(stats_of(f).used, before);
}

static void what_is_open_is_given_back_at_close(void **state)
{
	struct ovl *f = *state;
	limit(f, 4 * MIB);
	uint64_t before = stats_of(f).used;
	ok(make_at(f, "new", S_IFREG, 0644));
	assert_int_equal(fill(f, "new", 0, 1 * MIB), 1 * MIB);
	cow_autonode n = get(f, "new");
	struct cow_ovl_open *o = NULL;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	ok(rm_at(f, "new"));
	assert_true(stats_of(f).used >= before + 1 * MIB);
	cow_ovl_close(o);
	assert_int_equal(stats_of(f).used, before);
}

static void cutting_and_punching_give_back(void **state)
{
	struct ovl *f = *state;
	limit(f, 4 * MIB);
	ok(make_at(f, "new", S_IFREG, 0644));
	assert_int_equal(fill(f, "new", 0, 2 * MIB), 2 * MIB);
	uint64_t full = stats_of(f).used;
	cow_autonode n = get(f, "new");
	struct cow_ovl_set cut = {.mask = COW_SET_SIZE, .size = 1 * MIB};
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &cut, NULL));
	uint64_t half = stats_of(f).used;
	assert_true(half <= full - 1 * MIB + 64 * KIB);
	cow_autoopen o = NULL;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o));
	ok(cow_ovl_fallocate(o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 512 * KIB));
	assert_true(stats_of(f).used <= half - 512 * KIB + 64 * KIB);
}

static void a_new_count_agrees_with_the_kept_one(void **state)
{
	struct ovl *f = *state;
	limit(f, 64 * MIB);
	ok(make_at(f, "newdir", S_IFDIR, 0755));
	ok(make_at(f, "newdir/a", S_IFREG, 0644));
	assert_int_equal(fill(f, "newdir/a", 0, 1 * MIB), 1 * MIB);
	assert_int_equal(fill(f, "dir/sub/deep", 0, 100), 100);
	ok(rm_at(f, "dir/second"));
	ok(ln_at(f, "newdir/a", "newdir/b"));
	ok(cow_ovl_inst_sync(f->inst)); /* what is allocated late is there */
	limit(f, 64 * MIB);
	uint64_t kept = stats_of(f).used;
	ovl_restart(f);
	limit(f, 64 * MIB);
	assert_int_equal(stats_of(f).used, kept);
}

static void statfs_shows_it(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_statfs st;
	limit(f, 1 * MIB);
	ok(cow_ovl_statfs(f->inst, &st));
	assert_int_equal(st.bytes_total, 1 * MIB);
	assert_true(st.bytes_avail <= 1 * MIB);
	limit(f, 0);
	ok(cow_ovl_statfs(f->inst, &st));
	assert_true(st.bytes_total > 1 * MIB);
	ok(make_at(f, "new", S_IFREG, 0644));
	assert_int_equal(fill(f, "new", 0, 2 * MIB), 2 * MIB);
}

static void plain_roots_and_observers_have_none(void **state)
{
	struct ovl *f = *state;
	void *plain_state = NULL;
	struct cow_ovl_inst *look;
	ok(ovl_setup(&plain_state));
	struct ovl *plain = plain_state; /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	assert_int_equal(cow_ovl_inst_limit(plain->inst, MIB), -EOPNOTSUPP);
	ok(ovl_teardown(&plain_state));
	ok(cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_OBSERVER, &look, NULL));
	assert_int_equal(cow_ovl_inst_limit(look, MIB), -EROFS);
	ok(cow_ovl_inst_close(look));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_write_beyond_it_is_refused_and_the_rest_works),
	    T(a_copy_counts_and_beyond_it_leaves_the_image_in_place),
	    T(what_is_removed_is_given_back),
	    T(what_is_open_is_given_back_at_close),
	    T(cutting_and_punching_give_back),
	    T(a_new_count_agrees_with_the_kept_one),
	    T(statfs_shows_it),
	    T(plain_roots_and_observers_have_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
