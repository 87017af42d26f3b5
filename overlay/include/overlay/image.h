/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Golden images as the engine sees them: a directory holding
 *	tree/		the data root: an ordinary tree (or read-only subvolume, or mount)
 *	image.ovm	the manifest: names, attributes, xattrs, links and digests of all of it
 * Both are immutable once published. The format of the manifest is in manifest.h and
 * docs/image.ovm.5.pod.
 */
#ifndef COW_OVERLAY_IMAGE_H
#define COW_OVERLAY_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"

#define COW_OVM_NAME "image.ovm"
#define COW_OVM_UUID_LEN 16
#define COW_OVM_ID_LEN 32 /* SHA-256 */

struct cow_ovl_image;

/* ---------------------------------------------------------------- making */

/* An object that the parent has somewhere else. */
struct cow_ovl_image_moved {
	uint64_t ino;	 /* st_ino of the object in the tree */
	uint32_t number; /* of it in the parent */
};

struct cow_ovl_image_build {
	/* The version this one follows: equal (path, type) keeps its number, and the lineage goes on.
	 * NULL: a new lineage. Borrowed for the call. */
	const struct cow_ovl_image *parent;
	/* With a parent: objects known to be its own although they have other paths. They keep their
	 * numbers, and what lies in a moved directory is looked for where it was. Borrowed. */
	const struct cow_ovl_image_moved *moved;
	size_t nmoved;
	/* With a parent: new numbers begin here at least. For a parent that is not the newest of its
	 * lineage: next_number of that one. */
	uint32_t next_number_min;
	/* Now and then from the calling thread; NULL: none. < 0 ends the build with that errno. */
	int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes);
	void *ctx;
};

struct cow_ovl_image_info {
	uint8_t id[COW_OVM_ID_LEN];	   /* SHA-256 of the manifest: the image id */
	uint8_t uuid[COW_OVM_UUID_LEN];	   /* of this version */
	uint8_t lineage[COW_OVM_UUID_LEN]; /* shared by all versions that inherit numbers */
	uint8_t parent[COW_OVM_UUID_LEN];  /* zeros: none */
	uint64_t inodes;		   /* objects in the tree, the root counted */
	uint64_t bytes;			   /* sum of the sizes of regular files */
	uint32_t next_number; /* no object of the lineage so far has this number or more */
};

/*
 * cow_ovl_image_build - walk @dirfd/tree and write @dirfd/image.ovm (temporary name, fsync, rename).
 * Reads every regular file once (digests). The tree must not change meanwhile: a file that does is
 * -EAGAIN and named.
 * Refused, with the path: character devices 0/0 and trusted.overlay.* attributes (they would mean
 * something to the engine), mount points and other subvolumes below the tree, more than 2^31 objects.
 * Crash: without a complete image.ovm nothing is there (I2, I3). Does not sync the tree's data.
 * Return: 0; -EEXIST has one; -EPERM refused content; the progress callback's value; -ENOMEM, -EIO…
 * Threads: one per directory.
 */
int cow_ovl_image_build(int dirfd, const struct cow_ovl_image_build *how,
			struct cow_ovl_image_info *ret, struct cow_err *err);

struct cow_ovl_image_shared {
	uint64_t files, bytes;
};

/*
 * cow_ovl_share - what a version being made shares with an earlier one, in two steps: cow_ovl_share_twin()
 * while its tree is filled saves writing what would be the same, cow_ovl_image_share() looks for the rest.
 * No two objects become one: what became a link to an object of the earlier version is never given out again.
 * Threads: one.
 */
struct cow_ovl_share;
/* @with: gets one more reference. Return: 0; -ENOMEM. */
int cow_ovl_share_new(struct cow_ovl_image *with, struct cow_ovl_share **ret);
void cow_ovl_share_free(struct cow_ovl_share *s); /* NULL is fine */
/*
 * cow_ovl_share_other - after cow_ovl_image_share(): go on with another version, for files whose content the first did not
 * have, by cow_ovl_image_share() alone. A file is tried with one version, so that no two become one by what these share
 * with each other. Return: 0; -ENOMEM: only to be freed then.
 * cow_ovl_share_left - bytes of such files.
 */
int cow_ovl_share_other(struct cow_ovl_share *s, struct cow_ovl_image *with);
uint64_t cow_ovl_share_left(const struct cow_ovl_share *s);

struct cow_ovl_twin {
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec mtime;
};
/*
 * cow_ovl_share_twin - the earlier version's file at @path, if it has these attributes and no extended ones.
 * Its content is the caller's to compare. When the new tree has a link to it, or its extents, the caller says so
 * with cow_ovl_share_took(). Return: fd to read; -ENOENT; -EIO it is not what the manifest says; -errno.
 */
int cow_ovl_share_twin(const struct cow_ovl_share *s, const char *path,
		       const struct cow_ovl_twin *like, uint32_t *ret_number);
/* The earlier version's file at @path, for cow_ovl_share_took(); 0: there is none with data. */
uint32_t cow_ovl_share_number(const struct cow_ovl_share *s, const char *path);
void cow_ovl_share_took(struct cow_ovl_share *s, uint32_t number);

/*
 * cow_ovl_image_share - let the version in @dirfd share what it does not yet: complete with its manifest and not
 * published.
 * A regular file with the content of an earlier one (by digest, at the same path first, then compared) and
 * all its attributes becomes a hard link to it, where both trees are on one file system that is not btrfs (whose
 * trees are subvolumes). With other attributes, or where that cannot be, its extents are shared (FIDEDUPERANGE:
 * btrfs, xfs; also in a read-only subvolume). What the earlier version has lost or has damaged is not shared.
 * @progress: as of cow_ovl_image_build(). @ret: both steps. Syncs nothing. Crash: the version must not be published
 * then; the next sweep has it.
 * Return: 0; the progress callback's value; -ENOMEM, -EIO…
 */
int cow_ovl_image_share(int dirfd, struct cow_ovl_share *share,
			int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			struct cow_ovl_image_shared *ret, struct cow_err *err);

/* ---------------------------------------------------------------- using */

/*
 * cow_ovl_image_open - load the manifest into memory, check every offset in it, open the data root.
 * The same file opened twice in a process is one object, counted. Nothing is mapped, so a failing
 * disk later is an error of one read, not a signal.
 * Return: 0; -ENOENT no manifest or no tree; -EBADMSG damaged (says which part); -EOPNOTSUPP made by a
 * newer version; -ENOMEM. Threads: any.
 */
int cow_ovl_image_open(int dirfd, struct cow_ovl_image **ret, struct cow_err *err);
struct cow_ovl_image *cow_ovl_image_get(struct cow_ovl_image *img);
void cow_ovl_image_close(struct cow_ovl_image *img); /* drops one reference; NULL is fine */
COW_DEFINE_AUTO(struct cow_ovl_image, cow_ovl_image_close)
#define cow_autoovlimage COW_CLEANUP(cow_auto_cow_ovl_image_close) struct cow_ovl_image *

void cow_ovl_image_info(const struct cow_ovl_image *img, struct cow_ovl_image_info *ret);

/* The header alone: id is not filled in (zeros), nothing below the header is checked. Costs one
 * small read, whatever the image's size. Return: as cow_ovl_image_open(). */
int cow_ovl_image_peek(int dirfd, struct cow_ovl_image_info *ret, struct cow_err *err);

/*
 * cow_ovl_image_verify - compare tree/ with the manifest: names, types, attributes, xattrs, content by
 * digest; and the manifest with its own checksums and @want_id (NULL: not asked).
 * @found is called for every difference; its non-zero value stops and is returned. Access times are
 * not compared. Return: number of differences, or -errno.
 */
int64_t cow_ovl_image_verify(int dirfd, const uint8_t *want_id,
			     int (*found)(void *ctx, const char *path, const char *what),
			     int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			     struct cow_err *err);

/* The manifest as text, one object a line, by path; the format is described in image.ovm(5).
 * Return: 0 or -errno of writing. */
int cow_ovl_image_dump(const struct cow_ovl_image *img, FILE *out);

#endif
