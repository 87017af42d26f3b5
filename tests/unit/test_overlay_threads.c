/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Threads: many in one directory, a close among them, and the sharing of syncs. Meant to be run
 * under the thread sanitizer too.
 */
#include "ovl_test.h"

#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/vfs.h>

#define THREADS 8

struct crowd {
	struct ovl *f;
	unsigned rounds;
	atomic_uint failures, created, stale, next;
};

static void crowd_run(struct crowd *c, void *(*fn)(void *))
{
	pthread_t t[THREADS];
	for (int k = 0; k < THREADS; k++)
		ok(pthread_create(&t[k], NULL, fn, c));
	for (int k = 0; k < THREADS; k++)
		ok(pthread_join(t[k], NULL));
}

static void expect(struct crowd *c, int line, int r, const int *allowed, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (r == allowed[k])
			return;
	print_error("line %d: unexpected %d\n", line, r);
	atomic_fetch_add(&c->failures, 1);
}
#define EXPECT(r, ...)                                                                             \
	expect(c, __LINE__, r, (const int[]){__VA_ARGS__},                                         \
	       sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* Everything in one directory under sixteen names, so that threads meet all the time. */
static void *mingle(void *arg)
{
	struct crowd *c = arg;
	unsigned seed = atomic_fetch_add(&c->next, 1) * 7919 + 1;
	struct cow_ovl_cred cred = {.uid = seed % 3 ? 1000 + seed % 5 : 0, .gid = seed % 3};
	for (unsigned k = 0; k < c->rounds; k++) {
		char a[8], b[8];
		cow_autonode n = NULL;
		struct cow_ovl_create how = {.type = k % 5 ? S_IFREG : S_IFDIR, .mode = 0755};
		struct cow_ovl_attr attr;
		seed = seed * 1103515245 + 12345;
		(void)snprintf(a, sizeof(a), "n%u", seed >> 16 & 15);
		(void)snprintf(b, sizeof(b), "n%u", seed >> 20 & 15);
		int r = cow_ovl_create(c->f->root, a, strlen(a), &cred, &how, &n, &attr);
		EXPECT(r, 0, -EEXIST);
		if (r == 0 && (attr.uid != cred.uid || (attr.mode & S_IFMT) != how.type))
			EXPECT(-1, 0);
		if (r < 0)
			EXPECT(look(c->f->root, a, &n), 0, -ENOENT);
		if (n) {
			struct cow_ovl_open *o = NULL;
			EXPECT(cow_ovl_getattr(n, &attr), 0, -ESTALE);
			r = cow_ovl_open(n, &cred, COW_OPEN_READ | COW_OPEN_WRITE, &o);
			EXPECT(r, 0, -ESTALE, -EISDIR);
			if (r == 0)
				EXPECT((int)put_text(o, "text", 0), 4);
			cow_ovl_close(o);
		}
		EXPECT(mv(c->f->root, a, c->f->root, b, 0), 0, -ENOENT, -EISDIR, -ENOTDIR,
		       -ENOTEMPTY);
		EXPECT(rm(c->f->root, b, COW_REMOVE_FILE | COW_REMOVE_DIR), 0, -ENOENT);
	}
	return NULL;
}

static void eight_threads_in_one_directory(void **state)
{
	struct crowd c = {.f = *state, .rounds = 800};
	struct cow_ovl_stats s;
	crowd_run(&c, mingle);
	assert_int_equal(c.failures, 0);
	cow_ovl_stats(c.f->inst, &s);
	assert_int_equal(s.nodes, 1);
	assert_int_equal(s.opens, 0);
}

/* The same with hardly any fd to keep: opening, evicting and replacing all the time. */
static void eight_threads_and_two_cached_fds(void **state)
{
	struct crowd c = {.f = *state, .rounds = 400};
	cow_ovl_set_fd_limit(2);
	crowd_run(&c, mingle);
	cow_ovl_set_fd_limit(1000);
	assert_int_equal(c.failures, 0);
}

/* A name that is replaced by rename all the time never seems absent. */
static void *replace_or_look(void *arg)
{
	struct crowd *c = arg;
	unsigned me = atomic_fetch_add(&c->next, 1);
	char temp[16];
	(void)snprintf(temp, sizeof(temp), "temp%u", me);
	for (unsigned k = 0; k < c->rounds; k++) {
		cow_autonode n = NULL;
		if (me % 2) {
			EXPECT(make_file(c->f->root, temp, NULL), 0);
			EXPECT(mv(c->f->root, temp, c->f->root, "target", 0), 0);
		} else {
			EXPECT(look(c->f->root, "target", &n), 0);
		}
	}
	return NULL;
}

static void a_replaced_name_is_never_absent(void **state)
{
	struct crowd c = {.f = *state, .rounds = 1000};
	ok(make_file(c.f->root, "target", NULL));
	crowd_run(&c, replace_or_look);
	assert_int_equal(c.failures, 0);
}

static void *create_some(void *arg)
{
	struct crowd *c = arg;
	unsigned me = atomic_fetch_add(&c->next, 1);
	for (unsigned k = 0; k < c->rounds; k++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "f%u-%u", me, k);
		EXPECT(make_file(c->f->root, name, NULL), 0);
	}
	return NULL;
}

static void waiters_share_syncs(void **state)
{
	struct crowd c = {.f = *state, .rounds = 40};
	struct cow_ovl_stats s;
	crowd_run(&c, create_some);
	assert_int_equal(c.failures, 0);
	cow_ovl_stats(c.f->inst, &s);
	print_message("%u creates by %d threads: %u syncs\n", (unsigned)s.commit_waits, THREADS,
		      (unsigned)s.commits);
	assert_int_equal(s.commit_waits, THREADS * c.rounds);
	struct statfs sf;
	ok(fstatfs(c.f->dirfd, &sf));
	if (sf.f_type != TMPFS_MAGIC) /* there a sync is over before the next waiter comes */
		assert_true(s.commits < s.commit_waits);
}

static int nothing(void *ctx, const struct cow_ovl_dirent *ent)
{
	return 0;
}

/* Until the instance is closed under them. */
static void *work_until_stale(void *arg)
{
	struct crowd *c = arg;
	unsigned me = atomic_fetch_add(&c->next, 1);
	cow_autonode root = cow_ovl_get(c->f->root);
	for (unsigned k = 0;; k++) {
		char name[32];
		int eof;
		cow_autonode n = NULL;
		struct cow_ovl_open *o = NULL;
		(void)snprintf(name, sizeof(name), "f%u-%u", me, k % 50);
		int r = make_file(root, name, &n);
		EXPECT(r, 0, -EEXIST, -ESTALE);
		if (r == 0)
			r = cow_ovl_open(n, NULL, COW_OPEN_READ | COW_OPEN_WRITE, &o);
		if (r == 0)
			EXPECT((int)put_text(o, "x", 0), 1, -ESTALE);
		EXPECT(cow_ovl_readdir(root, 0, COW_READDIR_NODES, nothing, NULL, &eof), 0,
		       -ESTALE);
		cow_ovl_close(o);
		atomic_fetch_add(&c->created, 1);
		if (r == -ESTALE)
			return NULL;
	}
}

static void close_ends_all_calls(void **state)
{
	struct ovl *f = *state;
	pthread_t t[THREADS];
	for (int round = 0; round < 5; round++) {
		struct crowd c = {.f = f};
		for (int k = 0; k < THREADS; k++)
			ok(pthread_create(&t[k], NULL, work_until_stale, &c));
		while (atomic_load(&c.created) < 100)
			(void)usleep(1000);
		ok(cow_ovl_inst_close(f->inst));
		for (int k = 0; k < THREADS; k++)
			ok(pthread_join(t[k], NULL));
		assert_int_equal(c.failures, 0);
		cow_ovl_put(f->root);
		ovl_attach(f);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ovl_setup, ovl_teardown)
	const struct CMUnitTest tests[] = {
	    T(eight_threads_in_one_directory),
	    T(eight_threads_and_two_cached_fds),
	    T(a_replaced_name_is_never_absent),
	    cmocka_unit_test_setup_teardown(waiters_share_syncs, ovl_setup_strict, ovl_teardown),
	    T(close_ends_all_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
