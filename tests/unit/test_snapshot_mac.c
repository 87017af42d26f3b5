/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cow_test.h"

#include "snapshot/mac.h"

static int parse(const char *s, struct cow_mac *mac)
{
	return cow_mac_parse(s, strlen(s), mac);
}

static void every_usual_spelling_is_one_address(void **state)
{
	static const char *const spellings[] = {
	    "dc:a6:32:01:02:03", "DC:A6:32:01:02:03", "dc-a6-32-01-02-03",
	    "dca6.3201.0203",	 "DCA632010203",      "01-dc-a6-32-01-02-03",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++) {
		struct cow_mac mac;
		char text[COW_MAC_TEXT_LEN + 1];
		assert_int_equal(parse(spellings[i], &mac), 0);
		cow_mac_text(&mac, text);
		assert_string_equal(text, "dc-a6-32-01-02-03");
	}
}

static void what_no_machine_has_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "d",
	    "dc:a6:32:01:02",
	    "dc:a6:32:01:02:03:04",
	    "dc:a6:32:01:02:0g",
	    "dc:a6:32:01:02:3",
	    "dc:a6-32:01-02:03",
	    "dc a6 32 01 02 03",
	    " dc:a6:32:01:02:03",
	    "dc:a6:32:01:02:03\n",
	    "dca6:3201:0203",
	    "dc.a6.32.01.02.03",
	    "00:00:00:00:00:00",
	    "ff:ff:ff:ff:ff:ff",
	    "01:00:5e:00:00:01",
	    "02-dc-a6-32-01-02-03",
	    "01-dc:a6:32:01:02:0",
	    "../../../../../..",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct cow_mac mac = {{9}};
		assert_int_equal(parse(bad[i], &mac), -EINVAL);
		assert_int_equal(mac.b[0], 9); /* untouched on failure */
	}
}

static void only_counted_bytes_are_read(void **state)
{
	static const char text[] = {'d', 'c', 'a', '6', '3', '2', '0', '1', '0', '2', '0', '3'};
	struct cow_mac mac;
	(void)state;
	assert_int_equal(cow_mac_parse(text, sizeof(text), &mac), 0);
	assert_int_equal(cow_mac_parse(text, sizeof(text) - 1, &mac), -EINVAL);
	assert_int_equal(cow_mac_parse(text, 0, &mac), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_usual_spelling_is_one_address),
	    cmocka_unit_test(what_no_machine_has_is_refused),
	    cmocka_unit_test(only_counted_bytes_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
