/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One line on the terminal that tells how far an import or check is; nothing where stderr is no
 * terminal.
 */
#ifndef COW_TOOLS_PROGRESS_H
#define COW_TOOLS_PROGRESS_H

#include <stdint.h>

#include "snapshot/image.h"

struct cow_progress {
	int on_terminal;
	uint64_t next_ms;
	enum cow_import_step step;
	uint64_t step_ms; /* when it began */
	int shown;
};

void cow_progress_begin(struct cow_progress *p);

/* For cow_import_opts: @ctx is the struct cow_progress. -EINTR after SIGINT or SIGTERM. */
int cow_progress_step(struct cow_progress *p, const struct cow_import_progress *now);

/* The same for what reads an image: @what goes in front. */
int cow_progress_count(struct cow_progress *p, const char *what, uint64_t inodes, uint64_t bytes);

/* The same for what has an end. */
int cow_progress_part(struct cow_progress *p, const char *what, uint64_t done, uint64_t total);

/* Wipe the line: something else is to be printed. Signals are still watched. */
void cow_progress_wipe(struct cow_progress *p);

/* Wipe the line, give the signals back. */
void cow_progress_end(struct cow_progress *p);

#endif
