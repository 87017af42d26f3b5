/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client export|import: a client as a file, and back.
 */
#include "client_backup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "options.h"
#include "progress.h"
#include "snapshot/archive.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

#define COMMON_HELP                                                                                \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

/* ---------------------------------------------------------------- export */

static const char export_help[] =
    "usage: cowherd client export MAC|NAME -o FILE [--level N] [--now]\n"
    "\n"
    "Write what a client's root shows otherwise than its image, and the client's settings, as an\n"
    "archive. 'cowherd client import' makes the client again, in any store that has the image.\n"
    "\n"
    "  -o, --output FILE  \"-\" is standard output\n"
    "  --level N        of compression, 1 to 19; default: 9\n"
    "  --now            also while the root is in use: as after a power cut\n" COMMON_HELP;

static int packed(void *ctx, uint64_t done, uint64_t total)
{
	return cow_progress_part(ctx, "packed", done, total);
}

static int print_exported(const struct cow_client *c, const char *output,
			  const struct cow_export_done *done)
{
	char bytes[COW_BYTES_LEN], plain[COW_BYTES_LEN];
	if (strcmp(output, COW_EXPORT_STDOUT) == 0)
		return COW_OK;
	cow_cli_bytes(done->bytes, bytes);
	cow_cli_bytes(done->plain, plain);
	(void)printf("exported %s (%s) since %s@%u to %s: %s%s, %llu files of %s\n", c->id, c->name,
		     c->image, c->version, output, bytes,
		     done->resumed ? ", a part was there" : "", (unsigned long long)done->files,
		     plain);
	return cow_cli_flush();
}

int cow_cmd_client_export(int argc, char **argv)
{
	static const char command[] = "client export";
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_progress progress;
	struct cow_export_done done;
	struct cow_export_opts opts = {.progress = packed, .ctx = &progress};
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse(command, export_help,
				       COW_OPT_OUTPUT | COW_OPT_LEVEL | COW_OPT_NOW, 1, 1, argc,
				       argv, &o);
	if (status >= 0 || (status = cow_options_output(command, &o, &opts)) >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	cow_progress_begin(&progress);
	r = cow_client_export(s, &c->mac, o.given & COW_OPT_NOW ? COW_EXPORT_NOW : 0, &opts, &done,
			      &err);
	cow_progress_end(&progress);
	return r < 0 ? cow_cli_fail(&err, r) : print_exported(c, o.output, &done);
}

/* ---------------------------------------------------------------- import */

static const char import_help[] =
    "usage: cowherd client import FILE|- [--mac MAC] [--name NAME]\n"
    "\n"
    "Make a client again of an archive of 'cowherd client export'. The image its root stood on has\n"
    "to be here, the client must not.\n"
    "\n"
    "  --mac MAC        it becomes this machine, another than the archive's\n"
    "  --name NAME      and has this host name\n" COMMON_HELP;

static int step(void *ctx, const struct cow_import_progress *now)
{
	return cow_progress_step(ctx, now);
}

static void say_left_out(void *ctx, const char *key, const char *value, const char *why)
{
	cow_progress_wipe(ctx);
	(void)fprintf(stderr, "cowherd: %s = %s is left out: %s\n", key, value, why);
}

int cow_cmd_client_import(int argc, char **argv)
{
	static const char command[] = "client import";
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_progress progress;
	struct cow_mac mac;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse(command, import_help, COW_OPT_MAC | COW_OPT_NAME, 1, 1, argc,
				       argv, &o);
	if (status >= 0)
		return status;
	if (o.mac && cow_mac_parse(o.mac, strlen(o.mac), &mac) < 0)
		return cow_cli_usage(
		    command, "'%s' is no MAC address of a machine (dc:a6:32:01:02:03)", o.mac);
	const struct cow_client_import_opts opts = {
	    .mac = o.mac ? &mac : NULL,
	    .name = o.name,
	    .notice = say_left_out,
	    .progress = step,
	    .ctx = &progress,
	};
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	cow_progress_begin(&progress);
	r = cow_client_import(s, argv[o.words], &opts, &mac, &err);
	cow_progress_end(&progress);
	if (r == 0)
		r = cow_client_load(s, &mac, &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	(void)cow_store_event(s, "add", "client", c->id, "name", c->name, "image", c->image, NULL);
	(void)printf("imported %s (%s) with a root from %s@%u\n", c->id, c->name, c->image,
		     c->version);
	return cow_cli_flush();
}
