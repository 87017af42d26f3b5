/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Refused requests: who asked for what is not his. Counted where they happen, told by the
 * housekeeping thread: per caller, export and cause at most one line a minute, and not more lines a
 * second than a person can read. Knows no type of the NFS server.
 */
#ifndef COW_FSAL_REFUSE_H
#define COW_FSAL_REFUSE_H

#include <stddef.h>
#include <stdint.h>

enum cow_refuse_cause {
	COW_REFUSE_ADDRESS,   /* the export is not for that address */
	COW_REFUSE_EXPORT,    /* no such export, whatever its number */
	COW_REFUSE_MALFORMED, /* no handle at all, or its signature is wrong */
	COW_REFUSE_STALE,     /* a handle of another root: another client's, or before a reset */
	COW_REFUSE_LISTING,   /* left out of a listing of all exports */
	COW_REFUSE_MORE,      /* one address, and more exports than are named */
	COW_REFUSE_CAUSES
};

/* @addr: text, "" unknown. @export_id: 0 when there is none. Cheap; from any thread, also while the
 * server writes its log. */
void cow_refuse_note(const char *addr, unsigned export_id, enum cow_refuse_cause cause);

/* Tell what is due. Called by the housekeeping thread about once a second. */
void cow_refuse_tick(uint64_t now_ms, void (*log)(const char *text));

/* For tests: forget all, how many are kept at most, and how many lines a call of tick writes. */
void cow_refuse_reset(void);
#define COW_REFUSE_ENTRIES 256u
#define COW_REFUSE_LINES 10u
#define COW_REFUSE_NAMED 16u /* exports and causes of one address that have lines of their own */

#endif
