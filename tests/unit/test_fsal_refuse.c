/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * How refused requests are told (ganesha-fsal/refuse.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "refuse.h"

static char lines[1024][256];
static unsigned n_lines;

static void take(const char *text)
{
	assert_true(n_lines < 1024);
	(void)snprintf(lines[n_lines++], sizeof(lines[0]), "%s", text);
}

static void tick(uint64_t at_s)
{
	n_lines = 0;
	cow_refuse_tick(at_s * 1000, take);
}

static int forget(void **state)
{
	cow_refuse_reset();
	return 0;
}

static void the_first_is_told_at_once_with_all_there_is_to_know(void **state)
{
	tick(100);
	assert_int_equal(n_lines, 0);
	cow_refuse_note("10.0.0.7", 12, COW_REFUSE_ADDRESS);
	tick(101);
	assert_int_equal(n_lines, 1);
	assert_string_equal(lines[0],
			    "refused: 1 request of 10.0.0.7 to export 12: this address may "
			    "not use it");
}

static void the_next_line_comes_after_a_minute_and_counts(void **state)
{
	cow_refuse_note("10.0.0.7", 12, COW_REFUSE_ADDRESS);
	tick(101);
	for (int i = 0; i < 30; i++)
		cow_refuse_note("10.0.0.7", 12, COW_REFUSE_ADDRESS);
	tick(102);
	assert_int_equal(n_lines, 0);
	tick(160);
	assert_int_equal(n_lines, 0);
	tick(161);
	assert_int_equal(n_lines, 1);
	assert_non_null(strstr(lines[0], "refused: 30 requests of 10.0.0.7 to export 12"));
	tick(300);
	assert_int_equal(n_lines, 0);
}

static void each_address_export_and_cause_has_its_line(void **state)
{
	cow_refuse_note("10.0.0.7", 12, COW_REFUSE_ADDRESS);
	cow_refuse_note("10.0.0.7", 12, COW_REFUSE_STALE);
	cow_refuse_note("10.0.0.7", 13, COW_REFUSE_ADDRESS);
	cow_refuse_note("10.0.0.8", 12, COW_REFUSE_ADDRESS);
	cow_refuse_note("", 12, COW_REFUSE_MALFORMED);
	tick(101);
	assert_int_equal(n_lines, 5);
	assert_non_null(strstr(lines[4], "an unknown address"));
}

static void one_address_does_not_fill_the_log(void **state)
{
	for (unsigned i = 0; i < 1000; i++)
		cow_refuse_note("10.0.0.7", i, COW_REFUSE_ADDRESS);
	cow_refuse_note("10.0.0.8", 1, COW_REFUSE_ADDRESS);
	unsigned all = 0, others = 0;
	char more[128];
	(void)snprintf(more, sizeof(more), "refused: %u more requests of 10.0.0.7",
		       1000 - COW_REFUSE_NAMED);
	int told_more = 0;
	for (uint64_t s = 101; s < 110; s++) {
		tick(s);
		assert_true(n_lines <= COW_REFUSE_LINES);
		all += n_lines;
		for (unsigned i = 0; i < n_lines; i++) {
			others += strstr(lines[i], "10.0.0.8") != NULL;
			told_more += strstr(lines[i], more) != NULL;
		}
	}
	assert_int_equal(all, COW_REFUSE_NAMED + 2);
	assert_int_equal(others, 1);
	assert_int_equal(told_more, 1);
}

static void a_full_table_counts_on_and_empties_itself(void **state)
{
	char addr[32];
	for (unsigned i = 0; i < COW_REFUSE_ENTRIES + 50; i++) {
		(void)snprintf(addr, sizeof(addr), "10.0.%u.%u", i >> 8, i & 255);
		cow_refuse_note(addr, 1, COW_REFUSE_ADDRESS);
	}
	int unnamed = 0;
	for (uint64_t s = 101; s < 140; s++) {
		tick(s);
		for (unsigned i = 0; i < n_lines; i++)
			unnamed += strstr(lines[i], "50 more, of too many to name") != NULL;
	}
	assert_int_equal(unnamed, 1);
	for (uint64_t s = 200; s < 205; s++)
		tick(s);
	cow_refuse_note("10.9.9.9", 1, COW_REFUSE_ADDRESS);
	tick(206);
	assert_int_equal(n_lines, 1);
	assert_non_null(strstr(lines[0], "10.9.9.9"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(the_first_is_told_at_once_with_all_there_is_to_know, forget),
	    cmocka_unit_test_setup(the_next_line_comes_after_a_minute_and_counts, forget),
	    cmocka_unit_test_setup(each_address_export_and_cause_has_its_line, forget),
	    cmocka_unit_test_setup(one_address_does_not_fill_the_log, forget),
	    cmocka_unit_test_setup(a_full_table_counts_on_and_empties_itself, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
