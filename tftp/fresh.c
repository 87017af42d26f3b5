/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Clients that get another root when they boot: a fresh one each time (`ephemeral = yes`), or what an administrator ordered
 * (clients/ID/next). The supervisor makes it: this process writes nothing.
 * Until it is there the machine is not answered, so that all it boots from is of the new root; it asks again
 * after a second or two. A boot destroys what the root held, so only who is that machine for certain, by the
 * neighbour table, starts one; or who is believed everything (COW_TFTP_TRUST_OPEN).
 */
#include "files.h"

#include <errno.h>

#include "common/clock.h"
#include "common/fields.h"
#include "common/log.h"
#include "pin.h"

/* Boards give up after half a minute, ROMs of PCs earlier. The supervisor stops a second before, see COW_FRESH_MS. */
#define FRESH_WAIT_MS 6000u

static bool tell(const struct cow_tftp_files *f, const char *mac)
{
	struct cow_fields line;

	cow_fields_begin(&line, "fresh");
	cow_fields_add_u64(&line, "v", 1);
	cow_fields_add(&line, "mac", mac);
	/* It may be busy; what comes too late for this boot must not come at all. */
	cow_fields_add_u64(&line, "at", cow_now_ms());
	int n = cow_fields_end(&line);

	return n > 0 && f->site.event_fd >= 0 && write(f->site.event_fd, line.line, (size_t)n) == n;
}

void cow_tftp_fresh_ask(struct cow_tftp_files *f, const struct cow_tftp_who *who,
			struct cow_tftp_client *c)
{
	const struct cow_client *conf = c->pin->conf; /* read when the boot began */

	bool ordered = conf->next.what != COW_SWAP_NONE && !conf->next.held;
	if (!conf->ephemeral && !ordered)
		return;
	if (f->site.trust != COW_TFTP_TRUST_OPEN && !cow_tftp_is_sender(f, who, &c->conf->mac)) {
		cow_log(COW_LOG_NOTICE,
			"client=%s keeps its root: it is not on this link, so it may be another "
			"machine",
			c->conf->id);
		return;
	}
	c->stale_epoch = *c->epoch;
	if (tell(f, c->conf->id))
		c->waits_ms = who->now_ms;
	else
		cow_log(COW_LOG_WARNING,
			"client=%s keeps its root: there is nobody to make another", c->conf->id);
}

int cow_tftp_fresh_wait(struct cow_tftp_client *c, uint64_t now_ms)
{
	if (c->waits_ms == 0)
		return 0;
	if (*c->epoch != c->stale_epoch) {
		c->waits_ms = 0;
		return 1;
	}
	if (now_ms - c->waits_ms < FRESH_WAIT_MS)
		return -EINPROGRESS;
	cow_log(COW_LOG_WARNING, "client=%s keeps its root: no other was made in time",
		c->conf->id);
	c->waits_ms = 0;
	return 0;
}
