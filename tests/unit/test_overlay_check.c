/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The check of a root finds what must not be there, and nothing in a root that was only used. The
 * damage is done by hand to the detached upper.
 */
#include "layer_test.h"

#include "idattr.h"

struct findings {
	int n;
	char last[512];
};

static int note(void *ctx, const char *path, const char *what)
{
	struct findings *l = ctx;
	l->n++;
	(void)snprintf(l->last, sizeof(l->last), "%s: %s", path, what);
	return 0;
}

static int64_t check(struct ovl *f, struct findings *ret)
{
	struct cow_err err = COW_ERR_INIT;
	*ret = (struct findings){0};
	int64_t found = cow_ovl_inst_check(f->dirfd, f->img, note, ret, &err);
	if (found < 0)
		print_error("check: %s\n", cow_err_str(&err));
	assert_int_equal(found, ret->n);
	return found;
}

/* Use it: copies, moves, deletions, links, new things. */
static void use(struct ovl *f)
{
	put_at(f, "file", "changed");
	put_at(f, "dir/sub/deep", "changed");
	ok(mv_at(f, "dir/sub", "moved", 0));
	ok(rm_at(f, "dir/second"));
	ok(rm_at(f, "empty"));
	ok(make_at(f, "empty", S_IFDIR, 0755));
	ok(make_at(f, "empty/new", S_IFREG, 0644));
	ok(ln_at(f, "one", "moved/four"));
	ok(rm_at(f, "two"));
	ok(mv_at(f, "link", "moved/link", 0));
}

static void assert_one(struct ovl *f, const char *path, const char *what)
{
	struct findings l;
	assert_int_equal(check(f, &l), 1);
	if (!strstr(l.last, path) || !strstr(l.last, what))
		print_error("found '%s'\n", l.last);
	assert_non_null(strstr(l.last, path));
	assert_non_null(strstr(l.last, what));
}

static void raw_path(struct ovl *f, const char *path, char *ret, size_t len)
{
	(void)snprintf(ret, len, "/proc/self/fd/%d/upper/%s", f->dirfd, path);
}

static void raw_set(struct ovl *f, const char *path, const char *name, const void *value,
		    size_t len)
{
	char at[PATH_MAX];
	raw_path(f, path, at, sizeof(at));
	ok(lsetxattr(at, name, value, len, 0));
}

static void raw_drop(struct ovl *f, const char *path, const char *name)
{
	char at[PATH_MAX];
	raw_path(f, path, at, sizeof(at));
	ok(lremovexattr(at, name));
}

static void a_used_root_is_in_order(void **state)
{
	struct ovl *f = *state;
	struct findings l;
	use(f);
	assert_int_equal(check(f, &l), 0); /* beside the server */
	ovl_restart(f);
	assert_int_equal(check(f, &l), 0);
	ovl_detach(f);
	assert_int_equal(check(f, &l), 0);
	ovl_attach(f);
}

static void a_root_never_attached_is_in_order(void **state)
{
	struct ovl *f = *state;
	struct findings l;
	ovl_detach(f);
	ok(mkdirat(f->tmp->fd, "fresh", 0755));
	cow_autoclose int fresh = cow_opendir_at(f->tmp->fd, "fresh");
	ok(cow_ovl_inst_create_peek(fresh, f->image, NULL, NULL));
	assert_int_equal(cow_ovl_inst_check(fresh, f->img, note, &l, NULL), 0);
	/* Nothing of it is there before the first attach; the kernel's overlayfs makes a part. Roots of old have no lock file. */
	assert_int_equal(faccessat(fresh, "work", F_OK, 0), -1);
	ok(unlinkat(fresh, "lock", 0));
	assert_int_equal(cow_ovl_inst_check(fresh, f->img, note, &l, NULL), 0);
	ok(mkdirat(fresh, "work", 0755));
	ok(mkdirat(fresh, "work/work", 0));
	assert_int_equal(cow_ovl_inst_check(fresh, f->img, note, &l, NULL), 0);
	ovl_attach(f);
}

static void each_kind_of_damage_is_found(void **state)
{
	struct ovl *f = *state;
	uint8_t mark[sizeof(struct cow_id_attr)] = {0};
	char at[PATH_MAX];
	use(f);
	ovl_detach(f);

	raw_drop(f, "moved", COW_XA_IMPURE);
	assert_one(f, "/moved", "not marked so");
	raw_set(f, "moved", COW_XA_IMPURE, "y", 1);

	raw_set(f, "moved", COW_XA_OPAQUE, "y", 1);
	assert_one(f, "/moved", "opaque");
	raw_drop(f, "moved", COW_XA_OPAQUE);

	raw_set(f, "moved", COW_XA_REDIRECT, "/no/such", 8);
	assert_one(f, "/moved", "leads to nothing");
	raw_set(f, "moved", COW_XA_REDIRECT, "/dir/sub", 8);

	raw_set(f, "empty/new", COW_XA_ID, mark, sizeof(mark));
	assert_one(f, "/empty/new", "of another image");
	raw_drop(f, "empty/new", COW_XA_ID);

	raw_path(f, "empty/deleted", at, sizeof(at));
	ok(mknod(at, S_IFCHR, makedev(0, 0)));
	assert_one(f, "/empty/deleted", "hides nothing");
	ok(unlink(at));

	raw_path(f, "nothing", at, sizeof(at));
	ok(mknod(at, S_IFCHR, makedev(0, 0)));
	assert_one(f, "/nothing", "over nothing");
	ok(unlink(at));

	ok(mkdirat(f->dirfd, "work/work/#dead", 0700));
	assert_one(f, "work/work/#dead", "left by interrupted work");
	ovl_attach(f);
	struct findings l;
	assert_int_equal(check(f, &l), 0); /* swept */
}

static void two_that_say_they_are_one_are_found(void **state)
{
	struct ovl *f = *state;
	struct cow_id_attr id;
	char at[PATH_MAX];
	use(f);
	ovl_detach(f);
	raw_path(f, "moved/link", at, sizeof(at));
	assert_int_equal(lgetxattr(at, COW_XA_ID, &id, sizeof(id)), sizeof(id));
	raw_path(f, "moved/twin", at, sizeof(at));
	ok(symlink("dir/file", at));
	raw_set(f, "moved/twin", COW_XA_ID, &id, sizeof(id));
	struct findings l;
	assert_int_equal(check(f, &l), 1);
	assert_non_null(strstr(l.last, "another object stands for the same one"));
	ok(unlink(at));
	ovl_attach(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(a_used_root_is_in_order),
	    T(a_root_never_attached_is_in_order),
	    T(each_kind_of_damage_is_found),
	    T(two_that_say_they_are_one_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
