/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An observer (COW_OVL_OBSERVER) beside the server of a root with an image below: it sees each change
 * at its next call, also through nodes and opens it has had since before, keeps nothing, and changes
 * nothing.
 */
#include "layer_test.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>

struct both {
	struct ovl *server;
	struct ovl view; /* the observer's side of it; shares the directories */
};

static struct both both;

static int set_up(void **state)
{
	int r = layer_setup(state);
	if (r != 0)
		return r;
	both = (struct both){.server = *state, .view = *(struct ovl *)*state};
	both.view.inst = NULL;
	both.view.root = NULL;
	ok(cow_ovl_inst_open(both.server->dirfd, both.server->img, COW_OVL_OBSERVER,
			     &both.view.inst, NULL));
	ok(cow_ovl_root(both.view.inst, &both.view.root));
	return 0;
}

static int tear_down(void **state)
{
	struct cow_ovl_stats s;
	cow_ovl_stats(both.view.inst, &s);
	cow_ovl_put(both.view.root);
	int r = cow_ovl_inst_close(both.view.inst);
	if (s.nodes != 1 || s.opens != 0 || s.fds != 0) {
		print_error("the observer kept %u nodes, %u opens, %u fds\n", (unsigned)s.nodes,
			    (unsigned)s.opens, (unsigned)s.fds);
		r = -EBUSY;
	}
	int r2 = layer_teardown(state);
	return r < 0 ? r : r2;
}

static void assert_same_view(void)
{
	cow_autofree char *served = tree_text(both.server->inst);
	cow_autofree char *seen = tree_text(both.view.inst);
	assert_string_equal(served, seen);
}

static struct cow_ovl_open *open_seen(const char *path)
{
	struct cow_ovl_open *o = NULL;
	cow_autonode n = get(&both.view, path);
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	return o;
}

static void assert_reads(struct cow_ovl_open *o, const char *text)
{
	char buf[64] = {0};
	assert_int_equal(get_bytes(o, buf, sizeof(buf) - 1, 0), strlen(text));
	assert_string_equal(buf, text);
}

static void every_change_is_refused(void **state)
{
	struct ovl *v = &both.view;
	struct cow_ovl_open *none = NULL;
	const struct cow_ovl_cred *root = &cow_ovl_root_cred;
	static const char *const paths[] = {"file", "dir/second"};
	up_at(both.server, "dir/second");
	cow_autofree char *before = raw_text(both.server->dirfd);
	for (int k = 0; k < 2; k++) { /* of the image, brought up */
		struct cow_ovl_set set = {.mask = COW_SET_MODE, .mode = 0600};
		cow_autonode n = get(v, paths[k]);
		cow_autoopen o = open_seen(paths[k]);
		assert_int_equal(cow_ovl_open(n, root, COW_OPEN_WRITE, &none), -EROFS);
		assert_int_equal(cow_ovl_open(n, root, COW_OPEN_WRITE | COW_OPEN_TRUNC, &none),
				 -EROFS);
		assert_int_equal(cow_ovl_setattr(n, root, &set, NULL), -EROFS);
		assert_int_equal(cow_ovl_setxattr(n, root, "user.x", "x", 1, 0), -EROFS);
		assert_int_equal(cow_ovl_removexattr(n, root, "user.of"), -EROFS);
		assert_int_equal(cow_ovl_link(n, v->root, "new", 3, root), -EROFS);
		assert_int_equal(cow_ovl_commit(n), -EROFS);
		assert_int_equal(put_text(o, "x", 0), -EBADF);
		assert_int_equal(cow_ovl_fallocate(o, 0, 0, 1), -EBADF);
		assert_int_equal(cow_ovl_clone(o, 0, o, 0, 0), -EBADF);
	}
	assert_int_equal(make_at(v, "new", S_IFREG, 0600), -EROFS);
	assert_int_equal(make_at(v, "dir/new", S_IFDIR, 0700), -EROFS);
	assert_int_equal(rm_at(v, "file"), -EROFS);
	assert_int_equal(rm_at(v, "empty"), -EROFS);
	assert_int_equal(mv_at(v, "file", "new", 0), -EROFS);
	assert_int_equal(mv_at(v, "file", "link", RENAME_EXCHANGE), -EROFS);
	assert_int_equal(cow_ovl_inst_sync(v->inst), -EROFS);
	assert_int_equal(cow_ovl_inst_limit(v->inst, 1 << 20), -EROFS);
	cow_autofree char *after = raw_text(both.server->dirfd);
	assert_string_equal(before, after);
	assert_same_view();
}

/* What it holds as the image's is the same node with the new content. */
static void a_file_it_holds_is_brought_up(void **state)
{
	struct ovl *s = both.server;
	uint8_t before[COW_OVL_HANDLE_MAX] = {0}, after[COW_OVL_HANDLE_MAX] = {0};
	cow_autonode n = get(&both.view, "file");
	cow_autonode dir = get(&both.view, "dir");
	cow_autonode inner = get(&both.view, "dir/sub/deep");
	cow_autoopen o = open_seen("file");
	uint64_t change = attr_of(n).change;
	(void)cow_ovl_handle(n, before);
	assert_reads(o, "of the image");
	put_at(s, "file", "changed");
	put_at(s, "dir/sub/deep", "DEEP");
	assert_reads(o, "changed");
	assert_text(n, "changed");
	assert_text(inner, "DEEP");
	assert_int_equal(attr_of(n).size, 7);
	assert_true(attr_of(n).change != change);
	(void)cow_ovl_handle(n, after);
	assert_memory_equal(before, after, sizeof(before));
	cow_autonode again = get(&both.view, "file");
	assert_ptr_equal(again, n);
	ok(make_at(s, "dir/born", S_IFREG, 0644));
	assert_int_equal(listed(dir, "born"), 1); /* held as the image's alone */
	cow_ovl_close(cow_steal_ptr(&o));
}

static void an_open_that_stays_reads_what_was_there(void **state)
{
	struct ovl *s = both.server;
	const unsigned stay = COW_OPEN_READ | COW_OPEN_STAY;
	struct cow_ovl_open *none = NULL;
	uint64_t dev = 0, ino = 0, now = 0;
	cow_autonode n = get(&both.view, "file");
	cow_autoopen o = NULL;
	cow_autoopen later = NULL;
	cow_autoopen follows = open_seen("file");
	ok(cow_ovl_open(n, &cow_ovl_root_cred, stay, &o));
	assert_true(cow_ovl_open_is_golden(o));
	ok(cow_ovl_open_golden_id(o, &dev, &ino));
	assert_int_equal(cow_ovl_open_golden_id(follows, &dev, &now), -ENOENT); /* not for ever */
	put_at(s, "file", "changed");
	assert_reads(follows, "changed");
	assert_reads(o, "of the image");
	assert_true(cow_ovl_open_is_golden(o));
	ok(cow_ovl_open_golden_id(o, &dev, &now));
	assert_int_equal(now, ino);
	assert_false(cow_ovl_open_is_golden(follows));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, stay, &later));
	assert_reads(later, "changed");
	assert_false(cow_ovl_open_is_golden(later));
	assert_int_equal(cow_ovl_open_golden_id(later, &dev, &now), -ENOENT);
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, stay | COW_OPEN_WRITE, &none),
			 -EINVAL);
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_close(cow_steal_ptr(&later));
	cow_ovl_close(cow_steal_ptr(&follows));
}

static void names_come_and_go(void **state)
{
	struct ovl *s = both.server, *v = &both.view;
	struct cow_ovl_attr a;
	struct cow_ovl_node *none = NULL;
	cow_autonode dir = get(v, "dir");
	cow_autonode file = get(v, "dir/file");
	cow_autonode second = get(v, "dir/second");
	cow_autonode empty = get(v, "empty");
	ok(rm_at(s, "dir/file"));
	assert_absent(v, "dir/file");
	assert_int_equal(listed(dir, "file"), 0);
	assert_int_equal(cow_ovl_getattr(file, &a), -ESTALE);
	ok(make_at(s, "dir/file", S_IFDIR, 0700)); /* over the whiteout */
	assert_int_equal(attr_at(v, "dir/file").mode & S_IFMT, S_IFDIR);
	assert_int_equal(cow_ovl_getattr(file, &a), -ESTALE);
	ok(mv_at(s, "dir/second", "moved", 0));
	assert_int_equal(attr_of(second).nlink, 1); /* the node went with it */
	assert_text_at(v, "moved", "second");
	assert_absent(v, "dir/second");
	ok(mv_at(s, "dir", "DIR", 0));
	assert_absent(v, "dir");
	assert_int_equal(listed(dir, "sub"), 1); /* the node is the directory, wherever it is */
	assert_text_at(v, "DIR/sub/deep", "deep");
	ok(rm_at(s, "empty"));
	assert_int_equal(cow_ovl_getattr(empty, &a), -ESTALE);
	assert_int_equal(look(empty, "x", &none), -ESTALE);
	ok(make_at(s, "empty", S_IFDIR, 0755));
	assert_int_equal(attr_at(v, "empty").mode & 07777, 0755);
	assert_int_equal(cow_ovl_getattr(empty, &a), -ESTALE); /* not the old one */
	assert_same_view();
}

static void hard_links_are_followed(void **state)
{
	struct ovl *s = both.server, *v = &both.view;
	cow_autonode one = get(v, "one");
	cow_autonode three = get(v, "dir/three");
	cow_autoopen o = open_seen("two");
	assert_ptr_equal(one, three);
	put_at(s, "two", "changed");
	assert_text(one, "changed"); /* brought up by another name */
	assert_reads(o, "changed");
	assert_int_equal(attr_of(one).nlink, 3);
	ok(ln_at(s, "two", "four"));
	assert_int_equal(attr_of(one).nlink, 4);
	ok(rm_at(s, "two"));
	ok(rm_at(s, "one"));
	assert_int_equal(attr_of(three).nlink, 2);
	ok(rm_at(s, "dir/three"));
	ok(mv_at(s, "four", "dir/five", 0));
	assert_int_equal(attr_of(three).nlink, 1);
	assert_text_at(v, "dir/five", "changed");
	cow_autonode five = get(v, "dir/five");
	assert_ptr_equal(five, one);
	ok(rm_at(s, "dir/five"));
	struct cow_ovl_attr a;
	/* Opened while it was the image's, brought up and deleted since: nobody keeps the upper for an
	 * observer, so it is gone. It is said so; never are the image's old bytes read. */
	char buf[16];
	assert_int_equal(get_bytes(o, buf, sizeof(buf), 0), -ESTALE);
	cow_ovl_close(cow_steal_ptr(&o));
	assert_int_equal(cow_ovl_getattr(one, &a), -ESTALE);
	assert_same_view();
}

/* What it had open stays readable when the server removes it, of the image and brought up. */
static void an_open_outlives_the_name(void **state)
{
	struct ovl *s = both.server;
	put_at(s, "dir/second", "changed");
	cow_autoopen low = open_seen("dir/file");
	cow_autoopen up = open_seen("dir/second");
	ok(rm_at(s, "dir/file"));
	ok(rm_at(s, "dir/second"));
	assert_reads(low, "in dir");
	assert_reads(up, "changed");
	assert_int_equal(attr_of(cow_ovl_open_node(up)).nlink, 0);
	cow_ovl_close(cow_steal_ptr(&low));
	cow_ovl_close(cow_steal_ptr(&up));
	assert_same_view();
}

static void handles_of_the_server_are_the_observers(void **state)
{
	struct ovl *s = both.server, *v = &both.view;
	static const char *const paths[] = {"file", "dir/sub/er", "one", "born"};
	uint8_t h[4][COW_OVL_HANDLE_MAX];
	size_t len[4];
	ok(make_at(s, "born", S_IFREG, 0644));
	for (int k = 0; k < 4; k++) {
		cow_autonode n = get(s, paths[k]);
		len[k] = cow_ovl_handle(n, h[k]);
	}
	put_at(s, "one", "changed");
	ok(mv_at(s, "file", "dir/away", 0));
	ok(mv_at(s, "dir/sub", "sub", 0));
	for (int k = 0; k < 4; k++) {
		cow_autonode n = NULL;
		uint8_t again[COW_OVL_HANDLE_MAX];
		ok(cow_ovl_from_handle(v->inst, h[k], len[k], &n));
		assert_int_equal(cow_ovl_handle(n, again), len[k]);
		assert_memory_equal(again, h[k], len[k]);
	}
	ok(mv_at(s, "dir/away", "sub/er/away", 0)); /* moved once more since it was looked up */
	ok(rm_at(s, "born"));
	ok(rm_at(s, "one"));
	struct cow_ovl_node *none = NULL;
	cow_autonode n = NULL;
	ok(cow_ovl_from_handle(v->inst, h[0], len[0], &n));
	assert_text(n, "of the image");
	assert_int_equal(cow_ovl_from_handle(v->inst, h[3], len[3], &none), -ESTALE);
	ok(rm_at(s, "sub/er/away"));
	cow_ovl_put(cow_steal_ptr(&n));
	assert_int_equal(cow_ovl_from_handle(v->inst, h[0], len[0], &none), -ESTALE);
}

/* Many steps of every kind, the observer holding what it once saw; after each it sees what is
 * served. */
static void it_sees_what_is_served_after_every_step(void **state)
{
	struct ovl *s = both.server;
	static const char *const names[] = {"file", "dir",  "dir/file", "dir/sub", "one",
					    "two",  "link", "empty",	"new",	   "dir/new"};
	enum { N = sizeof(names) / sizeof(*names) };
	struct cow_ovl_node *held[N] = {0};
	unsigned seed = 4711, done = 0;
	for (int step = 0; step < 300; step++) {
		const char *a = names[(seed >> 16) % N], *b = names[(seed >> 20) % N];
		cow_autonode n = NULL;
		int r = -EINVAL;
		unsigned k = (seed >> 16) % N;
		seed = seed * 1103515245 + 12345;
		if (!held[k])
			(void)walk(&both.view, names[k], &held[k]);
		/* their directory may be gone */
		if ((strchr(a, '/') || strchr(b, '/')) &&
		    (walk(s, "dir", &n) < 0 || !S_ISDIR(cow_ovl_type(n))))
			continue;
		cow_ovl_put(cow_steal_ptr(&n));
		switch ((seed >> 24) % 6) {
		case 0:
			r = make_at(s, a, step % 2 ? S_IFREG : S_IFDIR, 0755);
			break;
		case 1:
			r = rm_at(s, a);
			break;
		case 2:
			r = mv_at(s, a, b, 0);
			break;
		case 3:
			r = mv_at(s, a, b, RENAME_EXCHANGE);
			break;
		case 4:
			r = walk(s, a, &n);
			if (r == 0 && !S_ISDIR(cow_ovl_type(n)))
				r = ln_at(s, a, b);
			break;
		default:
			r = walk(s, a, &n);
			if (r == 0 && S_ISREG(cow_ovl_type(n)))
				put_at(s, a, b);
		}
		done += r == 0;
		if (r == 0)
			assert_same_view();
	}
	print_message("%u steps made a change\n", done);
	assert_true(done > 60);
	for (int k = 0; k < N; k++)
		cow_ovl_put(held[k]);
}

struct traffic {
	atomic_bool stop;
	atomic_uint failures, scans;
};

static int note_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	unsigned *seen = ctx, k;
	if (sscanf(ent->name, "stays-%u", &k) == 1 && k < 50)
		seen[k]++;
	return 0;
}

/* A listing of a directory under change: what stays is there exactly once, nothing fails. */
static void *scan(void *arg)
{
	struct traffic *t = arg;
	while (!atomic_load(&t->stop)) {
		unsigned seen[50] = {0};
		int eof;
		cow_autonode dir = NULL;
		int r = look(both.view.root, "dir", &dir);
		if (r == 0)
			r = cow_ovl_readdir(dir, 0, COW_READDIR_NODES, note_entry, seen, &eof);
		if (r < 0) {
			print_error("scan: %d\n", r);
			atomic_fetch_add(&t->failures, 1);
		}
		for (int k = 0; k < 50; k++)
			if (seen[k] != 1)
				atomic_fetch_add(&t->failures, 1);
		atomic_fetch_add(&t->scans, 1);
	}
	return NULL;
}

static void a_scan_beside_a_busy_server_is_whole(void **state)
{
	struct ovl *s = both.server;
	struct traffic t = {0};
	pthread_t thread;
	char name[32];
	for (int k = 0; k < 50; k++) {
		(void)snprintf(name, sizeof(name), "dir/stays-%d", k);
		ok(make_at(s, name, S_IFREG, 0644));
	}
	ok(pthread_create(&thread, NULL, scan, &t));
	int r = 0;
	for (unsigned k = 0; (k < 300 || atomic_load(&t.scans) < 10) && r == 0; k++) {
		(void)snprintf(name, sizeof(name), "dir/goes-%u", k % 7);
		r = make_at(s, name, S_IFREG, 0644);
		if (r == 0)
			r = rm_at(s, name);
	}
	atomic_store(&t.stop, true);
	ok(pthread_join(thread, NULL));
	ok(r);
	assert_int_equal(t.failures, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(every_change_is_refused),
	    T(a_file_it_holds_is_brought_up),
	    T(an_open_that_stays_reads_what_was_there),
	    T(names_come_and_go),
	    T(hard_links_are_followed),
	    T(an_open_outlives_the_name),
	    T(handles_of_the_server_are_the_observers),
	    T(it_sees_what_is_served_after_every_step),
	    T(a_scan_beside_a_busy_server_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
