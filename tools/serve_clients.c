/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From the store and the TFTP server's events to exports and DHCP.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "serve.h"
#include "serve_small.h"
#include "snapshot/client.h"

#define SAME_BOOT_S 10 /* events this close together, from one address, are one boot */

/* Tell about damaged records once, not at every rescan. */
static void log_bad(const struct cow_herd *now, const struct cow_herd *before)
{
	for (size_t i = 0; i < now->bads; i++)
		if (!cow_herd_find_bad(before, now->bad[i].id))
			cow_log(COW_LOG_ERROR, "client=%s cannot be read: %s",
				COW_Q(now->bad[i].id), COW_Q(now->bad[i].text));
}

static int update_hosts(struct cow_serve *s, const struct cow_herd *h, struct cow_err *err)
{
	const struct cow_child *c = &s->child[COW_SVC_DHCP];
	cow_autofree char *text = NULL;

	if (s->config->dhcp_mode == COW_DHCP_OFF)
		return 0;
	if (cow_text_dnsmasq_hosts(h, &text) < 0)
		return cow_err_set(err, -ENOMEM, "DHCP reservations");
	if (s->hosts_text && strcmp(s->hosts_text, text) == 0)
		return 0;
	int r = cow_serve_write(s, "dnsmasq.hosts", text, err);
	if (r < 0)
		return r;
	free(s->hosts_text);
	s->hosts_text = cow_steal_ptr(&text);
	if (c->pid > 0)
		(void)kill(c->pid, SIGHUP); /* it reads the file again; ours until waited for */
	return 0;
}

int cow_serve_refresh(struct cow_serve *s, struct cow_err *err)
{
	cow_autoherd h = NULL;

	int r = cow_herd_load(s->store, &h, err);
	if (r < 0)
		return r;
	log_bad(h, s->herd);
	r = update_hosts(s, h, err);
	if (r == 0 && s->exports && (r = cow_exports_want(s->exports, h)) < 0)
		return cow_err_set(err, r, "write '%s/exports.conf'", s->paths.run);
	if (r < 0)
		return r;
	if (s->herd_watch)
		cow_herd_watch_set(s->herd_watch, h);
	cow_herd_free(s->herd);
	s->herd = cow_steal_ptr(&h);
	cow_serve_status_dirty(s);
	return 0;
}

static void on_change(void *ctx)
{
	struct cow_serve *s = ctx;
	struct cow_err err = COW_ERR_INIT;

	if (s->stopping)
		return;
	if (cow_serve_refresh(s, &err) == 0) {
		s->herd_error[0] = '\0';
		return;
	}
	if (strncmp(s->herd_error, cow_err_str(&err), sizeof(s->herd_error) - 1) == 0)
		return;
	(void)snprintf(s->herd_error, sizeof(s->herd_error), "%s", cow_err_str(&err));
	cow_log(COW_LOG_ERROR, "%s; going on with the clients known before", cow_err_str(&err));
}

/* The address first gets durable, then gets in: a crash in between costs this client nothing. */
static void booted(struct cow_serve *s, const struct cow_boot_event *e)
{
	struct cow_err err = COW_ERR_INIT;
	char id[COW_MAC_TEXT_LEN + 1];
	int64_t now = cow_realtime_s();

	cow_mac_text(&e->mac, id);
	struct cow_herd_client *c = cow_herd_find(s->herd, id);
	if (!c && cow_serve_refresh(s, &err) == 0)
		c = cow_herd_find(s->herd, id);
	if (!c) {
		cow_log(COW_LOG_WARNING, "client='%s' boots but is not in the store", id);
		return;
	}
	if (strcmp(c->learnt, e->addr) == 0 && now - c->learnt_s < SAME_BOOT_S)
		return;
	cow_log(COW_LOG_INFO, "client='%s' name=%s boots from %s file=%s", id, COW_Q(c->name),
		e->addr, COW_Q(e->file));
	if (*c->address && strcmp(c->address, e->addr) != 0)
		cow_log(COW_LOG_WARNING, "client='%s' has address %s configured but boots from %s",
			id, c->address, e->addr);
	if (cow_client_state_boot(s->store, &e->mac, now, e->addr, &err) < 0)
		cow_log(COW_LOG_ERROR, "client='%s' record boot: %s", id, cow_err_str(&err));
	(void)snprintf(c->learnt, sizeof(c->learnt), "%s", e->addr);
	c->learnt_s = now;
	cow_herd_bind(s->herd);
	if (s->exports && cow_exports_want(s->exports, s->herd) < 0)
		cow_log(COW_LOG_ERROR, "client='%s' cannot write exports.conf", id);
	cow_serve_status_dirty(s);
}

static void take_line(struct cow_serve *s, const char *line)
{
	struct cow_boot_event e;

	if (cow_boot_event_parse(line, &e) < 0)
		cow_log(COW_LOG_WARNING, "odd event from the TFTP server: %s", COW_Q(line));
	else
		booted(s, &e);
}

static void on_events(void *ctx, uint32_t events)
{
	struct cow_serve *s = ctx;
	char *nl;

	(void)events;
	ssize_t n = read(s->event_fd[0], s->event_line + s->event_len,
			 sizeof(s->event_line) - 1 - s->event_len);
	if (n <= 0)
		return;
	s->event_len += (size_t)n;
	s->event_line[s->event_len] = '\0';
	while ((nl = memchr(s->event_line, '\n', s->event_len)) != NULL) {
		*nl = '\0';
		take_line(s, s->event_line);
		size_t used = (size_t)(nl + 1 - s->event_line);
		memmove(s->event_line, nl + 1, s->event_len - used + 1);
		s->event_len -= used;
	}
	if (s->event_len == sizeof(s->event_line) - 1) /* no line is that long: drop the noise */
		s->event_len = 0;
}

int cow_serve_clients_start(struct cow_serve *s, struct cow_err *err)
{
	s->events = (struct cow_watch){.fd = s->event_fd[0], .fn = on_events, .ctx = s};
	int r = cow_loop_watch(s->loop, &s->events, EPOLLIN);
	if (r == 0)
		r = cow_herd_watch_new(s->loop, s->paths.store, on_change, s, &s->herd_watch);
	if (r < 0)
		return cow_err_set(err, r, "watch the store's clients");
	return cow_serve_refresh(s, err);
}

void cow_serve_clients_stop(struct cow_serve *s)
{
	if (s->events.fn)
		cow_loop_unwatch(s->loop, &s->events);
	cow_herd_watch_free(s->herd_watch);
	s->herd_watch = NULL;
}
