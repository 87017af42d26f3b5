/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A rebase that is killed at each of its system calls, and with each of its allocations and system calls failing
 * once: the client has its old root or its new one, whole; a sweep leaves nothing half-made, and the same again
 * ends where an undisturbed one does (I2, I3).
 */
#include "cow_test.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

#include "fault.h"
#include "snapshot/client.h"
#include "snapshot/rebase.h"

static struct tmpdir *tmp;
static struct cow_store *store;
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
static char *before, *after; /* what the client shows of the old root, and of the new one */

static void must(int r, const struct cow_err *err)
{
	if (r < 0)
		fail_msg("%s", cow_err_str(err));
}

/* ---------------------------------------------------------------- what the client shows */

static void show_dir(FILE *out, struct cow_ovl_node *dir, const char *path);

static int show(void *ctx, const struct cow_ovl_dirent *e)
{
	void **args = ctx;
	FILE *out = args[0];
	char path[256], text[64] = "";
	struct iovec iov = {text, sizeof(text) - 1};
	cow_autoopen o = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)args[1], e->name);
	if (S_ISREG(e->type)) {
		assert_int_equal(cow_ovl_open(e->node, &cow_ovl_root_cred, COW_OPEN_READ, &o), 0);
		assert_true(cow_ovl_read(o, &iov, 1, 0) >= 0);
	}
	(void)fprintf(out, "%s %o %u %s\n", path, e->attr->mode, e->attr->nlink, text);
	if (S_ISDIR(e->type))
		show_dir(out, e->node, path);
	return 0;
}

static void show_dir(FILE *out, struct cow_ovl_node *dir, const char *path)
{
	int eof;
	void *args[2] = {out, (void *)(uintptr_t)path};
	assert_int_equal(cow_ovl_readdir(dir, 0, COW_READDIR_NODES, show, args, &eof), 0);
}

static char *shown(void)
{
	char *text = NULL;
	size_t len = 0;
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	FILE *out = open_memstream(&text, &len);
	must(cow_client_attach(store, &mac, COW_OVL_OBSERVER, &i, &err), &err);
	{
		cow_autonode root = NULL;
		assert_int_equal(cow_ovl_root(i, &root), 0);
		show_dir(out, root, "");
	}
	assert_int_equal(cow_ovl_inst_close(i), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* ---------------------------------------------------------------- a client with changes */

static struct cow_ovl_node *child(struct cow_ovl_node *dir, const char *name)
{
	struct cow_ovl_node *n = NULL;
	assert_int_equal(cow_ovl_lookup(dir, name, strlen(name), &n, NULL), 0);
	return n;
}

static void make(struct cow_ovl_node *dir, const char *name, mode_t type, const char *text)
{
	const struct cow_ovl_create how = {.type = type, .mode = 0750};
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	assert_int_equal(
	    cow_ovl_create(dir, name, strlen(name), &cow_ovl_root_cred, &how, &n, NULL), 0);
	if (!S_ISREG(type))
		return;
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o), 0);
	assert_int_equal(cow_ovl_write(o, &iov, 1, 0, 0), strlen(text));
}

static void drop(struct cow_ovl_node *dir, const char *name)
{
	assert_int_equal(
	    cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred, COW_REMOVE_FILE), 0);
}

static void live(void)
{
	static const struct cow_ovl_set mode = {.mask = COW_SET_MODE, .mode = 0600};
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_inst *i = NULL;
	must(cow_client_attach(store, &mac, 0, &i, &err), &err);
	{
		cow_autonode root = NULL;
		assert_int_equal(cow_ovl_root(i, &root), 0);
		cow_autonode dir = child(root, "dir");
		cow_autonode attr = child(root, "attr");
		cow_autonode link = child(root, "linked");
		drop(root, "both");
		make(root, "both", S_IFREG, "of the client");
		drop(root, "gone");
		make(root, "new", S_IFDIR, "");
		make(dir, "added", S_IFREG, "added");
		assert_int_equal(cow_ovl_setattr(attr, &cow_ovl_root_cred, &mode, NULL), 0);
		assert_int_equal(cow_ovl_link(link, root, "name", 4, &cow_ovl_root_cred), 0);
		assert_int_equal(
		    cow_ovl_rename(root, "dir", 3, root, "moved", 5, 0, &cow_ovl_root_cred), 0);
	}
	assert_int_equal(cow_ovl_inst_close(i), 0);
}

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

static void import(const char *source)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;
	must(cow_image_import(store, "img", source, &opts, &version, &err), &err);
}

static void prepare(void)
{
	const struct cow_client_add_opts opts = {.image = "img@1", .name = "lab"};
	struct cow_err err = COW_ERR_INIT;
	must(cow_client_add(store, &mac, &opts, &err), &err);
	live();
}

static int rebase(void)
{
	static const char *const both[] = {"both", NULL};
	const struct cow_rebase_opts opts = {.both = both};
	struct cow_swap w = {.mac = mac, .what = COW_SWAP_ROLL, .to = "img@2", .rebase = &opts};
	int r = cow_clients_swap(store, &w, 1);
	cow_swaps_done(&w, 1);
	return r;
}

static int setup(void **state)
{
	char path[96];
	struct cow_err err = COW_ERR_INIT;
	void *t = NULL;
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	*state = t;
	assert_int_equal(mkdirat(tmp->fd, "src", 0755), 0);
	cow_autoclose int dir = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "dir", 0755), 0);
	put(dir, "both", "one");
	put(dir, "gone", "gone");
	put(dir, "attr", "one");
	put(dir, "linked", "one");
	cow_autoclose int sub = cow_opendir_at(dir, "dir");
	put(sub, "file", "one");
	(void)snprintf(path, sizeof(path), "%s/store", tmp->path);
	must(cow_store_init(path, &err), &err);
	must(cow_store_open(path, &store, &err), &err);
	(void)snprintf(path, sizeof(path), "%s/src", tmp->path);
	import(path);
	put(dir, "both", "two");
	put(dir, "attr", "two");
	put(dir, "linked", "two");
	put(sub, "file", "two");
	import(path);
	prepare();
	before = shown();
	assert_int_equal(rebase(), 0);
	after = shown();
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
	cow_store_close(store);
	return tmpdir_teardown(state);
}

/* ---------------------------------------------------------------- what must hold */

/* Every fifth call, another fifth each day; with COWHERD_TEST_LONG=1 every one. */
static unsigned long step(void)
{
	return getenv("COWHERD_TEST_LONG") ? 1 : 5; /* NOLINT(concurrency-mt-unsafe): one thread */
}

static unsigned long first(void)
{
	return (unsigned long)(time(NULL) / 86400) % step();
}

static bool shows(const char *text)
{
	cow_autofree char *now = shown();
	return strcmp(now, text) == 0;
}

static int no_finding(void *ctx, const char *path, const char *what)
{
	(void)ctx;
	fail_msg("after %s: %s: %s", fault_where(), path, what);
	return -1;
}

static void check_what_is_left(bool done)
{
	struct cow_err err = COW_ERR_INIT;
	bool is_new = shows(after);
	if (!is_new && !shows(before))
		fail_msg("neither root, after %s", fault_where());
	assert_true(is_new || !done);
	must(cow_store_sweep(store, &err), &err);
	assert_true(shows(is_new ? after : before));
	if (!is_new)
		assert_int_equal(rebase(), 0);
	assert_true(shows(after));
	must((int)cow_client_check(store, &mac, no_finding, NULL, &err), &err);
	must(cow_client_rollback(store, &mac, 0, &err), &err);
	assert_true(shows(before));
	must(cow_client_rm(store, &mac, 0, &err), &err);
}

static void killed_at_each_call(void **state)
{
	unsigned long nth = first();
	(void)state;
	for (bool again = true; again; nth += step()) {
		int status = 0;
		prepare();
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			fault_arm_kill(nth);
			_exit(rebase() == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		again = WIFSIGNALED(status);
		assert_true(again || WEXITSTATUS(status) == 0);
		check_what_is_left(!again);
	}
	print_message("killed at one of %lu calls of %lu\n", step(), nth);
	assert_true(nth > 200);
}

static void with_each_fault(void **state)
{
	static const int errnums[] = {0, EIO};
	unsigned long points = 0;
	(void)state;
	for (size_t k = 0; k < sizeof(errnums) / sizeof(*errnums); k++) {
		bool again = true;
		for (unsigned long nth = first(); again; nth += step(), points++) {
			prepare();
			fault_arm(errnums[k], nth);
			int r = rebase();
			again = fault_disarm();
			assert_true(again || r == 0);
			check_what_is_left(r == 0);
		}
	}
	print_message("%lu faults\n", points);
	assert_true(points > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_at_each_call),
	    cmocka_unit_test(with_each_fault),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
