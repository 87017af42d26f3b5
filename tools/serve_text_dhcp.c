/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Configuration of dnsmasq, which does DHCP and nothing else here: no DNS, no TFTP.
 *
 * Three kinds of machines ask. Raspberry Pis know no boot file: they look for the menu text
 * "Raspberry Pi Boot   " (three blanks; old ones compare all of it) and for the server in siaddr
 * and option 66. PCs load a loader first: a file by firmware (RFC 4578 architecture) and by [dhcp] loader.
 * iPXE itself (option 175 or user class) gets the script.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "serve_loaders.h"
#include "serve_text.h"

/* Ethernet prefixes of boards; a Pi 3's vendor class cannot be told from a PC's. */
static const char *const raspberry_pi[] = {
    "28:cd:c1", "2c:cf:67", "88:a2:9e", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01", NULL,
};

/* RFC 4578 architecture, and its name in dnsmasq's proxy mode. */
static const struct {
	unsigned arch;
	const char *tag, *pxe_name;
} firmware[] = {
    {0, "bios", "x86PC"},	{6, "efi32", "IA32_EFI"},      {7, "efi64", "BC_EFI"},
    {9, "efi64", "x86-64_EFI"}, {11, "efiarm64", "ARM64_EFI"},
};
#define FIRMWARES (sizeof(firmware) / sizeof(firmware[0]))

static const char *file_for(const struct cow_config *c, size_t i)
{
	return cow_loader_file(firmware[i].arch, (enum cow_loader)c->dhcp_loader);
}

static void print_matches(FILE *f, const struct cow_serve_net *net)
{
	(void)fputs("dhcp-match=set:ipxe,175\n"
		    "dhcp-userclass=set:ipxe,iPXE\n",
		    f);
	for (size_t i = 0; raspberry_pi[i]; i++)
		(void)fprintf(f, "dhcp-mac=set:rpi,%s:*:*:*\n", raspberry_pi[i]);
	for (size_t i = 0; i < FIRMWARES; i++)
		(void)fprintf(f, "dhcp-match=set:%s,option:client-arch,%u\n", firmware[i].tag,
			      firmware[i].arch);
	(void)fputs("pxe-service=tag:rpi,0,\"Raspberry Pi Boot   \"\n", f);
	(void)fprintf(f, "dhcp-boot=tag:rpi,,,%s\n", net->address); /* siaddr alone */
}

static void print_full(FILE *f, const struct cow_config *c, const struct cow_serve_net *net)
{
	const char *here = net->address;

	(void)fprintf(f, "dhcp-range=%s,%s,%s\n", c->dhcp_range, net->netmask, c->dhcp_lease);
	(void)fputs("dhcp-authoritative\n", f);
	/* Without a value the option is not sent; dnsmasq would name itself. */
	(void)fprintf(f, "dhcp-option=3%s%s\n", *c->dhcp_router ? "," : "", c->dhcp_router);
	(void)fprintf(f, "dhcp-option=6%s%s\n", *c->dhcp_dns ? "," : "", c->dhcp_dns);
	(void)fprintf(f, "dhcp-option-force=tag:rpi,66,%s\n", here);
	(void)fprintf(f, "dhcp-boot=tag:ipxe,boot.ipxe,,%s\n", here);
	for (size_t i = 0; i < FIRMWARES; i++)
		(void)fprintf(f, "dhcp-boot=tag:!ipxe,tag:!rpi,tag:%s,%s,,%s\n", firmware[i].tag,
			      file_for(c, i), here);
}

/* In proxy mode the boot file travels in the menu, and dhcp-boot counts for iPXE alone. */
static void print_proxy(FILE *f, const struct cow_config *c, const struct cow_serve_net *net)
{
	(void)fprintf(f, "dhcp-range=%s,proxy,%s\n", net->subnet, net->netmask);
	(void)fprintf(f, "dhcp-boot=tag:ipxe,boot.ipxe,,%s\n", net->address);
	for (size_t i = 0; i < FIRMWARES; i++) {
		(void)fprintf(f, "pxe-service=tag:ipxe,tag:!rpi,%s,\"cowherd\",boot.ipxe,%s\n",
			      firmware[i].pxe_name, net->address);
		(void)fprintf(f, "pxe-service=tag:!ipxe,tag:!rpi,%s,\"cowherd\",%s,%s\n",
			      firmware[i].pxe_name, file_for(c, i), net->address);
	}
}

int cow_text_dnsmasq(const struct cow_config *c, const struct cow_serve_net *net,
		     const struct cow_serve_paths *p, char **ret)
{
	cow_autofree char *text = NULL;
	size_t len = 0;

	FILE *f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	(void)fprintf(f,
		      "# Written by cowherd at every start; changes are lost.\n"
		      "port=0\n"
		      "no-resolv\n"
		      "no-hosts\n"
		      "pid-file\n"
		      "interface=%s\n"
		      "except-interface=lo\n"
		      "bind-interfaces\n"
		      "log-dhcp\n"
		      "dhcp-leasefile=%s/dnsmasq.leases\n"
		      "dhcp-hostsfile=%s/dnsmasq.hosts\n",
		      net->interface, p->state, p->run);
	if (c->dhcp_mode == COW_DHCP_FULL)
		print_full(f, c, net);
	else
		print_proxy(f, c, net);
	print_matches(f, net);
	if (fclose(f) != 0) /* a memory stream fails for want of memory alone */
		return -ENOMEM;
	*ret = cow_steal_ptr(&text);
	return 0;
}

/* dnsmasq takes letters, digits and hyphens in a name; a client's name holds more at times. */
static int is_host_name(const char *s)
{
	return *s && *s != '-' && strlen(s) <= 63 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
		   strlen(s);
}

int cow_text_dnsmasq_hosts(const struct cow_herd *h, char **ret)
{
	cow_autofree char *text = NULL;
	size_t len = 0;

	FILE *f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < h->clients; i++) {
		const struct cow_herd_client *c = &h->client[i];
		const uint8_t *m = c->mac.b;
		(void)fprintf(f, "%02x:%02x:%02x:%02x:%02x:%02x,id:*", m[0], m[1], m[2], m[3], m[4],
			      m[5]);
		if (*c->address)
			(void)fprintf(f, ",%s", c->address);
		if (is_host_name(c->name))
			(void)fprintf(f, ",%s", c->name);
		(void)fputc('\n', f);
	}
	if (fclose(f) != 0) /* a memory stream fails for want of memory alone */
		return -ENOMEM;
	*ret = cow_steal_ptr(&text);
	return 0;
}
