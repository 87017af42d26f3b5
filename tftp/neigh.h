/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The kernel's neighbour table: which Ethernet address answers for an IP address (rtnetlink(7)).
 * Only for clients on the same link; behind a router the table has no entry for them.
 */
#ifndef COW_TFTP_NEIGH_H
#define COW_TFTP_NEIGH_H

#include <netinet/in.h>

#include "snapshot/mac.h"

int cow_tftp_neigh_open(void); /* fd or -errno; no privilege needed */

/* @addr: an IPv4 one mapped. Return: 0; -ENOENT no usable entry; -errno of the socket. Answered by the kernel at once. */
int cow_tftp_neigh_find(int fd, const struct in6_addr *addr, int ifindex, struct cow_mac *ret);

#endif
