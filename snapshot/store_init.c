/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "common/fs.h"
#include "store_internal.h"

/* What a fresh file system brings along. */
static int expected(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

static int check_empty(int fd, const char *path, struct cow_err *err)
{
	if (faccessat(fd, "format", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_say(err, COW_ERR_REFUSED, -EEXIST, "'%s' is a store already", path);
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (again < 0)
		return cow_err_set(err, -errno, "open '%s'", path);
	cow_autodir DIR *dir = fdopendir(again);
	if (!dir) {
		int r = -errno;
		(void)close(again);
		return cow_err_set(err, r, "read '%s'", path);
	}
	struct dirent *e;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread per DIR */
	while ((e = readdir(dir)))
		if (!expected(e->d_name))
			return cow_err_say(err, COW_ERR_REFUSED, -ENOTEMPTY,
					   "'%s' is not empty; a store gets a directory of its own",
					   path);
	return 0;
}

/* ---------------------------------------------------------------- what the file system can do */

#define PROBE_PREFIX ".tmp-probe-"
#define HANDLE_MAX 20 /* longest the engine carries, see overlay/record.h */

static int probe_handles(int dir)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + HANDLE_MAX];
	} u = {.h.handle_bytes = HANDLE_MAX};
	int mount_id;
	if (name_to_handle_at(dir, "", &u.h, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	cow_autoclose int fd = open_by_handle_at(dir, &u.h, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static int probe_xattrs(int dir)
{
	return fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

/* Whiteouts, made and left behind by a rename. */
static int probe_whiteouts(int dir)
{
	if (mknodat(dir, "a", S_IFCHR, makedev(0, 0)) < 0)
		return -errno;
	return renameat2(dir, "a", dir, "b", RENAME_WHITEOUT) < 0 ? -errno : 0;
}

static int probe_exchange(int dir)
{
	return renameat2(dir, "a", dir, "b", RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static const struct probe {
	int (*try)(int dir);
	const char *what;
} probes[] = {
    {probe_handles, "file handles of at most 20 bytes"},
    {probe_xattrs, "extended attributes of the kind trusted.*"},
    {probe_whiteouts, "renames that leave a whiteout"},
    {probe_exchange, "renames that exchange two names"},
};

static int probe_all(int fd, const char *name, const struct probe **ret_failed)
{
	int r = cow_mkdir_at(fd, name, 0700);
	cow_autoclose int dir = r < 0 ? r : cow_opendir_at(fd, name);
	if (dir < 0)
		return dir;
	for (size_t i = 0; i < sizeof(probes) / sizeof(*probes); i++) {
		r = probes[i].try(dir);
		if (r < 0) {
			*ret_failed = &probes[i];
			return r;
		}
	}
	return 0;
}

/* Everything the overlay backend stands on is tried, since no list of file systems knows what an
 * option of mount(8) took away. */
static int check_file_system(int fd, const char *path, struct cow_err *err)
{
	char hex[COW_HEX64_LEN + 1], name[sizeof(PROBE_PREFIX) + COW_HEX64_LEN];
	const struct probe *failed = NULL;
	int r = cow_random_hex(hex);
	if (r < 0)
		return cow_err_set(err, r, "make a store in '%s'", path);
	(void)snprintf(name, sizeof(name), PROBE_PREFIX "%s", hex);
	r = probe_all(fd, name, &failed);
	(void)cow_rm_rf_at(fd, name, 0); /* what it is called says that it means nothing */
	if (r < 0 && !failed)
		return cow_err_set(err, r, "make a store in '%s'", path);
	if (r == -EPERM || r == -EACCES)
		return cow_err_hint(err, cow_err_set(err, r, "try %s in '%s'", failed->what, path),
				    "run it as root");
	if (r < 0)
		return cow_err_hint(
		    err,
		    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				"the file system of '%s' does not have %s (%s)", path, failed->what,
				strerrordesc_np(-r)),
		    "use a directory on ext4, xfs or btrfs, or put the store on a btrfs file: "
		    "cowherd init --store %s --loop 50G /var/lib/cowherd.btrfs",
		    path);
	return 0;
}

/* ---------------------------------------------------------------- making it */

static int write_id(int fd)
{
	char hex[2][COW_HEX64_LEN + 1], line[COW_STORE_ID_LEN + 2];
	int r = cow_random_hex(hex[0]);
	if (r == 0)
		r = cow_random_hex(hex[1]);
	if (r < 0)
		return r;
	int len = snprintf(line, sizeof(line), "%s%s\n", hex[0], hex[1]);
	return cow_write_file_at(fd, "id", line, (size_t)len, 0600);
}

/* `format` comes last: without it there is no store, and a new try finds a directory it refuses
 * because it is not empty, so a failed try removes what it made. */
static int fill(int fd)
{
	static const char *const dirs[] = {"images", "clients", "keep", "trash"};
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		int r = cow_mkdir_at(fd, dirs[i], 0700);
		if (r < 0)
			return r;
	}
	int r = write_id(fd);
	if (r < 0)
		return r;
	if (syncfs(fd) < 0)
		return -errno;
	return cow_write_file_at(fd, "format", COW_STORE_FORMAT "\n", strlen(COW_STORE_FORMAT) + 1,
				 0644);
}

static void unfill(int fd)
{
	static const char *const names[] = {"format", "id", "images", "clients", "keep", "trash"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)cow_rm_rf_at(fd, names[i], 0); /* the first failure is what gets reported */
	(void)cow_sweep_tmp_at(fd);
}

int cow_store_init(const char *path, struct cow_err *err)
{
	struct stat st;
	int made = lstat(path, &st) < 0 && errno == ENOENT;
	int r = cow_mkdir_p(path, 0755);
	if (r < 0)
		return cow_err_set(err, r, "make directory '%s'", path);
	cow_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cow_err_set(err, -errno, "open '%s'", path);
	r = check_empty(fd, path, err);
	if (r < 0)
		return r;
	r = check_file_system(fd, path, err);
	if (r == 0) {
		r = fill(fd);
		if (r < 0) {
			unfill(fd);
			r = cow_err_set(err, r, "make a store in '%s'", path);
		}
	}
	if (r < 0 && made)
		(void)rmdir(path); /* leave the host as it was */
	return r;
}
