/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Watching the store's clients.
 */
#include "serve_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "common/clock.h"
#include "common/log.h"

struct cow_herd_watch {
	struct cow_loop *loop;
	void (*changed)(void *ctx);
	void *ctx;
	char *dir; /* STORE/clients */
	struct cow_watch watch;
	struct cow_timer quiet, rescan;
	uint64_t burst_ms; /* start of the burst; 0: none */
	bool told;	   /* a failure to watch has been logged */
};

static void tell(struct cow_herd_watch *w)
{
	cow_loop_timer_off(w->loop, &w->quiet);
	cow_loop_timer(w->loop, &w->rescan, COW_WATCH_RESCAN_MS);
	w->burst_ms = 0;
	w->changed(w->ctx);
}

static void on_timer(void *ctx)
{
	tell(ctx);
}

static void on_event(void *ctx, uint32_t events)
{
	struct cow_herd_watch *w = ctx;
	char buf[4096];
	uint64_t now = cow_now_ms();

	(void)events;
	/* What happened does not matter: the store is read anew. */
	while (read(w->watch.fd, buf, sizeof(buf)) > 0)
		;
	if (w->burst_ms == 0)
		w->burst_ms = now;
	if (now - w->burst_ms >= COW_WATCH_LONGEST_MS)
		tell(w);
	else
		cow_loop_timer(w->loop, &w->quiet, COW_WATCH_QUIET_MS);
}

static void add(struct cow_herd_watch *w, const char *path, uint32_t mask)
{
	if (inotify_add_watch(w->watch.fd, path, mask | IN_ONLYDIR | IN_DONT_FOLLOW) >= 0 ||
	    errno == ENOENT || w->told)
		return;
	w->told = true;
	cow_log(COW_LOG_WARNING,
		"cannot watch %s (%s); changes are seen within %d s only "
		"(fs.inotify.max_user_watches?)",
		COW_Q(path), strerrorname_np(errno), COW_WATCH_RESCAN_MS / 1000);
}

void cow_herd_watch_set(struct cow_herd_watch *w, const struct cow_herd *h)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < h->clients; i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", w->dir, h->client[i].id);
		if (n > 0 && (size_t)n < sizeof(path))
			add(w, path, IN_CREATE | IN_MOVED_TO | IN_DELETE);
	}
}

int cow_herd_watch_new(struct cow_loop *l, const char *store_path, void (*changed)(void *ctx),
		       void *ctx, struct cow_herd_watch **ret)
{
	struct cow_herd_watch *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->changed = changed;
	w->ctx = ctx;
	w->quiet = w->rescan = (struct cow_timer){.fn = on_timer, .ctx = w};
	w->watch = (struct cow_watch){
	    .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .fn = on_event, .ctx = w};
	int r = w->watch.fd < 0 ? -errno : 0;
	if (r == 0 && asprintf(&w->dir, "%s/clients", store_path) < 0) {
		w->dir = NULL;
		r = -ENOMEM;
	}
	if (r == 0)
		r = cow_loop_watch(l, &w->watch, EPOLLIN);
	if (r < 0) {
		cow_herd_watch_free(w);
		return r;
	}
	if (w->dir)
		add(w, w->dir, IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE);
	cow_loop_timer(l, &w->rescan, COW_WATCH_RESCAN_MS);
	*ret = w;
	return 0;
}

void cow_herd_watch_free(struct cow_herd_watch *w)
{
	if (!w)
		return;
	cow_loop_timer_off(w->loop, &w->quiet);
	cow_loop_timer_off(w->loop, &w->rescan);
	cow_loop_unwatch(w->loop, &w->watch);
	if (w->watch.fd >= 0)
		(void)close(w->watch.fd);
	free(w->dir);
	free(w);
}
