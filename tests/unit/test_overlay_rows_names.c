/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine's semantics, rows 1 to 21: names and merging. Each test names the row whose rule it
 * holds the engine to; tests/shell/rows-covered knows how many rows there are.
 */
#include "layer_test.h"

/* Row 1: a name that is no directory on one side hides what is below; two directories merge, and
 * what is said about them is said by the upper. */
static void the_upper_hides_the_image_but_directories_merge(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_set set = {.mask = COW_SET_MODE | COW_SET_UID, .mode = 0711, .uid = 7};
	/* a directory where the image has a file, and the reverse */
	ok(rm_at(f, "file"));
	ok(make_at(f, "file", S_IFDIR, 0755));
	ok(rm_at(f, "dir/sub/er/deepest"));
	ok(rm_at(f, "dir/sub/er"));
	ok(make_at(f, "dir/sub/er", S_IFREG, 0600));
	/* a directory of both */
	cow_autonode dir = get(f, "dir");
	ok(cow_ovl_setattr(dir, &cow_ovl_root_cred, &set, NULL));
	ok(cow_ovl_removexattr(dir, &cow_ovl_root_cred, "user.dir"));
	ok(make_at(f, "dir/born", S_IFREG, 0600));
	cow_ovl_put(cow_steal_ptr(&dir));
	for (int restarted = 0; restarted < 2; restarted++) {
		cow_autonode d = get(f, "dir");
		cow_autonode emptied = get(f, "file");
		assert_int_equal(attr_at(f, "file").mode & S_IFMT, S_IFDIR);
		assert_int_equal(list_count(emptied), 0);
		assert_int_equal(attr_at(f, "dir/sub/er").mode & S_IFMT, S_IFREG);
		assert_int_equal(attr_of(d).mode & 07777, 0711);
		assert_int_equal(attr_of(d).uid, 7);
		assert_int_equal(attr_of(d).gid, LOW_GID);
		assert_int_equal(cow_ovl_getxattr(d, "user.dir", NULL, 0), -ENODATA);
		assert_int_equal(listed(d, "born"), 1);
		assert_int_equal(listed(d, "file"), 1);
		assert_int_equal(listed(d, "sub"), 1);
		cow_ovl_put(cow_steal_ptr(&d));
		cow_ovl_put(cow_steal_ptr(&emptied));
		assert_same_after_restart(f);
	}
}

/* Row 2: a whiteout is seen by nobody: not by look-up, by listing, by handle; also one that some
 * crash left in a directory where it hides nothing. */
static void a_whiteout_is_never_visible(void **state)
{
	struct ovl *f = *state;
	uint8_t handle[COW_OVL_HANDLE_MAX];
	struct cow_ovl_node *none = NULL;
	cow_autonode n = get(f, "dir/file");
	size_t len = cow_ovl_handle(n, handle);
	ok(rm_at(f, "dir/file"));
	ok(make_at(f, "dir/born", S_IFDIR, 0755));
	assert_true(is_whiteout(f, "upper/dir/file"));
	cow_ovl_put(cow_steal_ptr(&n));
	ovl_detach(f);
	ok(mknodat(f->dirfd, "upper/dir/born/stray", S_IFCHR, makedev(0, 0)));
	ok(mknodat(f->dirfd, "upper/dir/stray", S_IFCHR, makedev(0, 0)));
	ovl_attach(f);
	assert_absent(f, "dir/file");
	assert_absent(f, "dir/stray");
	assert_absent(f, "dir/born/stray");
	assert_int_equal(listed_at(f, "dir", "file"), 0);
	assert_int_equal(listed_at(f, "dir", "stray"), 0);
	assert_int_equal(listed_at(f, "dir/born", "stray"), 0);
	assert_int_equal(cow_ovl_from_handle(f->inst, handle, len, &none), -ESTALE);
	assert_int_equal(rm_at(f, "dir/file"), -ENOENT);
	ok(rm_at(f, "dir/born")); /* nothing visible in it */
	ok(make_at(f, "dir/stray", S_IFDIR, 0755));
	assert_int_equal(listed_at(f, "dir", "stray"), 1);
}

/* Row 3: a client cannot make a whiteout of its own. */
static void a_character_device_0_0_is_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_create how = {.type = S_IFCHR, .mode = 0666, .rdev = makedev(0, 0)};
	cow_autonode dir = get(f, "dir");
	assert_int_equal(cow_ovl_create(dir, "w", 1, &cow_ovl_root_cred, &how, NULL, NULL), -EPERM);
	assert_absent(f, "dir/w");
	how.type = S_IFBLK; /* this one means nothing */
	ok(cow_ovl_create(dir, "w", 1, &cow_ovl_root_cred, &how, NULL, NULL));
	assert_int_equal(listed(dir, "w"), 1);
}

static const mode_t all_types[] = {S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};

/* Row 4: what is not a directory is made over a whiteout in one step, and the whiteout is gone: for
 * every type, and for a link. */
static void every_type_replaces_a_whiteout(void **state)
{
	struct ovl *f = *state;
	for (size_t k = 0; k < sizeof(all_types) / sizeof(*all_types); k++) {
		struct stat st;
		ok(rm_at(f, "dir/file"));
		assert_true(is_whiteout(f, "upper/dir/file"));
		ok(make_at(f, "dir/file", all_types[k], 0640));
		ok(disk_stat(f, "upper/dir/file", &st));
		assert_int_equal(st.st_mode & S_IFMT, all_types[k]);
		assert_int_equal(attr_at(f, "dir/file").mode & S_IFMT, all_types[k]);
		assert_true(attr_at(f, "dir/file").id > UINT32_MAX); /* not the image's */
		assert_int_equal(listed_at(f, "dir", "file"), 1);
		assert_same_after_restart(f);
	}
	ok(rm_at(f, "dir/file"));
	ok(ln_at(f, "dir/second", "dir/file"));
	assert_int_equal(attr_at(f, "dir/file").id, attr_at(f, "dir/second").id);
	assert_text_at(f, "dir/file", "second");
	assert_same_after_restart(f);
	assert_int_equal(disk_count(f, "work/work"), 0);
}

/* Row 5: a directory made over a whiteout is opaque: nothing of the image's comes back in it. */
static void a_directory_over_a_whiteout_is_opaque(void **state)
{
	struct ovl *f = *state;
	ok(rm_at(f, "dir/sub/er/deepest"));
	ok(rm_at(f, "dir/sub/er"));
	ok(make_at(f, "dir/sub/er", S_IFDIR, 0700));
	assert_true(is_opaque(f, "upper/dir/sub/er"));
	cow_autonode er = get(f, "dir/sub/er");
	assert_int_equal(list_count(er), 0);
	assert_absent(f, "dir/sub/er/deepest");
	assert_true(cow_ovl_id(er) > UINT32_MAX);
	cow_ovl_put(cow_steal_ptr(&er));
	assert_same_after_restart(f);
	assert_absent(f, "dir/sub/er/deepest");
	assert_int_equal(disk_count(f, "work/work"), 0);
}

/* Row 6: a directory where the image has nothing is not marked opaque, so that a later version of
 * the image may add to it. */
static void a_directory_where_the_image_has_nothing_is_not_opaque(void **state)
{
	struct ovl *f = *state;
	ok(make_at(f, "dir/born", S_IFDIR, 0755));
	ok(make_at(f, "dir/born/again", S_IFDIR, 0755));
	assert_true(on_disk(f, "upper/dir/born/again"));
	assert_false(is_opaque(f, "upper/dir/born"));
	assert_false(is_opaque(f, "upper/dir/born/again"));
}

/* Row 7: an opaque directory hides all of the image's names and gets no whiteouts. */
static void an_opaque_directory_holds_no_whiteouts(void **state)
{
	struct ovl *f = *state;
	ok(rm_at(f, "dir/sub/er/deepest"));
	ok(rm_at(f, "dir/sub/er"));
	ok(make_at(f, "dir/sub/er", S_IFDIR, 0700));
	ok(make_at(f, "dir/sub/er/deepest", S_IFREG, 0600)); /* a name the image had there */
	ok(make_at(f, "dir/sub/er/other", S_IFREG, 0600));
	ok(mv_at(f, "dir/sub/er/deepest", "dir/sub/er/moved", 0));
	ok(rm_at(f, "dir/sub/er/moved"));
	ok(rm_at(f, "dir/sub/er/other"));
	assert_int_equal(disk_count(f, "upper/dir/sub/er"), 0);
	assert_same_after_restart(f);
}

/* Row 8: the attributes by which the image's own tree was an overlay are not the client's: none are
 * copied up. The importer refuses them (and so no engine ever meets one). */
static void overlay_attributes_of_the_lower_tree_are_not_copied_up(void **state)
{
	struct ovl *f = *state;
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	low_dir(f, "dir", 0755);
	low_file(f, "dir/file", "x");
	low_xattr(f, "dir", "trusted.overlay.opaque", "y", 1);
	assert_int_equal(cow_ovl_image_build(f->image, &how, &info, &err), -EPERM);
	assert_non_null(strstr(cow_err_str(&err), "dir"));
	char at[PATH_MAX];
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/dir", f->tree);
	ok(removexattr(at, "trusted.overlay.opaque"));
	layer_start(f);
	up_at(f, "dir");
	assert_true(on_disk(f, "upper/dir"));
	assert_false(is_opaque(f, "upper/dir"));
	assert_text_at(f, "dir/file", "x");
}

struct collect {
	struct cow_ovl_node *dir;
	unsigned n;
};

static int check_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct collect *c = ctx;
	cow_autonode n = NULL;
	struct cow_ovl_attr a;
	ok(cow_ovl_lookup(c->dir, ent->name, ent->name_len, &n, &a));
	assert_int_equal(a.id, ent->id);
	assert_int_equal(cow_ovl_id(n), ent->id);
	assert_int_equal(a.mode & S_IFMT, ent->type);
	if (ent->node) {
		assert_ptr_equal(ent->node, n);
		assert_int_equal(ent->attr->id, ent->id);
	}
	c->n++;
	return 0;
}

/* Row 9: each name is listed once, whiteouts not at all, with the id and type that look-up gives. */
static void a_merged_listing_agrees_with_look_up(void **state)
{
	struct ovl *f = *state;
	up_at(f, "dir/file");			   /* of the image, brought up */
	ok(rm_at(f, "dir/second"));		   /* whiteout */
	ok(make_at(f, "dir/born", S_IFREG, 0600)); /* of the upper */
	ok(make_at(f, "dir/fifo", S_IFIFO, 0600));
	ok(mv_at(f, "link", "dir/away", 0));	      /* of the image, from elsewhere */
	ok(mv_at(f, "empty", "dir/moved", 0));	      /* a directory likewise */
	ok(make_at(f, "dir/moved/x", S_IFREG, 0600)); /* file sub three born fifo away moved */
	for (int restarted = 0; restarted < 2; restarted++) {
		for (unsigned flags = 0; flags <= COW_READDIR_NODES; flags += COW_READDIR_NODES) {
			cow_autonode dir = get(f, "dir");
			struct collect c = {.dir = dir};
			int eof = 0;
			ok(cow_ovl_readdir(dir, 0, flags, check_entry, &c, &eof));
			assert_int_equal(eof, 1);
			assert_int_equal(c.n, 7);
			c = (struct collect){.dir = f->root};
			ok(cow_ovl_readdir(f->root, 0, flags, check_entry, &c, &eof));
			assert_int_equal(c.n, 14); /* the usual ones less link and empty */
		}
		assert_same_after_restart(f);
	}
	/* What front ends show as "..": */
	cow_autonode moved = get(f, "dir/moved");
	cow_autonode up = NULL;
	ok(cow_ovl_parent(moved, &up));
	assert_int_equal(cow_ovl_id(up), attr_at(f, "dir").id);
}

#define MANY 400

struct busy {
	struct ovl *f;
	struct cow_ovl_node *dir;
	unsigned seen[MANY], turn;
	uint64_t cookie;
	bool once;
};

static int busy_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct busy *b = ctx;
	unsigned k;
	char name[32];
	b->cookie = ent->cookie;
	if (sscanf(ent->name, "stays-%u", &k) == 1 && k < MANY)
		b->seen[k]++;
	if (b->once)
		return 1;
	/* Meanwhile others come and go, of the image's names and of new ones. */
	(void)snprintf(name, sizeof(name), "goes-%u", b->turn % MANY);
	(void)rm(b->dir, name, COW_REMOVE_FILE);
	(void)snprintf(name, sizeof(name), "comes-%u", b->turn);
	ok(make_file(b->dir, name, NULL));
	if (b->turn > 5) {
		(void)snprintf(name, sizeof(name), "comes-%u", b->turn - 5);
		ok(rm(b->dir, name, COW_REMOVE_FILE));
	}
	b->turn++;
	return 0;
}

/* Row 10: what is there during a whole scan is listed exactly once, whatever comes and goes; and a
 * cookie says where to go on after a restart. */
static void a_scan_lists_what_stays_exactly_once(void **state)
{
	struct ovl *f = *state;
	char name[64];
	int eof = 0;
	low_dir(f, "dir", 0755);
	for (unsigned k = 0; k < MANY; k += 2) {
		(void)snprintf(name, sizeof(name), "dir/stays-%u", k);
		low_file(f, name, "");
		(void)snprintf(name, sizeof(name), "dir/goes-%u", k);
		low_file(f, name, "");
	}
	layer_start(f);
	for (unsigned k = 1; k < MANY; k += 2) {
		(void)snprintf(name, sizeof(name), "dir/stays-%u", k);
		ok(make_at(f, name, S_IFREG, 0644));
		(void)snprintf(name, sizeof(name), "dir/goes-%u", k);
		ok(make_at(f, name, S_IFREG, 0644));
	}
	cow_autonode dir = get(f, "dir");
	struct busy b = {.f = f, .dir = dir};
	ok(cow_ovl_readdir(dir, 0, 0, busy_entry, &b, &eof));
	for (unsigned k = 0; k < MANY; k++)
		assert_int_equal(b.seen[k], 1);
	/* one entry a call, a restart now and then */
	struct busy one = {.f = f, .once = true};
	cow_ovl_put(cow_steal_ptr(&dir));
	for (eof = 0; !eof; one.turn++) {
		if (one.turn % 50 == 0)
			ovl_restart(f);
		cow_autonode d = get(f, "dir");
		ok(cow_ovl_readdir(d, one.cookie, 0, busy_entry, &one, &eof));
	}
	for (unsigned k = 0; k < MANY; k++)
		assert_int_equal(one.seen[k], 1);
}

/* Row 11: removing an object of the image leaves a whiteout, removing one of the upper leaves
 * nothing. */
static void only_names_of_the_image_leave_whiteouts(void **state)
{
	struct ovl *f = *state;
	up_at(f, "dir/second");
	ok(make_at(f, "dir/born", S_IFREG, 0600));
	ok(mv_at(f, "link", "dir/away", 0));
	ok(rm_at(f, "dir/file"));
	ok(rm_at(f, "dir/second"));
	ok(rm_at(f, "dir/born"));
	ok(rm_at(f, "dir/away")); /* of the image, but not this name */
	assert_true(is_whiteout(f, "upper/dir/file"));
	assert_true(is_whiteout(f, "upper/dir/second"));
	assert_true(is_whiteout(f, "upper/link"));
	assert_false(on_disk(f, "upper/dir/born"));
	assert_false(on_disk(f, "upper/dir/away"));
	assert_int_equal(disk_count(f, "work/work"), 0);
	assert_same_after_restart(f);
}

/* Row 12: a directory goes when nothing can be seen in it, whichever layer that is due to; a refused
 * attempt changes nothing. */
static void a_merged_directory_is_removed_when_it_looks_empty(void **state)
{
	struct ovl *f = *state;
	cow_autonode sub = get(f, "dir/sub");
	assert_int_equal(rm_at(f, "dir/sub"), -ENOTEMPTY); /* of the image alone */
	assert_false(on_disk(f, "upper/dir"));
	ok(rm_at(f, "dir/sub/deep"));
	assert_int_equal(rm_at(f, "dir/sub"), -ENOTEMPTY); /* er is still there */
	ok(rm_at(f, "dir/sub/er/deepest"));
	ok(rm_at(f, "dir/sub/er"));
	ok(make_at(f, "dir/sub/born", S_IFREG, 0600));
	assert_int_equal(rm_at(f, "dir/sub"), -ENOTEMPTY);
	assert_int_equal(attr_of(sub).id, attr_at(f, "dir/sub").id); /* still usable */
	assert_int_equal(list_count(sub), 1);
	ok(rm_at(f, "dir/sub/born"));
	ok(rm_at(f, "dir/sub"));
	assert_true(is_whiteout(f, "upper/dir/sub"));
	ok(rm_at(f, "empty")); /* never brought up */
	assert_true(is_whiteout(f, "upper/empty"));
	assert_int_equal(disk_count(f, "work/work"), 0);
	/* and who is in it is told */
	struct cow_ovl_attr a;
	assert_int_equal(cow_ovl_getattr(sub, &a), -ESTALE);
	assert_int_equal(make_file(sub, "x", NULL), -ESTALE);
	cow_ovl_put(cow_steal_ptr(&sub));
	assert_same_after_restart(f);
	assert_absent(f, "dir/sub");
}

static void rm_tree(struct ovl *f, const char *const *paths)
{
	for (; *paths; paths++)
		ok(rm_at(f, *paths));
}

/* Row 13: a tree removed and made again is empty, and stays so when another is moved onto it. */
static void nothing_comes_back_in_a_tree_made_again(void **state)
{
	struct ovl *f = *state;
	static const char *const all[] = {
	    "dir/sub/er/deepest", "dir/sub/er", "dir/sub/deep", "dir/sub", "dir/file",
	    "dir/second",	  "dir/three",	"dir",		NULL};
	rm_tree(f, all);
	ok(make_at(f, "dir", S_IFDIR, 0755));
	ok(make_at(f, "dir/sub", S_IFDIR, 0755));
	ok(make_at(f, "dir/sub/er", S_IFDIR, 0755));
	for (int restarted = 0; restarted < 2; restarted++) {
		assert_absent(f, "dir/sub/er/deepest");
		assert_absent(f, "dir/sub/deep");
		assert_absent(f, "dir/file");
		ovl_restart(f);
	}
	ok(make_at(f, "new", S_IFDIR, 0755));
	ok(make_at(f, "new/x", S_IFREG, 0644));
	ok(rm_at(f, "dir/sub/er"));
	ok(rm_at(f, "dir/sub"));
	ok(mv_at(f, "new", "dir", 0)); /* onto an empty one */
	for (int restarted = 0; restarted < 2; restarted++) {
		cow_autonode dir = get(f, "dir");
		assert_int_equal(list_count(dir), 1);
		assert_int_equal(listed(dir, "x"), 1);
		cow_ovl_put(cow_steal_ptr(&dir));
		assert_absent(f, "dir/sub");
		ovl_restart(f);
	}
	/* the same with a directory of the image moved onto it */
	ok(rm_at(f, "dir/x"));
	ok(mv_at(f, "sgid", "dir", 0));
	assert_int_equal(attr_at(f, "dir").mode & 07777, 02775);
	assert_absent(f, "dir/file");
	assert_same_after_restart(f);
	assert_absent(f, "dir/file");
}

/* Row 14: a file of the image is moved as itself and leaves a whiteout; onto a whiteout the two
 * change places; onto another name of the same file nothing happens. */
static void a_file_of_the_image_is_renamed(void **state)
{
	struct ovl *f = *state;
	uint64_t id = attr_at(f, "file").id, second = attr_at(f, "dir/second").id;
	ok(mv_at(f, "file", "dir/renamed", 0)); /* to a new name */
	assert_true(is_whiteout(f, "upper/file"));
	assert_int_equal(attr_at(f, "dir/renamed").id, id);
	assert_text_at(f, "dir/renamed", "of the image");
	ok(rm_at(f, "dir/file"));
	ok(mv_at(f, "dir/second", "dir/file", 0)); /* onto a whiteout */
	assert_true(is_whiteout(f, "upper/dir/second"));
	assert_text_at(f, "dir/file", "second");
	ok(mv_at(f, "dir/renamed", "dir/file", 0)); /* onto a file */
	assert_false(on_disk(f, "upper/dir/renamed"));
	assert_text_at(f, "dir/file", "of the image");
	assert_absent(f, "dir/second");
	ok(mv_at(f, "dir/sub/deep", "link", 0)); /* onto another type */
	assert_text_at(f, "link", "deep");
	assert_same_after_restart(f);
	assert_int_equal(attr_at(f, "dir/file").id, id);
	assert_true(second != id);
	assert_int_equal(disk_count(f, "work/work"), 0);
	/* hard links of one file: both below; one brought up; both brought up */
	for (int k = 0; k < 3; k++) {
		ok(mv_at(f, "one", "dir/three", 0));
		assert_int_equal(attr_at(f, "one").id, attr_at(f, "dir/three").id);
		assert_int_equal(attr_at(f, "one").nlink, 3);
		if (k == 0)
			put_at(f, "two", "changed");
		if (k == 1)
			put_at(f, "one", "changed");
	}
	assert_text_at(f, "dir/three", "changed");
}

/* Row 15: a directory of the image, brought up or not, is renamed with all that is below it; no
 * EXDEV. */
static void a_directory_of_the_image_is_renamed(void **state)
{
	struct ovl *f = *state;
	uint64_t dir = attr_at(f, "dir").id, deepest = attr_at(f, "dir/sub/er/deepest").id;
	char redirect[64] = {0};
	ok(make_at(f, "dir/sub/born", S_IFREG, 0600));
	ok(mv_at(f, "dir/sub/er", "dir/sub/moved", 0)); /* not brought up */
	ok(mv_at(f, "dir", "empty/dir", 0));		/* merged, to another directory */
	assert_absent(f, "dir");
	assert_int_equal(attr_at(f, "empty/dir").id, dir);
	assert_int_equal(attr_at(f, "empty/dir/sub/moved/deepest").id, deepest);
	assert_text_at(f, "empty/dir/sub/moved/deepest", "deepest");
	assert_int_equal(listed_at(f, "empty/dir/sub", "born"), 1);
	assert_absent(f, "empty/dir/sub/er");
	assert_true(disk_xattr(f, "upper/empty/dir/sub/moved", "trusted.overlay.redirect", redirect,
			       sizeof(redirect) - 1) > 0);
	assert_string_equal(redirect, "/dir/sub/er");
	assert_same_after_restart(f);
	ok(mv_at(f, "empty/dir", "dir", 0)); /* and home again */
	assert_text_at(f, "dir/file", "in dir");
	assert_same_after_restart(f);
}

/* Row 16: a directory replaces one of the image that looks empty. */
static void a_directory_replaces_a_merged_one_that_looks_empty(void **state)
{
	struct ovl *f = *state;
	static const char *const sub[] = {"dir/sub/er/deepest", "dir/sub/er", "dir/sub/deep", NULL};
	assert_int_equal(mv_at(f, "empty", "dir/sub", 0), -ENOTEMPTY);
	rm_tree(f, sub);
	cow_autonode victim = get(f, "dir/sub");
	ok(mv_at(f, "empty", "dir/sub", 0)); /* of the image onto a merged one */
	struct cow_ovl_attr a;
	assert_int_equal(cow_ovl_getattr(victim, &a), -ESTALE);
	cow_ovl_put(cow_steal_ptr(&victim));
	assert_absent(f, "dir/sub/deep");
	assert_same_after_restart(f);
	ok(make_at(f, "new", S_IFDIR, 0700));
	ok(make_at(f, "new/x", S_IFREG, 0600));
	ok(mv_at(f, "new", "sgid", 0)); /* born above onto one of the image, never brought up */
	assert_true(is_opaque(f, "upper/sgid"));
	assert_int_equal(listed_at(f, "sgid", "x"), 1);
	assert_same_after_restart(f);
	assert_int_equal(disk_count(f, "work/work"), 0);
}

/* Row 17: a directory born above is opaque before it gets a name that the image has. */
static void a_new_directory_moved_to_a_name_of_the_image_is_opaque(void **state)
{
	struct ovl *f = *state;
	static const char *const sub[] = {"dir/sub/er/deepest", "dir/sub/er", "dir/sub/deep",
					  "dir/sub", NULL};
	rm_tree(f, sub);
	ok(make_at(f, "new", S_IFDIR, 0700));
	ok(make_at(f, "new/x", S_IFREG, 0600));
	assert_false(is_opaque(f, "upper/new"));
	ok(mv_at(f, "new", "dir/sub", 0));
	assert_true(is_opaque(f, "upper/dir/sub"));
	assert_absent(f, "dir/sub/deep");
	assert_absent(f, "dir/sub/er");
	assert_absent(f, "new");
	assert_false(on_disk(f, "upper/new")); /* the whiteout did not stay */
	assert_same_after_restart(f);
}

/* Row 18: NOREPLACE takes a whiteout for nothing; EXCHANGE swaps whatever the two are. */
static void noreplace_and_exchange(void **state)
{
	struct ovl *f = *state;
	uint64_t file, dir, link;
	ok(rm_at(f, "dir/file"));
	ok(mv_at(f, "dir/second", "dir/file", RENAME_NOREPLACE));
	assert_text_at(f, "dir/file", "second");
	assert_absent(f, "dir/second");
	assert_int_equal(mv_at(f, "file", "link", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(mv_at(f, "file", "dir/second", RENAME_EXCHANGE), -ENOENT);
	file = attr_at(f, "file").id;
	dir = attr_at(f, "dir").id;
	link = attr_at(f, "link").id;
	ok(mv_at(f, "file", "dir", RENAME_EXCHANGE)); /* a file and a merged directory */
	assert_int_equal(attr_at(f, "file").id, dir);
	assert_int_equal(attr_at(f, "dir").id, file);
	assert_text_at(f, "file/file", "second");
	ok(mv_at(f, "link", "empty", RENAME_EXCHANGE)); /* neither was brought up */
	assert_int_equal(attr_at(f, "empty").id, link);
	ok(make_at(f, "new", S_IFDIR, 0700));
	ok(mv_at(f, "new", "sgid", RENAME_EXCHANGE)); /* with one born above */
	assert_true(is_opaque(f, "upper/sgid"));
	assert_int_equal(attr_at(f, "new").mode & 07777, 02775);
	assert_same_after_restart(f);
}

/* Row 19: a directory cannot go below itself, wherever it is and was. */
static void a_directory_into_itself_is_refused(void **state)
{
	struct ovl *f = *state;
	assert_int_equal(mv_at(f, "dir", "dir/sub/er/in", 0), -EINVAL);
	assert_int_equal(mv_at(f, "dir", "dir/in", 0), -EINVAL);
	assert_int_equal(mv_at(f, "dir", "dir/sub", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(mv_at(f, "dir/sub", "dir", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(mv_at(f, "dir/sub/er", "dir", 0), -ENOTEMPTY);
	assert_false(on_disk(f, "upper/dir")); /* refused before anything was done */
	ok(mv_at(f, "dir/sub", "sub", 0));
	ok(mv_at(f, "dir", "sub/er/dir", 0)); /* inside out */
	assert_int_equal(mv_at(f, "sub", "sub/er/dir/sub", 0), -EINVAL);
	assert_text_at(f, "sub/er/dir/file", "in dir");
	assert_same_after_restart(f);
}

/* The mark of one upper object put on another one too. */
static void clone_mark(struct ovl *f, const char *from, const char *to)
{
	char value[64], at[PATH_MAX];
	ssize_t len = disk_xattr(f, from, "trusted.cowherd.id", value, sizeof(value));
	assert_true(len > 0);
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", f->dirfd, to);
	ok(lsetxattr(at, "trusted.cowherd.id", value, (size_t)len, 0));
}

/* Row 20: of two objects that say they are the same one of the image the second is refused. */
static void two_that_claim_one_lower_object_are_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_node *none = NULL;
	ok(make_at(f, "dir/twin", S_IFDIR, 0755));
	ok(make_at(f, "dir/copy", S_IFREG, 0644));
	ok(mv_at(f, "dir/sub", "dir/moved", 0));
	ok(mv_at(f, "file", "dir/away", 0));
	ovl_detach(f);
	clone_mark(f, "upper/dir/moved", "upper/dir/twin");
	clone_mark(f, "upper/dir/away", "upper/dir/copy");
	ovl_attach(f);
	cow_autonode moved = get(f, "dir/moved");
	cow_autonode away = get(f, "dir/away");
	assert_int_equal(walk(f, "dir/twin", &none), -EIO);
	assert_int_equal(walk(f, "dir/copy", &none), -EIO);
	assert_text_at(f, "dir/moved/deep", "deep"); /* the first one goes on */
	assert_text(away, "of the image");
	/* one that claims what the image has not got, or another type */
	cow_ovl_put(cow_steal_ptr(&moved));
	cow_ovl_put(cow_steal_ptr(&away));
	ovl_detach(f);
	clone_mark(f, "upper/dir/away", "upper/dir/twin");
	ovl_attach(f);
	assert_int_equal(walk(f, "dir/twin", &none), -EIO);
}

/* Row 21: names of 255 bytes and names that look like some overlay's marks are names like any other;
 * depth is limited by nothing of ours. */
static void long_names_and_marker_names_are_plain_names(void **state)
{
	struct ovl *f = *state;
	static const char *const odd[] = {".wh.file", ".wh..wh..opq", ".wh..wh.plnk",
					  "#1",	      "#whiteout",    "...",
					  "work",     "\x01\xff\n"};
	char longest[256], too_long[257], path[PATH_MAX];
	memset(longest, 'n', 255);
	longest[255] = '\0';
	memset(too_long, 'n', 256);
	too_long[256] = '\0';
	low_dir(f, "dir", 0755);
	low_file(f, "file", "f");
	(void)snprintf(path, sizeof(path), "dir/%s", longest);
	low_file(f, path, "long");
	for (size_t k = 0; k < sizeof(odd) / sizeof(*odd); k += 2) {
		(void)snprintf(path, sizeof(path), "dir/%s", odd[k]);
		low_file(f, path, odd[k]);
	}
	layer_start(f);
	cow_autonode dir = get(f, "dir");
	struct cow_ovl_node *none = NULL;
	assert_int_equal(look(dir, too_long, &none), -ENAMETOOLONG);
	assert_int_equal(make_file(dir, too_long, NULL), -ENAMETOOLONG);
	assert_int_equal(listed(dir, longest), 1);
	ok(rm(dir, longest, COW_REMOVE_FILE));
	assert_int_equal(listed(dir, longest), 0);
	ok(make_file(dir, longest, NULL));
	for (size_t k = 0; k < sizeof(odd) / sizeof(*odd); k++) {
		cow_autonode n = NULL;
		if (k % 2)
			ok(make_file(dir, odd[k], NULL));
		ok(look(dir, odd[k], &n));
		assert_int_equal(listed(dir, odd[k]), 1);
		if (k % 2 == 0) {
			assert_text(n, odd[k]);
			ok(mv(dir, odd[k], dir, "tmp", 0));
			ok(mv(dir, "tmp", dir, odd[k], 0));
		}
	}
	assert_text_at(f, "file", "f");
	assert_int_equal(list_count(dir), 1 + sizeof(odd) / sizeof(*odd));
	cow_ovl_put(cow_steal_ptr(&dir));
	assert_same_after_restart(f);
	/* deeper than PATH_MAX */
	cow_autonode at = cow_ovl_get(f->root);
	for (unsigned k = 0; k < 40; k++) {
		cow_autonode next = NULL;
		ok(make(at, longest, S_IFDIR, 0755, &next));
		cow_ovl_put(at);
		at = cow_steal_ptr(&next);
	}
	cow_autonode n = NULL;
	ok(make_file(at, "bottom", &n));
	assert_int_equal(attr_of(n).nlink, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
#define BARE(name) cmocka_unit_test_setup_teardown(name, layer_setup_bare, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(the_upper_hides_the_image_but_directories_merge),
	    T(a_whiteout_is_never_visible),
	    T(a_character_device_0_0_is_refused),
	    T(every_type_replaces_a_whiteout),
	    T(a_directory_over_a_whiteout_is_opaque),
	    T(a_directory_where_the_image_has_nothing_is_not_opaque),
	    T(an_opaque_directory_holds_no_whiteouts),
	    BARE(overlay_attributes_of_the_lower_tree_are_not_copied_up),
	    T(a_merged_listing_agrees_with_look_up),
	    BARE(a_scan_lists_what_stays_exactly_once),
	    T(only_names_of_the_image_leave_whiteouts),
	    T(a_merged_directory_is_removed_when_it_looks_empty),
	    T(nothing_comes_back_in_a_tree_made_again),
	    T(a_file_of_the_image_is_renamed),
	    T(a_directory_of_the_image_is_renamed),
	    T(a_directory_replaces_a_merged_one_that_looks_empty),
	    T(a_new_directory_moved_to_a_name_of_the_image_is_opaque),
	    T(noreplace_and_exchange),
	    T(a_directory_into_itself_is_refused),
	    T(two_that_claim_one_lower_object_are_refused),
	    BARE(long_names_and_marker_names_are_plain_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
