/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd client eeprom - what has to be set on a Raspberry Pi, and in the network's DHCP server, so that it
 * boots from here. The text is a configuration itself, with the steps as comments: what it prints can be applied.
 * Source: Raspberry Pi documentation, "Raspberry Pi bootloader configuration" and "Network booting".
 */
#include "client_eeprom.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "options.h"
#include "rpi_model.h"
#include "serve_env.h"
#include "snapshot/client.h"

static const char help[] =
    "usage: cowherd client eeprom MAC|NAME [--model MODEL] [--json]\n"
    "\n"
    "Print the bootloader's configuration that makes a Raspberry Pi boot from this server, and\n"
    "the steps to get it there, as comments. The machine need not be a client yet.\n"
    "\n"
    "  --model MODEL    pi3 (also Pi 2 v1.2), pi4 (400, CM4), pi5 (500, CM5); default: what the "
    "MAC tells\n"
    "  --json           for programs\n"
    "  --store DIR      default: COWHERD_STORE, [store] path of the configuration,\n"
    "                   " COW_STORE_DEFAULT "\n"
    "  --config FILE    default: " COW_CONFIG_DEFAULT "\n";

struct setup {
	struct cow_mac mac;
	char id[COW_MAC_TEXT_LEN + 1];
	const char *name; /* "": no client yet */
	const char *serial;
	enum cow_rpi_model model;
	char server[COW_ADDR_LEN]; /* "": not known */
	char why_no_server[256];
	enum cow_dhcp_mode dhcp;
};

/* Bootloader settings of Pi 4 and 5; the rest of a board's stay as they are. */
struct setting {
	const char *key, *value, *why;
};

static size_t settings_of(const struct setup *s, struct setting ret[4])
{
	size_t n = 0;

	ret[n++] =
	    (struct setting){"BOOT_ORDER", "0xf21",
			     "from right to left: card, network, from the start again; 0xf2: "
			     "network alone"};
	ret[n++] = (struct setting){"TFTP_PREFIX", "2",
				    "ask by MAC address, by which cowherd knows the board"};
	if (*s->server)
		ret[n++] = (struct setting){"TFTP_IP", s->server,
					    "this server, whatever the DHCP server says"};
	ret[n++] =
	    (struct setting){"TFTP_FILE_TIMEOUT", "60000",
			     "milliseconds for one file (30000 if not set): a room that starts "
			     "at once shares the network"};
	return n;
}

/* ---------------------------------------------------------------- text */

static void print_head(const struct setup *s)
{
	(void)printf("# %s", cow_rpi_model_name(s->model));
	(void)printf(", %s%s%s", s->id, *s->name ? ", client " : ": no client yet", s->name);
	(void)putchar('\n');
}

static void print_dhcp(const struct setup *s)
{
	const char *server = *s->server ? s->server : "ADDRESS OF THIS SERVER";

	(void)puts("#\n# The network's DHCP server (router):");
	if (s->dhcp == COW_DHCP_FULL) {
		(void)puts(
		    "#   nothing to set: cowherd serve gives out the addresses ([dhcp] mode = "
		    "full).\n"
		    "#   No other DHCP server may be on this network.");
		return;
	}
	if (s->dhcp == COW_DHCP_PROXY) {
		(void)puts("#   nothing to set: cowherd serve adds what network boot needs ([dhcp] "
			   "mode = proxy).");
		return;
	}
	if (s->model != COW_RPI_PI3 && *s->server)
		(void)puts("#   nothing to set as long as TFTP_IP above holds; without it:");
	(void)printf(
	    "#   next-server (siaddr)         %s\n"
	    "#   option 66 (TFTP server name) %s (the address, not a name)\n"
	    "#   option 43 (vendor specific)  \"Raspberry Pi Boot   \" (three blanks at the "
	    "end)\n"
	    "#   If it can do none of this: [dhcp] mode = proxy in cowherd.conf(5), and "
	    "nothing is needed there.\n"
	    "#   An address that stays the same for this MAC, since the root is bound to "
	    "it.\n",
	    server, server);
}

static void print_eeprom(const struct setup *s)
{
	struct setting set[4];
	size_t n = settings_of(s, set);

	(void)printf(
	    "#\n"
	    "# On the board, with Raspberry Pi OS from a card:\n"
	    "#   1. sudo rpi-eeprom-update -a && sudo reboot\n"
	    "#      (old bootloaders repeat known faults; before 2025-09-23 files over 91.7 MiB "
	    "fail)\n"
	    "#   2. sudo rpi-eeprom-config --edit\n"
	    "#      replace the lines below or add them, save, leave\n"
	    "#   3. sudo reboot; vcgencmd bootloader_config shows what holds\n"
	    "#   The order alone: sudo raspi-config, Advanced Options, Boot Order, Network Boot.\n"
	    "#   A board that must come back from a hang: BOOT_WATCHDOG_TIMEOUT=120 (seconds) as "
	    "well.\n");
	print_dhcp(s);
	(void)puts("\n[all]");
	for (size_t i = 0; i < n; i++)
		(void)printf("# %s\n%s=%s\n", set[i].why, set[i].key, set[i].value);
	if (!*s->server)
		(void)printf("# TFTP_IP is left out: %s\n", s->why_no_server);
}

static void print_otp(const struct setup *s)
{
	(void)puts(
	    "#\n"
	    "# These boards have no EEPROM. Pi 3B+: nothing to do, it boots from the network when "
	    "it "
	    "finds no card.\n"
	    "# Pi 3B, Pi 2 v1.2: the line below in config.txt of a card, start once from that "
	    "card. It "
	    "sets a\n"
	    "# one-time bit that never goes away:\n"
	    "#   vcgencmd otp_dump | grep 17:     17:3020000a when it is set\n"
	    "# then take the card out.\n"
	    "# Pi 1, Pi 2 v1.1, and a Pi 3B that does not find the server each time (its ROM has "
	    "faults): a card,\n"
	    "# FAT, with nothing but bootcode.bin on it, which stays in the board.");
	if (!*s->serial)
		(void)printf(
		    "# It asks by serial number: cowherd client set %s serial=SERIAL (last 8 "
		    "digits in /proc/cpuinfo)\n"
		    "# is needed where this server is behind a router.\n",
		    s->id);
	print_dhcp(s);
	(void)puts("\n# config.txt\nprogram_usb_boot_mode=1");
}

/* ---------------------------------------------------------------- JSON */

static int print_json(const struct setup *s)
{
	static const char *const modes[] = {"off", "full", "proxy"};
	struct json_object *o = json_object_new_object();
	struct json_object *keys = json_object_new_object();
	struct setting set[4];

	cow_cli_json_str(o, "mac", s->id);
	cow_cli_json_str(o, "name", s->name);
	cow_cli_json_str(o, "model", cow_rpi_model_word(s->model));
	cow_cli_json_str(o, "server", s->server);
	cow_cli_json_str(o, "dhcp_mode", modes[s->dhcp]);
	if (s->model == COW_RPI_PI3) {
		cow_cli_json_str(keys, "program_usb_boot_mode", "1");
		json_object_object_add(o, "config_txt", keys);
	} else {
		size_t n = settings_of(s, set);

		for (size_t i = 0; i < n; i++)
			cow_cli_json_str(keys, set[i].key, set[i].value);
		json_object_object_add(o, "eeprom", keys);
	}
	struct json_object *dhcp = json_object_new_object();

	if (s->dhcp == COW_DHCP_OFF) {
		cow_cli_json_str(dhcp, "next_server", s->server);
		cow_cli_json_str(dhcp, "option_66", s->server);
		cow_cli_json_str(dhcp, "option_43", "Raspberry Pi Boot   ");
	}
	json_object_object_add(o, "dhcp_server_needs", dhcp);
	return cow_cli_json(o);
}

/* ---------------------------------------------------------------- command */

/* A board that is no client yet has no record, but a MAC says enough. */
static int find_client(const struct cow_options *o, const char *word, struct cow_client **ret,
		       struct cow_mac *ret_mac, struct cow_err *err)
{
	cow_autostore s = NULL;
	int is_mac = cow_mac_parse(word, strlen(word), ret_mac) == 0;
	int r = cow_cli_store_open(&o->where, &s, err);

	if (r == 0)
		r = cow_client_find(s, word, ret, err);
	if (r == 0 && *ret)
		*ret_mac = (*ret)->mac;
	return r == -ENOENT && is_mac ? 0 : r;
}

static void find_server(struct setup *s, const struct cow_config *c)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_serve_net net;

	s->dhcp = (enum cow_dhcp_mode)c->dhcp_mode;
	if (cow_serve_find_net(c, &net, &err) == 0)
		(void)snprintf(s->server, sizeof(s->server), "%s", net.address);
	else
		(void)snprintf(s->why_no_server, sizeof(s->why_no_server), "%s", cow_err_str(&err));
}

int cow_cmd_client_eeprom(int argc, char **argv)
{
	struct cow_options o;
	struct cow_err err = COW_ERR_INIT;
	cow_autoclient c = NULL;
	cow_autoconfig config = NULL;
	struct setup s = {.model = COW_RPI_UNKNOWN};
	int status = cow_options_parse("client eeprom", help, COW_OPT_JSON | COW_OPT_MODEL, 1, 1,
				       argc, argv, &o);
	if (status >= 0)
		return status;
	if (o.model && cow_rpi_model_parse(o.model, &s.model) < 0)
		return cow_cli_usage("client eeprom", "--model '%s': pi3, pi4 or pi5", o.model);
	int r = cow_config_load(o.where.config, &config, &err);
	if (r == 0)
		r = find_client(&o, argv[o.words], &c, &s.mac, &err);
	if (r < 0 || !config)
		return cow_cli_fail(&err, r);
	cow_mac_text(&s.mac, s.id);
	s.name = c ? c->name : "";
	s.serial = c ? c->serial : "";
	if (!o.model)
		s.model = cow_rpi_model_of(&s.mac);
	if (s.model == COW_RPI_UNKNOWN)
		return cow_cli_usage("client eeprom",
				     "%s is no address of a Raspberry Pi; --model says which "
				     "board it is",
				     s.id);
	find_server(&s, config);
	if (o.given & COW_OPT_JSON)
		return print_json(&s);
	print_head(&s);
	if (s.model == COW_RPI_PI3)
		print_otp(&s);
	else
		print_eeprom(&s);
	return cow_cli_flush();
}
