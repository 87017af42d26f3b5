/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a tree shows, in a form in which two trees can be compared that lie on different file systems.
 */
#ifndef COW_TESTS_CRASH_STATE_H
#define COW_TESTS_CRASH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "overlay/overlay.h"

#define PATH_LEN 120
#define WHY_LEN 1024

/* Bytes, each string of them kept once: equal bytes have equal numbers. One thread. */
uint32_t bytes_put(const void *data, size_t len);
const uint8_t *bytes_get(uint32_t number, size_t *ret_len);

struct obj {
	char path[PATH_LEN];
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t nlink; /* 0 for directories */
	uint64_t rdev;
	int64_t mtime; /* one of ours, or MTIME_NOW; 0 for directories */
	uint32_t meta; /* bytes: target, extended attributes */
	uint32_t data; /* bytes of regular files */
	uint64_t id;   /* file id; compared as `who` */
	/* What it is: number in the image, or WHO_MADE and the step that made it. */
	uint64_t who;
	size_t handle_len;
	uint8_t handle[COW_OVL_HANDLE_MAX];
};
#define MTIME_NOW (-1)
#define WHO_MADE (1ull << 40)
#define WHO_UNKNOWN (WHO_MADE - 1)

struct state {
	struct obj *v; /* sorted by path */
	size_t n, room;
};
void state_free(struct state *s);
const struct obj *state_find(const struct state *s, const char *path);

/* Which step made the object with this handle? WHO_UNKNOWN: none did. */
typedef uint64_t (*who_fn)(void *ctx, const uint8_t *handle, size_t len);

/*
 * state_of_engine - all at and below @path ("": the root), checked against itself: look-up and
 * listing agree, handles lead back. @who may be NULL.
 * Return: 0; -errno with @why.
 */
int state_of_engine(struct cow_ovl_inst *i, const char *path, who_fn who, void *ctx,
		    struct state *ret, char why[WHY_LEN]);
/* The same of a directory by system calls; nobody's identity. */
int state_of_dir(int dirfd, struct state *ret, char why[WHY_LEN]);

/* Walk to a path. @ret_name: NULL, or where the last component is copied, unlooked at. */
int node_at(struct cow_ovl_inst *i, const char *path, const char **ret_name,
	    struct cow_ovl_node **ret);

#endif
