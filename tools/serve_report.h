/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the TFTP server reports of boots, written into the clients' histories. It reads the network and may not write
 * files, so what it says is taken apart and put together anew, key by key.
 */
#ifndef COW_TOOLS_SERVE_REPORT_H
#define COW_TOOLS_SERVE_REPORT_H

#include "serve_herd.h"
#include "serve_loop.h"

struct cow_report;

int cow_report_new(struct cow_loop *l, struct cow_store *s,
		   struct cow_report **ret); /* borrows both */
void cow_report_free(struct cow_report *r);  /* writes what is left; NULL is fine */

/*
 * cow_report_session, cow_report_request - a line "session ..." or "request ..." of a client in @h.
 * Requests come in bursts and are written together, a moment later.
 * Return: 0; -EINVAL malformed; -ENOENT no such client; -errno.
 */
int cow_report_session(struct cow_report *r, const struct cow_herd *h, const char *line);
int cow_report_request(struct cow_report *r, const struct cow_herd *h, const char *line);

#endif
