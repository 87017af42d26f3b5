/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One of the two sides a script runs on. Both answer every operation with an errno and what was
 * seen, and can be listed as a tree.
 */
#ifndef COW_TESTS_DIFF_SIDE_H
#define COW_TESTS_DIFF_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "op.h"
#include "overlay/image.h"
#include "overlay/overlay.h"
#include "tree.h"

#define IO_MAX (64u << 10)  /* of one operation of a script */
#define DATA_MAX (4u << 20) /* of one file in a tree: scripts stay far below */
#define DEPTH_MAX 60	    /* so do directories */

struct result {
	int err; /* 0 or negative errno */
	size_t len;
	uint8_t data[IO_MAX + 1]; /* bytes or text */
};

struct side;
struct side_ops {
	void (*apply)(struct side *s, const struct op *op, struct result *ret);
	void (*snapshot)(struct side *s, struct tree *ret);
	/* Close what scripts left open. */
	void (*close_slots)(struct side *s);
	void (*free)(struct side *s);
};
struct side {
	const struct side_ops *ops;
};

/* What is the same on both sides. */
void result_text(struct result *r, const char *text);
void result_attr(struct result *r, const struct attr *a, unsigned what);
/* Names of a directory, any order: "type name\n". */
struct listing {
	char *v[512];
	size_t n;
};
void listing_add(struct listing *l, const char *name, mode_t type);
void listing_result(struct listing *l, struct result *r); /* frees */
const uint8_t *data_of(const struct op *op, uint64_t off);

/* btrfs does not strip setuid and capabilities, nor change times, where a punch or a zeroing finds
 * nothing to do; with this set both sides write a byte behind it, which does. */
extern bool fallocate_forgets;
/* xfs changes the modification time of a directory that RENAME_EXCHANGE takes to another parent; an
 * overlay exchanges with whiteouts where it sees fit. With this set the time is set anew. */
extern bool exchange_touches;

/* ---- backend_kernel.c: system calls on a directory */

/* @dirfd is taken over. */
struct side *kernel_side_new(int dirfd);
/* Run operations on a directory, errors ignored: how lower trees are made. */
void kernel_apply_all(int dirfd, const struct op *ops, size_t n);
/* Deliberate mistakes, to see whether they are found. -EINVAL: unknown name. */
int kernel_inject(const char *name);

/* ---- backend_engine.c: the engine's interface */

struct engine_options {
	int dirfd;		   /* of the instance */
	struct cow_ovl_image *img; /* NULL: plain */
	bool keep;		   /* hold on to nodes, as front ends do */
	enum cow_ovl_durability durability;
	bool writeback; /* of a mount */
};
/* Trouble ends the process; NULL: this engine cannot have such an instance. */
struct side *engine_side_new(const struct engine_options *how);
void engine_restart(struct side *s);
/* What the engine contradicted itself in since the last call, or NULL. */
const char *engine_complaint(struct side *s);
/* Handles and ids of all that is visible lead there; those of what is gone are stale. */
void engine_check_handles(struct side *s, const struct tree *now);
/* Detach, so that others may look at the directory; then only free. */
void engine_detach(struct side *s);
void engine_attach(struct side *s);
bool engine_has_images(void);
/* Make image.ovm beside tree/ and open it. */
struct cow_ovl_image *engine_image(int dirfd);
void engine_image_close(struct cow_ovl_image *img);

/* ---- backend_mount.c: the engine as a local mount; trouble ends the process. */

/* @point: kept as pointer. */
struct side *mount_side_new(const struct engine_options *how, const char *point);
/* Unmount, so that others may look at the directory; then only attach or free. */
void mount_detach(struct side *s);
void mount_attach(struct side *s);

#endif
