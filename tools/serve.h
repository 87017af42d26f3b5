/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * `cowherd serve` as a whole: what its parts share. One thread runs all of it; the bus thread
 * (serve_bus.c) sees none of this.
 */
#ifndef COW_TOOLS_SERVE_H
#define COW_TOOLS_SERVE_H

#include "config.h"
#include "serve_child.h"
#include "serve_enrol.h"
#include "serve_env.h"
#include "serve_exports.h"
#include "serve_herd.h"
#include "serve_loop.h"
#include "serve_probe.h"
#include "serve_report.h"
#include "snapshot/space.h"
#include "serve_text.h"
#include "serve_watch.h"
#include "snapshot/events.h"

/* In the order they are started. */
enum cow_service {
	COW_SVC_RPCBIND, /* NFS servers of this kind start only where they can register */
	COW_SVC_DBUS,
	COW_SVC_NFS,
	COW_SVC_TFTP,
	COW_SVC_DHCP,
	COW_SVC_MAX,
};

#define COW_PORTMAP_FDS 5
#define COW_EVENT_LINE_MAX (8 * COW_FIELDS_LINE_MAX) /* what is read at once; more than one line */

struct cow_serve {
	struct cow_config *config;
	struct cow_serve_net net;
	struct cow_serve_paths paths; /* borrowed from the config and from state_dir */
	struct cow_serve_programs programs;
	struct cow_store *store;
	char *state_dir;
	int run_fd;  /* RUN */
	int lock_fd; /* RUN/lock */
	int64_t started_s;

	struct cow_loop *loop;
	struct cow_watch signals;
	pid_t guard;
	int guard_fd;

	struct cow_child child[COW_SVC_MAX];
	bool enabled[COW_SVC_MAX];
	struct cow_timer tick;
	char *arg[24]; /* texts the children's arguments borrow */
	size_t args;
	int portmap_fd[COW_PORTMAP_FDS];
	unsigned portmap_fds;
	struct cow_probe nfs_probe, tftp_probe;
	unsigned nfs_misses;	  /* NULL calls in a row without an answer, once it was up */
	uint64_t nfs_answered_ms; /* first answer in this life; 0: none yet */

	struct cow_herd *herd;
	struct cow_herd_watch *herd_watch;
	struct cow_exports *exports; /* NULL: NFS is off */
	char *hosts_text;	     /* dnsmasq.hosts as last written */
	char herd_error[256];	     /* last failure to read the store, so that it is logged once */

	int event_fd[2]; /* pipe: TFTP server to us */
	struct cow_watch events;
	struct cow_serve_leases *leases; /* at the last look; NULL: none yet */
	struct cow_enrol *enrol;
	struct cow_report *report; /* boots into histories */
	char event_line[COW_EVENT_LINE_MAX];
	size_t event_len;

	struct cow_timer status_timer, space_timer;
	enum cow_space_level space_level; /* as last told */
	bool events_lost; /* one could not be written; said once */
	bool ready;	  /* all answered at least once */
	bool stopping;
	struct cow_err failure; /* why we stop, if not because we were asked to */
};

/* ------------------------------------------------ services (serve_services.c, serve_nfs.c) */

/* Write the configuration files and set up the children; nothing is started yet. */
int cow_serve_prepare(struct cow_serve *s, struct cow_err *err);
void cow_serve_start(struct cow_serve *s);
/* Services of clients first, then what they need; the loop ends when all have. */
void cow_serve_stop(struct cow_serve *s);
/* A child changed state. */
void cow_serve_changed(void *ctx, struct cow_child *c);
/* Ask those that do not answer yet; call it again soon. */
void cow_serve_tick_soon(struct cow_serve *s);

/* The NFS server and what it needs (serve_nfs.c). */
int cow_serve_nfs_prepare(struct cow_serve *s, struct cow_err *err);
void cow_serve_nfs_tick(struct cow_serve *s);
bool cow_serve_dbus_answers(const struct cow_serve *s);
void cow_serve_portmap_close(struct cow_serve *s);

/* An event for the store's log; as cow_store_event(), and a failure is logged. */
#define cow_serve_event(s, ...) cow_serve_event_done(s, cow_store_event((s)->store, __VA_ARGS__))
void cow_serve_event_done(struct cow_serve *s, int r);

/* Tell when free room passes a threshold, from now on (serve_space.c). */
void cow_serve_space_start(struct cow_serve *s);

/* Delete what is in the trash, beside everything else; as often as one likes. */
void cow_serve_tidy(const char *store);

/* "fresh ...": a client boots and is to get another root first (serve_fresh.c). Return: 0; -EINVAL. */
int cow_serve_fresh(struct cow_serve *s, const char *line);

/* Keep a text alive as long as @s; NULL on -ENOMEM. Takes ownership. */
const char *cow_serve_keep(struct cow_serve *s, char *text);
/* Write RUN/name. */
int cow_serve_write(struct cow_serve *s, const char *name, const char *text, struct cow_err *err);

/* ------------------------------------------------ clients (serve_clients.c) */

/* Read the store and carry what changed to exports and DHCP. */
int cow_serve_refresh(struct cow_serve *s, struct cow_err *err);
int cow_serve_clients_start(struct cow_serve *s, struct cow_err *err);
void cow_serve_clients_stop(struct cow_serve *s);

/* What is new in our DHCP server's leases becomes an event (serve_leases.c). */
void cow_serve_leases_look(struct cow_serve *s);

/* ------------------------------------------------ RUN/status (serve_status.c) */

/* Something shown there has changed; it is written within 100 ms. */
void cow_serve_status_dirty(struct cow_serve *s);
void cow_serve_status_write(struct cow_serve *s);

#endif
