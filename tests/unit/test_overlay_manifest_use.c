/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A manifest and its tree: objects opened, everything verified, everything told; one object in memory for each.
 */
#include "ovm_test.h"

#include <pthread.h>

/* ---------------------------------------------------------------- opening objects */

static void objects_open_by_number(void **state)
{
	struct ovm *f = *state;
	char text[16] = "";
	struct stat st, want;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	int fd = cow_man_open(img, at(img, "file"), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 6);
	assert_string_equal(text, "hello\n");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ok(close(fd));
	for (size_t k = 0; k < sizeof(zoo) / sizeof(*zoo); k++) {
		if (!is_root() && k >= 7)
			continue;
		fd = cow_man_open(img, at(img, zoo[k]), O_PATH);
		assert_true(fd >= 0);
		ok(fstat(fd, &st));
		ok(fstatat(f->tree, zoo[k], &want, AT_SYMLINK_NOFOLLOW));
		assert_int_equal(st.st_ino, want.st_ino);
		ok(close(fd));
	}
	fd = cow_man_open(img, COW_MAN_ROOT, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	ok(close(fd));
}

static void nothing_opens_for_writing(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	static const int flags[] = {O_RDWR,
				    O_WRONLY,
				    O_RDONLY | O_TRUNC,
				    O_RDONLY | O_CREAT,
				    O_RDONLY | O_APPEND,
				    O_PATH | O_NOFOLLOW};
	for (size_t k = 0; k < sizeof(flags) / sizeof(*flags); k++)
		assert_int_equal(cow_man_open(img, at(img, "file"), flags[k]), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "fifo"), O_RDONLY), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "dir/link"), O_RDONLY), -EINVAL);
	assert_int_equal(cow_man_open(img, at(img, "file"), O_PATH | O_DIRECTORY), -EINVAL);
}

static void a_changed_object_does_not_open(void **state)
{
	struct ovm *f = *state;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1}};
	static const char *const names[] = {"longer", "touched", "gone", "typed",
					    "linked", "d/below", "same"};
	ok(mkdirat(f->tree, "d", 0755));
	for (size_t k = 0; k < 7; k++)
		put_file(f->tree, names[k], "12345");
	const struct cow_ovl_image *img = ovm_image(f);
	put_file(f->tree, "longer", "123456");
	ok(utimensat(f->tree, "touched", times, 0));
	ok(unlinkat(f->tree, "gone", 0));
	ok(unlinkat(f->tree, "typed", 0));
	ok(mkfifoat(f->tree, "typed", 0600));
	ok(unlinkat(f->tree, "linked", 0));
	ok(symlinkat("same", f->tree, "linked"));
	ok(renameat(f->tree, "d", f->tree, "e"));
	ok(symlinkat("e", f->tree, "d"));
	for (size_t k = 0; k < 6; k++) {
		assert_int_equal(cow_man_open(img, at(img, names[k]), O_RDONLY), -EIO);
		assert_int_equal(cow_man_open(img, at(img, names[k]), O_PATH), -EIO);
	}
	int fd = cow_man_open(img, at(img, "same"), O_RDONLY);
	assert_true(fd >= 0);
	ok(close(fd));
}

static void reading_leaves_access_times_alone(void **state)
{
	struct ovm *f = *state;
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
	struct stat st;
	char c;
	put_file(f->tree, "f", "x");
	ok(utimensat(f->tree, "f", times, 0));
	ok(utimensat(f->dirfd, "tree", times, 0));
	const struct cow_ovl_image *img = ovm_image(f);
	int fd = cow_man_open(img, at(img, "f"), O_RDONLY);
	assert_int_equal(read(fd, &c, 1), 1);
	ok(close(fd));
	ok(cow_ovl_image_verify(f->dirfd, NULL, NULL, NULL, NULL, NULL));
	ok(fstatat(f->tree, "f", &st, 0));
	assert_int_equal(st.st_atim.tv_sec, 1);
	ok(fstat(f->tree, &st));
	assert_int_equal(st.st_atim.tv_sec, 1);
}

/* ---------------------------------------------------------------- verify */

struct findings {
	char text[1024];
	int calls, stop_at;
};

static int note(void *ctx, const char *path, const char *what)
{
	struct findings *n = ctx;
	size_t len = strlen(n->text);
	(void)snprintf(n->text + len, sizeof(n->text) - len, "%s: %s\n", path, what);
	return ++n->calls == n->stop_at ? -ECANCELED : 0;
}

static void assert_found(const struct ovm *f, const char *want)
{
	struct findings n = {.calls = 0};
	struct cow_err err = COW_ERR_INIT;
	int64_t r = cow_ovl_image_verify(f->dirfd, NULL, note, NULL, &n, &err);
	if (r < 0)
		print_error("verify: %s\n", cow_err_str(&err));
	assert_int_equal(r, n.calls);
	assert_string_equal(n.text, want);
}

/* Put back what a change of content or attributes does to the time. */
static void keep_mtime(const struct ovm *f, const char *path, const struct timespec *mtime)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *mtime};
	ok(utimensat(f->tree, path, times, AT_SYMLINK_NOFOLLOW));
}

static void a_sound_image_has_no_differences(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	ok(linkat(f->tree, "file", f->tree, "dir/again", 0));
	const struct cow_ovl_image *img = ovm_image(f);
	assert_found(f, "");
	assert_int_equal(cow_ovl_image_verify(f->dirfd, img->info.id, NULL, NULL, NULL, NULL), 0);
}

static void verify_finds_each_kind_of_damage(void **state)
{
	struct ovm *f = *state;
	const struct timespec t = {.tv_sec = 1000};
	static const char *const names[] = {"content", "gone", "mode", "size",
					    "time",    "type", "owner"};
	if (!is_root())
		skip();
	for (size_t k = 0; k < 7; k++)
		put_file(f->tree, names[k], "12345");
	ok(mkdirat(f->tree, "dir", 0755));
	put_file(f->tree, "dir/new", "");
	ok(unlinkat(f->tree, "dir/new", 0));
	ok(symlinkat("t1", f->tree, "link"));
	ok(mknodat(f->tree, "node", S_IFCHR | 0600, makedev(1, 3)));
	put_file(f->tree, "xattr", "");
	put_file(f->tree, "hard1", "h");
	ok(linkat(f->tree, "hard1", f->tree, "hard2", 0));
	put_file(f->tree, "lone1", "h");
	put_file(f->tree, "lone2", "h");
	static const char *const all[] = {"content", "mode",  "size",  "owner", "dir",	 "link",
					  "node",    "hard1", "lone1", "lone2", "xattr", "."};
	for (size_t k = 0; k < 12; k++)
		keep_mtime(f, all[k], &t);
	ok(build_with(f->dirfd, NULL, NULL));
	assert_found(f, "");

	put_file(f->tree, "content", "1234x");
	ok(unlinkat(f->tree, "gone", 0));
	ok(fchmodat(f->tree, "mode", 0600, 0));
	put_file(f->tree, "size", "1234567");
	keep_mtime(f, "time", &t);
	ok(unlinkat(f->tree, "type", 0));
	ok(mkdirat(f->tree, "type", 0755));
	ok(fchownat(f->tree, "owner", 5, 0, 0));
	put_file(f->tree, "dir/new", "");
	ok(unlinkat(f->tree, "link", 0));
	ok(symlinkat("t2", f->tree, "link"));
	ok(unlinkat(f->tree, "node", 0));
	ok(mknodat(f->tree, "node", S_IFCHR | 0600, makedev(1, 5)));
	set_on_path(f, "xattr", "trusted.new", "1", 1);
	ok(unlinkat(f->tree, "hard2", 0));
	put_file(f->tree, "hard2", "h");
	ok(unlinkat(f->tree, "lone2", 0));
	ok(linkat(f->tree, "lone1", f->tree, "lone2", 0));
	static const char *const same[] = {"content", "size",  "dir",	"link",
					   "node",    "hard2", "lone1", "."};
	for (size_t k = 0; k < 8; k++)
		keep_mtime(f, same[k], &t);
	assert_found(f, "/content: content\n"
			"/gone: missing\n"
			"/hard2: hard links\n"
			"/link: target\n"
			"/lone2: hard links\n"
			"/mode: mode\n"
			"/node: device number\n"
			"/owner: owner\n"
			"/size: size\n"
			"/time: modification time\n"
			"/type: type\n"
			"/xattr: extended attributes\n"
			"/dir/new: not in the manifest\n");
}

static void verify_stops_when_told(void **state)
{
	struct ovm *f = *state;
	struct findings n = {.stop_at = 2};
	ok(build_with(f->dirfd, NULL, NULL));
	put_file(f->tree, "a", "");
	put_file(f->tree, "b", "");
	put_file(f->tree, "c", "");
	struct cow_err err = COW_ERR_INIT;
	assert_int_equal(cow_ovl_image_verify(f->dirfd, NULL, note, NULL, &n, &err), -ECANCELED);
	assert_int_equal(n.calls, 2);
}

static void verify_wants_the_manifest_it_was_told(void **state)
{
	struct ovm *f = *state;
	struct findings n = {.calls = 0};
	uint8_t id[COW_OVM_ID_LEN] = {1};
	ok(build_with(f->dirfd, NULL, NULL));
	assert_int_equal(cow_ovl_image_verify(f->dirfd, id, note, NULL, &n, NULL), 1);
	assert_non_null(strstr(n.text, COW_OVM_NAME ": "));
}

static void verify_reads_the_manifest_anew(void **state)
{
	struct ovm *f = *state;
	struct cow_err err = COW_ERR_INIT;
	make_zoo(f->tree);
	(void)ovm_image(f); /* loaded while it was sound */
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 400), 1);
	assert_int_equal(cow_ovl_image_verify(f->dirfd, NULL, NULL, NULL, NULL, &err), -EBADMSG);
}

/* ---------------------------------------------------------------- dump */

static char *dump(const struct cow_ovl_image *img)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	ok(cow_ovl_image_dump(img, out));
	ok(fclose(out));
	return text;
}

static void a_dump_says_what_is_there(void **state)
{
	struct ovm *f = *state;
	const struct timespec t = {.tv_sec = 1234567890, .tv_nsec = 7};
	ok(mkdirat(f->tree, "b dir", 0755));
	put_file(f->tree, "b dir/\xff\\", "hello\n");
	ok(linkat(f->tree, "b dir/\xff\\", f->tree, "b dir/z", 0));
	ok(symlinkat("a b", f->tree, "a"));
	keep_mtime(f, "b dir/z", &t);
	keep_mtime(f, "a", &t);
	cow_autofree char *text = dump(ovm_image(f));
	assert_memory_equal(text, "cowherd-image 1\nid ", 19);
	assert_non_null(strstr(text, "\ninodes 4\nbytes 6\nnext_number 5\n\n/ 1 d 0755 3 "));
	const char *link = strstr(text, "\n/a 2 l 0777 1 ");
	assert_non_null(link);
	assert_non_null(strstr(link, " 1234567890.000000007 "));
	assert_non_null(strstr(link, " a\\x20b\n/b\\x20dir 3 d 0755 2 "));
	const char *file = strstr(link, "\n/b\\x20dir/z 4 f 0644 2 ");
	assert_non_null(file);
	assert_non_null(strstr(file, " 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6"
				     "be03\n/b\\x20dir/\\xff\\x5c 4 h\n"));
}

static void a_dump_is_the_same_every_time(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	put_file(f->tree, "attr", "");
	if (is_root())
		set_on_path(f, "attr", "trusted.a=b", "\n=", 2);
	const struct cow_ovl_image *img = ovm_image(f);
	cow_autofree char *one = dump(img);
	cow_autofree char *two = dump(img);
	assert_string_equal(one, two);
	if (is_root())
		assert_non_null(strstr(one, " trusted.a\\x3db=\\x0a=\n"));
	size_t lines = 0;
	for (const char *p = one; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, img->info.inodes + 9);
}

static void a_dump_reports_a_full_disk(void **state)
{
	struct ovm *f = *state;
	FILE *out = fopen("/dev/full", "we");
	assert_non_null(out);
	assert_int_equal(cow_ovl_image_dump(ovm_image(f), out), -ENOSPC);
	(void)fclose(out); /* reports the same again */
}

/* ---------------------------------------------------------------- one object per image */

static void one_image_opened_twice_is_one_object(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image *one = ovm_image(f);
	struct cow_ovl_image *two = open_image(f->dirfd);
	assert_ptr_equal(one, two);
	assert_ptr_equal(cow_ovl_image_get(one), one);
	cow_ovl_image_close(two);
	cow_ovl_image_close(two);
	assert_true(cow_man_has(one, COW_MAN_ROOT));
	cow_ovl_image_close(NULL);
}

static void an_image_made_anew_is_another_object(void **state)
{
	struct ovm *f = *state;
	struct cow_ovl_image *one = cow_ovl_image_get(ovm_image(f));
	put_file(f->tree, "new", "");
	const struct cow_ovl_image *two = ovm_image(f);
	assert_ptr_not_equal(one, two);
	assert_int_equal(cow_man_lookup_path(one, "new"), 0);
	assert_int_not_equal(cow_man_lookup_path(two, "new"), 0);
	cow_ovl_image_close(one);
}

static void an_open_image_outlives_its_file(void **state)
{
	struct ovm *f = *state;
	make_zoo(f->tree);
	const struct cow_ovl_image *img = ovm_image(f);
	ok(fchmodat(f->dirfd, COW_OVM_NAME, 0600, 0));
	cow_autoclose int fd = openat(f->dirfd, COW_OVM_NAME, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_not_equal(at(img, "dir/link"), 0);
	cow_autofree char *text = dump(img);
	assert_non_null(text);
}

static void *open_many_times(void *arg)
{
	const struct ovm *f = arg;
	for (int k = 0; k < 200; k++) {
		struct cow_ovl_image *img = NULL;
		if (cow_ovl_image_open(f->dirfd, &img, NULL) < 0 || !cow_man_has(img, 1))
			return arg;
		cow_ovl_image_close(img);
	}
	return NULL;
}

static void threads_open_and_close_one_image(void **state)
{
	struct ovm *f = *state;
	pthread_t t[4];
	void *failed = NULL;
	make_zoo(f->tree);
	ok(build_with(f->dirfd, NULL, NULL));
	for (int k = 0; k < 4; k++)
		ok(pthread_create(&t[k], NULL, open_many_times, f));
	for (int k = 0; k < 4; k++) {
		ok(pthread_join(t[k], &failed));
		assert_null(failed);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, ovm_setup, ovm_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(objects_open_by_number),
	    T(nothing_opens_for_writing),
	    T(a_changed_object_does_not_open),
	    T(reading_leaves_access_times_alone),
	    T(a_sound_image_has_no_differences),
	    T(verify_finds_each_kind_of_damage),
	    T(verify_stops_when_told),
	    T(verify_wants_the_manifest_it_was_told),
	    T(verify_reads_the_manifest_anew),
	    T(a_dump_says_what_is_there),
	    T(a_dump_is_the_same_every_time),
	    T(a_dump_reports_a_full_disk),
	    T(one_image_opened_twice_is_one_object),
	    T(an_image_made_anew_is_another_object),
	    T(an_open_image_outlives_its_file),
	    T(threads_open_and_close_one_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
