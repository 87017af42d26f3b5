/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd - the command line. Options before the command go into the environment, where every
 * command finds them; the rest is the command's own.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cli.h"
#include "cmd.h"

static const struct cow_cmd commands[] = {
    {"init", cow_cmd_init, "[--loop SIZE FILE]", "make a store"},
    {"image", cow_cmd_image, "import|list|show|rm ...", "golden images"},
    {"client", cow_cmd_client, "add|list|show|set|rm|reset|...", "machines and their roots"},
    {"events", cow_cmd_events, "[--follow]", "what happened"},
    {"gc", cow_cmd_gc, "[--dry-run]", "remove versions nobody needs"},
#ifdef COW_WITH_SERVE
    {"serve", cow_cmd_serve, "", "serve the clients: TFTP, NFS, DHCP"},
    {"status", cow_cmd_status, "", "clients and services at a glance"},
    {"doctor", cow_cmd_doctor, "[CLIENT]", "look for the usual faults"},
#endif
    {NULL, NULL, NULL, NULL},
};

/* Deep trees are walked with one descriptor per level. */
static void raise_fd_limit(void)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == rl.rlim_max)
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl); /* without it only absurdly deep trees are refused */
}

static int help(char *program)
{
	char *words[] = {program, (char[]){"--help"}, NULL};
	(void)cow_cmd_dispatch("cowherd", commands, 2, words);
	(void)fputs(
	    "\nBefore the command, or among its own options:\n"
	    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
	    "                   " COW_STORE_DEFAULT "\n"
	    "  --config FILE    default: COWHERD_CONFIG, " COW_CONFIG_DEFAULT "\n"
	    "Alone:\n"
	    "  --version        of this program\n"
	    "  --help           this text\n",
	    stdout);
	return cow_cli_flush();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"store", required_argument, NULL, 's'},
	    {"config", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	(void)umask(022);
	raise_fd_limit();
	while ((opt = getopt_long(argc, argv, "+hV", options, NULL)) != -1) {
		switch (opt) {
		case 's':
		case 'c':
			/* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts */
			if (setenv(opt == 's' ? "COWHERD_STORE" : "COWHERD_CONFIG", optarg, 1) < 0)
				return COW_ERR_FAILED;
			break;
		case 'h':
			return help(argv[0]);
		case 'V':
			(void)puts("cowherd " COW_VERSION);
			return cow_cli_flush();
		default:
			return cow_cli_usage("", "bad option");
		}
	}
	return cow_cmd_dispatch("cowherd", commands, argc - optind + 1, argv + optind - 1);
}
