/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "btrfs.h"
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

static int check_backend(int fd, const char *path, struct cow_err *err)
{
	int r = cow_btrfs_check(fd);
	if (r < 0)
		return cow_err_set(err, r, "statfs '%s'", path);
	if (r == 0)
		return cow_err_hint(
		    err,
		    cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP, "'%s' is not on btrfs", path),
		    "put the store on a btrfs file: cowherd init --store %s --loop 50G "
		    "/var/lib/cowherd.btrfs",
		    path);
	return 0;
}

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
	r = check_backend(fd, path, err);
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
