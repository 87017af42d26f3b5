/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The configuration files of the services, as pure functions: configuration and list of clients in,
 * text out. All return 0 or -ENOMEM; the caller frees *ret.
 */
#ifndef COW_TOOLS_SERVE_TEXT_H
#define COW_TOOLS_SERVE_TEXT_H

#include "config.h"
#include "serve_herd.h"

/* Where we serve, worked out at start from [serve] address and interface. */
struct cow_serve_net {
	char address[COW_ADDR_LEN];
	char subnet[COW_ADDR_LEN]; /* network address */
	char netmask[COW_ADDR_LEN];
	unsigned prefix_len;
	char interface[16];
};

/* Files and folders the texts name. */
struct cow_serve_paths {
	const char *store;
	const char *run;	/* run directory */
	const char *plugin_dir; /* of the NFS server's plugins */
	const char *state;	/* persistent: recovery records, leases */
};

#define COW_EXPORT_ROOT "/clients/" /* + MAC: path of a client's root for NFSv3 and NFSv4 */

/* serve_nfs_size.c: what the NFS server may take on a machine with so much memory. */
struct cow_nfs_size {
	unsigned entries, threads, keep_kib;
};
void cow_nfs_size(uint64_t memory_kib, struct cow_nfs_size *ret);

int cow_text_ganesha(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_serve_paths *p, const struct cow_nfs_size *size, char **ret);

/* Whom the access policy lets into a client's export, as Ganesha writes it; "": nobody. */
void cow_text_admitted(const struct cow_config *c, const struct cow_serve_net *net,
		       const struct cow_herd_client *client, char ret[COW_ADDR_LEN + 3]);

/*
 * cow_text_exports - one EXPORT block per entry. Outside everybody is refused; a CLIENT block lets
 * in whom the access policy allows. A client without a bound address has no CLIENT block.
 */
int cow_text_exports(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_herd *h, char **ret);

int cow_text_dbus(const struct cow_serve_paths *p, char **ret);

int cow_text_dnsmasq(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_serve_paths *p, char **ret);

/*
 * cow_text_dnsmasq_hosts - one line per client: its address, if configured, and that it is known by
 * its MAC alone. A boot ROM and the system it loads present different client ids; without this they
 * would get different addresses.
 */
int cow_text_dnsmasq_hosts(const struct cow_herd *h, char **ret);

#endif
