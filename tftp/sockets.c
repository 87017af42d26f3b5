/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * UDP sockets with IP_PKTINFO (ip(7)): see sockets.h.
 */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "tftp/limits.h"

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
		struct in_pktinfo info;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		d->local = info.ipi_spec_dst;
		d->to_us = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
		d->ifindex = info.ipi_ifindex;
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
