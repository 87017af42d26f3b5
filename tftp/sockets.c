/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * UDP sockets with IP_PKTINFO (ip(7)): see sockets.h.
 */
#include "sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/cleanup.h"

union control {
	char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct cmsghdr align;
};

int cow_tftp_socket_open(const struct sockaddr_in *at, int rcvbuf_bytes)
{
	cow_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1, never_df = IP_PMTUDISC_DONT;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never_df, sizeof(never_df)) < 0)
		return -errno;
	/* Room for the requests of a herd that is switched on at once; beyond the system's limit
	 * only with privilege, and less is no error. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf_bytes, sizeof(rcvbuf_bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof(rcvbuf_bytes));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
		return -errno;
	return cow_steal_fd(&fd);
}

ssize_t cow_tftp_socket_recv(int fd, void *buf, size_t len, struct cow_tftp_datagram *ret)
{
	union control control;
	struct cow_tftp_datagram d = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr m = {
	    .msg_name = &d.from,
	    .msg_namelen = sizeof(d.from),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &m, 0);

	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct in_pktinfo info;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		d.local = info.ipi_spec_dst;
		d.to_us = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
		d.ifindex = info.ipi_ifindex;
	}
	d.truncated = m.msg_flags & MSG_TRUNC;
	*ret = d;
	return n;
}

int cow_tftp_socket_send(int fd, const void *buf, size_t len, const struct sockaddr_in *to,
			 struct in_addr local, unsigned flags)
{
	const struct in_pktinfo info = {.ipi_spec_dst = local};
	union control control;
	struct sockaddr_in name = *to;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {
	    .msg_name = &name,
	    .msg_namelen = sizeof(name),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control),
	};

	memset(&control, 0, sizeof(control));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return sendmsg(fd, &m, flags & COW_TFTP_SEND_CONFIRM ? MSG_CONFIRM : 0) < 0 ? -errno : 0;
}
