/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Versions of images carried from store to store, see cowherd-archive(5). Reading one is cow_image_import().
 */
#ifndef COW_SNAPSHOT_ARCHIVE_H
#define COW_SNAPSHOT_ARCHIVE_H

#include "snapshot/image.h"

#define COW_EXPORT_STDOUT "-" /* as an output: standard output */
#define COW_EXPORT_LEVEL 9    /* of zstd: what an export takes without being told */
#define COW_EXPORT_LEVEL_MAX 19

struct cow_export_opts {
	const char *output; /* file, or COW_EXPORT_STDOUT; NULL: a pipe, fd */
	int fd;
	int level;	    /* of zstd, 1..COW_EXPORT_LEVEL_MAX */
	/* Now and then from the calling thread, with bytes of content; may be NULL. < 0 ends it. */
	int (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

struct cow_export_done {
	uint64_t bytes; /* of the archive */
	uint64_t files; /* whose content is in it */
	uint64_t plain; /* bytes of that, with the manifest */
	int resumed;	/* a part was there from an export that was interrupted */
	uint64_t left_out; /* sockets, of which the output has no notion */
};

/*
 * cow_image_export - write version @i as an archive; with @since only what it has otherwise than that.
 * The content of each file is compared with its digest.
 * Crash: without its end the file has another name; a repetition goes on with it (I2).
 * Return: 0; -EBUSY the file is being written; -EOPNOTSUPP it has no manifest; -EBADMSG the image is
 * damaged; -EINTR stopped; -ENOSPC; -errno. Threads: one for an output; starts and ends some of its own.
 */
int cow_image_export(struct cow_store *s, const struct cow_image *i, const struct cow_image *since,
		     const struct cow_export_opts *opts, struct cow_export_done *ret,
		     struct cow_err *err);

/*
 * cow_image_export_oci - write version @i as an OCI image layout with one layer: opts->output is a directory that
 * does not exist yet. opts->level is not used.
 * Crash: without its end the directory has another name, which a repetition removes (I2).
 * Return: 0; -EEXIST; as cow_image_export().
 */
int cow_image_export_oci(struct cow_store *s, const struct cow_image *i,
			 const struct cow_export_opts *opts, struct cow_export_done *ret,
			 struct cow_err *err);

/* The version with this id, of image @name where several have it: name, version and id are filled in. -ENOENT. */
int cow_image_find_id(struct cow_store *s, const char *id, const char *name, struct cow_image **ret,
		      struct cow_err *err);

/* How many bytes of files of @i does @other have too? By digest. */
int cow_image_shared(struct cow_store *s, const struct cow_image *i, const struct cow_image *other,
		     uint64_t *ret, struct cow_err *err);

/* What an archive says of itself. */
struct cow_archive_info {
	char name[COW_LABEL_MAX + 1]; /* of the image, where it was made */
	unsigned version;
	char id[COW_IMAGE_ID_LEN + 1];
	char base_name[COW_LABEL_MAX + 1]; /* "": it holds everything */
	unsigned base_version;
	char base[COW_IMAGE_ID_LEN + 1];
	uint64_t manifest_len;
};

/* cow_archive_peek - of a file. Return: 0; -ENOENT; -EBADMSG it is none; -errno. */
int cow_archive_peek(const char *path, struct cow_archive_info *ret, struct cow_err *err);

#endif
