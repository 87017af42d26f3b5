/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * `cowherd doctor`: checks, each of which looks at one thing and reports what is wrong with it. Checks only read, with one
 * exception: the one for DHCP servers asks for an address, and takes none. One thread.
 */
#ifndef COW_TOOLS_DOCTOR_H
#define COW_TOOLS_DOCTOR_H

#include <stdbool.h>

#include "cli.h"
#include "common/kv.h"
#include "config.h"
#include "serve_env.h"
#include "snapshot/client.h"

/* One fault. Strings are owned. */
struct cow_finding {
	const char *check;
	char client[COW_MAC_TEXT_LEN + 1]; /* "": none in particular */
	char *looked;			   /* at what */
	char *found;			   /* what is wrong */
	char *why;			   /* it matters */
	char *todo;			   /* what to do */
};

struct cow_doctor {
	const struct cow_config *config;
	const char *interface;	       /* --interface; NULL: not given */
	const struct cow_client *only; /* NULL: all clients */
	struct cow_store *store;       /* NULL: store_error says why */
	struct cow_err store_error;
	struct cow_serve_net net; /* .address "": net_error says why */
	struct cow_err net_error;
	bool running; /* `serve` runs; its RUN/status: */
	struct cow_kv *run;

	bool waiting; /* a client has never booted; for cow_doctor_dhcp() */

	const char *check; /* the one that is being made */
	char *skipped;	   /* why it could not be made; NULL: it could */
	struct cow_finding *finding;
	size_t findings;
	int r; /* -ENOMEM: findings are missing */
};

/* What stays the same in all findings of a kind. */
struct cow_fault {
	const char *looked, *why, *todo;
};

/* Report a fault. @client: NULL none in particular. The text is what is wrong. */
void cow_doctor_find(struct cow_doctor *d, const struct cow_client *client,
		     const struct cow_fault *fault, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The check cannot be made here, because. */
void cow_doctor_skip(struct cow_doctor *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Every client that is to be looked at; damaged records are not among them. */
void cow_doctor_each_client(struct cow_doctor *d,
			    void (*fn)(struct cow_doctor *d, const struct cow_client *c));

/* ------------------------------------------------ checks (doctor_*.c) */

void cow_doctor_address(struct cow_doctor *d);
void cow_doctor_programs(struct cow_doctor *d);
void cow_doctor_nfs_version(struct cow_doctor *d);
void cow_doctor_services(struct cow_doctor *d);
void cow_doctor_loaders(struct cow_doctor *d);
void cow_doctor_firewall(struct cow_doctor *d);
void cow_doctor_dhcp(struct cow_doctor *d);
void cow_doctor_bridge(struct cow_doctor *d);
void cow_doctor_leases(struct cow_doctor *d);
void cow_doctor_store(struct cow_doctor *d);
void cow_doctor_records(struct cow_doctor *d);
void cow_doctor_boot_files(struct cow_doctor *d);
void cow_doctor_shadowed(struct cow_doctor *d);

#endif
