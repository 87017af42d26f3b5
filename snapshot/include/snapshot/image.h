/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Golden images: immutable numbered versions under STORE/images/NAME/VERSION/.
 */
#ifndef COW_SNAPSHOT_IMAGE_H
#define COW_SNAPSHOT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bounds.h"
#include "overlay/image.h"
#include "snapshot/store.h"

#define COW_IMAGE_ID_LEN ((size_t)2 * COW_OVM_ID_LEN) /* hex digits */

struct cow_image {
	char name[COW_LABEL_MAX + 1];
	unsigned version;
	char *source, *arch, *os, *comment; /* may be "" */
	char *boot_dir;			    /* "boot/firmware" or "boot", no leading slash */
	char *
	    initramfs; /* what mounts an NFS root: "cowherd" (our hook), "klibc" (NFSv3 only), "none" */
	/* How the tree is stored. btrfs: a read-only subvolume, good for clients of both kinds;
	 * overlay: a plain directory, for overlay clients only. */
	enum cow_backend backend;
	char id[COW_IMAGE_ID_LEN +
		1];		/* SHA-256 of the manifest; "": imported before there were any */
	uint64_t inodes, bytes; /* of the tree at import */
	int64_t created_s;	/* seconds since the epoch */
	unsigned clients; /* clients whose current root came from it; cow_image_each() fills it */
	int edited;	  /* an edit stands on it; cow_image_each() fills it */
};
void cow_image_free(struct cow_image *i); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_image, cow_image_free)
#define cow_autoimage COW_CLEANUP(cow_auto_cow_image_free) struct cow_image *

enum cow_import_step {
	COW_IMPORT_FILL,     /* the tree is being made */
	COW_IMPORT_MANIFEST, /* it is complete and on disk, and read once more for the manifest */
	COW_IMPORT_UNPACK,   /* before: a packed disk is unpacked, source_bytes tell how far */
};

struct cow_import_progress {
	enum cow_import_step step;
	uint64_t inodes, bytes;		     /* done so far in this step */
	uint64_t bytes_total;		     /* about what it will be; 0: unknown */
	uint64_t source_bytes, source_total; /* of the archive; total 0: unknown */
};

struct cow_import_opts {
	const char *comment; /* may be NULL */
	const char *const
	    *skip_fixups; /* names, NULL-terminated; may be NULL; "all": none is made */
	/* Of a directory: paths from its root with wildcards that are not taken, with all below them;
	 * NULL-terminated; may be NULL. */
	const char *const *exclude;
	/* Of the root this machine runs on: also caches, temporary files, swap, what others have mounted.
	 * File systems of the kernel and the store itself stay out in any case. */
	bool everything;
	/* About ten times a second from the importing thread; NULL: none. < 0 aborts the import with
	 * that errno; nothing stays behind. */
	int (*progress)(void *ctx, const struct cow_import_progress *p);
	/* Each fix-up with "done", "not needed" or "skipped" and what it changed; may be NULL. */
	void (*fixup)(void *ctx, const char *name, const char *result, const char *what);
	void *ctx;
};

#define COW_IMPORT_STDIN "-" /* as a source: what is read from standard input */

/*
 * cow_image_import - make a new version of image @name from a directory, a tar file or a disk image or
 * device (files: plain or compressed with gzip, bzip2, xz, zstd, zip).
 * Of a disk the root file system is taken, with the files of its boot partition where fstab mounts it.
 * Owners, modes, times, hard links, devices, holes, xattrs and ACLs are kept, ids are numeric.
 * Of the root this machine runs on, what belongs to the machine or the moment stays out and is noted (leave_out.h).
 * Archive members that are absolute, contain "..", or pass through a symbolic link are refused and
 * end the import. Crash or failure: nothing is visible, leftovers are swept (I2, I3).
 * Return: 0; -ENOENT no source (exit 3); -EINVAL bad name, or exclude with another source than a directory (exit 2); -EBADMSG damaged or hostile archive;
 * -ENOSPC; -EINTR aborted.
 */
int cow_image_import(struct cow_store *s, const char *name, const char *source,
		     const struct cow_import_opts *opts, unsigned *ret_version,
		     struct cow_err *err);

/* Find "NAME" (newest version), "NAME@V" or "NAME:TAG". Return: 0; -ENOENT says what exists. */
int cow_image_find(struct cow_store *s, const char *ref, struct cow_image **ret,
		   struct cow_err *err);

/* All versions, by name then number. The callback's non-zero value stops and is returned. */
int cow_image_each(struct cow_store *s, int (*fn)(void *ctx, const struct cow_image *i), void *ctx,
		   struct cow_err *err);

/* The whole record (image.conf) as read, for `image show`. */
struct cow_kv;
int cow_image_conf(struct cow_store *s, const struct cow_image *i, struct cow_kv **ret,
		   struct cow_err *err);

/*
 * cow_image_manifest - load the manifest of a version, see cow_ovl_image_open().
 * Return: 0; -EOPNOTSUPP it was imported before there were any (says what to do); as
 * cow_ovl_image_open(). Release with cow_ovl_image_close().
 */
int cow_image_manifest(struct cow_store *s, const struct cow_image *i, struct cow_ovl_image **ret,
		       struct cow_err *err);

/*
 * cow_image_tag - let NAME:@tag be the version @ref names, whatever it was before; one rename.
 * Return: 0, *ret that version, *ret_before the one it was or 0; -EINVAL no tag (exit 2); -ENOENT no such
 * version (exit 3). Crash: the old version or the new one.
 */
int cow_image_tag(struct cow_store *s, const char *ref, const char *tag, struct cow_image **ret,
		  unsigned *ret_before, struct cow_err *err);

/* Remove the tag NAME:TAG. -ENOENT there is none (exit 3). */
int cow_image_untag(struct cow_store *s, const char *ref, struct cow_err *err);

/* All tags of a version, sorted; @fn's non-zero value stops and is returned. -errno. */
int cow_image_tags(struct cow_store *s, const struct cow_image *i,
		   int (*fn)(void *ctx, const char *tag), void *ctx);

/*
 * cow_image_verify - compare the tree with the manifest, and the manifest with the id in the record.
 * @found, @progress: see cow_ovl_image_verify().
 * Return: number of differences; -EBADMSG the manifest itself is damaged; -EOPNOTSUPP it has none;
 * -errno.
 */
int64_t cow_image_verify(struct cow_store *s, const struct cow_image *i,
			 int (*found)(void *ctx, const char *path, const char *what),
			 int (*progress)(void *ctx, uint64_t inodes, uint64_t bytes), void *ctx,
			 struct cow_err *err);

/* Remove one version; -EBUSY while a client's root came from it, or a root kept for rollback or an
 * edit needs it (names one). */
int cow_image_rm(struct cow_store *s, const struct cow_image *i, struct cow_err *err);

/* Would cow_image_rm() be refused? 0; -EBUSY says who needs it. */
int cow_image_check_unused(struct cow_store *s, const struct cow_image *i, struct cow_err *err);

#endif
