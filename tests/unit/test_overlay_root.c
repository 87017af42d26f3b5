/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine on file systems of its own: btrfs with nested subvolumes, a full ext4, a tree with a
 * mount in it; and, with programs as arguments, those programs on btrfs, xfs, ext4 and tmpfs.
 *
 * Everything is mounted in a private mount namespace from image files on loop devices that go with
 * their last mount: when this process ends, in whatever way, nothing is left.
 */
#include "ovl_test.h"

#include <linux/btrfs.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "common/siphash.h"
#include "overlay/image.h"

extern char **environ;

static char base[64]; /* holds the images and the mount points */
static char **programs;

struct fs {
	const char *type, *mkfs, *options;
	off_t size;
};
static const struct fs file_systems[] = {
    {"btrfs", "mkfs.btrfs", "", 256 << 20},
    {"xfs", "mkfs.xfs", "", 400 << 20},
    {"ext4", "mkfs.ext4", "", 128 << 20},
    {"tmpfs", NULL, "size=256m", 0},
};
static const struct fs small_ext4 = {"ext4", "mkfs.ext4", "", 8 << 20};

static int run(char *const argv[], char *const env[])
{
	pid_t pid;
	int status;
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, env) != 0)
		return -1;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* A loop device that detaches itself. Return: fd; its path in @ret. */
static int loop_attach(int image, char ret[32])
{
	cow_autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	for (int n = 0; n < 50; n++) {
		struct loop_config config = {.fd = (uint32_t)image,
					     .info.lo_flags = LO_FLAGS_AUTOCLEAR};
		int nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0)
			return -errno;
		(void)snprintf(ret, 32, "/dev/loop%d", nr);
		cow_autoclose int fd = open(ret, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return cow_steal_fd(&fd);
		(void)usleep(20000); /* somebody else took it */
	}
	return -EBUSY;
}

static void mount_image(const struct fs *fs, const char *point)
{
	char image[96], loop[32] = "tmpfs";
	char *mkfs[] = {(char *)(uintptr_t)fs->mkfs, (char *)(uintptr_t) "-q", image, NULL};
	cow_autoclose int fd = -1;
	cow_autoclose int dev = -1;
	ok(mkdir(point, 0755));
	if (fs->mkfs) {
		(void)snprintf(image, sizeof(image), "%s.img", point);
		fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		ok(ftruncate(fd, fs->size));
		ok(run(mkfs, environ));
		dev = loop_attach(fd, loop);
		assert_true(dev >= 0);
	}
	ok(mount(loop, point, fs->type, 0, fs->options));
}

static void unmount_image(const char *point)
{
	char image[96];
	(void)snprintf(image, sizeof(image), "%s.img", point);
	(void)umount2(point, MNT_DETACH);
	(void)rmdir(point);
	(void)unlink(image); /* tmpfs has none */
}

/* Fixture: a file system at base/fs, and the usual instance in it. */
static int setup_on(void **state, const struct fs *fs)
{
	static char point[80];
	(void)snprintf(point, sizeof(point), "%s/fs", base);
	mount_image(fs, point);
	ok(setenv("TMPDIR", point, 1)); /* NOLINT(concurrency-mt-unsafe): before threads */
	return ovl_setup_mode(state, COW_OVL_STRICT);
}

static int setup_btrfs(void **state)
{
	return setup_on(state, &file_systems[0]);
}

static int setup_xfs(void **state)
{
	return setup_on(state, &file_systems[1]);
}

static int setup_ext4(void **state)
{
	return setup_on(state, &file_systems[2]);
}

static int setup_small(void **state)
{
	return setup_on(state, &small_ext4);
}

static int teardown(void **state)
{
	char point[80];
	int r = ovl_teardown(state);
	(void)snprintf(point, sizeof(point), "%s/fs", base);
	unmount_image(point);
	return r;
}

static void subvol_create(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = {0};
	(void)snprintf(args.name, sizeof(args.name), "%s", name);
	ok(ioctl(dirfd, BTRFS_IOC_SUBVOL_CREATE, &args));
}

static void subvol_snapshot(int dirfd, int src, const char *name)
{
	struct btrfs_ioctl_vol_args_v2 args = {.fd = src};
	(void)snprintf(args.name, sizeof(args.name), "%s", name);
	ok(ioctl(dirfd, BTRFS_IOC_SNAP_CREATE_V2, &args));
}

static int not_named(void *ctx, const struct cow_ovl_dirent *ent)
{
	assert_string_not_equal(ent->name, ctx);
	return 0;
}

/* Neither listed, nor looked up, nor moved, nor removed. */
static void assert_out_of_reach(struct ovl *f, char *name, int moved)
{
	struct cow_ovl_node *none;
	int eof;
	assert_int_equal(look(f->root, name, &none), -EXDEV);
	ok(cow_ovl_readdir(f->root, 0, 0, not_named, name, &eof));
	ok(cow_ovl_readdir(f->root, 0, COW_READDIR_NODES, not_named, name, &eof));
	assert_int_equal(rm(f->root, name, COW_REMOVE_DIR), moved);
	assert_int_equal(mv(f->root, name, f->root, "elsewhere", 0), moved);
}

static void a_nested_subvolume_is_out_of_reach(void **state)
{
	struct ovl *f = *state;
	cow_autoclose int tree = cow_opendir_at(f->dirfd, "tree");
	subvol_create(tree, "nested");
	assert_out_of_reach(f, (char[]){"nested"}, -EXDEV);
}

/* In a snapshot an empty directory stands where a subvolume was; all of them are one inode. */
static void what_a_snapshot_leaves_of_a_nested_subvolume_is_out_of_reach(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i;
	cow_autonode root = NULL;
	subvol_create(f->dirfd, "first");
	cow_autoclose int first = cow_opendir_at(f->dirfd, "first");
	ok(mkdirat(first, "tree", 0755));
	cow_autoclose int tree = cow_opendir_at(first, "tree");
	subvol_create(tree, "nested");
	ok(cow_ovl_inst_create(first, NULL, NULL, NULL));
	subvol_snapshot(f->dirfd, first, "second");
	cow_autoclose int second = cow_opendir_at(f->dirfd, "second");
	ok(cow_ovl_inst_open(second, NULL, 0, &i, NULL));
	ok(cow_ovl_root(i, &root));
	struct ovl on = {.root = root};
	assert_out_of_reach(&on, (char[]){"nested"}, -EXDEV);
	cow_ovl_put(cow_steal_ptr(&root));
	ok(cow_ovl_inst_close(i));
}

static void a_snapshot_of_a_root_gets_a_new_epoch(void **state)
{
	struct ovl *f = *state;
	struct cow_ovl_inst *i;
	uint64_t before, after;
	uint8_t handle[COW_OVL_HANDLE_MAX];
	cow_autonode root = NULL;
	subvol_create(f->dirfd, "first");
	cow_autoclose int first = cow_opendir_at(f->dirfd, "first");
	ok(mkdirat(first, "tree", 0755));
	ok(cow_ovl_inst_create(first, NULL, NULL, NULL));
	ok(cow_ovl_inst_open(first, NULL, 0, &i, NULL));
	before = cow_ovl_inst_epoch(i);
	ok(cow_ovl_root(i, &root));
	size_t len = cow_ovl_handle(root, handle);
	cow_ovl_put(cow_steal_ptr(&root));
	ok(cow_ovl_inst_close(i));
	subvol_snapshot(f->dirfd, first, "second");
	cow_autoclose int second = cow_opendir_at(f->dirfd, "second");
	ok(cow_ovl_inst_open(second, NULL, 0, &i, NULL));
	after = cow_ovl_inst_epoch(i);
	assert_true(before != after);
	assert_int_equal(cow_ovl_handle_check(i, handle, len), -ESTALE);
	ok(cow_ovl_inst_close(i));
	ok(cow_ovl_inst_open(first, NULL, 0, &i, NULL));
	assert_int_equal(cow_ovl_inst_epoch(i), before);
	ok(cow_ovl_handle_check(i, handle, len));
	ok(cow_ovl_inst_close(i));
}

/* Neither the subvolume nor the empty directory a snapshot has in its place. */
static void a_tree_with_another_subvolume_is_no_image(void **state)
{
	struct ovl *f = *state;
	struct cow_err err = COW_ERR_INIT;
	ok(mkdirat(f->dirfd, "one", 0755));
	ok(mkdirat(f->dirfd, "two", 0755));
	cow_autoclose int one = cow_opendir_at(f->dirfd, "one");
	cow_autoclose int two = cow_opendir_at(f->dirfd, "two");
	subvol_create(one, "tree");
	cow_autoclose int tree = cow_opendir_at(one, "tree");
	ok(mkdirat(tree, "dir", 0755));
	cow_autoclose int dir = cow_opendir_at(tree, "dir");
	subvol_create(dir, "nested");
	subvol_snapshot(two, tree, "tree");
	assert_int_equal(cow_ovl_image_build(one, NULL, NULL, &err), -EPERM);
	assert_non_null(strstr(cow_err_str(&err), "/dir/nested"));
	assert_int_equal(cow_ovl_image_build(two, NULL, NULL, &err), -EPERM);
	assert_non_null(strstr(cow_err_str(&err), "/dir/nested"));
}

/* Even with the instance's own key a handle leads to no other subvolume: the second line behind the
 * MAC. The key is where record.h says it is. */
static void a_genuine_handle_of_another_subvolume_is_stale(void **state)
{
	struct ovl *f = *state;
	uint8_t key[COW_SIPHASH_KEY_LEN], handle[COW_OVL_HANDLE_MAX];
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + 20] = {0};
	struct file_handle *h = (void *)buf;
	struct cow_ovl_node *none;
	int mnt_id;
	subvol_create(f->dirfd, "other");
	h->handle_bytes = 20;
	ok(name_to_handle_at(f->dirfd, "other", h, &mnt_id, 0));
	size_t len = cow_ovl_handle(f->root, handle);
	assert_int_equal(h->handle_bytes, handle[3]);
	cow_autoclose int rec = openat(f->dirfd, "instance", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(rec, key, sizeof(key), 56), sizeof(key));
	memcpy(handle + 16, h->f_handle, h->handle_bytes);
	uint64_t mac = cow_siphash24(key, handle, len - 8);
	for (int k = 0; k < 8; k++)
		handle[len - 8 + (size_t)k] = (uint8_t)(mac >> (8 * k));
	ok(cow_ovl_handle_check(f->inst, handle, len));
	assert_int_equal(cow_ovl_from_handle(f->inst, handle, len, &none), -ESTALE);
}

static void a_mount_in_the_tree_is_out_of_reach(void **state)
{
	struct ovl *f = *state;
	char point[160];
	(void)snprintf(point, sizeof(point), "%s/tree/mnt", f->tmp->path);
	ok(make(f->root, "mnt", S_IFDIR, 0755, NULL));
	ok(mount("tmpfs", point, "tmpfs", 0, "size=1m"));
	assert_out_of_reach(f, (char[]){"mnt"}, -EXDEV);
	ok(umount(point));
	/* and so is a bind mount of the same file system */
	ok(mount(f->tmp->path, point, NULL, MS_BIND, NULL));
	assert_out_of_reach(f, (char[]){"mnt"}, -EBUSY);
	ok(umount(point));
	cow_autonode n = NULL;
	ok(look(f->root, "mnt", &n));
}

struct pair {
	struct cow_ovl_node *root;
	char name;
};

static void *create_in(void *arg)
{
	struct pair *p = arg;
	for (int k = 0; k < 30; k++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "%c%d", p->name, k);
		if (make_file(p->root, name, NULL) < 0)
			return p;
	}
	return NULL;
}

/* Two subvolumes have two st_dev, but one file system: their waiters share syncs. */
static void roots_in_two_subvolumes_share_syncs(void **state)
{
	struct ovl *f = *state;
	enum { N = 2, THREADS = 4 };
	struct cow_ovl_inst *i[N];
	struct cow_ovl_node *root[N];
	struct cow_ovl_stats s;
	pthread_t t[N * THREADS];
	struct pair arg[N * THREADS];
	uint64_t commits = 0, waits = 0;
	for (int k = 0; k < N; k++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "root%d", k);
		subvol_create(f->dirfd, name);
		cow_autoclose int dir = cow_opendir_at(f->dirfd, name);
		ok(mkdirat(dir, "tree", 0755));
		ok(cow_ovl_inst_create(dir, NULL, NULL, NULL));
		ok(cow_ovl_inst_open(dir, NULL, 0, &i[k], NULL));
		ok(cow_ovl_root(i[k], &root[k]));
	}
	for (int k = 0; k < N * THREADS; k++) {
		arg[k] = (struct pair){.root = root[k % N], .name = (char)('a' + k)};
		ok(pthread_create(&t[k], NULL, create_in, &arg[k]));
	}
	for (int k = 0; k < N * THREADS; k++) {
		void *failed;
		ok(pthread_join(t[k], &failed));
		assert_null(failed);
	}
	for (int k = 0; k < N; k++) {
		cow_ovl_stats(i[k], &s);
		commits += s.commits;
		waits += s.commit_waits;
		cow_ovl_put(root[k]);
		ok(cow_ovl_inst_close(i[k]));
	}
	print_message("%u waits: %u syncs\n", (unsigned)waits, (unsigned)commits);
	assert_true(commits < waits);
}

/* Linux 6.5 and later; older headers lack it. */
#define NR_CACHESTAT 451
struct cache_range {
	uint64_t off, len;
};
struct cache_stat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static uint64_t dirty_pages(int fd)
{
	struct cache_range all = {0};
	struct cache_stat st = {0};
	if (syscall(NR_CACHESTAT, fd, &all, &st, 0) < 0) {
		print_message("no cachestat(2) here\n");
		skip();
	}
	return st.dirty;
}

/* Names are committed through the journal: what another client has written and not synced stays
 * where it is, and nobody waits for it. */
static void a_strict_change_waits_for_nobodys_data(void **state)
{
	static char block[1 << 20];
	struct ovl *f = *state;
	cow_autoclose int fd = openat(f->dirfd, "others", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	assert_true(dirty_pages(fd) > 0);
	ok(make(f->root, "mine", S_IFDIR, 0755, NULL));
	assert_true(dirty_pages(fd) > 0);
	ok(cow_ovl_inst_sync(f->inst));
	assert_int_equal(dirty_pages(fd), 0);
}

static void fill_up(struct ovl *f)
{
	static char block[65536];
	struct iovec iov = {.iov_base = block, .iov_len = sizeof(block)};
	uint64_t off = 0;
	cow_autonode n = NULL;
	cow_autoopen o = NULL;
	ok(make_file(f->root, "filler", &n));
	ok(cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_WRITE, &o));
	for (ssize_t r = 1; iov.iov_len > 0;) {
		r = cow_ovl_write(o, &iov, 1, off, COW_WRITE_STABLE);
		if (r > 0)
			off += (uint64_t)r;
		else if (r == -ENOSPC)
			iov.iov_len /= 2; /* to the last byte */
		else
			fail_msg("write: %d", (int)r);
	}
}

static void a_full_file_system_leaves_nothing_half_made(void **state)
{
	struct ovl *f = *state;
	static char target[1000]; /* blocks are 1 KiB here */
	static const mode_t types[] = {S_IFDIR, S_IFLNK, S_IFREG};
	struct cow_ovl_node *none;
	unsigned failed = 0;
	char name[32];
	memset(target, 't', sizeof(target) - 1);
	fill_up(f);
	for (int k = 0; k < 300; k++) {
		struct cow_ovl_create how = {.type = types[k % 3], .mode = 0755, .target = target};
		(void)snprintf(name, sizeof(name), "object-%d", k);
		int r = cow_ovl_create(f->root, name, strlen(name), &cow_ovl_root_cred, &how, NULL,
				       NULL);
		if (r == 0)
			continue;
		assert_int_equal(r, -ENOSPC);
		assert_int_equal(look(f->root, name, &none), -ENOENT);
		failed++;
	}
	assert_true(failed >= 100); /* directories and long links need a block */
	ovl_restart(f);		    /* the record is written in place: no space needed */
	ok(rm(f->root, "filler", COW_REMOVE_FILE));
	ok(make(f->root, "room-again", S_IFDIR, 0755, NULL));
}

static void the_programs_pass_on(const struct fs *fs)
{
	char point[80];
	(void)snprintf(point, sizeof(point), "%s/%s", base, fs->type);
	mount_image(fs, point);
	ok(setenv("TMPDIR", point, 1)); /* NOLINT(concurrency-mt-unsafe): before threads */
	int failed = 0;
	for (char **p = programs; *p; p++) {
		char *argv[] = {*p, NULL};
		int r = run(argv, environ);
		if (r != 0)
			print_error("%s on %s: exit %d\n", *p, fs->type, r);
		failed += r != 0;
	}
	unmount_image(point);
	assert_int_equal(failed, 0);
}

#define ON(type, index)                                                                            \
	static void every_program_passes_on_##type(void **state)                                   \
	{                                                                                          \
		the_programs_pass_on(&file_systems[index]);                                        \
	}
ON(btrfs, 0)
ON(xfs, 1)
ON(ext4, 2)
ON(tmpfs, 3)

static int refuse(const char *why)
{
	(void)fprintf(stderr, "NOT RUN: %s\n", why);
	return 77;
}

int main(int argc, char **argv)
{
#define B(name) cmocka_unit_test_setup_teardown(name, setup_btrfs, teardown)
	const struct CMUnitTest tests[] = {
	    B(a_nested_subvolume_is_out_of_reach),
	    B(what_a_snapshot_leaves_of_a_nested_subvolume_is_out_of_reach),
	    B(a_tree_with_another_subvolume_is_no_image),
	    B(a_snapshot_of_a_root_gets_a_new_epoch),
	    B(a_genuine_handle_of_another_subvolume_is_stale),
	    B(a_mount_in_the_tree_is_out_of_reach),
	    B(roots_in_two_subvolumes_share_syncs),
	    cmocka_unit_test_setup_teardown(a_full_file_system_leaves_nothing_half_made,
					    setup_small, teardown),
	    cmocka_unit_test_setup_teardown(a_strict_change_waits_for_nobodys_data, setup_xfs,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_strict_change_waits_for_nobodys_data, setup_ext4,
					    teardown),
	    cmocka_unit_test(every_program_passes_on_btrfs),
	    cmocka_unit_test(every_program_passes_on_xfs),
	    cmocka_unit_test(every_program_passes_on_ext4),
	    cmocka_unit_test(every_program_passes_on_tmpfs),
	};
	(void)argc;
	programs = argv + 1;
	if (geteuid() != 0)
		return refuse("needs root for mounts");
	if (access("/dev/loop-control", R_OK | W_OK) < 0)
		return refuse("needs loop devices");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return refuse("needs a mount namespace of its own");
	(void)snprintf(base, sizeof(base), "/tmp/cow-root-XXXXXX");
	if (!mkdtemp(base))
		return refuse("needs a temporary directory");
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(base);
	return r;
}
