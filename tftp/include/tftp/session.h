/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * When does a boot begin and end? A machine asks for many files; from the pauses between its requests and
 * from the names follows which belong to one boot. A pure function over time.
 */
#ifndef COW_TFTP_SESSION_H
#define COW_TFTP_SESSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* A first name after this long is another boot. Boards repeat a lost request every two seconds. */
#define COW_TFTP_SESSION_IDLE_MS 30000u
/* So is a name that a boot asks for in its first moments alone, when it comes again: a machine that was switched off and on, or whose loader
 * gave up and starts over (five seconds between two attempts). Within one boot the pauses are shorter. */
#define COW_TFTP_SESSION_AGAIN_MS 4000u
/* Whatever is asked for after this long has nothing to do with what was before. */
#define COW_TFTP_SESSION_MAX_IDLE_MS 180000u

struct cow_tftp_session {
	uint64_t seen_ms; /* last request, or last progress of a file; 0: never */
	bool announced;	  /* the boot of this session was reported */
	unsigned first;	  /* private: which name began it; 0: none yet */
	unsigned asked;	  /* private: bits of such names that were asked for */
	struct in_addr addr;
};

enum {
	COW_TFTP_SESSION_NEW =
	    1 << 0, /* what was before is over: files come from what is current now */
	COW_TFTP_SESSION_BOOT = 1 << 1, /* a boot begins with this request; once per session */
};

/*
 * cow_tftp_session_note - a request of this client for @path. Another address is another session.
 * Return: COW_TFTP_SESSION_*.
 */
unsigned cow_tftp_session_note(struct cow_tftp_session *s, struct in_addr addr, const char *path,
			       uint64_t now_ms);

#endif
