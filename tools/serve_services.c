/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The children: how each is called, when it may start, how one sees that it answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "serve.h"
#include "serve_loaders.h"
#include "serve_small.h"

#define TICK_STARTING_MS 50
#define PROBE_TIMEOUT_MS 1000
#define START_TRIES                                                                                \
	4 /* a service that dies this often before we were ever ready has a real fault */

const char *cow_serve_keep(struct cow_serve *s, char *text)
{
	if (!text || s->args == sizeof(s->arg) / sizeof(s->arg[0])) {
		free(text);
		return NULL;
	}
	s->arg[s->args] = text;
	return s->arg[s->args++];
}

void cow_serve_event_done(struct cow_serve *s, int r)
{
	if (r < 0 && !s->events_lost)
		cow_log(COW_LOG_WARNING, "cannot write '%s/events': %s", s->paths.state,
			strerrorname_np(-r));
	s->events_lost = r < 0;
}

int cow_serve_write(struct cow_serve *s, const char *name, const char *text, struct cow_err *err)
{
	int r = cow_write_file_at(s->run_fd, name, text, strlen(text), 0644);
	if (r < 0)
		return cow_err_set(err, r, "write '%s/%s'", s->paths.run, name);
	return 0;
}

/* ------------------------------------------------ TFTP */

static void tftp_answered(void *ctx, int r)
{
	struct cow_serve *s = ctx;
	struct cow_child *c = &s->child[COW_SVC_TFTP];

	if (r < 0 || c->state != COW_CHILD_RUNNING)
		return; /* asked again at the next tick */
	c->ready = true;
	cow_serve_changed(s, c);
}

/* Append to the arguments of @c, which has room: COW_CHILD_ARGS counts these in. */
static void add_arg(struct cow_child *c, const char *arg)
{
	size_t n = 0;

	while (c->argv[n])
		n++;
	c->argv[n] = arg;
}

/* What is said only where it is asked for. */
static int add_tftp_options(struct cow_serve *s, struct cow_child *c, struct cow_err *err)
{
	const struct cow_config *f = s->config;

	if (*f->tftp_user) {
		add_arg(c, "--user");
		add_arg(c, f->tftp_user);
	}
	if (f->tftp_single_port)
		add_arg(c, "--single-port");
	if (f->tftp_utimeout)
		add_arg(c, "--utimeout");
	if (*f->tftp_ports) {
		add_arg(c, "--ports");
		add_arg(c, f->tftp_ports);
	}
	for (const char *p = f->tftp_listen; *p;) {
		int len = (int)strcspn(p, ",");
		char *text = NULL;

		if (asprintf(&text, "[%.*s]:%u", len, p, f->tftp_port) < 0)
			text = NULL;
		const char *keep = cow_serve_keep(s, text);

		if (!keep)
			return cow_err_set(err, -ENOMEM, "TFTP server");
		add_arg(c, "--listen");
		add_arg(c, keep);
		p += len + (p[len] == ',');
	}
	return 0;
}

static int prepare_tftp(struct cow_serve *s, struct cow_err *err)
{
	static const char *const level[] = {"error", "warning", "notice", "info", "debug"};
	static const char *const trust[] = {"open", "match", "closed"};
	static const char *const enrol[] = {"off", "pending", "auto"};
	struct cow_child *c = &s->child[COW_SVC_TFTP];
	const struct cow_config *f = s->config;
	char *listen = NULL, *port = NULL, *mount = NULL, *leases = NULL, *dir = NULL;
	int r = cow_loaders_make(s->run_fd, s->paths.run, f->ipxe_dir, err);

	if (r < 0)
		return r;
	if (asprintf(&listen, "%s:%u", s->net.address, f->tftp_port) < 0 ||
	    asprintf(&dir, "%s/loaders", s->paths.run) < 0 ||
	    asprintf(&port, "%u", f->nfs_port) < 0 ||
	    asprintf(&leases, "%s/dnsmasq.leases", s->paths.state) < 0 ||
	    asprintf(&mount, "%u", f->nfs_mount_port) < 0)
		return cow_err_set(err, -ENOMEM, "TFTP server");
	const char *keep = cow_serve_keep(s, listen), *nfs_port = cow_serve_keep(s, port),
		   *mount_port = cow_serve_keep(s, mount), *loaders = cow_serve_keep(s, dir),
		   *leases_path = cow_serve_keep(s, leases);
	const char *argv[] = {s->programs.tftpd,
			      "--store",
			      s->paths.store,
			      "--listen",
			      keep,
			      "--nfs-version",
			      f->nfs_version,
			      "--loader-dir",
			      loaders,
			      "--clients",
			      trust[f->tftp_clients],
			      "--leases",
			      f->dhcp_mode == COW_DHCP_FULL ? leases_path : "",
			      "--enrol",
			      enrol[f->enrol],
			      "--event-fd",
			      "3",
			      "--nfs-port",
			      nfs_port,
			      "--mount-port",
			      mount_port,
			      "--log-level",
			      level[f->log_level],
			      NULL};
	memcpy(c->argv, argv, sizeof(argv));
	c->name = "tftp";
	c->fds[0] = s->event_fd[1];
	c->n_fds = 1;
	c->stop_ms = 5000;
	s->tftp_probe = (struct cow_probe){.kind = COW_PROBE_TFTP,
					   .timeout_ms = PROBE_TIMEOUT_MS,
					   .loop = s->loop,
					   .done = tftp_answered,
					   .ctx = s};
	s->tftp_probe.to =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)f->tftp_port)};
	(void)inet_pton(AF_INET, s->net.address, &s->tftp_probe.to.sin_addr); /* our own text */
	s->enabled[COW_SVC_TFTP] = true;
	if (!keep || !nfs_port || !mount_port || !loaders || !leases_path)
		return cow_err_set(err, -ENOMEM, "TFTP server");
	return add_tftp_options(s, c, err);
}

/* ------------------------------------------------ DHCP */

/* Said at start, not found out at a machine that does not. */
static void miss_loaders(const struct cow_config *c)
{
	static const unsigned kinds[] = {0, 7}; /* BIOS, EFI; ARM is for whoever has it */

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *file = cow_loader_file(kinds[i], (enum cow_loader)c->dhcp_loader);

		if (!cow_loader_found(file, c->ipxe_dir))
			cow_log(COW_LOG_WARNING,
				"PCs with %s cannot start: loader %s is missing; install it with: "
				"apt-get install %s",
				kinds[i] ? "EFI firmware" : "BIOS", file, cow_loader_package(file));
	}
}

static int prepare_dhcp(struct cow_serve *s, struct cow_err *err)
{
	struct cow_child *c = &s->child[COW_SVC_DHCP];
	cow_autofree char *text = NULL;
	char *conf = NULL;

	if (s->config->tftp_enabled)
		miss_loaders(s->config);
	int r = cow_text_dnsmasq(s->config, &s->net, &s->paths, &text);
	if (r < 0 || asprintf(&conf, "--conf-file=%s/dnsmasq.conf", s->paths.run) < 0)
		return cow_err_set(err, -ENOMEM, "DHCP server");
	const char *keep = cow_serve_keep(s, conf);
	const char *argv[] = {s->programs.dnsmasq, "--keep-in-foreground", "--log-facility=-", keep,
			      NULL};
	memcpy(c->argv, argv, sizeof(argv));
	c->name = "dhcp";
	c->stop_ms = 5000;
	s->enabled[COW_SVC_DHCP] = true;
	return keep ? cow_serve_write(s, "dnsmasq.conf", text, err)
		    : cow_err_set(err, -ENOMEM, "DHCP server");
}

static void dhcp_tick(struct cow_serve *s)
{
	struct cow_child *c = &s->child[COW_SVC_DHCP];

	if (c->state != COW_CHILD_RUNNING || c->ready ||
	    !cow_port_held_by(COW_PORT_UDP, 67, c->pid))
		return;
	c->ready = true;
	cow_serve_changed(s, c);
}

/* ------------------------------------------------ all */

int cow_serve_prepare(struct cow_serve *s, struct cow_err *err)
{
	int r = 0;

	if (s->config->nfs_enabled)
		r = cow_serve_nfs_prepare(s, err);
	if (r == 0 && s->config->tftp_enabled)
		r = prepare_tftp(s, err);
	if (r == 0 && s->config->dhcp_mode != COW_DHCP_OFF)
		r = prepare_dhcp(s, err);
	for (int i = 0; i < COW_SVC_MAX; i++) {
		s->child[i].loop = s->loop;
		s->child[i].group = s->guard;
		s->child[i].changed = cow_serve_changed;
		s->child[i].ctx = s;
	}
	return r;
}

static bool all_ready(const struct cow_serve *s)
{
	for (int i = 0; i < COW_SVC_MAX; i++)
		if (s->enabled[i] && !s->child[i].ready)
			return false;
	return true;
}

static void on_tick(void *ctx)
{
	struct cow_serve *s = ctx;
	struct cow_child *tftp = &s->child[COW_SVC_TFTP];

	if (s->stopping)
		return;
	if (s->config->nfs_enabled)
		cow_serve_nfs_tick(s);
	if (tftp->state == COW_CHILD_RUNNING && !tftp->ready)
		cow_probe_start(&s->tftp_probe);
	dhcp_tick(s);
	/* Once all is calm, only the NFS server is asked whether it lives. */
	cow_loop_timer(s->loop, &s->tick,
		       all_ready(s) ? s->config->nfs_watchdog * 1000u : TICK_STARTING_MS);
}

void cow_serve_tick_soon(struct cow_serve *s)
{
	s->tick.fn = on_tick;
	s->tick.ctx = s;
	cow_loop_timer(s->loop, &s->tick, TICK_STARTING_MS);
}

static void announce(struct cow_serve *s)
{
	if (s->ready || s->stopping || !all_ready(s))
		return;
	s->ready = true;
	cow_log(COW_LOG_INFO, "ready: address=%s interface=%s clients=%zu store='%s'",
		s->net.address, s->net.interface, s->herd->clients, s->paths.store);
	cow_notify("READY=1");
	cow_serve_event(s, "serve", "state", "ready", "addr", s->net.address, NULL);
}

static void stop_next(struct cow_serve *s)
{
	const struct cow_child *c = s->child;

	if (c[COW_SVC_NFS].state || c[COW_SVC_TFTP].state || c[COW_SVC_DHCP].state)
		return;
	for (int i = COW_SVC_RPCBIND; i <= COW_SVC_DBUS; i++)
		if (c[i].state == COW_CHILD_RUNNING || c[i].state == COW_CHILD_WAITING)
			cow_child_stop(&s->child[i]);
	if (!c[COW_SVC_RPCBIND].state && !c[COW_SVC_DBUS].state)
		cow_loop_stop(s->loop);
}

void cow_serve_stop(struct cow_serve *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	cow_serve_event(s, "serve", "state", "stopping", NULL);
	cow_notify("STOPPING=1");
	cow_loop_timer_off(s->loop, &s->tick);
	cow_probe_cancel(&s->nfs_probe);
	cow_probe_cancel(&s->tftp_probe);
	for (int i = COW_SVC_NFS; i < COW_SVC_MAX; i++)
		if (s->child[i].state != COW_CHILD_OFF)
			cow_child_stop(&s->child[i]);
	stop_next(s);
}

static void give_up(struct cow_serve *s, const struct cow_child *c)
{
	(void)cow_err_say(&s->failure, COW_ERR_FAILED, -ECHILD,
			  "service %s does not start: %s (its own messages are above)", c->name,
			  c->reason);
	cow_serve_stop(s);
}

void cow_serve_changed(void *ctx, struct cow_child *c)
{
	struct cow_serve *s = ctx;

	cow_serve_status_dirty(s);
	if (c == &s->child[COW_SVC_NFS] && s->exports && c->state != COW_CHILD_RUNNING) {
		s->nfs_answered_ms = 0;
		s->nfs_misses = 0;
		cow_probe_cancel(&s->nfs_probe);
		cow_exports_server_down(s->exports);
	}
	if (s->stopping) {
		stop_next(s);
		return;
	}
	if (c->state == COW_CHILD_WAITING && *c->reason)
		cow_serve_event(s, "service", "service", c->name, "reason", c->reason, NULL);
	if (c->state == COW_CHILD_WAITING && !s->ready && c->restarts >= START_TRIES) {
		give_up(s, c);
		return;
	}
	if (c->ready)
		cow_log(COW_LOG_INFO, "service=%s pid=%d answers after %llu ms", c->name,
			(int)c->pid, (unsigned long long)(cow_now_ms() - c->started_ms));
	else
		cow_serve_tick_soon(s);
	announce(s);
}

void cow_serve_start(struct cow_serve *s)
{
	for (int i = 0; i < COW_SVC_MAX; i++)
		if (s->enabled[i])
			cow_child_start(&s->child[i]);
	cow_serve_tick_soon(s);
}
