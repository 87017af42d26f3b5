/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Carrying paths from one root of a client to another, through the engine: afterwards the new root shows
 * them as the old one does, and what else it shows is as before. Both backends.
 *
 *  - Owners, modes, times, extended attributes with ACLs, holes, devices, hard links among what is
 *    carried. Data is shared by reflinks where the file system has them, else copied.
 *  - An object that is equal to what the new root shows is left alone, so that it stays the image's.
 *    Of an object with several names that is said only where nobody has touched it (or all is carried).
 *  - A name the new root has and the old one has not is taken away when the image of the old root had it,
 *    since the client deleted it; else it is new in the new image and stays.
 *  - Missing directories on the way are made as the old root has them; those that are there stay as they
 *    are, with their times. What stands in the way and is none is replaced.
 *
 * Paths are relative, without "." and ".."; no symbolic link is followed. Threads: one per object.
 */
#ifndef COW_SNAPSHOT_CARRY_H
#define COW_SNAPSHOT_CARRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "overlay/overlay.h"

struct cow_carry_opts {
	struct cow_ovl_inst *from; /* attached, also as observer; nobody changes it */
	struct cow_ovl_inst *to;   /* attached with COW_OVL_STAGED: nobody else has it */
	int from_golden; /* tree of the image @from was made from; -1: nothing is taken away */
	bool same_image; /* @to was made from that very version */
	/* Where the new root has something of another kind, and what was done. NULL: not asked. */
	void (*conflict)(void *ctx, const char *path, const char *what);
	/* Now and then; < 0 ends it with that errno. NULL: none. */
	int (*stop)(void *ctx);
	void *ctx;
};

struct cow_carry_stats {
	uint64_t objects, bytes; /* made in the new root; data of regular files, shared or copied */
	uint64_t left;		 /* equal, left alone */
	uint64_t removed;	 /* names taken away, each with what was below */
	uint64_t conflicts;
};

/* @opts is copied; what it names is borrowed until cow_carry_free(). Return: 0 or -ENOMEM, -ESTALE. */
struct cow_carry;
int cow_carry_new(const struct cow_carry_opts *opts, struct cow_carry **ret, struct cow_err *err);
void cow_carry_free(struct cow_carry *c); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_carry, cow_carry_free)
#define cow_autocarry COW_CLEANUP(cow_auto_cow_carry_free) struct cow_carry *

enum {
	COW_CARRY_ALONE = 1 << 0, /* of a directory its attributes, nothing that is in it */
};
/*
 * cow_carry_path - one path, a directory with everything below it.
 * Hard links hold among all paths carried by one object.
 * Return: 1 carried, or equal; 0 the old root has it not; -EINVAL a path as above it is not; -errno, then
 * a part of it is there.
 */
int cow_carry_path(struct cow_carry *c, const char *path, unsigned flags, struct cow_err *err);

/*
 * cow_carry_all - the whole root, itself too, into one nobody has changed yet. Objects with several names that are
 * equal are left alone, too. Nothing else is carried by this object. Return: 0; -errno.
 */
int cow_carry_all(struct cow_carry *c, struct cow_err *err);

/* Take a path away from the new root, with everything below it. Return: 1; 0 it was not there; -errno. */
int cow_carry_remove(struct cow_carry *c, const char *path, struct cow_err *err);

const struct cow_carry_stats *cow_carry_stats(const struct cow_carry *c);

#endif
