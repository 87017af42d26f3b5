/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon keeps once its port is bound: the right to read the trees, nothing else.
 */
#ifndef COW_TFTP_PRIVILEGES_H
#define COW_TFTP_PRIVILEGES_H

#include "common/err.h"

/*
 * cow_tftp_drop_privileges - no new privileges ever, the user's ids if one is named, of all
 * capabilities only CAP_DAC_READ_SEARCH. Not started as root: only the first.
 * @user: NULL: keep the ids. Return: 0; -ENOENT no such user; -EPERM @user given but not root.
 */
int cow_tftp_drop_privileges(const char *user, struct cow_err *err);

#endif
