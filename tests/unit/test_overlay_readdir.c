/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Listing: every entry once, cookies that hold through changes and restarts.
 */
#include "ovl_test.h"

#define N 10000

struct seen {
	uint8_t count[N];
	uint64_t cookie; /* of the last entry taken */
	int taken, stop_after, refuse_after, others;
	struct ovl *f;
	int (*also)(struct seen *s);
};

static int take(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct seen *s = ctx;
	if (s->refuse_after > 0 && s->taken == s->refuse_after)
		return -ENOBUFS;
	assert_int_equal(strlen(ent->name), ent->name_len);
	assert_true(ent->cookie >= 3 && ent->cookie <= INT64_MAX);
	assert_string_not_equal(ent->name, ".");
	assert_string_not_equal(ent->name, "..");
	if (ent->name[0] == 'f')
		s->count[strtol(ent->name + 1, NULL, 10)]++;
	else
		s->others++;
	s->cookie = ent->cookie;
	s->taken++;
	if (s->also)
		ok(s->also(s));
	return s->taken == s->stop_after;
}

static void fill(struct ovl *f, int n)
{
	char name[16];
	for (int k = 0; k < n; k++) {
		(void)snprintf(name, sizeof(name), "f%d", k);
		ok(make_file(f->root, name, NULL));
	}
}

static void all_once(const struct seen *s, int n)
{
	for (int k = 0; k < n; k++)
		assert_int_equal(s->count[k], 1);
}

static void ten_thousand_entries_each_once(void **state)
{
	struct ovl *f = *state;
	struct seen *s = calloc(1, sizeof(*s));
	int eof = 0;
	fill(f, N);
	ok(cow_ovl_readdir(f->root, 0, 0, take, s, &eof));
	assert_int_equal(eof, 1);
	assert_int_equal(s->taken, N);
	all_once(s, N);
	free(s);
}

/* Pages of 37, a restart and changes of other names in between. */
static void pages_go_on_after_changes_and_restarts(void **state)
{
	struct ovl *f = *state;
	enum { M = 1000 };
	struct seen *s = calloc(1, sizeof(*s));
	int eof = 0, pages = 0;
	char name[16];
	fill(f, M);
	for (int k = 0; k < 300; k++) {
		(void)snprintf(name, sizeof(name), "gone%d", k);
		ok(make_file(f->root, name, NULL));
	}
	s->stop_after = 37;
	while (!eof) {
		s->taken = 0;
		ok(cow_ovl_readdir(f->root, s->cookie, 0, take, s, &eof));
		if (pages < 300) {
			(void)snprintf(name, sizeof(name), "gone%d", pages);
			ok(rm(f->root, name, COW_REMOVE_FILE));
			(void)snprintf(name, sizeof(name), "new%d", pages);
			ok(make_file(f->root, name, NULL));
		}
		if (pages++ % 10 == 0)
			ovl_restart(f);
		assert_true(pages < 1000);
	}
	assert_true(pages > M / 37);
	all_once(s, M);
	free(s);
}

static void any_cookie_ever_handed_out_goes_on_behind_its_entry(void **state)
{
	struct ovl *f = *state;
	enum { M = 60 };
	static uint64_t cookies[M];
	int eof = 0;
	fill(f, M);
	struct seen *first = calloc(1, sizeof(*first));
	first->stop_after = 1;
	for (int k = 0; k < M; k++) {
		first->taken = 0;
		ok(cow_ovl_readdir(f->root, first->cookie, 0, take, first, &eof));
		cookies[k] = first->cookie;
	}
	all_once(first, M);
	for (int k = M - 1; k >= 0; k--) {
		struct seen *s = calloc(1, sizeof(*s));
		ok(cow_ovl_readdir(f->root, cookies[k], 0, take, s, &eof));
		assert_int_equal(eof, 1);
		assert_int_equal(s->taken, M - 1 - k);
		free(s);
	}
	free(first);
}

static void a_refused_entry_comes_again(void **state)
{
	struct ovl *f = *state;
	struct seen *s = calloc(1, sizeof(*s));
	int eof = 7;
	fill(f, 100);
	s->refuse_after = 40;
	assert_int_equal(cow_ovl_readdir(f->root, 0, 0, take, s, &eof), -ENOBUFS);
	assert_int_equal(eof, 7); /* written on success only */
	s->refuse_after = 0;
	ok(cow_ovl_readdir(f->root, s->cookie, 0, take, s, &eof));
	all_once(s, 100);
	assert_int_equal(eof, 1);
	free(s);
}

static int check_node(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct cow_ovl_node **keep = ctx;
	assert_non_null(ent->node);
	assert_non_null(ent->attr);
	assert_int_equal(cow_ovl_id(ent->node), ent->id);
	assert_int_equal(ent->attr->id, ent->id);
	assert_int_equal(cow_ovl_type(ent->node), ent->type);
	assert_int_equal(ent->attr->mode & S_IFMT, ent->type);
	if (strcmp(ent->name, "f7") == 0)
		*keep = cow_ovl_get(ent->node);
	return 0;
}

static void nodes_and_attributes_come_along(void **state)
{
	struct ovl *f = *state;
	cow_autonode keep = NULL;
	cow_autonode same = NULL;
	int eof = 0;
	fill(f, 50);
	ok(make(f->root, "d", S_IFDIR, 0755, NULL));
	ok(make(f->root, "l", S_IFLNK, 0777, NULL));
	ok(cow_ovl_readdir(f->root, 0, COW_READDIR_NODES, check_node, &keep, &eof));
	ok(look(f->root, "f7", &same));
	assert_ptr_equal(keep, same);
}

static int check_type(void *ctx, const struct cow_ovl_dirent *ent)
{
	cow_autonode n = NULL;
	struct ovl *f = ctx;
	ok(look(f->root, ent->name, &n)); /* the engine may be called from here */
	assert_int_equal(ent->type, cow_ovl_type(n));
	assert_int_equal(ent->id, cow_ovl_id(n));
	assert_null(ent->node);
	return 0;
}

static void types_and_ids_agree_with_lookup(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
				       S_IFBLK, S_IFIFO, S_IFSOCK};
	char name[2] = "a";
	int eof = 0;
	for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++, name[0]++)
		ok(make(f->root, name, types[k], 0600, NULL));
	ok(cow_ovl_readdir(f->root, 0, 0, check_type, f, &eof));
	assert_int_equal(eof, 1);
}

static int detach_once(struct seen *s)
{
	struct cow_ovl_inst *i = s->f->inst;
	s->also = NULL;
	s->f->inst = NULL;
	return cow_ovl_inst_close(i);
}

static void closing_the_instance_ends_a_scan(void **state)
{
	struct ovl *f = *state;
	struct seen *s = calloc(1, sizeof(*s));
	int eof = 0;
	fill(f, 100);
	s->f = f;
	s->also = detach_once;
	assert_int_equal(cow_ovl_readdir(f->root, 0, 0, take, s, &eof), -ESTALE);
	assert_int_equal(s->taken, 1);
	cow_ovl_put(f->root);
	ovl_attach(f);
	free(s);
}

static void bad_calls_are_refused(void **state)
{
	struct ovl *f = *state;
	struct seen *s = calloc(1, sizeof(*s));
	int eof = 0;
	cow_autonode n = NULL;
	ok(make_file(f->root, "f1", &n));
	assert_int_equal(cow_ovl_readdir(n, 0, 0, take, s, &eof), -ENOTDIR);
	assert_int_equal(cow_ovl_readdir(f->root, 1, 0, take, s, &eof), -EINVAL);
	assert_int_equal(cow_ovl_readdir(f->root, UINT64_MAX, 0, take, s, &eof), -EINVAL);
	assert_int_equal(cow_ovl_readdir(f->root, 0, 1u << 5, take, s, &eof), -EINVAL);
	assert_int_equal(s->taken, 0);
	free(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(ten_thousand_entries_each_once),
	    T(pages_go_on_after_changes_and_restarts),
	    T(any_cookie_ever_handed_out_goes_on_behind_its_entry),
	    T(a_refused_entry_comes_again),
	    T(nodes_and_attributes_come_along),
	    T(types_and_ids_agree_with_lookup),
	    T(closing_the_instance_ends_a_scan),
	    T(bad_calls_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
