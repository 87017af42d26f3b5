/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Versions of images and clients carried from store to store, see cowherd-archive(5). Reading a version is
 * cow_image_import().
 */
#ifndef COW_SNAPSHOT_ARCHIVE_H
#define COW_SNAPSHOT_ARCHIVE_H

#include <stdbool.h>

#include "snapshot/image.h"
#include "snapshot/mac.h"

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
 * cow_image_export_btrfs - the same as a btrfs send stream, for stores on btrfs. The whole tree is compared with the
 * manifest before. Nothing goes on from an export that was interrupted.
 * Return: as cow_image_export(); -EOPNOTSUPP a tree is no subvolume; -EPERM. Threads: as there; needs CAP_SYS_ADMIN.
 */
int cow_image_export_btrfs(struct cow_store *s, const struct cow_image *i,
			   const struct cow_image *since, const struct cow_export_opts *opts,
			   struct cow_export_done *ret, struct cow_err *err);

/*
 * cow_image_export_oci - write version @i as an OCI image layout with one layer: opts->output is a directory that
 * does not exist yet. opts->level is not used.
 * Crash: without its end the directory has another name, which a repetition removes (I2).
 * Return: 0; -EEXIST; as cow_image_export().
 */
int cow_image_export_oci(struct cow_store *s, const struct cow_image *i,
			 const struct cow_export_opts *opts, struct cow_export_done *ret,
			 struct cow_err *err);

enum {
	COW_EXPORT_NOW = 1 << 0, /* also while its root is in use, see COW_COMMIT_NOW */
};
/*
 * cow_client_export - write what a client's root shows otherwise than the image it came from, and what an
 * administrator has set. The root is read as by cow_client_commit(), and a version of the image is made on the
 * way that nobody sees and that goes again: it takes the room of what the client changed where the file system
 * cannot share data.
 * Crash: as cow_image_export(); leftovers in the store are swept (I3).
 * Return: 0; -ENOENT no such client, or the image is gone (exit 3); -EBUSY as cow_client_commit(); as
 * cow_image_export(). Threads: any, one for each image.
 */
int cow_client_export(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		      const struct cow_export_opts *opts, struct cow_export_done *ret,
		      struct cow_err *err);

struct cow_import_progress;
struct cow_client_import_opts {
	const struct cow_mac *mac; /* NULL: the archive's */
	const char *name;	   /* NULL: the archive's */
	/* A setting that is left at its default, since this store cannot have it; may be NULL. */
	void (*notice)(void *ctx, const char *key, const char *value, const char *why);
	int (*progress)(void *ctx, const struct cow_import_progress *p); /* see cow_import_opts; may be NULL */
	void *ctx;
};
/*
 * cow_client_import - a client again, from an archive: a file, or COW_IMPORT_STDIN. Its root stands on the same
 * image, known by its id, shows what it showed, and has nothing before it to roll back to. With another address or
 * name than the archive's it gets the identity of a new client of these.
 * Return: 0; -EEXIST there is a client with this address or name (exit 5); -ENOENT the image is not here (exit
 * 3); -EBADMSG damaged; -EOPNOTSUPP of an image, or newer; -EBUSY a version of the image is being made; -EINTR
 * stopped; -ENOSPC; -errno. Crash or failure: nothing is visible, leftovers are swept (I2, I3).
 * Threads: any, one for each image.
 */
int cow_client_import(struct cow_store *s, const char *source,
		      const struct cow_client_import_opts *opts, struct cow_mac *ret,
		      struct cow_err *err);

/* The version with this id, of image @name where several have it: name, version and id are filled in. -ENOENT. */
int cow_image_find_id(struct cow_store *s, const char *id, const char *name, struct cow_image **ret,
		      struct cow_err *err);

/* How many bytes of files of @i does @other have too? By digest. */
int cow_image_shared(struct cow_store *s, const struct cow_image *i, const struct cow_image *other,
		     uint64_t *ret, struct cow_err *err);

/* What an archive says of itself. */
struct cow_archive_info {
	char client[COW_MAC_TEXT_LEN + 1]; /* whose root it is: name and version are the base's; "": an image */
	char name[COW_LABEL_MAX + 1]; /* of the image, where it was made */
	unsigned version;
	char id[COW_IMAGE_ID_LEN + 1];
	char base_name[COW_LABEL_MAX + 1]; /* "": it holds everything */
	unsigned base_version;
	char base[COW_IMAGE_ID_LEN + 1];
	uint64_t manifest_len;
	bool btrfs; /* its tree is a btrfs send stream */
};

/* cow_archive_peek - of a file. Return: 0; -ENOENT; -EBADMSG it is none; -errno. */
int cow_archive_peek(const char *path, struct cow_archive_info *ret, struct cow_err *err);

#endif
