/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The list of a root's objects, and how those of a replaced root are let go (ganesha-fsal/objects.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "objects.h"

#define N 10u

struct object {
	struct cow_object listed;
	uint8_t key[4];
	int in_use, gone;
};

struct fixture {
	struct cow_objects list;
	struct object o[N];
	unsigned asked;
};
static struct fixture f;

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	cow_objects_init(&f.list);
	cow_objects_swap(&f.list, 7);
	for (unsigned i = 0; i < N; i++) {
		f.o[i].key[0] = (uint8_t)i;
		f.o[i].listed.key = f.o[i].key;
		f.o[i].listed.key_len = sizeof(f.o[i].key);
		cow_objects_add(&f.list, &f.o[i].listed, 7);
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < N; i++)
		if (!f.o[i].gone)
			cow_objects_remove(&f.list, &f.o[i].listed);
	assert_ptr_equal(f.list.live.next, &f.list.live);
	assert_ptr_equal(f.list.dead.next, &f.list.dead);
	assert_int_equal(f.list.n_dead, 0);
	cow_objects_destroy(&f.list);
	return 0;
}

/* As the server does: an object that nobody uses is freed at once. */
static int let_go(void *arg, const uint8_t *key, size_t len)
{
	assert_ptr_equal(arg, &f);
	assert_int_equal(len, 4);
	struct object *o = &f.o[key[0]];
	assert_false(o->gone);
	f.asked++;
	if (o->in_use)
		return 0;
	o->gone = 1;
	cow_objects_remove(&f.list, &o->listed);
	return 1;
}

static unsigned release(uint64_t now_s, unsigned max)
{
	f.asked = 0;
	unsigned n = cow_objects_release(&f.list, now_s * 1000, max, let_go, &f);
	assert_int_equal(n, f.asked);
	return n;
}

static void what_lives_is_left_alone(void **state)
{
	assert_int_equal(release(1, 100), 0);
	cow_objects_swap(&f.list, 7);
	assert_int_equal(release(2, 100), 0);
}

static void a_swap_buries_what_is_listed(void **state)
{
	cow_objects_swap(&f.list, 8);
	assert_int_equal(release(1, 4), 4);
	assert_int_equal(release(1, 100), N - 4);
	for (unsigned i = 0; i < N; i++)
		assert_true(f.o[i].gone);
	assert_int_equal(release(1, 100), 0);
}

static void what_comes_after_a_swap_lives(void **state)
{
	cow_objects_swap(&f.list, 8);
	assert_int_equal(release(1, 100), N);
	f.o[0].gone = f.o[1].gone = 0;
	cow_objects_add(&f.list, &f.o[0].listed, 8);
	cow_objects_add(&f.list, &f.o[1].listed, 7); /* by a call that began before the swap */
	assert_int_equal(release(1, 100), 1);
	assert_false(f.o[0].gone);
	assert_true(f.o[1].gone);
}

static void what_is_in_use_is_tried_again_later(void **state)
{
	f.o[3].in_use = f.o[4].in_use = 1;
	cow_objects_swap(&f.list, 8);
	/* once each, and the two that stay once more before they are left in peace */
	unsigned n = release(1, 100);
	assert_true(n >= N && n <= N + 2);
	assert_int_equal(release(2, 100), 0);
	assert_int_equal(release(12, 100), 2);
	assert_int_equal(release(13, 100), 0);
	f.o[3].in_use = 0;
	n = release(30, 100);
	assert_true(f.o[3].gone);
	assert_true(n >= 1 && n <= 3);
	f.o[4].in_use = 0;
	release(60, 100);
	assert_true(f.o[4].gone);
}

static void another_swap_ends_the_rest(void **state)
{
	f.o[3].in_use = 1;
	cow_objects_swap(&f.list, 8);
	release(1, 100);
	assert_int_equal(release(2, 100), 0);
	f.o[0].gone = 0;
	cow_objects_add(&f.list, &f.o[0].listed, 8);
	cow_objects_swap(&f.list, 9);
	release(2, 100);
	assert_true(f.o[0].gone);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(what_lives_is_left_alone),	 CASE(a_swap_buries_what_is_listed),
	    CASE(what_comes_after_a_swap_lives), CASE(what_is_in_use_is_tried_again_later),
	    CASE(another_swap_ends_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
