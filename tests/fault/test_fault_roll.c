/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Rolls, with keep-lists, at once and at the next boot, rebases there, and rollbacks: every allocation and every system call fails
 * once, and the process is killed before every system call. Whatever happens the client has its old root or its
 * new one, whole, with all that is kept; the next sweep leaves nothing half-made, and the same again succeeds.
 */
#include "layer_test.h"

#include <sys/wait.h>

#include "client_internal.h"
#include "snapshot/image.h"
#include "snapshot/rebase.h"

#include "fault.h"

static struct tmpdir *tmp;
static char store_path[96], source[96];
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
#define ID "02-00-00-00-00-01"

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

/* ---------------------------------------------------------------- a client with something to keep */

static void put(const char *name, const char *text)
{
	cow_autoclose int fd = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autoclose int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(file >= 0);
	ok(cow_write_full(file, text, strlen(text)));
}

static void import(struct cow_store *s)
{
	static const char *const no_fixups[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	unsigned version;
	ok(cow_image_import(s, "img", source, &opts, &version, NULL));
}

static struct cow_ovl_node *at(struct cow_ovl_inst *i, const char *path)
{
	cow_autonode top = NULL;
	struct cow_ovl_node *n = NULL;
	ok(cow_ovl_root(i, &top));
	ok(walk_from(top, path, &n));
	return n;
}

static void write_file(struct cow_ovl_inst *i, const char *dir, const char *name, const char *text)
{
	cow_autonode d = at(i, dir);
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	ok(make_file(d, name, &n));
	ok(cow_ovl_open(n, root, COW_OPEN_WRITE, &o));
	assert_int_equal(put_text(o, text, 0), strlen(text));
}

static void live(struct cow_store *s)
{
	struct cow_ovl_inst *i;
	ok(cow_client_attach(s, &mac, 0, &i, NULL));
	write_file(i, "home", "mine", "of the client");
	{
		cow_autonode dir = at(i, "home");
		cow_autonode mine = at(i, "home/mine");
		ok(cow_ovl_setxattr(mine, root, "user.x", "y", 1, 0));
		ok(cow_ovl_link(mine, dir, "link", 4, root));
		ok(make(dir, "symlink", S_IFLNK, 0777, NULL));
		ok(make(dir, "dir", S_IFDIR, 0700, NULL));
		ok(rm(dir, "gone", COW_REMOVE_FILE));
	}
	write_file(i, "", "lost", "not kept");
	ok(cow_ovl_inst_close(i));
}

static int group_setup(void **state)
{
	void *t = NULL;
	(void)state;
	(void)umask(0);
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	(void)snprintf(store_path, sizeof(store_path), "%s/store", tmp->path);
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	if (cow_store_init(store_path, NULL) < 0 || mkdirat(tmp->fd, "src", 0755) < 0 ||
	    mkdirat(tmp->fd, "src/home", 0755) < 0 || mkdirat(tmp->fd, "src/etc", 0755) < 0)
		return -1;
	cow_autostore s = NULL;
	ok(cow_store_open(store_path, &s, NULL));
	put("home/gone", "in the image");
	put("home/same", "in both");
	put("version", "1");
	import(s);
	put("version", "2");
	import(s);
	const struct cow_client_add_opts opts = {.image = "img@1", .backend = COW_BACKEND_OVERLAY};
	ok(cow_client_add(s, &mac, &opts, NULL));
	live(s);
	return 0;
}

static int group_teardown(void **state)
{
	void *t = tmp;
	(void)state;
	return tmpdir_teardown(&t);
}

/* ---------------------------------------------------------------- what must be so, whatever happened */

static void expect_file(struct cow_ovl_inst *i, const char *path, const char *text)
{
	cow_autonode n = at(i, path);
	assert_text(n, text);
}

static unsigned entries(const char *path)
{
	unsigned n = 0;
	const struct dirent *de;
	cow_autoclose int fd = openat(tmp->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	cow_autodir DIR *d = fdopendir(dup(fd));
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1)
		n++;
	return n;
}

/* Return: the version it has. */
static unsigned look_whole(struct cow_store *s)
{
	struct cow_ovl_inst *i;
	cow_autoclient c = NULL;
	struct cow_ovl_node *none = NULL;
	struct cow_err err = COW_ERR_INIT;
	char version[16];
	ok(cow_client_load(s, &mac, &c, &err));
	int r = cow_client_attach(s, &mac, 0, &i, &err);
	if (r < 0)
		print_error("%s\n", cow_err_str(&err));
	ok(r);
	(void)snprintf(version, sizeof(version), "%u", c->version);
	expect_file(i, "version", version);
	expect_file(i, "home/mine", "of the client");
	expect_file(i, "home/link", "of the client");
	expect_file(i, "home/same", "in both");
	{
		cow_autonode top = at(i, "");
		cow_autonode mine = at(i, "home/mine");
		cow_autonode link = at(i, "home/link");
		cow_autonode dir = at(i, "home/dir");
		assert_ptr_equal(mine, link);
		assert_int_equal(attr_of(mine).nlink, 2);
		assert_int_equal(attr_of(dir).mode, S_IFDIR | 0700);
		assert_int_equal(cow_ovl_getxattr(mine, "user.x", version, 1), 1);
		assert_int_equal(walk_from(top, "home/gone", &none), -ENOENT);
	}
	ok(cow_ovl_inst_close(i));
	return c->version;
}

static void sweep(void)
{
	cow_autostore s = NULL;
	struct cow_err err = COW_ERR_INIT;
	ok(cow_store_open(store_path, &s, &err));
	ok(cow_store_sweep(s, &err));
	assert_true(entries("store/clients/" ID "/roots") <= 2);
	assert_int_equal(entries("store/trash"), 0);
}

/* ---------------------------------------------------------------- ways to swap */

static unsigned other_version;
static bool rebases; /* what is ordered for the boot */

static int do_swap(struct cow_store *s, enum cow_swap_what what)
{
	char to[16];
	(void)snprintf(to, sizeof(to), "img@%u", other_version);
	struct cow_swap w = {.mac = mac, .what = what, .to = to, .keep = "default"};
	int r = cow_clients_swap(s, &w, 1);
	if (r < 0)
		assert_true(w.err.code != COW_OK && *cow_err_str(&w.err));
	cow_swaps_done(&w, 1);
	return r;
}

static void order(struct cow_store *s)
{
	char to[16];
	(void)snprintf(to, sizeof(to), "img@%u", other_version);
	static const struct cow_rebase_opts opts;
	const struct cow_swap w = {.mac = mac,
				   .what = COW_SWAP_ROLL,
				   .to = to,
				   .follow = to,
				   .rebase = rebases ? &opts : NULL};
	ok(cow_client_next_set(s, &w, NULL));
}

/* Before each attempt: what it goes to is not what the client has. */
static void prepare(struct cow_store *s, enum cow_swap_what what)
{
	other_version = look_whole(s) == 1 ? 2 : 1;
	if (what != COW_SWAP_BOOT)
		return;
	ok(cow_client_set(s, &mac, "follows", other_version == 1 ? "img@2" : "img@1", NULL));
	order(s);
}

static bool succeeded(struct cow_store *s)
{
	return look_whole(s) == other_version;
}

/* An order says what is followed from then on: no sooner and no later than it has that version. */
static void follows_what_it_has(struct cow_store *s)
{
	char want[16];
	cow_autoclient c = NULL;
	ok(cow_client_load(s, &mac, &c, NULL));
	(void)snprintf(want, sizeof(want), "img@%u", c->version);
	assert_string_equal(c->follows, want);
}

/* @killed, or failed with @r. */
static void judge(enum cow_swap_what what, bool failed)
{
	cow_autostore s = NULL;
	ok(cow_store_open(store_path, &s, NULL));
	bool done = succeeded(s); /* before anything was swept */
	assert_true(failed || done);
	sweep();
	assert_int_equal(succeeded(s), done);
	if (what == COW_SWAP_BOOT)
		follows_what_it_has(s);
	if (!done || what == COW_SWAP_BOOT)
		ok(do_swap(s, what)); /* a boot that is done has nothing to do */
	assert_true(succeeded(s));
	sweep();
	if (what == COW_SWAP_BOOT)
		follows_what_it_has(s);
}

static bool fail_once(enum cow_swap_what what, int errnum, unsigned long nth)
{
	cow_autostore s = NULL;
	ok(cow_store_open(store_path, &s, NULL));
	prepare(s, what);
	fault_arm(errnum, nth);
	int r = do_swap(s, what);
	bool fired = fault_disarm();
	if (r < 0 && !fired)
		print_error("no fault, and yet %d\n", r);
	assert_true(fired || r == 0);
	judge(what, r < 0);
	return fired;
}

/* Every one with COWHERD_TEST_LONG; else some, each time the same. */
static unsigned long step(void)
{
	return getenv("COWHERD_TEST_LONG") ? 1 : 13; /* NOLINT(concurrency-mt-unsafe): one thread */
}

static void all_faults(enum cow_swap_what what)
{
	static const int errnums[] = {0, EIO, ENOSPC};
	unsigned long faults = 0;
	for (size_t e = 0; e < sizeof(errnums) / sizeof(*errnums); e++)
		for (unsigned long nth = 0; fail_once(what, errnums[e], nth); nth += step())
			faults++;
	print_message("%s: %lu faults\n", cow_swap_name(what), faults);
}

static bool kill_once(enum cow_swap_what what, unsigned long nth)
{
	int status = 0;
	cow_autostore s = NULL;
	ok(cow_store_open(store_path, &s, NULL));
	prepare(s, what);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fault_arm_kill(nth);
		_exit(do_swap(s, what) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	bool killed = WIFSIGNALED(status);
	assert_true(killed || status == 0);
	judge(what, killed);
	return killed;
}

static void all_kills(enum cow_swap_what what)
{
	unsigned long points = 0;
	for (unsigned long nth = 0; kill_once(what, nth); nth += step())
		points++;
	assert_true(points > 5); /* else it tests nothing */
	print_message("%s: killed at %lu points\n", cow_swap_name(what), points);
}

static void a_roll_fails_at_every_call(void **state)
{
	(void)state;
	all_faults(COW_SWAP_ROLL);
}

static void a_roll_at_boot_fails_at_every_call(void **state)
{
	(void)state;
	all_faults(COW_SWAP_BOOT);
}

static void a_rollback_fails_at_every_call(void **state)
{
	(void)state;
	all_faults(COW_SWAP_ROLLBACK);
}

static void a_roll_is_killed_at_every_call(void **state)
{
	(void)state;
	all_kills(COW_SWAP_ROLL);
}

static void a_roll_at_boot_is_killed_at_every_call(void **state)
{
	(void)state;
	all_kills(COW_SWAP_BOOT);
}

static void a_rebase_at_boot_fails_at_every_call(void **state)
{
	(void)state;
	rebases = true;
	all_faults(COW_SWAP_BOOT);
	rebases = false;
}

static void a_rebase_at_boot_is_killed_at_every_call(void **state)
{
	(void)state;
	rebases = true;
	all_kills(COW_SWAP_BOOT);
	rebases = false;
}

static void a_rollback_is_killed_at_every_call(void **state)
{
	(void)state;
	all_kills(COW_SWAP_ROLLBACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_roll_fails_at_every_call),
	    cmocka_unit_test(a_roll_is_killed_at_every_call),
	    cmocka_unit_test(a_roll_at_boot_fails_at_every_call),
	    cmocka_unit_test(a_roll_at_boot_is_killed_at_every_call),
	    cmocka_unit_test(a_rebase_at_boot_fails_at_every_call),
	    cmocka_unit_test(a_rebase_at_boot_is_killed_at_every_call),
	    cmocka_unit_test(a_rollback_fails_at_every_call),
	    cmocka_unit_test(a_rollback_is_killed_at_every_call),
	};
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root: handles and trusted attributes\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
