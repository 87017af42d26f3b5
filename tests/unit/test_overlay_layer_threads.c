/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * 64 threads on one directory and on one file of an instance with an image below. Meant to be run under
 * the thread and the address sanitizer too. When all are done the tree is what the same names would be
 * after a restart, and nothing is left over.
 */
#include "layer_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 64
#define NAMES 24

struct crowd {
	struct ovl *f;
	unsigned rounds;
	atomic_uint next, failures, done;
	atomic_bool stop;
	uint8_t handle[NAMES][COW_OVL_HANDLE_MAX];
	size_t len[NAMES];
	pthread_barrier_t start;
};

static void expect(struct crowd *c, int line, int r, const int *allowed, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (r == allowed[k])
			return;
	print_error("line %d: unexpected %d\n", line, r);
	atomic_fetch_add(&c->failures, 1);
}
#define EXPECT(r, ...)                                                                             \
	expect(c, __LINE__, (int)(r), (const int[]){__VA_ARGS__},                                  \
	       sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void crowd_run(struct crowd *c, void *(*fn)(void *))
{
	static pthread_t t[THREADS];
	ok(pthread_barrier_init(&c->start, NULL, THREADS));
	for (int k = 0; k < THREADS; k++)
		ok(pthread_create(&t[k], NULL, fn, c));
	for (int k = 0; k < THREADS; k++)
		ok(pthread_join(t[k], NULL));
	(void)pthread_barrier_destroy(&c->start);
	assert_int_equal(atomic_load(&c->failures), 0);
}

static unsigned rnd(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

static unsigned begin(struct crowd *c)
{
	unsigned me = atomic_fetch_add(&c->next, 1);
	(void)pthread_barrier_wait(&c->start);
	return me;
}

/* dir/ of the image with NAMES names: files, a third of them links of one file, some directories. */
static void set_up(struct ovl *f)
{
	char name[32];
	low_dir(f, "dir", 0755);
	low_dir(f, "other", 0755);
	for (unsigned k = 0; k < NAMES; k++) {
		(void)snprintf(name, sizeof(name), "dir/n%u", k);
		if (k % 6 == 5)
			low_dir(f, name, 0755);
		else if (k % 3 == 1 && k > 1)
			low_link(f, "dir/n1", name);
		else
			low_file(f, name, "of the image");
	}
	layer_start(f);
}

static void nothing_left(struct ovl *f)
{
	struct cow_ovl_stats s;
	cow_ovl_stats(f->inst, &s);
	assert_int_equal(s.nodes, 1);
	assert_int_equal(s.opens, 0);
	assert_int_equal(disk_count(f, "work/work"), 0);
	assert_same_after_restart(f);
}

static int finding(void *ctx, const char *path, const char *what)
{
	print_error("'%s': %s\n", path, what);
	return 0;
}

static int any_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	return 0;
}

static void use_file(struct crowd *c, struct cow_ovl_node *n, unsigned seed)
{
	struct cow_ovl_open *o = NULL;
	struct cow_ovl_attr a;
	char buf[64];
	int r = cow_ovl_open(n, &cow_ovl_root_cred,
			     seed % 2 ? COW_OPEN_READ : COW_OPEN_READ | COW_OPEN_WRITE, &o);
	EXPECT(r, 0, -ESTALE, -EISDIR, -EINVAL);
	if (r < 0)
		return;
	if (seed % 2 == 0)
		EXPECT(put_text(o, "OF", 0), 2);
	EXPECT(get_bytes(o, buf, sizeof(buf), 0), 0, 2, 12);
	EXPECT(cow_ovl_getattr(n, &a), 0); /* an open keeps it */
	cow_ovl_close(o);
}

/* Everything that changes names in one directory, under names of the image. */
static void *mingle(void *arg)
{
	struct crowd *c = arg;
	unsigned seed = begin(c) * 7919 + 1;
	cow_autonode dir = get(c->f, "dir");
	cow_autonode other = get(c->f, "other");
	for (unsigned k = 0; k < c->rounds; k++) {
		char a[16], b[16];
		int eof;
		cow_autonode n = NULL;
		cow_autonode found = NULL;
		struct cow_ovl_attr attr;
		struct cow_ovl_node *from = rnd(&seed) % 4 ? dir : other;
		struct cow_ovl_node *to = rnd(&seed) % 4 ? dir : other;
		unsigned h = rnd(&seed) % NAMES;
		(void)snprintf(a, sizeof(a), "n%u", rnd(&seed) % NAMES);
		(void)snprintf(b, sizeof(b), "n%u", rnd(&seed) % NAMES);
		switch (rnd(&seed) % 9) {
		case 0:
			EXPECT(make(from, a, k % 4 ? S_IFREG : S_IFDIR, 0644, &n), 0, -EEXIST);
			break;
		case 1:
			EXPECT(rm(from, a, COW_REMOVE_FILE | COW_REMOVE_DIR), 0, -ENOENT);
			break;
		case 2:
			EXPECT(mv(from, a, to, b, 0), 0, -ENOENT, -EISDIR, -ENOTDIR, -ENOTEMPTY);
			break;
		case 3:
			EXPECT(mv(from, a, to, b, RENAME_EXCHANGE), 0, -ENOENT);
			break;
		case 4:
			EXPECT(mv(from, a, to, b, RENAME_NOREPLACE), 0, -ENOENT, -EEXIST);
			break;
		case 5:
			EXPECT(look(from, a, &n), 0, -ENOENT);
			if (n)
				EXPECT(cow_ovl_link(n, to, b, strlen(b), &cow_ovl_root_cred), 0,
				       -EEXIST, -ESTALE, -EPERM);
			break;
		case 6:
			EXPECT(cow_ovl_readdir(from, 0, k % 2 ? COW_READDIR_NODES : 0, any_entry,
					       NULL, &eof),
			       0);
			break;
		case 7:
			EXPECT(cow_ovl_from_handle(c->f->inst, c->handle[h], c->len[h], &found), 0,
			       -ESTALE);
			if (found)
				EXPECT(cow_ovl_getattr(found, &attr), 0, -ESTALE);
			break;
		default:
			EXPECT(look(from, a, &n), 0, -ENOENT);
		}
		if (n && S_ISREG(cow_ovl_type(n)))
			use_file(c, n, rnd(&seed));
	}
	return NULL;
}

static void take_handles(struct crowd *c)
{
	for (unsigned k = 0; k < NAMES; k++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "dir/n%u", k);
		cow_autonode n = get(c->f, name);
		c->len[k] = cow_ovl_handle(n, c->handle[k]);
	}
}

static void sixty_four_threads_in_one_directory(void **state)
{
	static struct crowd c;
	c = (struct crowd){.f = *state, .rounds = 60};
	set_up(c.f);
	take_handles(&c);
	crowd_run(&c, mingle);
	nothing_left(c.f);
	ovl_detach(c.f);
	assert_int_equal(cow_ovl_inst_check(c.f->dirfd, c.f->img, finding, NULL, NULL), 0);
	ovl_attach(c.f);
}

static void sixty_four_threads_and_hardly_an_fd(void **state)
{
	static struct crowd c;
	c = (struct crowd){.f = *state, .rounds = 25};
	set_up(c.f);
	take_handles(&c);
	cow_ovl_set_fd_limit(2);
	crowd_run(&c, mingle);
	cow_ovl_set_fd_limit(1000);
	nothing_left(c.f);
}

/* One file of the image under three names: readers, writers, truncation of another one. */
#define FILE_LEN (1 << 20)

static void *one_file(void *arg)
{
	struct crowd *c = arg;
	static const char *const names[] = {"one", "two", "dir/three"};
	unsigned me = begin(c);
	char buf[512], byte = (char)('A' + me % 26);
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	for (unsigned k = 0; k < c->rounds; k++) {
		cow_autonode n = NULL;
		struct cow_ovl_open *o = NULL;
		struct cow_ovl_attr a;
		EXPECT(walk(c->f, names[(me + k) % 3], &n), 0);
		if (me % 4 == 0) { /* a writer of its own byte */
			EXPECT(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o), 0);
			EXPECT(cow_ovl_write(o, &iov, 1, me * 4096u, 0), 1);
		} else { /* what is not written to never looks half-copied */
			EXPECT(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o), 0);
			EXPECT(get_bytes(o, buf, sizeof(buf), FILE_LEN - sizeof(buf)), sizeof(buf));
			for (size_t b = 0; b < sizeof(buf); b++)
				if (buf[b] != 'x') {
					EXPECT(-EIO, 0);
					break;
				}
		}
		EXPECT(cow_ovl_getattr(n, &a), 0);
		EXPECT(a.nlink, 3);
		EXPECT(a.size, FILE_LEN);
		cow_ovl_close(o);
	}
	return NULL;
}

static void readers_and_writers_of_one_file_of_three_names(void **state)
{
	static struct crowd c;
	static char content[FILE_LEN];
	struct ovl *f = *state;
	c = (struct crowd){.f = f, .rounds = 12};
	memset(content, 'x', sizeof(content));
	low_dir(f, "dir", 0755);
	low_bytes(f, "one", content, sizeof(content), 0644);
	low_link(f, "one", "two");
	low_link(f, "one", "dir/three");
	layer_start(f);
	crowd_run(&c, one_file);
	cow_autonode n = get(f, "two");
	cow_autoopen o = NULL;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	for (unsigned me = 0; me < THREADS; me += 4) {
		char got = 0;
		assert_int_equal(get_bytes(o, &got, 1, me * 4096u), 1);
		assert_int_equal(got, 'A' + me % 26);
	}
	assert_int_equal(disk_count(f, "work/index"), 1);
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_put(cow_steal_ptr(&n));
	nothing_left(f);
}

/* A directory tree of the image, brought up from many leaves at once while it is moved about. */
static void *leaves(void *arg)
{
	struct crowd *c = arg;
	unsigned me = begin(c);
	for (unsigned k = 0; k < c->rounds; k++) {
		char name[16];
		cow_autonode n = NULL;
		int r;
		if (me == 0) {
			static const char *const at[] = {"top", "TOP"};
			EXPECT(mv(c->f->root, at[k % 2], c->f->root, at[(k + 1) % 2], 0), 0);
			continue;
		}
		/* By handle: a path may be moved away between two steps. */
		EXPECT(cow_ovl_from_handle(c->f->inst, c->handle[0], c->len[0], &n), 0);
		if (!n)
			continue;
		(void)snprintf(name, sizeof(name), "t%u", me);
		r = make_file(n, name, NULL);
		EXPECT(r, k == 0 ? 0 : -EEXIST);
		cow_autonode up = NULL;
		EXPECT(cow_ovl_parent(n, &up), 0);
	}
	return NULL;
}

static void a_tree_brought_up_while_it_moves(void **state)
{
	static struct crowd c;
	struct ovl *f = *state;
	c = (struct crowd){.f = f, .rounds = 30};
	low_dir(f, "top", 0755);
	low_dir(f, "top/a", 0755);
	low_dir(f, "top/a/b", 0755);
	low_dir(f, "top/a/b/c", 0755);
	layer_start(f);
	cow_autonode n = get(f, "top/a/b/c");
	c.len[0] = cow_ovl_handle(n, c.handle[0]);
	cow_ovl_put(cow_steal_ptr(&n));
	crowd_run(&c, leaves);
	n = get(f, "top/a/b/c");
	assert_int_equal(list_count(n), THREADS - 1);
	cow_ovl_put(cow_steal_ptr(&n));
	nothing_left(f);
}

/* An open file whose names go while it is read and brought up. */
static void *open_and_unlink(void *arg)
{
	struct crowd *c = arg;
	unsigned me = begin(c);
	char name[16], buf[32];
	cow_autonode n = NULL;
	struct cow_ovl_open *o = NULL, *w = NULL;
	/* four threads a file */
	(void)snprintf(name, sizeof(name), "n%u", me / 4);
	cow_autonode dir = get(c->f, "dir");
	int r = look(dir, name, &n);
	EXPECT(r, 0, -ENOENT);
	if (r < 0)
		return NULL;
	r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o);
	EXPECT(r, 0, -ESTALE, -EISDIR);
	if (me % 4 == 0)
		EXPECT(rm(dir, name, COW_REMOVE_FILE | COW_REMOVE_DIR), 0);
	if (r < 0)
		return NULL;
	EXPECT(get_bytes(o, buf, sizeof(buf), 0), 12);
	EXPECT(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &w), 0);
	if (w)
		EXPECT(put_text(w, "OF", 0), 2);
	EXPECT(get_bytes(o, buf, sizeof(buf), 0), 12);
	EXPECT(memcmp(buf, "OF", 2), 0);
	cow_ovl_close(w);
	EXPECT(get_bytes(o, buf, sizeof(buf), 0), 12);
	EXPECT(memcmp(buf, "OF", 2), 0);
	cow_ovl_close(o);
	return NULL;
}

static void open_files_lose_their_names(void **state)
{
	static struct crowd c;
	c = (struct crowd){.f = *state};
	set_up(c.f);
	crowd_run(&c, open_and_unlink);
	nothing_left(c.f);
}

/* Until the instance is closed under them. */
static void *work_until_stale(void *arg)
{
	struct crowd *c = arg;
	unsigned seed = begin(c) + 1;
	cow_autonode root = cow_ovl_get(c->f->root);
	for (;;) {
		char name[16];
		int eof;
		cow_autonode n = NULL;
		cow_autonode dir = NULL;
		struct cow_ovl_open *o = NULL;
		int r = look(root, "dir", &dir);
		EXPECT(r, 0, -ESTALE);
		if (r < 0)
			return NULL;
		(void)snprintf(name, sizeof(name), "n%u", rnd(&seed) % NAMES);
		r = look(dir, name, &n);
		EXPECT(r, 0, -ESTALE, -ENOENT);
		if (r == 0)
			r = cow_ovl_open(n, NULL, COW_OPEN_READ | COW_OPEN_WRITE, &o);
		EXPECT(r, 0, -ESTALE, -ENOENT, -EISDIR);
		if (r == 0)
			EXPECT(put_text(o, "OF", 0), 2, -ESTALE);
		cow_ovl_close(o);
		EXPECT(cow_ovl_readdir(dir, 0, COW_READDIR_NODES, any_entry, NULL, &eof), 0,
		       -ESTALE);
		EXPECT(rm(dir, name, COW_REMOVE_FILE), 0, -ENOENT, -ESTALE, -EISDIR);
		EXPECT(make_file(dir, name, NULL), 0, -EEXIST, -ESTALE);
		atomic_fetch_add(&c->done, 1);
	}
}

static void *closer(void *arg)
{
	struct crowd *c = arg;
	while (atomic_load(&c->done) < 300)
		(void)usleep(1000);
	EXPECT(cow_ovl_inst_close(c->f->inst), 0);
	return NULL;
}

static void a_close_ends_all_calls(void **state)
{
	static struct crowd c;
	struct ovl *f = *state;
	c = (struct crowd){.f = f};
	set_up(f);
	for (int round = 0; round < 3; round++) {
		pthread_t t;
		atomic_store(&c.done, 0);
		ok(pthread_create(&t, NULL, closer, &c));
		crowd_run(&c, work_until_stale);
		ok(pthread_join(t, NULL));
		cow_ovl_put(f->root);
		ovl_attach(f);
	}
	nothing_left(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup_bare, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(sixty_four_threads_in_one_directory),
	    T(sixty_four_threads_and_hardly_an_fd),
	    T(readers_and_writers_of_one_file_of_three_names),
	    T(a_tree_brought_up_while_it_moves),
	    T(open_files_lose_their_names),
	    T(a_close_ends_all_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
