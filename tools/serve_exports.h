/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Keeps the exports of the running NFS server equal to the store. exports.conf always holds what is
 * wanted and is what a starting server reads; a running one is led there by one command at a time.
 */
#ifndef COW_TOOLS_SERVE_EXPORTS_H
#define COW_TOOLS_SERVE_EXPORTS_H

#include <stdbool.h>

#include "serve_bus.h"
#include "serve_herd.h"
#include "serve_text.h"

struct cow_export {
	char id[COW_MAC_TEXT_LEN + 1]; /* "": in the server, but not ours to explain */
	unsigned export_id;
	char who[COW_ADDR_LEN + 3]; /* whom it lets in; "": nobody */
	uint64_t retry_ms;	    /* wanted list: not before this time after a failure */
	unsigned failures;
	char error[160]; /* of the last failure; "": none */
};

struct cow_export_list {
	struct cow_export *e; /* by export_id */
	size_t n;
};

void cow_export_list_done(struct cow_export_list *l);
struct cow_export *cow_export_find(const struct cow_export_list *l, unsigned export_id);

/* What the configuration and the herd ask for. Failures of @old entries that did not change are
 * carried over; NULL: none. Two clients with one export id: the first has it. */
int cow_export_list_of(const struct cow_config *c, const struct cow_serve_net *net,
		       const struct cow_herd *h, const struct cow_export_list *old,
		       struct cow_export_list *ret);

/*
 * cow_export_next - the command that comes next on the way from @have to @want: removals (they free
 * a path), updates, additions. A record that cannot be read for the moment keeps its export.
 * Return: true and the command; false: nothing to do now, *ret_wait_ms says when to look again
 * (0: when something changes).
 */
bool cow_export_next(const struct cow_export_list *have, const struct cow_export_list *want,
		     const struct cow_herd *h, uint64_t now_ms, enum cow_bus_op *ret_op,
		     unsigned *ret_export_id, uint64_t *ret_wait_ms);

struct cow_exports;

/* moved() is called after every answer of the server: states may have changed. */
int cow_exports_new(struct cow_loop *l, const struct cow_config *c, const struct cow_serve_net *net,
		    const struct cow_serve_paths *p, void (*moved)(void *ctx), void *ctx,
		    struct cow_exports **ret);
void cow_exports_free(struct cow_exports *x); /* after the bus is gone; NULL is fine */

/* The herd has changed, or may have: write exports.conf if it differs, lead the server there.
 * @h is borrowed until the next call. */
int cow_exports_want(struct cow_exports *x, const struct cow_herd *h);

/* The server is about to start: it will read exports.conf as it is now. */
void cow_exports_server_starts(struct cow_exports *x);
/* It answers NFS; or it is gone. */
void cow_exports_server_up(struct cow_exports *x);
void cow_exports_server_down(struct cow_exports *x);

/* The bus gave us its list of exports since the server came up. */
bool cow_exports_in_touch(const struct cow_exports *x);

/* "active", "pending", or the error; for the status record. */
const char *cow_exports_state(const struct cow_exports *x, const struct cow_herd_client *c);

#endif
