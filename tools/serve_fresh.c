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

static void tell(struct cow_store *store, const struct cow_swap *w)
{
	char id[COW_MAC_TEXT_LEN + 1], image[COW_LABEL_MAX + 16], root[16];
	const struct cow_client *c = w->now;

	cow_mac_text(&w->mac, id);
	if (w->r < 0)
		cow_log(COW_LOG_ERROR, "client='%s' keeps its root: %s", id, cow_err_str(&w->err));
	if (w->r != 0 || !c)
		return;
	/* Of an ephemeral client a reset may have been ordered all the same: it is one like any other. */
	bool ordered = !c->ephemeral || w->did != COW_SWAP_RESET;
	(void)snprintf(image, sizeof(image), "%s@%u", c->image, c->version);
	(void)snprintf(root, sizeof(root), "%u", c->root);
	cow_log(COW_LOG_INFO, "client='%s' name=%s boots from %s of %s (%s)", id, COW_Q(c->name),
		w->did == COW_SWAP_ROLLBACK ? "a kept root" : "a fresh root", image,
		cow_swap_name(w->did));
	int r =
	    cow_store_event(store, cow_swap_name(w->did), "client", id, "name", c->name, "image",
			    image, "why", ordered ? "boot" : "ephemeral", "root", root, NULL);
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
		w[i] = (struct cow_swap){
		    .mac = list[i].mac,
		    .what = COW_SWAP_BOOT,
		    .until_ms = list[i].until_ms,
		    .conflict = say_conflict,
		    .ctx = &list[i],
		};
	(void)cow_clients_swap(store, w, n); /* each is told of by itself */
	for (size_t i = 0; i < n; i++)
		tell(store, &w[i]);
	cow_swaps_done(w, n);
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
	struct asked a;

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
