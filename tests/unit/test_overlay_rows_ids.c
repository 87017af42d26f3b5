/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine's semantics, rows 22 to 30: inode numbers, links, handles. See test_overlay_rows_names.c.
 */
#include "layer_test.h"

struct handle {
	uint8_t b[COW_OVL_HANDLE_MAX];
	size_t len;
};

static struct handle handle_at(struct ovl *f, const char *path)
{
	struct handle h = {0};
	cow_autonode n = get(f, path);
	h.len = cow_ovl_handle(n, h.b);
	return h;
}

static int from(struct ovl *f, const struct handle *h, struct cow_ovl_node **ret)
{
	return cow_ovl_from_handle(f->inst, h->b, h->len, ret);
}

static int from_dead(struct ovl *f, const struct handle *h)
{
	cow_autonode none = NULL;
	return from(f, h, &none);
}

/* One of each type, and a directory with something in it. */
static const char *const objects[] = {"file", "dir",  "link", "fifo",	"sock",
				      "null", "loop", "one",  "dir/sub"};
#define OBJECTS (sizeof(objects) / sizeof(*objects))

static void bring_up_all(struct ovl *f)
{
	for (size_t k = 0; k < OBJECTS; k++)
		up_at(f, objects[k]);
}

/* Row 22: an object keeps its id when it is brought up, renamed, and over restarts; ids are below
 * 2^53, those of the image below 2^31, and nobody shares one. */
static void ids_never_change(void **state)
{
	struct ovl *f = *state;
	uint64_t id[OBJECTS], born;
	for (size_t k = 0; k < OBJECTS; k++) {
		id[k] = attr_at(f, objects[k]).id;
		assert_true(id[k] > 0 && id[k] < INT32_MAX);
		for (size_t j = 0; j < k; j++)
			assert_int_not_equal(id[k], id[j]);
	}
	ok(make_at(f, "born", S_IFREG, 0644));
	born = attr_at(f, "born").id;
	assert_true(born > UINT32_MAX && born < UINT64_C(1) << 53);
	bring_up_all(f);
	for (int restarted = 0; restarted < 2; restarted++) {
		for (size_t k = 0; k < OBJECTS; k++)
			assert_int_equal(attr_at(f, objects[k]).id, id[k]);
		assert_int_equal(attr_at(f, "born").id, born);
		ovl_restart(f);
	}
	ok(mv_at(f, "file", "empty/file", 0));
	ok(mv_at(f, "born", "empty/born", 0));
	ok(mv_at(f, "dir", "empty/dir", 0));
	for (int restarted = 0; restarted < 2; restarted++) {
		assert_int_equal(attr_at(f, "empty/file").id, id[0]);
		assert_int_equal(attr_at(f, "empty/dir").id, id[1]);
		assert_int_equal(attr_at(f, "empty/dir/sub").id, id[8]);
		assert_int_equal(attr_at(f, "empty/born").id, born);
		ovl_restart(f);
	}
}

/* Row 23: what several names of the image are one file stays one: bring it up by one of them and all
 * show it, with its id and link count; also when that name is removed, and after a restart. */
static void hard_links_of_the_image_stay_one_file(void **state)
{
	struct ovl *f = *state;
	uint64_t id = attr_at(f, "one").id;
	assert_int_equal(attr_at(f, "two").id, id);
	cow_autonode reader = get(f, "two");
	cow_autoopen o = NULL;
	char buf[16] = {0};
	ok(cow_ovl_open(reader, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	put_at(f, "one", "changed");
	assert_int_equal(get_bytes(o, buf, 15, 0), 7); /* opened before, by another name */
	assert_string_equal(buf, "changed");
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_put(cow_steal_ptr(&reader));
	for (int restarted = 0; restarted < 2; restarted++) {
		static const char *const names[] = {"one", "two", "dir/three"};
		for (int k = 0; k < 3; k++) {
			assert_text_at(f, names[k], "changed");
			assert_int_equal(attr_at(f, names[k]).id, id);
			assert_int_equal(attr_at(f, names[k]).nlink, 3);
		}
		ovl_restart(f);
	}
	assert_false(on_disk(f, "upper/two")); /* it has not even got that name */
	ok(rm_at(f, "one"));
	ovl_restart(f);
	assert_text_at(f, "two", "changed");
	put_at(f, "dir/three", "again");
	assert_text_at(f, "two", "again");
	assert_int_equal(attr_at(f, "two").nlink, 2);
	ok(mv_at(f, "two", "moved", 0));
	assert_same_after_restart(f);
	assert_text_at(f, "moved", "again");
	ok(rm_at(f, "moved"));
	ok(rm_at(f, "dir/three"));
	assert_int_equal(disk_count(f, "work/index"), 0);
	assert_same_after_restart(f);
}

/* Row 24: links are counted over both layers: names of the image that are still to be seen, names
 * in the upper, not the anchor. Directories say 1, always. */
static void link_counts_are_those_of_the_union(void **state)
{
	struct ovl *f = *state;
	static const struct step {
		const char *what, *a, *b;
		unsigned nlink; /* of dir/three */
	} steps[] = {
	    {"look", NULL, NULL, 3},	     {"link", "two", "four", 4}, /* brings it up */
	    {"remove", "one", NULL, 3},	     {"link", "four", "dir/five", 4},
	    {"remove", "four", NULL, 3},     {"move", "two", "two-moved", 3},
	    {"over", "file", "dir/five", 2}, {"remove", "two-moved", NULL, 1},
	};
	assert_int_equal(attr_at(f, "file").nlink, 1);
	for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
		const struct step *s = &steps[k];
		switch (s->what[0]) {
		case 'l':
			if (s->b)
				ok(ln_at(f, s->a, s->b));
			break;
		case 'r':
			ok(rm_at(f, s->a));
			break;
		default:
			ok(mv_at(f, s->a, s->b, 0));
		}
		assert_int_equal(attr_at(f, "dir/three").nlink, s->nlink);
		ovl_restart(f);
		assert_int_equal(attr_at(f, "dir/three").nlink, s->nlink);
	}
	ok(ln_at(f, "dir/second", "again")); /* one that has one name in the image */
	assert_int_equal(attr_at(f, "again").nlink, 2);
	assert_int_equal(attr_at(f, "dir/second").nlink, 2);
	assert_int_equal(attr_at(f, "dir").nlink, 1);
	ok(make_at(f, "dir/sub/born", S_IFDIR, 0755));
	assert_int_equal(attr_at(f, "dir/sub").nlink, 1);
}

/* Row 25: the handle of an image object is the same bytes before and after it is brought up, renamed,
 * its parents renamed, and over restarts, and leads to it without anything in memory. */
static void handles_of_image_objects_never_change(void **state)
{
	struct ovl *f = *state;
	struct handle h[OBJECTS], deep = handle_at(f, "dir/sub/er/deepest");
	uint64_t id[OBJECTS];
	for (size_t k = 0; k < OBJECTS; k++) {
		h[k] = handle_at(f, objects[k]);
		id[k] = attr_at(f, objects[k]).id;
		assert_int_equal(h[k].b[1], 'L');
	}
	for (int step = 0; step < 4; step++) {
		if (step == 1)
			bring_up_all(f);
		if (step == 2)
			ok(mv_at(f, "dir/sub", "empty/sub", 0));
		if (step == 3)
			ok(mv_at(f, "empty", "elsewhere", 0));
		for (int restarted = 0; restarted < 2; restarted++) {
			for (size_t k = 0; k < OBJECTS; k++) {
				cow_autonode n = NULL;
				struct handle again = {0};
				ok(from(f, &h[k], &n));
				again.len = cow_ovl_handle(n, again.b);
				assert_memory_equal(&again, &h[k], sizeof(again));
				assert_int_equal(cow_ovl_id(n), id[k]);
			}
			cow_autonode n = NULL;
			ok(from(f, &deep, &n));
			assert_text(n, "deepest");
			cow_ovl_put(cow_steal_ptr(&n));
			ovl_restart(f);
		}
	}
}

/* Row 26: the handle of a deleted object is stale, though the image still has it; of a replaced name
 * it is the old object, as long as that is open. */
static void handles_of_deleted_objects_are_stale(void **state)
{
	struct ovl *f = *state;
	struct handle file = handle_at(f, "file"), second = handle_at(f, "dir/second"),
		      inner = handle_at(f, "dir/file"), link = handle_at(f, "one"),
		      empty = handle_at(f, "empty");
	cow_autonode old = get(f, "file");
	cow_autoopen o = NULL;
	char buf[32] = {0};
	ok(cow_ovl_open(old, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	ok(mv_at(f, "dir/second", "file", 0)); /* replaces it */
	{
		cow_autonode n = NULL;
		ok(from(f, &file, &n));
		assert_ptr_equal(n, old);
		assert_int_equal(attr_of(n).nlink, 0);
		assert_int_equal(get_bytes(o, buf, sizeof(buf), 0), 12);
	}
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_put(cow_steal_ptr(&old));
	ok(rm_at(f, "dir/file"));
	ok(rm_at(f, "empty"));
	ok(rm_at(f, "one"));
	ok(rm_at(f, "two"));
	assert_int_equal(from_dead(f, &link), 0); /* it has one more name */
	ok(rm_at(f, "dir/three"));
	for (int restarted = 0; restarted < 2; restarted++) {
		assert_int_equal(from_dead(f, &file), -ESTALE);
		assert_int_equal(from_dead(f, &inner), -ESTALE);
		assert_int_equal(from_dead(f, &empty), -ESTALE);
		assert_int_equal(from_dead(f, &link), -ESTALE);
		assert_int_equal(from_dead(f, &second), 0);
		ovl_restart(f);
	}
	ok(make_at(f, "dir/file", S_IFREG, 0644)); /* the name again, another object */
	assert_int_equal(from_dead(f, &inner), -ESTALE);
}

/* Row 27: a handle does not lead to another object that got the inode number. */
static void a_reused_inode_number_does_not_revive_a_handle(void **state)
{
	struct ovl *f = *state;
	bool reused = false;
	for (int k = 0; k < 200; k++) {
		ok(make_at(f, "dir/born", S_IFREG, 0600));
		struct handle h = handle_at(f, "dir/born");
		uint64_t id = attr_at(f, "dir/born").id;
		ok(rm_at(f, "dir/born"));
		ok(make_at(f, "dir/next", S_IFREG, 0600));
		reused |= attr_at(f, "dir/next").id == id;
		assert_int_equal(from_dead(f, &h), -ESTALE);
		ok(rm_at(f, "dir/next"));
	}
	/* ext4 gives a number out again at once; where none is, there is nothing to see. */
	print_message("an inode number came back: %s\n", reused ? "yes" : "no");
}

/* Row 28: what is not a handle of this instance is refused, whatever it is. */
static void forged_and_foreign_handles_are_refused(void **state)
{
	struct ovl *f = *state;
	ok(make_at(f, "born", S_IFREG, 0600));
	struct handle good[] = {handle_at(f, "file"), handle_at(f, "born"), handle_at(f, "")};
	for (size_t g = 0; g < sizeof(good) / sizeof(*good); g++) {
		for (size_t k = 0; k < good[g].len * 8; k++) {
			struct handle bad = good[g];
			bad.b[k / 8] ^= (uint8_t)(1u << (k % 8));
			int r = from_dead(f, &bad);
			assert_true(r == -EBADMSG || r == -ESTALE);
		}
		for (size_t len = 0; len < sizeof(good[g].b); len++) {
			struct handle bad = good[g];
			bad.len = len;
			if (len != good[g].len)
				assert_int_equal(from_dead(f, &bad), -EBADMSG);
		}
		assert_int_equal(from_dead(f, &good[g]), 0);
	}
	/* another client of the same image: the same numbers, not the same key */
	ok(mkdirat(f->tmp->fd, "other", 0755));
	struct cow_ovl_inst *i;
	cow_autoclose int dir = cow_opendir_at(f->tmp->fd, "other");
	ok(cow_ovl_inst_create(dir, f->img, NULL, NULL));
	ok(cow_ovl_inst_open(dir, f->img, 0, &i, NULL));
	struct cow_ovl_node *none = NULL;
	for (size_t g = 0; g < sizeof(good) / sizeof(*good); g++) {
		assert_int_equal(cow_ovl_from_handle(i, good[g].b, good[g].len, &none), -ESTALE);
		assert_int_equal(cow_ovl_handle_check(i, good[g].b, good[g].len), -ESTALE);
	}
	ok(cow_ovl_inst_close(i));
}

/* Row 29: after a reset every handle given out before is stale, the root's too. */
static void a_reset_kills_every_handle(void **state)
{
	struct ovl *f = *state;
	struct handle file = handle_at(f, "file"), root = handle_at(f, "");
	uint64_t before = cow_ovl_inst_epoch(f->inst), after = 0;
	assert_int_equal(cow_ovl_inst_renew(f->dirfd, &after, NULL), -EBUSY);
	ovl_detach(f);
	ok(cow_ovl_inst_renew(f->dirfd, &after, NULL));
	ovl_attach(f);
	assert_int_not_equal(before, after);
	assert_int_equal(cow_ovl_inst_epoch(f->inst), after);
	assert_int_equal(from_dead(f, &file), -ESTALE);
	assert_int_equal(from_dead(f, &root), -ESTALE);
	assert_text_at(f, "file", "of the image");
	struct handle now = handle_at(f, "file");
	assert_int_equal(from_dead(f, &now), 0);
	assert_memory_not_equal(&now, &file, sizeof(now));
}

/* Row 30: what front ends make a file system id of is the instance's own and lasts: the instance
 * number in its handles, and its epoch. */
static void the_instance_number_lasts(void **state)
{
	struct ovl *f = *state;
	struct handle before = handle_at(f, "");
	uint64_t epoch = cow_ovl_inst_epoch(f->inst), read = 0;
	ovl_restart(f);
	struct handle after = handle_at(f, "");
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(cow_ovl_inst_epoch(f->inst), epoch);
	ok(cow_ovl_inst_read_epoch(f->dirfd, &read, NULL));
	assert_int_equal(read, epoch);
	ok(mkdirat(f->tmp->fd, "other", 0755));
	cow_autoclose int dir = cow_opendir_at(f->tmp->fd, "other");
	ok(cow_ovl_inst_create(dir, f->img, NULL, NULL));
	ok(cow_ovl_inst_read_epoch(dir, &read, NULL));
	assert_int_not_equal(read, epoch);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(ids_never_change),
	    T(hard_links_of_the_image_stay_one_file),
	    T(link_counts_are_those_of_the_union),
	    T(handles_of_image_objects_never_change),
	    T(handles_of_deleted_objects_are_stale),
	    T(a_reused_inode_number_does_not_revive_a_handle),
	    T(forged_and_foreign_handles_are_refused),
	    T(a_reset_kills_every_handle),
	    T(the_instance_number_lasts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
