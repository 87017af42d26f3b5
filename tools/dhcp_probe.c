/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * DHCP messages: see dhcp_probe.h. Layout: RFC 2131 section 2; options: RFC 2132.
 */
#include "dhcp_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"

enum {
	OFF_XID = 4,
	OFF_FLAGS = 10,
	OFF_YIADDR = 16,
	OFF_SIADDR = 20,
	OFF_CHADDR = 28,
	OFF_COOKIE = 236,
	OFF_OPTIONS = 240,
	MESSAGE_MIN = 300, /* BOOTP, RFC 951: some servers drop shorter ones */
	MESSAGE_MAX = 1500,
};
enum {
	OPT_VENDOR = 43,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_PARAMETERS = 55,
	OPT_CLASS = 60,
	OPT_TFTP = 66,
	OPT_ARCH = 93,
	OPT_END = 255,
};
enum { DISCOVER = 1, OFFER = 2 };

static const uint8_t cookie[4] = {99, 130, 83, 99};

static void take_option(struct cow_dhcp_offer *o, uint8_t *ret_type, uint8_t code, const uint8_t *v,
			size_t len)
{
	static const char menu[] = "Raspberry Pi Boot   ";

	if (code == OPT_TYPE && len == 1) {
		*ret_type = v[0];
	} else if (code == OPT_SERVER && len == 4) {
		memcpy(&o->server, v, 4);
	} else if (code == OPT_TFTP && len < sizeof(o->tftp)) {
		memcpy(o->tftp, v, len);
		o->tftp[len] = '\0';
		for (char *p = o->tftp; *p; p++) /* it goes to a terminal */
			if (*p <= ' ' || *p >= 0x7f)
				*p = '?';
	} else if (code == OPT_VENDOR) {
		o->pi_menu = memmem(v, len, menu, sizeof(menu) - 1) != NULL;
	}
}

int cow_dhcp_offer_parse(const uint8_t *buf, size_t len, uint32_t xid, struct cow_dhcp_offer *ret)
{
	struct cow_dhcp_offer o = {0};
	uint8_t type = 0;

	if (len < OFF_OPTIONS || buf[0] != 2 || memcmp(buf + OFF_XID, &xid, 4) != 0 ||
	    memcmp(buf + OFF_COOKIE, cookie, 4) != 0)
		return -EINVAL;
	memcpy(&o.address, buf + OFF_YIADDR, 4);
	memcpy(&o.next, buf + OFF_SIADDR, 4);
	for (size_t i = OFF_OPTIONS; i < len && buf[i] != OPT_END;) {
		if (buf[i] == 0) {
			i++;
			continue;
		}
		if (len - i < 2 || len - i - 2 < buf[i + 1])
			return -EINVAL;
		take_option(&o, &type, buf[i], buf + i + 2, buf[i + 1]);
		i += (size_t)2 + buf[i + 1];
	}
	if (type != OFFER || o.server.s_addr == 0)
		return -EINVAL;
	*ret = o;
	return 0;
}

static size_t put_option(uint8_t *at, uint8_t code, const void *v, uint8_t len)
{
	at[0] = code;
	at[1] = len;
	memcpy(at + 2, v, len);
	return (size_t)2 + len;
}

static void make_discover(uint8_t buf[MESSAGE_MIN], uint32_t xid, const uint8_t mac[6])
{
	static const char class[] = "PXEClient:Arch:00000:UNDI:002001";
	static const uint8_t type = DISCOVER, arch[2] = {0, 0},
			     wanted[] = {1, 3, OPT_VENDOR, OPT_CLASS, OPT_TFTP, 67};
	size_t n = OFF_OPTIONS;

	memset(buf, 0, MESSAGE_MIN);
	buf[0] = 1; /* request */
	buf[1] = 1; /* Ethernet */
	buf[2] = 6;
	memcpy(buf + OFF_XID, &xid, 4);
	buf[OFF_FLAGS] = 0x80; /* answer by broadcast: we have no address */
	memcpy(buf + OFF_CHADDR, mac, 6);
	memcpy(buf + OFF_COOKIE, cookie, 4);
	n += put_option(buf + n, OPT_TYPE, &type, sizeof(type));
	n += put_option(buf + n, OPT_PARAMETERS, wanted, sizeof(wanted));
	n += put_option(buf + n, OPT_CLASS, class, sizeof(class) - 1);
	n += put_option(buf + n, OPT_ARCH, arch, sizeof(arch));
	buf[n] = OPT_END;
}

static int open_socket(const char *interface)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(68)};
	int on = 1;
	cow_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
		       (socklen_t)strlen(interface) + 1) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return cow_steal_fd(&fd);
}

static bool is_known(const struct cow_dhcp_offer *all, size_t n, const struct cow_dhcp_offer *o)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].server.s_addr == o->server.s_addr)
			return true;
	return false;
}

static int collect(int fd, uint32_t xid, unsigned wait_ms, struct cow_dhcp_offer *ret, size_t max)
{
	uint64_t end = cow_now_ms() + wait_ms, now;
	uint8_t buf[MESSAGE_MAX];
	size_t n = 0;

	while (n < max && (now = cow_now_ms()) < end) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, (int)(end - now)) <= 0)
			continue;
		ssize_t len = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (len > 0 && cow_dhcp_offer_parse(buf, (size_t)len, xid, &ret[n]) == 0 &&
		    !is_known(ret, n, &ret[n]))
			n++;
	}
	return (int)n;
}

int cow_dhcp_probe(const char *interface, unsigned wait_ms, struct cow_dhcp_offer *ret, size_t max)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(67),
				 .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
	uint8_t buf[MESSAGE_MIN], mac[6];
	uint32_t xid;
	cow_autoclose int fd = open_socket(interface);

	if (fd < 0)
		return fd;
	int r = cow_random(&xid, sizeof(xid));

	if (r == 0)
		r = cow_random(mac, sizeof(mac));
	if (r < 0)
		return r;
	mac[0] = 0x02; /* administered locally: nobody's */
	make_discover(buf, xid, mac);
	if (sendto(fd, buf, sizeof(buf), 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return collect(fd, xid, wait_ms, ret, max);
}
