/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The store: one directory tree that *is* the catalogue of images and clients (docs/store.md).
 * Publication of anything is one rename or one symlink swap. Readers take no lock.
 */
#ifndef COW_SNAPSHOT_STORE_H
#define COW_SNAPSHOT_STORE_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

#define COW_STORE_DEFAULT "/var/lib/cowherd"
#define COW_STORE_FORMAT "cowherd-store 1"

enum cow_backend {
	COW_BACKEND_NONE,
	COW_BACKEND_BTRFS,   /* writable snapshots, plain instances; on btrfs only */
	COW_BACKEND_OVERLAY, /* the image's manifest below, the client's changes above */
};
/* "btrfs", "overlay". -EINVAL. */
int cow_backend_parse(const char *s, enum cow_backend *ret);
const char *cow_backend_name(enum cow_backend b);

struct cow_store;

/*
 * cow_store_init - make an empty store at @path (made if absent; must be empty otherwise).
 * Return: 0; -EEXIST is a store already (exit 5); -ENOTEMPTY; -EOPNOTSUPP no backend works on this
 * file system (says what it lacks), with a hint to `cowherd init --loop`.
 */
int cow_store_init(const char *path, struct cow_err *err);

/*
 * cow_store_init_loop - the same on a btrfs file for hosts without btrfs: make the sparse @file of
 * @size_bytes, format it, mount it on @path (loop device with auto-clear, noatime), init there.
 * Nothing is left when a step fails. Mounting it again after a reboot: cow_store_mount_loop().
 */
int cow_store_init_loop(const char *path, const char *file, uint64_t size_bytes,
			struct cow_err *err);
int cow_store_mount_loop(const char *path, const char *file, struct cow_err *err);

/*
 * cow_store_open - check `format`, open the directory. Return: 0; -ENOENT no store here;
 * -EPROTONOSUPPORT a store of another format (says which). Free with cow_store_close().
 */
int cow_store_open(const char *path, struct cow_store **ret, struct cow_err *err);
void cow_store_close(struct cow_store *s); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_store, cow_store_close)
#define cow_autostore COW_CLEANUP(cow_auto_cow_store_close) struct cow_store *

int cow_store_fd(const struct cow_store *s); /* borrowed */
const char *cow_store_path(const struct cow_store *s);
enum cow_backend cow_store_default_backend(const struct cow_store *s);

/* Can clients have roots of this kind here? 0; -EOPNOTSUPP says why not (exit 5). */
int cow_store_check_backend(const struct cow_store *s, enum cow_backend b, struct cow_err *err);

/* Delete what resets took out of use; it may take long. Safe at any time, beside anything. */
int cow_store_empty_trash(struct cow_store *s, struct cow_err *err);

/* Finish what a crash interrupted: remove temporaries, unpublished images and roots, empty the
 * trash, repair epoch files. Safe at any time, beside anything (takes the locks). (I3) */
int cow_store_sweep(struct cow_store *s, struct cow_err *err);

#endif
