/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine's semantics, rows 31 to 49: data, attributes, special files. See
 * test_overlay_rows_names.c.
 */
#include "layer_test.h"

#include "internal.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define RW (COW_OPEN_READ | COW_OPEN_WRITE)
static const struct cow_ovl_cred user = {.uid = 1005, .gid = 1006};

static struct cow_ovl_open *open_at(struct ovl *f, const char *path, unsigned flags)
{
	struct cow_ovl_open *o = NULL;
	cow_autonode n = get(f, path);
	ok(cow_ovl_open(n, &cow_ovl_root_cred, flags, &o));
	return o;
}

static void assert_reads(struct cow_ovl_open *o, const char *text)
{
	char buf[64] = {0};
	assert_int_equal(get_bytes(o, buf, sizeof(buf) - 1, 0), strlen(text));
	assert_string_equal(buf, text);
}

static int set_at(struct ovl *f, const char *path, const struct cow_ovl_cred *cred,
		  struct cow_ovl_set set)
{
	cow_autonode n = get(f, path);
	return cow_ovl_setattr(n, cred, &set, NULL);
}

/* Row 31: who opened a file of the image before it was changed sees the change. */
static void an_early_reader_sees_later_writes(void **state)
{
	struct ovl *f = *state;
	uint64_t at = 1;
	cow_autoopen early = open_at(f, "file", COW_OPEN_READ);
	assert_reads(early, "of the image");
	cow_autoopen w = open_at(f, "file", COW_OPEN_WRITE);
	assert_reads(early, "of the image"); /* brought up, not changed */
	assert_int_equal(put_text(w, "OF", 0), 2);
	assert_reads(early, "OF the image");
	ok(cow_ovl_seek(early, 0, SEEK_DATA, &at));
	assert_int_equal(at, 0);
	put_at(f, "file", "new");
	assert_reads(early, "new");
	cow_ovl_close(cow_steal_ptr(&early));
	cow_ovl_close(cow_steal_ptr(&w));
	ovl_restart(f);
	assert_text_at(f, "file", "new");
}

struct racer {
	struct ovl *f;
	const char *path;
	char text[2];
	int r;
};

static void *race_to_write(void *arg)
{
	struct racer *a = arg;
	cow_autonode n = NULL;
	struct cow_ovl_open *o = NULL;
	a->r = walk(a->f, a->path, &n);
	if (a->r == 0)
		a->r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o);
	if (a->r == 0)
		a->r = put_text(o, a->text, (uint64_t)(a->text[0] - '0')) == 1 ? 0 : -EIO;
	cow_ovl_close(o);
	return NULL;
}

/* Row 32: many that bring up one file, by one name or by several, get one copy, and every write is
 * in it. */
static void concurrent_copy_ups_make_one_copy(void **state)
{
	struct ovl *f = *state;
	enum { N = 6 };
	static const char *const names[] = {"one", "two", "dir/three"};
	for (int round = 0; round < 2; round++) {
		pthread_t t[N];
		struct racer a[N];
		for (int k = 0; k < N; k++) {
			a[k] = (struct racer){
			    .f = f,
			    .path = round ? "dir/second" : names[k % 3],
			    .text = {(char)('0' + k)},
			};
			ok(pthread_create(&t[k], NULL, race_to_write, &a[k]));
		}
		for (int k = 0; k < N; k++) {
			ok(pthread_join(t[k], NULL));
			ok(a[k].r);
		}
	}
	for (int k = 0; k < 3; k++)
		assert_text_at(f, names[k], "012345");
	assert_text_at(f, "dir/second", "012345");
	assert_int_equal(attr_at(f, "one").nlink, 3);
	assert_int_equal(disk_count(f, "work/index"), 1);
	assert_int_equal(disk_count(f, "work/work"), 0);
	assert_same_after_restart(f);
}

/* Row 33: an open file without a name goes on: of the image it is read from there, a write gives it
 * an upper without a name; all that can be done with an fd can be done. */
static void an_unlinked_open_file_can_do_everything(void **state)
{
	struct ovl *f = *state;
	static const char *const paths[] = {"file", "dir/second", "born"};
	put_at(f, "dir/second", "of the image"); /* brought up; "file" is not */
	ok(make_at(f, "born", S_IFREG, 0644));
	put_at(f, "born", "of the image");
	for (size_t k = 0; k < 3; k++) {
		uint64_t at = 0;
		uint8_t h[COW_OVL_HANDLE_MAX];
		struct cow_ovl_attr a;
		struct cow_ovl_set cut = {
		    .mask = COW_SET_SIZE | COW_SET_MODE, .size = 6, .mode = 0600};
		cow_autonode n = get(f, paths[k]);
		size_t len = cow_ovl_handle(n, h);
		struct cow_ovl_open *r = open_at(f, paths[k], COW_OPEN_READ);
		struct cow_ovl_open *copy = open_at(f, "caps", RW);
		ok(rm_at(f, paths[k]));
		assert_reads(r, "of the image");
		assert_int_equal(attr_of(n).nlink, 0);
		ok(cow_ovl_clone(r, 0, copy, 0, 0)); /* as a source */
		assert_reads(copy, "of the image");
		struct cow_ovl_open *w = NULL;
		ok(cow_ovl_open(n, &cow_ovl_root_cred, RW, &w));
		assert_int_equal(put_text(w, "OF", 0), 2);
		assert_reads(r, "OF the image");
		ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &cut, &a));
		assert_int_equal(a.size, 6);
		assert_int_equal(a.mode & 07777, 0600);
		assert_reads(w, "OF the");
		ok(cow_ovl_setxattr(n, &cow_ovl_root_cred, "user.still", "x", 1, 0));
		assert_int_equal(cow_ovl_getxattr(n, "user.still", NULL, 0), 1);
		ok(cow_ovl_fallocate(w, 0, 0, 10000));
		assert_int_equal(attr_of(n).size, 10000);
		ok(cow_ovl_fallocate(w, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
		ok(cow_ovl_seek(w, 0, SEEK_HOLE, &at));
		ok(cow_ovl_clone(copy, 0, w, 0, 0)); /* as a target */
		ok(cow_ovl_commit(n));
		assert_int_equal(cow_ovl_link(n, f->root, "back", 4, &cow_ovl_root_cred), -ESTALE);
		cow_autonode again = NULL;
		ok(cow_ovl_from_handle(f->inst, h, len, &again));
		assert_ptr_equal(again, n);
		cow_ovl_close(r);
		cow_ovl_close(w);
		cow_ovl_close(copy);
		assert_int_equal(cow_ovl_getattr(n, &a), -ESTALE);
		assert_absent(f, paths[k]);
	}
	assert_int_equal(disk_count(f, "work/work"), 0);
}

/* Row 34: a truncated file of the image gets only what survives, and nobody sees it whole and then
 * cut: the size is right when the copy appears. */
static void truncation_copies_only_the_prefix_that_survives(void **state)
{
	struct ovl *f = *state;
	struct stat st;
	cow_autoopen early = open_at(f, "file", COW_OPEN_READ);
	cow_autonode n = get(f, "dir/second");
	cow_autoopen o = NULL;
	struct cow_ovl_attr before = attr_of(n);
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o));
	ok(disk_stat(f, "upper/dir/second", &st));
	assert_int_equal(st.st_size, 0);
	assert_true(attr_of(n).mtime.tv_sec > before.mtime.tv_sec); /* it is a change */
	ok(set_at(f, "file", &cow_ovl_root_cred,
		  (struct cow_ovl_set){.mask = COW_SET_SIZE, .size = 6}));
	assert_reads(early, "of the");
	ok(set_at(f, "dir/file", &cow_ovl_root_cred,
		  (struct cow_ovl_set){.mask = COW_SET_SIZE, .size = 8192}));
	char buf[16] = {0};
	cow_autoopen longer = open_at(f, "dir/file", COW_OPEN_READ);
	assert_int_equal(get_bytes(longer, buf, 15, 0), 15);
	assert_memory_equal(buf, "in dir\0\0\0", 9);
	ok(set_at(f, "sparse", &cow_ovl_root_cred,
		  (struct cow_ovl_set){.mask = COW_SET_SIZE, .size = (1 << 20) + 2}));
	cow_autoopen cut = open_at(f, "sparse", COW_OPEN_READ);
	assert_int_equal(get_bytes(cut, buf, 15, 1 << 20), 2);
	assert_memory_equal(buf, "da", 2);
	ok(disk_stat(f, "upper/sparse", &st));
	assert_true(st.st_blocks * 512 < 1 << 20); /* still with its hole */
	cow_ovl_close(cow_steal_ptr(&early));
	cow_ovl_close(cow_steal_ptr(&o));
	cow_ovl_close(cow_steal_ptr(&longer));
	cow_ovl_close(cow_steal_ptr(&cut));
	cow_ovl_put(cow_steal_ptr(&n));
	assert_same_after_restart(f);
}

/* Row 35: holes stay holes, the one at the end too, and the size is exact, beyond 4 GiB. */
static void holes_survive_copy_up(void **state)
{
	struct ovl *f = *state;
	/* Importing reads every byte of it, so beyond 4 GiB only when there is time. */
	const char *patient = getenv("COWHERD_TEST_LONG"); /* NOLINT(concurrency-mt-unsafe) */
	const off_t far = patient ? (off_t)5 << 30 : 20 << 20;
	struct stat st;
	char buf[8] = {0};
	uint64_t at = 0;
	cow_autoclose int fd = openat(f->tree, "huge", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	if (ftruncate(fd, far + 12345) < 0) /* a file system without such files */
		skip();
	ok(cow_pwrite_full(fd, "beyond", 6, far));
	low_dress(f, "huge");
	low_usual(f);
	layer_start(f);
	for (int raised = 0; raised < 2; raised++) {
		cow_autoopen o = open_at(f, "huge", COW_OPEN_READ);
		assert_int_equal(attr_at(f, "huge").size, far + 12345);
		assert_int_equal(get_bytes(o, buf, 6, (uint64_t)far), 6);
		assert_memory_equal(buf, "beyond", 6);
		ok(cow_ovl_seek(o, 0, SEEK_DATA, &at));
		assert_in_range(at, (uint64_t)far - 65536, (uint64_t)far);
		up_at(f, "huge");
		up_at(f, "sparse");
	}
	ok(disk_stat(f, "upper/huge", &st));
	assert_int_equal(st.st_size, far + 12345);
	assert_true(st.st_blocks * 512 < 1 << 20);
	ok(disk_stat(f, "upper/sparse", &st));
	assert_int_equal(st.st_size, 3 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

/* Row 35: the same for the copying itself, beyond 4 GiB. */
static void data_beyond_4_gib_is_copied_where_it_was(void **state)
{
	struct ovl *f = *state;
	const off_t far = (off_t)5 << 30;
	char buf[8] = {0};
	bool cloned;
	struct stat st;
	cow_autoclose int in = openat(f->tmp->fd, "in", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	cow_autoclose int out = openat(f->tmp->fd, "out", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (ftruncate(in, far + 12345) < 0) /* a file system without such files */
		skip();
	ok(cow_pwrite_full(in, "beyond", 6, far));
	ok(cow_copy_data(in, out, (uint64_t)far + 3, &cloned));
	ok(ftruncate(out, far + 3)); /* as the caller does: a clone is of all of it */
	ok(fstat(out, &st));
	assert_int_equal(st.st_size, far + 3);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(pread(out, buf, sizeof(buf), far), 3);
	assert_memory_equal(buf, "bey", 3);
}

/* Row 36: setuid, setgid and capabilities survive a copy-up that does not touch them, and go when
 * the owner or the data is changed, as on any file system. */
static void special_modes_and_capabilities_survive_copy_up(void **state)
{
	struct ovl *f = *state;
	char caps[32];
	const struct cow_ovl_set now = {.mask = COW_SET_ATIME_NOW};
	ok(set_at(f, "suid", &cow_ovl_root_cred, now));
	ok(set_at(f, "caps", &cow_ovl_root_cred, now));
	assert_true(on_disk(f, "upper/suid") && on_disk(f, "upper/caps"));
	assert_int_equal(attr_at(f, "suid").mode & 07777, 06755);
	cow_autonode n = get(f, "caps");
	assert_int_equal(cow_ovl_getxattr(n, "security.capability", caps, sizeof(caps)),
			 sizeof(some_caps));
	assert_memory_equal(caps, some_caps, sizeof(some_caps));
	/* what changes them: later, and in the call that brings it up */
	const struct cow_ovl_set own = {.mask = COW_SET_UID, .uid = 1005};
	ok(set_at(f, "suid", &user, own));
	assert_int_equal(attr_at(f, "suid").mode & 07777, 0755);
	cow_ovl_put(cow_steal_ptr(&n));
	ovl_detach(f);
	ok(cow_rm_rf_at(f->tmp->fd, "root", COW_RM_CONTENTS)); /* a fresh root */
	layer_start(f);
	ok(set_at(f, "suid", &user, own));
	assert_int_equal(attr_at(f, "suid").mode & 07777, 0755);
	cow_autonode m = get(f, "caps");
	cow_autoopen o = NULL;
	ok(cow_ovl_open(m, &user, COW_OPEN_WRITE, &o));
	assert_int_equal(put_text(o, "x", 0), 1);
	assert_int_equal(cow_ovl_getxattr(m, "security.capability", NULL, 0), -ENODATA);
	/* an owner and a mode in one call: the explicit mode stays */
	ok(set_at(
	    f, "file", &cow_ovl_root_cred,
	    (struct cow_ovl_set){.mask = COW_SET_UID | COW_SET_MODE, .uid = 5, .mode = 04711}));
	assert_int_equal(attr_at(f, "file").mode & 07777, 04711);
}

/* Row 37: access lists are copied; what is made inherits from its directory as it looks merged,
 * over a whiteout too; the work directories have no list to inherit. */
static void access_lists_are_copied_and_inherited(void **state)
{
	struct ovl *f = *state;
	uint8_t acl[64];
	up_at(f, "acl");
	assert_int_equal(disk_xattr(f, "upper/acl", "system.posix_acl_access", acl, sizeof(acl)),
			 sizeof(some_acl));
	assert_memory_equal(acl, some_acl, sizeof(some_acl));
	assert_int_equal(attr_at(f, "acl").mode & 07777, 0670);
	/* a directory brought up by what is made in it */
	ok(make_at(f, "acldir/born", S_IFREG, 0666));
	assert_int_equal(
	    disk_xattr(f, "upper/acldir", "system.posix_acl_default", acl, sizeof(acl)),
	    sizeof(some_acl));
	ok(rm_at(f, "acldir/born"));
	for (int over = 0; over < 2; over++) {
		/* second round: over whiteouts of names of the image */
		const char *file = over ? "acldir2/file" : "acldir/file";
		const char *dir = over ? "acldir2/sub" : "acldir/sub";
		if (over) {
			ok(mv_at(f, "dir", "acldir2", 0));
			cow_autonode d = get(f, "acldir2");
			ok(cow_ovl_setxattr(d, &cow_ovl_root_cred, "system.posix_acl_default",
					    some_acl, sizeof(some_acl), 0));
			ok(rm_at(f, "acldir2/file"));
			ok(rm_at(f, "acldir2/sub/er/deepest"));
			ok(rm_at(f, "acldir2/sub/er"));
			ok(rm_at(f, "acldir2/sub/deep"));
			ok(rm_at(f, "acldir2/sub"));
		}
		ok(make_at(f, file, S_IFREG, 0666));
		ok(make_at(f, dir, S_IFDIR, 0777));
		cow_autonode n = get(f, file);
		assert_int_equal(cow_ovl_getxattr(n, "system.posix_acl_access", acl, sizeof(acl)),
				 sizeof(some_acl));
		assert_int_equal(attr_of(n).mode & 07777, 0660); /* the list's, cut by 0666 */
		cow_autonode d = get(f, dir);
		assert_int_equal(cow_ovl_getxattr(d, "system.posix_acl_default", NULL, 0),
				 sizeof(some_acl));
	}
	assert_int_equal(disk_xattr(f, "work/work", "system.posix_acl_default", acl, sizeof(acl)),
			 -ENODATA);
	/* setgid directories give their group, over a whiteout too */
	ok(make_at(f, "sgid/one", S_IFREG, 0644));
	assert_int_equal(attr_at(f, "sgid/one").gid, LOW_GID);
	ok(make_at(f, "sgid/sub", S_IFDIR, 0755));
	assert_int_equal(attr_at(f, "sgid/sub").gid, LOW_GID);
	assert_int_equal(attr_at(f, "sgid/sub").mode & 07777, 02755);
	ok(mv_at(f, "caps", "sgid/caps", 0)); /* by rename nothing is inherited */
	assert_int_equal(attr_at(f, "sgid/caps").gid, LOW_GID);
	assert_int_equal(disk_count(f, "work/work"), 0);
}

static unsigned count_name(struct cow_ovl_node *n, const char *name)
{
	char list[1024];
	unsigned found = 0;
	ssize_t len = cow_ovl_listxattr(n, list, sizeof(list));
	assert_true(len >= 0);
	assert_int_equal(cow_ovl_listxattr(n, NULL, 0), len);
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1)
		found += strcmp(list + at, name) == 0;
	return found;
}

/* Row 38: trusted.overlay.* of the engine are hidden, exactly those; a client's own are kept under
 * another name, also when he nests twice; trusted.cowherd.* are refused. */
static void private_attributes_are_hidden_and_the_clients_escaped(void **state)
{
	struct ovl *f = *state;
	char buf[64], longest[256];
	static const char opaque[] = "trusted.overlay.opaque",
			  nested[] = "trusted.overlay.overlay.opaque",
			  twice[] = "trusted.overlay.overlay.overlay.opaque";
	cow_autonode file = get(f, "file");
	assert_int_equal(count_name(file, "trusted.overlayfoo"), 1); /* the image's */
	assert_int_equal(cow_ovl_getxattr(file, opaque, buf, sizeof(buf)), -ENODATA);
	assert_int_equal(cow_ovl_removexattr(file, &cow_ovl_root_cred, opaque), -ENODATA);
	assert_false(on_disk(f, "upper/file"));
	/* a directory with marks of the engine's */
	ok(mv_at(f, "dir", "moved", 0));
	ok(mv_at(f, "file", "moved/away", 0));
	cow_autonode dir = get(f, "moved");
	static const char *const own[] = {"trusted.overlay.redirect", "trusted.overlay.origin",
					  "trusted.overlay.impure", "trusted.cowherd.id"};
	for (int k = 0; k < 4; k++) {
		assert_true(disk_xattr(f, "upper/moved", own[k], buf, sizeof(buf)) >= 0);
		assert_int_equal(cow_ovl_getxattr(dir, own[k], buf, sizeof(buf)), -ENODATA);
		assert_int_equal(count_name(dir, own[k]), 0);
	}
	assert_int_equal(cow_ovl_setxattr(dir, &cow_ovl_root_cred, "trusted.cowherd.id", "x", 1, 0),
			 -EPERM);
	assert_int_equal(cow_ovl_removexattr(dir, &cow_ovl_root_cred, "trusted.cowherd.id"),
			 -EPERM);
	/* the client's */
	ok(cow_ovl_setxattr(dir, &cow_ovl_root_cred, opaque, "y", 1, XATTR_CREATE));
	ok(cow_ovl_setxattr(dir, &cow_ovl_root_cred, nested, "yy", 2, 0));
	assert_false(is_opaque(f, "upper/moved"));
	assert_text_at(f, "moved/file", "in dir"); /* it means nothing to us */
	assert_int_equal(disk_xattr(f, "upper/moved", nested, buf, sizeof(buf)), 1);
	assert_int_equal(disk_xattr(f, "upper/moved", twice, buf, sizeof(buf)), 2);
	for (int restarted = 0; restarted < 2; restarted++) {
		cow_autonode d = get(f, "moved");
		assert_int_equal(cow_ovl_getxattr(d, opaque, buf, sizeof(buf)), 1);
		assert_int_equal(cow_ovl_getxattr(d, nested, buf, sizeof(buf)), 2);
		assert_int_equal(count_name(d, opaque), 1);
		assert_int_equal(count_name(d, nested), 1);
		assert_int_equal(count_name(d, twice), 0);
		cow_ovl_put(cow_steal_ptr(&d));
		if (!restarted) {
			cow_ovl_put(cow_steal_ptr(&dir));
			cow_ovl_put(cow_steal_ptr(&file));
			ovl_restart(f);
		}
	}
	cow_autonode d = get(f, "moved");
	ok(cow_ovl_removexattr(d, &cow_ovl_root_cred, opaque));
	assert_int_equal(count_name(d, opaque), 0);
	assert_int_equal(count_name(d, nested), 1);
	/* one that gets too long by it */
	memset(longest, 'x', 255);
	longest[255] = '\0';
	memcpy(longest, "trusted.overlay.", 16);
	assert_int_equal(cow_ovl_setxattr(d, &cow_ovl_root_cred, longest, "x", 1, 0), -EOPNOTSUPP);
	longest[255 - 8] = '\0';
	ok(cow_ovl_setxattr(d, &cow_ovl_root_cred, longest, "x", 1, 0));
	assert_int_equal(count_name(d, longest), 1);
}

/* Row 39: a copy has the times of its original to the nanosecond, whatever its type, and its
 * directory's are not changed by it; ctime moves on. */
static void copy_up_keeps_times(void **state)
{
	struct ovl *f = *state;
	static const char *const paths[] = {"dir/file", "dir/sub", "link", "fifo",
					    "sock",	"null",	   "loop", "one"};
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++) {
		struct cow_ovl_attr before = attr_at(f, paths[k]);
		assert_int_equal(before.mtime.tv_sec, LOW_TIME);
		up_at(f, paths[k]);
		struct cow_ovl_attr after = attr_at(f, paths[k]);
		assert_memory_equal(&before.mtime, &after.mtime, sizeof(before.mtime));
		assert_memory_equal(&before.atime, &after.atime, sizeof(before.atime));
		assert_true(after.ctime.tv_sec >= before.ctime.tv_sec);
		assert_true(after.change > before.change);
	}
	assert_int_equal(attr_at(f, "dir").mtime.tv_sec, LOW_TIME);
	assert_int_equal(attr_at(f, "dir").mtime.tv_nsec, LOW_NSEC);
	assert_int_equal(attr_at(f, "").mtime.tv_sec, LOW_TIME);
	ok(make_at(f, "dir/born", S_IFREG, 0644)); /* but this is a change of it */
	assert_true(attr_at(f, "dir").mtime.tv_sec > LOW_TIME);
	ok(set_at(f, "dir/file", &cow_ovl_root_cred,
		  (struct cow_ovl_set){.mask = COW_SET_MTIME, .mtime = {5, 6}}));
	assert_int_equal(attr_at(f, "dir/file").mtime.tv_nsec, 6);
	assert_same_after_restart(f);
}

static int stop_at_once(void *ctx, const struct cow_ovl_dirent *ent)
{
	return 1;
}

/* Row 40: reading never brings anything up, and shows the access time of the image. */
static void reading_copies_nothing(void **state)
{
	struct ovl *f = *state;
	char buf[64];
	int eof;
	struct cow_ovl_attr before = attr_at(f, "file");
	cow_autofree char *all = tree_text(f->inst); /* reads everything there is */
	assert_non_null(strstr(all, "/dir/sub/er/deepest"));
	cow_autonode link = get(f, "link");
	cow_autonode dir = get(f, "dir/sub");
	assert_int_equal(cow_ovl_readlink(link, buf, sizeof(buf)), 8);
	ok(cow_ovl_readdir(dir, 0, COW_READDIR_NODES, stop_at_once, NULL, &eof));
	assert_text_at(f, "file", "of the image");
	struct cow_ovl_attr after = attr_at(f, "file");
	assert_memory_equal(&before.atime, &after.atime, sizeof(before.atime));
	assert_int_equal(before.change, after.change);
	assert_int_equal(disk_count(f, "upper"), 0);
}

/* Row 41: links, fifos, sockets and devices keep everything in a copy-up. */
static void special_files_keep_everything(void **state)
{
	struct ovl *f = *state;
	static const char *const paths[] = {"link", "fifo", "sock", "null", "loop"};
	static const mode_t types[] = {S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	char target[32] = {0};
	cow_autofree char *before = tree_text(f->inst);
	for (size_t k = 0; k < 5; k++)
		up_at(f, paths[k]);
	cow_autofree char *after = tree_text(f->inst);
	assert_string_equal(before, after);
	for (size_t k = 0; k < 5; k++) {
		char path[32];
		struct stat st;
		(void)snprintf(path, sizeof(path), "upper/%s", paths[k]);
		ok(disk_stat(f, path, &st));
		assert_int_equal(st.st_mode & S_IFMT, types[k]);
		assert_int_equal(st.st_uid, LOW_UID);
		assert_int_equal(st.st_gid, LOW_GID);
		assert_int_equal(st.st_mtim.tv_nsec, LOW_NSEC);
		if (types[k] == S_IFCHR)
			assert_int_equal(st.st_rdev, makedev(1, 3));
		if (types[k] == S_IFBLK)
			assert_int_equal(st.st_rdev, makedev(7, 200));
	}
	assert_int_equal(readlinkat(f->dirfd, "upper/link", target, sizeof(target)), 8);
	assert_string_equal(target, "dir/file");
	assert_int_equal(disk_xattr(f, "upper/link", "trusted.of", target, sizeof(target)), 4);
	assert_same_after_restart(f);
}

/* Row 22: the origin says which lower object it was, for every type, so that the kernel shows its inode
 * number too; empty only where the file system has no UUID. */
static void every_type_has_the_origin_the_kernel_wants(void **state)
{
	struct ovl *f = *state;
	static const char *const paths[] = {"file", "dir", "link", "fifo", "sock", "null", "loop"};
	struct {
		uint8_t len, uuid[16];
	} fs = {0};
	static const uint8_t zeros[16];
	bool known = ioctl(f->tree, _IOR(0x15, 0, fs), &fs) == 0 &&
		     memcmp(fs.uuid, zeros, sizeof(zeros)) != 0;
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++) {
		char path[32];
		uint8_t origin[128];
		up_at(f, paths[k]);
		(void)snprintf(path, sizeof(path), "upper/%s", paths[k]);
		ssize_t len = disk_xattr(f, path, "trusted.overlay.origin", origin, sizeof(origin));
		assert_true(known ? len > 21 : len >= 0);
		if (len <= 0) /* btrfs may know it where that call does not */
			continue;
		assert_int_equal(origin[0], 0);
		assert_int_equal(origin[1], 0xfb);
		assert_int_equal(origin[2], len);
		if (known)
			assert_memory_equal(origin + 5, fs.uuid, sizeof(fs.uuid));
	}
}

static int flags_of(int fd, unsigned *ret)
{
	return ioctl(fd, FS_IOC_GETFLAGS, ret) < 0 ? -errno : 0;
}

/* Row 42: flags of the lower file are not reached by anything a client does: an immutable one is
 * brought up and changed there, and below it stays immutable. (The flags are not shown above: the
 * engine has no call for them.) */
static void immutable_files_of_the_image_stay_so(void **state)
{
	struct ovl *f = *state;
	unsigned set = 0, now = 0;
	low_file(f, "file", "of the image");
	cow_autoclose int fd = openat(f->tree, "file", O_RDONLY | O_CLOEXEC);
	if (flags_of(fd, &set) < 0)
		skip();
	set |= FS_IMMUTABLE_FL;
	if (ioctl(fd, FS_IOC_SETFLAGS, &set) < 0)
		skip();
	layer_start(f);
	cow_autonode n = NULL;
	int r = walk(f, "file", &n);
	cow_autoopen o = NULL;
	int opened = r < 0 ? r : cow_ovl_open(n, &cow_ovl_root_cred, RW, &o);
	int wrote = opened == 0 ? (int)put_text(o, "OF", 0) : opened;
	int still = flags_of(fd, &now);
	now &= FS_IMMUTABLE_FL;
	set &= ~(unsigned)FS_IMMUTABLE_FL;
	ok(ioctl(fd, FS_IOC_SETFLAGS,
		 &set)); /* before anything can fail: it could not be removed */
	free(f->image_text);
	f->image_text = raw_text(f->tree); /* its ctime was changed by us */
	ok(opened);
	assert_int_equal(wrote, 2);
	ok(still);
	assert_int_equal(now, FS_IMMUTABLE_FL);
	assert_text(n, "OF the image");
	char buf[16] = {0};
	assert_int_equal(pread(fd, buf, 15, 0), 12);
	assert_string_equal(buf, "of the image");
}

/* Row 43: commit of what is as the image has it, or of a merged directory, succeeds and does
 * nothing that can be seen. */
static void commit_of_image_objects_succeeds(void **state)
{
	struct ovl *f = *state;
	static const char *const paths[] = {"file", "dir", "link", "fifo", ""};
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++) {
		cow_autonode n = get(f, paths[k]);
		ok(cow_ovl_commit(n));
	}
	assert_int_equal(disk_count(f, "upper"), 0);
	ok(make_at(f, "dir/born", S_IFREG, 0644));
	up_at(f, "link");
	for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++) {
		cow_autonode n = get(f, paths[k]);
		ok(cow_ovl_commit(n));
	}
	assert_false(on_disk(f, "upper/file"));
	ok(cow_ovl_inst_sync(f->inst));
}

/* Row 44: no room for a copy: the caller is told, nothing is published, the file is readable as it
 * was; with room again it works. Every step and every error: tests/fault. */
static void no_room_for_a_copy_leaves_the_file_below(void **state)
{
	struct ovl *f = *state;
	cow_autonode n = NULL;
	struct cow_ovl_open *o = NULL;
	char at[PATH_MAX];
	ok(mkdirat(f->tmp->fd, "small", 0755));
	(void)snprintf(at, sizeof(at), "%s/small", f->tmp->path);
	/* the root on a file system of its own that is full */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", at, "tmpfs", 0, "size=64k") < 0)
		skip();
	/* by its path: the fds we have see the mounts of before */
	cow_autoclose int dir = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs sf;
	ok(fstatfs(dir, &sf));
	assert_int_equal(sf.f_type, TMPFS_MAGIC);
	struct cow_ovl_inst *i = NULL;
	cow_autonode root = NULL;
	struct cow_ovl_create_opts opts = {.durability = COW_OVL_RELAXED};
	ok(cow_ovl_inst_create(dir, f->img, &opts, NULL));
	ok(cow_ovl_inst_open(dir, f->img, 0, &i, NULL));
	ok(cow_ovl_root(i, &root));
	{
		static char block[4096];
		cow_autoclose int fill = openat(dir, "fill", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		for (off_t off = 0; off < 1 << 20 && pwrite(fill, block, sizeof(block), off) > 0;)
			off += (off_t)sizeof(block);
	}
	ok(walk_from(root, "dir/file", &n));
	assert_int_equal(cow_ovl_open(n, &cow_ovl_root_cred, RW, &o), -ENOSPC);
	assert_text(n, "in dir");
	struct stat st;
	assert_int_equal(fstatat(dir, "upper/dir/file", &st, AT_SYMLINK_NOFOLLOW), -1);
	ok(unlinkat(dir, "fill", 0));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, RW, &o));
	assert_int_equal(put_text(o, "IN", 0), 2);
	assert_text(n, "IN dir");
	cow_ovl_close(o);
	cow_ovl_put(cow_steal_ptr(&n));
	cow_ovl_put(cow_steal_ptr(&root));
	ok(cow_ovl_inst_close(i));
	(void)close(cow_steal_fd(&dir));
	ok(umount2(at, MNT_DETACH));
}

/* Row 45: locks are the front ends', kept by what identifies the object: id and handle, and the node
 * itself, are the same before and after a copy-up, for every open. */
static void what_locks_are_kept_by_does_not_change(void **state)
{
	struct ovl *f = *state;
	uint8_t before[COW_OVL_HANDLE_MAX] = {0}, after[COW_OVL_HANDLE_MAX] = {0};
	cow_autonode n = get(f, "two");
	cow_autoopen early = open_at(f, "one", COW_OPEN_READ);
	uint64_t id = cow_ovl_id(n);
	(void)cow_ovl_handle(n, before);
	cow_autoopen late = open_at(f, "dir/three", RW);
	assert_int_equal(put_text(late, "L", 0), 1);
	assert_ptr_equal(cow_ovl_open_node(early), n);
	assert_ptr_equal(cow_ovl_open_node(late), n);
	assert_int_equal(cow_ovl_id(n), id);
	(void)cow_ovl_handle(n, after);
	assert_memory_equal(before, after, sizeof(before));
}

/* Row 46: what is new belongs to the caller, also over a whiteout and in every type; what is brought
 * up stays the owner's, whoever made us do it. */
static void new_objects_belong_to_the_caller(void **state)
{
	struct ovl *f = *state;
	static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR};
	static const gid_t groups[] = {2001, 2002};
	const struct cow_ovl_cred who[] = {
	    user,
	    {.uid = 65534, .gid = 65534},
	    {.uid = 1005, .gid = 1006, .groups = groups, .ngroups = 2}};
	cow_autonode dir = get(f, "dir");
	ok(rm_at(f, "dir/file"));
	for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++)
		for (size_t w = 0; w < 3; w++)
			for (int over = 0; over < 2; over++) {
				const char *name = over ? "file" : "born";
				struct cow_ovl_attr a;
				struct cow_ovl_create how = {.type = types[t],
							     .mode = 0640,
							     .rdev = makedev(1, 3),
							     .target = "t"};
				ok(cow_ovl_create(dir, name, 4, &who[w], &how, NULL, &a));
				assert_int_equal(a.uid, who[w].uid);
				assert_int_equal(a.gid, who[w].gid);
				if (types[t] != S_IFLNK)
					assert_int_equal(a.mode & 07777, 0640);
				ok(rm(dir, name, COW_REMOVE_FILE | COW_REMOVE_DIR));
			}
	assert_int_equal(attr_of(dir).uid, LOW_UID);
	cow_autonode n = get(f, "dir/second");
	cow_autoopen o = NULL;
	ok(cow_ovl_open(n, &user, COW_OPEN_WRITE, &o));
	assert_int_equal(attr_of(n).uid, LOW_UID);
	/* a supplementary group counts: setgid of a file of that group stays */
	struct cow_ovl_set own = {.mask = COW_SET_GID | COW_SET_UID, .gid = 2002, .uid = 1005};
	struct cow_ovl_set mode = {.mask = COW_SET_MODE, .mode = 02755};
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &own, NULL));
	ok(cow_ovl_setattr(n, &who[2], &mode, NULL));
	assert_int_equal(attr_of(n).mode & 07777, 02755);
	ok(cow_ovl_setattr(n, &user, &mode, NULL));
	assert_int_equal(attr_of(n).mode & 07777, 0755);
}

/* Row 47: an upper is attached once; never on another image, not even on a version of its own; and
 * not while the kernel has mounted it. */
static void an_upper_is_attached_once_and_on_its_own_image(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i = NULL;
	struct cow_ovl_image *other = NULL;
	assert_int_equal(cow_ovl_inst_open(f->dirfd, f->img, 0, &i, NULL), -EBUSY);
	assert_int_equal(cow_ovl_inst_open(f->dirfd, NULL, 0, &i, NULL), -EBUSY);
	ovl_detach(f);
	assert_int_equal(cow_ovl_inst_open(f->dirfd, NULL, 0, &i, NULL), -EINVAL);
	ok(mkdirat(f->tmp->fd, "image2", 0755));
	ok(mkdirat(f->tmp->fd, "image2/tree", 0755));
	cow_autoclose int dir = cow_opendir_at(f->tmp->fd, "image2");
	struct cow_ovl_image_build how = {.parent = f->img};
	struct cow_ovl_image_info info;
	ok(cow_ovl_image_build(dir, &how, &info, NULL));
	ok(cow_ovl_image_open(dir, &other, NULL));
	assert_int_equal(cow_ovl_inst_open(f->dirfd, other, 0, &i, NULL), -ESTALE);
	assert_int_equal(cow_ovl_inst_open(f->dirfd, other, COW_OVL_OBSERVER, &i, NULL), -ESTALE);
	cow_ovl_image_close(other);
	ovl_attach(f); /* the attempts left nothing behind */
	assert_text_at(f, "file", "of the image");
}

static void a_root_mounted_by_the_kernel_is_refused(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i = NULL;
	struct cow_err err = COW_ERR_INIT;
	char options[400], at[128];
	const char *t = f->tmp->path;
	ok(mkdirat(f->tmp->fd, "a, b", 0755)); /* a path with everything to be escaped */
	ok(mkdirat(f->tmp->fd, "merged", 0755));
	ovl_detach(f);
	(void)snprintf(at, sizeof(at), "%s/merged", t);
	(void)snprintf(
	    options, sizeof(options),
	    "lowerdir=%s/image/tree,upperdir=%s/a\\, b/../root/upper,workdir=%s/root/work", t, t,
	    t);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("overlay", at, "overlay", 0, options) < 0) {
		ovl_attach(f);
		skip();
	}
	assert_int_equal(cow_ovl_inst_open(f->dirfd, f->img, 0, &i, &err), -EBUSY);
	assert_non_null(strstr(cow_err_str(&err), "mounted"));
	ok(cow_ovl_inst_open(f->dirfd, f->img, COW_OVL_OBSERVER, &i,
			     NULL)); /* looking is harmless */
	ok(cow_ovl_inst_close(i));
	ok(umount(at));
	ovl_attach(f);
	assert_text_at(f, "file", "of the image");
}

/* Row 48: the file system's numbers are the upper's; names have 255 bytes. */
static void statfs_says_what_the_upper_has(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_statfs s;
	struct statvfs sv;
	ok(cow_ovl_statfs(f->inst, &s));
	ok(fstatvfs(f->dirfd, &sv));
	assert_int_equal(s.name_max, 255);
	assert_int_equal(s.bytes_total, (uint64_t)sv.f_blocks * sv.f_frsize);
	assert_int_equal(s.files_total, sv.f_files);
	assert_true(s.bytes_avail <= s.bytes_free && s.bytes_free <= s.bytes_total);
}

/* Row 49: a program that is running can be written to; there is no ETXTBSY for files of the image.
 * The one that runs goes on with what it has. */
static void a_running_program_of_the_image_can_be_written(void **state)
{
	struct ovl *f = *state;
	cow_autofree char *self = NULL;
	size_t len;
	ok(cow_read_file_at(AT_FDCWD, "/bin/sleep", 64 << 20, &self, &len));
	low_bytes(f, "sleep", self, len, 0755);
	layer_start(f);
	cow_autoclose int exe = openat(f->tree, "sleep", O_RDONLY | O_CLOEXEC);
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = {(char[]){"sleep"}, (char[]){"30"}, NULL};
		char *env[] = {NULL};
		(void)fexecve(exe, argv, env);
		_exit(127);
	}
	assert_true(pid > 0);
	char link[64], target[16];
	(void)snprintf(link, sizeof(link), "/proc/%d/comm", pid);
	for (int k = 0; k < 1000; k++) { /* until it is that program */
		cow_autoclose int fd = open(link, O_RDONLY | O_CLOEXEC);
		ssize_t got = fd < 0 ? 0 : read(fd, target, sizeof(target) - 1);
		target[got > 0 ? got : 0] = '\0';
		/* fexecve() calls it by the number of the fd */
		if (got > 0 && strncmp(target, "test_", 5) != 0)
			break;
		(void)usleep(1000);
	}
	cow_autonode n = get(f, "sleep");
	struct cow_ovl_open *o = NULL;
	int r = cow_ovl_open(n, &cow_ovl_root_cred, RW, &o);
	ssize_t wrote = r == 0 ? put_text(o, "changed", 0) : r;
	int status = 0;
	bool running = waitpid(pid, &status, WNOHANG) == 0;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	cow_ovl_close(o);
	ok(r);
	assert_int_equal(wrote, 7);
	assert_true(running);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)
#define BARE(name) cmocka_unit_test_setup_teardown(name, layer_setup_bare, layer_teardown)
	const struct CMUnitTest tests[] = {
	    T(an_early_reader_sees_later_writes),
	    T(concurrent_copy_ups_make_one_copy),
	    T(an_unlinked_open_file_can_do_everything),
	    T(truncation_copies_only_the_prefix_that_survives),
	    BARE(holes_survive_copy_up),
	    BARE(data_beyond_4_gib_is_copied_where_it_was),
	    T(special_modes_and_capabilities_survive_copy_up),
	    T(access_lists_are_copied_and_inherited),
	    T(private_attributes_are_hidden_and_the_clients_escaped),
	    T(copy_up_keeps_times),
	    T(reading_copies_nothing),
	    T(special_files_keep_everything),
	    T(every_type_has_the_origin_the_kernel_wants),
	    BARE(immutable_files_of_the_image_stay_so),
	    T(commit_of_image_objects_succeeds),
	    T(no_room_for_a_copy_leaves_the_file_below),
	    T(what_locks_are_kept_by_does_not_change),
	    T(new_objects_belong_to_the_caller),
	    T(an_upper_is_attached_once_and_on_its_own_image),
	    T(a_root_mounted_by_the_kernel_is_refused),
	    T(statfs_says_what_the_upper_has),
	    BARE(a_running_program_of_the_image_can_be_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
