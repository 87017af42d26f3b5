/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What must be so before anything is started: an address, the programs, free ports. Each failure
 * says what is missing and what to do.
 */
#ifndef COW_TOOLS_SERVE_ENV_H
#define COW_TOOLS_SERVE_ENV_H

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"
#include "serve_text.h"

struct cow_serve_programs {
	char *dbus, *ganesha, *dnsmasq, *rpcbind, *tftpd; /* absolute; NULL: not needed */
	char *plugin_dir;
};
void cow_serve_programs_done(struct cow_serve_programs *p);

/* [serve] address, or the first IPv4 address of [serve] interface. */
int cow_serve_find_net(const struct cow_config *c, struct cow_serve_net *ret, struct cow_err *err);

int cow_serve_find_programs(const struct cow_config *c, struct cow_serve_programs *ret,
			    struct cow_err *err);

/* Along PATH, in /usr/sbin and /sbin; NULL: nowhere. Caller frees. */
char *cow_serve_find_program(const char *name);

/* Our own programs and plugins that the enabled services need. -ENOENT: which is missing. */
int cow_serve_check_own(const struct cow_config *c, struct cow_err *err);

/*
 * cow_serve_each_taken_port - every port of an enabled service that another program has.
 * Return: 0; -errno ports cannot be tried (-EACCES).
 */
int cow_serve_each_taken_port(const struct cow_config *c, const struct cow_serve_net *net,
			      void (*fn)(void *ctx, const char *what, const struct cow_err *err),
			      void *ctx);

/* All ports of the services that are enabled. -EADDRINUSE: which, and who holds it (exit 4). */
int cow_serve_check_ports(const struct cow_config *c, const struct cow_serve_net *net,
			  struct cow_err *err);

enum cow_port_proto {
	COW_PORT_TCP,
	COW_PORT_UDP,
};

/*
 * cow_port_holder - who has a socket bound to a local port, in our network namespace.
 * Return: pid; 0: nobody; -ESRCH: somebody we cannot name (the kernel, or a hidden process).
 * @comm: 16 bytes for its name.
 */
pid_t cow_port_holder(enum cow_port_proto proto, unsigned port, char *comm);

/* Whether that process has a socket bound to the port. */
bool cow_port_held_by(enum cow_port_proto proto, unsigned port, pid_t pid);

/* A port mapper answers on the local socket NFS servers register at. */
bool cow_portmap_present(void);

#endif
