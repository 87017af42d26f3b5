/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which client is asking. TFTP has no authentication: a prefix is what the machine says about itself. On one
 * link its Ethernet address is known, and has to be the client's own: the NFS export is bound to the
 * address that asked, so a wrong prefix would open somebody else's root. Behind a router there is nothing to compare
 * with, and who can choose his Ethernet address is not kept out; that is the network's business.
 */
#include "files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "neigh.h"

static int by_neighbour(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			struct cow_tftp_client **ret, struct cow_mac *ret_mac)
{
	int r = f->neigh_fd < 0
		    ? -ENOENT
		    : cow_tftp_neigh_find(f->neigh_fd, &who->addr6, who->ifindex, ret_mac);

	if (r < 0 && f->leases && who->addr.s_addr != 0) /* DHCP is IPv4 */
		r = cow_tftp_leases_find(f->leases, who->addr, who->now_ms, ret_mac);

	return r < 0 ? -ENOENT : cow_tftp_clients_by_mac(f->clients, ret_mac, who->now_ms, ret);
}

bool cow_tftp_is_sender(const struct cow_tftp_files *f, const struct cow_tftp_who *who,
			const struct cow_mac *mac)
{
	struct cow_mac has;

	return f->neigh_fd >= 0 &&
	       cow_tftp_neigh_find(f->neigh_fd, &who->addr6, who->ifindex, &has) == 0 &&
	       memcmp(&has, mac, sizeof(has)) == 0;
}

/* Where nothing is known of the sender, nothing speaks against him. */
static int check_sender(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			const struct cow_mac *said, struct cow_mac *ret_mac)
{
	struct cow_mac mac;

	if (f->site.trust == COW_TFTP_TRUST_OPEN || f->neigh_fd < 0 ||
	    cow_tftp_neigh_find(f->neigh_fd, &who->addr6, who->ifindex, &mac) < 0 ||
	    memcmp(&mac, said, sizeof(mac)) == 0)
		return 0;
	*ret_mac = mac; /* who he is, for the log */
	return -EACCES;
}

static bool has_serial(const struct cow_tftp_client *c)
{
	return c->conf->serial && *c->conf->serial;
}

/* Its client is another board. The record is newer than the table of serial numbers, which may not have it yet. */
static bool is_another(const struct cow_tftp_client *c, const char *serial)
{
	return has_serial(c) && strcasecmp(c->conf->serial, serial) != 0;
}

/* Boards up to Pi 3 have the last three bytes of their serial number in their Ethernet address; later ones have not. */
static bool is_derived(const struct cow_mac *mac)
{
	return mac->b[0] == 0xb8 && mac->b[1] == 0x27 && mac->b[2] == 0xeb;
}

static struct cow_mac derive(const char *serial)
{
	struct cow_mac mac = {{0xb8, 0x27, 0xeb}};
	unsigned long n = strtoul(serial, NULL, 16); /* eight digits, see cow_tftp_name */

	for (int i = 0; i < 3; i++)
		mac.b[3 + i] = (uint8_t)(n >> (16 - 8 * i));
	return mac;
}

/* Behind a router, where the neighbour table knows the router alone. */
static int by_derived(struct cow_tftp_files *f, const struct cow_tftp_who *who, const char *serial,
		      struct cow_tftp_client **ret, struct cow_mac *ret_mac)
{
	const struct cow_mac mac = derive(serial);
	int r = cow_tftp_clients_by_mac(f->clients, &mac, who->now_ms, ret);

	if (r < 0)
		return r;
	if (is_another(*ret, serial))
		return -EPERM;
	r = check_sender(f, who, &mac, ret_mac);
	if (r == 0)
		*ret_mac = mac;
	return r;
}

bool cow_tftp_may_learn(const struct cow_tftp_files *f, const struct cow_tftp_who *who,
			const struct cow_tftp_name *name, const struct cow_tftp_client *c)
{
	const struct cow_mac *own = &c->conf->mac;

	if (name->prefix != COW_TFTP_PREFIX_SERIAL || has_serial(c) ||
	    !cow_tftp_is_sender(f, who, own))
		return false;
	const struct cow_mac mac = derive(name->serial);

	return !is_derived(own) || memcmp(&mac, own, sizeof(mac)) == 0;
}

int cow_tftp_identify(struct cow_tftp_files *f, const struct cow_tftp_who *who,
		      const struct cow_tftp_name *name, struct cow_tftp_client **ret,
		      struct cow_mac *ret_mac)
{
	int r;

	memset(ret_mac, 0, sizeof(*ret_mac));
	switch (name->prefix) {
	case COW_TFTP_PREFIX_MAC:
		*ret_mac = name->mac;
		r = cow_tftp_clients_by_mac(f->clients, &name->mac, who->now_ms, ret);
		return r < 0 ? r : check_sender(f, who, &name->mac, ret_mac);
	case COW_TFTP_PREFIX_SERIAL:
		r = cow_tftp_clients_by_serial(f->clients, name->serial, who->now_ms, ret);
		if (r == 0) {
			*ret_mac = (*ret)->conf->mac;
			return check_sender(f, who, &(*ret)->conf->mac, ret_mac);
		}
		if (r != -ENOENT)
			return r;
		r = by_neighbour(f, who, ret, ret_mac);
		if (r == 0 && is_another(*ret, name->serial))
			return -EPERM;
		return r == -ENOENT ? by_derived(f, who, name->serial, ret, ret_mac) : r;
	case COW_TFTP_PREFIX_NONE:
		break;
	}
	return by_neighbour(f, who, ret, ret_mac);
}
