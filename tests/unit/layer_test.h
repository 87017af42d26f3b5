/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Fixture of tests on an instance with an image below: a temporary directory with `image/tree`, filled
 * by the low_*() helpers, and beside it `root/` with an attached instance. Everything else is as in
 * ovl_test.h. Paths have no leading slash; "" is the top.
 */
#ifndef COW_TESTS_LAYER_TEST_H
#define COW_TESTS_LAYER_TEST_H

#include "ovl_test.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/xattr.h>

#include "common/siphash.h"
#include "overlay/image.h"

#define LOW_TIME 1000000000 /* mtime of everything low_usual() makes: 2001 */
#define LOW_NSEC 123456789
#define LOW_UID 1001
#define LOW_GID 1002

/* ---------------------------------------------------------------- the image's tree */

static inline void low_dress(struct ovl *f, const char *path)
{
	const struct timespec ts[2] = {{LOW_TIME, LOW_NSEC}, {LOW_TIME, LOW_NSEC}};
	ok(utimensat(f->tree, path, ts, AT_SYMLINK_NOFOLLOW));
}

static inline void low_bytes(struct ovl *f, const char *path, const void *buf, size_t len,
			     mode_t mode)
{
	cow_autoclose int fd = openat(f->tree, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	ok(cow_write_full(fd, buf, len));
	ok(fchown(fd, LOW_UID, LOW_GID));
	ok(fchmod(fd, mode));
	low_dress(f, path);
}

static inline void low_file(struct ovl *f, const char *path, const char *text)
{
	low_bytes(f, path, text, strlen(text), 0644);
}

static inline void low_dir(struct ovl *f, const char *path, mode_t mode)
{
	ok(mkdirat(f->tree, path, 0700));
	ok(fchownat(f->tree, path, LOW_UID, LOW_GID, 0));
	ok(fchmodat(f->tree, path, mode, 0));
}

static inline void low_symlink(struct ovl *f, const char *path, const char *target)
{
	ok(symlinkat(target, f->tree, path));
	ok(fchownat(f->tree, path, LOW_UID, LOW_GID, AT_SYMLINK_NOFOLLOW));
	low_dress(f, path);
}

static inline void low_node(struct ovl *f, const char *path, mode_t mode, dev_t rdev)
{
	ok(mknodat(f->tree, path, mode, rdev));
	ok(fchownat(f->tree, path, LOW_UID, LOW_GID, 0));
	low_dress(f, path);
}

static inline void low_link(struct ovl *f, const char *path, const char *to)
{
	ok(linkat(f->tree, path, f->tree, to, 0));
}

static inline void low_xattr(struct ovl *f, const char *path, const char *name, const void *value,
			     size_t len)
{
	char at[PATH_MAX];
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", f->tree, path);
	ok(lsetxattr(at, name, value, len, 0));
}

/* u::rw-,u:1003:rwx,g::r--,m::rwx,o::--- ; as xattr(7) value, version 2, little endian. */
static const uint8_t some_acl[] = {
    2,	  0,	0,    0,    1,	  0,	6,    0,    0xff, 0xff, 0xff, 0xff, /* user::rw- */
    2,	  0,	7,    0,    0xeb, 3,	0,    0,    4,	  0,	4,    0,
    0xff, 0xff, 0xff, 0xff, /* 1003, group::r-- */
    16,	  0,	7,    0,    0xff, 0xff, 0xff, 0xff, 32,	  0,	0,    0,
    0xff, 0xff, 0xff, 0xff, /* mask, other */
};
/* cap_net_raw=ep */
static const uint8_t some_caps[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

/*
 *	file "of the image"	dir/file "in dir"	dir/second	dir/sub/deep	dir/sub/er/deepest
 *	one = two = dir/three "linked"			empty/		link -> dir/file
 *	fifo sock null loop	suid 06755		caps acl	acldir/ (default ACL)
 *	sgid/ 02775		sparse: 1 MiB hole, "data", hole up to 3 MiB
 */
static inline void low_usual(struct ovl *f)
{
	low_file(f, "file", "of the image");
	low_xattr(f, "file", "user.of", "image", 5);
	low_xattr(f, "file", "trusted.overlayfoo", "not the kernel's", 16);
	low_dir(f, "dir", 0750);
	low_xattr(f, "dir", "user.dir", "yes", 3);
	low_file(f, "dir/file", "in dir");
	low_file(f, "dir/second", "second");
	low_dir(f, "dir/sub", 0755);
	low_file(f, "dir/sub/deep", "deep");
	low_dir(f, "dir/sub/er", 0755);
	low_file(f, "dir/sub/er/deepest", "deepest");
	low_file(f, "one", "linked");
	low_link(f, "one", "two");
	low_link(f, "one", "dir/three");
	low_dir(f, "empty", 0755);
	low_symlink(f, "link", "dir/file");
	low_xattr(f, "link", "trusted.of", "link", 4);
	low_node(f, "fifo", S_IFIFO | 0640, 0);
	low_node(f, "sock", S_IFSOCK | 0640, 0);
	low_node(f, "null", S_IFCHR | 0666, makedev(1, 3));
	low_node(f, "loop", S_IFBLK | 0660, makedev(7, 200));
	low_bytes(f, "suid", "program", 7, 06755);
	low_bytes(f, "caps", "program", 7, 0755);
	low_xattr(f, "caps", "security.capability", some_caps, sizeof(some_caps));
	low_bytes(f, "acl", "listed", 6, 0660);
	low_xattr(f, "acl", "system.posix_acl_access", some_acl, sizeof(some_acl));
	low_dress(f, "acl");
	low_dir(f, "acldir", 0755);
	low_xattr(f, "acldir", "system.posix_acl_default", some_acl, sizeof(some_acl));
	low_dir(f, "sgid", 02775);
	cow_autoclose int fd = openat(f->tree, "sparse", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	ok(cow_pwrite_full(fd, "data", 4, 1 << 20));
	ok(ftruncate(fd, 3 << 20));
	low_dress(f, "sparse");
	static const char *const dirs[] = {"dir/sub/er", "dir/sub", "dir",
					   "empty",	 "acldir",  "sgid"};
	for (size_t k = 0; k < sizeof(dirs) / sizeof(*dirs); k++)
		low_dress(f, dirs[k]);
	low_dress(f, ".");
}

/* ---------------------------------------------------------------- a directory as it is on disk */

static inline void raw_content(FILE *out, int dirfd, const char *name)
{
	static char buf[64 << 10];
	static const uint8_t key[COW_SIPHASH_KEY_LEN];
	uint64_t sum = 0;
	ssize_t got;
	cow_autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOATIME | O_CLOEXEC);
	assert_true(fd >= 0);
	/* What lies between is zeros, or it would be data. */
	for (off_t at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0; at += got) {
		got = cow_pread_full(fd, buf, sizeof(buf), at);
		assert_true(got > 0);
		sum = sum * 31 + (uint64_t)at + cow_siphash24(key, buf, (size_t)got);
	}
	(void)fprintf(out, " %016llx", (unsigned long long)sum);
}

static inline void raw_xattrs(FILE *out, int dirfd, const char *name)
{
	static char list[4096], value[4096];
	static const uint8_t key[COW_SIPHASH_KEY_LEN];
	char at[PATH_MAX];
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", dirfd, name);
	ssize_t len = llistxattr(at, list, sizeof(list));
	for (ssize_t k = 0; k < len; k += (ssize_t)strlen(list + k) + 1) {
		if (strncmp(list + k, "trusted.SGI_ACL_", 16) == 0)
			continue; /* the access lists once more, on XFS */
		ssize_t got = lgetxattr(at, list + k, value, sizeof(value));
		assert_true(got >= 0);
		(void)fprintf(out, " %s=%016llx", list + k,
			      (unsigned long long)cow_siphash24(key, value, (size_t)got));
	}
}

static inline int raw_by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void raw_dir(FILE *out, int dirfd, const char *path)
{
	char *name[512];
	size_t n = 0;
	const struct dirent *de;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	assert_true(fd >= 0);
	cow_autodir DIR *d = fdopendir(fd);
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1) {
		assert_true(n < 512);
		name[n++] = strdup(de->d_name);
	}
	qsort(name, n, sizeof(*name), raw_by_name);
	for (size_t k = 0; k < n; k++) {
		struct stat st;
		char below[PATH_MAX];
		(void)snprintf(below, sizeof(below), "%s/%s", path, name[k]);
		ok(fstatat(fd, name[k], &st, AT_SYMLINK_NOFOLLOW));
		(void)fprintf(out, "%s %llu %o %u:%u %llu %lu %llx %lld.%09ld %lld.%09ld", below,
			      (unsigned long long)st.st_ino, st.st_mode, st.st_uid, st.st_gid,
			      (unsigned long long)st.st_size, (unsigned long)st.st_nlink,
			      (unsigned long long)st.st_rdev, (long long)st.st_mtim.tv_sec,
			      st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
		if (S_ISREG(st.st_mode))
			raw_content(out, fd, name[k]);
		raw_xattrs(out, fd, name[k]);
		(void)fputc('\n', out);
		if (S_ISDIR(st.st_mode)) {
			cow_autoclose int sub = cow_opendir_at(fd, name[k]);
			assert_true(sub >= 0);
			raw_dir(out, sub, below);
		}
		free(name[k]);
	}
}

/* Everything stat(2) says but the access time, content and attributes. Caller frees. */
static inline char *raw_text(int dirfd)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	raw_dir(out, dirfd, "");
	(void)fclose(out);
	return text;
}

/* ---------------------------------------------------------------- set-up */

/* image/tree and root/, both empty. */
static inline int layer_setup_bare(void **state)
{
	struct ovl *f = calloc(1, sizeof(*f));
	void *tmp = NULL;
	(void)umask(0);
	if (!f || tmpdir_setup(&tmp) != 0)
		return -1;
	f->tmp = tmp;
	if (mkdirat(f->tmp->fd, "image", 0755) < 0 || mkdirat(f->tmp->fd, "image/tree", 0755) < 0 ||
	    mkdirat(f->tmp->fd, "root", 0755) < 0)
		return -1;
	f->image = cow_opendir_at(f->tmp->fd, "image");
	f->dirfd = cow_opendir_at(f->tmp->fd, "root");
	f->tree = cow_opendir_at(f->image, "tree");
	*state = f;
	return f->image < 0 || f->dirfd < 0 || f->tree < 0;
}

/* The image is complete: load it. */
static inline void layer_image(struct ovl *f)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	int r = cow_ovl_image_build(f->image, &how, &info, &err);
	if (r == 0)
		r = cow_ovl_image_open(f->image, &f->img, &err);
	if (r < 0)
		print_error("image: %s\n", cow_err_str(&err));
	ok(r);
	f->image_text = raw_text(f->tree);
}

static inline void layer_start_mode(struct ovl *f, enum cow_ovl_durability durability)
{
	struct cow_ovl_create_opts opts = {.durability = durability};
	if (!f->img)
		layer_image(f);
	ok(cow_ovl_inst_create(f->dirfd, f->img, &opts, NULL));
	ovl_attach(f);
}

static inline void layer_start(struct ovl *f)
{
	layer_start_mode(f, COW_OVL_RELAXED);
}

/* The usual image, relaxed, attached. */
static inline int layer_setup(void **state)
{
	int r = layer_setup_bare(state);
	if (r != 0)
		return r;
	low_usual(*state);
	layer_start(*state);
	return 0;
}

static inline int layer_setup_strict(void **state)
{
	int r = layer_setup_bare(state);
	if (r != 0)
		return r;
	low_usual(*state);
	layer_start_mode(*state, COW_OVL_STRICT);
	return 0;
}

/* I1: compared with what it was when it was built. */
static inline bool image_changed(struct ovl *f)
{
	cow_autofree char *now = raw_text(f->tree);
	bool same = strcmp(f->image_text, now) == 0;
	if (!same)
		print_error("the image was changed; it was\n%sand is\n%s", f->image_text, now);
	return !same;
}

static inline int layer_teardown(void **state)
{
	struct ovl *f = *state;
	cow_ovl_put(f->root);
	int r = cow_ovl_inst_close(f->inst);
	cow_ovl_image_close(f->img);
	if (f->image_text && image_changed(f)) /* I1, after every test */
		r = -EIO;
	free(f->image_text);
	(void)close(f->tree);
	(void)close(f->image);
	(void)close(f->dirfd);
	void *tmp = f->tmp;
	free(f);
	int r2 = tmpdir_teardown(&tmp);
	return r < 0 ? r : r2;
}

/* ---------------------------------------------------------------- short forms by path */

/* Node of a path below @dir, or an error. */
static inline int walk_from(struct cow_ovl_node *dir, const char *path, struct cow_ovl_node **ret)
{
	cow_autonode at = cow_ovl_get(dir);
	while (*path) {
		size_t len = strcspn(path, "/");
		cow_autonode next = NULL;
		int r = cow_ovl_lookup(at, path, len, &next, NULL);
		if (r < 0)
			return r;
		cow_ovl_put(at);
		at = cow_steal_ptr(&next);
		path += len + (path[len] == '/');
	}
	*ret = cow_steal_ptr(&at);
	return 0;
}

static inline int walk(struct ovl *f, const char *path, struct cow_ovl_node **ret)
{
	return walk_from(f->root, path, ret);
}

static inline struct cow_ovl_node *get(struct ovl *f, const char *path)
{
	struct cow_ovl_node *n = NULL;
	int r = walk(f, path, &n);
	if (r < 0)
		print_error("'%s': %d\n", path, r);
	ok(r);
	return n;
}

/* Directory of a path and its last name. */
static inline struct cow_ovl_node *get_dir(struct ovl *f, const char *path, const char **ret_name)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	*ret_name = slash ? slash + 1 : path;
	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	return get(f, dir);
}

static inline int make_at(struct ovl *f, const char *path, mode_t type, mode_t mode)
{
	const char *name;
	cow_autonode dir = get_dir(f, path, &name);
	return make(dir, name, type, mode, NULL);
}

static inline int rm_at(struct ovl *f, const char *path)
{
	const char *name;
	cow_autonode dir = get_dir(f, path, &name);
	return rm(dir, name, COW_REMOVE_FILE | COW_REMOVE_DIR);
}

static inline int mv_at(struct ovl *f, const char *from, const char *to, unsigned flags)
{
	const char *n1, *n2;
	cow_autonode d1 = get_dir(f, from, &n1);
	cow_autonode d2 = get_dir(f, to, &n2);
	return mv(d1, n1, d2, n2, flags);
}

static inline int ln_at(struct ovl *f, const char *from, const char *to)
{
	const char *name;
	cow_autonode n = get(f, from);
	cow_autonode dir = get_dir(f, to, &name);
	return cow_ovl_link(n, dir, name, strlen(name), &cow_ovl_root_cred);
}

/* The whole content replaced. */
static inline void put_at(struct ovl *f, const char *path, const char *text)
{
	cow_autonode n = get(f, path);
	cow_autoopen o = NULL;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE | COW_OPEN_TRUNC, &o));
	assert_int_equal(put_text(o, text, 0), strlen(text));
}

static inline void assert_text(struct cow_ovl_node *n, const char *text)
{
	char buf[256] = {0};
	cow_autoopen o = NULL;
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o));
	assert_int_equal(get_bytes(o, buf, sizeof(buf) - 1, 0), strlen(text));
	assert_string_equal(buf, text);
}

static inline void assert_text_at(struct ovl *f, const char *path, const char *text)
{
	cow_autonode n = get(f, path);
	assert_text(n, text);
}

static inline void assert_absent(struct ovl *f, const char *path)
{
	struct cow_ovl_node *none = NULL;
	assert_int_equal(walk(f, path, &none), -ENOENT);
}

static inline struct cow_ovl_attr attr_at(struct ovl *f, const char *path)
{
	cow_autonode n = get(f, path);
	return attr_of(n);
}

/* Bring it up without changing anything that is asked for. */
static inline void up_at(struct ovl *f, const char *path)
{
	struct cow_ovl_attr a = attr_at(f, path);
	struct cow_ovl_set set = {.mask = COW_SET_UID, .uid = a.uid};
	cow_autonode n = get(f, path);
	ok(cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL));
}

/* ---------------------------------------------------------------- what is on disk */

/* stat of a path below the instance's directory ("upper/dir/file"); -errno. */
static inline int disk_stat(struct ovl *f, const char *path, struct stat *ret)
{
	return fstatat(f->dirfd, path, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static inline bool on_disk(struct ovl *f, const char *path)
{
	struct stat st;
	return disk_stat(f, path, &st) == 0;
}

static inline bool is_whiteout(struct ovl *f, const char *path)
{
	struct stat st;
	return disk_stat(f, path, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static inline ssize_t disk_xattr(struct ovl *f, const char *path, const char *name, void *buf,
				 size_t len)
{
	char at[PATH_MAX];
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", f->dirfd, path);
	ssize_t got = lgetxattr(at, name, buf, len);
	return got < 0 ? -errno : got;
}

static inline bool is_opaque(struct ovl *f, const char *path)
{
	char y = 0;
	return disk_xattr(f, path, "trusted.overlay.opaque", &y, 1) == 1 && y == 'y';
}

/* Entries of a directory below the instance's, but the instance's whiteout. */
static inline unsigned disk_count(struct ovl *f, const char *path)
{
	unsigned n = 0;
	const struct dirent *de;
	int fd = openat(f->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	cow_autodir DIR *d = fdopendir(fd);
	assert_non_null(d);
	while (cow_readdir(d, &de) == 1)
		n += strcmp(de->d_name, "#whiteout") != 0;
	return n;
}

/* ---------------------------------------------------------------- listings */

struct names {
	char text[64 << 10];
	size_t len, n;
};

static inline int names_add(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct names *s = ctx;
	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, "%s ", ent->name);
	s->n++;
	return 0;
}

/* Is @name listed exactly once (1), not at all (0)? */
static inline unsigned listed(struct cow_ovl_node *dir, const char *name)
{
	static _Thread_local struct names s;
	char want[300];
	int eof = 0;
	unsigned found = 0;
	s.len = s.n = 0;
	ok(cow_ovl_readdir(dir, 0, 0, names_add, &s, &eof));
	assert_int_equal(eof, 1);
	size_t len = (size_t)snprintf(want, sizeof(want), "%s ", name);
	for (const char *p = s.text; p < s.text + s.len; p = strchr(p, ' ') + 1)
		found += strncmp(p, want, len) == 0;
	return found;
}

static inline size_t list_count(struct cow_ovl_node *dir)
{
	static _Thread_local struct names s;
	int eof;
	s.len = s.n = 0;
	ok(cow_ovl_readdir(dir, 0, 0, names_add, &s, &eof));
	return s.n;
}

static inline unsigned listed_at(struct ovl *f, const char *dir, const char *name)
{
	cow_autonode n = get(f, dir);
	return listed(n, name);
}

/* ---------------------------------------------------------------- the whole tree as text */

/*
 * What a client can see of the tree, one line an object: path, type and mode, owner, size, links,
 * device, times of what was not changed in our days, content, attributes, number of image objects.
 * Two trees that look the same give the same text.
 */
struct dump {
	FILE *out;
	struct cow_ovl_inst *inst;
	const char *path;
	struct cow_ovl_node *dir;
};

static inline void dump_time(FILE *out, const struct timespec *t)
{
	if (t->tv_sec < 1600000000)
		(void)fprintf(out, " %lld.%09ld", (long long)t->tv_sec, t->tv_nsec);
	else
		(void)fputs(" now", out);
}

static inline void dump_bytes(FILE *out, const void *buf, size_t len)
{
	static const uint8_t key[COW_SIPHASH_KEY_LEN];
	(void)fprintf(out, "%zu:%016llx", len, (unsigned long long)cow_siphash24(key, buf, len));
}

static inline void dump_content(FILE *out, struct cow_ovl_node *n)
{
	static _Thread_local char buf[64 << 10];
	cow_autoopen o = NULL;
	int r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o);
	if (r < 0) {
		(void)fprintf(out, " open: %d", r);
		return;
	}
	uint64_t at = 0;
	/* Data only: holes are told by where it lies. */
	while (cow_ovl_seek(o, at, SEEK_DATA, &at) == 0) {
		ssize_t got = get_bytes(o, buf, sizeof(buf), at);
		if (got <= 0) {
			(void)fprintf(out, " read: %zd", got);
			return;
		}
		size_t len = (size_t)got; /* zeros at the end may be a hole or not */
		while (len > 0 && buf[len - 1] == 0)
			len--;
		if (len > 0) {
			(void)fprintf(out, " %llu=", (unsigned long long)at);
			dump_bytes(out, buf, len);
		}
		at += (uint64_t)got;
	}
}

static inline int dump_by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void dump_xattrs(FILE *out, struct cow_ovl_node *n)
{
	static _Thread_local char list[4096], value[4096];
	const char *name[64];
	size_t count = 0;
	ssize_t len = cow_ovl_listxattr(n, list, sizeof(list));
	if (len < 0)
		(void)fprintf(out, " xattrs: %zd", len);
	for (ssize_t at = 0; at < len && count < 64; at += (ssize_t)strlen(list + at) + 1)
		name[count++] = list + at;
	qsort(name, count, sizeof(*name), dump_by_text);
	for (size_t k = 0; k < count; k++) {
		ssize_t got = cow_ovl_getxattr(n, name[k], value, sizeof(value));
		(void)fprintf(out, " %s=", name[k]);
		if (got < 0)
			(void)fprintf(out, "%zd", got);
		else
			dump_bytes(out, value, (size_t)got);
	}
}

static inline int dump_entry(void *ctx, const struct cow_ovl_dirent *ent);

static inline void dump_node(const struct dump *d, const char *path, struct cow_ovl_node *n)
{
	struct cow_ovl_attr a;
	char target[COW_SYMLINK_MAX];
	int r = cow_ovl_getattr(n, &a), eof = 0;
	(void)fprintf(d->out, "%s", path);
	if (r < 0) {
		(void)fprintf(d->out, " attr: %d\n", r);
		return;
	}
	/* Not the size of directories: it is the file system's. */
	(void)fprintf(d->out, " %o %u:%u %llu nlink=%u rdev=%llx", a.mode, a.uid, a.gid,
		      S_ISDIR(a.mode) ? 0ull : (unsigned long long)a.size,
		      S_ISDIR(a.mode) ? 1 : a.nlink, (unsigned long long)a.rdev);
	dump_time(d->out, &a.mtime);
	if (a.id < UINT32_MAX)
		(void)fprintf(d->out, " #%llu", (unsigned long long)a.id);
	if (S_ISLNK(a.mode)) {
		ssize_t len = cow_ovl_readlink(n, target, sizeof(target));
		(void)fprintf(d->out, " -> %.*s", len < 0 ? 0 : (int)len, target);
	}
	if (S_ISREG(a.mode))
		dump_content(d->out, n);
	dump_xattrs(d->out, n);
	(void)fputc('\n', d->out);
	struct dump below = {.out = d->out, .inst = d->inst, .path = path, .dir = n};
	if (S_ISDIR(a.mode))
		r = cow_ovl_readdir(n, 0, COW_READDIR_NODES, dump_entry, &below, &eof);
	if (r < 0)
		(void)fprintf(d->out, "%s readdir: %d\n", path, r);
}

static inline int dump_entry(void *ctx, const struct cow_ovl_dirent *ent)
{
	const struct dump *d = ctx;
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/%s", d->path, ent->name);
	cow_autonode n = NULL;
	int r = cow_ovl_lookup(d->dir, ent->name, ent->name_len, &n, NULL);
	if (r < 0 || n != ent->node || cow_ovl_id(n) != ent->id || cow_ovl_type(n) != ent->type)
		(void)fprintf(d->out, "%s: listed, but looked up: %d\n", path, r);
	if (r == 0)
		dump_node(d, path, n);
	return 0;
}

static inline int dump_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Caller frees. Lines are sorted, since listings of the upper alone have the file system's order. */
static inline char *tree_text(struct cow_ovl_inst *i)
{
	char *text = NULL, *sorted = NULL;
	size_t len = 0, slen = 0, count = 0;
	cow_autonode root = NULL;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	ok(cow_ovl_root(i, &root));
	struct dump d = {.out = out, .inst = i};
	dump_node(&d, "", root);
	(void)fclose(out);
	char **line = calloc(len + 1, sizeof(*line));
	assert_non_null(line);
	for (char *p = text; *p; p = strchr(p, '\0') + 1) {
		line[count++] = p;
		*strchr(p, '\n') = '\0';
	}
	qsort(line, count, sizeof(*line), dump_lines);
	out = open_memstream(&sorted, &slen);
	assert_non_null(out);
	for (size_t k = 0; k < count; k++)
		(void)fprintf(out, "%s\n", line[k]);
	(void)fclose(out);
	free(line);
	free(text);
	return sorted;
}

/* After a restart, with everything read anew, the tree looks as it did. */
static inline void assert_same_after_restart(struct ovl *f)
{
	cow_autofree char *before = tree_text(f->inst);
	ovl_restart(f);
	cow_autofree char *after = tree_text(f->inst);
	assert_string_equal(before, after);
}

#endif
