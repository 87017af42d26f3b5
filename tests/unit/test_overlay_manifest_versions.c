/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Manifests of several versions: numbers that go on, and the same bytes from the same tree.
 */
#include "ovm_test.h"

#include <openssl/evp.h>

/* ---------------------------------------------------------------- inheritance */

/* An image beside the fixture's, with the fixture's image or @parent as parent. */
static struct cow_ovl_image *next_version(struct ovm *f, const char *name,
					  const struct cow_ovl_image *parent,
					  void (*fill)(int tree))
{
	struct cow_ovl_image_build how = {.parent = parent};
	ok(mkdirat(f->dirfd, name, 0755));
	cow_autoclose int dir = open_dir(f->dirfd, name);
	ok(mkdirat(dir, "tree", 0755));
	cow_autoclose int tree = open_dir(dir, "tree");
	fill(tree);
	ok(build_with(dir, &how, NULL));
	return open_image(dir);
}

static void fill_v1(int tree)
{
	ok(mkdirat(tree, "etc", 0755));
	put_file(tree, "etc/passwd", "1");
	put_file(tree, "etc/gone", "1");
	put_file(tree, "etc/type", "1");
	put_file(tree, "etc/old-a", "1");
	ok(linkat(tree, "etc/old-a", tree, "etc/old-b", 0));
	ok(mkdirat(tree, "swap", 0755));
	put_file(tree, "swap/x", "1");
}

static void fill_v2(int tree)
{
	put_file(tree, "aaa-new", "2");
	ok(mkdirat(tree, "etc", 0700));
	put_file(tree, "etc/passwd", "changed");
	ok(symlinkat("t", tree, "etc/type"));
	put_file(tree, "etc/old-a", "1"); /* no longer one object */
	put_file(tree, "etc/old-b", "1");
	put_file(tree, "swap", "now a file");
}

static void fill_v3(int tree)
{
	fill_v1(tree);
}

static void equal_paths_keep_their_numbers(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info i1, i2;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	cow_ovl_image_info(v1, &i1);
	cow_ovl_image_info(v2, &i2);
	assert_int_equal(at(v2, "etc"), at(v1, "etc"));
	assert_int_equal(at(v2, "etc/passwd"), at(v1, "etc/passwd"));
	assert_memory_equal(i1.lineage, i2.lineage, sizeof(i1.lineage));
	assert_memory_equal(i1.uuid, i2.parent, sizeof(i1.uuid));
	assert_memory_not_equal(i1.uuid, i2.uuid, sizeof(i1.uuid));
	assert_memory_equal(cow_man_uuid(v2), i2.uuid, sizeof(i2.uuid));
	assert_memory_equal(cow_man_lineage(v2), i1.lineage, sizeof(i2.uuid));
	/* Names are sorted alike in all versions. */
	assert_int_equal(cow_man_hash(v1, "x", 1), cow_man_hash(v2, "x", 1));
	/* What is new has a number no object had. */
	assert_true(at(v2, "aaa-new") >= i1.next_number);
	assert_true(at(v2, "etc/type") >= i1.next_number);
	assert_true(at(v2, "swap") >= i1.next_number);
	assert_false(cow_man_has(v2, at(v1, "etc/gone")));
	assert_false(cow_man_has(v2, at(v1, "etc/type")));
	assert_false(cow_man_has(v2, at(v1, "swap")));
	assert_int_equal(i2.inodes, 8);
	assert_true(i2.next_number > i1.next_number);
	cow_ovl_image_close(v2);
}

static void links_that_part_share_no_number(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	assert_int_equal(at(v2, "etc/old-a"), at(v1, "etc/old-a"));
	assert_true(at(v2, "etc/old-b") >= v1->info.next_number);
	struct cow_ovl_image *v3 = next_version(f, "v3", v2, fill_v3);
	assert_int_equal(at(v3, "etc/old-a"), at(v1, "etc/old-a"));
	assert_int_equal(at(v3, "etc/old-b"), at(v1, "etc/old-a"));
	cow_ovl_image_close(v2);
	cow_ovl_image_close(v3);
}

static void a_path_that_returns_gets_a_new_number(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	struct cow_ovl_image *v2 = next_version(f, "v2", v1, fill_v2);
	struct cow_ovl_image *v3 = next_version(f, "v3", v2, fill_v3);
	static const char *const back[] = {"etc/gone", "etc/type", "swap", "swap/x"};
	for (size_t k = 0; k < sizeof(back) / sizeof(*back); k++)
		assert_true(at(v3, back[k]) >= v2->info.next_number);
	assert_int_equal(at(v3, "etc/passwd"), at(v1, "etc/passwd"));
	assert_true(v3->info.next_number >= v2->info.next_number);
	cow_ovl_image_close(v2);
	cow_ovl_image_close(v3);
}

static void nothing_is_forgotten_when_a_version_is_empty(void **state)
{
	struct ovm *f = *state;
	fill_v1(f->tree);
	const struct cow_ovl_image *v1 = ovm_image(f);
	cow_autoclose int none = open_dir(f->dirfd, ".");
	ok(mkdirat(none, "v2", 0755));
	cow_autoclose int dir = open_dir(none, "v2");
	ok(mkdirat(dir, "tree", 0755));
	struct cow_ovl_image_build how = {.parent = v1};
	ok(build_with(dir, &how, NULL));
	struct cow_ovl_image *v2 = open_image(dir);
	assert_int_equal(v2->info.next_number, v1->info.next_number);
	assert_int_equal(v2->info.inodes, 1);
	cow_ovl_image_close(v2);
}

static void the_same_tree_and_parent_give_the_same_bytes(void **state)
{
	struct ovm *f = *state;
	size_t len1, len2;
	make_zoo(f->tree);
	put_file(f->tree, "twin", "x");
	ok(linkat(f->tree, "twin", f->tree, "dir/twin", 0));
	ok(build_with(f->dirfd, NULL, NULL));
	ok(renameat(f->dirfd, COW_OVM_NAME, f->dirfd, "first"));
	ok(mkdirat(f->dirfd, "p", 0755));
	ok(linkat(f->dirfd, "first", f->dirfd, "p/" COW_OVM_NAME, 0));
	ok(mkdirat(f->dirfd, "p/tree", 0755));
	cow_autoclose int p = open_dir(f->dirfd, "p");
	struct cow_ovl_image *parent = open_image(p);
	struct cow_ovl_image_build how = {.parent = parent};
	ok(build_with(f->dirfd, &how, NULL));
	cow_autofree uint8_t *one = slurp(f->dirfd, &len1);
	ok(unlinkat(f->dirfd, COW_OVM_NAME, 0));
	ok(build_with(f->dirfd, &how, NULL));
	cow_autofree uint8_t *two = slurp(f->dirfd, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(one, two, len1);
	cow_ovl_image_close(parent);
}

static void the_id_is_the_digest_of_the_file(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image_info built, opened, peeked;
	uint8_t want[COW_OVM_ID_LEN], none[COW_OVM_ID_LEN] = {0};
	size_t len;
	make_zoo(f->tree);
	ok(cow_ovl_image_build(f->dirfd, NULL, &built, NULL));
	f->img = open_image(f->dirfd);
	cow_ovl_image_info(f->img, &opened);
	cow_autofree uint8_t *bytes = slurp(f->dirfd, &len);
	assert_int_equal(EVP_Digest(bytes, len, want, NULL, EVP_sha256(), NULL), 1);
	assert_memory_equal(built.id, want, sizeof(want));
	assert_memory_equal(&opened, &built, sizeof(built));
	ok(cow_ovl_image_peek(f->dirfd, &peeked, NULL));
	assert_memory_equal(peeked.id, none, sizeof(none));
	memcpy(peeked.id, want, sizeof(want));
	assert_memory_equal(&peeked, &built, sizeof(built));
}

#define T(name) cmocka_unit_test_setup_teardown(name, ovm_setup, ovm_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(equal_paths_keep_their_numbers),
	    T(links_that_part_share_no_number),
	    T(a_path_that_returns_gets_a_new_number),
	    T(nothing_is_forgotten_when_a_version_is_empty),
	    T(the_same_tree_and_parent_give_the_same_bytes),
	    T(the_id_is_the_digest_of_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
