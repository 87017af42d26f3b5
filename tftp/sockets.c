/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * UDP sockets with IP_PKTINFO (ip(7)) and IPV6_PKTINFO (ipv6(7)): see sockets.h.
 */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "tftp/limits.h"

union control {
	char space[COW_TFTP_SOURCE_SPACE];
	struct cmsghdr align;
};

static int set_up_v4(int fd)
{
	const int on = 1, never_df = IP_PMTUDISC_DONT;

	if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never_df, sizeof(never_df)) < 0)
		return -errno;
	return 0;
}

static int set_up_v6(int fd)
{
	const int on = 1, no_discovery = IPV6_PMTUDISC_DONT;

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &no_discovery, sizeof(no_discovery)) <
		0)
		return -errno;
	return 0;
}

int cow_tftp_socket_open(const union cow_tftp_addr *at, int rcvbuf_bytes)
{
	cow_autoclose int fd =
	    socket(at->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int r = at->sa.sa_family == AF_INET6 ? set_up_v6(fd) : set_up_v4(fd);

	if (r < 0)
		return r;
	/* Room for the requests of a herd that is switched on at once; beyond the system's limit
	 * only with privilege, and less is no error. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf_bytes, sizeof(rcvbuf_bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof(rcvbuf_bytes));
	if (bind(fd, &at->sa, cow_tftp_addr_len(at)) < 0)
		return -errno;
	return cow_steal_fd(&fd);
}

struct cow_tftp_inbox_parts {
	struct mmsghdr head[COW_TFTP_INBOX];
	struct iovec iov[COW_TFTP_INBOX];
	union control control[COW_TFTP_INBOX];
	int used; /* heads the kernel has written lengths into */
	uint8_t data[COW_TFTP_INBOX][COW_TFTP_REQUEST_MAX];
};

int cow_tftp_inbox_new(struct cow_tftp_inbox **ret)
{
	struct cow_tftp_inbox *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->parts = calloc(1, sizeof(*in->parts));
	if (!in->parts) {
		free(in);
		return -ENOMEM;
	}
	in->parts->used = COW_TFTP_INBOX;
	*ret = in;
	return 0;
}

void cow_tftp_inbox_free(struct cow_tftp_inbox *in)
{
	if (in)
		free(in->parts);
	free(in);
}

/* The kernel writes lengths into what it uses; they are set again before the next call. */
static void make_ready(struct cow_tftp_inbox *in)
{
	struct cow_tftp_inbox_parts *p = in->parts;

	for (int k = 0; k < p->used; k++) {
		p->iov[k] = (struct iovec){.iov_base = p->data[k], .iov_len = COW_TFTP_REQUEST_MAX};
		p->head[k].msg_hdr = (struct msghdr){
		    .msg_name = &in->datagram[k].from,
		    .msg_namelen = sizeof(in->datagram[k].from),
		    .msg_iov = &p->iov[k],
		    .msg_iovlen = 1,
		    .msg_control = &p->control[k],
		    .msg_controllen = sizeof(p->control[k]),
		};
	}
}

static void read_head(struct mmsghdr *head, const uint8_t *data, struct cow_tftp_datagram *d)
{
	struct msghdr *m = &head->msg_hdr;

	*d = (struct cow_tftp_datagram){
	    .data = data,
	    .len = head->msg_len,
	    .from = d->from,
	    .truncated = m->msg_flags & MSG_TRUNC,
	};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			d->local = cow_tftp_map(info.ipi_spec_dst);
			d->to_us = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
			d->ifindex = info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			d->local = info.ipi6_addr;
			d->to_us = !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
			d->ifindex = (int)info.ipi6_ifindex;
		}
	}
}

int cow_tftp_socket_recv_many(int fd, struct cow_tftp_inbox *in)
{
	struct cow_tftp_inbox_parts *p = in->parts;

	make_ready(in);
	int n = recvmmsg(fd, p->head, COW_TFTP_INBOX, MSG_DONTWAIT, NULL);

	/* One more may have been begun, and ended in an error. */
	p->used = n < 0 ? 1 : n < COW_TFTP_INBOX ? n + 1 : n;
	for (int k = 0; k < n; k++)
		read_head(&p->head[k], p->data[k], &in->datagram[k]);
	return n < 0 ? -errno : n;
}

size_t cow_tftp_socket_source(struct cmsghdr *c, const union cow_tftp_addr *to,
			      const struct in6_addr *local)
{
	if (IN6_IS_ADDR_UNSPECIFIED(local))
		return 0;
	if (to->sa.sa_family == AF_INET6) {
		/* An address of a link belongs to an interface: that of the peer. */
		const struct in6_pktinfo info = {.ipi6_addr = *local,
						 .ipi6_ifindex = to->in6.sin6_scope_id};

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	const struct in_pktinfo info = {.ipi_spec_dst = cow_tftp_unmap(local)};

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return CMSG_SPACE(sizeof(info));
}

int cow_tftp_socket_send(int fd, const void *buf, size_t len, const union cow_tftp_addr *to,
			 const struct in6_addr *local, unsigned flags)
{
	union control control;
	union cow_tftp_addr name = *to;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {
	    .msg_name = &name,
	    .msg_namelen = cow_tftp_addr_len(to),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	};

	memset(&control, 0, sizeof(control));
	m.msg_controllen = cow_tftp_socket_source(&control.align, to, local);
	return sendmsg(fd, &m, flags & COW_TFTP_SEND_CONFIRM ? MSG_CONFIRM : 0) < 0 ? -errno : 0;
}

struct in_addr cow_tftp_socket_ipv4_of(int fd, int ifindex)
{
	struct ifreq name = {.ifr_ifindex = ifindex};
	struct sockaddr_in at;

	/* netdevice(7) */
	if (ioctl(fd, SIOCGIFNAME, &name) < 0 || ioctl(fd, SIOCGIFADDR, &name) < 0)
		return (struct in_addr){0};
	memcpy(&at, &name.ifr_addr, sizeof(at));
	return at.sin_addr;
}
