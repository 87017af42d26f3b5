/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whose address is this, says our DHCP server: for machines that the neighbour table does not know, since a router is between.
 * A lease may be older than what the address is used for now, so it names who asks where nothing else does, and speaks against
 * nobody. One thread.
 */
#ifndef COW_TFTP_LEASES_H
#define COW_TFTP_LEASES_H

#include <netinet/in.h>

#include "snapshot/mac.h"

#define COW_TFTP_LEASES_MAX 8192

struct cow_tftp_leases;

/* @path: the lease file of dnsmasq(8), borrowed; may not be there yet. Return: 0; -ENOMEM. */
int cow_tftp_leases_new(const char *path, struct cow_tftp_leases **ret);
void cow_tftp_leases_free(struct cow_tftp_leases *l); /* NULL is fine */

/* What the file said a second ago at most. Return: 0; -ENOENT. */
int cow_tftp_leases_find(struct cow_tftp_leases *l, struct in_addr addr, uint64_t now_ms,
			 struct cow_mac *ret);

#endif
