/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Commands to the NFS server over the private D-Bus: one at a time, made by a thread of its own
 * because libdbus waits for answers and the loop must not.
 */
#ifndef COW_TOOLS_SERVE_BUS_H
#define COW_TOOLS_SERVE_BUS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "serve_loop.h"

enum cow_bus_op {
	COW_BUS_LIST, /* which exports are there */
	COW_BUS_ADD,
	COW_BUS_UPDATE, /* takes effect on the CLIENT block without disturbing anybody */
	COW_BUS_REMOVE,
};

struct cow_bus_result {
	enum cow_bus_op op;
	unsigned export_id;
	int r; /* 0; -ENOTCONN no bus, or the server is not on it; -EAGAIN try again soon;
		* -ETIMEDOUT; -EREMOTEIO the server refused, see text */
	char text[256];
	uint16_t *ids; /* COW_BUS_LIST: owned by the result, freed after done() */
	size_t n_ids;
};

struct cow_bus;

/* @socket_path: of the bus. done() runs in the loop's thread. */
int cow_bus_new(struct cow_loop *l, const char *socket_path,
		void (*done)(void *ctx, const struct cow_bus_result *res), void *ctx,
		struct cow_bus **ret);

/* Waits for a call under way: end the bus first, and that one fails at once. NULL is fine. */
void cow_bus_free(struct cow_bus *b);

/*
 * cow_bus_call - start one command. @file holds the EXPORT blocks (ADD, UPDATE).
 * Return: 0, done() will be called; -EBUSY one is under way.
 */
int cow_bus_call(struct cow_bus *b, enum cow_bus_op op, unsigned export_id, const char *file);

#endif
