/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd image export: a version as a file that another store imports.
 */
#include "image_export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "progress.h"
#include "snapshot/archive.h"

static const char export_help[] =
    "usage: cowherd image export NAME[@VERSION|:TAG] [--since NAME[@VERSION|:TAG]] -o FILE\n"
    "                            [--level N] [--btrfs]\n"
    "       cowherd image export --oci NAME[@VERSION|:TAG] -o DIR\n"
    "\n"
    "Write a version as an archive, which 'cowherd image import' makes the same version of in\n"
    "another store. With --since it holds what differs, and the other store must have the older\n"
    "version. An export to a file that was interrupted goes on where it was when it is repeated.\n"
    "\n"
    "  -o, --output FILE  \"-\" is standard output\n"
    "  --oci            write a container image instead: an OCI layout, for skopeo, podman, ...\n"
    "  --btrfs          as a btrfs stream, from a store on btrfs to another one\n"
    "  --since REF      only what the version has otherwise than this one\n"
    "  --level N        of compression, 1 to 19; default: 9\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

static int step(void *ctx, uint64_t done, uint64_t total)
{
	return cow_progress_part(ctx, "packed", done, total);
}

static int print_done(const struct cow_image *i, const struct cow_image *since,
		      const struct cow_options *o, const struct cow_export_done *done)
{
	char bytes[COW_BYTES_LEN], plain[COW_BYTES_LEN];
	if (strcmp(o->output, COW_EXPORT_STDOUT) == 0)
		return COW_OK;
	cow_cli_bytes(done->bytes, bytes);
	cow_cli_bytes(done->plain, plain);
	(void)printf("exported %s@%u", i->name, i->version);
	if (since)
		(void)printf(" since %s@%u", since->name, since->version);
	if (o->btrfs)
		(void)printf(" to %s: %s, a btrfs stream of %s\n", o->output, bytes, plain);
	else
		(void)printf(" to %s: %s%s, %llu %s of %s\n", o->output, bytes,
			     done->resumed ? ", a part was there" : "",
			     (unsigned long long)done->files, o->oci ? "objects" : "files", plain);
	if (done->left_out)
		(void)printf("warning: %llu sockets are left out: tar has no place for them\n",
			     (unsigned long long)done->left_out);
	return cow_cli_flush();
}

int cow_cmd_image_export(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_progress progress;
	struct cow_export_done done;
	struct cow_export_opts opts = {.progress = step, .ctx = &progress};
	cow_autostore s = NULL;
	cow_autoimage i = NULL;
	cow_autoimage since = NULL;
	int status =
	    cow_options_parse("image export", export_help, COW_OPT_EXPORT | COW_OPT_OUTPUT | COW_OPT_LEVEL,
			      1, 1, argc, argv, &o);
	if (status >= 0 || (status = cow_options_output("image export", &o, &opts)) >= 0)
		return status;
	if (o.oci && (o.since || o.level || o.btrfs || strcmp(o.output, COW_EXPORT_STDOUT) == 0))
		return cow_cli_usage("image export", "--oci takes a directory, no --since, --level or --btrfs");
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_image_find(s, argv[o.words], &i, &err);
	if (r == 0 && o.since)
		r = cow_image_find(s, o.since, &since, &err);
	if (r < 0 || !i)
		return cow_cli_fail(&err, r);
	cow_progress_begin(&progress);
	r = o.oci     ? cow_image_export_oci(s, i, &opts, &done, &err)
	    : o.btrfs ? cow_image_export_btrfs(s, i, since, &opts, &done, &err)
		      : cow_image_export(s, i, since, &opts, &done, &err);
	cow_progress_end(&progress);
	return r < 0 ? cow_cli_fail(&err, r) : print_done(i, since, &o, &done);
}
