/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Inside of a store, for snapshot/ only.
 *
 * Locks (open-file-description locks on files, released by a crash):
 *	STORE/lock            everything that publishes, unpublishes or sweeps; short, waited for
 *	STORE/images/N/lock   one version of image N being made at a time (import, commit, edit);
 *			      taken with STORE/lock held, not waited for, kept until it is there
 *	STORE/images/N/edit/editor	one at work in an edit; never waited for, may be held for days,
 *			      STORE/lock is taken after it
 *	STORE/clients/M/lock  changes of one client; taken with STORE/lock held or alone
 * Order: STORE/lock, then one of the others. Readers take none: what they see is complete because
 * publication is one rename.
 */
#ifndef COW_SNAPSHOT_STORE_INTERNAL_H
#define COW_SNAPSHOT_STORE_INTERNAL_H

#include "common/err.h"
#include "common/siphash.h"
#include "snapshot/space.h"
#include "snapshot/store.h"

#define COW_STORE_ID_LEN 32 /* hex digits */
#define COW_LOCK_WAIT_MS 60000

struct cow_store {
	int fd;
	char *path;
	int btrfs; /* on btrfs: trees of images are subvolumes, both backends work */
	struct cow_space_limit space_warn, space_refuse;
	uint8_t id[COW_SIPHASH_KEY_LEN]; /* random, made by init; key of derived identities */
};

/* Take STORE/lock. Return: fd to close, or -errno (-EBUSY after a minute). */
int cow_store_lock(struct cow_store *s, struct cow_err *err);

/* Names of images and tags: 1..64 of [A-Za-z0-9._-], not starting with '.' or '-'. */
int cow_label_check(const char *label);

/* Move what is @name in @dirfd into the trash under a fresh name (one rename). */
int cow_trash_put(struct cow_store *s, int dirfd, const char *name);

/* Delete everything in the trash: subvolumes as a whole, the rest by cow_rm_rf_at(). */
int cow_trash_empty(struct cow_store *s);

/* Delete a tree that may hold subvolumes called "tree" a few levels down. */
int cow_tree_delete_at(int dirfd, const char *name);

#endif
