/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Free room, looked at every half minute: crossing a threshold is logged and becomes an event.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "serve.h"
#include "snapshot/space.h"

#define LOOK_MS 30000

static void tell(struct cow_serve *s, const struct cow_space *now)
{
	char free_text[24], total_text[24];

	(void)snprintf(free_text, sizeof(free_text), "%" PRIu64, now->free);
	(void)snprintf(total_text, sizeof(total_text), "%" PRIu64, now->total);
	cow_log(now->level == COW_SPACE_OK ? COW_LOG_NOTICE : COW_LOG_WARNING,
		"store '%s': %" PRIu64 " of %" PRIu64 " MiB free%s", s->paths.store,
		now->free >> 20, now->total >> 20,
		now->level == COW_SPACE_REFUSE
		    ? ", less than [store] space_refuse: no new roots and versions; see cowherd gc"
		: now->level == COW_SPACE_WARN ? ", less than [store] space_warn; see cowherd gc"
					       : ", enough again");
	cow_serve_event(s, "space", "level", cow_space_level_name(now->level), "free", free_text,
			"total", total_text, NULL);
}

static void look(void *ctx)
{
	struct cow_serve *s = ctx;
	struct cow_space now;

	if (cow_store_space(s->store, &now) == 0 && now.level != s->space_level) {
		s->space_level = now.level;
		tell(s, &now);
	}
	cow_loop_timer(s->loop, &s->space_timer, LOOK_MS);
}

void cow_serve_space_start(struct cow_serve *s)
{
	s->space_timer = (struct cow_timer){.fn = look, .ctx = s};
	look(s);
}
