/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What passes of a btrfs send stream before `btrfs receive` sees it.
 */
#include "stream_test.h"

#include "btrfs_stream.h"

static const uint8_t ours[16] = "how it's called ";
#define OUR_CTRANSID 99

static struct stream in, out;

static int give(void *ctx, const void *p, size_t len, struct cow_err *err)
{
	(void)ctx;
	(void)err;
	stream_put(&out, p, len);
	return 0;
}

static const struct cow_btrfs_stream_limits wide = {
    .length = 1 << 20, .bytes = 1000, .objects = 10};

/* @in, in pieces of @piece bytes. Return: of the end, or what it was refused with. */
static int pass_limited(bool difference, size_t piece, const struct cow_btrfs_stream_limits *limits,
			struct cow_err *err)
{
	cow_autobtrfsstream s = NULL;
	struct cow_btrfs_stream_opts o = {
	    .what = "x.cow",
	    .name = "tree",
	    .difference = difference,
	    .parent_ctransid = OUR_CTRANSID,
	    .limits = *limits,
	    .give = give,
	};
	memcpy(o.parent, ours, sizeof(o.parent));
	*err = COW_ERR_INIT;
	out.len = 0;
	assert_int_equal(cow_btrfs_stream_new(&o, &s), 0);
	for (size_t at = 0; at < in.len; at += piece) {
		size_t n = in.len - at < piece ? in.len - at : piece;
		int r = cow_btrfs_stream_take(s, in.p + at, n, err);
		if (r < 0)
			return r;
	}
	return cow_btrfs_stream_end(s, err);
}

static int pass(bool difference, size_t piece)
{
	struct cow_err err;
	int r = pass_limited(difference, piece, &wide, &err);
	assert_true((r < 0) == (err.code != COW_OK));
	return r;
}

static void whole(void)
{
	static const char *const paths[] = {"d", "d/a", "d/..b", "d/.c", "d/\xfc\n", "d/..."};
	stream_begin(&in, 1);
	stream_subvol(&in, "tree");
	stream_command(&in, C_CHOWN);
	stream_text(&in, A_PATH, ""); /* of itself */
	stream_number(&in, A_UID, 0);
	stream_number(&in, A_GID, 0);
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++)
		stream_make(&in, k ? C_MKFILE : C_MKDIR, paths[k]);
	stream_link(&in, C_SYMLINK, "s", "/../../etc//passwd");
	stream_link(&in, C_RENAME, "d/a", "d/x");
	stream_link(&in, C_LINK, "d/y", "d/x");
	stream_write(&in, "d/x", "content");
	stream_clone(&in, "d/x", own_uuid, "d/..b");
	stream_command(&in, C_END);
}

static void a_stream_of_all_passes_as_it_is(void **state)
{
	static const size_t pieces[] = {1, 7, 10, sizeof(in.p)};
	(void)state;
	whole();
	for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
		assert_int_equal(pass(false, pieces[k]), 0);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.p, in.p, in.len);
	}
}

static void a_difference_stands_on_what_it_is_told(void **state)
{
	static struct stream want;
	(void)state;
	stream_begin(&in, 1);
	stream_snapshot(&in, "tree");
	stream_clone(&in, "a", parent_uuid, "b");
	stream_clone(&in, "a", own_uuid, "c");
	stream_command(&in, C_END);
	assert_int_equal(pass(true, 3), 0);
	/* The same, with other names for it. */
	stream_begin(&want, 1);
	stream_command(&want, C_SNAPSHOT);
	stream_text(&want, A_PATH, "tree");
	stream_attr(&want, A_UUID, own_uuid, sizeof(own_uuid));
	stream_number(&want, A_CTRANSID, 7);
	stream_attr(&want, A_CLONE_UUID, ours, sizeof(ours));
	stream_number(&want, A_CLONE_CTRANSID, OUR_CTRANSID);
	for (int k = 0; k < 2; k++) {
		stream_command(&want, C_CLONE);
		stream_number(&want, A_FILE_OFFSET, 0);
		stream_number(&want, A_CLONE_LEN, 4096);
		stream_text(&want, A_PATH, "a");
		stream_attr(&want, A_CLONE_UUID, k ? own_uuid : ours, 16);
		stream_number(&want, A_CLONE_CTRANSID, OUR_CTRANSID);
		stream_text(&want, A_CLONE_PATH, k ? "c" : "b");
		stream_number(&want, A_CLONE_OFFSET, 0);
	}
	stream_command(&want, C_END);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.p, want.p, want.len);
}

/* ---------------------------------------------------------------- refused */

/* The last command of @in is not given on. */
static void refuse_last(bool difference, const char *what)
{
	size_t before = in.command;
	int r = pass(difference, sizeof(in.p));
	if (r != -EBADMSG || out.len > before)
		fail_msg("%s: %d, %zu bytes were given on of %zu", what, r, out.len, before);
}

static void begin_all(void)
{
	stream_begin(&in, 1);
	stream_subvol(&in, "tree");
}

static void paths_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const paths[] = {"/etc/passwd", "..", "../a", "a/..",
					    "a/../b",	   ".",	 "./a",	 "a/./b",
					    "a//b",	   "a/", "/",	 "a/../../../b"};
	(void)state;
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++) {
		static const unsigned by_path[] = {C_MKFILE, C_MKDIR, C_MKNOD, C_MKFIFO, C_MKSOCK};
		for (size_t n = 0; n < sizeof(by_path) / sizeof(*by_path); n++) {
			begin_all();
			stream_make(&in, by_path[n], paths[k]);
			refuse_last(false, paths[k]);
		}
		begin_all();
		stream_write(&in, paths[k], "x");
		refuse_last(false, paths[k]);
		begin_all();
		stream_link(&in, C_SYMLINK, paths[k], "x");
		refuse_last(false, paths[k]);
		static const unsigned by_two[] = {C_RENAME, C_LINK};
		for (size_t n = 0; n < sizeof(by_two) / sizeof(*by_two); n++) {
			begin_all();
			stream_link(&in, by_two[n], "x", paths[k]);
			refuse_last(false, paths[k]);
			begin_all();
			stream_link(&in, by_two[n], paths[k], "x");
			refuse_last(false, paths[k]);
		}
		begin_all();
		stream_clone(&in, "x", own_uuid, paths[k]);
		refuse_last(false, paths[k]);
		begin_all();
		stream_clone(&in, paths[k], own_uuid, "x");
		refuse_last(false, paths[k]);
	}
	begin_all();
	stream_command(&in, C_MKFILE);
	stream_attr(&in, A_PATH, "a\0/../b", 7);
	refuse_last(false, "a NUL in a path");
	begin_all();
	stream_command(&in, C_MKFILE); /* the last of two counts */
	stream_text(&in, A_PATH, "a");
	stream_text(&in, A_PATH, "../a");
	refuse_last(false, "two paths");
	begin_all();
	stream_command(&in, C_MKFILE);
	stream_text(&in, A_PATH, "../a");
	stream_text(&in, A_PATH, "a");
	refuse_last(false, "two paths");
}

static void one_subvolume_is_made_and_under_its_name(void **state)
{
	static const char *const names[] = {"",	       "other",	 "tree2", "tre",
					    "../tree", "tree/x", "/tree"};
	(void)state;
	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
		stream_begin(&in, 1);
		stream_subvol(&in, names[k]);
		refuse_last(false, names[k]);
		stream_begin(&in, 1);
		stream_snapshot(&in, names[k]);
		refuse_last(true, names[k]);
	}
	stream_begin(&in, 1);
	stream_command(&in, C_SUBVOL);
	stream_attr(&in, A_UUID, own_uuid, sizeof(own_uuid));
	refuse_last(false, "no name");
	begin_all();
	stream_subvol(&in, "tree");
	refuse_last(false, "two");
	begin_all();
	stream_snapshot(&in, "tree");
	refuse_last(false, "a snapshot behind");
	stream_begin(&in, 1);
	stream_make(&in, C_MKFILE, "a");
	refuse_last(false, "none");
	stream_begin(&in, 1);
	stream_command(&in, C_END);
	refuse_last(false, "only an end");
	begin_all();
	stream_command(&in, C_END);
	stream_make(&in, C_MKFILE, "a");
	refuse_last(false, "something behind the end");
	begin_all();
	stream_command(&in, C_END);
	stream_begin(&out, 1);
	stream_put(&in, out.p, 17);
	assert_int_equal(pass(false, sizeof(in.p)), -EBADMSG); /* another stream */
}

static void it_stands_on_its_base_and_takes_from_nothing_else(void **state)
{
	(void)state;
	stream_begin(&in, 1);
	stream_snapshot(&in, "tree");
	refuse_last(false, "a difference where all was to come");
	stream_begin(&in, 1);
	stream_subvol(&in, "tree");
	refuse_last(true, "all where a difference was to come");
	begin_all();
	stream_clone(&in, "a", parent_uuid, "b");
	refuse_last(false, "from another subvolume");
	stream_begin(&in, 1);
	stream_snapshot(&in, "tree");
	stream_clone(&in, "a", ours, "b");
	refuse_last(true, "from a third subvolume");
	stream_begin(&in, 1);
	stream_snapshot(&in, "tree");
	stream_command(&in, C_CLONE);
	stream_attr(&in, A_CLONE_UUID, own_uuid, 15);
	refuse_last(true, "a short UUID");
	stream_begin(&in, 1);
	stream_snapshot(&in, "tree");
	stream_command(&in, C_CLONE);
	stream_attr(&in, A_CLONE_CTRANSID, own_uuid, 4);
	refuse_last(true, "a short number");
	begin_all();
	stream_command(&in, C_MKFILE);
	stream_attr(&in, A_UUID, parent_uuid, 16);
	refuse_last(false, "another UUID behind");
}

static void no_more_than_was_said_passes(void **state)
{
	struct cow_err err;
	struct cow_btrfs_stream_limits limits = wide;
	(void)state;
	whole();
	limits.objects = 7;
	assert_int_equal(pass_limited(false, 5, &limits, &err), 0);
	limits.objects = 6;
	assert_int_equal(pass_limited(false, 5, &limits, &err), -EBADMSG);
	limits = wide;
	limits.bytes = 7;
	assert_int_equal(pass_limited(false, 5, &limits, &err), 0);
	limits.bytes = 6;
	assert_int_equal(pass_limited(false, 5, &limits, &err), -EBADMSG);
	limits = wide;
	limits.length = in.len;
	assert_int_equal(pass_limited(false, 5, &limits, &err), 0);
	limits.length = in.len - 1;
	assert_int_equal(pass_limited(false, 5, &limits, &err), -EBADMSG);
}

static void unknown_things_are_refused(void **state)
{
	static const unsigned numbers[] = {0,	 C_UPDATE_EXTENT, 23, 24, C_ENCODED_WRITE, 26, 300,
					   65535};
	static const unsigned types[] = {0, 25, 26, 300, 65535};
	uint8_t much[4] = {0};
	(void)state;
	for (size_t k = 0; k < sizeof(numbers) / sizeof(*numbers); k++) {
		begin_all();
		stream_command(&in, numbers[k]);
		refuse_last(false, "a command");
	}
	for (size_t k = 0; k < sizeof(types) / sizeof(*types); k++) {
		begin_all();
		stream_command(&in, C_MKFILE);
		stream_attr(&in, types[k], "x", 1);
		refuse_last(false, "an attribute");
	}
	begin_all();
	stream_command(&in, C_MKFILE);
	stream_put(&in, "\017\0\2\0a", 5); /* says two bytes and has one */
	stream_seal(&in);
	refuse_last(false, "an attribute that is too long");
	begin_all();
	stream_command(&in, C_MKFILE);
	stream_put(&in, "\017\0\0", 3);
	stream_seal(&in);
	refuse_last(false, "an attribute that is cut");
	begin_all();
	stream_command(&in, C_MKFILE);
	cow_put_le32(much, 65537);
	memcpy(in.p + in.command, much, 4);
	refuse_last(false, "a command that is too long");
	stream_begin(&in, 2);
	assert_int_equal(pass(false, sizeof(in.p)), -EOPNOTSUPP);
	stream_begin(&in, 0);
	assert_int_equal(pass(false, sizeof(in.p)), -EOPNOTSUPP);
	in.len = 0;
	assert_int_equal(pass(false, sizeof(in.p)), -EBADMSG);
}

static void a_stream_that_is_cut_or_changed_is_refused(void **state)
{
	(void)state;
	whole();
	size_t len = in.len;
	for (in.len = 0; in.len < len; in.len++)
		assert_int_equal(pass(false, 4096), -EBADMSG);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		in.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int r = pass(false, 4096);
		if (r != -EBADMSG && !(r == -EOPNOTSUPP && bit / 8 >= 13 && bit / 8 < 17))
			fail_msg("bit %zu: %d", bit, r);
		in.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(pass(false, 4096), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stream_of_all_passes_as_it_is),
	    cmocka_unit_test(a_difference_stands_on_what_it_is_told),
	    cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
	    cmocka_unit_test(one_subvolume_is_made_and_under_its_name),
	    cmocka_unit_test(it_stands_on_its_base_and_takes_from_nothing_else),
	    cmocka_unit_test(no_more_than_was_said_passes),
	    cmocka_unit_test(unknown_things_are_refused),
	    cmocka_unit_test(a_stream_that_is_cut_or_changed_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
