/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What tests of the running daemon build on: a store on a loop file, a daemon in a network namespace of its own, one
 * temporary directory. The test itself runs in namespaces that go with it.
 */
#ifndef COW_TESTS_TFTP_LAB_H
#define COW_TESTS_TFTP_LAB_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "snapshot/client.h"
#include "snapshot/store.h"

#define SKIP 77

/* Mount and network namespaces of its own. False, having said so: that is not allowed here. */
bool lab_enter(void);

/* Ends the program when @r is negative. @err may be NULL. */
void must(int r, const char *what, const struct cow_err *err);
/* A shell command that has to do. */
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* /tmp/cow-WHAT-XXXXXX, which others may enter. */
void lab_dir_make(const char *what, char ret[64]);
/* With the store on it unmounted. Return: 0, -1. */
int lab_dir_remove(const char *dir);
/* DIR/store on ext4, on DIR/disk of @size as truncate(1) takes it. */
struct cow_store *lab_store_on_ext4(const char *dir, const char *size);

struct cow_mac mac_of(const char *text);

/*
 * A program in a network namespace of its own, killed with us. It starts when @connect has connected that namespace. @event_fd
 * is its descriptor 3; -1: none.
 */
pid_t lab_fork_daemon(const char *const argv[], int event_fd, void (*connect)(pid_t pid));
/* exec does not write to its arguments; its prototype is older than const. */
void lab_exec(const char *path, const char *const argv[]);

#endif
