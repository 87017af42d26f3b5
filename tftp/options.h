/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Command line of cowherd-tftpd.
 */
#ifndef COW_TFTP_OPTIONS_H
#define COW_TFTP_OPTIONS_H

#include "common/err.h"
#include "common/log.h"
#include "tftp/server.h"

/* How far a machine is believed. */
enum cow_tftp_trust {
	COW_TFTP_TRUST_OPEN, /* what its prefix says */
	COW_TFTP_TRUST_MATCH, /* that, unless its Ethernet address is known and another client's, or nobody's */
	COW_TFTP_TRUST_CLOSED, /* likewise, and strangers get nothing at all */
};

/* What becomes of a machine that is no client. */
enum cow_tftp_enrol {
	COW_TFTP_ENROL_OFF,
	COW_TFTP_ENROL_PENDING, /* the supervisor is told */
	COW_TFTP_ENROL_AUTO,	/* and may make it a client: it is kept waiting for a moment */
};

struct cow_tftp_options {
	const char *store, *nfs, *loader_dir, *user;
	const char *leases; /* NULL or "": none */
	struct cow_tftp_entrances entrances;
	unsigned nfs_port, mount_port;
	int event_fd; /* -1: none */
	enum cow_log_level log_level;
	enum cow_tftp_trust trust;
	enum cow_tftp_enrol enrol;
};

enum cow_tftp_parsed { COW_TFTP_RUN, COW_TFTP_EXIT };

/*
 * cow_tftp_options_parse - also prints --help and --version.
 * Return: COW_TFTP_RUN; COW_TFTP_EXIT all is said; -EINVAL, with the message in @err (exit 2).
 */
int cow_tftp_options_parse(int argc, char **argv, struct cow_tftp_options *ret,
			   struct cow_err *err);

#endif
