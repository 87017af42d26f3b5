/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Export and import of a client: killed at each of their system calls, and with each allocation and system call failing
 * once. A file has its old content or all of the new one, the store it comes from is as it was; the store it goes to has
 * the client whole or not at all, a sweep cleans up, and the same again ends as if nothing had been (I1, I2, I3).
 */
#include "archive_world.h"

#define ID "02-00-00-00-00-01"
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
static char *shown; /* what the client shows */

/* ---------------------------------------------------------------- a client with changes */

static void live(void)
{
	static const struct cow_ovl_set mode = {.mask = COW_SET_MODE, .mode = 0600};
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	must(cow_client_attach(from, &mac, 0, &i, &err), &err);
	{
		cow_autonode root = NULL;
		assert_int_equal(cow_ovl_root(i, &root), 0);
		cow_autonode sub = node_child(root, "sub");
		cow_autonode attr = node_child(root, "empty");
		cow_autonode link = node_child(root, "changes");
		node_drop(root, "big");
		node_make(root, "big", S_IFREG, "small now");
		node_drop(sub, "a");
		node_make(sub, "added", S_IFREG, "added");
		node_make(root, "new", S_IFDIR, "");
		assert_int_equal(cow_ovl_setattr(attr, &cow_ovl_root_cred, &mode, NULL), 0);
		assert_int_equal(cow_ovl_link(link, sub, "name", 4, &cow_ovl_root_cred), 0);
		assert_int_equal(
		    cow_ovl_rename(root, "sub", 3, root, "moved", 5, 0, &cow_ovl_root_cred), 0);
	}
	assert_int_equal(cow_ovl_inst_close(i), 0);
}

static int export_client(const char *name, struct cow_err *err)
{
	const struct cow_export_opts opts = {.output = path_of(name), .level = 1};
	struct cow_export_done done;
	return cow_client_export(from, &mac, 0, &opts, &done, err);
}

static int import_client(struct cow_err *err)
{
	const struct cow_client_import_opts opts = {.mac = NULL};
	struct cow_mac got;
	return cow_client_import(to, path_of("client.cow"), &opts, &got, err);
}

static int setup(void **state)
{
	const struct cow_client_add_opts opts = {.image = "img@1", .name = "lab"};
	struct cow_err err = COW_ERR_INIT;
	if (group_setup(state) < 0)
		return -1;
	must(cow_client_add(from, &mac, &opts, &err), &err);
	live();
	shown = client_shown(from, &mac);
	assert_non_null(strstr(shown, "/big 100750 1 small now"));
	assert_non_null(strstr(shown, "/moved/name 100644 2 one"));
	must(export_client("client.cow", &err), &err);
	return 0;
}

static int teardown(void **state)
{
	free(shown);
	return group_teardown(state);
}

/* ---------------------------------------------------------------- what must hold */

static bool shows(struct cow_store *s)
{
	cow_autofree char *now = client_shown(s, &mac);
	if (strcmp(now, shown) != 0)
		print_message("shows:\n%sinstead of:\n%s", now, shown);
	return strcmp(now, shown) == 0;
}

static int no_finding(void *ctx, const char *path, const char *what)
{
	(void)ctx;
	fail_msg("after %s: %s: %s", fault_where(), path, what);
	return -1;
}

/* As the first use of it leaves it: that sweeps what could not be removed at once. */
static void check_client(void)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	assert_true(shows(to));
	must(cow_client_attach(to, &mac, 0, &i, &err), &err);
	assert_int_equal(cow_ovl_inst_close(i), 0);
	must((int)cow_client_check(to, &mac, no_finding, NULL, &err), &err);
	assert_true(shows(to));
}

/* Nothing of what was on the way is there after a sweep, and the image is whole. */
static void check_swept(struct cow_store *s, const char *store, const char *image)
{
	char path[64];
	struct cow_err err = COW_ERR_INIT;
	cow_autoimage i = NULL;
	must(cow_store_sweep(s, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/images/%s", store, image);
	assert_int_equal(entries(path, "."), 0);
	(void)snprintf(path, sizeof(path), "%s/clients", store);
	assert_int_equal(entries(path, "."), 0);
	(void)snprintf(path, sizeof(path), "%s/trash", store);
	assert_int_equal(entries(path, ""), 0);
	must(cow_image_find(s, image, &i, &err), &err);
	assert_int_equal(cow_image_verify(s, i, NULL, NULL, NULL, &err), 0);
}

/* The client of the file is the client. */
static void check_archive(const char *name)
{
	struct cow_err err = COW_ERR_INIT;
	const struct cow_client_import_opts opts = {.mac = NULL};
	struct cow_mac got;
	must(cow_client_import(to, path_of(name), &opts, &got, &err), &err);
	assert_memory_equal(&got, &mac, sizeof(mac));
	check_client();
	must(cow_client_rm(to, &mac, 0, &err), &err);
}

/* ---------------------------------------------------------------- export */

#define OLD "what the file was before"

static void old_file(const struct trial *t)
{
	(void)t;
	assert_true(unlinkat(tmp->fd, "x.cow.partial", 0) == 0 || errno == ENOENT);
	assert_int_equal(cow_write_file_at(tmp->fd, "x.cow", OLD, strlen(OLD), 0600), 0);
}

static int export(const struct trial *t, struct cow_err *err)
{
	(void)t;
	return export_client("x.cow", err);
}

static bool is_old(void)
{
	struct stat st;
	assert_int_equal(fstatat(tmp->fd, "x.cow", &st, 0), 0);
	return st.st_size == (off_t)strlen(OLD);
}

static void check_export(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	if (is_old())
		assert_false(done);
	else
		check_archive("x.cow");
	assert_int_equal(entries("from/images/img", "3"),
			 0); /* nobody sees the version that was made */
	check_swept(from, "from", "img");
	assert_true(shows(from));
	must(export(t, &err), &err);
	assert_false(is_old());
	assert_false(is_there("x.cow.partial"));
	check_archive("x.cow");
}

static void an_export_ends_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "client export",
				.step = 29,
				.least = 200,
				.before = old_file,
				.act = export,
				.after = check_export};
	(void)state;
	each_fault_and_kill(&t);
}

/* ---------------------------------------------------------------- import */

static void no_client(const struct trial *t)
{
	struct cow_err err = COW_ERR_INIT;
	(void)t;
	if (is_there("to/clients/" ID))
		must(cow_client_rm(to, &mac, 0, &err), &err);
}

static int import(const struct trial *t, struct cow_err *err)
{
	(void)t;
	return import_client(err);
}

static void check_import(const struct trial *t, bool done)
{
	struct cow_err err = COW_ERR_INIT;
	bool there = is_there("to/clients/" ID);
	assert_true(there || !done);
	if (there)
		assert_true(shows(to));
	check_swept(to, "to", "base");
	assert_int_equal(is_there("to/clients/" ID), there);
	if (!there)
		must(import(t, &err), &err);
	check_client();
}

static void an_import_ends_whole_or_not_at_all(void **state)
{
	const struct trial t = {.what = "client import",
				.step = 37,
				.least = 200,
				.before = no_client,
				.act = import,
				.after = check_import};
	(void)state;
	each_fault_and_kill(&t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest exports[] = {
	    cmocka_unit_test(an_export_ends_whole_or_not_at_all),
	};
	const struct CMUnitTest imports[] = {
	    cmocka_unit_test(an_import_ends_whole_or_not_at_all),
	};
	if (geteuid() != 0) {
		(void)fputs("needs root: owners and trusted attributes\n", stderr);
		return 77;
	}
	if (argc == 2 && strcmp(argv[1], "export") == 0)
		return cmocka_run_group_tests(exports, setup, teardown);
	if (argc == 2 && strcmp(argv[1], "import") == 0)
		return cmocka_run_group_tests(imports, setup, teardown);
	(void)fputs("usage: test_fault_backup export|import\n", stderr);
	return 2;
}
