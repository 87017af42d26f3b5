/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a root changed of its image. The upper layers are the kernel's own: each test does with plain
 * system calls on a mounted overlayfs what it then expects to be told. What only the engine writes
 * (the mark of moved files) is put there by hand.
 */
#include "upper_test.h"

#include "common/checked.h"
#include "idattr.h"
#include "manifest.h"

static char *list;
static size_t list_len;

static int see(void *ctx, const struct cow_ovl_change *c)
{
	FILE *out = ctx;
	static const char letters[] = "AMTDR";
	(void)fprintf(out, "%c ", letters[c->kind]);
	if (c->old_path)
		(void)fprintf(out, "%s -> ", c->old_path);
	(void)fprintf(out, "%s", c->path);
	static const char *const bits[] = {"data", "type", "mode", "owner", "mtime", "xattrs"};
	for (unsigned k = 0; k < 6; k++)
		if (c->what & 1u << k)
			(void)fprintf(out, " %s", bits[k]);
	(void)fputc('\n', out);
	return 0;
}

static void expect(struct upper *u, const char *want)
{
	struct cow_err err = COW_ERR_INIT;
	FILE *out = open_memstream(&list, &list_len);
	int r = cow_ovl_inst_diff(u->root, u->image, see, out, &err);
	(void)fclose(out);
	if (r < 0)
		print_error("%s\n", cow_err_str(&err));
	ok(r);
	assert_string_equal(list, want);
	free(list);
}

static int setup(void **state)
{
	if (upper_setup(state) < 0)
		return -1;
	put_file("img/tree/file", "golden");
	put_file("img/tree/other", "other");
	make_dir("img/tree/dir");
	put_file("img/tree/dir/one", "1");
	put_file("img/tree/dir/two", "2");
	make_dir("img/tree/dir/sub");
	put_file("img/tree/dir/sub/deep", "deep");
	make_dir("img/tree/empty");
	sys(symlink("target", "img/tree/link"));
	sys(mknod("img/tree/dev", S_IFCHR | 0600, makedev(1, 3)));
	put_file("img/tree/hard1", "hard");
	sys(link("img/tree/hard1", "img/tree/hard2"));
	/* Coarse clocks would give an image and a change of the same moment the same time. */
	for (const char *const *p = (const char *const[]){"file", "other", "dir/one", "dir/two",
							  "link", "hard1", NULL};
	     *p; p++) {
		char path[32];
		(void)snprintf(path, sizeof(path), "img/tree/%s", *p);
		sys(utimensat(AT_FDCWD, path, (struct timespec[2]){{1000, 0}, {1000, 0}},
			      AT_SYMLINK_NOFOLLOW));
	}
	seal_image(*state);
	return 0;
}

static void nothing_changed_is_nothing_told(void **state)
{
	struct upper *u = *state;
	char buf[16];
	expect(u, "");
	kernel_mount();
	int fd = open("mnt/file", O_RDWR | O_CLOEXEC); /* copied up for nothing */
	sys(fd);
	sys(read(fd, buf, sizeof(buf)));
	sys(close(fd));
	sys(chmod("mnt/dir/sub", 0755));
	kernel_umount();
	assert_true(exists("root/upper/file"));
	expect(u, "");
}

static void added_modified_deleted(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	put_file("mnt/new", "new");
	make_dir("mnt/newdir");
	put_file("mnt/newdir/x", "x");
	put_file("mnt/dir/one", "changed");
	put_file("mnt/dir/two", "9"); /* of the same size */
	sys(unlink("mnt/other"));
	sys(rmdir("mnt/empty"));
	kernel_umount();
	expect(u, "M dir/one data mtime\n"
		  "M dir/two data mtime\n"
		  "D empty\n"
		  "A new\n"
		  "A newdir\n"
		  "A newdir/x\n"
		  "D other\n");
}

static void attributes_alone(void **state)
{
	struct upper *u = *state;
	struct timespec times[2] = {{5, 0}, {6, 0}};
	kernel_mount();
	sys(chmod("mnt/file", 0600));
	sys(chown("mnt/dir", 1, 1));
	sys(utimensat(AT_FDCWD, "mnt/other", times, 0));
	sys(setxattr("mnt/dir/one", "trusted.x", "1", 1, 0));
	sys(lchown("mnt/link", 5, 5));
	sys(chmod("mnt/dev", 0666));
	sys(chmod("mnt", 0700));
	kernel_umount();
	expect(u, "T  mode\n"
		  "T dev mode\n"
		  "T dir owner\n"
		  "T dir/one xattrs\n"
		  "T file mode\n"
		  "T link owner\n"
		  "T other mtime\n");
}

static void what_was_replaced(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	put_file("mnt/tmp", "replaced");
	sys(rename("mnt/tmp", "mnt/file"));
	sys(unlink("mnt/link"));
	sys(symlink("elsewhere", "mnt/link"));
	sys(unlink("mnt/other"));
	make_dir("mnt/other");
	put_file("mnt/other/in", "x");
	sys(unlink("mnt/dir/sub/deep"));
	sys(rmdir("mnt/dir/sub"));
	put_file("mnt/dir/sub", "now a file");
	kernel_umount();
	expect(u, "M dir/sub type\n"
		  "M file data mtime\n"
		  "M link data mtime\n"
		  "M other type\n"
		  "A other/in\n");
}

/* rm -r and made anew: only what differs is told. */
static void a_directory_made_anew(void **state)
{
	struct upper *u = *state;
	struct stat st;
	sys(stat("img/tree/dir/one", &st));
	kernel_mount();
	sys(unlink("mnt/dir/sub/deep"));
	sys(rmdir("mnt/dir/sub"));
	sys(unlink("mnt/dir/one"));
	sys(unlink("mnt/dir/two"));
	sys(rmdir("mnt/dir"));
	make_dir("mnt/dir");
	put_file("mnt/dir/one", "1");
	sys(utimensat(AT_FDCWD, "mnt/dir/one", (struct timespec[2]){st.st_atim, st.st_mtim}, 0));
	put_file("mnt/dir/three", "3");
	make_dir("mnt/dir/sub");
	kernel_umount();
	expect(u, "D dir/sub/deep\n"
		  "A dir/three\n"
		  "D dir/two\n");
}

static void directories_that_moved(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	sys(rename("mnt/dir/sub", "mnt/sub2")); /* out of its parent: absolute */
	sys(rename("mnt/dir", "mnt/moved"));	/* in its parent: relative */
	put_file("mnt/moved/two", "changed");
	sys(unlink("mnt/moved/one"));
	put_file("mnt/sub2/new", "x");
	make_dir("mnt/dir");
	put_file("mnt/dir/again", "x");
	kernel_umount();
	expect(u, "A dir\n"
		  "A dir/again\n"
		  "R dir -> moved\n"
		  "D moved/one\n"
		  "M moved/two data mtime\n"
		  "R dir/sub -> sub2\n"
		  "A sub2/new\n");
}

/* The kernel leaves no mark on files. */
static void files_the_kernel_moved(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	sys(rename("mnt/file", "mnt/file2"));
	kernel_umount();
	expect(u, "D file\nA file2\n");
}

static void mark(struct upper *u, const char *path, const char *image_path, int foreign)
{
	struct cow_id_attr id;
	memcpy(id.lineage, cow_man_lineage(u->image), sizeof(id.lineage));
	id.lineage[3] ^= (uint8_t)foreign;
	cow_put_le32(id.number, cow_man_lookup_path(u->image, image_path));
	sys(lsetxattr(path, COW_XA_ID, &id, sizeof(id), 0));
}

static void files_the_engine_moved(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	sys(rename("mnt/file", "mnt/file2"));
	sys(rename("mnt/dir/one", "mnt/one"));
	put_file("mnt/one", "changed too");
	sys(rename("mnt/link", "mnt/dir/link"));
	sys(rename("mnt/other", "mnt/theirs"));
	put_file("mnt/other", "somebody else");
	sys(rename("mnt/dir/two", "mnt/two"));
	kernel_umount();
	mark(u, "root/upper/file2", "file", 0);
	mark(u, "root/upper/one", "dir/one", 0);
	mark(u, "root/upper/dir/link", "link", 0);
	mark(u, "root/upper/theirs", "other", 0);
	mark(u, "root/upper/two", "dir/two", 1); /* of another lineage: means nothing */
	expect(u, "R link -> dir/link\n"
		  "D dir/two\n"
		  "R file -> file2\n"
		  "R dir/one -> one data mtime\n"
		  "A other\n"
		  "R other -> theirs\n"
		  "A two\n");
}

/* Out of a directory that is then removed, or made anew, or moved itself. */
static void moved_out_of_what_is_gone(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	sys(rename("mnt/dir/sub/deep", "mnt/deep"));
	sys(rmdir("mnt/dir/sub"));
	sys(rename("mnt/dir/one", "mnt/one"));
	sys(unlink("mnt/dir/two"));
	sys(rmdir("mnt/dir"));
	kernel_umount();
	mark(u, "root/upper/deep", "dir/sub/deep", 0);
	mark(u, "root/upper/one", "dir/one", 0);
	expect(u, "R dir/sub/deep -> deep\n"
		  "D dir\n"
		  "R dir/one -> one\n");
	kernel_mount();
	make_dir("mnt/dir");
	put_file("mnt/dir/one", "not the old one");
	kernel_umount();
	expect(u, "R dir/sub/deep -> deep\n"
		  "A dir/one\n"
		  "D dir/sub\n"
		  "D dir/two\n"
		  "R dir/one -> one\n");
}

static void a_mark_at_home_moves_nothing(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	put_file("mnt/file", "changed");
	sys(rename("mnt/file", "mnt/away"));
	sys(rename("mnt/away", "mnt/file"));
	kernel_umount();
	mark(u, "root/upper/file", "file", 0);
	expect(u, "M file data mtime\n");
}

static void hard_links(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	sys(link("mnt/file", "mnt/file-too"));
	kernel_umount();
	mark(u, "root/upper/file", "file", 0); /* both names: it is one object */
	expect(u, "A file-too\n");
	kernel_mount();
	sys(unlink("mnt/file"));
	kernel_umount();
	expect(u, "R file -> file-too\n");
	kernel_mount();
	sys(link("mnt/file-too", "mnt/third"));
	sys(rename("mnt/hard2", "mnt/hard3"));
	kernel_umount();
	mark(u, "root/upper/hard3", "hard1", 0);
	expect(u, "R file -> file-too\n"
		  "R hard2 -> hard3\n"
		  "A third\n");
}

static const struct timespec linked_times[2] = {{1000, 0}, {1000, 0}};

static int setup_linked(void **state)
{
	if (upper_setup(state) < 0)
		return -1;
	make_dir("img/tree/dir");
	make_dir("img/tree/dir/sub");
	put_file("img/tree/dir/sub/one", "linked");
	sys(utimensat(AT_FDCWD, "img/tree/dir/sub/one", linked_times, 0));
	sys(link("img/tree/dir/sub/one", "img/tree/dir/two"));
	sys(link("img/tree/dir/sub/one", "img/tree/three"));
	seal_image(*state);
	return 0;
}

/* As the engine leaves it: the object is found by its anchor, from the names it has left. */
static void changed_by_a_name_that_is_gone(void **state)
{
	struct upper *u = *state;
	make_dir("root/work/index");
	put_file("root/work/index/anchor", "changed");
	mark(u, "root/work/index/anchor", "three", 0);
	sys(mknod("root/upper/three", S_IFCHR, 0));
	expect(u, "M dir/sub/one data mtime\n"
		  "M dir/two data mtime\n"
		  "D three\n");
	/* One name more is gone, one has moved with the directory above it, which another stands in for. */
	kernel_mount();
	sys(unlink("mnt/dir/two"));
	sys(rename("mnt/dir/sub", "mnt/moved"));
	make_dir("mnt/dir/sub");
	kernel_umount();
	expect(u, "A dir/sub\n"
		  "D dir/two\n"
		  "R dir/sub -> moved\n"
		  "M moved/one data mtime\n"
		  "D three\n");
	kernel_mount();
	sys(unlink("mnt/moved/one"));
	kernel_umount();
	expect(u, "A dir/sub\n"
		  "D dir/two\n"
		  "R dir/sub -> moved\n"
		  "D moved/one\n"
		  "D three\n");
}

/* As many as it had names come from there, the others are new ones. */
static void linked_out_of_what_is_gone(void **state)
{
	struct upper *u = *state;
	kernel_mount();
	make_dir("mnt/x");
	sys(rename("mnt/dir/sub/one", "mnt/x/1"));
	sys(link("mnt/x/1", "mnt/x/2"));
	sys(link("mnt/x/1", "mnt/x/3"));
	sys(unlink("mnt/dir/two"));
	sys(rmdir("mnt/dir/sub"));
	sys(rmdir("mnt/dir"));
	kernel_umount();
	mark(u, "root/upper/x/1", "three", 0);
	expect(u, "D dir\n"
		  "A x\n"
		  "R dir/two -> x/1\n" /* which of the names is told of which is all one */
		  "R dir/sub/one -> x/2\n"
		  "A x/3\n");
}

/* It was brought up for nothing. */
static void not_changed_by_a_name_that_is_gone(void **state)
{
	struct upper *u = *state;
	make_dir("root/work/index");
	put_file("root/work/index/anchor", "linked");
	sys(utimensat(AT_FDCWD, "root/work/index/anchor", linked_times, 0));
	mark(u, "root/work/index/anchor", "three", 0);
	sys(mknod("root/upper/three", S_IFCHR, 0));
	expect(u, "D three\n");
}

static int stop(void *ctx, const struct cow_ovl_change *c)
{
	(void)c;
	++*(int *)ctx;
	return 42;
}

static void the_callback_stops_it(void **state)
{
	struct upper *u = *state;
	int n = 0;
	put_file("root/upper/a", "");
	put_file("root/upper/b", "");
	assert_int_equal(cow_ovl_inst_diff(u->root, u->image, stop, &n, NULL), 42);
	assert_int_equal(n, 1);
}

/* I7: what a client can put there at worst. */
static void odd_things_do_no_harm(void **state)
{
	struct upper *u = *state;
	sys(setxattr("root/upper", "trusted.overlay.opaque", "yes, a long one", 15, 0));
	make_dir("root/upper/a");
	sys(setxattr("root/upper/a", "trusted.overlay.redirect", "/file", 5, 0)); /* no directory */
	make_dir("root/upper/b");
	sys(setxattr("root/upper/b", "trusted.overlay.redirect", "/dir/../dir", 11, 0));
	make_dir("root/upper/c");
	sys(setxattr("root/upper/c", "trusted.overlay.redirect", "", 0, 0));
	put_file("root/upper/d", "");
	sys(setxattr("root/upper/d", COW_XA_ID, "short", 5, 0));
	sys(mkfifo("root/upper/e", 0600)); /* not opened: nobody would write */
	sys(mknod("root/upper/gone", S_IFCHR, makedev(0, 0)));
	expect(u, "A a\nA b\nA c\nA d\nA e\n");
}

static void deep_trees_end_with_words(void **state)
{
	struct upper *u = *state;
	struct cow_err err = COW_ERR_INIT;
	int fd = open("root/upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int k = 0; k < COW_DEPTH_MAX + 10; k++) {
		sys(mkdirat(fd, "d", 0755));
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		sys(next);
		sys(close(fd));
		fd = next;
	}
	sys(close(fd));
	int n = 0;
	assert_int_equal(cow_ovl_inst_diff(u->root, u->image, stop, &n, &err), -ELOOP);
	assert_non_null(strstr(cow_err_str(&err), "too deep"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, upper_teardown)
	const struct CMUnitTest tests[] = {
	    T(nothing_changed_is_nothing_told),
	    T(added_modified_deleted),
	    T(attributes_alone),
	    T(what_was_replaced),
	    T(a_directory_made_anew),
	    T(directories_that_moved),
	    T(files_the_kernel_moved),
	    T(files_the_engine_moved),
	    T(moved_out_of_what_is_gone),
	    T(a_mark_at_home_moves_nothing),
	    T(hard_links),
	    cmocka_unit_test_setup_teardown(changed_by_a_name_that_is_gone, setup_linked,
					    upper_teardown),
	    cmocka_unit_test_setup_teardown(linked_out_of_what_is_gone, setup_linked,
					    upper_teardown),
	    cmocka_unit_test_setup_teardown(not_changed_by_a_name_that_is_gone, setup_linked,
					    upper_teardown),
	    T(the_callback_stops_it),
	    T(odd_things_do_no_harm),
	    T(deep_trees_end_with_words),
	};
	int r = upper_begin();
	return r ? r : cmocka_run_group_tests(tests, NULL, NULL);
}
