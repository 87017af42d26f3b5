/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Data of regular files, and the cache of file descriptors behind it.
 */
#include "ovl_test.h"

#include <linux/falloc.h>
#include <sys/resource.h>

static const struct cow_ovl_cred user = {.uid = 1001, .gid = 1002};
#define RW (COW_OPEN_READ | COW_OPEN_WRITE)

static struct cow_ovl_open *open_as(struct cow_ovl_node *n, const struct cow_ovl_cred *cred,
				    unsigned flags)
{
	struct cow_ovl_open *o;
	ok(cow_ovl_open(n, cred, flags, &o));
	return o;
}

static void what_is_written_is_read(void **state)
{
	struct ovl *f = *state;
	char a[8] = "first--", b[16] = "second", buf[32] = {0};
	struct iovec out[] = {{a, 7}, {b, 6}, {b, 0}};
	struct iovec in[] = {{buf, 3}, {buf + 3, 20}};
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_autoopen o = open_as(n, &cow_ovl_root_cred, RW);
	assert_ptr_equal(cow_ovl_open_node(o), n);
	assert_int_equal(cow_ovl_write(o, out, 3, 100, COW_WRITE_STABLE), 13);
	assert_int_equal(cow_ovl_read(o, in, 2, 100), 13);
	assert_string_equal(buf, "first--second");
	assert_int_equal(cow_ovl_read(o, in, 2, 113), 0);
	assert_int_equal(cow_ovl_read(o, in, 2, 1u << 20), 0);
	assert_int_equal(attr_of(n).size, 113);
	ok(cow_ovl_commit(n));
}

static void only_what_was_opened_for_is_done(void **state)
{
	struct ovl *f = *state;
	char buf[4];
	struct cow_ovl_open *none;
	cow_autonode n = NULL;
	cow_autonode fifo = NULL;
	ok(make_file(f->root, "f", &n));
	ok(make(f->root, "p", S_IFIFO, 0600, &fifo));
	cow_autoopen w = open_as(n, &cow_ovl_root_cred, COW_OPEN_WRITE);
	cow_autoopen r = open_as(n, &cow_ovl_root_cred, COW_OPEN_READ);
	assert_int_equal(get_bytes(w, buf, 4, 0), -EBADF);
	assert_int_equal(put_text(r, "x", 0), -EBADF);
	assert_int_equal(cow_ovl_fallocate(r, 0, 0, 1), -EBADF);
	assert_int_equal(cow_ovl_open(f->root, &cow_ovl_root_cred, COW_OPEN_READ, &none), -EISDIR);
	assert_int_equal(cow_ovl_open(fifo, &cow_ovl_root_cred, COW_OPEN_READ, &none), -EINVAL);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, 0, &none), -EINVAL);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ | COW_OPEN_TRUNC, &none),
			 -EINVAL);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, 1u << 9 | COW_OPEN_READ, &none),
			 -EINVAL);
}

static void a_reader_sees_what_a_later_writer_wrote(void **state)
{
	struct ovl *f = *state;
	char buf[8] = {0};
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	ovl_restart(f); /* the fd of the creation is gone: the reader opens read-only */
	cow_autonode m = NULL;
	ok(look(f->root, "f", &m));
	cow_autoopen r = open_as(m, &cow_ovl_root_cred, COW_OPEN_READ);
	cow_autoopen w = open_as(m, &cow_ovl_root_cred, COW_OPEN_WRITE);
	assert_int_equal(put_text(w, "new", 0), 3);
	assert_int_equal(get_bytes(r, buf, 8, 0), 3);
	assert_string_equal(buf, "new");
}

static void truncation_at_open(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_autoopen o = open_as(n, &cow_ovl_root_cred, RW);
	assert_int_equal(put_text(o, "content", 0), 7);
	cow_ovl_close(open_as(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC));
	assert_int_equal(attr_of(n).size, 0);
}

static void an_unlinked_open_file_lives_until_close(void **state)
{
	struct ovl *f = *state;
	char buf[32] = {0};
	uint8_t handle[COW_OVL_HANDLE_MAX];
	struct cow_ovl_attr a;
	struct cow_ovl_node *none;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	size_t len = cow_ovl_handle(n, handle);
	struct cow_ovl_open *r = open_as(n, &cow_ovl_root_cred, COW_OPEN_READ);
	ok(rm(f->root, "f", COW_REMOVE_FILE));
	struct cow_ovl_open *w = open_as(n, &cow_ovl_root_cred, COW_OPEN_WRITE);
	assert_int_equal(put_text(w, "still here", 0), 10);
	assert_int_equal(get_bytes(r, buf, sizeof(buf), 0), 10);
	assert_string_equal(buf, "still here");
	ok(cow_ovl_getattr(n, &a));
	assert_int_equal(a.nlink, 0);
	ok(cow_ovl_setattr(n, &user, &(struct cow_ovl_set){.mask = COW_SET_SIZE, .size = 4}, &a));
	assert_int_equal(a.size, 4);
	ok(cow_ovl_commit(n));
	cow_autonode same = NULL;
	ok(cow_ovl_from_handle(f->inst, handle, len, &same));
	assert_ptr_equal(same, n);
	cow_ovl_close(r);
	cow_ovl_close(w);
	assert_int_equal(cow_ovl_getattr(n, &a), -ESTALE);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &r), -ESTALE);
	assert_int_equal(cow_ovl_from_handle(f->inst, handle, len, &none), -ESTALE);
}

/* Also when its last fd was opened after the unlink. */
static void an_unlinked_file_gives_its_space_back_at_close(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_stats s;
	ok(make_file(f->root, "f", NULL));
	ovl_restart(f);
	cow_autonode n = NULL;
	ok(look(f->root, "f", &n));
	struct cow_ovl_open *r = open_as(n, &cow_ovl_root_cred, COW_OPEN_READ);
	ok(rm(f->root, "f", COW_REMOVE_FILE));
	struct cow_ovl_open *w = open_as(n, &cow_ovl_root_cred, COW_OPEN_WRITE);
	cow_ovl_close(r);
	cow_ovl_close(w);
	cow_ovl_stats(f->inst, &s);
	assert_int_equal(s.fds, 1); /* the root's */
}

static void a_removed_file_gives_its_space_back_at_once(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_stats s;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_ovl_stats(f->inst, &s);
	uint64_t before = s.fds;
	ok(rm(f->root, "f", COW_REMOVE_FILE));
	cow_ovl_stats(f->inst, &s);
	assert_int_equal(s.fds, before - 1);
}

static void writes_by_a_user_clear_setuid(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	cow_autonode lock = NULL;
	const gid_t group = 0; /* of the files */
	const struct cow_ovl_cred member = {
	    .uid = 1000, .gid = 1000, .groups = &group, .ngroups = 1};
	ok(make(f->root, "f", S_IFREG, 06775, &n));
	ok(make(f->root, "g", S_IFREG, 06767, &lock));
	cow_autoopen root = open_as(n, &cow_ovl_root_cred, COW_OPEN_WRITE);
	assert_int_equal(put_text(root, "x", 0), 1);
	assert_int_equal(attr_of(n).mode & 07777, 06775);
	cow_autoopen o = open_as(n, &user, COW_OPEN_WRITE);
	assert_int_equal(put_text(o, "x", 0), 1);
	assert_int_equal(attr_of(n).mode & 07777, 0775);
	/* Without group execute it is not a right of the group: its members do not lose it. */
	cow_autoopen p = open_as(lock, &member, COW_OPEN_WRITE);
	assert_int_equal(put_text(p, "x", 0), 1);
	assert_int_equal(attr_of(lock).mode & 07777, 02767);
	cow_autoopen q = open_as(lock, &user, COW_OPEN_WRITE);
	assert_int_equal(put_text(q, "x", 0), 1);
	assert_int_equal(attr_of(lock).mode & 07777, 0767);
}

static void impossible_transfers_are_refused(void **state)
{
	struct ovl *f = *state;
	char c = 0;
	struct iovec huge[] = {{&c, SIZE_MAX}, {&c, SIZE_MAX}};
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_autoopen o = open_as(n, &cow_ovl_root_cred, RW);
	assert_int_equal(cow_ovl_write(o, huge, 2, 0, 0), -EINVAL);
	assert_int_equal(cow_ovl_write(o, huge, -1, 0, 0), -EINVAL);
	assert_int_equal(cow_ovl_write(o, huge, 0, 0, 1u << 8), -EINVAL);
	assert_int_equal(put_text(o, "x", UINT64_MAX), -EFBIG);
	assert_int_equal(put_text(o, "x", INT64_MAX), -EFBIG);
	assert_int_equal(cow_ovl_fallocate(o, 0, INT64_MAX, 1), -EFBIG);
	assert_int_equal(cow_ovl_fallocate(o, 0x4000, 0, 1), -EOPNOTSUPP);
	assert_int_equal(attr_of(n).size, 0);
}

static void holes_and_data_are_told_apart(void **state)
{
	struct ovl *f = *state;
	uint64_t at = 0;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	cow_autoopen o = open_as(n, &cow_ovl_root_cred, RW);
	assert_int_equal(put_text(o, "data", 1u << 20), 4);
	ok(cow_ovl_seek(o, 0, SEEK_DATA, &at));
	assert_int_equal(at, 1u << 20);
	ok(cow_ovl_seek(o, 0, SEEK_HOLE, &at));
	assert_int_equal(at, 0);
	assert_int_equal(cow_ovl_seek(o, 2u << 20, SEEK_DATA, &at), -ENXIO);
	assert_int_equal(cow_ovl_seek(o, 0, SEEK_SET, &at), -EINVAL);
	ok(cow_ovl_fallocate(o, FALLOC_FL_KEEP_SIZE, 0, 4096));
	assert_int_equal(attr_of(n).size, (1u << 20) + 4);
	ok(cow_ovl_fallocate(o, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2u << 20));
	assert_int_equal(cow_ovl_seek(o, 0, SEEK_DATA, &at), -ENXIO);
	ok(cow_ovl_fallocate(o, 0, 0, 3u << 20));
	assert_int_equal(attr_of(n).size, 3u << 20);
}

static void clone_copies_a_range(void **state)
{
	struct ovl *f = *state;
	static char text[8192], buf[8192];
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	ok(make_file(f->root, "a", &a));
	ok(make_file(f->root, "b", &b));
	cow_autoopen from = open_as(a, &cow_ovl_root_cred, RW);
	cow_autoopen to = open_as(b, &cow_ovl_root_cred, RW);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(put_text(from, text, 0), sizeof(text) - 1);
	ok(cow_ovl_clone(from, 4096, to, 0, 0)); /* 0: up to the end */
	assert_int_equal(get_bytes(to, buf, sizeof(buf), 0), 4095);
	assert_memory_equal(buf, text, 4095);
	ok(cow_ovl_clone(from, 1, to, 10000, 100)); /* no block borders */
	assert_int_equal(attr_of(b).size, 10100);
	assert_int_equal(cow_ovl_clone(from, 8000, to, 0, 1000), -EINVAL);
	assert_int_equal(cow_ovl_clone(from, 0, from, 100, 200), -EINVAL);
}

#define MANY 300

/* The cache may hold 8; every file stays usable, and no more than that are kept. */
static void the_fd_limit_is_kept(void **state)
{
	struct ovl *f = *state;
	static struct cow_ovl_node *n[MANY];
	struct cow_ovl_stats s;
	char name[16];
	cow_ovl_set_fd_limit(8);
	for (int k = 0; k < MANY; k++) {
		(void)snprintf(name, sizeof(name), "f%d", k);
		ok(make_file(f->root, name, &n[k]));
	}
	cow_ovl_stats(f->inst, &s);
	assert_true(s.fds <= 9);
	assert_int_equal(s.nodes, MANY + 1);
	for (int k = 0; k < MANY; k++)
		assert_int_equal(attr_of(n[k]).nlink, 1);
	cow_ovl_stats(f->inst, &s);
	assert_true(s.fds <= 9);
	for (int k = 0; k < MANY; k++)
		cow_ovl_put(n[k]);
	cow_ovl_set_fd_limit(1000);
}

/* With every descriptor of the process used up by the cache, work goes on by evicting; with all
 * pinned by opens it fails with EMFILE and goes on afterwards. */
static void out_of_descriptors_the_cache_gives_way(void **state)
{
	struct ovl *f = *state;
	static struct cow_ovl_node *n[MANY];
	static struct cow_ovl_open *o[MANY];
	struct rlimit old, low;
	char name[16];
	int opened = 0;
	ok(getrlimit(RLIMIT_NOFILE, &old));
	low = old;
	low.rlim_cur = 64;
	ok(setrlimit(RLIMIT_NOFILE, &low));
	cow_ovl_set_fd_limit(MANY);
	for (int k = 0; k < MANY; k++) {
		(void)snprintf(name, sizeof(name), "f%d", k);
		ok(make_file(f->root, name, &n[k]));
	}
	int r = 0;
	while (opened < MANY && r == 0) {
		r = cow_ovl_open(n[opened], &cow_ovl_root_cred, COW_OPEN_READ, &o[opened]);
		opened += r == 0;
	}
	int r_full = r;
	for (int k = 0; k < opened; k++)
		cow_ovl_close(o[k]);
	for (int k = 0; k < MANY; k++) {
		assert_int_equal(attr_of(n[k]).nlink, 1);
		cow_ovl_put(n[k]);
	}
	ok(setrlimit(RLIMIT_NOFILE, &old));
	cow_ovl_set_fd_limit(1000);
	assert_int_equal(r_full, -EMFILE);
	assert_in_range(opened, 20, 63);
}

static void volatile_roots_do_not_sync(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_stats s;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	ok(cow_ovl_commit(n));
	cow_ovl_stats(f->inst, &s);
	assert_int_equal(s.commits, 0);
}

static void strict_roots_sync_names_and_attributes(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_stats s;
	uint64_t last = 0;
	struct cow_ovl_set times = {.mask = COW_SET_ATIME_NOW};
	cow_autonode n = NULL;
#define SYNCED(expr)                                                                               \
	do {                                                                                       \
		ok(expr);                                                                          \
		cow_ovl_stats(f->inst, &s);                                                        \
		assert_int_equal(s.commits, ++last);                                               \
	} while (0)
	SYNCED(make_file(f->root, "f", &n));
	SYNCED(make(f->root, "d", S_IFDIR, 0755, NULL));
	SYNCED(cow_ovl_link(n, f->root, "g", 1, &cow_ovl_root_cred));
	SYNCED(mv(f->root, "g", f->root, "h", 0));
	SYNCED(rm(f->root, "h", COW_REMOVE_FILE));
	SYNCED(cow_ovl_setattr(n, &cow_ovl_root_cred, &times, NULL));
	SYNCED(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.x", "", 0, 0));
	SYNCED(cow_ovl_removexattr(n, &cow_ovl_root_cred, "user.x"));
	SYNCED(cow_ovl_inst_sync(f->inst));
	cow_autoopen o = NULL;
	SYNCED(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o));
	assert_int_equal(put_text(o, "x", 0), 1); /* data waits for commit */
	ok(cow_ovl_commit(n));			  /* and needs no more than its own file */
	cow_ovl_stats(f->inst, &s);
	assert_int_equal(s.commits, last);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(what_is_written_is_read),
	    T(only_what_was_opened_for_is_done),
	    T(a_reader_sees_what_a_later_writer_wrote),
	    T(truncation_at_open),
	    T(an_unlinked_open_file_lives_until_close),
	    T(an_unlinked_file_gives_its_space_back_at_close),
	    T(a_removed_file_gives_its_space_back_at_once),
	    T(writes_by_a_user_clear_setuid),
	    T(impossible_transfers_are_refused),
	    T(holes_and_data_are_told_apart),
	    T(clone_copies_a_range),
	    T(the_fd_limit_is_kept),
	    T(out_of_descriptors_the_cache_gives_way),
	    cmocka_unit_test_setup_teardown(volatile_roots_do_not_sync, ovl_setup_volatile,
					    ovl_teardown),
	    cmocka_unit_test_setup_teardown(strict_roots_sync_names_and_attributes,
					    ovl_setup_strict, ovl_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
