/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "refuse.h"

#define AGAIN_MS 60000ull

struct entry {
	char addr[46];
	unsigned export_id;
	enum cow_refuse_cause cause;
	uint64_t untold;  /* refusals since the last line */
	uint64_t told_ms; /* 0: never */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below; takes no other */
static struct entry entries[COW_REFUSE_ENTRIES];
static unsigned used;
static uint64_t unnamed; /* met a full table */

static struct entry *find_locked(const char *addr, unsigned export_id, enum cow_refuse_cause cause)
{
	unsigned same = 0;
	for (unsigned i = 0; i < used; i++) {
		if (strcmp(entries[i].addr, addr) != 0)
			continue;
		if (entries[i].export_id == export_id && entries[i].cause == cause)
			return &entries[i];
		same++;
	}
	if (same >= COW_REFUSE_NAMED && cause != COW_REFUSE_MORE)
		return find_locked(addr, 0, COW_REFUSE_MORE);
	if (used == COW_REFUSE_ENTRIES)
		return NULL;
	struct entry *e = &entries[used++];
	*e = (struct entry){.export_id = export_id, .cause = cause};
	(void)snprintf(e->addr, sizeof(e->addr), "%s", addr);
	return e;
}

void cow_refuse_note(const char *addr, unsigned export_id, enum cow_refuse_cause cause)
{
	pthread_mutex_lock(&lock);
	struct entry *e = find_locked(addr, export_id, cause);
	if (e)
		e->untold++;
	else
		unnamed++;
	pthread_mutex_unlock(&lock);
}

static const char *why(enum cow_refuse_cause cause)
{
	switch (cause) {
	case COW_REFUSE_ADDRESS:
		return "this address may not use it";
	case COW_REFUSE_EXPORT:
		return "there is none of that number";
	case COW_REFUSE_MALFORMED:
		return "no file handle of this export, or one that was changed";
	case COW_REFUSE_STALE:
		return "a file handle of another root, or of one before a reset";
	case COW_REFUSE_LISTING:
		return "names of others were left out";
	case COW_REFUSE_MORE:
	case COW_REFUSE_CAUSES:
		break;
	}
	return "";
}

static void line(const struct entry *e, char *ret, size_t size)
{
	const char *addr = *e->addr ? e->addr : "an unknown address";
	unsigned long long n = e->untold;
	if (e->cause == COW_REFUSE_LISTING)
		(void)snprintf(ret, size, "refused: %s listed the exports, %llu %s", addr, n,
			       why(e->cause));
	else if (e->cause == COW_REFUSE_MORE)
		(void)snprintf(ret, size, "refused: %llu more requests of %s, to other exports", n,
			       addr);
	else if (e->cause == COW_REFUSE_EXPORT)
		(void)snprintf(ret, size, "refused: %llu requests of %s to an export: %s", n, addr,
			       why(e->cause));
	else
		(void)snprintf(ret, size, "refused: %llu request%s of %s to export %u: %s", n,
			       n == 1 ? "" : "s", addr, e->export_id, why(e->cause));
}

/* Forget who was quiet for a minute, so that there is place for others. */
static void sweep_locked(uint64_t now_ms)
{
	for (unsigned i = 0; i < used;) {
		struct entry *e = &entries[i];
		if (!e->untold && now_ms - e->told_ms >= AGAIN_MS)
			*e = entries[--used];
		else
			i++;
	}
}

/* The next one that is due, taken out of @e. Return: 1, 0 none. */
static int next_due(uint64_t now_ms, unsigned *at, struct entry *ret)
{
	int found = 0;
	pthread_mutex_lock(&lock);
	for (; *at < used && !found; ++*at) {
		struct entry *e = &entries[*at];
		found = e->untold && (!e->told_ms || now_ms - e->told_ms >= AGAIN_MS);
		if (!found)
			continue;
		*ret = *e;
		e->untold = 0;
		e->told_ms = now_ms;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void tell_unnamed(void (*log)(const char *text))
{
	char text[96];
	pthread_mutex_lock(&lock);
	unsigned long long n = unnamed;
	unnamed = 0;
	pthread_mutex_unlock(&lock);
	if (!n)
		return;
	(void)snprintf(text, sizeof(text), "refused: %llu more, of too many to name", n);
	log(text);
}

void cow_refuse_tick(uint64_t now_ms, void (*log)(const char *text))
{
	struct entry e;
	char text[256];
	unsigned at = 0, lines = 0;
	while (lines < COW_REFUSE_LINES && next_due(now_ms, &at, &e)) {
		line(&e, text, sizeof(text));
		log(text); /* without the lock: writing the log may note refusals */
		lines++;
	}
	if (lines < COW_REFUSE_LINES)
		tell_unnamed(log);
	pthread_mutex_lock(&lock);
	sweep_locked(now_ms);
	pthread_mutex_unlock(&lock);
}

void cow_refuse_reset(void)
{
	pthread_mutex_lock(&lock);
	used = 0;
	unnamed = 0;
	pthread_mutex_unlock(&lock);
}
