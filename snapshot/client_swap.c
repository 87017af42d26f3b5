/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Reset and rollback.
 *
 * What a crash leaves, by step of a reset:
 *	1 roots/.new-HEX or roots/N	not referred to, swept
 *	2 `current` swapped		the new root counts; `epoch` is repaired by the sweep and
 *					at attach
 *	3 `epoch` written		done; the root before the previous one is swept
 *	4 that one is in the trash	deleted by the command's end or the next sweep
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client_internal.h"
#include "common/clock.h"
#include "common/checked.h"
#include "common/fs.h"
#include "names.h"

#define RELEASE_WAIT_MS 3000
#define RELEASE_PAUSE_MS 50

/* One above everything there is, so that a number names one root for ever. */
static int next_root(int client_dir, unsigned *ret)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	uint64_t highest = 0, n;
	int r = cow_names_read(client_dir, "roots", &names);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.n; i++)
		if (cow_parse_u64(names.name[i], 1, UINT32_MAX - 1, &n) == 0 && n > highest)
			highest = n;
	*ret = (unsigned)highest + 1;
	return 0;
}

static int swap_current(int client_dir, unsigned n, struct cow_err *err)
{
	char target[32];
	(void)snprintf(target, sizeof(target), "roots/%u", n);
	/* I2: the root is on disk before anything refers to it */
	if (syncfs(client_dir) < 0)
		return cow_err_set(err, -errno, "write root %u to disk", n);
	int r = cow_symlink_swap_at(client_dir, target, "current");
	return r < 0 ? cow_err_set(err, r, "swap to root %u", n) : 0;
}

static int reset_locked(struct cow_store *s, int dir, const struct cow_client *c,
			struct cow_err *err)
{
	cow_autoimage image = NULL;
	unsigned n;
	int r = cow_image_find(s, c->follows, &image, err);
	if (r < 0)
		return cow_err_prefix(err, r, "client %s follows %s", c->id, c->follows);
	r = next_root(dir, &n);
	cow_autoclose int roots = r < 0 ? r : cow_opendir_at(dir, "roots");
	if (roots < 0)
		return cow_err_set(err, roots, "open the roots of client %s", c->id);
	r = cow_client_make_root(s, roots, n, c, image, c->root, err);
	if (r < 0)
		return r;
	r = swap_current(dir, n, err);
	return r < 0 ? r : cow_client_epoch_repair(dir, err);
}

/* The caller's steps around every swap. @fn runs with STORE/lock and the client's lock held. */
static int swap(struct cow_store *s, const struct cow_mac *mac, unsigned flags, const char *doing,
		int (*fn)(struct cow_store *s, int dir, const struct cow_client *c,
			  struct cow_err *err),
		struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int lock = -1;
	cow_autoclient c = NULL;
	cow_autoclient after = NULL;
	cow_mac_text(mac, id);
	if (flags & ~(unsigned)COW_SWAP_NOW)
		return cow_err_set(err, -EINVAL, "%s client %s: flags %#x", doing, id, flags);

	cow_autoclose int store_lock = cow_store_lock(s, err);
	if (store_lock < 0)
		return store_lock;
	cow_autoclose int dir = cow_client_lock(s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	if (dir < 0)
		return dir;
	int r = cow_client_refuse_running(s, mac, flags, doing, err);
	if (r == 0)
		r = cow_client_read(dir, id, &c, err);
	if (r == 0)
		r = fn(s, dir, c, err);
	if (r < 0)
		return cow_err_prefix(err, r, "%s client %s", doing, id);

	(void)close(cow_steal_fd(&store_lock)); /* what is out of use hinders nobody */
	r = cow_client_read(dir, id, &after, err);
	if (r == 0)
		r = cow_client_sweep_roots(s, dir, after->root, after->previous);
	return r < 0 ? cow_err_set(err, r,
				   "the swap is done, but removing the old root of client %s", id)
		     : 0;
}

int cow_client_reset(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		     struct cow_err *err)
{
	return swap(s, mac, flags, "reset", reset_locked, err);
}

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
		if (r != -EBUSY || cow_now_ms() >= end) {
			if (err)
				*err = why;
			break;
		}
		(void)nanosleep(&pause, NULL);
	}
	if (r != -EBUSY)
		return r;
	if (cow_ovl_inst_holder(root, who) < 0 || !*who)
		(void)snprintf(who, sizeof(who), "somebody");
	return cow_err_say(err, COW_ERR_BUSY, r, "%s still holds root %u; try again in a moment",
			   who, n);
}

static int rollback_locked(struct cow_store *s, int dir, const struct cow_client *c,
			   struct cow_err *err)
{
	struct cow_root root;
	(void)s;
	if (!c->previous)
		return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
				   "there is no root to go back to: it has not been reset yet");
	cow_autoclose int prev = cow_client_root_dir(dir, c->previous);
	if (prev < 0)
		return cow_err_set(err, prev, "open root %u", c->previous);
	int r = cow_root_read(prev, &root, err);
	if (r == 0)
		r = renew(prev, c->previous, err);
	if (r < 0)
		return r;
	root.previous = c->root;
	root.swapped_s = cow_realtime_s();
	r = cow_root_write(prev, &root, COW_PUT_DURABLE, err);
	if (r == 0)
		r = swap_current(dir, c->previous, err);
	return r < 0 ? r : cow_client_epoch_repair(dir, err);
}

int cow_client_rollback(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			struct cow_err *err)
{
	return swap(s, mac, flags, "roll back", rollback_locked, err);
}
