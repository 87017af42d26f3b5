/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cmd.h"
#include "common/checked.h"
#include "common/cleanup.h"

static const char help[] =
    "usage: cowherd init [--store DIR] [--loop SIZE FILE]\n"
    "\n"
    "Make an empty store in DIR, which must be empty or absent, on any file system with file\n"
    "handles and extended attributes (ext4, xfs, btrfs, ...).\n"
    "\n"
    "  --store DIR       default: COWHERD_STORE, [store] path of the configuration,\n"
    "                    " COW_STORE_DEFAULT "\n"
    "  --config FILE     default: " COW_CONFIG_DEFAULT "\n"
    "  --loop SIZE FILE  for a disk whose file system will not do, or to have snapshots\n"
    "                    (backend btrfs): make FILE, which can grow to SIZE (10G, 500G),\n"
    "                    with btrfs in it, mounted on DIR\n";

/* After a reboot the loop file must be mounted again: say how. */
static void print_loop_hint(const char *path, const char *file)
{
	cow_autofree char *real = realpath(file, NULL);
	(void)printf("To have it after a reboot, add to /etc/fstab:\n"
		     "%s %s btrfs loop,noatime 0 0\n",
		     real ? real : file, path);
}

int cow_cmd_init(int argc, char **argv)
{
	static const struct option options[] = {
	    {"store", required_argument, NULL, 's'},
	    {"config", required_argument, NULL, 'c'},
	    {"loop", required_argument, NULL, 'l'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct cow_cli_where where = {0};
	struct cow_err err = COW_ERR_INIT;
	const char *size = NULL;
	uint64_t bytes = 0;
	int opt;

	optind = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			where.store = optarg;
			break;
		case 'c':
			where.config = optarg;
			break;
		case 'l':
			size = optarg;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return cow_cli_flush();
		default:
			return cow_cli_usage("init", "bad option");
		}
	}
	if (argc - optind != (size ? 1 : 0))
		return cow_cli_usage("init",
				     size ? "--loop needs SIZE and FILE" : "too many words");
	if (size && cow_parse_size(size, &bytes) < 0)
		return cow_cli_usage("init", "--loop: '%s' is no size (10G, 500M)", size);

	cow_autofree char *path = NULL;
	int r = cow_cli_store_path(&where, &path, &err);
	if (r == 0)
		r = size ? cow_store_init_loop(path, argv[optind], bytes, &err)
			 : cow_store_init(path, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	(void)printf("made a store in %s\n", path);
	if (size)
		print_loop_hint(path, argv[optind]);
	return cow_cli_flush();
}
