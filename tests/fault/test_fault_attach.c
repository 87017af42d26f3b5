/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making, attaching, detaching and examining roots and images, with every allocation and every system
 * call failing once. After a failure nothing is left open, no lock is held, the tree and the image are
 * what they were, and the next attempt does it.
 */
#include "layer_test.h"

#include "fault.h"

static const int errnums[] = {0, EIO, ENOSPC, EDQUOT, EINTR, EMFILE, ENOMEM};

static unsigned open_fds(void)
{
	unsigned n = 0;
	const struct dirent *de;
	cow_autodir DIR *d = opendir("/proc/self/fd");
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1)
		n++;
	return n;
}

/* One way to fail: @act is tried with each fault; @check looks at what is left, whatever came of it. */
struct trial {
	const char *what;
	struct ovl *f;
	int (*act)(struct ovl *f);
	void (*before)(struct ovl *f); /* NULL: nothing to do */
	void (*after)(struct ovl *f, int r);
	int also;      /* another errno it may answer with; 0: none */
	bool attached; /* all the time: cached descriptors may go to make room */
};

static unsigned long faults;

static int one(const struct trial *t, int errnum, unsigned long nth)
{
	int expect = errnum ? -errnum : -ENOMEM;
	if (t->before)
		t->before(t->f);
	unsigned fds = open_fds();
	fault_arm(errnum, nth);
	int r = t->act(t->f);
	bool fired = fault_disarm();
	unsigned left = open_fds();
	if ((t->attached ? left > fds : left != fds) ||
	    (r < 0 && (!fired || (r != expect && (t->also == 0 || r != -t->also))))) {
		print_error("%s, %s %lu (%s): result %d, %u fds, before %u\n", t->what,
			    errnum ? strerror(errnum) : "allocation", nth, fault_where(), r, left,
			    fds);
		fail();
	}
	if (t->after)
		t->after(t->f, r);
	faults += fired;
	return !fired;
}

static void try_all(const struct trial *t)
{
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++)
		for (unsigned long nth = 0; !one(t, errnums[e], nth); nth++)
			assert_true(nth < 20000);
	print_message("%s: %lu faults\n", t->what, faults);
	faults = 0;
}

/* ---------------------------------------------------------------- images */

static void small_image(struct ovl *f)
{
	low_dir(f, "d", 0755);
	low_file(f, "d/a", "a");
	low_file(f, "f", "of the image");
	low_link(f, "f", "d/g");
	low_symlink(f, "s", "f");
	low_xattr(f, "f", "user.x", "x", 1);
}

static int build(struct ovl *f)
{
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_image_build(f->image, &how, &info, &err);
	if (r < 0)
		assert_true(cow_err_str(&err)[0] != '\0');
	return r;
}

/* Either all of it is there and loads, or none; never a temporary that is taken for it. */
static void build_after(struct ovl *f, int r)
{
	struct stat st;
	bool there = fstatat(f->image, COW_OVM_NAME, &st, 0) == 0;
	if (r == 0)
		assert_true(there);
	if (!there)
		return;
	struct cow_ovl_image *img = NULL;
	ok(cow_ovl_image_open(f->image, &img, NULL));
	cow_ovl_image_close(img);
	ok(unlinkat(f->image, COW_OVM_NAME, 0));
}

static void an_image_is_built_or_not(void **state)
{
	struct ovl *f = *state;
	small_image(f);
	cow_autofree char *before = raw_text(f->tree);
	try_all(&(struct trial){"build", f, build, NULL, build_after, 0, false});
	cow_autofree char *now = raw_text(f->tree);
	assert_string_equal(before, now);
	ok(cow_sweep_tmp_at(f->image));
	assert_true(faccessat(f->image, "tree", F_OK, 0) == 0);
}

static int load(struct ovl *f)
{
	struct cow_ovl_image *img = NULL;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_image_open(f->image, &img, &err);
	assert_true((r == 0) == (img != NULL));
	cow_ovl_image_close(img);
	return r;
}

static int peek(struct ovl *f)
{
	struct cow_ovl_image_info info;
	return cow_ovl_image_peek(f->image, &info, NULL);
}

/* What cannot be read differs, as far as anybody can tell. */
static int differs(void *ctx, const char *path, const char *what)
{
	if (strcmp(what, "cannot be read") == 0)
		return -EIO;
	print_error("'%s': %s\n", path, what);
	return 0;
}

static int verify(struct ovl *f)
{
	int64_t n = cow_ovl_image_verify(f->image, NULL, differs, NULL, NULL, NULL);
	assert_true(n <= 0); /* a failure is no difference */
	return (int)n;
}

static void an_image_is_loaded_and_verified_or_not(void **state)
{
	struct ovl *f = *state;
	small_image(f);
	ok(build(f));
	try_all(&(struct trial){"load", f, load, NULL, NULL, 0, false});
	try_all(&(struct trial){"peek", f, peek, NULL, NULL, 0, false});
	try_all(&(struct trial){"verify", f, verify, NULL, NULL, 0, false});
}

/* ---------------------------------------------------------------- roots */

static void empty_root(struct ovl *f)
{
	ok(cow_rm_rf_at(f->tmp->fd, "root", COW_RM_CONTENTS));
}

static int create(struct ovl *f)
{
	return cow_ovl_inst_create(f->dirfd, f->img, NULL, NULL);
}

static int create_peek(struct ovl *f)
{
	return cow_ovl_inst_create_peek(f->dirfd, f->image, NULL, NULL);
}

/* Without a record it is no root; the next attempt makes one of what is there. */
static void create_after(struct ovl *f, int r)
{
	bool there = on_disk(f, "instance");
	if (r == 0)
		assert_true(there);
	if (!there) {
		struct cow_ovl_inst *none = NULL;
		assert_int_equal(cow_ovl_inst_open(f->dirfd, f->img, 0, &none, NULL), -ENOENT);
		ok(create(f));
	}
	ovl_attach(f);
	assert_text_at(f, "f", "of the image");
	put_at(f, "f", "changed");
	ovl_detach(f);
}

static void a_root_is_made_or_not(void **state)
{
	struct ovl *f = *state;
	small_image(f);
	layer_image(f);
	try_all(&(struct trial){"create", f, create, empty_root, create_after, 0, false});
	try_all(&(struct trial){"create by the header", f, create_peek, empty_root, create_after, 0,
				false});
}

/* ---------------------------------------------------------------- files of a fresh root */

static void fresh_root(struct ovl *f)
{
	empty_root(f);
	ok(create_peek(f));
}

/* A file of the image replaced, one made below it, a link where there was none. */
static int seed(struct ovl *f)
{
	struct cow_ovl_seed *s = NULL;
	int r = cow_ovl_seed_begin(f->dirfd, f->image, &s, NULL);
	if (r == 0)
		r = cow_ovl_seed_file(s, "f", "seeded", 6, 0600);
	if (r == 0)
		r = cow_ovl_seed_file(s, "d/made/new", "new", 3, 0640);
	if (r == 0)
		r = cow_ovl_seed_symlink(s, "link", "f");
	cow_ovl_seed_end(s);
	return r;
}

/* A file is as it was or as it is to be, and the next attempt does it. */
static void seed_after(struct ovl *f, int r)
{
	if (r < 0)
		ok(seed(f));
	ovl_attach(f);
	assert_text_at(f, "f", "seeded");
	assert_text_at(f, "d/made/new", "new");
	assert_text_at(f, "d/a", "a");
	ovl_detach(f);
	assert_int_equal(cow_ovl_inst_check(f->dirfd, f->img, NULL, NULL, NULL), 0);
}

static void a_root_is_seeded_or_not(void **state)
{
	struct ovl *f = *state;
	small_image(f);
	layer_image(f);
	try_all(&(struct trial){"seed", f, seed, fresh_root, seed_after, 0, false});
}

static char *wanted; /* how the root looks */

static int finding(void *ctx, const char *path, const char *what)
{
	print_error("'%s': %s\n", path, what);
	return 0;
}

static int attach(struct ovl *f)
{
	struct cow_ovl_inst *i = NULL;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_inst_open(f->dirfd, f->img, 0, &i, &err);
	if (r < 0) {
		assert_true(cow_err_str(&err)[0] != '\0');
		return r;
	}
	fault_disarm();
	ok(cow_ovl_inst_close(i));
	return 0;
}

static int observe(struct ovl *f)
{
	struct cow_ovl_inst *i = NULL;
	int r = cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_OBSERVER, &i, NULL);
	return r < 0 ? r : cow_ovl_inst_close(i);
}

/* Whatever happened: the lock is free, and the tree is what it was. */
static void attach_after(struct ovl *f, int r)
{
	ovl_attach(f);
	cow_autofree char *now = tree_text(f->inst);
	assert_string_equal(now, wanted);
	ovl_detach(f);
	assert_int_equal(cow_ovl_inst_check(f->dirfd, f->img, finding, NULL, NULL), 0);
	assert_int_equal(disk_count(f, "work/work"), 0);
}

static void a_lived_in_root(struct ovl *f)
{
	small_image(f);
	layer_start(f);
	put_at(f, "d/a", "changed");
	put_at(f, "f", "linked and changed");
	ok(make_at(f, "born", S_IFREG, 0644));
	ok(rm_at(f, "s"));
	ok(mv_at(f, "d", "moved", 0));
	free(wanted);
	wanted = tree_text(f->inst);
	ovl_detach(f);
}

/* As a crash leaves it: not marked clean, with temporaries and an anchor of nothing. */
static void crash(struct ovl *f)
{
	ovl_attach(f);
	ok(mknodat(f->dirfd, "work/work/#77", S_IFREG | 0600, 0));
	ok(mkdirat(f->dirfd, "work/work/#78", 0700));
	ok(mknodat(f->dirfd, "work/work/#78/x", S_IFREG | 0600, 0));
	/* the record as it is while attached, put back after an orderly end */
	char slots[8192];
	cow_autoclose int fd = openat(f->dirfd, "instance", O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, slots, sizeof(slots), 0), sizeof(slots));
	ovl_detach(f);
	assert_int_equal(pwrite(fd, slots, sizeof(slots), 0), sizeof(slots));
}

/* As the kernel leaves it: another work/work, and no marks of ours. */
static void kernel_was_here(struct ovl *f)
{
	cow_autoclose int work = cow_opendir_at(f->dirfd, "work");
	ok(cow_rm_rf_at(work, "work", 0));
	ok(mkdirat(work, "work", 0));
}

static void a_root_is_attached_or_not(void **state)
{
	struct ovl *f = *state;
	a_lived_in_root(f);
	try_all(&(struct trial){"attach", f, attach, NULL, attach_after, 0, false});
	try_all(&(struct trial){"attach after a crash", f, attach, crash, attach_after, 0, false});
	try_all(&(struct trial){"attach after a kernel mount", f, attach, kernel_was_here,
				attach_after, 0, false});
	try_all(&(struct trial){"observe", f, observe, NULL, attach_after, 0, false});
}

/* Closed all the same, with whatever error: nothing open, the lock given back. */
static int detach(struct ovl *f)
{
	struct cow_ovl_inst *i = cow_steal_ptr(&f->inst);
	return cow_ovl_inst_close(i);
}

static unsigned fds_detached;

static void detach_before(struct ovl *f)
{
	ovl_attach(f);
	cow_ovl_put(cow_steal_ptr(&f->root));
}

static void a_root_is_detached_whatever_fails(void **state)
{
	struct ovl *f = *state;
	a_lived_in_root(f);
	fds_detached = open_fds();
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++) {
		bool fired = true;
		for (unsigned long nth = 0; fired; nth++) {
			detach_before(f);
			fault_arm(errnums[e], nth);
			int r = detach(f);
			fired = fault_disarm();
			if (r < 0)
				assert_int_equal(r, errnums[e] ? -errnums[e] : -ENOMEM);
			assert_int_equal(open_fds(), fds_detached);
			attach_after(f, r);
		}
	}
}

static int renew(struct ovl *f)
{
	return cow_ovl_inst_renew(f->dirfd, NULL, NULL);
}

static uint64_t epoch;

static void renew_before(struct ovl *f)
{
	ok(cow_ovl_inst_read_epoch(f->dirfd, &epoch, NULL));
}

/* Said to be done: it is. Not done: an epoch is there, the old or the new one, and the root is whole. */
static void renew_after(struct ovl *f, int r)
{
	uint64_t now = 0;
	ok(cow_ovl_inst_read_epoch(f->dirfd, &now, NULL));
	if (r == 0)
		assert_int_not_equal(now, epoch);
	attach_after(f, r);
}

static int read_epoch(struct ovl *f)
{
	uint64_t now;
	return cow_ovl_inst_read_epoch(f->dirfd, &now, NULL);
}

static int check(struct ovl *f)
{
	int64_t n = cow_ovl_inst_check(f->dirfd, f->img, finding, NULL, NULL);
	assert_true(n <= 0);
	return (int)n;
}

static int count_change(void *ctx, const struct cow_ovl_change *change)
{
	++*(int *)ctx;
	return 0;
}

static int diff(struct ovl *f)
{
	static int all;
	int n = 0;
	int r = cow_ovl_inst_diff(f->dirfd, f->img, count_change, &n, NULL);
	if (r == 0 && all == 0)
		all = n;
	if (r == 0 && n != all)
		print_error("diff: after %s\n", fault_where());
	if (r == 0)
		assert_int_equal(n, all); /* never a part of it */
	return r;
}

static void a_root_is_renewed_and_examined_or_not(void **state)
{
	struct ovl *f = *state;
	a_lived_in_root(f);
	ok(diff(f));
	try_all(&(struct trial){"renew", f, renew, renew_before, renew_after, 0, false});
	try_all(&(struct trial){"read the epoch", f, read_epoch, NULL, NULL, 0, false});
	try_all(&(struct trial){"check", f, check, NULL, attach_after, 0, false});
	try_all(&(struct trial){"diff", f, diff, NULL, attach_after, ELOOP, false});
}

/* ---------------------------------------------------------------- the limit */

static int limit(struct ovl *f)
{
	return cow_ovl_inst_limit(f->inst, 64 << 20);
}

/* It holds or it does not; the root works either way, and its use is counted right when it holds. */
static void limit_after(struct ovl *f, int r)
{
	static uint64_t used;
	struct cow_ovl_stats st;
	cow_ovl_stats(f->inst, &st);
	assert_int_equal(st.limit, r == 0 ? 64 << 20 : 0);
	if (r == 0 && used == 0)
		used = st.used;
	if (r == 0)
		assert_int_equal(st.used, used);
	cow_autofree char *now = tree_text(f->inst);
	assert_string_equal(now, wanted);
	ok(cow_ovl_inst_limit(f->inst, 0));
}

static void a_limit_is_set_or_not(void **state)
{
	struct ovl *f = *state;
	a_lived_in_root(f);
	ovl_attach(f);
	ok(limit(f)); /* once, so that what is cached meanwhile is no leak */
	limit_after(f, 0);
	try_all(&(struct trial){"limit", f, limit, NULL, limit_after, 0, true});
	ovl_detach(f);
}

static int tear_down(void **state)
{
	free(wanted);
	wanted = NULL;
	return layer_teardown(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup_bare, tear_down)
	const struct CMUnitTest tests[] = {
	    T(an_image_is_built_or_not),
	    T(an_image_is_loaded_and_verified_or_not),
	    T(a_root_is_made_or_not),
	    T(a_root_is_seeded_or_not),
	    T(a_root_is_attached_or_not),
	    T(a_root_is_detached_whatever_fails),
	    T(a_root_is_renewed_and_examined_or_not),
	    T(a_limit_is_set_or_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
