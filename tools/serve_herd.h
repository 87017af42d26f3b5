/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What `cowherd serve` knows about the clients: one sorted list, read from the store in one go and
 * replaced as a whole, with the address each client's export is open to.
 */
#ifndef COW_TOOLS_SERVE_HERD_H
#define COW_TOOLS_SERVE_HERD_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "snapshot/mac.h"
#include "snapshot/store.h"

#define COW_ADDR_LEN INET_ADDRSTRLEN

struct cow_herd_client {
	struct cow_mac mac;
	char id[COW_MAC_TEXT_LEN + 1];
	unsigned export_id;
	char name[COW_LABEL_MAX + 1];
	char image[COW_LABEL_MAX + 1];
	unsigned version;
	char address[COW_ADDR_LEN]; /* configured; "": none */
	char learnt[COW_ADDR_LEN];  /* of the last boot; "": none */
	int64_t learnt_s;
	uint64_t refused; /* requests for its root that the NFS server refused */
	char refused_addr[COW_ADDR_LEN];
	char bound[COW_ADDR_LEN]; /* the one that counts; "": nobody yet (cow_herd_bind) */
};

struct cow_herd_bad {
	char id[COW_NAME_MAX + 1]; /* directory name */
	char text[256];
};

struct cow_herd {
	struct cow_herd_client *client; /* sorted by id */
	size_t clients;
	struct cow_herd_bad *bad; /* directories whose record cannot be read */
	size_t bads;
};

void cow_herd_free(struct cow_herd *h); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_herd, cow_herd_free)
#define cow_autoherd COW_CLEANUP(cow_auto_cow_herd_free) struct cow_herd *

/* Read all clients and their states, and bind addresses. */
int cow_herd_load(struct cow_store *s, struct cow_herd **ret, struct cow_err *err);

/*
 * cow_herd_bind - decide each client's bound address. A configured address counts before a learnt
 * one, and an address belongs to one client only: DHCP may have given it to another machine since,
 * so of two that learnt it the later one has it.
 */
void cow_herd_bind(struct cow_herd *h);

/* NULL: not there. */
struct cow_herd_client *cow_herd_find(const struct cow_herd *h, const char *id);
const struct cow_herd_bad *cow_herd_find_bad(const struct cow_herd *h, const char *id);

#endif
