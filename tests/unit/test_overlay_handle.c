/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Handles: they outlive restarts and renames (I5), die with unlink and epoch, and nothing that was
 * not given out is accepted (I4, I7).
 */
#include "ovl_test.h"

#include <sys/syscall.h>

#include "common/clock.h"

/* The engine's calls pass here; until a moment the kernel says what it does on ext4 while the number
 * of a dead inode is given to a new one and that creation waits for the journal. */
static uint64_t no_memory_until;
static unsigned no_memory_said;

int open_by_handle_at(int mount_fd, struct file_handle *handle, int flags)
{
	if (cow_now_ms() < no_memory_until) {
		no_memory_said++;
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_open_by_handle_at, mount_fd, handle, flags);
}

struct handle {
	uint8_t b[COW_OVL_HANDLE_MAX];
	size_t len;
};

static struct handle handle_of(struct cow_ovl_node *n)
{
	struct handle h = {0};
	h.len = cow_ovl_handle(n, h.b);
	return h;
}

static int from(struct ovl *f, const struct handle *h, struct cow_ovl_node **ret)
{
	return cow_ovl_from_handle(f->inst, h->b, h->len, ret);
}

static void layout_is_the_documented_one(void **state)
{
	struct ovl *f = *state;
	struct handle h = handle_of(f->root);
	uint64_t epoch = 0;
	assert_int_equal(h.b[0], 1);
	assert_int_equal(h.b[1], 'U');
	assert_int_equal(h.len, 16 + h.b[3] + COW_OVL_HANDLE_MAC_LEN);
	for (int k = 7; k >= 0; k--)
		epoch = epoch << 8 | h.b[8 + k];
	assert_int_equal(epoch, cow_ovl_inst_epoch(f->inst));
	assert_true(epoch != 0);
	assert_true(h.len <= COW_OVL_HANDLE_MAX);
}

static void every_type_survives_a_restart_and_a_rename(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
				       S_IFBLK, S_IFIFO, S_IFSOCK};
	enum { N = sizeof(types) / sizeof(*types) };
	struct handle h[N];
	uint64_t id[N];
	char name[2] = "a", to[3] = "Xa";
	for (int k = 0; k < N; k++, name[0]++) {
		cow_autonode n = NULL;
		ok(make(f->root, name, types[k], 0600, &n));
		h[k] = handle_of(n);
		id[k] = cow_ovl_id(n);
	}
	ok(make(f->root, "dir", S_IFDIR, 0700, NULL));
	ovl_restart(f);
	cow_autonode dir = NULL;
	ok(look(f->root, "dir", &dir));
	for (int k = 0; k < N; k++) {
		name[0] = to[1] = (char)('a' + k);
		cow_autonode n = NULL;
		cow_autonode m = NULL;
		ok(from(f, &h[k], &n)); /* cold */
		ok(mv(f->root, name, dir, to, 0));
		assert_int_equal(cow_ovl_type(n), types[k]);
		assert_int_equal(cow_ovl_id(n), id[k]);
		ok(look(dir, to, &m));
		assert_ptr_equal(n, m);
		struct handle again = handle_of(n);
		assert_int_equal(again.len, h[k].len);
		assert_memory_equal(again.b, h[k].b, h[k].len);
	}
	ovl_restart(f);
	for (int k = 0; k < N; k++) {
		cow_autonode n = NULL;
		ok(from(f, &h[k], &n));
		assert_int_equal(cow_ovl_id(n), id[k]);
	}
	cow_ovl_put(cow_steal_ptr(&dir));
}

static void a_directory_found_by_handle_knows_its_parent(void **state)
{
	struct ovl *f = *state;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	ok(make(f->root, "a", S_IFDIR, 0700, &a));
	ok(make(a, "b", S_IFDIR, 0700, &b));
	struct handle ha = handle_of(a), hb = handle_of(b);
	cow_ovl_put(cow_steal_ptr(&a));
	cow_ovl_put(cow_steal_ptr(&b));
	ovl_restart(f);
	ok(from(f, &hb, &b));
	ok(cow_ovl_parent(b, &a));
	struct handle now = handle_of(a);
	assert_memory_equal(now.b, ha.b, ha.len);
	cow_autonode top = NULL;
	ok(cow_ovl_parent(a, &top));
	assert_ptr_equal(top, f->root);
}

static void unlink_kills_it_warm_and_cold(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_node *none;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	struct handle h = handle_of(n);
	ok(rm(f->root, "f", COW_REMOVE_FILE));
	assert_int_equal(from(f, &h, &none), -ESTALE);
	cow_ovl_put(cow_steal_ptr(&n));
	assert_int_equal(from(f, &h, &none), -ESTALE);
	ok(make_file(f->root, "f", &n)); /* may well get the same inode number */
	assert_int_equal(from(f, &h, &none), -ESTALE);
	ovl_restart(f);
	assert_int_equal(from(f, &h, &none), -ESTALE);
}

static void a_new_epoch_kills_all(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_node *none;
	struct handle h = handle_of(f->root);
	uint64_t before = cow_ovl_inst_epoch(f->inst), epoch = 0, read = 0;
	assert_int_equal(cow_ovl_inst_renew(f->dirfd, &epoch, NULL), -EBUSY);
	ovl_detach(f);
	ok(cow_ovl_inst_renew(f->dirfd, &epoch, NULL));
	ok(cow_ovl_inst_read_epoch(f->dirfd, &read, NULL));
	assert_int_equal(read, epoch);
	assert_true(epoch != before);
	ovl_attach(f);
	assert_int_equal(cow_ovl_inst_epoch(f->inst), epoch);
	assert_int_equal(cow_ovl_handle_check(f->inst, h.b, h.len), -ESTALE);
	assert_int_equal(from(f, &h, &none), -ESTALE);
}

static void no_changed_byte_gets_through(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f", &n));
	const struct handle good = handle_of(n);
	for (size_t k = 0; k < good.len; k++)
		for (int v = 1; v < 256; v++) {
			struct cow_ovl_node *none = NULL;
			struct handle h = good;
			h.b[k] ^= (uint8_t)v;
			int r = from(f, &h, &none);
			assert_true(r == -EBADMSG || r == -ESTALE);
			assert_int_equal(cow_ovl_handle_check(f->inst, h.b, h.len), r);
		}
	ok(cow_ovl_handle_check(f->inst, good.b, good.len));
}

static void no_other_length_gets_through(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_node *none;
	uint8_t longer[COW_OVL_HANDLE_MAX + 64] = {0};
	struct handle h = handle_of(f->root);
	memcpy(longer, h.b, h.len);
	for (size_t len = 0; len <= sizeof(longer); len++)
		if (len != h.len)
			assert_int_equal(cow_ovl_from_handle(f->inst, longer, len, &none),
					 -EBADMSG);
}

static void a_number_in_reuse_is_stale_however_long_it_takes(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	struct cow_ovl_node *none;
	ok(make_file(f->root, "file", &n));
	struct handle h = handle_of(n);
	cow_ovl_put(cow_steal_ptr(&n));
	ok(rm(f->root, "file", COW_REMOVE_FILE));
	no_memory_until = cow_now_ms() + 300;
	assert_int_equal(from(f, &h, &none), -ESTALE);
	assert_true(no_memory_said > 0);
}

static void another_instances_handle_is_refused(void **state)
{
	struct ovl *f = *state;
	void *other_state = NULL;
	struct cow_ovl_node *none;
	ok(ovl_setup(&other_state));
	struct ovl *other = other_state; /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	struct handle h = handle_of(other->root);
	assert_int_equal(from(f, &h, &none), -ESTALE);
	assert_int_equal(cow_ovl_handle_check(f->inst, h.b, h.len), -ESTALE);
	/* Not even with our number and epoch written over it. */
	struct handle mine = handle_of(f->root);
	memcpy(h.b + 4, mine.b + 4, 12);
	assert_int_equal(from(f, &h, &none), -EBADMSG);
	ok(ovl_teardown(&other_state));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(layout_is_the_documented_one),
	    T(every_type_survives_a_restart_and_a_rename),
	    T(a_directory_found_by_handle_knows_its_parent),
	    T(unlink_kills_it_warm_and_cold),
	    T(a_new_epoch_kills_all),
	    T(no_changed_byte_gets_through),
	    T(no_other_length_gets_through),
	    T(a_number_in_reuse_is_stale_however_long_it_takes),
	    T(another_instances_handle_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
