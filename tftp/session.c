/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Boot sessions: see tftp/session.h.
 */
#include "tftp/session.h"

#include <string.h>

#include "tftp/loader.h"
#include "tftp/name.h"

/* Asked by every machine of a kind, early; which comes first differs between boards and firmware.
 */
static bool begins_a_boot(const char *path)
{
	static const char *const names[] = {"config.txt", "cmdline.txt", "bootcode.bin",
					    "start4.elf", "start.elf"};
	const char *name = cow_tftp_basename(path);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return cow_tftp_loader_of(path) != COW_TFTP_LOADER_NONE;
}

bool cow_tftp_session_note(struct cow_tftp_session *s, struct in_addr addr, const char *path,
			   uint64_t now_ms)
{
	bool idle = s->seen_ms == 0 || now_ms - s->seen_ms >= COW_TFTP_SESSION_IDLE_MS;

	if (idle || s->addr.s_addr != addr.s_addr)
		s->announced = false;
	s->seen_ms = now_ms;
	s->addr = addr;
	if (s->announced || !begins_a_boot(path))
		return false;
	s->announced = true;
	return true;
}
