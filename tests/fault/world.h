/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What tests of faults in a store share: a temporary directory, a small image, what a client shows; and the loops that
 * make each call fail, or kill the process there.
 */
#ifndef COW_TESTS_FAULT_WORLD_H
#define COW_TESTS_FAULT_WORLD_H

#include "cow_test.h"

#include <stdbool.h>

#include "fault.h"
#include "snapshot/client.h"

extern struct tmpdir *tmp;

/* For cmocka's groups: tmp, and nothing of a mask for modes. */
int world_begin(void);
int world_end(void);

const char *path_of(const char *name); /* in the temporary directory; good for some calls */
void must(int r, const struct cow_err *err);
/* Does it say what has failed? */
bool says(const struct cow_err *err);
void put(int dir, const char *name, const char *text);
/* Of files in the temporary directory: */
bool is_there(const char *name);
bool holds(const char *name, const void *p, size_t len); /* and no more */
/* Names of a directory in the temporary one that begin with @prefix; 0: there is none. */
unsigned entries(const char *path, const char *prefix);

/* A version of image @name, with no fix-up. @ret_version: may be NULL. */
int import_as(struct cow_store *s, const char *name, const char *what, unsigned *ret_version,
	      struct cow_err *err);

/* ---- world_client.c */

/* Names, modes, links, content of all that the client's root shows, as text; the caller frees. */
char *client_shown(struct cow_store *s, const struct cow_mac *mac);
/* Made in @dir by whoever is root there. */
void node_make(struct cow_ovl_node *dir, const char *name, mode_t type, const char *text);
void node_drop(struct cow_ovl_node *dir, const char *name); /* no directory */
struct cow_ovl_node *node_child(struct cow_ovl_node *dir, const char *name);

/* ---- trials */

/* What is tried, and what must hold after it. */
struct trial {
	const char *what;
	unsigned step;	/* short: each of these calls, another first one each day; 0: all of them */
	unsigned least; /* calls that it makes at least, else it tests nothing */
	void (*before)(const struct trial *t);
	int (*act)(const struct trial *t, struct cow_err *err);
	void (*after)(const struct trial *t, bool done); /* does it again, too */
	/* Theirs: */
	const char *input;
	const struct bytes *archive;
};
unsigned long step_of(unsigned brief);
/* With no memory, EIO and ENOSPC at each call. */
void each_fault(const struct trial *t);
/* Killed at each system call. */
void each_kill(const struct trial *t);
void each_fault_and_kill(const struct trial *t);

#endif
