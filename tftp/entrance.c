/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See entrance.h.
 */
#include "entrance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tftp/limits.h"

#define LISTEN_RCVBUF (1 << 20) /* 200 boards and their repeats */
#define POOL_RCVBUF (1 << 20)	/* ACKs of a thousand transfers each */

/* A socket for transfers: on a port of the range that is free, from *io_port on, or on any. */
static int open_for_transfers(const struct cow_tftp_entrance *e,
			      const struct cow_tftp_entrances *how, uint32_t *io_port)
{
	union cow_tftp_addr addr = e->bound;
	int fd = -EADDRINUSE;

	if (how->port_first == 0) {
		cow_tftp_addr_set_port(&addr, 0);
		return cow_tftp_socket_open(&addr, POOL_RCVBUF);
	}
	while (fd == -EADDRINUSE && *io_port <= how->port_last) {
		cow_tftp_addr_set_port(&addr, htons((uint16_t)*io_port));
		fd = cow_tftp_socket_open(&addr, POOL_RCVBUF);
		++*io_port;
	}
	return fd;
}

static int open_pool(struct cow_tftp_entrance *e, const struct cow_tftp_entrances *how,
		     struct cow_err *err)
{
	uint32_t port = how->port_first;

	while (e->pool_size < COW_TFTP_POOL) {
		union cow_tftp_addr got = {0};
		socklen_t len = sizeof(got);
		int fd = open_for_transfers(e, how, &port);

		if (fd == -EADDRINUSE && e->pool_size > 0)
			return 0; /* fewer do as well */
		if (fd == -EADDRINUSE)
			return cow_err_say(err, COW_ERR_BUSY, fd,
					   "all ports from %u to %u are taken by other programs",
					   how->port_first, how->port_last);
		if (fd < 0)
			return cow_err_set(err, fd, "open a socket for transfers");
		e->pool[e->pool_size++] = fd;
		if (getsockname(fd, &got.sa, &len) < 0)
			return cow_err_set(err, -errno, "name a socket for transfers");
		e->pool_port[e->pool_size - 1] = cow_tftp_addr_port(&got);
	}
	return 0;
}

static int open_listen(struct cow_tftp_entrance *e, const union cow_tftp_addr *listen,
		       struct cow_err *err)
{
	const struct in6_addr addr = cow_tftp_addr_map(listen);
	unsigned port = ntohs(cow_tftp_addr_port(listen));
	char text[COW_TFTP_ADDR_TEXT];
	socklen_t len = sizeof(e->bound);

	(void)cow_tftp_addr_text(
	    &addr, listen->sa.sa_family == AF_INET6 ? listen->in6.sin6_scope_id : 0, text);
	e->listen_fd = cow_tftp_socket_open(listen, LISTEN_RCVBUF);
	if (e->listen_fd == -EADDRINUSE) {
		(void)cow_err_say(err, COW_ERR_BUSY, -EADDRINUSE,
				  "port %u of %s is taken by another program", port, text);
		return cow_err_hint(
		    err, -EADDRINUSE,
		    "stop the other TFTP server (dnsmasq, tftpd-hpa, atftpd), or choose "
		    "another address");
	}
	if (e->listen_fd < 0)
		return cow_err_set(err, e->listen_fd, "listen on port %u of %s", port, text);
	if (getsockname(e->listen_fd, &e->bound.sa, &len) < 0)
		return cow_err_set(err, -errno, "name the listening socket");
	e->one_address = listen->sa.sa_family == AF_INET6
			     ? !IN6_IS_ADDR_UNSPECIFIED(&listen->in6.sin6_addr)
			     : listen->in.sin_addr.s_addr != htonl(INADDR_ANY);
	return 0;
}

int cow_tftp_entrance_open(struct cow_tftp_entrance *e, const union cow_tftp_addr *listen,
			   const struct cow_tftp_entrances *how, struct cow_err *err)
{
	*e = (struct cow_tftp_entrance){
	    .grants = {.blksize = listen->sa.sa_family == AF_INET6 ? COW_TFTP_BLKSIZE_PATH6
								   : COW_TFTP_BLKSIZE_PATH,
		       .window = COW_TFTP_WINDOW_MAX,
		       .utimeout = how->utimeout},
	    .listen_fd = -1,
	};
	int r = open_listen(e, listen, err);

	return r < 0 || how->single_port ? r : open_pool(e, how, err);
}

void cow_tftp_entrance_close(struct cow_tftp_entrance *e)
{
	for (unsigned i = 0; i < e->pool_size; i++)
		(void)close(e->pool[i]);
	if (e->listen_fd >= 0)
		(void)close(e->listen_fd);
}
