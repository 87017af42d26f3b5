/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Instances attached as local (COW_OVL_LOCAL): a node that is held works on after its last name is
 * gone; given back it leaves nothing open. Writers are counted; reads that need no disk say so.
 */
#include "layer_test.h"

static int set_up(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	if (layer_setup(state) != 0)
		return -1;
	struct ovl *f = *state;
	ovl_detach(f);
	ok(cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_LOCAL, &f->inst, &err));
	ok(cow_ovl_root(f->inst, &f->root));
	return 0;
}

static void assert_nothing_held(struct ovl *f)
{
	struct cow_ovl_stats st;
	cow_ovl_stats(f->inst, &st);
	assert_int_equal(st.opens, 0);
	assert_int_equal(st.nodes, 1); /* the root */
}

static void assert_reads(struct cow_ovl_node *n, const char *text)
{
	cow_autoopen o = NULL;
	char buf[64] = "";
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	assert_int_equal(get_bytes(o, buf, sizeof(buf), 0), strlen(text));
	assert_string_equal(buf, text);
}

/* One made here, one of the image, one of the image that was changed: opened after the removal. */
static void files_work_on_without_a_name(void **state)
{
	struct ovl *f = *state;
	static const char *const names[] = {"new", "file", "changed"};
	for (size_t k = 0; k < 3; k++) {
		cow_autonode n = NULL;
		cow_autoopen o = NULL;
		if (k == 0)
			ok(make_file(f->root, names[k], &n));
		else
			ok(look(f->root, "file", &n));
		if (k != 1) {
			ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o));
			assert_int_equal(put_text(o, "hello", 0), 5);
			cow_ovl_close(cow_steal_ptr(&o));
		}
		uint64_t size = attr_of(n).size;
		ok(rm(f->root, k == 0 ? "new" : "file", COW_REMOVE_FILE));
		assert_int_equal(attr_of(n).nlink, 0);
		assert_int_equal(attr_of(n).size, size);
		/* Changed without a name too. */
		ok(cow_ovl_open(n, &cow_ovl_root_cred,
				COW_OPEN_READ | COW_OPEN_WRITE | COW_OPEN_TRUNC, &o));
		assert_int_equal(put_text(o, "after", 0), 5);
		cow_ovl_close(cow_steal_ptr(&o));
		assert_reads(n, "after");
		const struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = 0600};
		ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
		assert_int_equal(attr_of(n).mode & 07777, 0600);
		/* The name is free, and another object when it is made again. */
		cow_autonode again = NULL;
		ok(make_file(f->root, k == 0 ? "new" : "file", &again));
		assert_ptr_not_equal(again, n);
		ok(rm(f->root, k == 0 ? "new" : "file", COW_REMOVE_FILE));
		cow_ovl_put(cow_steal_ptr(&again));
		cow_ovl_put(cow_steal_ptr(&n));
		assert_nothing_held(f);
		if (k == 1) { /* the image's again, in a fresh root of this test */
			layer_teardown(state);
			ok(set_up(state));
			f = *state;
		}
	}
}

static void replaced_files_and_directories(void **state)
{
	struct ovl *f = *state;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	cow_autonode d = NULL;
	ok(make_file(f->root, "a", &a));
	ok(make_file(f->root, "b", &b));
	ok(mv(f->root, "a", f->root, "b", 0));
	assert_int_equal(attr_of(b).nlink, 0);
	assert_int_equal(attr_of(a).nlink, 1);
	assert_reads(b, "");
	ok(make(f->root, "d", S_IFDIR, 0755, &d));
	ok(rm(f->root, "d", COW_REMOVE_DIR));
	assert_int_equal(attr_of(d).nlink, 0);
	cow_autonode none = NULL;
	assert_true(look(d, "x", &none) < 0);
	cow_ovl_put(cow_steal_ptr(&a));
	cow_ovl_put(cow_steal_ptr(&b));
	cow_ovl_put(cow_steal_ptr(&d));
	assert_nothing_held(f);
}

/* One of two names goes: nothing is kept, and nothing is lost. */
static void another_name_is_left(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	ok(make_file(f->root, "p", &n));
	ok(cow_ovl_link(n, f->root, "q", 1, &cow_ovl_root_cred));
	ok(rm(f->root, "p", COW_REMOVE_FILE));
	assert_int_equal(attr_of(n).nlink, 1);
	ok(rm(f->root, "q", COW_REMOVE_FILE));
	assert_int_equal(attr_of(n).nlink, 0);
	assert_reads(n, "");
	cow_ovl_put(cow_steal_ptr(&n));
	assert_nothing_held(f);
}

static void all_are_given_back_at_once(void **state)
{
	struct ovl *f = *state;
	char name[16];
	for (int k = 0; k < 200; k++) {
		struct cow_ovl_node *n;
		(void)snprintf(name, sizeof(name), "n%d", k);
		ok(make_file(f->root, name, &n));
		for (int more = 0; more < k % 3; more++)
			(void)cow_ovl_get(n);
		if (k % 5 == 0)
			ok(rm(f->root, name, COW_REMOVE_FILE));
	}
	cow_ovl_forget_all(f->inst);
	assert_nothing_held(f);
}

static void writers_are_counted(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	cow_autoopen r = NULL;
	cow_autoopen w = NULL;
	ok(make_file(f->root, "w", &n));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &r));
	assert_int_equal(cow_ovl_writers(n), 0);
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &w));
	assert_int_equal(cow_ovl_writers(n), 1);
	cow_ovl_close(cow_steal_ptr(&w));
	assert_int_equal(cow_ovl_writers(n), 0);
}

/* Who was in the file's group when he opened it need not be in the one it has when he writes. */
static void a_write_strips_by_the_group_of_now(void **state)
{
	struct ovl *f = *state;
	const gid_t groups[] = {1003};
	const struct cow_ovl_cred user = {.uid = 1001, .gid = 1001, .groups = groups, .ngroups = 1};
	static const struct {
		gid_t gid;
		mode_t mode;
	} now[] = {{1001, 02640}, {1003, 02640}, {1004, 0640}};
	for (size_t k = 0; k < sizeof(now) / sizeof(*now); k++) {
		cow_autonode n = NULL;
		cow_autoopen o = NULL;
		ok(make_file(f->root, "g", &n));
		struct cow_ovl_set set = {
		    .mask = COW_SET_UID | COW_SET_GID, .uid = 1001, .gid = 1001};
		ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
		ok(cow_ovl_open(n, &user, COW_OPEN_WRITE, &o));
		set = (struct cow_ovl_set){
		    .mask = COW_SET_GID | COW_SET_MODE, .gid = now[k].gid, .mode = 02640};
		ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
		assert_int_equal(put_text(o, "x", 0), 1);
		assert_int_equal(attr_of(n).mode & 07777, now[k].mode);
		ok(rm(f->root, "g", COW_REMOVE_FILE));
	}
}

/* What was just written is in memory: all of it, and up to the end. Beyond is an end too. */
static void cached_reads(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	char buf[16] = "";
	const struct iovec iov = {buf, sizeof(buf)};
	ok(make_file(f->root, "c", &n));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ | COW_OPEN_WRITE, &o));
	assert_int_equal(put_text(o, "0123456789", 0), 10);
	ssize_t got = cow_ovl_read_cached(o, &iov, 1, 4);
	if (got != -EAGAIN) { /* a file system that cannot tell */
		assert_int_equal(got, 6);
		assert_memory_equal(buf, "456789", 6);
		assert_int_equal(cow_ovl_read_cached(o, &iov, 1, 100), 0);
	}
	assert_int_equal(cow_ovl_read(o, &iov, 1, 4), 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(files_work_on_without_a_name),
	    T(replaced_files_and_directories),
	    T(another_name_is_left),
	    T(all_are_given_back_at_once),
	    T(writers_are_counted),
	    T(a_write_strips_by_the_group_of_now),
	    T(cached_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
