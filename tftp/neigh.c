/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One RTM_GETNEIGH per question (Linux 5.0 and later answer for a single entry): see neigh.h.
 */
#include "neigh.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tftp/address.h"

/* Entries the kernel has or had an answer for. */
#define USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)

int cow_tftp_neigh_open(void)
{
	const struct timeval patience = {.tv_usec = 200000}; /* the kernel answers synchronously */
	cow_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	return cow_steal_fd(&fd);
}

struct question {
	struct nlmsghdr nl;
	struct ndmsg nd;
	struct rtattr dst;
	struct in6_addr addr; /* or its first four bytes */
};

static int ask(int fd, const struct in6_addr *addr, int ifindex, uint32_t seq)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	const struct in_addr v4 = cow_tftp_unmap(addr);
	bool is_v4 = IN6_IS_ADDR_V4MAPPED(addr);
	unsigned short len = is_v4 ? sizeof(v4) : sizeof(*addr);
	struct question q = {
	    .nl = {.nlmsg_len = offsetof(struct question, addr) + len,
		   .nlmsg_type = RTM_GETNEIGH,
		   .nlmsg_flags = NLM_F_REQUEST,
		   .nlmsg_seq = seq},
	    .nd = {.ndm_family = is_v4 ? AF_INET : AF_INET6, .ndm_ifindex = ifindex},
	    .dst = {.rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = NDA_DST},
	};

	memcpy(&q.addr, is_v4 ? (const void *)&v4 : addr, len);
	return sendto(fd, &q, q.nl.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) <
		       0
		   ? -errno
		   : 0;
}

static int read_entry(struct nlmsghdr *nl, struct cow_mac *ret)
{
	const struct ndmsg *nd = NLMSG_DATA(nl);
	int len = (int)NLMSG_PAYLOAD(nl, sizeof(*nd));

	if (!(nd->ndm_state & USABLE))
		return -ENOENT;
	/* The attributes follow the fixed part, aligned: NLMSG_SPACE says where. */
	for (struct rtattr *a = (struct rtattr *)((char *)nl + NLMSG_SPACE(sizeof(*nd)));
	     RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == sizeof(ret->b)) {
			memcpy(ret->b, RTA_DATA(a), sizeof(ret->b));
			return 0;
		}
	}
	return -ENOENT;
}

int cow_tftp_neigh_find(int fd, const struct in6_addr *addr, int ifindex, struct cow_mac *ret)
{
	static uint32_t seq; /* answers to an earlier, timed-out question are told apart */
	union {
		char space[1024];
		struct nlmsghdr align;
	} buf;
	int r = ask(fd, addr, ifindex, ++seq);

	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = recv(fd, &buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		struct nlmsghdr *nl = &buf.align;

		if (!NLMSG_OK(nl, (size_t)n) || nl->nlmsg_seq != seq)
			continue;
		if (nl->nlmsg_type == NLMSG_ERROR)
			return -ENOENT; /* no such entry, or an interface without neighbours */
		if (nl->nlmsg_type == RTM_NEWNEIGH &&
		    nl->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ndmsg)))
			return read_entry(nl, ret);
	}
}
