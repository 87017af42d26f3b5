/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the daemon's processes may still ask of the kernel once they have started, and what they see: system calls
 * on a list (seccomp(2)), files that nobody can write.
 */
#ifndef COW_TFTP_CONFINE_H
#define COW_TFTP_CONFINE_H

#include "common/err.h"

enum cow_tftp_part {
	COW_TFTP_PART_NETWORK, /* serves: reads files and the sockets it has */
	COW_TFTP_PART_MARKS, /* the reader of marks: one socket, attributes of files it is handed */
};

/*
 * cow_tftp_confine - from now on only the system calls that part needs. Others fail with ENOSYS, which is what a C
 * library falls back from; starting a program or process, tracing and mounting end the process. Not to
 * be taken back; needs no privilege after no_new_privs.
 * Return: 0; -EINVAL a kernel without seccomp filters; -ENOMEM.
 */
int cow_tftp_confine(enum cow_tftp_part part, struct cow_err *err);

/*
 * cow_tftp_read_only - a view of all file systems of its own, that cannot be written to. Before the store is opened:
 * what is open stays as it is. Not started as root, or where that right is missing: does nothing.
 * Return: 0; -errno.
 */
int cow_tftp_read_only(struct cow_err *err);

#endif
