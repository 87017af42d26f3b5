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
#include "common/fields.h"
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

/* The NFS server counts them in the clients' states; what came since is an event. */
static void tell_refused(struct cow_serve *s, const struct cow_herd *now)
{
	for (size_t i = 0; s->herd && i < now->clients; i++) {
		const struct cow_herd_client *c = &now->client[i];
		const struct cow_herd_client *old = cow_herd_find(s->herd, c->id);
		char count[24];

		if (!old || c->refused <= old->refused)
			continue;
		(void)snprintf(count, sizeof(count), "%llu",
			       (unsigned long long)(c->refused - old->refused));
		cow_serve_event(s, "refused", "client", c->id, "name", c->name, "addr",
				c->refused_addr, "count", count, NULL);
	}
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
	tell_refused(s, h);
	r = update_hosts(s, h, err);
	if (r == 0 && s->exports && (r = cow_exports_want(s->exports, h)) < 0)
		return cow_err_set(err, r, "write '%s/exports.conf'", s->paths.run);
	if (r < 0)
		return r;
	if (s->enrol)
		cow_enrol_clients(s->enrol, h);
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
	if (s->config->dhcp_mode == COW_DHCP_FULL)
		cow_serve_leases_look(s);
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
	cow_serve_event(s, "boot", "client", id, "name", c->name, "addr", e->addr, "file", e->file,
			NULL);
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

/* A board's serial number, first seen together with its Ethernet address: from now on one is not believed
 * without the other. */
static int learn_serial(struct cow_serve *s, const char *line)
{
	struct cow_err err = COW_ERR_INIT;
	char id[COW_MAC_TEXT_LEN + 1], serial[16];
	struct cow_mac mac;
	cow_autoclient c = NULL;

	if (cow_fields_get(line, "mac", id, sizeof(id)) < 0 ||
	    cow_mac_parse(id, strlen(id), &mac) < 0 ||
	    cow_fields_get(line, "serial", serial, sizeof(serial)) < 0)
		return -EINVAL;
	int r = cow_client_load(s->store, &mac, &c, &err);

	if (r == -ENOENT || (r == 0 && c->serial && *c->serial))
		return 0; /* removed, or configured meanwhile */
	if (r == 0)
		r = cow_client_set(s->store, &mac, "serial", serial, &err);
	if (r < 0 || !c) {
		cow_log(COW_LOG_WARNING, "client='%s' does not get serial number %s: %s", id,
			COW_Q(serial), cow_err_str(&err));
		return 0;
	}
	cow_log(COW_LOG_INFO, "client='%s' name=%s has serial number %s", id, COW_Q(c->name),
		serial);
	cow_serve_event(s, "learn", "client", id, "name", c->name, "serial", serial, NULL);
	return 0;
}

/* Its export is there before it asks again, a second or two from now. */
static int stranger(struct cow_serve *s, const char *line)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_mac mac;
	int r = cow_enrol_stranger(s->enrol, s->herd, line, &mac);

	if (r > 0 && cow_serve_refresh(s, &err) < 0)
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
	return r < 0 ? r : 0;
}

static void take_line(struct cow_serve *s, const char *line)
{
	struct cow_boot_event e;

	int r = 0;

	if (cow_fields_is(line, "session"))
		r = cow_report_session(s->report, s->herd, line);
	else if (cow_fields_is(line, "request"))
		r = cow_report_request(s->report, s->herd, line);
	else if (cow_fields_is(line, "stranger"))
		r = stranger(s, line);
	else if (cow_fields_is(line, "learn"))
		r = learn_serial(s, line);
	else if (cow_fields_is(line, "fresh"))
		r = cow_serve_fresh(s, line);
	else if ((r = cow_boot_event_parse(line, &e)) == 0)
		booted(s, &e);
	if (r == -EINVAL)
		cow_log(COW_LOG_WARNING, "odd event from the TFTP server: %s", COW_Q(line));
	else if (r < 0 && r != -ENOENT) /* a client that was removed meanwhile */
		cow_log(COW_LOG_WARNING, "cannot record a boot: %s", strerrorname_np(-r));
}

/* Return: false when there is nothing. */
static bool take_events(struct cow_serve *s)
{
	char *nl;
	ssize_t n = read(s->event_fd[0], s->event_line + s->event_len,
			 sizeof(s->event_line) - 1 - s->event_len);
	if (n <= 0)
		return false;
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
	return true;
}

static void on_events(void *ctx, uint32_t events)
{
	(void)events;
	(void)take_events(ctx);
}

int cow_serve_clients_start(struct cow_serve *s, struct cow_err *err)
{
	s->events = (struct cow_watch){.fd = s->event_fd[0], .fn = on_events, .ctx = s};
	int r = cow_loop_watch(s->loop, &s->events, EPOLLIN);
	if (r == 0)
		r = cow_enrol_new(s->loop, s->store, s->config, &s->enrol);
	if (r == 0)
		r = cow_report_new(s->loop, s->store, &s->report);
	if (r == 0)
		r = cow_herd_watch_new(s->loop, s->paths.store, on_change, s, &s->herd_watch);
	if (r < 0)
		return cow_err_set(err, r, "watch the store's clients");
	if (s->config->dhcp_mode == COW_DHCP_FULL)
		cow_serve_leases_look(s); /* what is there is no news */
	return cow_serve_refresh(s, err);
}

void cow_serve_clients_stop(struct cow_serve *s)
{
	if (s->events.fn)
		cow_loop_unwatch(s->loop, &s->events);
	while (s->report && take_events(s)) /* what the TFTP server said last */
		;
	cow_enrol_free(s->enrol);
	s->enrol = NULL;
	free(s->leases);
	s->leases = NULL;
	cow_report_free(s->report);
	s->report = NULL;
	cow_herd_watch_free(s->herd_watch);
	s->herd_watch = NULL;
}
