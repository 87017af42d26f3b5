/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * File-system helpers. All take a directory fd and single names or relative paths; none follows a
 * symbolic link in the last component. Return 0 or a negative errno. Threads: any.
 */
#ifndef COW_COMMON_FS_H
#define COW_COMMON_FS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Read until @len bytes or end of file; restarts after EINTR. Return: bytes read or -errno. */
ssize_t cow_read_full(int fd, void *buf, size_t len);
ssize_t cow_pread_full(int fd, void *buf, size_t len, off_t off);

/* Write all of it. Return: 0 or -errno (-EIO when the kernel takes nothing). */
int cow_write_full(int fd, const void *buf, size_t len);
int cow_pwrite_full(int fd, const void *buf, size_t len, off_t off);

/*
 * cow_read_file_at - whole small file into memory, NUL added behind it.
 * @max: -EFBIG when larger. Ownership: caller frees *ret.
 */
int cow_read_file_at(int dirfd, const char *name, size_t max, char **ret, size_t *ret_len);

/*
 * cow_write_file_at - replace a file's content atomically: temporary name in the same directory,
 * fsync, rename, fsync of the directory.
 * @name: one component. Crash: old or new content, never a mixture; a left-over temporary is named
 * ".tmp-<name>-<hex>" and swept by cow_sweep_tmp_at(). (I2, I3)
 */
int cow_write_file_at(int dirfd, const char *name, const void *buf, size_t len, mode_t mode);

/* Remove left-over temporaries of cow_write_file_at() and cow_symlink_swap_at() in a directory. */
int cow_sweep_tmp_at(int dirfd);

/*
 * cow_symlink_swap_at - make @name a symlink to @target, replacing what was there in one rename.
 * The directory is fsynced. Crash: old or new link.
 */
int cow_symlink_swap_at(int dirfd, const char *target, const char *name);
/* The same, and the caller syncs. */
int cow_symlink_replace_at(int dirfd, const char *target, const char *name);

/* readlink into memory the caller frees. -ENOENT, -EINVAL (not a link). */
int cow_readlink_at(int dirfd, const char *name, char **ret);

/* Is there something of that name? 1, 0, -errno. Unlike faccessat(2) it counts the capabilities of a
 * process that is not root. */
int cow_exists_at(int dirfd, const char *name);

/* mkdir that accepts an existing directory (not a link to one). */
int cow_mkdir_at(int dirfd, const char *name, mode_t mode);

/* mkdir -p of a path; every missing component gets @mode. */
int cow_mkdir_p(const char *path, mode_t mode);

/* Open one directory component, O_DIRECTORY|O_NOFOLLOW|O_RDONLY|O_CLOEXEC. Return: fd or -errno. */
int cow_opendir_at(int dirfd, const char *name);

/*
 * cow_open_beneath - open @path below @dirfd; no component may leave it, cross a mount or be a
 * magic link; symbolic links are refused unless @flags lacks O_NOFOLLOW.
 * Source: openat2(2). Return: fd or -errno.
 */
int cow_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

enum {
	COW_RM_CONTENTS = 1 << 0, /* keep the directory itself */
};

/*
 * cow_rm_rf_at - remove a tree. Never follows a link, never crosses into another mount; a btrfs
 * subvolume below is entered (its st_dev differs but it is the same mount) and its directory is
 * removed like any other. An absent name is no error.
 * @flags: COW_RM_*. Return: 0; -EXDEV a mount point is in the way (everything else is removed
 * first); -ELOOP deeper than COW_DEPTH_MAX and of several file systems; other -errno.
 * Depth costs neither stack nor descriptors: what lies deep is renamed to the top before.
 */
int cow_rm_rf_at(int dirfd, const char *name, unsigned flags);

/*
 * cow_readdir - next entry without "." and "..", valid until the next call on @d.
 * Return: 1; 0 at the end; -errno. Threads: one per DIR.
 */
int cow_readdir(DIR *d, const struct dirent **ret);

/* Random bytes from the kernel. Return: 0 or -errno. */
int cow_random(void *buf, size_t len);

/* 16 lower-case hex digits of 8 random bytes, for temporary names. */
#define COW_HEX64_LEN 16
int cow_random_hex(char ret[COW_HEX64_LEN + 1]);

/* fsync of a directory by name relative to @dirfd ("." for itself). */
int cow_fsync_dir_at(int dirfd, const char *name);

/*
 * cow_lock_at - take the lock file @name (made if absent) exclusively by an open-file-description
 * lock (fcntl(2), F_OFD_SETLK): released when the fd is closed, also by a crash.
 * @timeout_ms: 0: do not wait. Return: fd (caller closes = unlocks); -EBUSY held by another.
 */
int cow_lock_at(int dirfd, const char *name, unsigned timeout_ms);

/* XFS shows root the access lists a second time, in its own form and under these names: no tree has them. */
static inline bool cow_xattr_of_xfs(const char *name)
{
	static const char prefix[] = "trusted.SGI_ACL_";
	return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

/*
 * cow_fd_table_reserve - make room for as many descriptors as the process may open, 65536 at most.
 * The kernel doubles the table when it is full, and where threads share it that waits each time until
 * all processors have passed a quiescent state: 10 ms and more, in the middle of somebody's open(2).
 * Best called before there are threads; else it waits once, now. Costs 8 bytes each. Without memory nothing
 * changes.
 */
void cow_fd_table_reserve(void);

#endif
