/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The path of the object at hand in a walk of a tree, of any depth: components come and go at its
 * end. Threads: one per object.
 */
#ifndef COW_COMMON_GROWPATH_H
#define COW_COMMON_GROWPATH_H

#include <stddef.h>

struct cow_growpath {
	char *s; /* terminated; "" is the top */
	size_t len, room;
};

/* Return: 0 or -ENOMEM. Give back with cow_growpath_done(). */
int cow_growpath_init(struct cow_growpath *p);
void cow_growpath_done(struct cow_growpath *p);

/* Go down into @name. @ret_old: for cow_growpath_pop(). Return: 0 or -ENOMEM, nothing changed. */
int cow_growpath_push(struct cow_growpath *p, const char *name, size_t *ret_old);
void cow_growpath_pop(struct cow_growpath *p, size_t old);

#endif
