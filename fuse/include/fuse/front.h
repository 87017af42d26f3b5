/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An engine instance as a local mount, by libfuse's low-level interface. Holds no file-system logic:
 * every request is one or two calls of the engine (overlay/overlay.h).
 *
 *	front	one mount: the session with the kernel and the instance behind it
 *
 * The kernel keeps names, attributes, listings and data for an hour, since nobody else changes the
 * tree of an attached instance. Over an observer it keeps names and attributes for a second.
 */
#ifndef COW_FUSE_FRONT_H
#define COW_FUSE_FRONT_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "overlay/overlay.h"

struct cow_front;

struct cow_front_opts {
	const char *name; /* shown as the mount's source; no comma; NULL: "cowherd" */
	bool observer;	  /* the instance is one; the mount is read-only */
	bool writeback;	  /* small writes are gathered by the kernel */
	unsigned threads; /* at most; 0: by the number of processors */
};

/*
 * cow_front_new - mount @inst on the directory @point. Requests are answered once cow_front_run() runs.
 * @inst: taken over, also on failure: closed by cow_front_free() or at once.
 * Return: 0; -ENOENT, -ENOTDIR of @point; -EPERM; -ENODEV no FUSE in this kernel; -EBADF no kernel
 * end. Privilege: root. The process's umask must be 0.
 */
int cow_front_new(struct cow_ovl_inst *inst, const char *point, const struct cow_front_opts *opts,
		  struct cow_front **ret, struct cow_err *err);

/* Answer requests until unmounted from outside, or SIGTERM, SIGINT or SIGHUP reach this thread.
 * @signals: install handlers for them. Return: 0; -errno. */
int cow_front_run(struct cow_front *f, bool signals);

/*
 * cow_front_swap - another tree in the place of this one. Everything the kernel knows of the old one
 * is forgotten; what is open answers ESTALE from now on.
 * @inst: taken over. Threads: not from within a request.
 * Return: 0 or the error of the old instance's last sync.
 */
int cow_front_swap(struct cow_front *f, struct cow_ovl_inst *inst);

/* Unmount if that has not happened, detach the instance. NULL is fine. Return: 0 or the error of the
 * last sync: then acknowledged but not fsynced data may be missing on disk. */
int cow_front_free(struct cow_front *f);

#endif
