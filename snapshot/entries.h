/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The names of a directory of an attached root, with their nodes: for who walks a root and changes it,
 * or another one, on the way.
 */
#ifndef COW_SNAPSHOT_ENTRIES_H
#define COW_SNAPSHOT_ENTRIES_H

#include "overlay/overlay.h"

struct cow_entry {
	char *name;
	size_t len;
	struct cow_ovl_node *node;
	struct cow_ovl_attr attr;
};
struct cow_entries {
	struct cow_entry *list;
	size_t n, room;
};
#define COW_ENTRIES_EMPTY                                                                          \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

/* All of @dir, in the order of the directory. @ret is empty before; on failure it holds some. */
int cow_entries_read(struct cow_ovl_node *dir, struct cow_entries *ret);
void cow_entries_sort(struct cow_entries *e); /* by name, bytes */
/* In sorted ones; NULL: none. */
const struct cow_entry *cow_entries_find(const struct cow_entries *e, const char *name);
void cow_entries_done(struct cow_entries *e);
#define cow_autoentries __attribute__((cleanup(cow_entries_done))) struct cow_entries

#endif
