/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Roots that are out of use are deleted by a thread: some have many files, and boots do not wait for that. What
 * an end of the process leaves, the next start deletes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "serve.h"
#include "snapshot/store.h"

static atomic_bool busy, more;

/* With a store of its own, since the other one is closed when the process ends. */
static void empty_once(const char *path)
{
	struct cow_err err = COW_ERR_INIT;
	cow_autostore store = NULL;
	int r = cow_store_open(path, &store, &err);

	if (r == 0)
		r = cow_store_empty_trash(store, &err);
	if (r < 0)
		cow_log(COW_LOG_WARNING, "%s", cow_err_str(&err));
}

static void *empty(void *ctx)
{
	cow_autofree char *path = ctx;

	do {
		atomic_store(&more, false);
		empty_once(path);
		atomic_store(&busy, false);
		/* Somebody asked after the last look and saw us busy. */
	} while (atomic_load(&more) && !atomic_exchange(&busy, true));
	return NULL;
}

void cow_serve_tidy(const char *store)
{
	pthread_t thread;

	atomic_store(&more, true);
	if (atomic_exchange(&busy, true))
		return;
	cow_autofree char *path = strdup(store);
	int e = path ? pthread_create(&thread, NULL, empty, path) : ENOMEM;

	if (e != 0) { /* the next sweep has it */
		atomic_store(&busy, false);
		cow_log(COW_LOG_WARNING, "cannot empty the trash now: %s", strerrorname_np(e));
		return;
	}
	(void)pthread_detach(thread); /* just made */
	(void)cow_steal_ptr(&path);   /* the thread's now */
}
