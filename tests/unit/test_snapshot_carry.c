/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Carrying paths from one root to another: between two roots of one version of an image, of two versions, and
 * between two plain ones. What is carried must show as before, and what nobody touched stay the image's.
 */
#include "layer_test.h"

#include "carry.h"

enum kind {
	SAME_IMAGE,
	OTHER_IMAGE,
	PLAIN,
};
struct pair {
	enum kind kind;
	struct ovl *from; /* owns the temporary directory */
	struct ovl to;
	int golden; /* tree of the image of the old root */
	struct cow_carry *c;
	struct cow_err err;
	unsigned conflicts;
	char conflict[PATH_MAX]; /* the last one's path */
};

/* ---------------------------------------------------------------- what a root shows */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct list {
	char *name[256];
	size_t n;
};

static int add_name(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct list *l = ctx;
	assert_true(l->n < 256);
	l->name[l->n++] = strdup(ent->name);
	return 0;
}

static void show_data(FILE *out, struct cow_ovl_node *n)
{
	static char buf[64 << 10];
	static const uint8_t key[COW_SIPHASH_KEY_LEN];
	cow_autoopen o = NULL;
	uint64_t at = 0, sum = 0;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	while (cow_ovl_seek(o, at, SEEK_DATA, &at) == 0) {
		ssize_t got = get_bytes(o, buf, sizeof(buf), at);
		assert_true(got > 0);
		sum = sum * 31 + at + cow_siphash24(key, buf, (size_t)got);
		at += (uint64_t)got;
	}
	(void)fprintf(out, " data %016llx", (unsigned long long)sum);
}

static void show_xattrs(FILE *out, struct cow_ovl_node *n)
{
	static char names[4096], value[4096];
	static const uint8_t key[COW_SIPHASH_KEY_LEN];
	struct list l = {.n = 0};
	ssize_t len = cow_ovl_listxattr(n, names, sizeof(names));
	for (ssize_t k = 0; k < len; k += (ssize_t)strlen(names + k) + 1)
		l.name[l.n++] = names + k;
	qsort(l.name, l.n, sizeof(*l.name), by_name);
	for (size_t k = 0; k < l.n; k++) {
		ssize_t got = cow_ovl_getxattr(n, l.name[k], value, sizeof(value));
		assert_true(got >= 0);
		(void)fprintf(out, " %s=%016llx", l.name[k],
			      (unsigned long long)cow_siphash24(key, value, (size_t)got));
	}
}

/* Objects with several names are told by the order in which they are met. */
struct seen {
	uint64_t id[64];
	size_t n;
};

static void show(FILE *out, struct seen *s, struct cow_ovl_node *n, const char *path)
{
	char below[PATH_MAX], target[256] = "";
	struct cow_ovl_attr a = attr_of(n);
	size_t k = 0;
	(void)fprintf(out, "%s %o %u:%u %lld.%09ld", path, a.mode, a.uid, a.gid,
		      (long long)a.mtime.tv_sec, a.mtime.tv_nsec);
	if (!S_ISDIR(a.mode)) {
		while (k < s->n && s->id[k] != a.id)
			k++;
		assert_true(k < 64);
		if (a.nlink > 1 && k == s->n)
			s->id[s->n++] = a.id;
		(void)fprintf(out, " links %u %zu size %llu", a.nlink, a.nlink > 1 ? k : 0,
			      (unsigned long long)a.size);
	}
	if (S_ISCHR(a.mode) || S_ISBLK(a.mode))
		(void)fprintf(out, " device %llx", (unsigned long long)a.rdev);
	if (S_ISLNK(a.mode) && cow_ovl_readlink(n, target, sizeof(target) - 1) > 0)
		(void)fprintf(out, " -> %s", target);
	if (S_ISREG(a.mode))
		show_data(out, n);
	show_xattrs(out, n);
	(void)fputc('\n', out);
	if (!S_ISDIR(a.mode))
		return;
	struct list l = {.n = 0};
	int eof;
	ok(cow_ovl_readdir(n, 0, 0, add_name, &l, &eof));
	qsort(l.name, l.n, sizeof(*l.name), by_name);
	for (k = 0; k < l.n; k++) {
		cow_autonode child = NULL;
		ok(look(n, l.name[k], &child));
		(void)snprintf(below, sizeof(below), "%s/%s", path, l.name[k]);
		show(out, s, child, below);
		free(l.name[k]);
	}
}

static char *shown(struct ovl *f, const char *path)
{
	char *text = NULL;
	size_t len = 0;
	struct seen s = {.n = 0};
	cow_autonode n = get(f, path);
	FILE *out = open_memstream(&text, &len);
	show(out, &s, n, path);
	(void)fclose(out);
	return text;
}

static void assert_equal(struct pair *p, const char *path)
{
	cow_autofree char *a = shown(p->from, path);
	cow_autofree char *b = shown(&p->to, path);
	if (strcmp(a, b) != 0)
		print_error("old root:\n%snew root:\n%s", a, b);
	assert_string_equal(a, b);
}

/* ---------------------------------------------------------------- two roots */

static int tree_at(struct ovl *f, const char *dir)
{
	if (mkdirat(f->tmp->fd, dir, 0755) < 0)
		return -1;
	int at = cow_opendir_at(f->tmp->fd, dir);
	if (at >= 0 && mkdirat(at, "tree", 0755) < 0)
		return -1;
	return at;
}

static int plain_root(struct ovl *f, const char *dir)
{
	f->dirfd = tree_at(f, dir);
	f->tree = f->dirfd < 0 ? -1 : cow_opendir_at(f->dirfd, "tree");
	return f->tree < 0 ? -1 : 0;
}

static int setup_kind(void **state, enum kind kind)
{
	struct pair *p = calloc(1, sizeof(*p));
	void *tmp = NULL;
	(void)umask(0);
	if (!p || tmpdir_setup(&tmp) != 0)
		return -1;
	p->from = calloc(1, sizeof(*p->from));
	p->kind = kind;
	p->golden = -1;
	p->from->tmp = p->to.tmp = tmp;
	p->from->image = p->to.image = p->to.tree = -1;
	*state = p;
	if (kind == PLAIN)
		return plain_root(p->from, "root") < 0 || plain_root(&p->to, "new") < 0;
	p->from->image = tree_at(p->from, "image");
	p->from->tree = p->golden = cow_opendir_at(p->from->image, "tree");
	if (kind == OTHER_IMAGE) {
		p->to.image = tree_at(p->from, "image2");
		p->to.tree = cow_opendir_at(p->to.image, "tree");
	}
	if (mkdirat(p->from->tmp->fd, "root", 0755) < 0 ||
	    mkdirat(p->from->tmp->fd, "new", 0755) < 0)
		return -1;
	p->from->dirfd = cow_opendir_at(p->from->tmp->fd, "root");
	p->to.dirfd = cow_opendir_at(p->from->tmp->fd, "new");
	return p->golden < 0 || p->from->dirfd < 0 || p->to.dirfd < 0;
}

static int setup_same(void **state)
{
	return setup_kind(state, SAME_IMAGE);
}

static int setup_other(void **state)
{
	return setup_kind(state, OTHER_IMAGE);
}

static int setup_plain(void **state)
{
	return setup_kind(state, PLAIN);
}

static void note(void *ctx, const char *path, const char *what)
{
	struct pair *p = ctx;
	(void)what;
	p->conflicts++;
	(void)snprintf(p->conflict, sizeof(p->conflict), "%s", path);
}

static void attach(struct pair *p)
{
	const struct cow_carry_opts opts = {
	    .from = p->from->inst,
	    .to = p->to.inst,
	    .from_golden = p->golden,
	    .same_image = p->kind == SAME_IMAGE,
	    .conflict = note,
	    .ctx = p,
	};
	ok(cow_ovl_root(p->to.inst, &p->to.root));
	ok(cow_carry_new(&opts, &p->c, NULL));
}

/* The trees are filled: make the roots and attach them. */
static void start(struct pair *p)
{
	const struct cow_ovl_create_opts strict = {.durability = COW_OVL_STRICT};
	if (p->kind != PLAIN)
		layer_image(p->from);
	if (p->kind == OTHER_IMAGE)
		layer_image(&p->to);
	else if (p->kind == SAME_IMAGE)
		p->to.img = cow_ovl_image_get(p->from->img);
	ok(cow_ovl_inst_create(p->from->dirfd, p->from->img, NULL, NULL));
	ok(cow_ovl_inst_create(p->to.dirfd, p->to.img, &strict, NULL));
	ovl_attach(p->from);
	ok(cow_ovl_inst_open(p->to.dirfd, p->to.img, COW_OVL_STAGED, &p->to.inst, &p->err));
	attach(p);
}

static void detach(struct pair *p)
{
	cow_carry_free(p->c);
	p->c = NULL;
	if (p->to.inst)
		ovl_detach(&p->to);
}

static void side_done(struct ovl *f)
{
	cow_ovl_image_close(f->img);
	free(f->image_text);
	if (f->tree >= 0)
		(void)close(f->tree);
	if (f->image >= 0)
		(void)close(f->image);
	(void)close(f->dirfd);
}

static int teardown(void **state)
{
	struct pair *p = *state;
	void *tmp = p->from->tmp;
	int r = 0;
	detach(p);
	if (p->from->inst)
		ovl_detach(p->from);
	if (p->from->image_text && image_changed(p->from)) /* I1 */
		r = -1;
	if (p->to.image_text && image_changed(&p->to))
		r = -1;
	side_done(p->from);
	side_done(&p->to);
	free(p->from);
	free(p);
	return tmpdir_teardown(&tmp) < 0 ? -1 : r;
}

static void carry(struct pair *p, const char *path, int want)
{
	int r = cow_carry_path(p->c, path, 0, &p->err);
	if (r != want)
		print_error("'%s': %d, %s\n", path, r, cow_err_str(&p->err));
	assert_int_equal(r, want);
}

static bool is_golden(struct ovl *f, const char *path)
{
	struct cow_ovl_source src;
	cow_autonode n = get(f, path);
	ok(cow_ovl_source(n, &src));
	(void)close(src.fd);
	return src.golden;
}

/* ---------------------------------------------------------------- changes */

static void set_xattr(struct ovl *f, const char *path, const char *name, const void *value,
		      size_t len)
{
	cow_autonode n = get(f, path);
	ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, name, value, len, 0));
}

static void set_attr(struct ovl *f, const char *path, uid_t uid, mode_t mode)
{
	const struct cow_ovl_set set = {
	    .mask = COW_SET_UID | COW_SET_GID | COW_SET_MODE | COW_SET_MTIME | COW_SET_ATIME,
	    .uid = uid,
	    .gid = uid + 1,
	    .mode = mode,
	    .mtime = {1234567890, 987654321},
	    .atime = {1234567891, 1},
	};
	cow_autonode n = get(f, path);
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
}

static void file_at(struct ovl *f, const char *path, const char *text)
{
	ok(make_at(f, path, S_IFREG, 0640));
	put_at(f, path, text);
}

static void sparse_at(struct ovl *f, const char *path)
{
	cow_autoopen o = NULL;
	const struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = 5 << 20};
	ok(make_at(f, path, S_IFREG, 0600));
	cow_autonode n = get(f, path);
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o));
	assert_int_equal(put_text(o, "island", 2 << 20), 6);
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
}

/* Something of everything a client can do, below and beside what the image has. */
static void live(struct ovl *f)
{
	ok(make_at(f, "home", S_IFDIR, 0755));
	ok(make_at(f, "home/pi", S_IFDIR, 02750));
	set_xattr(f, "home/pi", "system.posix_acl_default", some_acl, sizeof(some_acl));
	file_at(f, "home/pi/plain", "plain");
	ok(make_at(f, "home/pi/empty", S_IFREG, 0644));
	file_at(f, "home/pi/first", "several names");
	ok(ln_at(f, "home/pi/first", "home/pi/second"));
	ok(ln_at(f, "home/pi/first", "home/third"));
	ok(make_at(f, "home/pi/link", S_IFLNK, 0777));
	ok(make_at(f, "home/pi/fifo", S_IFIFO, 0600));
	ok(make_at(f, "home/pi/sock", S_IFSOCK, 0600));
	ok(make_at(f, "home/pi/null", S_IFCHR, 0666));
	ok(make_at(f, "home/pi/disk", S_IFBLK, 0660));
	set_attr(f, "home/pi/link", 1000, 0777);
	set_attr(f, "home/pi/null", 1000, 0666);
	sparse_at(f, "home/pi/sparse");
	file_at(f, "home/pi/acl", "listed");
	set_xattr(f, "home/pi/acl", "system.posix_acl_access", some_acl, sizeof(some_acl));
	file_at(f, "home/pi/caps", "program");
	set_attr(f, "home/pi/caps", 0, 0755);
	set_xattr(f, "home/pi/caps", "security.capability", some_caps, sizeof(some_caps));
	set_xattr(f, "home/pi/caps", "user.of", "mine", 4);
	file_at(f, "home/pi/suid", "program");
	set_attr(f, "home/pi/suid", 1000, 06755);
	set_xattr(f, "home/pi/suid", "trusted.overlay.opaque", "y",
		  1); /* of an overlay of its own */
	put_at(f, "file", "changed");
	put_at(f, "two", "several names, changed");
	ok(rm_at(f, "dir/second"));
	ok(mv_at(f, "dir/sub", "home/moved", 0));
	ok(mv_at(f, "suid", "dir/renamed", 0));
	ok(rm_at(f, "empty"));
	ok(rm_at(f, "fifo"));
	ok(make_at(f, "fifo", S_IFDIR, 0700));
	set_attr(f, "acldir", 7, 0711);
	set_attr(f, "link", 8, 0777);
	ok(make_at(f, "sgid/made", S_IFREG, 0600));
}

static const char *const all[] = {"acl",  "acldir", "caps", "dir",    "empty", "fifo",
				  "file", "home",   "link", "loop",   "null",  "one",
				  "sgid", "sock",   "suid", "sparse", "two"};

static void carry_all(struct pair *p)
{
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
		struct cow_ovl_node *n = NULL;
		int there = walk(p->from, all[k], &n) == 0;
		cow_ovl_put(n);
		carry(p, all[k], there);
	}
	set_attr(p->from, "", 0, 0755);
	set_attr(&p->to, "", 0, 0755);
}

/* ---------------------------------------------------------------- tests */

static void everything_shows_as_before(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	live(p->from);
	carry_all(p);
	assert_equal(p, "");
	assert_int_equal(p->conflicts, 1);
	assert_string_equal(p->conflict, "fifo");
	/* Nobody touched these. */
	assert_true(is_golden(&p->to, "sparse"));
	assert_true(is_golden(&p->to, "dir/file"));
	assert_true(is_golden(&p->to, "sock"));
	assert_false(is_golden(&p->to, "file"));
}

static void everything_shows_as_before_on_another_image(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	low_usual(&p->to); /* what the client deleted is there too */
	start(p);
	live(p->from);
	carry_all(p);
	assert_equal(p, "");
	assert_true(is_golden(&p->to, "sparse")); /* equal, though another inode */
	assert_true(is_golden(&p->to, "dir/file"));
}

static void everything_shows_as_before_in_an_empty_one(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	live(p->from);
	carry_all(p);
	assert_equal(p, "");
	assert_int_equal(p->conflicts, 0);
}

static void all_at_once_shows_as_before(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	if (p->kind == OTHER_IMAGE)
		low_usual(&p->to);
	start(p);
	live(p->from);
	set_xattr(p->from, "", "user.of", "mine", 4);
	set_attr(p->from, "", 5, 0751);
	ok(cow_carry_all(p->c, &p->err));
	set_attr(p->from, "", 5, 0751); /* reading has set its access time */
	set_attr(&p->to, "", 5, 0751);
	assert_equal(p, "");
	detach(p);
	ovl_attach(&p->to);
	assert_equal(p, "");
	put_at(&p->to, "home/pi/second", "still one object");
	assert_text_at(&p->to, "home/third", "still one object");
}

/* With all its names at hand an object with several is the image's, too. */
static void all_at_once_leaves_links_to_the_image(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	if (p->kind == OTHER_IMAGE)
		low_usual(&p->to);
	start(p);
	up_at(p->from, "two");
	ok(cow_carry_all(p->c, &p->err));
	assert_true(is_golden(&p->to, "two"));
	assert_int_equal(disk_count(&p->to, "upper"), 0);
}

/* The record and the layers are in order for who attaches it next. */
static void it_is_a_root_like_others_afterwards(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	live(p->from);
	carry_all(p);
	detach(p);
	ovl_attach(&p->to);
	assert_int_equal(cow_ovl_inst_durability(p->to.inst), COW_OVL_STRICT);
	assert_equal(p, "");
	put_at(&p->to, "home/pi/second", "still one object");
	assert_text_at(&p->to, "home/third", "still one object");
	if (p->to.img) {
		struct cow_err err = COW_ERR_INIT;
		assert_int_equal(cow_ovl_inst_check(p->to.dirfd, p->to.img, NULL, NULL, &err), 0);
	}
}

static void what_is_equal_is_left_to_the_image(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	if (p->kind == OTHER_IMAGE)
		low_usual(&p->to);
	start(p);
	up_at(p->from, "dir/sub/deep"); /* touched, and yet the same */
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
		if (strcmp(all[k], "home") != 0)
			carry(p, all[k], 1);
	assert_equal(p, "");
	/* What has several names is made anew in another image: three names, and the directory of one of them. */
	assert_int_equal(cow_carry_stats(p->c)->objects, p->kind == OTHER_IMAGE ? 4 : 0);
	assert_true(is_golden(&p->to, "dir/sub/deep"));
	assert_int_equal(disk_count(&p->to, "upper"), p->kind == OTHER_IMAGE ? 3 : 0);
}

static void what_the_new_image_adds_stays(void **state)
{
	struct pair *p = *state;
	low_dir(p->from, "home", 0755);
	low_dir(p->from, "home/pi", 0755);
	low_file(p->from, "home/pi/rc", "one");
	low_file(p->from, "home/pi/gone", "in both");
	low_dir(&p->to, "home", 0755);
	low_dir(&p->to, "home/pi", 0755);
	low_dir(&p->to, "home/new", 0755);
	low_file(&p->to, "home/new/rc", "of a new user");
	low_file(&p->to, "home/pi/rc", "two");
	low_file(&p->to, "home/pi/gone", "in both");
	start(p);
	ok(rm_at(p->from, "home/pi/gone"));
	carry(p, "home", 1);
	assert_text_at(&p->to, "home/new/rc", "of a new user");
	assert_text_at(&p->to, "home/pi/rc", "one"); /* kept is kept */
	assert_absent(&p->to, "home/pi/gone");
	assert_int_equal(cow_carry_stats(p->c)->removed, 1);
}

static void what_is_not_there_is_not_made(void **state)
{
	struct pair *p = *state;
	low_dir(p->from, "etc", 0755);
	low_file(p->from, "etc/gone", "x");
	start(p);
	ok(rm_at(p->from, "etc/gone"));
	carry(p, "root/.ssh", 0);
	assert_absent(&p->to, "root");
	carry(p, "etc/none/below", 0);
	assert_absent(&p->to, "etc/none");
	carry(p, "etc/gone", 0);
	assert_absent(&p->to, "etc/gone"); /* the client deleted it */
	carry(p, "etc/gone/below", 0);
}

static void directories_on_the_way(void **state)
{
	struct pair *p = *state;
	low_dir(p->from, "etc", 0755);
	low_dir(&p->to, "etc", 0700);
	low_dress(&p->to, "etc");
	low_dress(&p->to, ".");
	start(p);
	ok(make_at(p->from, "etc/ssh", S_IFDIR, 0750));
	set_attr(p->from, "etc/ssh", 33, 0750);
	set_xattr(p->from, "etc/ssh", "user.of", "ssh", 3);
	file_at(p->from, "etc/ssh/key", "secret");
	file_at(p->from, "etc/ssh/other", "not carried");
	set_attr(p->from, "etc/ssh", 33, 0750);
	carry(p, "etc/ssh/key", 1);
	ok(rm_at(p->from, "etc/ssh/other"));
	set_attr(p->from, "etc/ssh", 33, 0750);
	assert_equal(p, "etc/ssh");				       /* made like the old one */
	assert_int_equal(attr_at(&p->to, "etc").mode, S_IFDIR | 0700); /* was there */
	assert_int_equal(attr_at(&p->to, "etc").mtime.tv_sec, LOW_TIME);
	assert_int_equal(attr_at(&p->to, "").mtime.tv_sec, LOW_TIME);
}

static void another_kind_gives_way_and_is_reported(void **state)
{
	struct pair *p = *state;
	low_dir(p->from, "etc", 0755);
	low_file(&p->to, "etc", "a file now");
	low_dir(&p->to, "file", 0755);
	low_file(&p->to, "file/below", "x");
	low_symlink(&p->to, "home", "elsewhere");
	start(p);
	file_at(p->from, "etc/key", "secret");
	file_at(p->from, "file", "kept");
	ok(make_at(p->from, "home", S_IFDIR, 0755));
	file_at(p->from, "home/x", "x");
	carry(p, "etc/key", 1);
	assert_string_equal(p->conflict, "etc");
	carry(p, "file", 1);
	assert_string_equal(p->conflict, "file");
	carry(p, "home", 1);
	assert_string_equal(p->conflict, "home");
	assert_int_equal(p->conflicts, 3);
	assert_int_equal(cow_carry_stats(p->c)->conflicts, 3);
	assert_text_at(&p->to, "etc/key", "secret");
	assert_equal(p, "file");
	assert_equal(p, "home");
}

static void links_on_the_way_are_not_followed(void **state)
{
	struct pair *p = *state;
	low_dir(p->from, "srv", 0755);
	low_file(p->from, "srv/x", "x");
	low_symlink(p->from, "home", "srv");
	start(p);
	put_at(p->from, "srv/x", "changed");
	carry(p, "home/x", 0);
	assert_string_equal(p->conflict, "home/x");
	carry(p, "home", 1);
	assert_text_at(&p->to, "srv/x", "x");
}

static void a_directory_alone(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	put_at(p->from, "dir/file", "changed");
	set_attr(p->from, "dir", 5, 0700);
	ok(make_at(p->from, "made", S_IFDIR, 0755));
	file_at(p->from, "made/x", "x");
	assert_int_equal(cow_carry_path(p->c, "dir", COW_CARRY_ALONE, NULL), 1);
	assert_int_equal(cow_carry_path(p->c, "made", COW_CARRY_ALONE, NULL), 1);
	assert_int_equal(attr_at(&p->to, "dir").mode, S_IFDIR | 0700);
	assert_text_at(&p->to, "dir/file", "in dir");
	assert_int_equal(attr_at(&p->to, "made").mode, S_IFDIR | 0755);
	assert_absent(&p->to, "made/x");
}

static void paths_are_removed(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	assert_int_equal(cow_carry_remove(p->c, "dir", NULL), 1);
	assert_absent(&p->to, "dir");
	assert_int_equal(attr_at(&p->to, "").mtime.tv_sec, LOW_TIME);
	assert_int_equal(cow_carry_remove(p->c, "dir", NULL), 0);
	assert_int_equal(cow_carry_remove(p->c, "file", NULL), 1);
	assert_absent(&p->to, "file");
	assert_text_at(&p->to, "one", "linked");
	assert_int_equal(attr_at(&p->to, "one").nlink, 2);
}

static void other_paths_are_refused(void **state)
{
	static const char *const bad[] = {"", "/etc", "a//b", "a/", "./a", "a/..", "..", "."};
	struct pair *p = *state;
	start(p);
	for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
		assert_int_equal(cow_carry_path(p->c, bad[k], 0, NULL), -EINVAL);
		assert_int_equal(cow_carry_remove(p->c, bad[k], NULL), -EINVAL);
	}
	assert_int_equal(cow_carry_path(p->c, "a", 1u << 7, NULL), -EINVAL);
}

/* The same again changes nothing. */
static void twice_is_once(void **state)
{
	struct pair *p = *state;
	low_usual(p->from);
	start(p);
	live(p->from);
	carry_all(p);
	detach(p);
	ok(cow_ovl_inst_open(p->to.dirfd, p->to.img, COW_OVL_STAGED, &p->to.inst, &p->err));
	attach(p);
	carry_all(p);
	assert_equal(p, "");
	detach(p);
}

int main(void)
{
#define T(name, how)                                                                               \
	{                                                                                          \
#name " (" #how ")", name, setup_##how, teardown, NULL                             \
	}
	const struct CMUnitTest tests[] = {
	    T(everything_shows_as_before, same),
	    T(everything_shows_as_before_on_another_image, other),
	    T(everything_shows_as_before_in_an_empty_one, other),
	    T(everything_shows_as_before_in_an_empty_one, plain),
	    T(it_is_a_root_like_others_afterwards, same),
	    T(it_is_a_root_like_others_afterwards, other),
	    T(it_is_a_root_like_others_afterwards, plain),
	    T(what_is_equal_is_left_to_the_image, same),
	    T(what_is_equal_is_left_to_the_image, other),
	    T(all_at_once_shows_as_before, same),
	    T(all_at_once_shows_as_before, other),
	    T(all_at_once_shows_as_before, plain),
	    T(all_at_once_leaves_links_to_the_image, same),
	    T(all_at_once_leaves_links_to_the_image, other),
	    T(what_the_new_image_adds_stays, other),
	    T(what_is_not_there_is_not_made, same),
	    T(directories_on_the_way, other),
	    T(directories_on_the_way, plain),
	    T(another_kind_gives_way_and_is_reported, other),
	    T(another_kind_gives_way_and_is_reported, plain),
	    T(links_on_the_way_are_not_followed, same),
	    T(a_directory_alone, same),
	    T(paths_are_removed, same),
	    T(other_paths_are_refused, plain),
	    T(twice_is_once, same),
	    T(twice_is_once, other),
	    T(twice_is_once, plain),
	};
	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root: owners and devices\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
