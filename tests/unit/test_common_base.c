/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cow_test.h"

#include "common/checked.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/siphash.h"
#include "common/span.h"

static void siphash_matches_the_papers_vector(void **state)
{
	(void)state;
	uint8_t key[16], in[15];
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		in[i] = i;
	/* Appendix A of the paper: 15 bytes 00..0e under the key 00..0f. */
	assert_true(cow_siphash24(key, in, 15) == UINT64_C(0xa129ca6149be45e5));
	assert_true(cow_siphash24(key, in, 0) == UINT64_C(0x726fdb47dd0e0e31));
	assert_true(cow_siphash24(key, in, 8) == UINT64_C(0x93f5f5799a932462));
}

static void error_text_grows_outward_and_is_cut_not_overrun(void **state)
{
	(void)state;
	struct cow_err e = COW_ERR_INIT;
	assert_int_equal(cow_err_set(&e, -ENOENT, "open '%s'", "x"), -ENOENT);
	assert_string_equal(cow_err_str(&e), "open 'x': No such file or directory");
	assert_int_equal(cow_err_prefix(&e, -ENOENT, "import"), -ENOENT);
	cow_err_hint(&e, -ENOENT, "try another");
	assert_string_equal(cow_err_str(&e),
			    "import: open 'x': No such file or directory; try another");
	assert_int_equal(cow_err_exit_status(&e, -ENOENT), 3);
	for (int i = 0; i < 200; i++)
		cow_err_prefix(&e, -EIO, "a rather long piece of context, number %d", i);
	assert_int_equal(strlen(e.text), COW_ERR_TEXT_MAX - 1);
}

static void error_codes_are_the_exit_status(void **state)
{
	(void)state;
	struct cow_err e = COW_ERR_INIT;
	assert_int_equal(cow_err_exit_status(NULL, 0), 0);
	assert_int_equal(cow_err_exit_status(NULL, -EIO), 1);
	assert_int_equal(cow_err_exit_status(NULL, -EBUSY), 4);
	assert_int_equal(cow_err_exit_status(NULL, -EEXIST), 5);
	cow_err_say(&e, COW_ERR_USAGE, -EINVAL, "say more");
	assert_string_equal(cow_err_str(&e), "say more");
	assert_int_equal(cow_err_exit_status(&e, -EINVAL), 2);
	assert_string_equal(cow_err_str(NULL), "unknown error");
	assert_int_equal(cow_err_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void quoting_leaves_no_control_byte_and_no_broken_utf8(void **state)
{
	(void)state;
	assert_string_equal(COW_Q("plain name"), "'plain name'");
	assert_string_equal(COW_Q("a'b\\\n\x1b[0m"), "'a\\x27b\\x5c\\x0a\\x1b[0m'");
	assert_string_equal(COW_Q("gr\xc3\xbc\xc3\x9f"), "'gr\xc3\xbc\xc3\x9f'");
	assert_string_equal(COW_Q("\xc3"), "'\\xc3'");
	assert_string_equal(COW_Q("\xc2\x9b"), "'\\xc2\\x9b'");	     /* C1: CSI */
	assert_string_equal(COW_Q("\xed\xa0\x80"), "'\\xed\\xa0\\x80'"); /* surrogate */
	assert_string_equal(COW_Q("\xc0\xaf"), "'\\xc0\\xaf'");	     /* overlong */
	char big[4096];
	memset(big, 1, sizeof(big));
	struct cow_quoted q = cow_quote(big, sizeof(big));
	assert_true(strlen(q.s) < COW_QUOTE_MAX);
	assert_string_equal(q.s + strlen(q.s) - 4, "...'");
}

static void numbers_are_whole_strict_and_bounded(void **state)
{
	(void)state;
	uint64_t v = 7;
	assert_int_equal(cow_parse_u64("1468", 8, 65464, &v), 0);
	assert_int_equal(v, 1468);
	static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x10", "1468x", "abc"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cow_parse_u64(bad[i], 0, UINT64_MAX, &v), -EINVAL);
	assert_int_equal(cow_parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(cow_parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(cow_parse_u64("99999999999999999999999", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(cow_parse_u64("7", 8, 9, &v), -ERANGE);
	assert_true(v == UINT64_MAX); /* untouched on failure */
}

static void sizes_know_their_units(void **state)
{
	(void)state;
	uint64_t v = 0;
	assert_int_equal(cow_parse_size("10", &v), 0);
	assert_int_equal(v, 10);
	assert_int_equal(cow_parse_size("2G", &v), 0);
	assert_true(v == UINT64_C(2) << 30);
	assert_int_equal(cow_parse_size("1T", &v), 0);
	assert_true(v == UINT64_C(1) << 40);
	assert_int_equal(cow_parse_size("G", &v), -EINVAL);
	assert_int_equal(cow_parse_size("", &v), -EINVAL);
	assert_int_equal(cow_parse_size("1GB", &v), -EINVAL);
	assert_int_equal(cow_parse_size("99999999999T", &v), -ERANGE);
}

static void spans_do_not_pass_their_end(void **state)
{
	(void)state;
	static const uint8_t b[] = {1, 2, 3, 'a', 'b', 0, 'c'};
	struct cow_span s = cow_span_of(b, sizeof(b));
	uint8_t u8;
	uint16_t u16;
	uint64_t u64;
	const char *str;
	size_t len;
	assert_true(cow_span_u8(&s, &u8) && u8 == 1);
	assert_true(cow_span_be16(&s, &u16) && u16 == 0x0203);
	assert_false(cow_span_le64(&s, &u64));
	assert_int_equal(s.len, 4);
	assert_true(cow_span_cstr(&s, &str, &len));
	assert_int_equal(len, 2);
	assert_string_equal(str, "ab");
	assert_false(cow_span_cstr(&s, &str, &len)); /* no terminator */
	assert_false(cow_span_be16(&s, &u16));
	assert_int_equal(s.len, 1);
}

static void times_are_utc_text(void **state)
{
	(void)state;
	char t[COW_TIME_TEXT_LEN + 1];
	cow_time_text(0, t);
	assert_string_equal(t, "1970-01-01T00:00:00Z");
	cow_time_text(INT64_C(1767225600), t);
	assert_string_equal(t, "2026-01-01T00:00:00Z");
	cow_time_text(INT64_MAX, t);
	assert_string_equal(t, "0000-00-00T00:00:00Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_matches_the_papers_vector),
		cmocka_unit_test(error_text_grows_outward_and_is_cut_not_overrun),
		cmocka_unit_test(error_codes_are_the_exit_status),
		cmocka_unit_test(quoting_leaves_no_control_byte_and_no_broken_utf8),
		cmocka_unit_test(numbers_are_whole_strict_and_bounded),
		cmocka_unit_test(sizes_know_their_units),
		cmocka_unit_test(spans_do_not_pass_their_end),
		cmocka_unit_test(times_are_utc_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
