/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * clients/ID/next: a swap that is to be done when the machine boots next, "what = roll", "to = NAME@VERSION" and
 * so on. Replaced by rename and synced; removed when it is done. The root it makes holds its order, so that one
 * that a crash left behind is known to be done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"
#include "common/checked.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "keep.h"
#include "next_rebase.h"

static const char *const names[] = {
    [COW_SWAP_NONE] = "nothing",      [COW_SWAP_RESET] = "reset", [COW_SWAP_ROLL] = "roll",
    [COW_SWAP_ROLLBACK] = "rollback", [COW_SWAP_BOOT] = "boot",
};

const char *cow_swap_name(enum cow_swap_what what)
{
	return (unsigned)what <= COW_SWAP_BOOT ? names[what] : "unknown";
}

/* ---------------------------------------------------------------- the record */

static void take(const struct cow_kv *kv, const char *key, char *to, size_t room)
{
	const char *value = cow_kv_get(kv, "", key);
	if (value && strlen(value) < room)
		(void)snprintf(to, room, "%s", value);
}

/* Return: false: it says nothing that could be done. */
static bool parse(const struct cow_kv *kv, struct cow_next *ret)
{
	struct cow_next n = {.what = COW_SWAP_NONE};
	uint64_t root = 0, since = 0, failed = 0;
	int rebase = 0, held = 0;
	const char *what = cow_kv_get(kv, "", "what");
	for (unsigned k = COW_SWAP_RESET; what && k <= COW_SWAP_ROLLBACK; k++)
		if (strcmp(what, names[k]) == 0)
			n.what = (enum cow_swap_what)k;
	take(kv, "to", n.to, sizeof(n.to));
	take(kv, "keep", n.keep, sizeof(n.keep));
	take(kv, "follow", n.follow, sizeof(n.follow));
	take(kv, "order", n.order, sizeof(n.order));
	if (cow_kv_get_u64(kv, "", "root", 0, UINT32_MAX, &root, NULL) < 0 ||
	    cow_kv_get_u64(kv, "", "since", 0, INT64_MAX, &since, NULL) < 0 ||
	    cow_kv_get_u64(kv, "", "failed", 0, INT64_MAX, &failed, NULL) < 0 ||
	    cow_kv_get_switch(kv, "", "rebase", &rebase, NULL) < 0 ||
	    cow_kv_get_switch(kv, "", "held", &held, NULL) < 0)
		return false;
	take(kv, "why", n.why, sizeof(n.why));
	n.root = (unsigned)root;
	n.since_s = (int64_t)since;
	n.failed_s = (int64_t)failed;
	n.rebase = rebase;
	n.held = held;
	*ret = n;
	return n.what != COW_SWAP_NONE && *n.order && (n.what != COW_SWAP_ROLL || *n.to);
}

/* Did the current root come of this order? -> 1 0 -errno */
static int is_done(int client_dir, const struct cow_next *n, struct cow_err *err)
{
	struct cow_root root;
	unsigned current = 0;
	int r = cow_client_current(client_dir, &current);
	cow_autoclose int dir = r < 0 ? r : cow_client_root_dir(client_dir, current);
	if (dir < 0)
		return cow_err_set(err, dir, "open its root");
	r = cow_root_read(dir, &root, err);
	return r < 0 ? r : strcmp(root.order, n->order) == 0;
}

/* Done or not. ret->what is COW_SWAP_NONE where there is none. */
static int read_any(int client_dir, struct cow_next *ret, struct cow_err *err)
{
	cow_autokv kv = NULL;
	struct cow_err why = COW_ERR_INIT;
	struct cow_next n;
	*ret = (struct cow_next){.what = COW_SWAP_NONE};
	int r = cow_kv_read_at(client_dir, COW_NEXT_NAME, &kv, &why);
	/* Damage is no order: a machine must not fail to boot for want of one. */
	if (r == -ENOENT || r == -EBADMSG || r == -EINVAL || r == -EFBIG)
		return 0;
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	if (parse(kv, &n))
		*ret = n;
	return 0;
}

int cow_next_read(int client_dir, struct cow_next *ret, struct cow_err *err)
{
	int r = read_any(client_dir, ret, err);
	if (r == 0 && ret->what != COW_SWAP_NONE && is_done(client_dir, ret, NULL) > 0)
		*ret = (struct cow_next){.what = COW_SWAP_NONE};
	return r;
}

int cow_next_finish(int client_dir, struct cow_err *err)
{
	struct cow_next n;
	int r = read_any(client_dir, &n, err);
	int done = r == 0 && *n.follow ? is_done(client_dir, &n, err) : r;
	r = done > 0 ? cow_client_key_write(client_dir, "follows", n.follow, err) : done;
	if (r < 0)
		return r;
	r = cow_next_drop(client_dir);
	return r < 0 ? cow_err_set(err, r, "remove what was ordered") : 0;
}

int cow_next_drop(int client_dir)
{
	return unlinkat(client_dir, COW_NEXT_NAME, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* One line of a record, cut to what cow_next has room for. */
static void line_of(const char *why, char ret[sizeof(((struct cow_next *)NULL)->why)])
{
	size_t room = sizeof(((struct cow_next *)NULL)->why);
	(void)snprintf(ret, room, "%s", why);
	for (char *p = ret; (p = strchr(p, '\n'));)
		*p = ' ';
}

void cow_next_failed(int client_dir, bool hold, const char *why)
{
	char text[sizeof(((struct cow_next *)NULL)->why)];
	cow_autokv kv = NULL;
	line_of(why, text);
	int r = cow_kv_read_at(client_dir, COW_NEXT_NAME, &kv, NULL);
	if (r == 0)
		r = cow_kv_setf(kv, "", "failed", "%lld", (long long)cow_realtime_s());
	if (r == 0)
		r = cow_kv_set(kv, "", "why", text);
	if (r == 0 && hold)
		r = cow_kv_set(kv, "", "held", "yes");
	if (r == 0)
		r = cow_kv_write_at(client_dir, COW_NEXT_NAME, kv, 0644, NULL);
	if (r < 0 && r != -ENOENT) /* else it was done, but for something that came after */
		cow_log(COW_LOG_WARNING, "cannot record that an order for a boot failed: %s",
			strerrorname_np(-r));
}

static int write_next(int dir, const struct cow_next *n, const struct cow_rebase_opts *rebase,
		      struct cow_err *err)
{
	cow_autokv kv = NULL;
	int r = cow_kv_new(&kv);
	if (r == 0)
		r = cow_kv_set(kv, "", "what", cow_swap_name(n->what));
	if (r == 0 && *n->to)
		r = cow_kv_set(kv, "", "to", n->to);
	if (r == 0 && n->root)
		r = cow_kv_setf(kv, "", "root", "%u", n->root);
	if (r == 0 && *n->keep)
		r = cow_kv_set(kv, "", "keep", n->keep);
	if (r == 0 && *n->follow)
		r = cow_kv_set(kv, "", "follow", n->follow);
	if (r == 0)
		r = cow_kv_setf(kv, "", "since", "%lld", (long long)n->since_s);
	if (r == 0)
		r = cow_kv_set(kv, "", "order", n->order);
	if (r < 0)
		return cow_err_set(err, r, "write '" COW_NEXT_NAME "'");
	r = rebase ? cow_next_rebase_put(kv, rebase, err) : 0;
	return r < 0 ? r : cow_kv_write_at(dir, COW_NEXT_NAME, kv, 0644, err);
}

/* ---------------------------------------------------------------- ordering */

static int want_roll(struct cow_store *s, const struct cow_client *c, const struct cow_swap *o,
		     struct cow_next *n, struct cow_err *err)
{
	cow_autoimage image = NULL;
	int r = cow_image_find(s, o->to ? o->to : c->follows, &image, err);
	if (r == 0)
		r = cow_image_check_backend(s, image, c->backend, err);
	if (r < 0)
		return r;
	(void)snprintf(n->to, sizeof(n->to), "%s@%u", image->name, image->version);
	return strcmp(image->name, c->image) == 0 && image->version == c->version;
}

static int want_rollback(const struct cow_client *c, const struct cow_swap *o, int dir,
			 struct cow_next *n, struct cow_err *err)
{
	n->root = o->root ? o->root : c->previous;
	if (!n->root)
		return cow_client_no_previous(err);
	cow_autoclose int root = cow_client_root_dir(dir, n->root);
	return root == -ENOENT || n->root > c->highest || n->root == c->root
		   ? cow_client_no_root(c, n->root, err)
		   : (root < 0 ? cow_err_set(err, root, "open root %u", n->root) : 0);
}

static int want(struct cow_store *s, const struct cow_client *c, const struct cow_swap *o, int dir,
		struct cow_next *n, struct cow_err *err)
{
	const char *keep = o->flags & COW_SWAP_FACTORY ? COW_KEEP_NONE : o->keep;
	int r = keep ? cow_keep_check(s, keep, err) : 0;
	if (r == 0)
		r = cow_client_follow_check(s, c->id, o->follow, err);
	if (r == 0 && o->rebase && c->ephemeral)
		r = cow_err_say(err, COW_ERR_REFUSED, -EPERM,
				"it is ephemeral: what it changed is gone when it boots");
	if (r < 0)
		return r;
	if (keep && strlen(keep) >= sizeof(n->keep))
		return cow_err_say(err, COW_ERR_USAGE, -EINVAL, "too many keep-lists");
	(void)snprintf(n->keep, sizeof(n->keep), "%s", keep ? keep : "");
	(void)snprintf(n->follow, sizeof(n->follow), "%s", o->follow ? o->follow : "");
	if (o->what == COW_SWAP_ROLL)
		return want_roll(s, c, o, n, err);
	return o->what == COW_SWAP_ROLLBACK ? want_rollback(c, o, dir, n, err) : 0;
}

static int order_locked(struct cow_store *s, const char *id, const struct cow_swap *order,
			struct cow_err *err)
{
	int lock = -1;
	cow_autoclient c = NULL;
	struct cow_next n = {.what = order->what, .since_s = cow_realtime_s()};
	cow_autoclose int store_lock = cow_store_lock(s, err); /* so that the image stays */
	if (store_lock < 0)
		return store_lock;
	cow_autoclose int dir = cow_client_lock(s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	if (dir < 0)
		return dir;
	int r = cow_client_read(dir, id, &c, err);
	if (r == 0)
		r = want(s, c, order, dir, &n, err);
	if (r > 0 && order->follow) { /* it has that version already */
		int set = cow_client_key_write(dir, "follows", order->follow, err);
		r = set < 0 ? set : r;
	}
	if (r == 0)
		r = cow_random_hex(n.order);
	if (r == 0)
		r = write_next(dir, &n, order->rebase, err);
	return r;
}

/* Without the locks: it may take its time. */
static int plan_rebase(struct cow_store *s, const struct cow_swap *order, struct cow_err *err)
{
	if (!order->rebase)
		return 0;
	struct cow_rebase_opts opts = *order->rebase;
	opts.flags |= COW_REBASE_RUNNING;
	return cow_client_rebase_plan(s, &order->mac, order->to, &opts, err);
}

int cow_client_next_set(struct cow_store *s, const struct cow_swap *order, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	cow_mac_text(&order->mac, id);
	if (order->rebase && order->what != COW_SWAP_ROLL)
		return cow_err_set(err, -EINVAL, "order a rebase of client %s", id);
	int r = plan_rebase(s, order, err);
	if (r == 0)
		r = order_locked(s, id, order, err);
	return r < 0 ? cow_err_prefix(err, r, "%s client %s at its next boot",
				      cow_swap_name(order->what), id)
		     : r;
}

int cow_client_next_cancel(struct cow_store *s, const struct cow_mac *mac, struct cow_err *err)
{
	char id[COW_MAC_TEXT_LEN + 1];
	int lock = -1;
	cow_autoclient c = NULL;
	cow_mac_text(mac, id);
	cow_autoclose int dir = cow_client_lock(s, id, COW_LOCK_WAIT_MS, &lock, err);
	cow_autoclose __attribute__((unused)) int held = lock; /* given back with the scope */
	if (dir < 0)
		return dir;
	int r = cow_client_read(dir, id, &c, err);
	if (r < 0)
		return r;
	if (c->next.what == COW_SWAP_NONE)
		return cow_err_say(err, COW_ERR_NOT_FOUND, -ENOENT,
				   "nothing is to be done at the next boot of client %s", id);
	r = cow_next_drop(dir);
	if (r == 0)
		r = cow_fsync_dir_at(dir, ".");
	return r < 0 ? cow_err_set(err, r,
				   "cancel what is to be done at the next boot of client %s", id)
		     : 0;
}
