/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * See outbox.h.
 */
#include "outbox.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tftp/limits.h"

#define MESSAGES 64u
#define ARENA ((size_t)128 << 10)
#define SEGMENTS_MAX 64u   /* UDP_MAX_SEGMENTS of older kernels */
#define MESSAGE_MAX 64000u /* an IP packet before it is cut has 65535 bytes at most */

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h */
#endif

union control {
	char space[COW_TFTP_SOURCE_SPACE + CMSG_SPACE(sizeof(uint16_t))];
	struct cmsghdr align;
};

/* One packet, or several of one length and a last one that may be shorter. */
struct message {
	struct cow_tftp_route route;
	size_t at, len;
	uint16_t segment; /* length of all but the last */
	unsigned segments;
};

struct cow_tftp_outbox {
	bool can_segment; /* as far as is known */
	bool open;	  /* the last message takes more */
	unsigned count;
	size_t used;
	struct message message[MESSAGES];
	/* For sendmmsg(2). */
	struct mmsghdr head[MESSAGES];
	struct iovec iov[MESSAGES];
	union control control[MESSAGES];
	uint8_t arena[ARENA];
};

int cow_tftp_outbox_new(struct cow_tftp_outbox **ret)
{
	struct cow_tftp_outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->can_segment = true;
	*ret = o;
	return 0;
}

void cow_tftp_outbox_free(struct cow_tftp_outbox *o)
{
	free(o);
}

uint8_t *cow_tftp_outbox_room(struct cow_tftp_outbox *o)
{
	if (o->count == MESSAGES || ARENA - o->used < COW_TFTP_PACKET_MAX)
		cow_tftp_outbox_flush(o);
	return o->arena + o->used;
}

static bool takes(const struct cow_tftp_outbox *o, const struct message *m, size_t len)
{
	return o->open && m->segments < SEGMENTS_MAX && m->len + len <= MESSAGE_MAX &&
	       len <= m->segment;
}

void cow_tftp_outbox_add(struct cow_tftp_outbox *o, const struct cow_tftp_route *route, size_t len,
			 bool more)
{
	struct message *last = o->count > 0 ? &o->message[o->count - 1] : NULL;

	if (last && takes(o, last, len)) {
		last->len += len;
		last->segments++;
	} else {
		o->message[o->count++] = (struct message){.route = *route,
							  .at = o->used,
							  .len = len,
							  .segment = (uint16_t)len,
							  .segments = 1};
	}
	o->used += len;
	o->open = more && o->can_segment;
}

static size_t put_segment(struct cmsghdr *c, uint16_t segment)
{
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(segment));
	memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	return CMSG_SPACE(sizeof(segment));
}

static void prepare(struct cow_tftp_outbox *o, unsigned k)
{
	struct message *m = &o->message[k];
	struct msghdr *h = &o->head[k].msg_hdr;

	memset(&o->control[k], 0, sizeof(o->control[k]));
	o->iov[k] = (struct iovec){.iov_base = o->arena + m->at, .iov_len = m->len};
	*h = (struct msghdr){
	    .msg_name = &m->route.to,
	    .msg_namelen = cow_tftp_addr_len(&m->route.to),
	    .msg_iov = &o->iov[k],
	    .msg_iovlen = 1,
	    .msg_control = &o->control[k],
	};
	size_t used = cow_tftp_socket_source(&o->control[k].align, &m->route.to, &m->route.local);

	if (m->segments > 1)
		used += put_segment((void *)(o->control[k].space + used), m->segment);
	h->msg_controllen = used;
}

static int flags_of(const struct message *m)
{
	return m->route.flags & COW_TFTP_SEND_CONFIRM ? MSG_CONFIRM : 0;
}

/* The kernel would not cut it up: one packet after the other. */
static void send_apart(struct cow_tftp_outbox *o, const struct message *m)
{
	for (size_t at = 0; at < m->len; at += m->segment) {
		size_t len = m->len - at < m->segment ? m->len - at : m->segment;

		(void)cow_tftp_socket_send(m->route.fd, o->arena + m->at + at, len, &m->route.to,
					   &m->route.local, m->route.flags);
	}
}

/* Messages @from to @to - 1, of one socket and one kind. */
static void send_run(struct cow_tftp_outbox *o, unsigned from, unsigned to)
{
	const struct message *first = &o->message[from];

	while (from < to) {
		int n = sendmmsg(first->route.fd, o->head + from, to - from, flags_of(first));

		if (n > 0) {
			from += (unsigned)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* Devices without checksums in hardware cannot; neither can some tunnels. */
		if (o->message[from].segments > 1 &&
		    (errno == EIO || errno == EINVAL || errno == EMSGSIZE)) {
			o->can_segment = false;
			send_apart(o, &o->message[from]);
		}
		from++; /* that one is lost */
	}
}

static bool same_run(const struct message *a, const struct message *b)
{
	return a->route.fd == b->route.fd && flags_of(a) == flags_of(b);
}

void cow_tftp_outbox_flush(struct cow_tftp_outbox *o)
{
	for (unsigned k = 0; k < o->count; k++)
		prepare(o, k);
	for (unsigned k = 0, next; k < o->count; k = next) {
		for (next = k + 1; next < o->count && same_run(&o->message[k], &o->message[next]);
		     next++)
			continue;
		send_run(o, k, next);
	}
	o->count = 0;
	o->used = 0;
	o->open = false;
}
