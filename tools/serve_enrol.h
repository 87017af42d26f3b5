/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Machines that are no clients: listed, or made clients on the spot ([tftp] enrol). The TFTP server says who asks.
 */
#ifndef COW_TOOLS_SERVE_ENROL_H
#define COW_TOOLS_SERVE_ENROL_H

#include "config.h"
#include "serve_herd.h"
#include "serve_loop.h"

struct cow_enrol;

/* Reads the list there is. Borrows all. */
int cow_enrol_new(struct cow_loop *l, struct cow_store *s, const struct cow_config *c,
		  struct cow_enrol **ret);
void cow_enrol_free(struct cow_enrol *e); /* writes the list; NULL is fine */

/*
 * cow_enrol_stranger - a line "stranger v=1 mac= addr= [serial= model=] sure=0|1" (sure: its Ethernet address was
 * seen). @h: the clients there are.
 * Return: 1 it is a client now, *ret_mac; 0 it is listed; -EINVAL malformed; -errno.
 */
int cow_enrol_stranger(struct cow_enrol *e, const struct cow_herd *h, const char *line,
		       struct cow_mac *ret_mac);

/* Clients are not pending any more. */
void cow_enrol_clients(struct cow_enrol *e, const struct cow_herd *h);

#endif
