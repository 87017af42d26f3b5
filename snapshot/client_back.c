/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making a root that is kept ready to be the current one again. A crash in the middle leaves a root that is kept,
 * with another epoch.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "client_internal.h"
#include "common/clock.h"

#define RELEASE_WAIT_MS 3000
#define RELEASE_PAUSE_MS 50

/*
 * All handles given out for the root before are dead: the machine that holds one has since booted another
 * root. Who served it until the last swap lets go of it within a second, and after a last sync.
 */
static int renew(int root, unsigned n, struct cow_err *err)
{
	const struct timespec pause = {.tv_nsec = RELEASE_PAUSE_MS * 1000000l};
	char who[COW_OVL_HOLDER_MAX] = "";
	uint64_t end = cow_now_ms() + RELEASE_WAIT_MS;
	int r;
	for (;;) {
		struct cow_err why = COW_ERR_INIT;
		r = cow_ovl_inst_renew(root, NULL, &why);
		if (err)
			*err = why;
		if (r != -EBUSY || cow_now_ms() >= end)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (r != -EBUSY)
		return r;
	if (cow_ovl_inst_holder(root, who) < 0 || !*who)
		(void)snprintf(who, sizeof(who), "somebody");
	return cow_err_say(err, COW_ERR_BUSY, r, "%s still holds root %u; try again in a moment",
			   who, n);
}

int cow_client_no_previous(struct cow_err *err)
{
	return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
			   "there is no root to go back to: it has not been reset yet");
}

int cow_client_no_root(const struct cow_client *c, unsigned n, struct cow_err *err)
{
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
					n == c->root ? "root %u is the one it has"
						     : "it has no root %u to go back to",
					n),
			    "'cowherd client show %s' lists those it has", c->id);
}

int cow_client_go_back(int client_dir, const struct cow_client *c, unsigned want, const char *order,
		       unsigned *ret_n, struct cow_err *err)
{
	struct cow_root root;
	unsigned n = want ? want : c->previous;
	if (!n)
		return cow_client_no_previous(err);
	cow_autoclose int dir = cow_client_root_dir(client_dir, n);
	if (dir == -ENOENT || n > c->highest || n == c->root)
		return cow_client_no_root(c, n, err);
	if (dir < 0)
		return cow_err_set(err, dir, "open root %u", n);
	int r = cow_root_read(dir, &root, err);
	if (r == 0)
		r = renew(dir, n, err);
	if (r < 0)
		return r;
	root.previous = c->root;
	root.highest = c->highest;
	root.swapped_s = cow_realtime_s();
	root.why = COW_WHY_ROLLBACK;
	(void)snprintf(root.order, sizeof(root.order), "%s", order ? order : "");
	r = cow_root_write(dir, &root, COW_PUT_DURABLE, err);
	if (r == 0)
		*ret_n = n;
	return r;
}
