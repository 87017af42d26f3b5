/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * cowherd doctor: whether this machine's packet filter drops what clients send.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "doctor_nft.h"

#define RULESET_MAX (16u << 20)

static struct json_object *read_ruleset(const char *nft)
{
	cow_autofree char *cmd = NULL;
	cow_autofree char *text = NULL;
	size_t len = 0;
	char buf[4096];
	size_t n;

	if (strchr(nft, '\'') || asprintf(&cmd, "'%s' -j list ruleset 2>/dev/null", nft) < 0) {
		cmd = NULL;
		return NULL;
	}
	FILE *f = popen(cmd, "re"); /* NOLINT(cert-env33-c): a path without apostrophes, in some */
	FILE *to = open_memstream(&text, &len);

	while (f && to && len < RULESET_MAX && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		if (fwrite(buf, 1, n, to) != n)
			break;
	int status = f ? pclose(f) : -1;

	if ((to && fclose(to) != 0) || status != 0 || !text)
		return NULL;
	return json_tokener_parse(text);
}

void cow_doctor_firewall(struct cow_doctor *d)
{
	static const struct cow_fault fault = {
	    "nft list ruleset, followed for a new packet to each port of cowherd",
	    "what clients send is thrown away before cowherd sees it",
	    "let it in: nft insert rule FAMILY TABLE CHAIN PROTOCOL dport PORT accept, and in "
	    "/etc/nftables.conf or the firewall's own configuration"};
	const struct cow_config *c = d->config;
	const struct {
		const char *what, *proto;
		unsigned wanted, port;
	} ports[] = {
	    {"TFTP", "udp", c->tftp_enabled, c->tftp_port},
	    {"NFS", "tcp", c->nfs_enabled, c->nfs_port},
	    {"DHCP", "udp", c->dhcp_mode != COW_DHCP_OFF, 67},
	    {"proxy DHCP", "udp", c->dhcp_mode == COW_DHCP_PROXY, 4011},
	};
	cow_autofree char *nft = cow_serve_find_program("nft");
	const char *interface = d->interface ? d->interface : d->net.interface, *name;

	if (!nft) {
		cow_doctor_skip(d, "nft is not installed");
		return;
	}
	struct json_object *rules = read_ruleset(nft);

	if (!rules) {
		cow_doctor_skip(d, "%s does not list its rules: run it as root", nft);
		return;
	}
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (ports[i].wanted &&
		    cow_nft_drops(rules, ports[i].proto, ports[i].port, interface, &name))
			cow_doctor_find(d, NULL, &fault, "%s: %s port %u is dropped by chain %s",
					ports[i].what, ports[i].proto, ports[i].port, name);
	json_object_put(rules);
}
