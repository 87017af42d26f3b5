/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Room in a store: how much there is, from when on nothing new is made, and what uses it.
 */
#ifndef COW_SNAPSHOT_SPACE_H
#define COW_SNAPSHOT_SPACE_H

#include <stdint.h>

#include "snapshot/client.h"
#include "snapshot/image.h"
#include "snapshot/store.h"

/* ---------------------------------------------------------------- thresholds */

/* Free room: bytes, or with bytes = 0 percent of the file system. Both 0: none. */
struct cow_space_limit {
	uint64_t bytes;
	unsigned percent;
};
/* "5%", "2G", "0". Return: 0; -EINVAL. */
int cow_space_limit_parse(const char *s, struct cow_space_limit *ret);

/* A store that was just opened has no thresholds. */
void cow_store_set_space(struct cow_store *s, const struct cow_space_limit *warn,
			 const struct cow_space_limit *refuse);

enum cow_space_level {
	COW_SPACE_OK,
	COW_SPACE_WARN,
	COW_SPACE_REFUSE,
};
const char *cow_space_level_name(enum cow_space_level level); /* "ok", "warn", "refuse" */

struct cow_space {
	uint64_t total, free; /* bytes; free: for everybody, as in df(1) */
	enum cow_space_level level;
};
/* Return: 0; -errno of statvfs(3). */
int cow_store_space(const struct cow_store *s, struct cow_space *ret);

/*
 * cow_store_check_space - is there room to make something new? Whatever makes a root or a version asks first;
 * what runs already does not. Return: 0; -ENOSPC less than the threshold is free, says what frees some (exit 5).
 */
int cow_store_check_space(const struct cow_store *s, struct cow_err *err);

/* ---------------------------------------------------------------- use */

/*
 * What trees use: cow_space_use_add() each, then ask. Counted are blocks on disk. Hard links count as shared when a
 * name of the file is elsewhere, extents when the file system says they are shared (FIEMAP: btrfs, xfs) -
 * also with each other, so the result for several trees with clones among them is too low, never too high.
 * The cost is that of find(1) on them, with reflinks some more. What vanishes meanwhile is not counted.
 */
struct cow_space_use;
int cow_space_use_new(const struct cow_store *s, struct cow_space_use **ret);
void cow_space_use_free(struct cow_space_use *u); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_space_use, cow_space_use_free)
#define cow_autouse COW_CLEANUP(cow_auto_cow_space_use_free) struct cow_space_use *
int cow_space_use_add(struct cow_space_use *u, int dirfd, const char *name);
uint64_t cow_space_use_own(const struct cow_space_use *u); /* what would be free without them */
uint64_t cow_space_use_all(const struct cow_space_use *u); /* with what others have too */

/* One version, or one client with all its roots, alone. Either pointer may be NULL. */
int cow_image_space(struct cow_store *s, const struct cow_image *i, uint64_t *ret_own,
		    uint64_t *ret_all, struct cow_err *err);
int cow_client_space(struct cow_store *s, const struct cow_client *c, uint64_t *ret_own,
		     uint64_t *ret_all, struct cow_err *err);

#endif
