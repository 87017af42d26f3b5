/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Streams that no kernel has made: what `btrfs receive` is kept from where it is let loose on them, and archives with
 * them, which make nothing. On a btrfs of its own, in a mount namespace that goes with the process.
 */
#include "btrfs_test.h"
#include "stream_test.h"

#include <openssl/evp.h>
#include <xxhash.h>
#include <zstd.h>

#include "archive_receive.h"
#include "archive_write.h"
#include "btrfs.h"
#include "btrfs_receive.h"
#include "common/kv.h"
#include "image_internal.h"

static struct tmpdir *tmp;
static char point[80];
static int fs = -1; /* the btrfs */
static struct stream s;

static int mount_btrfs(void)
{
	void *dir = NULL;
	if (tmpdir_setup(&dir) < 0)
		return -1;
	tmp = dir;
	if (btrfs_test_mount(tmp, point) < 0)
		return -1;
	fs = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fs < 0 ? -1 : 0;
}

static int unmount_btrfs(void)
{
	void *dir = tmp;
	(void)close(fs);
	btrfs_test_unmount(point);
	return tmpdir_teardown(&dir);
}

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(cow_write_file_at(dir, name, text, strlen(text), 0644), 0);
}

static bool holds(int dir, const char *name, const char *text)
{
	cow_autofree char *got = NULL;
	size_t len;
	assert_int_equal(cow_read_file_at(dir, name, 4096, &got, &len), 0);
	return strcmp(got, text) == 0;
}

/* ---------------------------------------------------------------- the program alone */

static int scratch = -1;

static int scratch_begin(void **state)
{
	(void)state;
	put(fs, "victim", "intact");
	assert_int_equal(cow_btrfs_subvol_create(fs, "scratch"), 0);
	scratch = cow_opendir_at(fs, "scratch");
	return scratch < 0 ? -1 : 0;
}

static int scratch_end(void **state)
{
	(void)state;
	(void)close(scratch);
	assert_int_equal(cow_btrfs_subvol_delete(fs, "scratch"), 0); /* with what is in it */
	return unlinkat(fs, "victim", 0);
}

/* As @s says. Return: of what failed first. */
static int receive(int (*tick)(void *ctx), struct cow_err *err)
{
	cow_autobtrfsreceive x = NULL;
	*err = COW_ERR_INIT;
	int r = cow_btrfs_receive_begin(scratch, tick, NULL, &x, err);
	if (r == 0)
		r = cow_btrfs_receive_give(x, s.p, s.len, err);
	return r < 0 ? r : cow_btrfs_receive_end(x, err);
}

static void begin(void)
{
	stream_begin(&s, 1);
	stream_subvol(&s, "tree");
}

static void a_good_stream_becomes_a_subvolume(void **state)
{
	struct cow_err err;
	(void)state;
	begin();
	stream_make(&s, C_MKDIR, "d");
	stream_make(&s, C_MKFILE, "d/a");
	stream_write(&s, "d/a", "content");
	stream_make(&s, C_MKNOD, "null");
	stream_make(&s, C_MKFIFO, "fifo");
	stream_link(&s, C_SYMLINK, "link", "/etc/passwd");
	stream_link(&s, C_RENAME, "d/a", "b"); /* from one directory to another */
	stream_command(&s, C_END);
	if (receive(NULL, &err) < 0)
		fail_msg("%s", cow_err_str(&err));
	cow_autoclose int tree = cow_opendir_at(scratch, "tree");
	assert_true(holds(tree, "b", "content"));
	assert_int_equal(openat(tree, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
}

/* It fails, and says of what; outside nothing has changed. */
static void refuse(const char *why)
{
	struct cow_err err;
	struct stat st;
	stream_command(&s, C_END);
	int r = receive(NULL, &err);
	if (r != -EBADMSG || !strstr(cow_err_str(&err), why))
		fail_msg("%d, '%s', wanted '%s'", r, cow_err_str(&err), why);
	assert_true(holds(fs, "victim", "intact"));
	assert_int_equal(fstatat(fs, "victim", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(fstatat(fs, "planted", &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it was waited for */
	if (faccessat(scratch, "tree", F_OK, 0) == 0)
		assert_int_equal(cow_btrfs_subvol_delete(scratch, "tree"), 0);
}

static void nothing_outside_is_reached(void **state)
{
	static const char *const ways[] = {"../../victim", "../../../../../victim", "link",
					   "up/victim"};
	char target[160];
	(void)state;
	(void)snprintf(target, sizeof(target), "%s/victim", point);
	for (size_t k = 0; k < sizeof(ways) / sizeof(*ways); k++) {
		begin();
		stream_link(&s, C_SYMLINK, "link", target);
		stream_link(&s, C_SYMLINK, "up", "../..");
		stream_write(&s, ways[k], "changed");
		refuse("No such file");
		begin();
		stream_link(&s, C_SYMLINK, "link", target);
		stream_link(&s, C_SYMLINK, "up", "../..");
		stream_link(&s, C_LINK, "x", ways[k]);
		stream_write(&s, k == 2 ? "x" : "none", "changed");
		refuse("No such file");
	}
	begin();
	stream_make(&s, C_MKFILE, "../../../planted");
	stream_write(&s, "../../planted/x", "x"); /* it lies in the scratch subvolume */
	refuse("Not a directory");
	assert_int_equal(unlinkat(scratch, "planted", 0), 0);
}

static void devices_are_none(void **state)
{
	(void)state;
	begin();
	stream_make(&s, C_MKNOD, "null");
	stream_write(&s, "null", "x");
	refuse("Permission denied");
}

static unsigned ticks;

static int stop_soon(void *ctx)
{
	(void)ctx;
	return ++ticks > 3 ? -EINTR : 0;
}

/* Nobody will ever write to that fifo. */
static void what_hangs_is_stopped(void **state)
{
	struct cow_err err;
	(void)state;
	begin();
	stream_make(&s, C_MKFIFO, "fifo");
	stream_make(&s, C_MKFILE, "a");
	stream_clone(&s, "a", own_uuid, "fifo");
	stream_command(&s, C_END);
	assert_int_equal(receive(stop_soon, &err), -EINTR);
	assert_true(ticks > 3);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void subvolumes_in_it_go_with_the_place(void **state)
{
	struct cow_err err;
	(void)state;
	begin();
	stream_make(&s, C_MKDIR, "d");
	stream_command(&s, C_END);
	assert_int_equal(receive(NULL, &err), 0);
	cow_autoclose int tree = cow_opendir_at(scratch, "tree");
	assert_int_equal(cow_btrfs_snapshot(tree, scratch, "more"), 0);
	cow_autoclose int more = cow_opendir_at(scratch, "more");
	assert_int_equal(cow_btrfs_snapshot(tree, more, "deep"), 0);
}

/* ---------------------------------------------------------------- archives with a stream */

static struct cow_store *store;
static struct cow_ovl_image *img;
static struct cow_image *image;

static int make_store(void **state)
{
	static const char *const none[] = {"all", NULL};
	const struct cow_import_opts opts = {.skip_fixups = none};
	struct cow_err err = COW_ERR_INIT;
	unsigned version;
	char path[96], src[96];
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/store", point);
	(void)snprintf(src, sizeof(src), "%s/src", point);
	assert_int_equal(mkdirat(fs, "src", 0755), 0);
	cow_autoclose int dir = cow_opendir_at(fs, "src");
	put(dir, "a", "content");
	int r = cow_store_init(path, &err);
	if (r == 0)
		r = cow_store_open(path, &store, &err);
	if (r == 0)
		r = cow_image_import(store, "deb", src, &opts, &version, &err);
	if (r == 0)
		r = cow_image_find(store, "deb@1", &image, &err);
	if (r == 0)
		r = cow_image_manifest(store, image, &img, &err);
	if (r < 0)
		fail_msg("%s", cow_err_str(&err));
	return 0;
}

static int drop_store(void **state)
{
	(void)state;
	cow_ovl_image_close(img);
	cow_image_free(image);
	cow_store_close(store);
	return 0;
}

/* How an archive is put together. */
struct how {
	unsigned flags;
	bool form, second_manifest, twice, cut, behind, late;
	unsigned long window_log;
};
static const struct how right = {.flags = COW_ARC_BTRFS, .form = true};

struct maker {
	FILE *f;
	EVP_MD_CTX *sha;
};

static void add(struct maker *m, const void *p, size_t len)
{
	assert_int_equal(fwrite(p, 1, len, m->f), len);
	assert_int_equal(EVP_DigestUpdate(m->sha, p, len), 1);
}

static void add_record(struct maker *m, enum cow_arc_type type, const struct cow_arc_block *b,
		       const void *plain)
{
	struct cow_arc_packed p;
	assert_int_equal(cow_arc_pack(type, b, NULL, plain, 1, &p), 0);
	add(m, p.bytes, p.len);
	free(p.bytes);
}

static void add_text(struct maker *m, enum cow_arc_type type, const void *text, size_t len)
{
	add_record(m, type, &(struct cow_arc_block){.plain_len = (uint32_t)len}, text);
}

static void add_piece(struct maker *m, const void *p, size_t len)
{
	struct cow_arc_record h = {.zeros = {0}};
	cow_put_le32(h.type, COW_ARC_STREAM);
	cow_put_le32(h.packed_len, (uint32_t)len);
	cow_put_le64(h.sum, XXH64(p, len, 0));
	cow_put_le64(h.head_sum, XXH64(&h, offsetof(struct cow_arc_record, head_sum), 0));
	add(m, &h, sizeof(h));
	add(m, p, len);
}

static void add_stream(struct maker *m, const struct how *how)
{
	static uint8_t packed[1 << 17];
	ZSTD_CCtx *c = ZSTD_createCCtx();
	if (how->window_log)
		(void)ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, (int)how->window_log);
	ZSTD_inBuffer in = {.src = s.p, .size = 1};
	ZSTD_outBuffer out = {.dst = packed, .size = sizeof(packed)};
	/* What the length of all is, and so how long a window is enough, is not known yet. */
	assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush), 0);
	in.size = s.len;
	assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
	(void)ZSTD_freeCCtx(c);
	size_t len = how->cut ? out.pos - 1 : out.pos;
	if (how->behind)
		packed[len++] = 0;
	add_piece(m, packed, len / 2); /* a piece is any piece */
	add_piece(m, packed + len / 2, len - len / 2);
	if (how->twice)
		add_piece(m, packed, len);
}

static void add_manifest(struct maker *m)
{
	size_t len;
	const void *p = cow_ovl_image_bytes(img, &len);
	struct cow_arc_slice all = {.length = (uint32_t)len};
	add_record(m, COW_ARC_DATA,
		   &(struct cow_arc_block){.own = &all, .nown = 1, .plain_len = (uint32_t)len}, p);
}

static void make_archive(const char *path, const struct how *how)
{
	static const char conf[] = "backend = btrfs\n";
	struct cow_arc_file file = {.magic = COW_ARC_MAGIC, .version = {COW_ARC_VERSION}};
	struct cow_archive_info info = {.name = "deb", .version = 1, .btrfs = how->form};
	struct cow_ovl_image_info i;
	uint8_t sum[COW_ARC_SHA256_LEN];
	size_t len;
	struct maker m = {.f = fopen(path, "we"), .sha = EVP_MD_CTX_new()};
	assert_non_null(m.f);
	assert_int_equal(EVP_DigestInit_ex2(m.sha, EVP_sha256(), NULL), 1);
	cow_ovl_image_info(img, &i);
	cow_image_id_text(i.id, info.id);
	(void)cow_ovl_image_bytes(img, &len);
	info.manifest_len = len;
	cow_autofree char *head = cow_arc_head_format(&info);
	cow_put_le32(file.flags, how->flags);
	add(&m, &file, sizeof(file));
	add_text(&m, COW_ARC_HEAD, head, strlen(head));
	add_text(&m, COW_ARC_CONF, conf, sizeof(conf) - 1);
	if (!how->late)
		add_manifest(&m);
	if (how->second_manifest)
		add_manifest(&m);
	if (s.len)
		add_stream(&m, how);
	if (how->late)
		add_manifest(&m);
	assert_int_equal(EVP_DigestFinal_ex(m.sha, sum, NULL), 1);
	assert_int_equal(EVP_DigestInit_ex2(m.sha, EVP_sha256(), NULL), 1);
	add_text(&m, COW_ARC_END, sum, sizeof(sum));
	EVP_MD_CTX_free(m.sha);
	assert_int_equal(fclose(m.f), 0);
}

/* Return: of the import as another image. */
static int import(const struct how *how, struct cow_err *err)
{
	char path[96];
	unsigned version;
	(void)snprintf(path, sizeof(path), "%s/x.cow", tmp->path);
	make_archive(path, how);
	*err = COW_ERR_INIT;
	int r = cow_image_import(store, "new", path, NULL, &version, err);
	if (r == 0)
		return r;
	cow_autoclose int images = cow_opendir_at(store->fd, "images");
	assert_int_equal(faccessat(images, "new", F_OK, 0), -1); /* nothing is left */
	return r;
}

static void refuse_archive(const struct how *how, const char *why)
{
	struct cow_err err;
	int r = import(how, &err);
	if (r != -EBADMSG || !strstr(cow_err_str(&err), why))
		fail_msg("%d, '%s', wanted '%s'", r, cow_err_str(&err), why);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* What makes the version, but for its times. */
static void begin_version(void)
{
	begin();
	stream_make(&s, C_MKFILE, "a");
	stream_write(&s, "a", "content");
}

static void finish_version(void)
{
	struct cow_ovl_image_object o;
	static const char *const paths[] = {"a", ""};
	for (size_t k = 0; k < 2; k++) {
		uint8_t time[12] = {0};
		(void)cow_ovl_image_object(img, k ? COW_OVL_IMAGE_ROOT : 2, &o);
		stream_command(&s, C_CHMOD);
		stream_text(&s, A_PATH, paths[k]);
		stream_number(&s, A_MODE, k ? 0755 : 0644);
		stream_command(&s, C_UTIMES);
		stream_text(&s, A_PATH, paths[k]);
		cow_put_le64(time, (uint64_t)o.attr.mtime.tv_sec);
		cow_put_le32(time + 8, (uint32_t)o.attr.mtime.tv_nsec);
		stream_attr(&s, A_ATIME, time, sizeof(time));
		stream_attr(&s, A_MTIME, time, sizeof(time));
		stream_attr(&s, A_CTIME, time, sizeof(time));
	}
	stream_command(&s, C_END);
}

static void only_the_version_itself_is_taken(void **state)
{
	struct cow_err err;
	cow_autoimage new = NULL;
	(void)state;
	begin_version();
	stream_link(&s, C_LINK, "b", "a");
	finish_version();
	refuse_archive(&right, "is not what its manifest says");
	begin_version();
	stream_write(&s, "a", "CONTENT");
	finish_version();
	refuse_archive(&right, "'/a' is not what its manifest says");
	begin_version();
	stream_make(&s, C_MKFILE, "b");
	finish_version();
	refuse_archive(&right, "more objects than were said");
	begin_version();
	stream_command(&s, C_END);
	refuse_archive(&right, "is not what its manifest says");
	begin();
	stream_command(&s, C_END);
	refuse_archive(&right, "is not what its manifest says");
	begin_version();
	stream_link(&s, C_RENAME, "a", "../../../../escaped");
	finish_version();
	refuse_archive(&right, "its stream: a path");
	begin_version();
	stream_link(&s, C_UNLINK, "none", "");
	finish_version();
	refuse_archive(&right, "'btrfs receive' failed: ");
	begin_version();
	finish_version();
	if (import(&right, &err) < 0)
		fail_msg("%s", cow_err_str(&err));
	assert_int_equal(cow_image_find(store, "new", &new, &err), 0);
	assert_string_equal(new->id, image->id);
	assert_int_equal(cow_image_verify(store, new, NULL, NULL, NULL, &err), 0);
	assert_int_equal(cow_image_rm(store, new, &err), 0);
	cow_autoclose int images = cow_opendir_at(store->fd, "images");
	assert_int_equal(cow_rm_rf_at(images, "new", 0), 0); /* its last number, too */
}

static void records_that_are_not_in_order_are_refused(void **state)
{
	struct how how = right;
	(void)state;
	begin_version();
	finish_version();
	how.flags = 0; /* it says so of itself, and the file does not */
	refuse_archive(&how, "what it says of itself");
	how.form = false;
	refuse_archive(&how, "in the wrong place");
	how.flags = COW_ARC_BTRFS;
	refuse_archive(&how, "what it says of itself");
	how = right;
	how.second_manifest = true;
	refuse_archive(&how, "the manifest in the wrong place");
	how = right;
	how.late = true;
	refuse_archive(&how, "in the wrong place");
	how = right;
	how.twice = true;
	refuse_archive(&how, "in the wrong place");
	how = right;
	how.cut = true;
	refuse_archive(&how, "in the wrong place"); /* its end, before that of the stream */
	how = right;
	how.behind = true;
	refuse_archive(&how, "something follows its stream");
	how = right;
	how.window_log = 28;
	refuse_archive(&how, "is damaged");
	s.len = 0;
	refuse_archive(&right, "in the wrong place");
}

int main(void)
{
	const struct CMUnitTest program[] = {
	    cmocka_unit_test_setup_teardown(a_good_stream_becomes_a_subvolume, scratch_begin,
					    scratch_end),
	    cmocka_unit_test_setup_teardown(nothing_outside_is_reached, scratch_begin, scratch_end),
	    cmocka_unit_test_setup_teardown(devices_are_none, scratch_begin, scratch_end),
	    cmocka_unit_test_setup_teardown(what_hangs_is_stopped, scratch_begin, scratch_end),
	    cmocka_unit_test_setup_teardown(subvolumes_in_it_go_with_the_place, scratch_begin,
					    scratch_end),
	};
	const struct CMUnitTest archives[] = {
	    cmocka_unit_test(only_the_version_itself_is_taken),
	    cmocka_unit_test(records_that_are_not_in_order_are_refused),
	};
	if (geteuid() != 0) {
		(void)fputs("needs root: mounts\n", stderr);
		return 77;
	}
	if (mount_btrfs() < 0) {
		(void)fputs("cannot make and mount a btrfs\n", stderr);
		return 77;
	}
	int failed = cmocka_run_group_tests(program, NULL, NULL);
	failed += cmocka_run_group_tests(archives, make_store, drop_store);
	return unmount_btrfs() < 0 || failed;
}
