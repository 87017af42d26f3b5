/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which client is asking. TFTP has no authentication: a prefix is what the machine says about
 * itself and is believed. That is why nothing secret is served (policy.c) and why the NFS side
 * checks addresses on its own.
 */
#include "files.h"

#include <errno.h>
#include <string.h>

#include "neigh.h"

static int by_neighbour(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			struct cow_tftp_client **ret, struct cow_mac *ret_mac)
{
	if (f->neigh_fd < 0)
		return -ENOENT;
	int r = cow_tftp_neigh_find(f->neigh_fd, who->addr, who->ifindex, ret_mac);

	return r < 0 ? -ENOENT : cow_tftp_clients_by_mac(f->clients, ret_mac, who->now_ms, ret);
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
		return cow_tftp_clients_by_mac(f->clients, &name->mac, who->now_ms, ret);
	case COW_TFTP_PREFIX_SERIAL:
		r = cow_tftp_clients_by_serial(f->clients, name->serial, who->now_ms, ret);
		if (r == 0)
			*ret_mac = (*ret)->conf->mac;
		if (r != -ENOENT)
			return r;
		r = by_neighbour(f, who, ret, ret_mac);
		if (r == 0 && (*ret)->conf->serial && *(*ret)->conf->serial)
			return -EPERM; /* that client is another board */
		return r;
	case COW_TFTP_PREFIX_NONE:
		break;
	}
	return by_neighbour(f, who, ret, ret_mac);
}
