/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Roots for clients that boot: a fresh one for those that are ephemeral, or what an administrator ordered for the
 * next boot. A thread makes them, since keep-lists may take their time; who comes meanwhile waits for the next
 * round, in which all are made together. What is not done in time is left: the TFTP server lets the machine boot
 * the root it had, and nobody takes that from under it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fields.h"
#include "common/log.h"
#include "serve.h"
#include "snapshot/client.h"
#include "snapshot/events.h"

/* From the machine's request: less than the TFTP server waits for (tftp/fresh.c). */
#define COW_FRESH_MS 5000

struct asked {
	struct cow_mac mac;
	uint64_t until_ms;
	int slow;
};
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
/* guarded by m: */
static struct asked *queue;
static size_t waiting, room;
static bool busy;

/* The next round; false: none, and the thread ends. */
static bool take(struct asked **ret, size_t *ret_n)
{
	pthread_mutex_lock(&m);
	*ret = queue;
	*ret_n = waiting;
	queue = NULL;
	waiting = room = 0;
	busy = *ret_n > 0;
	pthread_mutex_unlock(&m);
	return *ret_n > 0;
}

/* Where it did not come to that, what it would have been. */
static enum cow_swap_what was_to_be(const struct cow_swap *w, const struct cow_client *c)
{
	if (w->did != COW_SWAP_NONE)
		return w->did;
	return c->next.what != COW_SWAP_NONE && !c->next.held ? c->next.what : COW_SWAP_RESET;
}

/* What was to be done and was not: the machine boots the root it had. */
static void tell_failed(struct cow_store *store, const struct cow_swap *w, const char *id)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autoclient c = NULL;

	cow_log(COW_LOG_ERROR, "client='%s' keeps its root: %s", id, cow_err_str(&w->err));
	if (cow_client_load(store, &w->mac, &c, &err) < 0 || !c)
		return;
	int r =
	    cow_store_event(store, "failed", "client", id, "name", c->name, "what",
			    cow_swap_name(was_to_be(w, c)), "to", *c->next.to ? c->next.to : NULL,
			    "held", c->next.held ? "yes" : "no", "why", cow_err_str(&w->err), NULL);
	if (r < 0)
		cow_log(COW_LOG_WARNING, "client='%s' no event: %s", id, strerrorname_np(-r));
}

static void tell(struct cow_store *store, const struct cow_swap *w)
{
	char id[COW_MAC_TEXT_LEN + 1], image[COW_LABEL_MAX + 16], root[16], conflicts[24];
	const struct cow_client *c = w->now;

	cow_mac_text(&w->mac, id);
	if (w->r < 0)
		tell_failed(store, w, id);
	if (w->r != 0 || !c)
		return;
	/* Of an ephemeral client a reset may have been ordered all the same: it is one like any other. */
	bool ordered = !c->ephemeral || w->did != COW_SWAP_RESET;
	(void)snprintf(image, sizeof(image), "%s@%u", c->image, c->version);
	(void)snprintf(root, sizeof(root), "%u", c->root);
	(void)snprintf(conflicts, sizeof(conflicts), "%llu", (unsigned long long)w->conflicts);
	cow_log(COW_LOG_INFO, "client='%s' name=%s boots from %s of %s (%s)", id, COW_Q(c->name),
		w->did == COW_SWAP_ROLLBACK ? "a kept root" : "a fresh root", image,
		cow_swap_name(w->did));
	int r = cow_store_event(store, cow_swap_name(w->did), "client", id, "name", c->name,
				"image", image, "why", ordered ? "boot" : "ephemeral", "root", root,
				"conflicts", w->conflicts ? conflicts : NULL, NULL);
	if (r < 0)
		cow_log(COW_LOG_WARNING, "client='%s' no event: %s", id, strerrorname_np(-r));
}

static void say_conflict(void *ctx, const char *path, const char *what)
{
	const struct asked *a = ctx;
	char id[COW_MAC_TEXT_LEN + 1];

	cow_mac_text(&a->mac, id);
	cow_log(COW_LOG_WARNING, "client='%s' %s %s", id, COW_Q(path), what);
}

/* A rebase may take its time. */
static bool is_slow(struct cow_store *store, const struct cow_mac *mac)
{
	cow_autoclient c = NULL;

	return cow_client_load(store, mac, &c, NULL) == 0 && c->next.rebase && !c->next.held;
}

static int slow_last(const void *a, const void *b)
{
	return ((const struct asked *)a)->slow - ((const struct asked *)b)->slow;
}

/* All that are quick together, then the others, so that they hold up nobody else. */
static void swap_in_turn(struct cow_store *store, struct cow_swap *w, const struct asked *list,
			 size_t n)
{
	size_t done = 0, many = 0;

	while (many < n && !list[many].slow)
		many++;
	for (; done < n; done += many, many = 1) {
		if (many == 0)
			continue;
		(void)cow_clients_swap(store, w + done, many); /* each is told of by itself */
		for (size_t i = done; i < done + many; i++)
			tell(store, &w[i]);
	}
	cow_swaps_done(w, n);
}

/* With a store of its own, since the other one is closed when the process ends. */
static void swap(const char *path, struct asked *list, size_t n)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autostore store = NULL;
	struct cow_swap *w = calloc(n, sizeof(*w));
	int r = w ? cow_store_open(path, &store, &err)
		  : cow_err_set(&err, -ENOMEM, "make roots for clients that boot");

	if (r < 0 || !w) {
		cow_log(COW_LOG_ERROR, "%s", cow_err_str(&err));
		free(w);
		return;
	}
	for (size_t i = 0; i < n; i++)
		list[i].slow = is_slow(store, &list[i].mac);
	qsort(list, n, sizeof(*list), slow_last);
	for (size_t i = 0; i < n; i++)
		w[i] = (struct cow_swap){
		    .mac = list[i].mac,
		    .what = COW_SWAP_BOOT,
		    .until_ms = list[i].until_ms,
		    .conflict = say_conflict,
		    .ctx = &list[i],
		};
	swap_in_turn(store, w, list, n);
	free(w);
	cow_serve_tidy(path);
}

static void *run(void *ctx)
{
	cow_autofree char *path = ctx;
	struct asked *list;
	size_t n;

	while (take(&list, &n)) {
		swap(path, list, n);
		free(list);
	}
	return NULL;
}

static int add_locked(const struct asked *a)
{
	if (waiting == room) {
		size_t grown_room = room ? room * 2 : 16;
		struct asked *grown = reallocarray(queue, grown_room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		queue = grown;
		room = grown_room;
	}
	queue[waiting++] = *a;
	return 0;
}

static int start(const char *store)
{
	pthread_t thread;
	cow_autofree char *path = strdup(store);
	int e = path ? pthread_create(&thread, NULL, run, path) : ENOMEM;

	if (e != 0)
		return -e;
	(void)pthread_detach(thread); /* just made */
	(void)cow_steal_ptr(&path);   /* the thread's now */
	return 0;
}

int cow_serve_fresh(struct cow_serve *s, const char *line)
{
	char id[COW_MAC_TEXT_LEN + 1];
	struct asked a = {.slow = 0};

	if (cow_fields_get(line, "mac", id, sizeof(id)) < 0 ||
	    cow_mac_parse(id, strlen(id), &a.mac) < 0 ||
	    cow_fields_get_u64(line, "at", INT64_MAX, &a.until_ms) < 0)
		return -EINVAL;
	a.until_ms += COW_FRESH_MS;
	pthread_mutex_lock(&m);
	int r = add_locked(&a);
	bool idle = r == 0 && !busy;
	busy = busy || idle;
	pthread_mutex_unlock(&m);
	if (idle && (r = start(s->paths.store)) < 0) {
		pthread_mutex_lock(&m);
		busy = false; /* the next one tries again, with this one */
		pthread_mutex_unlock(&m);
	}
	if (r < 0)
		cow_log(COW_LOG_ERROR, "client='%s' keeps its root: %s", id, strerrorname_np(-r));
	return 0;
}
