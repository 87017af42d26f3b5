/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a manifest records of one object, read from the data root: attributes, target, extended
 * attributes, digest. Reading leaves no trace: no link is followed, no device opened, and access
 * times stay where the kernel allows it. For the builder and for verify.
 */
#ifndef COW_OVERLAY_IMAGE_SCAN_H
#define COW_OVERLAY_IMAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "ovm_format.h"

struct cow_scan;

typedef int (*cow_scan_progress_fn)(void *ctx, uint64_t inodes, uint64_t bytes);

struct cow_scan_xattr {
	const char *name;
	const void *value;
	size_t len;
};

/* Pointers: into the scan, until its next call. */
struct cow_scan_object {
	struct statx st;
	const char *target; /* symlinks */
	size_t target_len;
	const struct cow_scan_xattr *xattrs; /* sorted by name */
	size_t nxattr;
	uint8_t digest[COW_OVM_DIGEST_LEN]; /* regular files */
};

/* @progress may be NULL. */
int cow_scan_new(int rootfd, cow_scan_progress_fn progress, void *ctx, struct cow_scan **ret);
void cow_scan_free(struct cow_scan *s); /* NULL is fine */

/*
 * cow_scan_stat - attributes of a name; fills in ret->st alone.
 * Return: 0; -ENOENT; -EXDEV mount point, another subvolume, or what a snapshot left of one; -errno.
 */
int cow_scan_stat(const struct cow_scan *s, int dirfd, const char *name,
		  struct cow_scan_object *ret);

/*
 * cow_scan_rest - everything else of the object cow_scan_stat() found. Counts it for progress.
 * Return: 0; -EAGAIN it changed meanwhile; the progress callback's value; -errno.
 */
int cow_scan_rest(struct cow_scan *s, int dirfd, const char *name, struct cow_scan_object *obj);

/* Did the progress callback end it? */
bool cow_scan_stopped(const struct cow_scan *s);

/* The same object, not written to since @st was taken? By fd. Return: 0; -EAGAIN; -errno. */
int cow_scan_unchanged(int fd, const struct statx *st);

#endif
