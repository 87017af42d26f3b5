/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Ports: whether ours are free, and who has one that is not.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "serve_env.h"

#define PORTMAP_SOCKET "/run/rpcbind.sock" /* fixed in libtirpc and libntirpc */
#define TCP_LISTEN 0x0a			   /* state column of /proc/net/tcp */

/* A line of /proc/net/{tcp,udp}{,6}: "sl local:port remote:port state … inode". Inode of a bound
 * (UDP) or listening (TCP) socket on @port, 0: another. */
static unsigned long long match_line(const char *line, enum cow_port_proto proto, unsigned port)
{
	unsigned local, state;
	unsigned long long inode;

	static const char form[] =
	    " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %llu";

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own text holds numbers that fit */
	if (sscanf(line, form, &local, &state, &inode) != 3)
		return 0;
	return local == port && (proto == COW_PORT_UDP || state == TCP_LISTEN) ? inode : 0;
}

static int find_inode(const char *table, enum cow_port_proto proto, unsigned port,
		      unsigned long long *ret)
{
	char line[512];

	cow_autofile FILE *f = fopen(table, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long inode = match_line(line, proto, port);
		if (inode) {
			*ret = inode;
			return 0;
		}
	}
	return -ENOENT;
}

/* Does this process hold the socket? */
static bool holds(const char *pid, const char *socket_link)
{
	char path[64], link[64];
	const struct dirent *d;

	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	cow_autodir DIR *dir = opendir(path);
	while (dir && (d = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, socket_link) == 0)
			return true;
	}
	return false;
}

static pid_t find_pid(unsigned long long inode, char *comm)
{
	char want[64], path[300];
	const struct dirent *d;
	uint64_t pid;

	(void)snprintf(want, sizeof(want), "socket:[%llu]", inode);
	cow_autodir DIR *dir = opendir("/proc");
	while (dir && (d = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
		if (cow_parse_u64(d->d_name, 1, INT32_MAX, &pid) < 0 || !holds(d->d_name, want))
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		cow_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : cow_read_full(fd, comm, 15);
		comm[n > 0 ? n : 0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		return (pid_t)pid;
	}
	return -ESRCH;
}

pid_t cow_port_holder(enum cow_port_proto proto, unsigned port, char *comm)
{
	const char *v4 = proto == COW_PORT_TCP ? "/proc/self/net/tcp" : "/proc/self/net/udp";
	const char *v6 = proto == COW_PORT_TCP ? "/proc/self/net/tcp6" : "/proc/self/net/udp6";
	unsigned long long inode = 0;

	comm[0] = '\0';
	if (find_inode(v4, proto, port, &inode) < 0 && find_inode(v6, proto, port, &inode) < 0)
		return 0;
	return find_pid(inode, comm);
}

bool cow_port_held_by(enum cow_port_proto proto, unsigned port, pid_t pid)
{
	const char *table = proto == COW_PORT_TCP ? "/proc/self/net/tcp" : "/proc/self/net/udp";
	char line[512], want[64], pid_text[16];

	(void)snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	cow_autofile FILE *f = fopen(table, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long inode = match_line(line, proto, port);
		(void)snprintf(want, sizeof(want), "socket:[%llu]", inode);
		if (inode && holds(pid_text, want))
			return true;
	}
	return false;
}

/* Bind as the service will. DHCP: any address, one interface. */
static int try_bind(enum cow_port_proto proto, const char *address, const char *interface,
		    unsigned port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1;

	cow_autoclose int fd =
	    socket(AF_INET, (proto == COW_PORT_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* TCP: old connections in TIME_WAIT do not count, a listener still does. */
	if (proto == COW_PORT_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (interface && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
				    (socklen_t)strlen(interface) + 1) < 0)
		return -errno;
	if (address && inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return -EINVAL;
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return proto == COW_PORT_TCP && listen(fd, 1) < 0 ? -errno : 0;
}

static const char *advice(pid_t pid, const char *comm)
{
	if (pid < 0)
		return "if it is the kernel's NFS server: systemctl disable --now nfs-server.";
	if (strncmp(comm, "ganesha", 7) == 0)
		return "if it is the package's own service: systemctl disable --now nfs-ganesha.";
	return "stop it, or choose another port or address.";
}

static int in_use(const char *what, enum cow_port_proto proto, unsigned port, struct cow_err *err)
{
	const char *name = proto == COW_PORT_TCP ? "TCP" : "UDP";
	char comm[16], by[64] = "a process that cannot be seen";

	pid_t pid = cow_port_holder(proto, port, comm);
	if (pid > 0)
		(void)snprintf(by, sizeof(by), "'%s' (pid %d)", comm, (int)pid);
	int r = cow_err_say(err, COW_ERR_BUSY, -EADDRINUSE, "%s: %s port %u is in use by %s", what,
			    name, port, by);
	return cow_err_hint(err, r, "%s", advice(pid, comm));
}

static int check(const char *what, enum cow_port_proto proto, const char *address,
		 const char *interface, unsigned port, struct cow_err *err)
{
	int r = try_bind(proto, address, interface, port);

	if (r == -EADDRINUSE)
		return in_use(what, proto, port, err);
	if (r < 0)
		return cow_err_set(err, r, "%s: bind %s port %u", what,
				   proto == COW_PORT_TCP ? "TCP" : "UDP", port);
	return 0;
}

struct wanted {
	const char *what, *address, *interface;
	enum cow_port_proto proto;
	unsigned wanted, port;
};
#define WANTED 7

static void list_wanted(const struct cow_config *c, const struct cow_serve_net *net,
			struct wanted ret[WANTED])
{
	const struct wanted ports[WANTED] = {
	    {"NFS", net->address, NULL, COW_PORT_TCP, c->nfs_enabled, c->nfs_port},
	    {"NFS", net->address, NULL, COW_PORT_UDP, c->nfs_enabled, c->nfs_port},
	    {"NFS mount", net->address, NULL, COW_PORT_TCP, c->nfs_enabled, c->nfs_mount_port},
	    {"NFS mount", net->address, NULL, COW_PORT_UDP, c->nfs_enabled, c->nfs_mount_port},
	    {"TFTP", net->address, NULL, COW_PORT_UDP, c->tftp_enabled, c->tftp_port},
	    {"DHCP", NULL, net->interface, COW_PORT_UDP, c->dhcp_mode != COW_DHCP_OFF, 67},
	    {"proxy DHCP", NULL, net->interface, COW_PORT_UDP, c->dhcp_mode == COW_DHCP_PROXY,
	     4011},
	};

	memcpy(ret, ports, sizeof(ports));
}

int cow_serve_each_taken_port(const struct cow_config *c, const struct cow_serve_net *net,
			      void (*fn)(void *ctx, const char *what, const struct cow_err *err),
			      void *ctx)
{
	struct wanted w[WANTED];

	list_wanted(c, net, w);
	for (size_t i = 0; i < WANTED; i++) {
		struct cow_err err = COW_ERR_INIT;

		if (!w[i].wanted)
			continue;
		int r = check(w[i].what, w[i].proto, w[i].address, w[i].interface, w[i].port, &err);

		if (r == -EADDRINUSE)
			fn(ctx, w[i].what, &err);
		else if (r < 0)
			return r;
	}
	return 0;
}

int cow_serve_check_ports(const struct cow_config *c, const struct cow_serve_net *net,
			  struct cow_err *err)
{
	struct wanted w[WANTED];

	list_wanted(c, net, w);
	for (size_t i = 0; i < WANTED; i++) {
		if (!w[i].wanted)
			continue;
		int r = check(w[i].what, w[i].proto, w[i].address, w[i].interface, w[i].port, err);

		if (r < 0)
			return r;
	}
	return 0;
}

bool cow_portmap_present(void)
{
	const struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = PORTMAP_SOCKET};

	cow_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;
}
