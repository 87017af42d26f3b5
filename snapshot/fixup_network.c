/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The root comes over the boot interface: whoever flushes its address or takes the link down, if
 * only for a moment, freezes the machine. NetworkManager and systemd-networkd are told per client,
 * by MAC (identity.c); the programs here know names only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "fixup_internal.h"
#include "tree.h"

#define DHCPCD_MARK "# The root comes over the wired interface: hands off."

static int is_wired(const char *name, size_t len)
{
	return (len >= 3 && strncmp(name, "eth", 3) == 0) ||
	       (len >= 2 && strncmp(name, "en", 2) == 0);
}

/* ---------------------------------------------------------------- ifupdown */

static size_t word(const char **p, const char *end)
{
	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	size_t n = 0;
	while (*p + n < end && (*p)[n] != ' ' && (*p)[n] != '\t')
		n++;
	return n;
}

static int word_is(const char *p, size_t n, const char *s)
{
	return strlen(s) == n && memcmp(p, s, n) == 0;
}

struct ifupdown {
	int in_wired; /* inside a stanza that is being commented out */
};

/* "auto lo eth0" -> "auto lo" */
static int auto_line(const char *line, size_t len, struct cow_text *out)
{
	const char *p = line, *end = line + len;
	size_t n = word(&p, end), kept = 0;
	struct cow_text names = {0};
	int r = cow_text_add(&names, p, n);
	for (p += n; r == 0 && (n = word(&p, end)) > 0; p += n) {
		if (is_wired(p, n))
			continue;
		kept++;
		r = cow_text_add(&names, " ", 1);
		if (r == 0)
			r = cow_text_add(&names, p, n);
	}
	if (r == 0 && kept)
		r = cow_text_add(out, names.s, names.len);
	if (r == 0 && kept)
		r = cow_text_add(out, "\n", 1);
	free(names.s);
	return r;
}

static int interfaces_line(void *ctx, const char *line, size_t len, struct cow_text *out)
{
	struct ifupdown *st = ctx;
	const char *p = line, *end = line + len;
	size_t n = word(&p, end);
	if (word_is(p, n, "auto") || (n > 6 && memcmp(p, "allow-", 6) == 0)) {
		st->in_wired = 0;
		return auto_line(line, len, out);
	}
	if (word_is(p, n, "iface")) {
		p += n;
		n = word(&p, end);
		st->in_wired = is_wired(p, n);
	} else if (word_is(p, n, "mapping") || (n >= 6 && memcmp(p, "source", 6) == 0)) {
		st->in_wired = 0;
	}
	int r = st->in_wired && n ? cow_text_add(out, "# ", 2) : 0;
	if (r == 0)
		r = cow_text_add(out, line, len);
	return r < 0 ? r : cow_text_add(out, "\n", 1);
}

static int one_interfaces_file(struct cow_fix *f, const char *path)
{
	struct ifupdown st = {0};
	struct stat sb;
	if (cow_fix_lstat(f, path, &sb) < 0 || !S_ISREG(sb.st_mode))
		return 0;
	int r = cow_fix_lines(f, path, interfaces_line, &st);
	if (r > 0)
		cow_fix_did(f, "wired interfaces out of /%s", path);
	return r < 0 ? r : 0;
}

static int interfaces_d(void *ctx, const char *name)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "etc/network/interfaces.d/%s", name);
	return one_interfaces_file(ctx, path);
}

/* ---------------------------------------------------------------- dhcpcd */

static int dhcpcd(struct cow_fix *f)
{
	cow_autofree char *old = NULL;
	cow_autofree char *text = NULL;
	int r = cow_fix_read(f, "etc/dhcpcd.conf", &old);
	if (r == -ENOENT)
		return 0;
	if (r < 0 || strstr(old, DHCPCD_MARK))
		return r;
	/* In front of everything: behind an "interface" line it would belong to that interface. */
	if (asprintf(&text, DHCPCD_MARK "\ndenyinterfaces eth* en*\n%s", old) < 0)
		return -ENOMEM;
	r = cow_fix_write(f, "etc/dhcpcd.conf", old, text, 0644);
	if (r == 0)
		cow_fix_did(f, "dhcpcd leaves wired interfaces alone");
	return r;
}

int cow_fix_network(struct cow_fix *f)
{
	int r = one_interfaces_file(f, "etc/network/interfaces");
	if (r == 0)
		r = cow_tree_each(f->tree, "etc/network/interfaces.d", interfaces_d, f);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = dhcpcd(f);
	/* It would wait two minutes for an interface that is not networkd's to bring up. */
	return r < 0 ? r : cow_fix_mask(f, "systemd-networkd-wait-online.service");
}

/* ---------------------------------------------------------------- name servers */

static const char dns_script[] =
    "#!/bin/sh\n"
    "# Nobody manages the boot interface, so nobody passes on the name servers its lease came\n"
    "# with. The kernel keeps them in /proc/net/pnp, an initramfs in /run/net-*.conf.\n"
    "# Argument: another root, for tests.\n"
    "root=${1:-}\n"
    "servers= domain=\n"
    "if [ -r \"$root/proc/net/pnp\" ]; then\n"
    "	while read -r key value rest; do\n"
    "		case $key in\n"
    "		nameserver) servers=\"$servers $value\" ;;\n"
    "		domain) domain=$value ;;\n"
    "		esac\n"
    "	done <\"$root/proc/net/pnp\"\n"
    "fi\n"
    "for conf in \"$root\"/run/net-*.conf; do\n"
    "	[ -r \"$conf\" ] || continue\n"
    "	IPV4DNS0= IPV4DNS1= DNSDOMAIN=\n"
    "	. \"$conf\"\n"
    "	servers=\"$servers $IPV4DNS0 $IPV4DNS1\"\n"
    "	domain=${DNSDOMAIN:-$domain}\n"
    "done\n"
    "list=\n"
    "for s in $servers; do\n"
    "	case \" $list \" in *\" $s \"*) continue ;; esac\n"
    "	[ \"$s\" = 0.0.0.0 ] || list=\"${list:+$list }$s\"\n"
    "done\n"
    "[ -n \"$list\" ] || exit 0\n"
    "if [ -x \"$root/usr/sbin/NetworkManager\" ]; then\n"
    "	mkdir -p \"$root/run/NetworkManager/conf.d\"\n"
    "	{\n"
    "		echo '[global-dns-domain-*]'\n"
    "		echo \"servers=$(echo \"$list\" | tr ' ' ,)\"\n"
    "	} >\"$root/run/NetworkManager/conf.d/50-netboot-dns.conf\"\n"
    "fi\n"
    "case $(readlink \"$root/etc/resolv.conf\") in\n"
    "*systemd/resolve/*)\n"
    "	mkdir -p \"$root/run/systemd/resolved.conf.d\"\n"
    "	{\n"
    "		echo '[Resolve]'\n"
    "		echo \"DNS=$list\"\n"
    "		[ -z \"$domain\" ] || echo \"Domains=$domain\"\n"
    "	} >\"$root/run/systemd/resolved.conf.d/50-netboot.conf\"\n"
    "	;;\n"
    "'')\n"
    "	{\n"
    "		[ -z \"$domain\" ] || echo \"search $domain\"\n"
    "		for s in $list; do echo \"nameserver $s\"; done\n"
    "	} >\"$root/run/netboot-resolv.conf\"\n"
    "	cmp -s \"$root/run/netboot-resolv.conf\" \"$root/etc/resolv.conf\" ||\n"
    "		cat \"$root/run/netboot-resolv.conf\" >\"$root/etc/resolv.conf\"\n"
    "	;;\n"
    "esac\n";

static const char dns_unit[] =
    "[Unit]\n"
    "Description=Name servers from the network boot\n"
    "DefaultDependencies=no\n"
    "After=local-fs.target\n"
    "Before=NetworkManager.service systemd-resolved.service network.target shutdown.target\n"
    "Conflicts=shutdown.target\n"
    "\n"
    "[Service]\n"
    "Type=oneshot\n"
    "ExecStart=/usr/lib/cowherd/netboot-dns\n";

int cow_fix_dns(struct cow_fix *f)
{
	if (!cow_fix_has(f, "usr/lib/systemd/systemd") &&
	    !cow_fix_has(f, "lib/systemd/systemd"))
		return 0;
	int r = cow_fix_put(f, "usr/lib/cowherd/netboot-dns", dns_script, 0755);
	return r < 0 ? r : cow_fix_add_unit(f, "cowherd-dns.service", dns_unit, "sysinit.target");
}
