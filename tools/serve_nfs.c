/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The NFS server, its private bus, and the port mapper it insists on.
 *
 * Ganesha ends at once when it cannot register version 3 with a port mapper at /run/rpcbind.sock.
 * Where one runs, that one is used. Else rpcbind runs as a child: its sockets are made here and
 * handed over, because by itself it would listen for TCP on every address of the machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "serve.h"

#define PORTMAP_SOCKET "/run/rpcbind.sock"
#define PORTMAP_PORT 111
#define PROBE_TIMEOUT_MS 2000 /* at most; the next is not due before */
#define MISSES_MAX 3	      /* NULL calls without an answer before a restart */
#define SERVER_STOP_MS 30000  /* a thousand exports take their time */
#define NO_BUS_MS 5000	      /* answers NFS but not the bus for this long: start it anew */

/* ------------------------------------------------ port mapper */

void cow_serve_portmap_close(struct cow_serve *s)
{
	for (unsigned i = 0; i < s->portmap_fds; i++)
		(void)close(s->portmap_fd[i]);
	if (s->portmap_fds)
		(void)unlink(PORTMAP_SOCKET); /* ours: we made it */
	s->portmap_fds = 0;
}

static int open_one(struct cow_serve *s, int type, const struct sockaddr *sa, socklen_t len)
{
	int on = 1;

	cow_autoclose int fd = socket(sa->sa_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sa->sa_family != AF_UNIX && type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (sa->sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, sa, len) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0))
		return -errno;
	s->portmap_fd[s->portmap_fds++] = cow_steal_fd(&fd);
	return 0;
}

static int open_sockets(struct cow_serve *s)
{
	const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = PORTMAP_SOCKET};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORTMAP_PORT)};
	const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
					 .sin6_port = htons(PORTMAP_PORT),
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	(void)unlink(PORTMAP_SOCKET); /* nobody answered there: a left-over, or nothing */
	int r = open_one(s, SOCK_STREAM, (const struct sockaddr *)&un, sizeof(un));
	if (r < 0)
		return r;
	(void)inet_pton(AF_INET, s->net.address, &in.sin_addr); /* our own text */
	r = open_one(s, SOCK_STREAM, (const struct sockaddr *)&in, sizeof(in));
	if (r == 0)
		r = open_one(s, SOCK_DGRAM, (const struct sockaddr *)&in, sizeof(in));
	if (r < 0)
		return r;
	/* Without these rpcbind opens IPv6 sockets on every address; a kernel without IPv6 has
	 * none. */
	r = open_one(s, SOCK_STREAM, (const struct sockaddr *)&in6, sizeof(in6));
	if (r == 0)
		r = open_one(s, SOCK_DGRAM, (const struct sockaddr *)&in6, sizeof(in6));
	return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL ? 0 : r;
}

static int prepare_portmap(struct cow_serve *s, struct cow_err *err)
{
	struct cow_child *c = &s->child[COW_SVC_RPCBIND];

	int r = open_sockets(s);
	if (r < 0)
		return cow_err_set(err, r, "port mapper: listen on %s port %d and " PORTMAP_SOCKET,
				   s->net.address, PORTMAP_PORT);
	c->name = "rpcbind";
	c->argv[0] = s->programs.rpcbind;
	c->argv[1] = "-f";
	for (unsigned i = 0; i < s->portmap_fds; i++)
		c->fds[i] = s->portmap_fd[i];
	c->n_fds = s->portmap_fds;
	c->listen_fds = true;
	c->stop_ms = 5000;
	s->enabled[COW_SVC_RPCBIND] = true;
	return 0;
}

/* ------------------------------------------------ bus */

bool cow_serve_dbus_answers(const struct cow_serve *s)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/bus", s->paths.run);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return false;
	cow_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static void before_bus(void *ctx)
{
	const struct cow_serve *s = ctx;

	(void)unlinkat(s->run_fd, "bus", 0); /* of an earlier life; the daemon makes it anew */
}

static int prepare_bus(struct cow_serve *s, struct cow_err *err)
{
	struct cow_child *c = &s->child[COW_SVC_DBUS];
	cow_autofree char *text = NULL;
	char *conf = NULL;

	if (strlen(s->paths.run) + sizeof("/bus") > sizeof(((struct sockaddr_un *)0)->sun_path))
		return cow_err_say(err, COW_ERR_USAGE, -ENAMETOOLONG,
				   "run directory '%s' is too long for a socket's path",
				   s->paths.run);
	if (cow_text_dbus(&s->paths, &text) < 0 ||
	    asprintf(&conf, "--config-file=%s/dbus.conf", s->paths.run) < 0)
		return cow_err_set(err, -ENOMEM, "bus");
	const char *keep = cow_serve_keep(s, conf);
	const char *argv[] = {s->programs.dbus, keep, "--nofork", "--nopidfile", NULL};
	memcpy(c->argv, argv, sizeof(argv));
	c->name = "dbus";
	c->before_start = before_bus;
	c->stop_ms = 5000;
	s->enabled[COW_SVC_DBUS] = true;
	return keep ? cow_serve_write(s, "dbus.conf", text, err) : cow_err_set(err, -ENOMEM, "bus");
}

/* ------------------------------------------------ server */

static bool server_may_start(void *ctx)
{
	const struct cow_serve *s = ctx;

	return s->child[COW_SVC_DBUS].ready &&
	       (!s->enabled[COW_SVC_RPCBIND] || s->child[COW_SVC_RPCBIND].ready);
}

static void before_server(void *ctx)
{
	struct cow_serve *s = ctx;

	s->nfs_answered_ms = 0;
	s->nfs_misses = 0;
	cow_exports_server_starts(s->exports);
}

static void server_ready(struct cow_serve *s)
{
	struct cow_child *c = &s->child[COW_SVC_NFS];

	if (c->ready || !cow_exports_in_touch(s->exports))
		return;
	c->ready = true;
	cow_serve_changed(s, c);
}

static void exports_moved(void *ctx)
{
	struct cow_serve *s = ctx;

	if (s->child[COW_SVC_NFS].state == COW_CHILD_RUNNING)
		server_ready(s);
	cow_serve_status_dirty(s);
}

static void server_missed(struct cow_serve *s, int r)
{
	struct cow_child *c = &s->child[COW_SVC_NFS];

	if (!c->ready) { /* starting: asked again at the next tick */
		if (cow_now_ms() - c->started_ms > s->config->nfs_start_timeout * 1000ull)
			cow_child_kick(c, "no answer to a NULL call since it was started");
		return;
	}
	cow_log(COW_LOG_WARNING, "service=nfs pid=%d NULL call: %s", (int)c->pid,
		strerrorname_np(-r));
	if (++s->nfs_misses >= MISSES_MAX)
		cow_child_kick(c, "3 NULL calls without an answer");
}

static void server_answered(void *ctx, int r)
{
	struct cow_serve *s = ctx;
	struct cow_child *c = &s->child[COW_SVC_NFS];

	if (c->state != COW_CHILD_RUNNING)
		return;
	if (r < 0) {
		server_missed(s, r);
		return;
	}
	s->nfs_misses = 0;
	if (s->nfs_answered_ms == 0) {
		s->nfs_answered_ms = cow_now_ms();
		cow_exports_server_up(s->exports);
	}
	server_ready(s);
}

/* While it starts: is it there yet? Later: is it still? */
static void server_tick(struct cow_serve *s)
{
	struct cow_child *c = &s->child[COW_SVC_NFS];

	if (c->state != COW_CHILD_RUNNING)
		return;
	/* It does not look for its bus a second time; most often it ends by itself. */
	if (s->child[COW_SVC_DBUS].ready && s->child[COW_SVC_DBUS].started_ms > c->started_ms) {
		cow_child_kick(c, "its bus was started anew");
		return;
	}
	if (c->ready || s->nfs_answered_ms == 0) {
		cow_probe_start(&s->nfs_probe);
		return;
	}
	server_ready(s);
	if (!c->ready && cow_now_ms() - s->nfs_answered_ms > NO_BUS_MS)
		cow_child_kick(c, "does not answer on the bus");
}

void cow_serve_nfs_tick(struct cow_serve *s)
{
	struct cow_child *bus = &s->child[COW_SVC_DBUS], *map = &s->child[COW_SVC_RPCBIND];

	if (bus->state == COW_CHILD_RUNNING && !bus->ready && cow_serve_dbus_answers(s)) {
		bus->ready = true;
		cow_serve_changed(s, bus);
	}
	/* Its sockets are ours and take calls already; it answers as soon as it runs. */
	if (map->state == COW_CHILD_RUNNING && !map->ready) {
		map->ready = true;
		cow_serve_changed(s, map);
	}
	server_tick(s);
}

static uint64_t memory_kib(void)
{
	struct sysinfo si;

	return sysinfo(&si) < 0 ? 0 : (uint64_t)si.totalram * si.mem_unit / 1024;
}

static int prepare_server(struct cow_serve *s, struct cow_err *err)
{
	struct cow_child *c = &s->child[COW_SVC_NFS];
	cow_autofree char *text = NULL;
	char *conf = NULL, *pid = NULL, *env = NULL, *keep = NULL;
	struct cow_nfs_size size;
	unsigned pace_ms = s->config->nfs_watchdog * 1000;

	cow_nfs_size(memory_kib(), &size);
	if (cow_text_ganesha(s->config, &s->net, &s->paths, &size, &text) < 0 ||
	    asprintf(&keep, "MALLOC_TRIM_THRESHOLD_=%u", size.keep_kib * 1024) < 0 ||
	    asprintf(&conf, "%s/ganesha.conf", s->paths.run) < 0 ||
	    asprintf(&pid, "%s/ganesha.pid", s->paths.run) < 0 ||
	    asprintf(&env, "DBUS_SYSTEM_BUS_ADDRESS=unix:path=%s/bus", s->paths.run) < 0)
		return cow_err_set(err, -ENOMEM, "NFS server");
	const char *k_conf = cow_serve_keep(s, conf), *k_pid = cow_serve_keep(s, pid);
	const char *argv[] = {s->programs.ganesha,
			      "-F",
			      "-f",
			      k_conf,
			      "-L",
			      "STDERR",
			      "-p",
			      k_pid,
			      "-N",
			      s->config->log_level >= 4 ? "INFO" : "EVENT",
			      NULL};
	memcpy(c->argv, argv, sizeof(argv));
	c->env[0] = cow_serve_keep(s, env);
	/* READ buffers are 1 MiB each: without these every one of them is mapped and unmapped. */
	c->env[1] = "MALLOC_MMAP_THRESHOLD_=33554432";
	c->env[2] = cow_serve_keep(s, keep);
	c->env[3] = "MALLOC_ARENA_MAX=4";
	c->name = "nfs";
	c->may_start = server_may_start;
	c->before_start = before_server;
	c->stop_ms = SERVER_STOP_MS;
	s->nfs_probe = (struct cow_probe){
	    .kind = COW_PROBE_NFS,
	    .timeout_ms = pace_ms < PROBE_TIMEOUT_MS ? pace_ms : PROBE_TIMEOUT_MS,
	    .loop = s->loop,
	    .done = server_answered,
	    .ctx = s};
	s->nfs_probe.to = (struct sockaddr_in){.sin_family = AF_INET,
					       .sin_port = htons((uint16_t)s->config->nfs_port)};
	(void)inet_pton(AF_INET, s->net.address, &s->nfs_probe.to.sin_addr); /* our own text */
	s->enabled[COW_SVC_NFS] = true;
	if (!k_conf || !k_pid || !c->env[0] || !c->env[2])
		return cow_err_set(err, -ENOMEM, "NFS server");
	return cow_serve_write(s, "ganesha.conf", text, err);
}

int cow_serve_nfs_prepare(struct cow_serve *s, struct cow_err *err)
{
	cow_autofree char *recovery = NULL;

	if (asprintf(&recovery, "%s/ganesha", s->paths.state) < 0)
		return cow_err_set(err, -ENOMEM, "NFS server");
	int r = cow_mkdir_p(recovery, 0700);
	if (r < 0)
		return cow_err_set(err, r, "make '%s'", recovery);
	if (s->programs.rpcbind)
		r = prepare_portmap(s, err);
	if (r == 0)
		r = prepare_bus(s, err);
	if (r == 0)
		r = prepare_server(s, err);
	if (r < 0)
		return r;
	r = cow_exports_new(s->loop, s->config, &s->net, &s->paths, exports_moved, s, &s->exports);
	return r < 0 ? cow_err_set(err, r, "bus thread") : 0;
}
