/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The address and interface to serve on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "serve_env.h"

static const struct in_addr *in4(const struct sockaddr *sa)
{
	return sa && sa->sa_family == AF_INET
		   ? &((const struct sockaddr_in *)(const void *)sa)->sin_addr
		   : NULL;
}

static void fill(struct cow_serve_net *n, const struct ifaddrs *i)
{
	const struct in_addr *a = in4(i->ifa_addr), *m = in4(i->ifa_netmask);
	struct in_addr subnet = {.s_addr = a->s_addr & (m ? m->s_addr : INADDR_NONE)};
	struct in_addr mask = {.s_addr = m ? m->s_addr : INADDR_NONE};

	(void)inet_ntop(AF_INET, a, n->address, sizeof(n->address));
	(void)inet_ntop(AF_INET, &subnet, n->subnet, sizeof(n->subnet));
	(void)inet_ntop(AF_INET, &mask, n->netmask, sizeof(n->netmask));
	n->prefix_len = (unsigned)__builtin_popcount(mask.s_addr);
	(void)snprintf(n->interface, sizeof(n->interface), "%s", i->ifa_name);
}

static bool matches(const struct cow_config *c, const struct ifaddrs *i)
{
	char text[INET_ADDRSTRLEN];

	if (!in4(i->ifa_addr))
		return false;
	if (*c->interface && strcmp(i->ifa_name, c->interface) != 0)
		return false;
	(void)inet_ntop(AF_INET, in4(i->ifa_addr), text, sizeof(text));
	return !*c->address || strcmp(text, c->address) == 0;
}

static void list_all(const struct ifaddrs *all, char *ret, size_t size)
{
	char text[INET_ADDRSTRLEN];
	size_t used = 0;

	ret[0] = '\0';
	for (const struct ifaddrs *i = all; i && used < size; i = i->ifa_next) {
		if (!in4(i->ifa_addr))
			continue;
		(void)inet_ntop(AF_INET, in4(i->ifa_addr), text, sizeof(text));
		used += (size_t)snprintf(ret + used, size - used, "%s%s (%s)", used ? ", " : "",
					 text, i->ifa_name);
	}
}

int cow_serve_find_net(const struct cow_config *c, struct cow_serve_net *ret, struct cow_err *err)
{
	struct ifaddrs *all = NULL;
	char have[256];
	bool found = false;

	if (!*c->address && !*c->interface)
		return cow_err_say(
		    err, COW_ERR_USAGE, -EDESTADDRREQ,
		    "no address to serve on: set 'address' or 'interface' in [serve]");
	if (getifaddrs(&all) < 0)
		return cow_err_set(err, -errno, "list network addresses");
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		found = matches(c, i);
		if (found)
			fill(ret, i);
	}
	list_all(all, have, sizeof(have));
	freeifaddrs(all);
	if (found)
		return 0;
	return cow_err_say(
	    err, COW_ERR_NOT_FOUND, -EADDRNOTAVAIL,
	    "cannot serve on address '%s' interface '%s': not on this machine; it has %s",
	    c->address, c->interface, *have ? have : "no IPv4 address");
}
