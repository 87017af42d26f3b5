/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Command line of cowherd-fuse. The man page (docs/cowherd-fuse.8.pod) lists the same options.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/checked.h"
#include "snapshot/store.h"

static const char help[] =
    "Usage: cowherd-fuse [OPTION]... --client CLIENT DIR\n"
    "       cowherd-fuse [OPTION]... [--image VERSIONDIR] ROOTDIR DIR\n"
    "Mount a client's root, or a root by its directory, on DIR. Runs until it is unmounted.\n"
    "Started by `cowherd client mount`.\n"
    "\n"
    "  --store DIR        the store (default: $COWHERD_STORE, else " COW_STORE_DEFAULT ")\n"
    "  --client CLIENT    MAC address or name of the client\n"
    "  --image VERSIONDIR the image below the root: holds image.ovm and tree/\n"
    "  --read-only        look only; works while others have the root in use\n"
    "  --writeback        let the kernel gather small writes\n"
    "  --threads N        at most so many threads (default: twice the processors)\n"
    "  --status-fd N      tell this file descriptor \"ok\" when mounted, else what went wrong\n"
    "  --log-level LEVEL  error, warning, notice, info or debug (default: notice)\n"
    "  --help             show this text\n"
    "  --version          show the version\n"
    "\n"
    "Exit status: 0 unmounted, 1 failed, 2 usage, 3 not found, 4 root in use, 5 refused.\n";

enum {
	STORE = 256,
	CLIENT,
	IMAGE,
	READ_ONLY,
	WRITEBACK,
	THREADS,
	STATUS_FD,
	LOG_LEVEL,
	HELP,
	VERSION
};

static const struct option long_options[] = {
    {"store", required_argument, NULL, STORE},
    {"client", required_argument, NULL, CLIENT},
    {"image", required_argument, NULL, IMAGE},
    {"read-only", no_argument, NULL, READ_ONLY},
    {"writeback", no_argument, NULL, WRITEBACK},
    {"threads", required_argument, NULL, THREADS},
    {"status-fd", required_argument, NULL, STATUS_FD},
    {"log-level", required_argument, NULL, LOG_LEVEL},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static int usage(struct cow_err *err, const char *what)
{
	return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "%s; try cowherd-fuse --help", what);
}

static int number(const char *option, uint64_t max, unsigned *ret, struct cow_err *err)
{
	uint64_t v;
	if (cow_parse_u64(optarg, 0, max, &v) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "--%s %s: wanted a number up to %llu", option, optarg,
				   (unsigned long long)max);
	*ret = (unsigned)v;
	return 0;
}

/* Return: 0; COW_FUSE_EXIT; -EINVAL. */
static int take(int c, struct cow_fuse_options *o, struct cow_err *err)
{
	unsigned fd = 0;
	switch (c) {
	case STORE:
		o->store = optarg;
		return 0;
	case CLIENT:
		o->client = optarg;
		return 0;
	case IMAGE:
		o->image = optarg;
		return 0;
	case READ_ONLY:
		o->read_only = true;
		return 0;
	case WRITEBACK:
		o->writeback = true;
		return 0;
	case THREADS:
		return number("threads", 64, &o->threads, err);
	case STATUS_FD:
		if (number("status-fd", 1 << 20, &fd, err) < 0)
			return -EINVAL;
		o->status_fd = (int)fd;
		return 0;
	case LOG_LEVEL:
		return cow_log_level_parse(optarg, &o->log_level) < 0
			   ? usage(err, "--log-level: wanted error, warning, notice, info or debug")
			   : 0;
	case HELP:
		(void)fputs(help, stdout);
		return COW_FUSE_EXIT;
	case VERSION:
		(void)puts("cowherd-fuse " COW_VERSION);
		return COW_FUSE_EXIT;
	default: /* getopt_long(3) has said what is wrong */
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "try cowherd-fuse --help");
	}
}

static int operands(int n, char **v, struct cow_fuse_options *o, struct cow_err *err)
{
	if (o->client && o->image)
		return usage(err, "--image: a client's root knows its image");
	if (n != (o->client ? 1 : 2))
		return usage(err, o->client
				      ? "wanted one directory to mount on"
				      : "wanted --client, or a root's directory, and a directory "
					"to mount on");
	o->root = o->client ? NULL : v[0];
	o->point = v[n - 1];
	return 0;
}

int cow_fuse_options_parse(int argc, char **argv, struct cow_fuse_options *ret, struct cow_err *err)
{
	const char *store = getenv("COWHERD_STORE"); /* NOLINT(concurrency-mt-unsafe): one thread */
	struct cow_fuse_options o = {
	    .store = store && *store ? store : COW_STORE_DEFAULT,
	    .status_fd = -1,
	    .log_level = COW_LOG_NOTICE,
	};
	int c;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int r = take(c, &o, err);
		if (r != 0)
			return r;
	}
	int r = operands(argc - optind, argv + optind, &o, err);
	if (r < 0)
		return r;
	*ret = o;
	return COW_FUSE_RUN;
}
