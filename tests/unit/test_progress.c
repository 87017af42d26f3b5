/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The line on the terminal: what it says, and how much time it thinks is left.
 */
#include "cow_test.h"

#include "common/clock.h"
#include "progress.h"

/* What is printed @ms after the step began. */
static void check(const struct cow_import_progress *now, uint64_t ms, const char *want)
{
	struct cow_progress p = {
	    .on_terminal = 1, .step = now->step, .step_ms = cow_now_ms() - ms};
	char text[256] = "";
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	int r = cow_progress_step(&p, now);

	(void)fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(ends[1]);
	(void)close(saved);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	(void)close(ends[0]);
	assert_int_equal(r, 0);
	if (!strstr(text, want))
		fail_msg("'%s' has no '%s'", text, want);
}

static void time_is_told_by_what_is_known(void **state)
{
	/* An archive, by what was read of it; what the test itself takes does not show. */
	check(&(struct cow_import_progress){
		  .inodes = 5, .bytes = 9999, .source_bytes = 1000, .source_total = 1300},
	      10000, "5 objects");
	check(&(struct cow_import_progress){
		  .inodes = 5, .bytes = 9999, .source_bytes = 1000, .source_total = 1300},
	      10000, ", 0:03 left");
	/* A directory or disk, by what there is in all. */
	check(&(struct cow_import_progress){.inodes = 5, .bytes = 1000, .bytes_total = 1300}, 10000,
	      ", 0:03 left");
	/* A packed disk, twice. */
	check(&(struct cow_import_progress){
		  .step = COW_IMPORT_UNPACK, .source_bytes = 100, .source_total = 700},
	      10000, "unpacking: 100");
	check(&(struct cow_import_progress){.step = COW_IMPORT_FILL,
					    .bytes = 1000,
					    .bytes_total = 1300,
					    .source_bytes = 700,
					    .source_total = 700},
	      10000, ", 0:03 left");
	check(&(struct cow_import_progress){
		  .step = COW_IMPORT_MANIFEST, .inodes = 3, .bytes = 100, .bytes_total = 700},
	      10000, "manifest: 3 objects");
}

static void nothing_is_guessed(void **state)
{
	static const struct cow_import_progress unknown[] = {
	    {.bytes = 100},
	    {.bytes = 1, .bytes_total = 1000},
	    {.bytes = 100, .bytes_total = 99},
	    {.source_total = 100},
	};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		check(&unknown[i], 10000, "/s");
	struct cow_progress p = {.on_terminal = 0};

	assert_int_equal(cow_progress_step(&p, &unknown[0]), 0);
	assert_int_equal(p.shown, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(time_is_told_by_what_is_known),
	    cmocka_unit_test(nothing_is_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
