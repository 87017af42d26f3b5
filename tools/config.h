/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The configuration file, /etc/cowherd/cowherd.conf: one table says every key, its form and its
 * default; cowherd.conf(5) is tested against that table.
 */
#ifndef COW_TOOLS_CONFIG_H
#define COW_TOOLS_CONFIG_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"

#define COW_CONFIG_DEFAULT "/etc/cowherd/cowherd.conf"
#define COW_CONFIG_ENV "COWHERD_CONFIG" /* names another file */
#define COW_STORE_ENV "COWHERD_STORE"	/* wins over the file's [store] path */

enum cow_nfs_access {
	COW_NFS_ACCESS_BOUND,  /* the client's configured or last learnt address */
	COW_NFS_ACCESS_SUBNET, /* every address of the serving interface's subnet */
	COW_NFS_ACCESS_OPEN,   /* everybody */
};

enum cow_enrol_mode {
	COW_ENROL_OFF,	   /* machines that are no clients are named in the log */
	COW_ENROL_PENDING, /* and listed */
	COW_ENROL_AUTO,	   /* made clients on the spot */
};

enum cow_dhcp_mode {
	COW_DHCP_OFF,
	COW_DHCP_FULL,	/* we hand out addresses */
	COW_DHCP_PROXY, /* another server does; we add what network boot needs */
};

/* All strings are owned; absent ones are "". */
struct cow_config {
	char *store_path;
	char *store_loop;
	char *space_warn, *space_refuse; /* see cow_space_limit_parse() */
	unsigned keep_last;

	char *address;
	char *interface;
	char *run_dir;
	unsigned log_level; /* index into error, warning, notice, info, debug */

	unsigned nfs_enabled;
	unsigned nfs_port;
	unsigned nfs_mount_port;
	char *nfs_version;
	unsigned nfs_access;			  /* enum cow_nfs_access */
	unsigned nfs_lease;			  /* s */
	unsigned nfs_watchdog, nfs_start_timeout; /* s */
	char *plugin_dir;

	unsigned tftp_enabled;
	unsigned tftp_port;
	unsigned tftp_clients; /* as cowherd-tftpd --clients: 0 open, 1 match, 2 closed */
	unsigned enrol;	       /* enum cow_enrol_mode */
	char *enrol_image;
	unsigned enrol_max;
	char *ipxe_dir;
	char *tftp_user;
	char *tftp_listen; /* IPv6 addresses with commas */
	unsigned tftp_single_port, tftp_utimeout;
	char *tftp_ports; /* "FIRST-LAST" */

	unsigned dhcp_mode;   /* enum cow_dhcp_mode */
	unsigned dhcp_loader; /* enum cow_loader */
	char *dhcp_range;
	char *dhcp_lease;
	char *dhcp_router;
	char *dhcp_dns;
};

void cow_config_free(struct cow_config *c); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_config, cow_config_free)
#define cow_autoconfig COW_CLEANUP(cow_auto_cow_config_free) struct cow_config *

/* Defaults alone. */
int cow_config_new(struct cow_config **ret);

/*
 * cow_config_parse - defaults overlaid with @buf. An unknown section or key is refused with the
 * list of the known ones, a bad value with what is allowed (exit status 2).
 * @what: names the text in messages.
 */
int cow_config_parse(const char *buf, size_t len, const char *what, struct cow_config **ret,
		     struct cow_err *err);

/*
 * cow_config_load - what a command works with: @path, or else $COWHERD_CONFIG, or else
 * COW_CONFIG_DEFAULT. Only the last may be absent: then the defaults hold. $COWHERD_STORE replaces
 * the store's path.
 * Return: 0; -ENOENT a named file is not there (exit 3); -EINVAL (exit 2).
 */
int cow_config_load(const char *path, struct cow_config **ret, struct cow_err *err);

/* The store gets the thresholds of [store] space_warn and space_refuse. */
struct cow_store;
void cow_config_space(const struct cow_config *c, struct cow_store *s);

/* Replace one value as the file would, for options of the command line. */
int cow_config_set(struct cow_config *c, const char *section, const char *key, const char *value,
		   struct cow_err *err);

/* The table, for tests and documents. */
struct cow_config_key {
	const char *section, *key;
	const char *fallback; /* the default, as it would be written in the file */
	const char *form;     /* what a value looks like */
};
/* Nth key; NULL at the end. */
const struct cow_config_key *cow_config_key(size_t n);

/* The dynamic range of [dhcp] range, "FIRST,LAST", as two dotted quads. -EINVAL. */
int cow_config_range(const char *text, char ret_first[16], char ret_last[16]);

/* How many addresses [tftp] listen takes. */
#define COW_CONFIG_LISTEN_MAX 4

#endif
