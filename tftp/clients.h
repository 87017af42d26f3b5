/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Clients and their trees, kept at hand: one boot asks for a hundred files, and none of them should
 * read client.conf or attach the tree again. One thread.
 *
 * A *view* is a client's tree at its boot directory, attached as an observer. It is counted:
 * contents on their way keep the view they were opened from, so that a swap of the root in the
 * middle of a file does not tear it. The mapped epoch tells of a swap without a system call.
 */
#ifndef COW_TFTP_CLIENTS_H
#define COW_TFTP_CLIENTS_H

#include <stdint.h>

#include "overlay/overlay.h"
#include "snapshot/client.h"
#include "snapshot/store.h"
#include "tftp/session.h"

struct cow_tftp_pin; /* pin.h */

struct cow_tftp_view {
	unsigned refs;
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *boot; /* boot_dir of the image */
};
struct cow_tftp_view *cow_tftp_view_get(struct cow_tftp_view *v);
void cow_tftp_view_put(struct cow_tftp_view *v); /* NULL is fine */

struct cow_tftp_client {
	struct cow_tftp_client *next;
	struct cow_client *conf;
	struct cow_tftp_view *view;	/* NULL: see view_error */
	int view_error;			/* why the tree could not be attached; logged once */
	int override_fd;		/* STORE/clients/MAC/boot, -1: none */
	const volatile uint64_t *epoch; /* mapped */
	uint64_t view_epoch;
	uint64_t loaded_ms, used_ms;
	struct cow_tftp_session session;
	struct cow_tftp_pin *pin; /* what this session's files come from; NULL: no session yet */
	uint64_t waits_ms;	  /* since then for another epoch than stale_epoch; 0: does not */
	uint64_t stale_epoch;
};

struct cow_tftp_clients;

int cow_tftp_clients_new(struct cow_store *store,
			 struct cow_tftp_clients **ret); /* borrows @store */
void cow_tftp_clients_free(struct cow_tftp_clients *cs);

/*
 * cow_tftp_clients_by_mac - the client, its record at most two seconds old and its view that of the
 * current root. Borrowed until the next call. Return: 0; -ENOENT no such client; -errno.
 */
int cow_tftp_clients_by_mac(struct cow_tftp_clients *cs, const struct cow_mac *mac, uint64_t now_ms,
			    struct cow_tftp_client **ret);

/* By the serial number in client.conf; reads all records when it must, at most every two seconds.
 */
int cow_tftp_clients_by_serial(struct cow_tftp_clients *cs, const char *serial, uint64_t now_ms,
			       struct cow_tftp_client **ret);

/* Who is told that a session is over, before it is forgotten. */
void cow_tftp_clients_on_over(struct cow_tftp_clients *cs,
			      void (*over)(void *ctx, struct cow_tftp_pin *p), void *ctx);

/* The session with this id, see cow_tftp_pin; NULL: it is over. */
struct cow_tftp_pin *cow_tftp_clients_session(struct cow_tftp_clients *cs, uint64_t id);

/* All clients at hand. */
void cow_tftp_clients_each(struct cow_tftp_clients *cs,
			   void (*fn)(void *ctx, struct cow_tftp_client *c), void *ctx);

/*
 * cow_tftp_clients_pin - a session begins: its record and view are those of now until the next call.
 * Return: 0; -errno, and the client has no pin.
 */
int cow_tftp_clients_pin(struct cow_tftp_clients *cs, struct cow_tftp_client *c);

/* Forget clients whose session is over and that have been idle for a minute. */
void cow_tftp_clients_tick(struct cow_tftp_clients *cs, uint64_t now_ms);

#endif
