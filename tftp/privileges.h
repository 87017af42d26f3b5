/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon's processes keep once its port is bound: one right each, nothing else.
 */
#ifndef COW_TFTP_PRIVILEGES_H
#define COW_TFTP_PRIVILEGES_H

#include "common/err.h"

/*
 * cow_tftp_drop_privileges - no new privileges ever, the user's ids if one is named, of all
 * capabilities only @keep (CAP_*). Not started as root: only the first.
 * @user: NULL: keep the ids. Return: 0; -ENOENT no such user; -EPERM @user given but not root.
 */
int cow_tftp_drop_privileges(const char *user, int keep, struct cow_err *err);

#endif
