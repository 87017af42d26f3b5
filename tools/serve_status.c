/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * RUN/status, what `cowherd status` shows of a running `serve`:
 *	[serve]		state = starting|ready|stopping, pid, started, address, interface
 *	[service.NAME]	state, pid, restarts, reason, listen
 *	[client.MAC]	export = active|pending|ERROR, export_id, address
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/kv.h"
#include "common/log.h"
#include "serve.h"

#define SOON_MS 100

static int put_serve(const struct cow_serve *s, struct cow_kv *kv)
{
	char when[COW_TIME_TEXT_LEN + 1];
	int r = 0;

	cow_time_text(s->started_s, when);
	r |= cow_kv_add(kv, "serve", "state",
			s->stopping ? "stopping"
			: s->ready  ? "ready"
				    : "starting");
	r |= cow_kv_setf(kv, "serve", "pid", "%d", (int)getpid());
	r |= cow_kv_add(kv, "serve", "started", when);
	r |= cow_kv_add(kv, "serve", "address", s->net.address);
	r |= cow_kv_add(kv, "serve", "interface", s->net.interface);
	return r ? -ENOMEM : 0;
}

static void listen_text(const struct cow_serve *s, int svc, char *ret, size_t size)
{
	const struct cow_config *c = s->config;

	switch ((enum cow_service)svc) {
	case COW_SVC_RPCBIND:
		(void)snprintf(ret, size, "%s:111", s->net.address);
		break;
	case COW_SVC_DBUS:
		(void)snprintf(ret, size, "%s/bus", s->paths.run);
		break;
	case COW_SVC_NFS:
		(void)snprintf(ret, size, "%s:%u", s->net.address, c->nfs_port);
		break;
	case COW_SVC_TFTP:
		(void)snprintf(ret, size, "%s:%u", s->net.address, c->tftp_port);
		break;
	case COW_SVC_DHCP:
		(void)snprintf(ret, size, "%s:67", s->net.interface);
		break;
	case COW_SVC_MAX:
		break;
	}
}

static int put_service(const struct cow_serve *s, int svc, struct cow_kv *kv)
{
	const struct cow_child *c = &s->child[svc];
	char section[64], where[512] = "";
	int r = 0;

	(void)snprintf(section, sizeof(section), "service.%s", c->name);
	listen_text(s, svc, where, sizeof(where));
	r |= cow_kv_add(kv, section, "state", cow_child_state_name(c));
	r |= cow_kv_setf(kv, section, "pid", "%d", (int)c->pid);
	r |= cow_kv_setf(kv, section, "restarts", "%u", c->restarts);
	r |= cow_kv_add(kv, section, "reason", c->reason);
	r |= cow_kv_add(kv, section, "listen", where);
	return r ? -ENOMEM : 0;
}

static int put_client(const struct cow_serve *s, const struct cow_herd_client *c, struct cow_kv *kv)
{
	char section[64], id[16];
	/* The server's words may hold line ends, which a record cannot carry: quoted. */
	const char *state = s->exports ? cow_exports_state(s->exports, c) : "off";
	int r = 0;

	(void)snprintf(section, sizeof(section), "client.%s", c->id);
	(void)snprintf(id, sizeof(id), "%u", c->export_id);
	r |= cow_kv_add(kv, section, "export", strpbrk(state, "\n ") ? COW_Q(state) : state);
	r |= cow_kv_add(kv, section, "export_id", id);
	r |= cow_kv_add(kv, section, "address", c->bound);
	return r ? -ENOMEM : 0;
}

void cow_serve_status_write(struct cow_serve *s)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autokv kv = NULL;

	int r = cow_kv_new(&kv);
	if (r == 0)
		r = put_serve(s, kv);
	for (int i = 0; i < COW_SVC_MAX && r == 0; i++)
		if (s->enabled[i])
			r = put_service(s, i, kv);
	for (size_t i = 0; s->herd && i < s->herd->clients && r == 0; i++)
		r = put_client(s, &s->herd->client[i], kv);
	if (r == 0)
		r = cow_kv_write_at(s->run_fd, "status", kv, 0644, &err);
	if (r < 0)
		cow_log(COW_LOG_WARNING, "cannot write %s/status: %s", s->paths.run,
			r == -ENOMEM ? "out of memory" : cow_err_str(&err));
}

static void on_timer(void *ctx)
{
	cow_serve_status_write(ctx);
}

void cow_serve_status_dirty(struct cow_serve *s)
{
	if (s->status_timer.due_ms)
		return;
	s->status_timer.fn = on_timer;
	s->status_timer.ctx = s;
	cow_loop_timer(s->loop, &s->status_timer, SOON_MS);
}
