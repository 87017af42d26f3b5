/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Asking a service whether it answers, without blocking the loop: an RPC NULL call over TCP for
 * every version of NFS, or a TFTP request that can only be refused.
 */
#ifndef COW_TOOLS_SERVE_PROBE_H
#define COW_TOOLS_SERVE_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve_loop.h"

enum cow_probe_kind {
	COW_PROBE_NFS,	/* TCP: NULL of NFS v3 and of v4 on one connection */
	COW_PROBE_TFTP, /* UDP: RRQ of a name nobody has; an ERROR packet is the right answer */
};

#define COW_RPC_CALL_LEN 44 /* record mark + call header with empty credentials */

struct cow_probe {
	/* Set by the owner. */
	enum cow_probe_kind kind;
	struct sockaddr_in to;
	unsigned timeout_ms;
	struct cow_loop *loop;
	void (*done)(void *ctx, int r); /* 0: it answers; -ETIMEDOUT, -ECONNREFUSED, -EPROTO, … */
	void *ctx;

	/* Private. */
	bool busy;
	struct cow_watch watch;
	struct cow_timer timer;
	uint32_t xid;
	size_t sent, have;
	uint8_t buf[256];
};

/* Ask once; done() is called later, exactly once. While one is under way: nothing happens. */
void cow_probe_start(struct cow_probe *p);
void cow_probe_cancel(struct cow_probe *p); /* done() is not called any more */

/* The wire forms (RFC 5531 sections 9 and 11; RFC 1350 section 5), apart for tests. */
void cow_rpc_null_call(uint32_t xid, uint32_t program, uint32_t version,
		       uint8_t ret[COW_RPC_CALL_LEN]);
/*
 * cow_rpc_null_reply - look for one whole reply at the front of @buf.
 * Return: its length, and that it is an accepted, successful reply to @xid; 0: not all there yet;
 * -EPROTO: something else.
 */
int cow_rpc_null_reply(const uint8_t *buf, size_t len, uint32_t xid);

#endif
