/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * When does a boot begin? A board or PC asks for many files; one of a few names, after it was
 * silent for a while, is a new boot. A pure function over time.
 */
#ifndef COW_TFTP_SESSION_H
#define COW_TFTP_SESSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define COW_TFTP_SESSION_IDLE_MS 30000u

struct cow_tftp_session {
	uint64_t seen_ms; /* last request; 0: never */
	bool announced;	  /* the boot of this session was reported */
	struct in_addr addr;
};

/*
 * cow_tftp_session_note - a request of this client for @path.
 * Return: true: a boot begins with it (once per session; again when the address changed).
 */
bool cow_tftp_session_note(struct cow_tftp_session *s, struct in_addr addr, const char *path,
			   uint64_t now_ms);

#endif
