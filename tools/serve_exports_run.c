/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Leads the running server to the wanted list: command, answer, next command.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "serve_exports.h"

#define AGAIN_MS 100	   /* another command, or SIGHUP, is being worked on */
#define LOST_MS 200	   /* the server is not on the bus, or not yet */
#define FAILED_MIN_MS 1000 /* doubles with each failure of one export */
#define FAILED_MAX_MS 60000

struct cow_exports {
	struct cow_loop *loop;
	const struct cow_config *config;
	const struct cow_serve_net *net;
	char *run;
	char *file;
	char *text; /* of exports.conf as last written */
	struct cow_bus *bus;
	void (*moved)(void *ctx);
	void *moved_ctx;
	struct cow_timer timer;
	const struct cow_herd *herd;
	struct cow_export_list want;
	struct cow_export_list started; /* what the server read when it started */
	struct cow_export_list have;
	struct cow_export doing; /* the command under way, as it was wanted */
	bool up, listed;
	unsigned life; /* of the server; an answer of an earlier one is dropped */
	unsigned doing_life;
};

static void again_in(struct cow_exports *x, uint64_t ms)
{
	cow_loop_timer(x->loop, &x->timer, ms);
}

static int copy_list(const struct cow_export_list *from, struct cow_export_list *to)
{
	struct cow_export *e = calloc(from->n + 1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	if (from->n)
		memcpy(e, from->e, from->n * sizeof(*e));
	cow_export_list_done(to);
	*to = (struct cow_export_list){.e = e, .n = from->n};
	return 0;
}

/* Add or replace, in order. */
static int have_put(struct cow_exports *x, const struct cow_export *e)
{
	struct cow_export *at = cow_export_find(&x->have, e->export_id);
	size_t i = 0;

	if (at) {
		*at = *e;
		return 0;
	}
	struct cow_export *p = reallocarray(x->have.e, x->have.n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	x->have.e = p;
	while (i < x->have.n && p[i].export_id < e->export_id)
		i++;
	memmove(p + i + 1, p + i, (x->have.n - i) * sizeof(*p));
	p[i] = *e;
	x->have.n++;
	return 0;
}

static void have_drop(struct cow_exports *x, unsigned export_id)
{
	struct cow_export *at = cow_export_find(&x->have, export_id);

	if (!at)
		return;
	size_t i = (size_t)(at - x->have.e);
	memmove(at, at + 1, (x->have.n - i - 1) * sizeof(*at));
	x->have.n--;
}

/* The server's own list, filled up with what we told it and what it must have read at its start. */
static int take_list(struct cow_exports *x, const struct cow_bus_result *res)
{
	struct cow_export_list told = x->have;
	int r = 0;

	x->have = (struct cow_export_list){0};
	for (size_t i = 0; i < res->n_ids && r == 0; i++) {
		const struct cow_export unknown = {.export_id = res->ids[i]};
		const struct cow_export *e = cow_export_find(&told, res->ids[i]);
		if (!e)
			e = cow_export_find(&x->started, res->ids[i]);
		if (res->ids[i] != 0) /* not the pseudo root */
			r = have_put(x, e ? e : &unknown);
	}
	cow_export_list_done(&told);
	x->listed = r == 0;
	return r;
}

static void succeeded(struct cow_exports *x, const struct cow_bus_result *res)
{
	const struct cow_export *d = &x->doing;
	int r = 0;

	switch (res->op) {
	case COW_BUS_LIST:
		r = take_list(x, res);
		break;
	case COW_BUS_REMOVE:
		have_drop(x, res->export_id);
		cow_log(COW_LOG_INFO, "export=%u client='%s' removed", res->export_id, d->id);
		break;
	case COW_BUS_ADD:
	case COW_BUS_UPDATE: {
		r = have_put(x, d);
		struct cow_export *w = cow_export_find(&x->want, res->export_id);
		if (w && strcmp(w->id, d->id) == 0) {
			w->failures = 0;
			w->error[0] = '\0';
		}
		cow_log(COW_LOG_INFO, "export=%u client='%s' %s for '%s'", res->export_id, d->id,
			res->op == COW_BUS_ADD ? "added" : "updated", d->who);
		break;
	}
	}
	if (r < 0)
		x->listed = false; /* no memory: ask anew */
}

/* The server said no to one export: leave it alone for a while, and look what it has. */
static void refused(struct cow_exports *x, const struct cow_bus_result *res)
{
	static const char *const verb[] = {"list", "add", "update", "remove"};
	struct cow_export *e =
	    cow_export_find(res->op == COW_BUS_REMOVE ? &x->have : &x->want, res->export_id);

	cow_log(COW_LOG_ERROR, "export=%u client='%s' cannot %s: %s", res->export_id, x->doing.id,
		verb[res->op], COW_Q(res->text));
	if (!e)
		return;
	uint64_t pause = FAILED_MIN_MS;
	for (unsigned i = 0; i < e->failures && pause < FAILED_MAX_MS; i++)
		pause *= 2;
	e->failures++;
	e->retry_ms = cow_now_ms() + (pause < FAILED_MAX_MS ? pause : FAILED_MAX_MS);
	(void)snprintf(e->error, sizeof(e->error), "%.*s", (int)sizeof(e->error) - 1, res->text);
	if (res->op != COW_BUS_REMOVE)
		x->listed = false; /* e.g. it is there already: see what is true */
}

static void on_result(void *ctx, const struct cow_bus_result *res)
{
	struct cow_exports *x = ctx;
	uint64_t wait = 0;

	if (x->doing_life != x->life || !x->up)
		return again_in(x, 0);
	if (res->r == 0) {
		succeeded(x, res);
	} else if (res->r == -EAGAIN) {
		wait = AGAIN_MS;
	} else if (res->r == -ENOTCONN || res->r == -ETIMEDOUT || res->r == -ENOMEM ||
		   res->op == COW_BUS_LIST) {
		cow_log(COW_LOG_DEBUG, "bus: %s", res->text);
		x->listed = false;
		wait = LOST_MS;
	} else {
		refused(x, res);
	}
	again_in(x, wait);
	x->moved(x->moved_ctx);
}

static void step(void *ctx)
{
	struct cow_exports *x = ctx;
	enum cow_bus_op op = COW_BUS_LIST;
	unsigned id = 0;
	uint64_t wait = 0;

	if (!x->up || !x->herd)
		return;
	if (x->listed &&
	    !cow_export_next(&x->have, &x->want, x->herd, cow_now_ms(), &op, &id, &wait)) {
		if (wait)
			again_in(x, wait);
		return;
	}
	const struct cow_export *e =
	    id ? cow_export_find(op == COW_BUS_REMOVE ? &x->have : &x->want, id) : NULL;
	const struct cow_export doing = e ? *e : (struct cow_export){.export_id = id};
	int r = cow_bus_call(x->bus, op, id, x->file);
	if (r == -EBUSY)
		return; /* its answer comes back here */
	if (r < 0)
		return again_in(x, LOST_MS);
	x->doing = doing;
	x->doing_life = x->life;
}

static int write_file(struct cow_exports *x, const struct cow_herd *h)
{
	cow_autofree char *text = NULL;

	int r = cow_text_exports(x->config, x->net, h, &text);
	if (r < 0 || (x->text && strcmp(text, x->text) == 0))
		return r;
	cow_autoclose int dirfd = open(x->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	r = cow_write_file_at(dirfd, "exports.conf", text, strlen(text), 0600);
	if (r < 0)
		return r;
	free(x->text);
	x->text = cow_steal_ptr(&text);
	return 0;
}

int cow_exports_want(struct cow_exports *x, const struct cow_herd *h)
{
	struct cow_export_list l;

	int r = write_file(x, h);
	if (r < 0)
		return r;
	r = cow_export_list_of(x->config, x->net, h, &x->want, &l);
	if (r < 0)
		return r;
	cow_export_list_done(&x->want);
	x->want = l;
	x->herd = h;
	step(x);
	return 0;
}

void cow_exports_server_starts(struct cow_exports *x)
{
	cow_exports_server_down(x);
	if (copy_list(&x->want, &x->started) < 0)
		cow_export_list_done(&x->started); /* then all is taken out and added again */
}

void cow_exports_server_up(struct cow_exports *x)
{
	if (x->up)
		return;
	x->up = true;
	step(x);
}

void cow_exports_server_down(struct cow_exports *x)
{
	x->life++;
	x->up = x->listed = false;
	cow_export_list_done(&x->have);
}

bool cow_exports_in_touch(const struct cow_exports *x)
{
	return x->up && x->listed;
}

const char *cow_exports_state(const struct cow_exports *x, const struct cow_herd_client *c)
{
	const struct cow_export *h = cow_export_find(&x->have, c->export_id);
	const struct cow_export *w = cow_export_find(&x->want, c->export_id);

	if (h && w && strcmp(h->id, c->id) == 0 && strcmp(h->who, w->who) == 0)
		return "active";
	return w && *w->error ? w->error : "pending";
}

int cow_exports_new(struct cow_loop *l, const struct cow_config *c, const struct cow_serve_net *net,
		    const struct cow_serve_paths *p, void (*moved)(void *ctx), void *ctx,
		    struct cow_exports **ret)
{
	cow_autofree char *sock = NULL;

	struct cow_exports *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->loop = l;
	x->config = c;
	x->net = net;
	x->moved = moved;
	x->moved_ctx = ctx;
	x->timer = (struct cow_timer){.fn = step, .ctx = x};
	x->run = strdup(p->run);
	int r = -ENOMEM;
	if (x->run && asprintf(&x->file, "%s/exports.conf", p->run) > 0 &&
	    asprintf(&sock, "%s/bus", p->run) > 0)
		r = cow_bus_new(l, sock, on_result, x, &x->bus);
	if (r < 0) {
		cow_exports_free(x);
		return r;
	}
	*ret = x;
	return 0;
}

void cow_exports_free(struct cow_exports *x)
{
	if (!x)
		return;
	cow_bus_free(x->bus);
	cow_loop_timer_off(x->loop, &x->timer);
	cow_export_list_done(&x->want);
	cow_export_list_done(&x->started);
	cow_export_list_done(&x->have);
	free(x->text);
	free(x->file);
	free(x->run);
	free(x);
}
