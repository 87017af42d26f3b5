/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A rebase that is killed at each of its system calls, and with each of its allocations and system calls failing
 * once: the client has its old root or its new one, whole; a sweep leaves nothing half-made, and the same again
 * ends where an undisturbed one does (I2, I3).
 */
#include "world.h"

#include "snapshot/rebase.h"

static struct cow_store *store;
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
static char *before, *after; /* what the client shows of the old root, and of the new one */

/* ---------------------------------------------------------------- a client with changes */

static void live(void)
{
	static const struct cow_ovl_set mode = {.mask = COW_SET_MODE, .mode = 0600};
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	must(cow_client_attach(store, &mac, 0, &i, &err), &err);
	{
		cow_autonode root = NULL;
		assert_int_equal(cow_ovl_root(i, &root), 0);
		cow_autonode dir = node_child(root, "dir");
		cow_autonode attr = node_child(root, "attr");
		cow_autonode link = node_child(root, "linked");
		node_drop(root, "both");
		node_make(root, "both", S_IFREG, "of the client");
		node_drop(root, "gone");
		node_make(root, "new", S_IFDIR, "");
		node_make(dir, "added", S_IFREG, "added");
		assert_int_equal(cow_ovl_setattr(attr, &cow_ovl_root_cred, &mode, NULL), 0);
		assert_int_equal(cow_ovl_link(link, root, "name", 4, &cow_ovl_root_cred), 0);
		assert_int_equal(
		    cow_ovl_rename(root, "dir", 3, root, "moved", 5, 0, &cow_ovl_root_cred), 0);
	}
	assert_int_equal(cow_ovl_inst_close(i), 0);
}

static void prepare(const struct trial *t)
{
	const struct cow_client_add_opts opts = {.image = "img@1", .name = "lab"};
	struct cow_err err = COW_ERR_INIT;
	(void)t;
	must(cow_client_add(store, &mac, &opts, &err), &err);
	live();
}

static int rebase(const struct trial *t, struct cow_err *err)
{
	static const char *const both[] = {"both", NULL};
	const struct cow_rebase_opts opts = {.both = both};
	struct cow_swap w = {.mac = mac, .what = COW_SWAP_ROLL, .to = "img@2", .rebase = &opts};
	(void)t;
	int r = cow_clients_swap(store, &w, 1);
	*err = w.err;
	cow_swaps_done(&w, 1);
	return r;
}

static int setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	(void)state;
	if (world_begin() < 0)
		return -1;
	assert_int_equal(mkdirat(tmp->fd, "src", 0755), 0);
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "dir", 0755), 0);
	put(dir, "both", "one");
	put(dir, "gone", "gone");
	put(dir, "attr", "one");
	put(dir, "linked", "one");
	cow_autoclose int sub = cow_opendir_at(dir, "dir");
	put(sub, "file", "one");
	must(cow_store_init(path_of("store"), &err), &err);
	must(cow_store_open(path_of("store"), &store, &err), &err);
	must(import_as(store, "img", path_of("src"), NULL, &err), &err);
	put(dir, "both", "two");
	put(dir, "attr", "two");
	put(dir, "linked", "two");
	put(sub, "file", "two");
	must(import_as(store, "img", path_of("src"), NULL, &err), &err);
	prepare(NULL);
	before = client_shown(store, &mac);
	must(rebase(NULL, &err), &err);
	after = client_shown(store, &mac);
	assert_string_not_equal(before, after);
	assert_non_null(strstr(after, "/both.cowherd-new 100644 1 two"));
	assert_non_null(strstr(after, "/moved/file 100644 1 two"));
	assert_non_null(strstr(after, "/attr 100600 1 two"));
	assert_non_null(strstr(after, "/name 100644 2 two"));
	must(cow_client_rm(store, &mac, 0, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	free(before);
	free(after);
	(void)state;
	cow_store_close(store);
	return world_end();
}

/* ---------------------------------------------------------------- what must hold */

static bool shows(const char *text)
{
	cow_autofree char *now = client_shown(store, &mac);
	return strcmp(now, text) == 0;
}

static int no_finding(void *ctx, const char *path, const char *what)
{
	(void)ctx;
	fail_msg("after %s: %s: %s", fault_where(), path, what);
	return -1;
}

static void check_what_is_left(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	bool is_new = shows(after);
	if (!is_new && !shows(before))
		fail_msg("neither root, after %s", fault_where());
	assert_true(is_new || !done);
	must(cow_store_sweep(store, &err), &err);
	assert_true(shows(is_new ? after : before));
	if (!is_new)
		must(rebase(t, &err), &err);
	assert_true(shows(after));
	must((int)cow_client_check(store, &mac, no_finding, NULL, &err), &err);
	must(cow_client_rollback(store, &mac, 0, &err), &err);
	assert_true(shows(before));
	must(cow_client_rm(store, &mac, 0, &err), &err);
}

/* Every fifth call. */
static const struct trial trial = {.what = "roll --rebase",
				   .step = 5,
				   .least = 200,
				   .before = prepare,
				   .act = rebase,
				   .after = check_what_is_left};

static void killed_at_each_call(void **state)
{
	(void)state;
	each_kill(&trial);
}

static void with_each_fault(void **state)
{
	(void)state;
	each_fault(&trial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_at_each_call),
	    cmocka_unit_test(with_each_fault),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
