/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Addresses of both families: as the socket calls have them, and as one kind to compare and hash, where an IPv4
 * address is a mapped one (RFC 4291 section 2.5.5.2).
 */
#ifndef COW_TFTP_ADDRESS_H
#define COW_TFTP_ADDRESS_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

union cow_tftp_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Longest text: a link-local address, '%' and an interface. */
#define COW_TFTP_ADDR_TEXT (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE)

socklen_t cow_tftp_addr_len(const union cow_tftp_addr *a);
in_port_t cow_tftp_addr_port(const union cow_tftp_addr *a); /* network order */
void cow_tftp_addr_set_port(union cow_tftp_addr *a, in_port_t port);

/* Without its port. */
struct in6_addr cow_tftp_addr_map(const union cow_tftp_addr *a);
struct in6_addr cow_tftp_map(struct in_addr a);

/* The IPv4 address in a mapped one; 0.0.0.0: it is none. */
struct in_addr cow_tftp_unmap(const struct in6_addr *a);

/* Seeded, so that nobody outside can choose addresses that share a place in a table. All bits are good. */
uint64_t cow_tftp_addr_hash(const struct in6_addr *a, uint64_t seed);

/*
 * cow_tftp_addr_text - "10.0.0.1" or "fe80::1%eth0".
 * @scope: interface of a link-local address; 0: none. Return: @ret.
 */
const char *cow_tftp_addr_text(const struct in6_addr *a, uint32_t scope,
			       char ret[COW_TFTP_ADDR_TEXT]);

/*
 * cow_tftp_addr_parse - "ADDR", "ADDR:PORT", "[ADDR6]" or "[ADDR6]:PORT", with "%INTERFACE" behind a link-local one.
 * @io: its port is kept when @s has none. Return: 0; -EINVAL, then *io is as it was.
 */
int cow_tftp_addr_parse(const char *s, union cow_tftp_addr *io);

#endif
