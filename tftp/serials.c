/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Serial number to MAC: see serials.h. A few hundred entries, looked up once per request with a
 * serial prefix: a plain array will do.
 */
#include "serials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int cow_tftp_serials_add(struct cow_tftp_serials *s, const char *serial, const struct cow_mac *mac)
{
	if (strlen(serial) != COW_TFTP_SERIAL_LEN)
		return 0;
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		void *p = reallocarray(s->entry, room, sizeof(s->entry[0]));

		if (!p)
			return -ENOMEM;
		s->entry = p;
		s->room = room;
	}
	memcpy(s->entry[s->count].serial, serial, COW_TFTP_SERIAL_LEN + 1);
	s->entry[s->count++].mac = *mac;
	return 0;
}

const struct cow_mac *cow_tftp_serials_find(const struct cow_tftp_serials *s, const char *serial)
{
	for (size_t i = 0; i < s->count; i++) {
		if (strcasecmp(s->entry[i].serial, serial) == 0)
			return &s->entry[i].mac;
	}
	return NULL;
}

void cow_tftp_serials_clear(struct cow_tftp_serials *s, uint64_t now_ms)
{
	s->count = 0;
	s->read_ms = now_ms ? now_ms : 1;
}

bool cow_tftp_serials_stale(const struct cow_tftp_serials *s, uint64_t now_ms, uint64_t fresh_ms)
{
	return s->read_ms == 0 || now_ms - s->read_ms >= fresh_ms;
}

void cow_tftp_serials_done(struct cow_tftp_serials *s)
{
	free(s->entry);
	s->entry = NULL;
}
