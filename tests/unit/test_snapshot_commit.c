/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Commits and edits through their C interface, with changes made by the engine: backend btrfs on a
 * loop-mounted btrfs, backend overlay there and on the file system of TMPDIR. In a mount namespace of its
 * own, as test_snapshot_store.c. Every test ends with a look whether each version is as it was made (I1).
 */
#include "cow_test.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "client_internal.h"
#include "snapshot/commit.h"

static struct tmpdir *tmp;
static char store_path[96], source[96];
static enum cow_backend backend; /* of the group that runs */
static int on_loop;		 /* its store is a btrfs file */
static const struct cow_mac mac = {{0x02, 0, 0, 0, 0, 1}};
static const struct cow_mac other = {{0x02, 0, 0, 0, 0, 2}};
static const char *const no_fixups[] = {"all", NULL};

struct fixture {
	struct cow_store *s;
	struct cow_err err;
	struct cow_ovl_inst *inst; /* of the client, attached */
	struct cow_ovl_open *held;
};

/* ---------------------------------------------------------------- a source */

static int src_fd;

static void put(const char *dir, const char *name, const char *text)
{
	int fd = openat(src_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(cow_write_file_at(fd, name, text, strlen(text), 0644), 0);
	(void)close(fd);
}

static void make_source(void)
{
	static const char *const dirs[] = {"src", "src/dir", "src/dir/sub", "src/gone",
					   "src/opaque"};
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		assert_int_equal(mkdirat(tmp->fd, dirs[i], 0755), 0);
	src_fd = openat(tmp->fd, "src", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(src_fd >= 0);
	put(".", "file", "golden");
	put(".", "same", "same");
	put(".", "away", "away");
	put(".", "cut", "something longer");
	put("dir", "inner", "inner");
	put("dir/sub", "deep", "deep");
	put("gone", "x", "x");
	put("opaque", "y", "y");
	put(".", "one", "linked");
	assert_int_equal(linkat(src_fd, "one", src_fd, "two", 0), 0);
	assert_int_equal(linkat(src_fd, "one", src_fd, "dir/three", 0), 0);
	assert_int_equal(symlinkat("file", src_fd, "link"), 0);
	assert_int_equal(mknodat(src_fd, "device", S_IFCHR | 0620, makedev(5, 1)), 0);
	assert_int_equal(fchownat(src_fd, "device", 12, 34, 0), 0);
}

static int group_setup(void **state)
{
	struct cow_err err = COW_ERR_INIT;
	char file[96];
	void *t = NULL;
	(void)umask(0);
	if (tmpdir_setup(&t) < 0)
		return -1;
	tmp = t;
	(void)snprintf(store_path, sizeof(store_path), "%s/store", tmp->path);
	(void)snprintf(file, sizeof(file), "%s/img", tmp->path);
	(void)snprintf(source, sizeof(source), "%s/src", tmp->path);
	int r = on_loop ? cow_store_init_loop(store_path, file, 512 << 20, &err)
			: cow_store_init(store_path, &err);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", cow_err_str(&err));
		return -1;
	}
	make_source();
	return 0;
}

static int group_teardown(void **state)
{
	void *t = tmp;
	(void)close(src_fd);
	if (on_loop)
		(void)umount2(store_path, MNT_DETACH);
	return tmpdir_teardown(&t);
}

/* ---------------------------------------------------------------- fixture */

#define assert_done(f, call)                                                                       \
	do {                                                                                       \
		int done_ = (call);                                                                \
		if (done_ < 0)                                                                     \
			fail_msg(#call ": %s", cow_err_str(&(f)->err));                            \
	} while (0)

static void add(struct fixture *f, const struct cow_mac *m, const char *image)
{
	const struct cow_client_add_opts opts = {.image = image, .backend = backend};
	assert_done(f, cow_client_add(f->s, m, &opts, &f->err));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	unsigned version;
	const struct cow_import_opts opts = {.skip_fixups = no_fixups};
	assert_int_equal(cow_store_open(store_path, &f->s, &f->err), 0);
	assert_done(f, cow_image_import(f->s, "img", source, &opts, &version, &f->err));
	assert_int_equal(version, 1);
	add(f, &mac, "img");
	*state = f;
	return 0;
}

static void attach(struct fixture *f, const struct cow_mac *m, unsigned flags)
{
	assert_done(f, cow_client_attach(f->s, m, flags, &f->inst, &f->err));
}

static void detach(struct fixture *f)
{
	cow_ovl_close(f->held);
	f->held = NULL;
	assert_int_equal(cow_ovl_inst_close(f->inst), 0);
	f->inst = NULL;
}

static int say(void *ctx, const char *path, const char *what)
{
	const struct cow_image *i = ctx;
	(void)fprintf(stderr, "%s@%u: %s: %s\n", i->name, i->version, path, what);
	return 0;
}

static int verify(void *ctx, const struct cow_image *i)
{
	struct fixture *f = ctx;
	return cow_image_verify(f->s, i, say, NULL, (void *)(uintptr_t)i, &f->err) == 0 ? 0 : -1;
}

static int no_left_overs(void)
{
	char command[256];
	(void)snprintf(command, sizeof(command),
		       "test -z \"$(find %s/images %s/trash -mindepth 1 -name '.*')\"", store_path,
		       store_path);
	return system(command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct cow_edit *e = NULL;
	if (f->inst)
		detach(f);
	int r = cow_image_each(f->s, verify, f, &f->err);
	if (no_left_overs() != 0)
		r = -1;
	(void)cow_client_rm(f->s, &mac, COW_SWAP_NOW, NULL);
	(void)cow_client_rm(f->s, &other, COW_SWAP_NOW, NULL);
	if (cow_edit_find(f->s, "img", 0, &e, NULL) == 0)
		(void)cow_edit_discard(f->s, e, NULL);
	cow_edit_free(e);
	cow_store_close(f->s);
	char command[128];
	/* Numbers of versions begin at 1 in every test. */
	(void)snprintf(command, sizeof(command), "rm -rf %s/trash/* 2>/dev/null", store_path);
	(void)!system(command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
	cow_autoclose int images =
	    openat(tmp->fd, "store/images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char *const names[] = {"img", "new"};
	for (size_t i = 0; i < 2; i++)
		if (cow_tree_delete_at(images, names[i]) < 0)
			r = -1;
	free(f);
	return r;
}

/* ---------------------------------------------------------------- changes */

static const struct cow_ovl_cred *const root = &cow_ovl_root_cred;

static struct cow_ovl_node *node(struct fixture *f, const char *path)
{
	struct cow_ovl_node *n = NULL, *next = NULL;
	assert_int_equal(cow_ovl_root(f->inst, &n), 0);
	while (*path) {
		size_t len = strcspn(path, "/");
		int r = cow_ovl_lookup(n, path, len, &next, NULL);
		cow_ovl_put(n);
		if (r < 0)
			return NULL;
		n = next;
		path += len;
		path += *path == '/';
	}
	return n;
}

static void create(struct fixture *f, const char *dir, const char *name, mode_t type, mode_t mode)
{
	const struct cow_ovl_create how = {
	    .type = type, .mode = mode, .target = "target", .rdev = makedev(7, 8)};
	cow_autonode d = node(f, dir);
	cow_autonode n = NULL;
	assert_int_equal(cow_ovl_create(d, name, strlen(name), root, &how, &n, NULL), 0);
}

static void store(struct fixture *f, const char *path, const char *text)
{
	cow_autoopen o = NULL;
	cow_autonode n = node(f, path);
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	assert_int_equal(cow_ovl_open(n, root, COW_OPEN_WRITE, &o), 0);
	assert_int_equal(cow_ovl_write(o, &iov, 1, 0, 0), strlen(text));
}

static void move(struct fixture *f, const char *d1, const char *n1, const char *d2, const char *n2)
{
	cow_autonode a = node(f, d1);
	cow_autonode b = node(f, d2);
	assert_int_equal(cow_ovl_rename(a, n1, strlen(n1), b, n2, strlen(n2), 0, root), 0);
}

static void drop(struct fixture *f, const char *dir, const char *name, unsigned flags)
{
	cow_autonode d = node(f, dir);
	assert_int_equal(cow_ovl_remove(d, name, strlen(name), root, flags), 0);
}

static void set(struct fixture *f, const char *path, const struct cow_ovl_set *set)
{
	cow_autonode n = node(f, path);
	assert_int_equal(cow_ovl_setattr(n, root, set, NULL), 0);
}

static void mark(struct fixture *f, const char *path, const char *name, const void *value,
		 size_t len)
{
	cow_autonode n = node(f, path);
	int r = cow_ovl_setxattr(n, root, name, value, len, 0);
	assert_true(r == 0 || r == -EOPNOTSUPP); /* a TMPDIR without ACLs */
}

static void link_to(struct fixture *f, const char *path, const char *dir, const char *name)
{
	cow_autonode n = node(f, path);
	cow_autonode d = node(f, dir);
	assert_int_equal(cow_ovl_link(n, d, name, strlen(name), root), 0);
}

static void change_all_kinds(struct fixture *f)
{
	/* Version 2, entries user::rw-, user:1000:r--, group::r--, mask::r--, other::--- */
	static const uint8_t acl[] = {2,   0,	0,   0,	  1,   0,    6,	 0,   255, 255, 255,
				      255, 2,	0,   4,	  0,   0xe8, 3,	 0,   0,   4,	0,
				      4,   0,	255, 255, 255, 255,  16, 0,   4,   0,	255,
				      255, 255, 255, 32,  0,   0,    0,	 255, 255, 255, 255};
	/* vfs_cap_data version 2: cap_net_raw+ep */
	static const uint8_t caps[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
				       0, 0, 0, 0, 0, 0,    0, 0, 0, 0};
	static const struct cow_ovl_set mode = {
	    .mask = COW_SET_MODE | COW_SET_UID | COW_SET_MTIME,
	    .mode = 04751,
	    .uid = 77,
	    .mtime = {.tv_sec = 1000000000, .tv_nsec = 123456789},
	};
	static const struct cow_ovl_set cut = {.mask = COW_SET_SIZE, .size = 5};
	static const struct cow_ovl_set grow = {.mask = COW_SET_SIZE, .size = 1 << 20};
	store(f, "file", "changed");
	set(f, "cut", &cut);
	store(f, "two", "LINKED"); /* stays one object with "one" and "dir/three" */
	drop(f, "", "one", COW_REMOVE_FILE);
	drop(f, "gone", "x", COW_REMOVE_FILE);
	drop(f, "", "gone", COW_REMOVE_DIR);
	drop(f, "opaque", "y", COW_REMOVE_FILE);
	drop(f, "", "opaque", COW_REMOVE_DIR);
	create(f, "", "opaque", S_IFDIR, 0750);
	create(f, "opaque", "new", S_IFREG, 0600);
	move(f, "", "dir", "opaque", "dir2");
	move(f, "", "away", "opaque/dir2", "far");
	create(f, "opaque/dir2/sub", "fresh", S_IFREG, 0640);
	set(f, "opaque/dir2/sub/fresh", &mode);
	set(f, "opaque/dir2/inner", &mode);
	create(f, "", "dir", S_IFDIR, 0711); /* where the moved one was */
	create(f, "dir", "inner", S_IFREG, 0644);
	create(f, "", "made", S_IFREG, 0644);
	link_to(f, "made", "dir", "made2");
	link_to(f, "same", "dir", "same2");
	set(f, "made", &grow); /* a hole */
	create(f, "", "fifo", S_IFIFO, 0600);
	create(f, "", "socket", S_IFSOCK, 0600);
	create(f, "", "block", S_IFBLK, 0600);
	create(f, "", "symlink", S_IFLNK, 0777);
	mark(f, "made", "user.note", "text", 4);
	mark(f, "link", "trusted.note", "on a link", 9);
	mark(f, "opaque", "user.dir", "d", 1);
	mark(f, "made", "system.posix_acl_access", acl, sizeof(acl));
	mark(f, "opaque/new", "security.capability", caps, sizeof(caps));
}

/* ---------------------------------------------------------------- two roots compared */

static int compare_entry(void *ctx, const struct cow_ovl_dirent *ent);

struct pair {
	struct fixture *f;
	struct cow_ovl_node *b; /* the other directory */
	unsigned count;
};

static void compare_xattrs(struct cow_ovl_node *a, struct cow_ovl_node *b)
{
	char names[4096], names_b[4096], x[4096], y[4096];
	ssize_t n = cow_ovl_listxattr(a, names, sizeof(names));
	assert_int_equal(cow_ovl_listxattr(b, names_b, sizeof(names_b)), n);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1) {
		ssize_t len = cow_ovl_getxattr(a, names + i, x, sizeof(x));
		assert_int_equal(cow_ovl_getxattr(b, names + i, y, sizeof(y)), len);
		assert_memory_equal(x, y, (size_t)len);
	}
}

static void compare_data(struct cow_ovl_node *a, struct cow_ovl_node *b)
{
	static char x[1 << 20], y[1 << 20];
	cow_autoopen o = NULL;
	cow_autoopen p = NULL;
	struct iovec xv = {x, sizeof(x)}, yv = {y, sizeof(y)};
	assert_int_equal(cow_ovl_open(a, root, COW_OPEN_READ, &o), 0);
	assert_int_equal(cow_ovl_open(b, root, COW_OPEN_READ, &p), 0);
	ssize_t n = cow_ovl_read(o, &xv, 1, 0);
	assert_int_equal(cow_ovl_read(p, &yv, 1, 0), n);
	assert_memory_equal(x, y, (size_t)n);
}

static void compare_nodes(struct fixture *f, struct cow_ovl_node *a, struct cow_ovl_node *b)
{
	struct cow_ovl_attr x, y;
	int eof;
	assert_int_equal(cow_ovl_getattr(a, &x), 0);
	assert_int_equal(cow_ovl_getattr(b, &y), 0);
	assert_int_equal(x.mode, y.mode);
	assert_int_equal(x.uid, y.uid);
	assert_int_equal(x.gid, y.gid);
	assert_int_equal(x.rdev, y.rdev);
	assert_int_equal(x.mtime.tv_sec, y.mtime.tv_sec);
	assert_int_equal(x.mtime.tv_nsec, y.mtime.tv_nsec);
	compare_xattrs(a, b);
	if (S_ISDIR(x.mode)) {
		struct pair p = {.f = f, .b = b}, back = {.f = f, .b = a};
		assert_int_equal(cow_ovl_readdir(a, 0, COW_READDIR_NODES, compare_entry, &p, &eof),
				 0);
		assert_int_equal(cow_ovl_readdir(b, 0, 0, compare_entry, &back, &eof), 0);
		assert_int_equal(p.count, back.count);
		return;
	}
	assert_int_equal(x.nlink, y.nlink);
	assert_int_equal(x.size, y.size);
	if (S_ISREG(x.mode))
		compare_data(a, b);
	if (S_ISLNK(x.mode)) {
		char s[64], t[64];
		ssize_t n = cow_ovl_readlink(a, s, sizeof(s));
		assert_int_equal(cow_ovl_readlink(b, t, sizeof(t)), n);
		assert_memory_equal(s, t, (size_t)n);
	}
}

static int compare_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct pair *p = ctx;
	cow_autonode b = NULL;
	p->count++;
	if (!ent->node)
		return 0;
	if (cow_ovl_lookup(p->b, ent->name, ent->name_len, &b, NULL) < 0)
		fail_msg("'%s' is missing", ent->name);
	compare_nodes(p->f, ent->node, b);
	return 0;
}

/* The client's root, and a fresh one from the image. */
static void assert_equal_roots(struct fixture *f, const char *image)
{
	struct cow_ovl_inst *one, *two;
	cow_autonode a = NULL;
	cow_autonode b = NULL;
	add(f, &other, image);
	assert_done(f, cow_client_attach(f->s, &mac, COW_OVL_OBSERVER, &one, &f->err));
	assert_done(f, cow_client_attach(f->s, &other, COW_OVL_OBSERVER, &two, &f->err));
	assert_int_equal(cow_ovl_root(one, &a), 0);
	assert_int_equal(cow_ovl_root(two, &b), 0);
	compare_nodes(f, a, b);
	cow_ovl_put(cow_steal_ptr(&a));
	cow_ovl_put(cow_steal_ptr(&b));
	assert_int_equal(cow_ovl_inst_close(one), 0);
	assert_int_equal(cow_ovl_inst_close(two), 0);
}

static unsigned commit_to(struct fixture *f, const char *image, unsigned flags)
{
	unsigned version = 0;
	assert_done(f, cow_client_commit(f->s, &mac, image, flags, NULL, &version, &f->err));
	return version;
}

static void stat_in(unsigned version, const char *path, struct stat *ret)
{
	char full[128];
	(void)snprintf(full, sizeof(full), "store/images/img/%u/tree/%s", version, path);
	assert_int_equal(fstatat(tmp->fd, full, ret, AT_SYMLINK_NOFOLLOW), 0);
}

/* ---------------------------------------------------------------- commits */

static void the_new_version_is_what_the_client_shows(void **state)
{
	struct fixture *f = *state;
	attach(f, &mac, 0);
	change_all_kinds(f);
	detach(f);
	assert_int_equal(commit_to(f, "img", 0), 2);
	assert_equal_roots(f, "img@2");
}

static void an_unchanged_root_gives_an_equal_version(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(commit_to(f, "new", 0), 1);
	assert_equal_roots(f, "new");
}

static void what_did_not_change_is_shared(void **state)
{
	struct fixture *f = *state;
	struct stat a, b;
	if (on_loop)
		return; /* clones there: tests/shell/commit.sh asks for their extents */
	attach(f, &mac, 0);
	store(f, "file", "changed");
	move(f, "", "away", "dir", "far");
	drop(f, "", "one", COW_REMOVE_FILE);
	detach(f);
	(void)commit_to(f, "img", 0);
	static const char *const shared[][2] = {{"same", "same"},
						{"away", "dir/far"},
						{"link", "link"},
						{"device", "device"},
						{"two", "two"}};
	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++) {
		stat_in(1, shared[i][0], &a);
		stat_in(2, shared[i][1], &b);
		assert_int_equal(a.st_ino, b.st_ino);
	}
	assert_int_equal(b.st_nlink, 5); /* three names there, two here */
	stat_in(1, "file", &a);
	stat_in(2, "file", &b);
	assert_int_not_equal(a.st_ino, b.st_ino);
}

static uint64_t number(struct fixture *f, const char *path)
{
	cow_autonode n = node(f, path);
	assert_non_null(n);
	return cow_ovl_number(n);
}

static void objects_that_moved_keep_their_numbers(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[][2] = {
	    {"dir", "moved"},	   {"dir/sub/deep", "moved/sub/deep"},
	    {"away", "moved/far"}, {"two", "moved/sub/two"},
	    {"file", "file"},	   {"same", "same"},
	};
	enum { N = sizeof(paths) / sizeof(*paths) };
	uint64_t was[N], fresh, highest = 0;
	if (backend == COW_BACKEND_BTRFS)
		return; /* by path there */
	attach(f, &mac, 0);
	for (size_t i = 0; i < N; i++) {
		was[i] = number(f, paths[i][0]);
		highest = was[i] > highest ? was[i] : highest;
	}
	move(f, "", "dir", "", "moved");
	move(f, "", "away", "moved", "far");
	move(f, "", "two", "moved/sub", "two");
	create(f, "", "away", S_IFREG, 0600); /* another object at an old place */
	create(f, "", "dir", S_IFDIR, 0700);
	create(f, "dir", "sub", S_IFDIR, 0700);
	detach(f);
	(void)commit_to(f, "img", 0);
	add(f, &other, "img@2");
	attach(f, &other, COW_OVL_OBSERVER);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(number(f, paths[i][1]), was[i]);
	static const char *const born[] = {"away", "dir", "dir/sub"};
	for (size_t i = 0; i < 3; i++) {
		fresh = number(f, born[i]);
		for (size_t k = 0; k < N; k++)
			assert_int_not_equal(fresh, was[k]);
	}
}

static void numbers_of_newer_versions_are_not_given_again(void **state)
{
	struct fixture *f = *state;
	struct cow_ovl_image_info info;
	cow_autoimage newest = NULL;
	cow_autoovlimage img = NULL;
	attach(f, &mac, 0);
	create(f, "", "first", S_IFREG, 0600);
	detach(f);
	(void)commit_to(f, "img", 0);
	attach(f, &mac, 0);
	move(f, "", "first", "", "second"); /* still from img@1, not from img@2 */
	detach(f);
	assert_int_equal(commit_to(f, "img", 0), 3);
	assert_done(f, cow_image_find(f->s, "img@2", &newest, &f->err));
	assert_done(f, cow_image_manifest(f->s, newest, &img, &f->err));
	cow_ovl_image_info(img, &info);
	add(f, &other, "img@3");
	attach(f, &other, COW_OVL_OBSERVER);
	if (backend == COW_BACKEND_OVERLAY)
		assert_true(number(f, "second") >= info.next_number);
}

static void an_open_file_without_a_name_is_not_in_it(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	attach(f, &mac, 0);
	create(f, "", "nameless", S_IFREG, 0600);
	cow_autonode n = node(f, "nameless");
	assert_int_equal(cow_ovl_open(n, root, COW_OPEN_WRITE, &f->held), 0);
	cow_ovl_put(cow_steal_ptr(&n));
	drop(f, "", "nameless", COW_REMOVE_FILE);
	drop(f, "", "same", COW_REMOVE_FILE);
	assert_int_equal(commit_to(f, "img", COW_COMMIT_NOW), 2); /* beside who has it attached */
	assert_int_equal(fstatat(tmp->fd, "store/images/img/2/tree/nameless", &st, 0), -1);
	assert_int_equal(fstatat(tmp->fd, "store/images/img/2/tree/same", &st, 0), -1);
	detach(f);
	assert_equal_roots(f, "img@2");
}

/* ---------------------------------------------------------------- a root in use, failures */

static int change_it(void *ctx, const struct cow_import_progress *p)
{
	struct fixture *f = ctx;
	if (p->step == COW_IMPORT_FILL)
		store(f, "file", "in between");
	return 0;
}

static void a_root_that_changes_meanwhile_is_refused(void **state)
{
	struct fixture *f = *state;
	unsigned version = 0;
	const struct cow_import_opts opts = {.progress = change_it, .ctx = f};
	attach(f, &mac, 0); /* as the NFS server keeps it after the client has gone */
	store(f, "file", "before");
	(void)usleep(50000); /* the stamps of that are older */
	assert_int_equal(commit_to(f, "img", 0), 2);
	if (backend == COW_BACKEND_BTRFS)
		return; /* a snapshot */
	assert_int_equal(cow_client_commit(f->s, &mac, "img", 0, &opts, &version, &f->err), -EBUSY);
	assert_int_equal(f->err.code, COW_ERR_BUSY);
	assert_done(f,
		    cow_client_commit(f->s, &mac, "img", COW_COMMIT_NOW, &opts, &version, &f->err));
}

static enum cow_import_step stop_at;

static int stop(void *ctx, const struct cow_import_progress *p)
{
	return p->step == stop_at ? -EINTR : 0;
}

static void a_commit_that_is_stopped_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned version = 0;
	const struct cow_import_opts opts = {.progress = stop};
	/* All hole: long enough to read for progress to be told of. */
	static const struct cow_ovl_set big = {.mask = COW_SET_SIZE, .size = 400 << 20};
	attach(f, &mac, 0);
	change_all_kinds(f);
	create(f, "", "big", S_IFREG, 0600);
	set(f, "big", &big);
	detach(f);
	for (int step = COW_IMPORT_FILL; step <= COW_IMPORT_MANIFEST; step++) {
		if (step == COW_IMPORT_FILL && backend == COW_BACKEND_BTRFS)
			continue; /* a snapshot: there is no such step */
		stop_at = (enum cow_import_step)step;
		assert_int_equal(cow_client_commit(f->s, &mac, "new", 0, &opts, &version, &f->err),
				 -EINTR);
		assert_int_equal(version, 0);
		assert_int_equal(no_left_overs(), 0);
		assert_int_equal(faccessat(tmp->fd, "store/images/new", F_OK, 0), -1);
	}
	attach(f, &mac, 0);
	drop(f, "", "big", COW_REMOVE_FILE);
	detach(f);
	assert_int_equal(commit_to(f, "img", 0), 2);
	assert_equal_roots(f, "img@2");
}

static void a_btrfs_root_outlives_its_image(void **state)
{
	struct fixture *f = *state;
	cow_autoimage i = NULL;
	if (backend != COW_BACKEND_BTRFS)
		return;
	/* As an administrator may do by hand. */
	cow_autoclose int img =
	    openat(tmp->fd, "store/images/img", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cow_tree_delete_at(img, "1"), 0);
	assert_int_equal(commit_to(f, "new", 0), 1);
	assert_done(f, cow_image_find(f->s, "new", &i, &f->err));
}

/* ---------------------------------------------------------------- edits */

static void an_edit_lasts_until_it_is_ended(void **state)
{
	struct fixture *f = *state;
	struct cow_edit *e = NULL, *again = NULL;
	cow_autoimage i = NULL;
	const struct cow_edit_opts opts = {.by = "tester", .backend = backend};
	assert_int_equal(cow_edit_find(f->s, "img", 0, &e, &f->err), -ENOENT);
	assert_int_equal(cow_edit_begin(f->s, "nope", &opts, &e, &f->err), -ENOENT);
	assert_done(f, cow_edit_begin(f->s, "img", &opts, &e, &f->err));
	assert_int_equal(e->version, 1);
	assert_int_equal(cow_edit_begin(f->s, "img", &opts, &again, &f->err), -EBUSY);
	assert_non_null(strstr(f->err.text, "tester (pid "));
	assert_int_equal(cow_edit_find(f->s, "img", 0, &again, &f->err), -EBUSY);
	assert_done(f, cow_edit_find(f->s, "img", COW_EDIT_LOOK, &again, &f->err));
	assert_true(again->busy);
	cow_edit_free(again);
	cow_edit_free(e); /* as its end does, in whatever way */

	/* Sweeps take what a begin that was killed left, and nothing else. */
	assert_int_equal(mkdirat(tmp->fd, "store/images/img/.new-0123456789abcdef", 0700), 0);
	assert_int_equal(mkdirat(tmp->fd, "store/images/img/.new-0123456789abcdef/upper", 0700), 0);
	assert_done(f, cow_store_sweep(f->s, &f->err));
	assert_int_equal(no_left_overs(), 0);
	assert_int_equal(cow_edit_begin(f->s, "img", &opts, &again, &f->err), -EBUSY);
	assert_done(f, cow_client_rm(f->s, &mac, 0, &f->err));
	assert_done(f, cow_image_find(f->s, "img@1", &i, &f->err));
	assert_int_equal(cow_image_rm(f->s, i, &f->err), -EBUSY);
	assert_done(f, cow_edit_find(f->s, "img", 0, &e, &f->err));
	assert_false(e->busy);
	assert_memory_equal(e->by, "tester (pid ", 12);
	assert_int_equal(e->backend, backend);
	assert_done(f, cow_edit_discard(f->s, e, &f->err));
	cow_edit_free(e);
	assert_int_equal(cow_edit_find(f->s, "img", 0, &e, &f->err), -ENOENT);
	assert_done(f, cow_store_empty_trash(f->s, &f->err));
	assert_done(f, cow_image_rm(f->s, i, &f->err));
}

static void an_edit_becomes_a_version(void **state)
{
	struct fixture *f = *state;
	unsigned version = 0;
	cow_autoedit e = NULL;
	cow_autoovlimage img = NULL;
	cow_autoimage i = NULL;
	const struct cow_edit_opts opts = {.backend = backend};
	assert_done(f, cow_edit_begin(f->s, "img", &opts, &e, &f->err));
	assert_done(f, cow_image_find(f->s, "img", &i, &f->err));
	if (backend == COW_BACKEND_OVERLAY)
		assert_done(f, cow_image_manifest(f->s, i, &img, &f->err));
	assert_done(f, cow_ovl_inst_open(e->dir, img, 0, &f->inst, &f->err));
	store(f, "file", "edited");
	if (backend == COW_BACKEND_OVERLAY) /* a plain one is snapshotted */
		assert_int_equal(cow_edit_commit(f->s, e, NULL, &version, &f->err), -EBUSY);
	assert_int_equal(cow_edit_discard(f->s, e, &f->err), -EBUSY);
	detach(f);
	assert_done(f, cow_edit_commit(f->s, e, NULL, &version, &f->err));
	assert_int_equal(version, 2);
	assert_done(f, cow_store_empty_trash(f->s, &f->err));
	add(f, &other, "img@2");
	attach(f, &other, COW_OVL_OBSERVER);
	cow_autonode n = node(f, "file");
	cow_autoopen o = NULL;
	char text[8] = "";
	struct iovec iov = {text, sizeof(text) - 1};
	assert_int_equal(cow_ovl_open(n, root, COW_OPEN_READ, &o), 0);
	assert_int_equal(cow_ovl_read(o, &iov, 1, 0), 6);
	assert_string_equal(text, "edited");
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_put(cow_steal_ptr(&n));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static int run(enum cow_backend which, int loop)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_new_version_is_what_the_client_shows),
	    TEST(an_unchanged_root_gives_an_equal_version),
	    TEST(what_did_not_change_is_shared),
	    TEST(objects_that_moved_keep_their_numbers),
	    TEST(numbers_of_newer_versions_are_not_given_again),
	    TEST(an_open_file_without_a_name_is_not_in_it),
	    TEST(a_root_that_changes_meanwhile_is_refused),
	    TEST(a_commit_that_is_stopped_leaves_nothing),
	    TEST(a_btrfs_root_outlives_its_image),
	    TEST(an_edit_lasts_until_it_is_ended),
	    TEST(an_edit_becomes_a_version),
	};
	backend = which;
	on_loop = loop;
	return cmocka_run_group_tests_name(loop ? cow_backend_name(which) : "overlay on TMPDIR",
					   tests, group_setup, group_teardown);
}

int main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		(void)puts("needs root");
		return 77;
	}
	return run(COW_BACKEND_BTRFS, 1) + run(COW_BACKEND_OVERLAY, 1) +
	       run(COW_BACKEND_OVERLAY, 0);
}
