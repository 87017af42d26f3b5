/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is done when a machine boots: fresh roots of ephemeral clients, and orders, of which a rebase is judged once
 * more. What is refused or comes too late leaves the root as it was, and what it was is recorded.
 */
#include "layer_test.h"

#include "client_internal.h"
#include "common/clock.h"
#include "snapshot/image.h"
#include "snapshot/rebase.h"

static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
#define ID "02-00-00-00-00-01"
#define MANY 600

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

struct fixture {
	struct tmpdir *tmp;
	struct cow_store *s;
	char store[96], source[96];
};

/* ---------------------------------------------------------------- a store with a client */

static void put(const struct fixture *f, const char *name, const char *text)
{
	cow_autoclose int fd = openat(f->tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autoclose int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(file >= 0);
	ok(cow_write_full(file, text, strlen(text)));
}

static void import(struct fixture *f)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	unsigned version;
	ok(cow_image_import(f->s, "img", f->source, &opts, &version, NULL));
}

static int setup(void **state)
{
	static const char *const dirs[] = {"src",	  "src/home", "src/var", "src/var/lib",
					   "src/var/lib/dpkg"};
	struct fixture *f = calloc(1, sizeof(*f));
	void *t = NULL;
	(void)umask(0);
	if (!f || tmpdir_setup(&t) < 0)
		return -1;
	f->tmp = t;
	(void)snprintf(f->store, sizeof(f->store), "%s/store", f->tmp->path);
	(void)snprintf(f->source, sizeof(f->source), "%s/src", f->tmp->path);
	ok(cow_store_init(f->store, NULL));
	ok(cow_store_open(f->store, &f->s, NULL));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		ok(mkdirat(f->tmp->fd, dirs[i], 0755));
	put(f, "both", "v1");
	put(f, "var/lib/dpkg/status", "Package: a\n");
	put(f, "version", "1");
	import(f);
	put(f, "both", "v2");
	put(f, "version", "2");
	import(f);
	const struct cow_client_add_opts opts = {.image = "img@1", .backend = COW_BACKEND_OVERLAY};
	ok(cow_client_add(f->s, &mac, &opts, NULL));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *t = f->tmp;
	cow_store_close(f->s);
	free(f);
	return tmpdir_teardown(&t);
}

/* ---------------------------------------------------------------- the client's doing */

static struct cow_ovl_inst *attach(struct fixture *f)
{
	struct cow_ovl_inst *i = NULL;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_client_attach(f->s, &mac, 0, &i, &err);
	if (r < 0)
		print_error("%s\n", cow_err_str(&err));
	ok(r);
	return i;
}

static struct cow_ovl_node *at(struct cow_ovl_inst *i, const char *path)
{
	cow_autonode top = NULL;
	struct cow_ovl_node *n = NULL;
	ok(cow_ovl_root(i, &top));
	ok(walk_from(top, path, &n));
	return n;
}

/* A new file, or other content of one. */
static void write_in(struct cow_ovl_inst *i, const char *dir, const char *name, const char *text)
{
	cow_autonode d = at(i, dir);
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	if (cow_ovl_lookup(d, name, strlen(name), &n, NULL) < 0)
		ok(make_file(d, name, &n));
	ok(cow_ovl_open(n, root, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o));
	assert_int_equal(put_text(o, text, 0), strlen(text));
}

static void client_writes(struct fixture *f, const char *dir, const char *name, const char *text)
{
	struct cow_ovl_inst *i = attach(f);
	write_in(i, dir, name, text);
	ok(cow_ovl_inst_close(i));
}

/* What its root has there; NULL text: nothing. */
static void client_has(struct fixture *f, const char *path, const char *text)
{
	struct cow_ovl_inst *i = attach(f);
	if (text) {
		cow_autonode n = at(i, path);
		assert_text(n, text);
	} else {
		cow_autonode top = NULL;
		struct cow_ovl_node *none = NULL;
		ok(cow_ovl_root(i, &top));
		assert_int_equal(walk_from(top, path, &none), -ENOENT);
	}
	ok(cow_ovl_inst_close(i));
}

static struct cow_client *load(struct fixture *f)
{
	struct cow_client *c = NULL;
	ok(cow_client_load(f->s, &mac, &c, NULL));
	return c;
}

/* ---------------------------------------------------------------- orders and boots */

static int order_rebase(struct fixture *f, const struct cow_rebase_opts *opts, const char *follow)
{
	const struct cow_swap w = {
	    .mac = mac, .what = COW_SWAP_ROLL, .to = "img@2", .rebase = opts, .follow = follow};
	return cow_client_next_set(f->s, &w, NULL);
}

static void order_reset(struct fixture *f, const char *keep)
{
	const struct cow_swap w = {.mac = mac, .what = COW_SWAP_RESET, .keep = keep};
	ok(cow_client_next_set(f->s, &w, NULL));
}

/* @until_ms: of cow_now_ms(); 0: no end. Return: what cow_clients_swap() says of it. */
static int boot(struct fixture *f, uint64_t until_ms, uint64_t *ret_conflicts)
{
	struct cow_swap w = {.mac = mac, .what = COW_SWAP_BOOT, .until_ms = until_ms};
	(void)cow_clients_swap(f->s, &w, 1);
	if (ret_conflicts)
		*ret_conflicts = w.conflicts;
	int r = w.r;
	if (r < 0)
		print_message("%s\n", cow_err_str(&w.err));
	cow_swaps_done(&w, 1);
	return r;
}

static unsigned roots(const struct fixture *f)
{
	unsigned n = 0;
	const struct dirent *de;
	cow_autoclose int fd = openat(f->tmp->fd, "store/clients/" ID "/roots", O_RDONLY | O_DIRECTORY);
	cow_autodir DIR *d = fdopendir(dup(fd));
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1)
		n++;
	return n;
}

static const struct cow_rebase_opts plain;

static void an_ordered_rebase_is_done_at_the_boot(void **state)
{
	struct fixture *f = *state;
	uint64_t conflicts = 0;
	client_writes(f, "home", "mine", "of the client");
	ok(order_rebase(f, &plain, "img"));
	client_writes(f, "home", "later", "after the order");
	client_writes(f, "", "both", "of the client, too");
	{
		cow_autoclient c = load(f);
		assert_int_equal(c->version, 1);
		assert_true(c->next.rebase && !c->next.held);
		assert_string_equal(c->follows, "img@1");
	}
	assert_int_equal(boot(f, cow_now_ms() + 60000, &conflicts), 0);
	assert_int_equal(conflicts, 1);
	client_has(f, "version", "2");
	client_has(f, "home/mine", "of the client");
	client_has(f, "home/later", "after the order");
	client_has(f, "both", "of the client, too");
	cow_autoclient c = load(f);
	assert_int_equal(c->next.what, COW_SWAP_NONE);
	assert_string_equal(c->follows, "img");
	assert_int_equal(boot(f, 0, NULL), 1); /* and once */
}

static void options_of_a_rebase_wait_with_it(void **state)
{
	struct fixture *f = *state;
	static const char *const theirs[] = {"nothing/*", "both", NULL};
	const struct cow_rebase_opts opts = {.flags = COW_REBASE_FORCE, .theirs = theirs};
	client_writes(f, "", "both", "of the client");
	client_writes(f, "var/lib/dpkg", "status", "Package: b\n");
	ok(order_rebase(f, &opts, NULL));
	assert_int_equal(boot(f, 0, NULL), 0);
	client_has(f, "both", "v2");
	client_has(f, "var/lib/dpkg/status", "Package: a\n");
}

/* Also of a client that runs, whose root its server has. */
static void what_would_be_refused_is_not_ordered(void **state)
{
	struct fixture *f = *state;
	struct cow_ovl_inst *i = attach(f);
	write_in(i, "var/lib/dpkg", "status", "Package: b\n");
	ok(cow_client_state_nfs(f->s, &mac, cow_realtime_s(), "10.0.0.1", NULL));
	assert_int_equal(order_rebase(f, &plain, NULL), -EPERM);
	write_in(i, "var/lib/dpkg", "status", "Package: a\n");
	const struct cow_rebase_opts force = {.flags = COW_REBASE_FORCE};
	ok(order_rebase(f, &force, NULL));
	ok(cow_ovl_inst_close(i));
	ok(cow_client_set(f->s, &mac, "ephemeral", "yes", NULL));
	assert_int_equal(order_rebase(f, &plain, NULL), -EPERM);
}

/* Of a machine that was used a moment ago: it has begun to boot, so it does not run. */
static void what_is_refused_at_the_boot_is_held(void **state)
{
	struct fixture *f = *state;
	ok(order_rebase(f, &plain, "img"));
	client_writes(f, "var/lib/dpkg", "status", "Package: b\n");
	ok(cow_client_state_nfs(f->s, &mac, cow_realtime_s(), "10.0.0.1", NULL));
	assert_int_equal(boot(f, 0, NULL), -EPERM);
	client_has(f, "version", "1");
	client_has(f, "var/lib/dpkg/status", "Package: b\n");
	assert_int_equal(roots(f), 1);
	{
		cow_autoclient c = load(f);
		assert_int_equal(c->next.what, COW_SWAP_ROLL);
		assert_true(c->next.held && c->next.failed_s > 0);
		assert_non_null(strstr(c->next.why, "var/lib/dpkg/status"));
		assert_string_equal(c->follows, "img@1");
	}
	assert_int_equal(boot(f, 0, NULL), 1); /* not tried again */
	const struct cow_rebase_opts force = {.flags = COW_REBASE_FORCE};
	ok(order_rebase(f, &force, NULL));
	assert_int_equal(boot(f, 0, NULL), 0);
	client_has(f, "version", "2");
}

/* Something else may be well at the next boot. */
static void what_fails_at_the_boot_is_tried_again(void **state)
{
	struct fixture *f = *state;
	client_writes(f, "home", "mine", "of the client");
	ok(order_rebase(f, &plain, NULL));
	struct cow_ovl_inst *i = attach(f);
	ok(cow_ovl_inst_hold_as(i, COW_CLIENT_MOUNT_HOLDER "1")); /* an administrator's mount */
	assert_int_equal(boot(f, 0, NULL), -EBUSY);
	ok(cow_ovl_inst_close(i));
	{
		cow_autoclient c = load(f);
		assert_true(c->next.rebase && !c->next.held && c->next.failed_s > 0);
	}
	assert_int_equal(boot(f, 0, NULL), 0);
	client_has(f, "home/mine", "of the client");
	client_has(f, "version", "2");
}

/* ---------------------------------------------------------------- in time */

static void many_files(struct fixture *f)
{
	char name[16];
	struct cow_ovl_inst *i = attach(f);
	cow_autonode home = at(i, "home");
	for (unsigned k = 0; k < MANY; k++) {
		cow_autonode n = NULL;
		(void)snprintf(name, sizeof(name), "f%u", k);
		ok(make_file(home, name, &n));
	}
	cow_ovl_put(cow_steal_ptr(&home));
	ok(cow_ovl_inst_close(i));
}

/* Begun in time, and not done in time: whatever that boot has, the next has it done. */
static void comes_too_late(struct fixture *f, const char *what)
{
	unsigned late = 0;
	uint64_t took = 0;
	cow_autoclient before = load(f);
	/* From no time at all to as much as it takes: somewhere it is stopped in the middle. */
	for (uint64_t ms = 0;; ms = ms ? ms * 2 : 1) {
		uint64_t start = cow_now_ms();
		int r = boot(f, start + ms, NULL);
		took = cow_now_ms() - start;
		cow_autoclient c = load(f);
		if (r == 0) {
			assert_int_not_equal(c->root, before->root);
			assert_int_equal(c->next.what, COW_SWAP_NONE);
			break;
		}
		assert_int_equal(r, -ETIME);
		assert_int_equal(c->root, before->root);
		assert_int_equal(roots(f), 1);
		assert_int_not_equal(c->next.what, COW_SWAP_NONE);
		assert_true(!c->next.held && strstr(c->next.why, "too long"));
		late++;
	}
	assert_true(late > 0);
	print_message("%s: too late %u times; %llu ms when it was not\n", what, late,
		      (unsigned long long)took);
}

static void a_reset_that_comes_too_late_leaves_the_root(void **state)
{
	struct fixture *f = *state;
	many_files(f);
	order_reset(f, "default");
	comes_too_late(f, "reset with a keep-list");
	client_has(f, "home/f7", "");
}

static void a_rebase_that_comes_too_late_leaves_the_root(void **state)
{
	struct fixture *f = *state;
	many_files(f);
	ok(order_rebase(f, &plain, "img"));
	comes_too_late(f, "rebase");
	client_has(f, "home/f7", "");
	client_has(f, "version", "2");
}

/* ---------------------------------------------------------------- ephemeral */

static void an_ephemeral_client_has_a_fresh_root_at_each_boot(void **state)
{
	struct fixture *f = *state;
	ok(cow_client_set(f->s, &mac, "ephemeral", "yes", NULL));
	for (unsigned n = 1; n < 4; n++) {
		cow_autoclient c = load(f);
		assert_int_equal(c->root, n);
		client_writes(f, "home", "mine", "of this boot");
		assert_int_equal(boot(f, cow_now_ms() + 60000, NULL), 0);
		client_has(f, "home/mine", NULL);
	}
	client_writes(f, "home", "mine", "of this boot");
	assert_int_equal(boot(f, 1, NULL), -ETIME); /* long ago */
	client_has(f, "home/mine", "of this boot");
}

/* A held order is no reason to keep what is to be gone at each boot. */
static void a_held_order_does_not_make_an_ephemeral_client_keep_its_root(void **state)
{
	struct fixture *f = *state;
	ok(order_rebase(f, &plain, NULL));
	client_writes(f, "var/lib/dpkg", "status", "Package: b\n");
	assert_int_equal(boot(f, 0, NULL), -EPERM);
	ok(cow_client_set(f->s, &mac, "ephemeral", "yes", NULL));
	assert_int_equal(boot(f, 0, NULL), 0);
	client_has(f, "var/lib/dpkg/status", "Package: a\n");
	client_has(f, "version", "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(an_ordered_rebase_is_done_at_the_boot, setup, teardown),
	    cmocka_unit_test_setup_teardown(options_of_a_rebase_wait_with_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_would_be_refused_is_not_ordered, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_refused_at_the_boot_is_held, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_fails_at_the_boot_is_tried_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_reset_that_comes_too_late_leaves_the_root, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_rebase_that_comes_too_late_leaves_the_root, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(an_ephemeral_client_has_a_fresh_root_at_each_boot,
					    setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_held_order_does_not_make_an_ephemeral_client_keep_its_root, setup, teardown),
	};
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root: handles and trusted attributes\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
