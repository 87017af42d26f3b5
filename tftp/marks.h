/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine marks what a client changed by attributes that only CAP_SYS_ADMIN may read, a right
 * nobody should have who talks to the network. So a second process keeps it, which does one thing:
 * it gets an open file and the name of a mark, and answers with the mark's bytes.
 */
#ifndef COW_TFTP_MARKS_H
#define COW_TFTP_MARKS_H

#include "common/err.h"

/*
 * cow_tftp_marks_start - start that process and tell the engine to ask it. Before the privileges are
 * dropped, and before any other thread is there. Not started as root: does nothing.
 * @user: whose ids it takes; NULL: it keeps ours.
 * It ends when this process does; this process ends, with exit status 1, when it is gone.
 */
int cow_tftp_marks_start(const char *user, struct cow_err *err);

/* End it and wait for that. */
void cow_tftp_marks_stop(void);

#endif
