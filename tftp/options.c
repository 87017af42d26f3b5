/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Command line of cowherd-tftpd. The man page (docs/cowherd-tftpd.8.pod) lists the same options.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "snapshot/store.h"

#define PORT_DEFAULT 69

static const char help[] =
    "Usage: cowherd-tftpd [OPTION]...\n"
    "Serve boot files to netbooted machines from the trees of a cowherd store.\n"
    "Started by `cowherd serve`.\n"
    "\n"
    "  --store DIR          the store (default: $COWHERD_STORE, else " COW_STORE_DEFAULT ")\n"
    "  --listen ADDR[:PORT] address and port to serve on; IPv6: [ADDR]:PORT; may be given several "
    "times\n"
    "                       (default: 0.0.0.0:69)\n"
    "  --single-port        transfers run on that port too, for networks with address translation\n"
    "  --ports A-B          transfers run on ports of this range (default: any)\n"
    "  --utimeout           grant the option of that name: time-outs in microseconds\n"
    "  --nfs-version V      3, 4.0, 4.1 or 4.2, for clients that name none (default: 4.1)\n"
    "  --nfs-port N         port of the NFS server (default: 2049)\n"
    "  --mount-port N       port of its MOUNT service, for NFSv3 without rpcbind\n"
    "  --loader-dir DIR     loaders for PCs (undionly.kpxe, pxelinux.0 and others) are here\n"
    "  --clients MODE       open, match or closed: how far a machine is believed (default: match)\n"
    "  --leases FILE        lease file of dnsmasq, for machines that are not on the same link\n"
    "  --enrol MODE         off, pending or auto: what becomes of a machine that is no client\n"
    "  --event-fd N         write a line to this file descriptor when a machine boots\n"
    "  --user NAME          run as this user once the port is bound\n"
    "  --log-level LEVEL    error, warning, notice, info or debug (default: info)\n"
    "  --help               show this text\n"
    "  --version            show the version\n"
    "\n"
    "Exit status: 0 stopped by SIGTERM or SIGINT, 1 failed, 2 usage, 3 no store there, 4 port "
    "taken.\n";

enum {
	STORE = 256,
	LISTEN,
	SINGLE_PORT,
	PORTS,
	UTIMEOUT,
	NFS_VERSION,
	NFS_PORT,
	MOUNT_PORT,
	LOADER_DIR,
	CLIENTS,
	LEASES,
	ENROL,
	EVENT_FD,
	USER,
	LOG_LEVEL,
	HELP,
	VERSION
};

static const struct option long_options[] = {
    {"store", required_argument, NULL, STORE},
    {"listen", required_argument, NULL, LISTEN},
    {"single-port", no_argument, NULL, SINGLE_PORT},
    {"ports", required_argument, NULL, PORTS},
    {"utimeout", no_argument, NULL, UTIMEOUT},
    {"nfs-version", required_argument, NULL, NFS_VERSION},
    {"nfs-port", required_argument, NULL, NFS_PORT},
    {"mount-port", required_argument, NULL, MOUNT_PORT},
    {"loader-dir", required_argument, NULL, LOADER_DIR},
    {"clients", required_argument, NULL, CLIENTS},
    {"leases", required_argument, NULL, LEASES},
    {"enrol", required_argument, NULL, ENROL},
    {"event-fd", required_argument, NULL, EVENT_FD},
    {"user", required_argument, NULL, USER},
    {"log-level", required_argument, NULL, LOG_LEVEL},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static int bad(struct cow_err *err, const char *option, const char *arg, const char *wanted)
{
	return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "--%s %s: wanted %s", option, arg, wanted);
}

static int number(const char *option, uint64_t max, unsigned *ret, struct cow_err *err)
{
	uint64_t v;

	if (cow_parse_u64(optarg, 0, max, &v) < 0)
		return bad(err, option, optarg, "a number in range");
	*ret = (unsigned)v;
	return 0;
}

static int take_listen(struct cow_tftp_entrances *e, struct cow_err *err)
{
	union cow_tftp_addr a = {.in = {.sin_family = AF_INET, .sin_port = htons(PORT_DEFAULT)}};

	if (e->count == COW_TFTP_LISTEN_MAX)
		return bad(err, "listen", optarg, "fewer addresses");
	if (cow_tftp_addr_parse(optarg, &a) < 0)
		return bad(err, "listen", optarg,
			   "an address: ADDR, ADDR:PORT, [ADDR]:PORT for IPv6, with %INTERFACE if "
			   "it is link-local");
	e->listen[e->count++] = a;
	return 0;
}

static int take_ports(struct cow_tftp_entrances *e, struct cow_err *err)
{
	const char *dash = strchr(optarg, '-');
	uint64_t first, last;

	if (!dash || cow_parse_u64n(optarg, (size_t)(dash - optarg), 1, 65535, &first) < 0 ||
	    cow_parse_u64(dash + 1, first, 65535, &last) < 0)
		return bad(err, "ports", optarg, "a range of ports, FIRST-LAST");
	e->port_first = (uint16_t)first;
	e->port_last = (uint16_t)last;
	return 0;
}

static int nfs_version(struct cow_tftp_options *o, struct cow_err *err)
{
	static const char *const versions[] = {"3", "4.0", "4.1", "4.2"};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (strcmp(optarg, versions[i]) == 0) {
			o->nfs = versions[i];
			return 0;
		}
	}
	return bad(err, "nfs-version", optarg, "3, 4.0, 4.1 or 4.2");
}

static int trust(struct cow_tftp_options *o, struct cow_err *err)
{
	static const char *const modes[] = {
	    [COW_TFTP_TRUST_OPEN] = "open",
	    [COW_TFTP_TRUST_MATCH] = "match",
	    [COW_TFTP_TRUST_CLOSED] = "closed",
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(optarg, modes[i]) == 0) {
			o->trust = (enum cow_tftp_trust)i;
			return 0;
		}
	}
	return bad(err, "clients", optarg, "open, match or closed");
}

static int enrol(struct cow_tftp_options *o, struct cow_err *err)
{
	static const char *const modes[] = {
	    [COW_TFTP_ENROL_OFF] = "off",
	    [COW_TFTP_ENROL_PENDING] = "pending",
	    [COW_TFTP_ENROL_AUTO] = "auto",
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(optarg, modes[i]) == 0) {
			o->enrol = (enum cow_tftp_enrol)i;
			return 0;
		}
	}
	return bad(err, "enrol", optarg, "off, pending or auto");
}

/* Return: 0; COW_TFTP_EXIT; -EINVAL. */
static int take(int c, struct cow_tftp_options *o, struct cow_err *err)
{
	unsigned fd = 0;

	switch (c) {
	case STORE:
		o->store = optarg;
		return 0;
	case LISTEN:
		return take_listen(&o->entrances, err);
	case SINGLE_PORT:
		o->entrances.single_port = true;
		return 0;
	case PORTS:
		return take_ports(&o->entrances, err);
	case UTIMEOUT:
		o->entrances.utimeout = true;
		return 0;
	case NFS_VERSION:
		return nfs_version(o, err);
	case NFS_PORT:
		return number("nfs-port", 65535, &o->nfs_port, err);
	case MOUNT_PORT:
		return number("mount-port", 65535, &o->mount_port, err);
	case LOADER_DIR:
		o->loader_dir = optarg;
		return 0;
	case CLIENTS:
		return trust(o, err);
	case LEASES:
		o->leases = optarg;
		return 0;
	case ENROL:
		return enrol(o, err);
	case EVENT_FD:
		if (number("event-fd", 1 << 20, &fd, err) < 0)
			return -EINVAL;
		o->event_fd = (int)fd;
		return 0;
	case USER:
		o->user = optarg;
		return 0;
	case LOG_LEVEL:
		return cow_log_level_parse(optarg, &o->log_level) < 0
			   ? bad(err, "log-level", optarg, "error, warning, notice, info or debug")
			   : 0;
	case HELP:
		(void)fputs(help, stdout);
		return COW_TFTP_EXIT;
	case VERSION:
		(void)puts("cowherd-tftpd " COW_VERSION);
		return COW_TFTP_EXIT;
	default: /* getopt_long(3) has said what is wrong */
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "try cowherd-tftpd --help");
	}
}

int cow_tftp_options_parse(int argc, char **argv, struct cow_tftp_options *ret, struct cow_err *err)
{
	const char *store = getenv("COWHERD_STORE"); /* NOLINT(concurrency-mt-unsafe): one thread */
	struct cow_tftp_options o = {
	    .store = store && *store ? store : COW_STORE_DEFAULT,
	    .nfs = "4.1",
	    .nfs_port = 2049,
	    .event_fd = -1,
	    .log_level = COW_LOG_INFO,
	    .trust = COW_TFTP_TRUST_MATCH,
	};
	int c;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int r = take(c, &o, err);

		if (r != 0)
			return r;
	}
	if (optind < argc)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "'%s': no arguments are taken",
				   argv[optind]);
	if (o.entrances.single_port && o.entrances.port_first)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "--single-port and --ports exclude each other");
	if (o.entrances.count == 0) {
		o.entrances.listen[0].in =
		    (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT_DEFAULT)};
		o.entrances.count = 1;
	}
	*ret = o;
	return COW_TFTP_RUN;
}
