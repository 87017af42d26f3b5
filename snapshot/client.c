/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Finding, listing and removing clients.
 */
#include "snapshot/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client_internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "names.h"

static int no_such_client(const char *what, struct cow_err *err)
{
	return cow_err_hint(err, cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT, "no client %s", what),
			    "'cowherd client list' shows them, 'cowherd client add' makes one");
}

static int client_dir(struct cow_store *s, const char *id)
{
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	return clients < 0 ? clients : cow_opendir_at(clients, id);
}

int cow_client_load(struct cow_store *s, const struct cow_mac *mac, struct cow_client **ret,
		    struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_mac_text(mac, id);
	cow_autoclose int dir = client_dir(s, id);
	if (dir == -ENOENT)
		return no_such_client(id, err);
	if (dir < 0)
		return cow_err_set(err, dir, "open client %s", id);
	return cow_client_read(dir, id, ret, err);
}

/* ---------------------------------------------------------------- listing */

static int each_one(struct cow_store *s, const char *id,
		    int (*fn)(void *ctx, const struct cow_client *c, const char *id,
			      const struct cow_err *why),
		    void *ctx)
{
	struct cow_err why = COW_ERR_INIT;
	struct cow_mac mac;
	cow_autoclient c = NULL;
	if (strlen(id) != COW_MAC_TEXT_LEN || cow_mac_parse(id, COW_MAC_TEXT_LEN, &mac) < 0)
		return 0;
	cow_autoclose int dir = client_dir(s, id);
	if (dir == -ENOENT)
		return 0; /* removed meanwhile */
	int r = dir < 0 ? cow_err_set(&why, dir, "open client %s", id)
			: cow_client_read(dir, id, &c, &why);
	return r < 0 ? fn(ctx, NULL, id, &why) : fn(ctx, c, id, NULL);
}

int cow_client_each(struct cow_store *s,
		    int (*fn)(void *ctx, const struct cow_client *c, const char *id,
			      const struct cow_err *why),
		    void *ctx, struct cow_err *err)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	int r = cow_names_read(s->fd, "clients", &names);
	if (r < 0)
		return cow_err_set(err, r, "list the clients of '%s'", s->path);
	for (size_t i = 0; i < names.n; i++) {
		r = each_one(s, names.name[i], fn, ctx);
		if (r)
			return r;
	}
	return 0;
}

/* ---------------------------------------------------------------- by name */

struct by_name {
	const char *name;
	struct cow_mac mac;
	int found;
};

static int match_name(void *ctx, const struct cow_client *c, const char *id,
		      const struct cow_err *why)
{
	struct by_name *b = ctx;
	(void)id;
	(void)why; /* a damaged client has no name to be found by */
	if (!c || strcmp(c->name, b->name) != 0)
		return 0;
	b->mac = c->mac;
	b->found = 1;
	return 1;
}

int cow_client_find(struct cow_store *s, const char *mac_or_name, struct cow_client **ret,
		    struct cow_err *err)
{
	struct by_name b = {.name = mac_or_name};
	if (cow_mac_parse(mac_or_name, strlen(mac_or_name), &b.mac) == 0)
		return cow_client_load(s, &b.mac, ret, err);
	if (cow_hostname_check(mac_or_name) < 0)
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL,
				   "%s is neither a MAC address nor a client's name",
				   COW_Q(mac_or_name));
	int r = cow_client_each(s, match_name, &b, err);
	if (r < 0)
		return r;
	return b.found ? cow_client_load(s, &b.mac, ret, err)
		       : no_such_client(COW_Q(mac_or_name), err);
}

/* ---------------------------------------------------------------- locks */

int cow_client_lock(struct cow_store *s, const char *id, unsigned wait_ms, int *ret_lock,
		    struct cow_err *err)
{
	struct stat mine, now;
	cow_autoclose int dir = client_dir(s, id);
	if (dir == -ENOENT)
		return no_such_client(id, err);
	if (dir < 0)
		return cow_err_set(err, dir, "open client %s", id);
	cow_autoclose int lock = cow_lock_at(dir, COW_CLIENT_LOCK_NAME, wait_ms);
	if (lock < 0)
		return cow_err_set(err, lock, "lock client %s", id);
	/* It may have been removed, and made anew, while we waited. */
	cow_autoclose int again = client_dir(s, id);
	if (again < 0 && again != -ENOENT)
		return cow_err_set(err, again, "open client %s", id);
	if (again >= 0 && (fstat(dir, &mine) < 0 || fstat(again, &now) < 0))
		return cow_err_set(err, -errno, "look at client %s", id);
	if (again < 0 || mine.st_ino != now.st_ino)
		return no_such_client(id, err);
	*ret_lock = cow_steal_fd(&lock);
	return cow_steal_fd(&dir);
}

int cow_client_is_running(struct cow_store *s, const struct cow_mac *mac, int64_t *ret_ago_s,
			  struct cow_err *err)
{
	struct cow_client_state state;
	int r = cow_client_state_read(s, mac, &state, err);
	if (r < 0)
		return r;
	int64_t age = cow_realtime_s() - state.nfs_s;
	if (!state.nfs_s || age > COW_CLIENT_RUNNING_S)
		return 0;
	*ret_ago_s = age > 0 ? age : 0;
	return 1;
}

/* A root that cannot be looked at is not mounted; the caller finds out what is wrong with it. */
int cow_client_refuse_mounted(struct cow_store *s, const struct cow_mac *mac, const char *doing,
			      struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1], who[COW_OVL_HOLDER_MAX];
	if (cow_client_holder(s, mac, who) < 0 ||
	    strncmp(who, COW_CLIENT_MOUNT_HOLDER, strlen(COW_CLIENT_MOUNT_HOLDER)) != 0)
		return 0;
	cow_mac_text(mac, id);
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_BUSY, -EBUSY,
					"will not %s client %s: its root is mounted (%s)", doing,
					id, who),
			    "unmount it first: cowherd client unmount %s; or give --now", id);
}

int cow_client_refuse_running(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
			      const char *doing, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int64_t ago_s = 0;
	if (flags & COW_SWAP_NOW)
		return 0;
	int r = cow_client_refuse_mounted(s, mac, doing, err);
	if (r == 0)
		r = cow_client_is_running(s, mac, &ago_s, err);
	if (r <= 0)
		return r;
	cow_mac_text(mac, id);
	return cow_err_hint(
	    err,
	    cow_err_say(err, COW_ERR_BUSY, -EBUSY,
			"will not %s client %s: it runs (its root was used %lld s ago)", doing, id,
			(long long)ago_s),
	    "shut it down first, or give --now: it then loses its root under its "
	    "feet and must reboot");
}

/* ---------------------------------------------------------------- removal */

static int rm_locked(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		     struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int lock = -1;
	cow_mac_text(mac, id);
	cow_autoclose int store_lock = cow_store_lock(s, err);
	if (store_lock < 0)
		return store_lock;
	cow_autoclose int dir = cow_client_lock(s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	if (dir < 0)
		return dir;
	int r = cow_client_refuse_running(s, mac, flags, "remove", err);
	if (r < 0)
		return r;
	cow_autoclose int clients = cow_opendir_at(s->fd, "clients");
	r = clients < 0 ? clients : cow_trash_put(s, clients, id);
	if (r == 0)
		r = cow_fsync_dir_at(clients, ".");
	return r < 0 ? cow_err_set(err, r, "remove client %s", id) : 0;
}

int cow_client_rm(struct cow_store *s, const struct cow_mac *mac, unsigned flags,
		  struct cow_err *err)
{
	int r = rm_locked(s, mac, flags, err);
	if (r < 0)
		return r;
	r = cow_trash_empty(s);
	return r < 0 ? cow_err_set(err, r,
				   "delete the roots of the removed client (the rest of them "
				   "is in the trash)")
		     : 0;
}
