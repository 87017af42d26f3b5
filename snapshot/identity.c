/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What tells a machine from its siblings: host name, machine id, and the interface its root comes
 * over, which network managers must leave alone. Written into every fresh root.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client_internal.h"
#include "common/bounds.h"
#include "fixup_internal.h"
#include "tree.h"

/*
 * machine-id(5) from the store and the MAC: the same after every reset, so that address leases and
 * logs go on. In the form of a random UUID (version 4), as systemd makes them.
 */
static void machine_id(const struct cow_store *s, const struct cow_mac *mac, char ret[34])
{
	uint8_t in[7], id[16];
	memcpy(in, mac->b, 6);
	for (uint8_t half = 0; half < 2; half++) {
		in[6] = half;
		uint64_t h = cow_siphash24(s->id, in, sizeof(in));
		for (int i = 0; i < 8; i++)
			id[half * 8 + i] = (uint8_t)(h >> (8 * i));
	}
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++)
		(void)snprintf(ret + (size_t)2 * (size_t)i, 3, "%02x", id[i]);
	ret[32] = '\n';
	ret[33] = 0;
}

struct hosts {
	const char *name;
	int done;
};

static int hosts_line(void *ctx, const char *line, size_t len, struct cow_text *out)
{
	struct hosts *h = ctx;
	if (len > 9 && memcmp(line, "127.0.1.1", 9) == 0 && strchr(" \t", line[9])) {
		if (h->done)
			return 0;
		h->done = 1;
		int r = cow_text_add(out, "127.0.1.1\t", 10);
		if (r == 0)
			r = cow_text_add(out, h->name, strlen(h->name));
		return r < 0 ? r : cow_text_add(out, "\n", 1);
	}
	int r = cow_text_add(out, line, len);
	return r < 0 ? r : cow_text_add(out, "\n", 1);
}

int cow_identity_hosts(const char *old, const char *name, struct cow_text *out)
{
	struct hosts hosts = {.name = name}, *h = &hosts;
	if (!old)
		old = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n";
	int r = cow_text_add(out, "", 0);
	for (const char *p = old; r == 0 && *p;) {
		size_t len = strcspn(p, "\n");
		r = hosts_line(h, p, len, out);
		p += len;
		p += *p == '\n';
	}
	return r < 0 || h->done ? r : hosts_line(h, "127.0.1.1\t", 10, out);
}

static int write_hosts(const struct cow_identity *to, const char *name)
{
	struct cow_fix f = {.tree = to->tree};
	struct cow_text out = {0};
	cow_autofree char *old = NULL;
	int r = cow_fix_read(&f, "etc/hosts", &old);
	if (r < 0 && r != -ENOENT)
		return r;
	r = cow_identity_hosts(old, name, &out);
	if (r == 0 && !(old && strcmp(old, out.s) == 0))
		r = to->put(to->ctx, "etc/hosts", out.s, out.len, 0644);
	free(out.s);
	return r;
}

/*
 * Every Debian has systemd-networkd, few use it, and its setting costs three blocks on ext4. Without
 * NetworkManager netplan makes files for networkd and starts it at each boot; theirs come after ours.
 */
static int networkd_runs(int tree)
{
	static const char *const enabled[] = {
	    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
	    "etc/systemd/system/dbus-org.freedesktop.network1.service",
	};
	struct stat st;
	for (size_t k = 0; k < sizeof(enabled) / sizeof(*enabled); k++)
		if (cow_tree_lstat(tree, enabled[k], &st) == 0)
			return 1;
	return cow_tree_has(tree, "etc/netplan") && !cow_tree_has(tree, "usr/sbin/NetworkManager");
}

static int write_network(const struct cow_identity *to, const struct cow_mac *mac)
{
	char colons[COW_MAC_TEXT_LEN + 1], text[512];
	int r = 0;
	cow_mac_text(mac, colons);
	for (char *p = colons; *p; p++)
		if (*p == '-')
			*p = ':';
	if (cow_tree_has(to->tree, "etc/NetworkManager")) {
		(void)snprintf(text, sizeof(text),
			       "# The root comes over this interface: hands off.\n"
			       "[keyfile]\nunmanaged-devices+=mac:%s\n",
			       colons);
		r = to->put(to->ctx, "etc/NetworkManager/conf.d/90-cowherd.conf", text,
			    strlen(text), 0644);
	}
	if (r == 0 && networkd_runs(to->tree)) {
		(void)snprintf(text, sizeof(text),
			       "# The root comes over this interface: hands off.\n"
			       "[Match]\nMACAddress=%s\nType=ether\n\n"
			       "[Link]\nUnmanaged=yes\n",
			       colons);
		r = to->put(to->ctx, "etc/systemd/network/05-cowherd-boot.network", text,
			    strlen(text), 0644);
	}
	return r;
}

int cow_identity_write(struct cow_store *s, const struct cow_identity *to,
		       const struct cow_mac *mac, const char *name, struct cow_err *err)
{
	char id[34], hostname[COW_NAME_MAX + 2];
	if (!cow_tree_has(to->tree, "etc"))
		return 0; /* no system in it: nobody would read them */
	machine_id(s, mac, id);
	int len = snprintf(hostname, sizeof(hostname), "%s\n", name);
	int r = to->put(to->ctx, "etc/hostname", hostname, (size_t)len, 0644);
	if (r == 0)
		r = to->put(to->ctx, "etc/machine-id", id, 33, 0444);
	if (r == 0)
		r = write_hosts(to, name);
	if (r == 0)
		r = write_network(to, mac);
	return r < 0 ? cow_err_set(err, r, "give the root its own name and identity") : 0;
}
