/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Instances: the record and its two slots, attaching and detaching, observers.
 */
#include "ovl_test.h"

#define SLOT 4096

static int attach_fails(struct ovl *f)
{
	struct cow_ovl_inst *i = NULL;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_inst_open(f->dirfd, NULL, 0, &i, &err);
	assert_true(r < 0);
	assert_true(strlen(cow_err_str(&err)) > 10);
	return r;
}

static void flip_byte(struct ovl *f, off_t at)
{
	uint8_t b;
	cow_autoclose int fd = openat(f->dirfd, "instance", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, at), 1);
	b ^= 0x40;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
}

/* The state after a server was killed: the record as it was while attached. */
static void record_save(struct ovl *f, char **ret, size_t *ret_len)
{
	ok(cow_read_file_at(f->dirfd, "instance", 1u << 20, ret, ret_len));
}

static void record_restore(struct ovl *f, char *buf, size_t len)
{
	cow_autoclose int fd = openat(f->dirfd, "instance", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	ok(cow_pwrite_full(fd, buf, len, 0));
	free(buf);
}

static void create_refuses_a_second_record_and_a_missing_tree(void **state)
{
	struct ovl *f = *state;
	struct cow_err err = COW_ERR_INIT;
	struct stat st;
	assert_int_equal(cow_ovl_inst_create(f->dirfd, NULL, NULL, &err), -EEXIST);
	ok(fstatat(f->dirfd, "instance", &st, 0));
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, 2 * SLOT);
	ok(mkdirat(f->dirfd, "empty", 0700));
	cow_autoclose int empty = cow_opendir_at(f->dirfd, "empty");
	assert_int_equal(cow_ovl_inst_create(empty, NULL, NULL, &err), -ENOENT);
	assert_int_equal(faccessat(empty, "instance", F_OK, 0), -1);
	struct cow_ovl_inst *i;
	assert_int_equal(cow_ovl_inst_open(empty, NULL, 0, &i, &err), -ENOENT);
}

static void unknown_flags_are_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i;
	assert_int_equal(cow_ovl_inst_open(f->dirfd, NULL, 1u << 7, &i, NULL), -EINVAL);
}

static void only_one_server_at_a_time(void **state)
{
	struct ovl *f = *state;
	assert_int_equal(attach_fails(f), -EBUSY);
	ovl_detach(f);
	ovl_attach(f);
}

static void either_slot_is_enough(void **state)
{
	struct ovl *f = *state;
	uint64_t epoch = cow_ovl_inst_epoch(f->inst);
	for (int slot = 0; slot < 2; slot++)
		for (off_t at = 0; at < SLOT; at += 61) {
			ovl_detach(f);
			flip_byte(f, (off_t)slot * SLOT + at);
			ovl_attach(f);
			assert_int_equal(cow_ovl_inst_epoch(f->inst), epoch);
		}
}

static void a_short_record_is_one_slot(void **state)
{
	struct ovl *f = *state;
	ovl_detach(f);
	cow_autoclose int fd = openat(f->dirfd, "instance", O_RDWR | O_CLOEXEC);
	ok(ftruncate(fd, SLOT));
	ovl_attach(f);
	ovl_restart(f); /* healed */
	struct stat st;
	ok(fstat(fd, &st));
	assert_int_equal(st.st_size, 2 * SLOT);
}

static void both_slots_damaged_is_an_error(void **state)
{
	struct ovl *f = *state;
	uint64_t epoch;
	ovl_detach(f);
	flip_byte(f, 100);
	flip_byte(f, SLOT + 4093);
	assert_int_equal(attach_fails(f), -EBADMSG);
	assert_int_equal(cow_ovl_inst_read_epoch(f->dirfd, &epoch, NULL), -EBADMSG);
	assert_int_equal(cow_ovl_inst_renew(f->dirfd, &epoch, NULL), -EBADMSG);
	flip_byte(f, 100);
	ovl_attach(f);
}

static void a_killed_server_is_no_obstacle(void **state)
{
	struct ovl *f = *state;
	char *record;
	size_t len;
	ok(make_file(f->root, "f", NULL));
	record_save(f, &record, &len);
	ovl_detach(f);
	record_restore(f, record, len);
	ovl_attach(f);
	cow_autonode n = NULL;
	ok(look(f->root, "f", &n));
}

static void a_volatile_root_is_refused_after_a_kill(void **state)
{
	struct ovl *f = *state;
	char *record;
	size_t len;
	struct cow_ovl_inst *i;
	ovl_restart(f); /* a clean stop is fine */
	record_save(f, &record, &len);
	ok(cow_ovl_inst_open(f->dirfd, NULL, COW_OVL_OBSERVER, &i, NULL)); /* looking is */
	ok(cow_ovl_inst_close(i));
	ovl_detach(f);
	char *clean;
	size_t clean_len;
	record_save(f, &clean, &clean_len);
	record_restore(f, record, len);
	assert_int_equal(attach_fails(f), -ESTALE);
	assert_int_equal(attach_fails(f), -ESTALE);
	record_restore(f, clean, clean_len);
	ovl_attach(f);
}

static void a_copied_tree_gets_a_new_epoch(void **state)
{
	struct ovl *f = *state;
	uint8_t handle[COW_OVL_HANDLE_MAX];
	uint64_t epoch = cow_ovl_inst_epoch(f->inst);
	size_t len = cow_ovl_handle(f->root, handle);
	ovl_detach(f);
	ok(renameat(f->dirfd, "tree", f->dirfd, "old"));
	ok(mkdirat(f->dirfd, "tree", 0755));
	ovl_attach(f);
	assert_true(cow_ovl_inst_epoch(f->inst) != epoch);
	assert_int_equal(cow_ovl_handle_check(f->inst, handle, len), -ESTALE);
	epoch = cow_ovl_inst_epoch(f->inst);
	ovl_restart(f); /* and keeps it */
	assert_int_equal(cow_ovl_inst_epoch(f->inst), epoch);
}

static void an_observer_looks_and_changes_nothing(void **state)
{
	struct ovl *f = *state;
	char *before, *after, buf[8];
	size_t len;
	struct cow_ovl_inst *i;
	cow_autonode root = NULL;
	cow_autonode n = NULL;
	cow_autonode mine = NULL;
	cow_autoopen o = NULL;
	cow_autoopen w = NULL;
	struct cow_ovl_stats s;
	struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = 0};
	ok(make_file(f->root, "f", &mine));
	ok(cow_ovl_open(mine, &cow_ovl_root_cred, COW_OPEN_WRITE, &w));
	record_save(f, &before, &len);
	ok(cow_ovl_inst_open(f->dirfd, NULL, COW_OVL_OBSERVER, &i, NULL));
	assert_int_equal(cow_ovl_inst_epoch(i), cow_ovl_inst_epoch(f->inst));
	ok(cow_ovl_root(i, &root));
	ok(look(root, "f", &n));
	assert_int_equal(put_text(w, "hello", 0), 5); /* the other side goes on writing */
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	assert_int_equal(get_bytes(o, buf, sizeof(buf), 0), 5);

	struct cow_ovl_open *none;
	assert_int_equal(make_file(root, "g", NULL), -EROFS);
	assert_int_equal(rm(root, "f", COW_REMOVE_FILE), -EROFS);
	assert_int_equal(mv(root, "f", root, "g", 0), -EROFS);
	assert_int_equal(cow_ovl_link(n, root, "g", 1, &cow_ovl_root_cred), -EROFS);
	assert_int_equal(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL), -EROFS);
	assert_int_equal(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.x", "", 0, 0), -EROFS);
	assert_int_equal(cow_ovl_removexattr(n, &cow_ovl_root_cred, "user.x"), -EROFS);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &none), -EROFS);
	assert_int_equal(cow_ovl_commit(n), -EROFS);
	assert_int_equal(cow_ovl_inst_sync(i), -EROFS);

	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_stats(i, &s);
	assert_int_equal(s.fds, 0); /* nothing is kept between calls */
	cow_ovl_put(cow_steal_ptr(&n));
	cow_ovl_put(cow_steal_ptr(&root));
	ok(cow_ovl_inst_close(i));
	record_save(f, &after, &len);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
}

static int count_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	(*(int *)ctx)++;
	return 0;
}

static int fds_of_process(void)
{
	int n = 0;
	cow_autodir DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (readdir(d)) /* NOLINT(concurrency-mt-unsafe): one thread */
		n++;
	return n;
}

static void what_is_held_after_close_is_stale_and_harmless(void **state)
{
	struct ovl *f = *state;
	char buf[8];
	int count = 0, eof;
	uint8_t handle[COW_OVL_HANDLE_MAX];
	struct cow_ovl_attr a;
	struct cow_ovl_node *none;
	struct cow_ovl_open *none_open;
	cow_autonode n = NULL;
	cow_autonode root = cow_ovl_get(f->root);
	cow_autoopen r = NULL;
	cow_autoopen w = NULL;
	ovl_detach(f);
	int fds = fds_of_process();
	ovl_attach(f);
	cow_ovl_put(root);
	root = cow_ovl_get(f->root);
	ok(make_file(f->root, "f", NULL));
	ok(look(f->root, "f", &n));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &r));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ | COW_OPEN_WRITE, &w));
	struct cow_ovl_inst *i = f->inst;
	ovl_detach(f);
	assert_int_equal(fds_of_process(), fds); /* every fd given back, the lock too */
	assert_int_equal(cow_ovl_getattr(n, &a), -ESTALE);
	assert_int_equal(look(root, "f", &none), -ESTALE);
	assert_int_equal(get_bytes(r, buf, 1, 0), -ESTALE);
	assert_int_equal(put_text(w, "x", 0), -ESTALE);
	assert_int_equal(cow_ovl_commit(n), -ESTALE);
	assert_int_equal(cow_ovl_open(n, NULL, COW_OPEN_READ, &none_open), -ESTALE);
	assert_int_equal(cow_ovl_readdir(root, 0, 0, count_entry, &count, &eof), -ESTALE);
	size_t len = cow_ovl_handle(n, handle);
	assert_int_equal(cow_ovl_handle_check(i, handle, len), -ESTALE);
	assert_int_equal(cow_ovl_from_handle(i, handle, len, &none), -ESTALE);
	assert_int_equal(cow_ovl_root(i, &none), -ESTALE);
	ovl_attach(f);
}

static void durability_has_names(void **state)
{
	enum cow_ovl_durability d;
	static const char *const names[] = {"strict", "relaxed", "volatile"};
	for (unsigned k = 0; k < 3; k++) {
		ok(cow_ovl_durability_parse(names[k], &d));
		assert_int_equal(d, k);
		assert_string_equal(cow_ovl_durability_name(d), names[k]);
	}
	assert_int_equal(cow_ovl_durability_parse("lazy", &d), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(create_refuses_a_second_record_and_a_missing_tree),
	    T(unknown_flags_are_refused),
	    T(only_one_server_at_a_time),
	    T(either_slot_is_enough),
	    T(a_short_record_is_one_slot),
	    T(both_slots_damaged_is_an_error),
	    T(a_killed_server_is_no_obstacle),
	    cmocka_unit_test_setup_teardown(a_volatile_root_is_refused_after_a_kill,
					    ovl_setup_volatile, ovl_teardown),
	    T(a_copied_tree_gets_a_new_epoch),
	    T(an_observer_looks_and_changes_nothing),
	    T(what_is_held_after_close_is_stale_and_harmless),
	    cmocka_unit_test(durability_has_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
