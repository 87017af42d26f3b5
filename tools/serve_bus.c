/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The thread that speaks D-Bus. It shares one slot with the loop: a request in, a result out.
 */
#include "serve_bus.h"

#include <dbus/dbus.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define SERVER "org.ganesha.nfsd"
#define OBJECT "/org/ganesha/nfsd/ExportMgr"
#define INTERFACE "org.ganesha.nfsd.exportmgr"
#define CALL_TIMEOUT_MS 10000

struct cow_bus {
	struct cow_loop *loop;
	void (*done)(void *ctx, const struct cow_bus_result *res);
	void *ctx;
	struct cow_watch watch; /* of the eventfd: a result is there */
	char *address;
	pthread_t thread;
	DBusConnection *conn; /* the thread's */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool quit, wanted, busy; /* busy: from cow_bus_call() until done() has been called */
	char *file;
	struct cow_bus_result res;
};

static void fail(struct cow_bus_result *res, int r, const char *text)
{
	res->r = r;
	(void)snprintf(res->text, sizeof(res->text), "%s", text);
}

static void drop_connection(struct cow_bus *b)
{
	if (!b->conn)
		return;
	dbus_connection_close(b->conn);
	dbus_connection_unref(b->conn);
	b->conn = NULL;
}

static int connect_bus(struct cow_bus *b, struct cow_bus_result *res)
{
	DBusError e = DBUS_ERROR_INIT;

	if (b->conn && dbus_connection_get_is_connected(b->conn))
		return 0;
	drop_connection(b);
	b->conn = dbus_connection_open_private(b->address, &e);
	if (b->conn) {
		/* The library's default is to end the whole process with the bus. */
		dbus_connection_set_exit_on_disconnect(b->conn, FALSE);
		if (dbus_bus_register(b->conn, &e))
			return 0;
	}
	fail(res, -ENOTCONN, e.message ? e.message : "no bus");
	dbus_error_free(&e);
	drop_connection(b);
	return -ENOTCONN;
}

static DBusMessage *make_call(const struct cow_bus_result *res, const char *file)
{
	static const char *const method[] = {
	    [COW_BUS_LIST] = "ShowExports",
	    [COW_BUS_ADD] = "AddExport",
	    [COW_BUS_UPDATE] = "UpdateExport",
	    [COW_BUS_REMOVE] = "RemoveExport",
	};
	char expr[48];
	const char *pexpr = expr;
	dbus_uint16_t id = (dbus_uint16_t)res->export_id;
	bool ok = true;

	DBusMessage *m = dbus_message_new_method_call(SERVER, OBJECT, INTERFACE, method[res->op]);
	if (!m)
		return NULL;
	dbus_message_set_auto_start(m, FALSE);
	if (res->op == COW_BUS_REMOVE) {
		ok = dbus_message_append_args(m, DBUS_TYPE_UINT16, &id, DBUS_TYPE_INVALID);
	} else if (res->op != COW_BUS_LIST) {
		(void)snprintf(expr, sizeof(expr), "EXPORT(Export_Id=%u)", res->export_id);
		ok = dbus_message_append_args(m, DBUS_TYPE_STRING, &file, DBUS_TYPE_STRING, &pexpr,
					      DBUS_TYPE_INVALID);
	}
	if (ok)
		return m;
	dbus_message_unref(m);
	return NULL;
}

/* ShowExports answers with an array of structures whose first member is the id, a uint16. */
static void take_ids(DBusMessage *reply, struct cow_bus_result *res)
{
	DBusMessageIter top, array, st;

	if (!dbus_message_iter_init(reply, &top))
		return;
	do {
		if (dbus_message_iter_get_arg_type(&top) != DBUS_TYPE_ARRAY ||
		    dbus_message_iter_get_element_type(&top) != DBUS_TYPE_STRUCT)
			continue;
		dbus_message_iter_recurse(&top, &array);
		while (dbus_message_iter_get_arg_type(&array) == DBUS_TYPE_STRUCT) {
			dbus_uint16_t id;
			dbus_message_iter_recurse(&array, &st);
			if (dbus_message_iter_get_arg_type(&st) != DBUS_TYPE_UINT16)
				break;
			dbus_message_iter_get_basic(&st, &id);
			uint16_t *p = reallocarray(res->ids, res->n_ids + 1, sizeof(*p));
			if (!p) {
				fail(res, -ENOMEM, "out of memory");
				return;
			}
			res->ids = p;
			p[res->n_ids++] = id;
			dbus_message_iter_next(&array);
		}
	} while (dbus_message_iter_next(&top));
}

static void classify(struct cow_bus_result *res, const DBusError *e)
{
	int r = -EREMOTEIO;

	if (strcmp(e->name, DBUS_ERROR_SERVICE_UNKNOWN) == 0 ||
	    strcmp(e->name, DBUS_ERROR_NAME_HAS_NO_OWNER) == 0 ||
	    strcmp(e->name, DBUS_ERROR_DISCONNECTED) == 0)
		r = -ENOTCONN;
	else if (strcmp(e->name, DBUS_ERROR_NO_REPLY) == 0 ||
		 strcmp(e->name, DBUS_ERROR_TIMEOUT) == 0)
		r = -ETIMEDOUT;
	else if (e->message && strstr(e->message, "another export admin operation"))
		r = -EAGAIN;
	fail(res, r, e->message ? e->message : e->name);
}

static void perform(struct cow_bus *b, struct cow_bus_result *res, const char *file)
{
	DBusError e = DBUS_ERROR_INIT;

	if (connect_bus(b, res) < 0)
		return;
	DBusMessage *m = make_call(res, file);
	if (!m) {
		fail(res, -ENOMEM, "out of memory");
		return;
	}
	DBusMessage *reply =
	    dbus_connection_send_with_reply_and_block(b->conn, m, CALL_TIMEOUT_MS, &e);
	dbus_message_unref(m);
	if (!reply) {
		classify(res, &e);
		dbus_error_free(&e);
		return;
	}
	if (res->op == COW_BUS_LIST)
		take_ids(reply, res);
	dbus_message_unref(reply);
}

static void *thread_main(void *arg)
{
	struct cow_bus *b = arg;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&b->lock);
	for (;;) {
		while (!b->wanted && !b->quit)
			(void)pthread_cond_wait(&b->wake, &b->lock);
		if (b->quit)
			break;
		b->wanted = false;
		(void)pthread_mutex_unlock(&b->lock);
		perform(b, &b->res, b->file); /* ours alone while busy */
		if (write(b->watch.fd, &one, sizeof(one)) < 0)
			abort(); /* an eventfd that takes no 1 is not one: nothing to go on with */
		(void)pthread_mutex_lock(&b->lock);
	}
	(void)pthread_mutex_unlock(&b->lock);
	drop_connection(b);
	return NULL;
}

static void on_result(void *ctx, uint32_t events)
{
	struct cow_bus *b = ctx;
	uint64_t n;

	(void)events;
	if (read(b->watch.fd, &n, sizeof(n)) < 0)
		return; /* not yet */
	(void)pthread_mutex_lock(&b->lock);
	struct cow_bus_result res = b->res;
	b->res.ids = NULL;
	free(cow_steal_ptr(&b->file));
	b->busy = false; /* before done(), which may ask for the next */
	(void)pthread_mutex_unlock(&b->lock);
	b->done(b->ctx, &res);
	free(res.ids);
}

int cow_bus_call(struct cow_bus *b, enum cow_bus_op op, unsigned export_id, const char *file)
{
	int r = 0;

	(void)pthread_mutex_lock(&b->lock);
	char *copy = b->busy ? NULL : strdup(file ? file : "");
	if (b->busy) {
		r = -EBUSY;
	} else if (!copy) {
		r = -ENOMEM;
	} else {
		b->file = copy;
		b->res = (struct cow_bus_result){.op = op, .export_id = export_id};
		b->busy = b->wanted = true;
		(void)pthread_cond_signal(&b->wake);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return r;
}

static int start_thread(struct cow_bus *b)
{
	sigset_t all, old;

	/* Signals belong to the loop's signalfd. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&b->thread, NULL, thread_main, b);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static void release(struct cow_bus *b)
{
	if (b->watch.fd >= 0)
		(void)close(b->watch.fd);
	(void)pthread_cond_destroy(&b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	free(b->res.ids);
	free(b->file);
	free(b->address);
	free(b);
}

int cow_bus_new(struct cow_loop *l, const char *socket_path,
		void (*done)(void *ctx, const struct cow_bus_result *res), void *ctx,
		struct cow_bus **ret)
{
	struct cow_bus *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->loop = l;
	b->done = done;
	b->ctx = ctx;
	(void)pthread_mutex_init(&b->lock, NULL);
	(void)pthread_cond_init(&b->wake, NULL);
	b->watch = (struct cow_watch){
	    .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_result, .ctx = b};
	int r = b->watch.fd < 0 ? -errno : 0;
	char *escaped = dbus_address_escape_value(socket_path);
	if (r == 0 && (!escaped || asprintf(&b->address, "unix:path=%s", escaped) < 0))
		r = -ENOMEM;
	dbus_free(escaped);
	if (r == 0 && !dbus_threads_init_default())
		r = -ENOMEM;
	if (r == 0)
		r = cow_loop_watch(l, &b->watch, EPOLLIN);
	if (r == 0 && (r = start_thread(b)) < 0)
		cow_loop_unwatch(l, &b->watch);
	if (r < 0) {
		release(b);
		return r;
	}
	*ret = b;
	return 0;
}

void cow_bus_free(struct cow_bus *b)
{
	if (!b)
		return;
	(void)pthread_mutex_lock(&b->lock);
	b->quit = true;
	(void)pthread_cond_signal(&b->wake);
	(void)pthread_mutex_unlock(&b->lock);
	(void)pthread_join(b->thread, NULL);
	cow_loop_unwatch(b->loop, &b->watch);
	release(b);
}
