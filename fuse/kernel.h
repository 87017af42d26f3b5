/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The kernel's end of a session.
 */
#ifndef COW_FUSE_KERNEL_H
#define COW_FUSE_KERNEL_H

#include "internal.h"

/* Mount on the directory @point. Return: the descriptor that requests come from; -errno. */
int cow_kernel_mount(const char *point, const char *source, bool read_only, struct cow_err *err);

/* Is the request this thread is answering a SETATTR that strips setuid and setgid (chown(2) does)? */
bool cow_kernel_strips(void);

/* Give it to the session, which closes it at its end. Return: 0; -errno. */
int cow_kernel_connect(struct cow_front *f, int fd);

#endif
