/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client add|set|rm; list and show are in client_show.c, reset, roll and rollback in client_swap.c, diff in
 * client_diff.c, check in client_check.c, eeprom in client_eeprom.c, commit in client_commit.c, export and import in client_backup.c, mount, unmount and exec in
 * client_mount.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "client_backup.h"
#include "client_check.h"
#include "client_commit.h"
#include "client_diff.h"
#include "client_eeprom.h"
#include "client_mount.h"
#include "client_show.h"
#include "client_swap.h"
#include "cmd.h"
#include "common/clock.h"
#include "options.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

#define COMMON_HELP                                                                                \
	"  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"          \
	"                   " COW_STORE_DEFAULT "\n"                                               \
	"  --config FILE    default: " COW_CONFIG_DEFAULT "\n"

/* ---------------------------------------------------------------- add */

static const char add_help[] =
    "usage: cowherd client add MAC --image NAME[@VERSION|:TAG] [--name NAME]\n"
    "\n"
    "Give the machine with this Ethernet address a writable root made from the image.\n"
    "\n"
    "  --image REF      NAME: the newest version, also at later resets; NAME@VERSION: this one\n"
    "  --name NAME      its host name; default: made from the MAC\n"
    "  --backend NAME   overlay: what differs from the image is kept beside it (default);\n"
    "                   btrfs: a snapshot of the image, on stores on btrfs\n"
    "  --durability D   strict: every change is on disk before it is answered (default);\n"
    "                   relaxed; volatile\n"
    "  --ephemeral      a fresh root at every boot\n" COMMON_HELP;

static int cmd_add(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse("client add", add_help, COW_OPT_ADD | COW_OPT_NAME, 1, 1, argc, argv, &o);
	if (status >= 0)
		return status;
	const char *text = argv[o.words];
	struct cow_client_add_opts opts = {
	    .image = o.image, .name = o.name, .ephemeral = o.ephemeral};
	if (cow_mac_parse(text, strlen(text), &mac) < 0)
		return cow_cli_usage("client add",
				     "'%s' is no MAC address of a machine "
				     "(dc:a6:32:01:02:03)",
				     text);
	if (!o.image)
		return cow_cli_usage("client add", "--image is missing");
	if (o.backend && cow_backend_parse(o.backend, &opts.backend) < 0)
		return cow_cli_usage("client add", "no backend '%s'; there are: overlay, btrfs",
				     o.backend);
	if (o.durability && cow_ovl_durability_parse(o.durability, &opts.durability) < 0)
		return cow_cli_usage("client add", "--durability '%s': strict, relaxed or volatile",
				     o.durability);
	int r = cow_cli_store_open(&o.where, &s, &err);
	uint64_t start = cow_now_ms();
	if (r == 0)
		r = cow_client_add(s, &mac, &opts, &err);
	uint64_t ms = cow_now_ms() - start;
	if (r == 0)
		r = cow_client_load(s, &mac, &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	(void)cow_store_event(s, "add", "client", c->id, "name", c->name, "image", c->image, NULL);
	(void)printf("added %s (%s) with a root from %s@%u in %llu ms\n", c->id, c->name, c->image,
		     c->version, (unsigned long long)ms);
	return cow_cli_flush();
}

/* ---------------------------------------------------------------- set */

static const char set_help[] =
    "usage: cowherd client set MAC|NAME KEY=VALUE...\n"
    "\n"
    "Change what is known about a client; an empty value goes back to the default.\n"
    "\n"
    "  name=NAME        host name; a root made later gets it\n"
    "  follows=REF      image that the next reset takes: NAME, NAME@VERSION or NAME:TAG\n"
    "  address=IPV4     fixed address, instead of the one learnt at boot\n"
    "  serial=HEX       last 8 hex digits of a Raspberry Pi's serial number\n"
    "  nfs=VERSION      3, 4.0, 4.1 or 4.2\n"
    "  cmdline=WORDS    added to its kernel command line\n"
    "  backend=NAME     overlay or btrfs; holds from the next reset\n"
    "  durability=D     strict, relaxed or volatile; holds from the next reset\n"
    "  ephemeral=yes|no a fresh root at every boot\n"
    "  group=GROUP      a label, for --group; its keep-list is group-GROUP\n"
    "  keep=LISTS       keep-lists, with commas, whose paths survive reset and roll; none\n"
    "  keep_roots=N     how many roots before the current one are kept; default: 1\n"
    "  limit=SIZE       what its root may use of the disk (2G, 500M); backend overlay; holds from\n"
    "                   the next reset or start of the NFS server\n"
    "\n" COMMON_HELP;

static int cmd_set(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse("client set", set_help, 0, 2, -1, argc, argv, &o);
	if (status >= 0)
		return status;
	for (int i = o.words + 1; i < argc; i++)
		if (!strchr(argv[i], '='))
			return cow_cli_usage("client set", "'%s' is not KEY=VALUE", argv[i]);
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	for (int i = o.words + 1; r == 0 && i < argc; i++) {
		char *value = strchr(argv[i], '=');
		*value++ = 0;
		r = cow_client_set(s, &c->mac, argv[i], value, &err);
	}
	return r < 0 ? cow_cli_fail(&err, r) : COW_OK;
}

/* ---------------------------------------------------------------- rm */

static const char rm_help[] = "usage: cowherd client rm MAC|NAME [--now] [--dry-run]\n"
			      "\n"
			      "Remove a client and its roots.\n"
			      "\n"
			      "  --now            also while it runs\n"
			      "  --dry-run        say what would be removed\n" COMMON_HELP;

/* Also a client whose record is damaged: its MAC is enough. */
static int remove_one(struct cow_store *s, const char *which, unsigned flags)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac;
	char id[COW_MAC_TEXT_LEN + 1];
	cow_autoclient c = NULL;
	int r = 0;
	if (cow_mac_parse(which, strlen(which), &mac) < 0) {
		r = cow_client_find(s, which, &c, &err);
		if (r == 0)
			mac = c->mac;
	}
	if (r == 0)
		r = cow_client_rm(s, &mac, flags, &err);
	if (r < 0)
		return cow_cli_fail(&err, r);
	cow_mac_text(&mac, id);
	(void)cow_store_event(s, "remove", "client", id, NULL);
	(void)printf("removed %s\n", id);
	return COW_OK;
}

static int cmd_rm(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autostore s = NULL;
	cow_autoclient c = NULL;
	int status = cow_options_parse("client rm", rm_help, COW_OPT_NOW | COW_OPT_DRY_RUN, 1, 1,
				       argc, argv, &o);
	if (status >= 0)
		return status;
	int r = cow_cli_store_open(&o.where, &s, &err);
	if (r == 0 && !(o.given & COW_OPT_DRY_RUN)) {
		status = remove_one(s, argv[o.words], o.given & COW_OPT_NOW ? COW_SWAP_NOW : 0);
		return status != COW_OK ? status : cow_cli_flush();
	}
	if (r == 0)
		r = cow_client_find(s, argv[o.words], &c, &err);
	if (r < 0 || !c)
		return cow_cli_fail(&err, r);
	(void)printf("would remove %s (%s), whose root came from %s@%u\n", c->id, c->name, c->image,
		     c->version);
	return cow_cli_flush();
}

int cow_cmd_client(int argc, char **argv)
{
	static const struct cow_cmd commands[] = {
	    {"add", cmd_add, "MAC --image REF", "give a machine a root"},
	    {"list", cow_cmd_client_list, "", "all clients"},
	    {"show", cow_cmd_client_show, "MAC|NAME", "all about one"},
	    {"set", cmd_set, "MAC|NAME KEY=VALUE...", "change what is known about one"},
	    {"diff", cow_cmd_client_diff, "MAC|NAME", "what one changed of its image"},
	    {"check", cow_cmd_client_check, "MAC|NAME", "look for damage in the root of one"},
	    {"eeprom", cow_cmd_client_eeprom, "MAC|NAME",
	     "what to set on a Raspberry Pi so that it boots from here"},
	    {"commit", cow_cmd_client_commit, "MAC|NAME IMAGE",
	     "make a version of an image from one"},
	    {"export", cow_cmd_client_export, "MAC|NAME -o FILE", "write one as an archive"},
	    {"import", cow_cmd_client_import, "FILE|-", "make one again of an archive"},
	    {"mount", cow_cmd_client_mount, "MAC|NAME DIR", "the root of one as a local directory"},
	    {"unmount", cow_cmd_client_unmount, "MAC|NAME|DIR", "undo that"},
	    {"exec", cow_cmd_client_exec, "MAC|NAME -- COMMAND...",
	     "run a command in the root of one"},
	    {"rm", cmd_rm, "MAC|NAME", "remove one"},
	    {"reset", cow_cmd_client_reset, "MAC|NAME...", "fresh root from the image"},
	    {"roll", cow_cmd_client_roll, "MAC|NAME...", "fresh root from another version"},
	    {"rollback", cow_cmd_client_rollback, "MAC|NAME...",
	     "back to the root before a reset or roll"},
	    {NULL, NULL, NULL, NULL},
	};
	return cow_cmd_dispatch("cowherd client", commands, argc, argv);
}
