/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Where scripts run: a file system of their own and a directory on it; and what they compare.
 */
#ifndef COW_TESTS_DIFF_STAGE_H
#define COW_TESTS_DIFF_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "script.h"
#include "side.h"

enum mode {
	MODE_PLAIN,   /* the engine without a lower layer, and a directory */
	MODE_OVERLAY, /* the engine over an image, and the kernel's overlay over the same tree */
	MODE_MOUNT,   /* the same through cowherd-fuse */
	MODE_LINKS,   /* the engine over an image with hard links, and a copy of its tree */
	MODE_KERNEL, /* the kernel's overlay, and a copy: a test of this program and of the kernel */
	MODES,
};
extern const char *const mode_names[MODES];

struct stage {
	enum mode mode;
	bool adopt;	/* attach again after the kernel had the layers mounted */
	bool empty;	/* no lower tree */
	bool writeback; /* of a mount */
	char path[128]; /* absolute: a directory on the file system */
};

/* ---- run.c */

enum outcome {
	OUT_SAME,
	OUT_DIFFERENT,
	OUT_ENDED,  /* a tolerated difference after which there is nothing to compare */
	OUT_UNABLE, /* this engine has no such instances */
};

/* The lower tree that was made last; scripts of one group share it. */
struct ground {
	const struct stage *stage;
	char name[16]; /* of the working directory in the stage */
	int fd;	       /* of the working directory, -1: nothing made yet */
	struct ops lower;
	struct cow_ovl_image *img;
};
void ground_init(struct ground *g, const struct stage *stage, const char *name);
void ground_done(struct ground *g);
/* In the process that started the one that had it: end what is left of that. */
void ground_reap(const struct stage *stage, const char *name);
/* @out: what was different. @at: number of the operation that runs, for who watches us. */
enum outcome run_script(struct ground *g, const struct script *s, FILE *out, unsigned *at);

/* How often operations succeeded [0] and were refused [1]; NULL: not counted. */
struct op_counts {
	uint64_t n[OP_KINDS][2];
};
extern struct op_counts *op_counts;

/* ---- mount.c */

/* A private mount namespace, with a tmpfs for images at @base. Return: 0 or -errno. */
int mount_prepare(const char *base);
/* A new file system of @type ("ext4", "xfs", "btrfs"), or the directory @dir with noatime; at
 * @base/fs. Return: 0; -errno. */
int mount_stage(const char *base, const char *type, const char *dir);
void unmount_stage(const char *base);
/* A mount of the kernel's overlay that ends with its fd. Return: fd or -errno. */
int mount_overlay(const char *lower, const char *upper, const char *work);

/* ---- shrink.c */

struct trial {
	enum outcome outcome;
	unsigned at; /* the operation it ended in */
	char text[8192];
};
/* Run a script in a process of its own, so that crashes are results too. */
void try_script(const struct stage *stage, const struct script *s, struct trial *ret);
/* Drop operations while it fails. Return: number of trials. */
unsigned shrink_script(const struct stage *stage, struct script *s, struct trial *last);

/* ---- nosync.c: unless set, fsync(2) and its kin do nothing in this program. */
extern bool sync_for_real;

#endif
