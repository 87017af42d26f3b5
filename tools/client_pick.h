/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which clients a command is about: words, a group, or all.
 */
#ifndef COW_TOOLS_CLIENT_PICK_H
#define COW_TOOLS_CLIENT_PICK_H

#include "options.h"
#include "snapshot/client.h"

struct cow_pick {
	struct cow_client **client; /* each once */
	size_t n, room;
	int status; /* exit status of the first that was not found or is damaged; each has been told */
};
void cow_pick_done(struct cow_pick *p);

/* @words: those of the command line. Return: 0, or the exit status to leave with. */
int cow_pick_read(struct cow_store *s, const char *command, const struct cow_options *o, int nwords,
		  char **words, struct cow_pick *ret);

#endif
