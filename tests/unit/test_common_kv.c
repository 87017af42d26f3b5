/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cow_test.h"

#include "common/bounds.h"
#include "common/kv.h"

static struct cow_kv *parse(const char *s)
{
	struct cow_kv *kv = NULL;
	struct cow_err e = COW_ERR_INIT;
	assert_int_equal(cow_kv_parse(s, strlen(s), "test", &kv, &e), 0);
	return kv;
}

static void records_are_read_as_written(void **state)
{
	(void)state;
	struct cow_kv *kv = parse("# comment\r\n\n name =  two words \r\nempty=\n"
				  "[nfs]\nport = 2049\nlist = a\nlist = b\nname=other\n");
	assert_string_equal(cow_kv_get(kv, "", "name"), "two words");
	assert_string_equal(cow_kv_get(kv, "", "empty"), "");
	assert_string_equal(cow_kv_get(kv, "nfs", "name"), "other");
	assert_string_equal(cow_kv_get(kv, "nfs", "list"), "b");
	assert_string_equal(cow_kv_get_nth(kv, "nfs", "list", 0), "a");
	assert_null(cow_kv_get_nth(kv, "nfs", "list", 2));
	assert_null(cow_kv_get(kv, "", "port"));
	uint64_t port = 1;
	assert_int_equal(cow_kv_get_u64(kv, "nfs", "port", 1, 65535, &port, NULL), 0);
	assert_int_equal(port, 2049);
	assert_int_equal(cow_kv_get_u64(kv, "nfs", "absent", 1, 65535, &port, NULL), 0);
	assert_int_equal(port, 2049);
	cow_kv_free(kv);
}

static void lines_of_another_form_are_refused_with_their_number(void **state)
{
	(void)state;
	static const char *const bad[] = {"a=1\nnonsense\n", "a=1\n=x\n",	"a=1\n[sec\n",
					  "a=1\n[]\n",	     "a=1\nb c = 1\n", "a=1\n[a/b]\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cow_kv *kv = NULL;
		struct cow_err e = COW_ERR_INIT;
		assert_int_equal(cow_kv_parse(bad[i], strlen(bad[i]), "f", &kv, &e), -EINVAL);
		assert_null(kv);
		assert_non_null(strstr(e.text, "f, line 2"));
	}
	struct cow_kv *kv = NULL;
	assert_int_equal(cow_kv_parse("a=\0b", 4, "f", &kv, NULL), -EINVAL);
	char *longline = malloc(COW_KV_LINE_MAX + 10);
	memset(longline, 'x', COW_KV_LINE_MAX + 10);
	longline[1] = '=';
	assert_int_equal(cow_kv_parse(longline, COW_KV_LINE_MAX + 10, "f", &kv, NULL), -EINVAL);
	free(longline);
}

static void values_the_grammar_cannot_carry_are_refused(void **state)
{
	(void)state;
	struct cow_kv *kv = NULL;
	assert_int_equal(cow_kv_new(&kv), 0);
	assert_int_equal(cow_kv_set(kv, "", "k", "a\nb"), -EINVAL);
	assert_int_equal(cow_kv_set(kv, "", "k", " a"), -EINVAL);
	assert_int_equal(cow_kv_set(kv, "", "k", "a\r"), -EINVAL);
	assert_int_equal(cow_kv_set(kv, "", "k=", "a"), -EINVAL);
	assert_int_equal(cow_kv_set(kv, "a]", "k", "a"), -EINVAL);
	assert_int_equal(cow_kv_add(kv, "", "k", NULL), -EINVAL);
	assert_null(cow_kv_get(kv, "", "k"));
	cow_kv_free(kv);
}

static void set_replaces_all_and_add_adds_one(void **state)
{
	(void)state;
	struct cow_kv *kv = parse("x = 1\ny = 2\nx = 3\n[s]\nx = 4\n");
	assert_int_equal(cow_kv_set(kv, "", "x", "9"), 0);
	assert_int_equal(cow_kv_add(kv, "", "x", "10"), 0);
	assert_int_equal(cow_kv_set(kv, "", "y", NULL), 0);
	assert_int_equal(cow_kv_setf(kv, "t", "n", "%d", 5), 0);
	char *s;
	size_t len;
	assert_int_equal(cow_kv_format(kv, &s, &len), 0);
	assert_string_equal(s, "x = 9\nx = 10\n\n[s]\nx = 4\n\n[t]\nn = 5\n");
	struct cow_kv *again = parse(s);
	const char *sec, *key, *value;
	assert_int_equal(cow_kv_entry(again, 3, &sec, &key, &value), 0);
	assert_string_equal(sec, "t");
	assert_string_equal(key, "n");
	assert_string_equal(value, "5");
	assert_int_equal(cow_kv_entry(again, 4, NULL, NULL, NULL), -ENOENT);
	free(s);
	cow_kv_free(kv);
	cow_kv_free(again);
}

static void switches_take_the_usual_words(void **state)
{
	(void)state;
	struct cow_kv *kv = parse("a = yes\nb = off\nc = maybe\n");
	struct cow_err e = COW_ERR_INIT;
	int v = 0;
	assert_int_equal(cow_kv_get_switch(kv, "", "a", &v, &e), 0);
	assert_int_equal(v, 1);
	assert_int_equal(cow_kv_get_switch(kv, "", "b", &v, &e), 0);
	assert_int_equal(v, 0);
	assert_int_equal(cow_kv_get_switch(kv, "", "c", &v, &e), -EINVAL);
	assert_non_null(strstr(e.text, "maybe"));
	cow_kv_free(kv);
}

static void files_round_trip(void **state)
{
	struct tmpdir *t = *state;
	struct cow_kv *kv = parse("future-key = kept\n"), *back = NULL;
	struct cow_err e = COW_ERR_INIT;
	assert_int_equal(cow_kv_write_at(t->fd, "c.conf", kv, 0600, &e), 0);
	assert_int_equal(cow_kv_read_at(t->fd, "c.conf", &back, &e), 0);
	assert_string_equal(cow_kv_get(back, "", "future-key"), "kept");
	cow_kv_free(kv);
	cow_kv_free(back);
	back = NULL;
	assert_int_equal(cow_kv_read_at(t->fd, "absent", &back, &e), -ENOENT);
	assert_int_equal(e.code, COW_ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_read_as_written),
		cmocka_unit_test(lines_of_another_form_are_refused_with_their_number),
		cmocka_unit_test(values_the_grammar_cannot_carry_are_refused),
		cmocka_unit_test(set_replaces_all_and_add_adds_one),
		cmocka_unit_test(switches_take_the_usual_words),
		cmocka_unit_test_setup_teardown(files_round_trip, tmpdir_setup, tmpdir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
