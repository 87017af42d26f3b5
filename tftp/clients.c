/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The cache of clients: see clients.h.
 */
#include "clients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/fs.h"
#include "common/log.h"
#include "pin.h"
#include "serials.h"
#include "tftp/limits.h"

#define FRESH_MS 2000u /* how late a change of client.conf may be seen */
#define IDLE_MS 60000u

struct cow_tftp_clients {
	struct cow_store *store;
	struct cow_tftp_client *first; /* most recently used in front */
	unsigned count;
	struct cow_tftp_serials serials;
	void (*over)(void *ctx, struct cow_tftp_pin *p);
	void *over_ctx;
};

/* ---------------------------------------------------------------- views */

struct cow_tftp_view *cow_tftp_view_get(struct cow_tftp_view *v)
{
	v->refs++;
	return v;
}

void cow_tftp_view_put(struct cow_tftp_view *v)
{
	if (!v || --v->refs > 0)
		return;
	cow_ovl_put(v->boot);
	(void)cow_ovl_inst_close(v->inst); /* an observer has nothing to sync */
	free(v);
}

/* Walk to the boot directory, component by component; a link on the way is refused. */
static int find_boot(struct cow_ovl_inst *inst, const char *boot_dir, struct cow_ovl_node **ret)
{
	cow_autonode dir = NULL;
	int r = cow_ovl_root(inst, &dir);

	while (r == 0 && *boot_dir) {
		size_t len = strcspn(boot_dir, "/");
		struct cow_ovl_node *next = NULL;

		if (len > 0)
			r = cow_ovl_lookup(dir, boot_dir, len, &next, NULL);
		if (r == 0 && next && cow_ovl_type(next) != S_IFDIR) {
			cow_ovl_put(next);
			r = -ENOTDIR;
		}
		if (r == 0 && next) {
			cow_ovl_put(dir);
			dir = next;
		}
		boot_dir += len + (boot_dir[len] == '/');
	}
	if (r == 0)
		*ret = cow_steal_ptr(&dir);
	return r;
}

static int view_new(struct cow_tftp_clients *cs, const struct cow_client *conf,
		    struct cow_tftp_view **ret, struct cow_err *err)
{
	struct cow_tftp_view *v = calloc(1, sizeof(*v));

	if (!v)
		return cow_err_set(err, -ENOMEM, "attach the tree");
	v->refs = 1;
	int r = cow_client_attach(cs->store, &conf->mac, COW_OVL_OBSERVER, &v->inst, err);

	if (r < 0) {
		free(v);
		return r;
	}
	r = find_boot(v->inst, conf->boot_dir ? conf->boot_dir : "", &v->boot);
	if (r < 0) {
		(void)cow_err_set(err, r, "find the boot directory '%s' in the tree",
				  conf->boot_dir);
		cow_tftp_view_put(v);
		return r;
	}
	*ret = v;
	return 0;
}

/* ---------------------------------------------------------------- entries */

static void client_free(struct cow_tftp_client *c)
{
	if (!c)
		return;
	cow_tftp_view_put(c->view);
	cow_client_epoch_unmap(c->epoch);
	cow_client_free(c->conf);
	if (c->override_fd >= 0)
		(void)close(c->override_fd);
	free(c);
}

static void unpin(struct cow_tftp_clients *cs, struct cow_tftp_client *c)
{
	if (c->pin && cs->over)
		cs->over(cs->over_ctx, c->pin);
	cow_tftp_pin_put(c->pin);
	c->pin = NULL;
}

static void forget(struct cow_tftp_clients *cs, struct cow_tftp_client *c)
{
	struct cow_tftp_client **p = &cs->first;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	cs->count--;
	unpin(cs, c);
	client_free(c);
}

static struct cow_tftp_client *find(struct cow_tftp_clients *cs, const struct cow_mac *mac)
{
	for (struct cow_tftp_client **p = &cs->first; *p; p = &(*p)->next) {
		struct cow_tftp_client *c = *p;

		if (memcmp(&c->conf->mac, mac, sizeof(*mac)) != 0)
			continue;
		*p = c->next;
		c->next = cs->first;
		cs->first = c;
		return c;
	}
	return NULL;
}

static int load_conf(struct cow_tftp_clients *cs, const struct cow_mac *mac,
		     struct cow_client **ret)
{
	struct cow_err err = COW_ERR_INIT;
	int r = cow_client_load(cs->store, mac, ret, &err);

	if (r < 0 && r != -ENOENT)
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
	return r;
}

/* The administrator's files for this client, made or removed at any time. */
static void open_overrides(struct cow_tftp_clients *cs, struct cow_tftp_client *c)
{
	char path[sizeof("clients//boot") + COW_MAC_TEXT_LEN];

	if (c->override_fd >= 0)
		(void)close(c->override_fd);
	(void)snprintf(path, sizeof(path), "clients/%s/boot", c->conf->id);
	c->override_fd = cow_open_beneath(cow_store_fd(cs->store), path,
					  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (c->override_fd < 0)
		c->override_fd = -1;
}

static int make(struct cow_tftp_clients *cs, const struct cow_mac *mac,
		struct cow_tftp_client **ret)
{
	struct cow_err err = COW_ERR_INIT;
	struct cow_tftp_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->override_fd = -1;
	int r = load_conf(cs, mac, &c->conf);

	if (r == 0) {
		r = cow_client_epoch_map(cs->store, mac, &c->epoch, &err);
		if (r < 0)
			cow_log(COW_LOG_ERROR, "client=%s %s", c->conf->id, cow_err_str(&err));
	}
	if (r < 0) {
		client_free(c);
		return r;
	}
	while (cs->count >= COW_TFTP_CLIENTS_CACHED && cs->first) {
		struct cow_tftp_client *last = cs->first;

		while (last->next)
			last = last->next;
		forget(cs, last);
	}
	c->next = cs->first;
	cs->first = c;
	cs->count++;
	*ret = c;
	return 0;
}

static void attach(struct cow_tftp_clients *cs, struct cow_tftp_client *c, uint64_t epoch)
{
	struct cow_err err = COW_ERR_INIT;

	cow_tftp_view_put(c->view);
	c->view = NULL;
	c->view_epoch = epoch;
	int r = view_new(cs, c->conf, &c->view, &err);

	if (r < 0 && r != c->view_error)
		cow_log(COW_LOG_ERROR, "client=%s %s", c->conf->id, cow_err_str(&err));
	c->view_error = r;
}

/* Make the record at most FRESH_MS old, and the view that of the root the epoch speaks of. The
 * epoch is read before attaching: a swap in between is seen at the next request. */
static int refresh(struct cow_tftp_clients *cs, struct cow_tftp_client *c, int is_new,
		   uint64_t now_ms)
{
	uint64_t epoch = *c->epoch;
	int stale_view = is_new || epoch != c->view_epoch || (c->view_error < 0);

	if (!is_new && now_ms - c->loaded_ms < FRESH_MS && epoch == c->view_epoch)
		return 0;
	if (!is_new) {
		struct cow_client *conf;
		int r = load_conf(cs, &c->conf->mac, &conf);

		if (r < 0)
			return r;
		cow_client_free(c->conf);
		c->conf = conf;
	}
	c->loaded_ms = now_ms;
	open_overrides(cs, c);
	if (stale_view)
		attach(cs, c, epoch);
	return 0;
}

int cow_tftp_clients_by_mac(struct cow_tftp_clients *cs, const struct cow_mac *mac, uint64_t now_ms,
			    struct cow_tftp_client **ret)
{
	struct cow_tftp_client *c = find(cs, mac);
	int is_new = !c;
	int r = is_new ? make(cs, mac, &c) : 0;

	if (r < 0)
		return r;
	r = refresh(cs, c, is_new, now_ms);
	if (r < 0) { /* removed, or its record is damaged */
		forget(cs, c);
		return r;
	}
	c->used_ms = now_ms;
	*ret = c;
	return 0;
}

/* The record and the view are of one root, if the epoch is the same before and after. */
int cow_tftp_clients_pin(struct cow_tftp_clients *cs, struct cow_tftp_client *c)
{
	struct cow_client *conf = NULL;
	uint64_t epoch;
	int r, tries = 3;

	unpin(cs, c);
	do {
		cow_client_free(conf);
		conf = NULL;
		epoch = *c->epoch;
		if (epoch != c->view_epoch)
			attach(cs, c, epoch);
		r = load_conf(cs, &c->conf->mac, &conf);
	} while (r == 0 && *c->epoch != epoch && --tries > 0);
	return r < 0 ? r : cow_tftp_pin_new(conf, c->view, c->view_error, &c->pin);
}

/* ---------------------------------------------------------------- serial numbers */

static int collect_serial(void *ctx, const struct cow_client *c, const char *id,
			  const struct cow_err *why)
{
	struct cow_tftp_clients *cs = ctx;

	if (!c) {
		cow_log(COW_LOG_DEBUG, "client=%s %s", id, cow_err_str(why));
		return 0;
	}
	return c->serial && *c->serial ? cow_tftp_serials_add(&cs->serials, c->serial, &c->mac) : 0;
}

static int read_serials(struct cow_tftp_clients *cs, uint64_t now_ms)
{
	struct cow_err err = COW_ERR_INIT;

	cow_tftp_serials_clear(&cs->serials, now_ms);
	int r = cow_client_each(cs->store, collect_serial, cs, &err);

	if (r < 0)
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
	return r;
}

/* The table may be old: the client's own record has the last word. */
static int confirmed_by_record(struct cow_tftp_clients *cs, const char *serial, uint64_t now_ms,
			       struct cow_tftp_client **ret)
{
	const struct cow_mac *found = cow_tftp_serials_find(&cs->serials, serial);
	int r;

	if (!found)
		return -ENOENT;
	const struct cow_mac mac = *found;

	r = cow_tftp_clients_by_mac(cs, &mac, now_ms, ret);
	if (r == 0 && (!(*ret)->conf->serial || strcasecmp((*ret)->conf->serial, serial) != 0))
		return -ENOENT;
	return r;
}

int cow_tftp_clients_by_serial(struct cow_tftp_clients *cs, const char *serial, uint64_t now_ms,
			       struct cow_tftp_client **ret)
{
	int r = confirmed_by_record(cs, serial, now_ms, ret);

	if (r != -ENOENT || !cow_tftp_serials_stale(&cs->serials, now_ms, FRESH_MS))
		return r;
	r = read_serials(cs, now_ms);
	return r < 0 ? r : confirmed_by_record(cs, serial, now_ms, ret);
}

/* ---------------------------------------------------------------- sessions */

void cow_tftp_clients_on_over(struct cow_tftp_clients *cs,
			      void (*over)(void *ctx, struct cow_tftp_pin *p), void *ctx)
{
	cs->over = over;
	cs->over_ctx = ctx;
}

struct cow_tftp_pin *cow_tftp_clients_session(struct cow_tftp_clients *cs, uint64_t id)
{
	for (struct cow_tftp_client *c = cs->first; c; c = c->next) {
		if (c->pin && c->pin->id == id)
			return c->pin;
	}
	return NULL;
}

void cow_tftp_clients_each(struct cow_tftp_clients *cs,
			   void (*fn)(void *ctx, struct cow_tftp_client *c), void *ctx)
{
	for (struct cow_tftp_client *c = cs->first; c; c = c->next)
		fn(ctx, c);
}

/* ---------------------------------------------------------------- life */

int cow_tftp_clients_new(struct cow_store *store, struct cow_tftp_clients **ret)
{
	struct cow_tftp_clients *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->store = store;
	*ret = cs;
	return 0;
}

void cow_tftp_clients_free(struct cow_tftp_clients *cs)
{
	if (!cs)
		return;
	while (cs->first)
		forget(cs, cs->first);
	cow_tftp_serials_done(&cs->serials);
	free(cs);
}

static bool is_idle(const struct cow_tftp_client *c, uint64_t now_ms)
{
	if (!c->pin)
		return now_ms - c->used_ms >= IDLE_MS;
	uint64_t last = c->pin->read_ms > c->used_ms ? c->pin->read_ms : c->used_ms;

	return now_ms >= last && now_ms - last >= COW_TFTP_SESSION_MAX_IDLE_MS;
}

void cow_tftp_clients_tick(struct cow_tftp_clients *cs, uint64_t now_ms)
{
	struct cow_tftp_client *next;

	for (struct cow_tftp_client *c = cs->first; c; c = next) {
		next = c->next;
		if (is_idle(c, now_ms))
			forget(cs, c);
	}
}
