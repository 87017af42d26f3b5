/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The log of a store: see snapshot/events.h.
 */
#include "snapshot/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/fs.h"
#include "store_internal.h"

#define LOG "events"
#define OLD_LOG "events.1"
#define LOCK_WAIT_MS 1000

static int open_dir(struct cow_store *s, int make)
{
	int r = make ? cow_mkdir_at(s->fd, "state", 0755) : 0;

	return r < 0 ? r : cow_opendir_at(s->fd, "state");
}

/* Whoever has the lock and still finds it full moves it; a line that came in between is in the old one. */
static int rotate(int dir)
{
	struct stat st;
	cow_autoclose int lock = cow_lock_at(dir, "events.lock", LOCK_WAIT_MS);

	if (lock < 0)
		return lock;
	if (fstatat(dir, LOG, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size < COW_EVENTS_FILE_MAX)
		return 0;
	return renameat(dir, LOG, dir, OLD_LOG) < 0 ? -errno : 0;
}

/* What follows a torn line begins one of its own. */
static bool is_torn(int fd)
{
	struct stat st;
	char last = '\n';

	return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
	       last != '\n';
}

static int append(struct cow_store *s, const char *line, size_t len)
{
	struct stat st;
	cow_autoclose int dir = open_dir(s, 1);

	if (dir < 0)
		return dir;
	cow_autoclose int fd =
	    openat(dir, LOG, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	if (is_torn(fd) && write(fd, "\n", 1) != 1)
		return -EIO;
	/* One write: lines of several writers do not mix. A full disk may tear it; readers pass it over. */
	ssize_t n = write(fd, line, len);

	if (n != (ssize_t)len)
		return n < 0 ? -errno : -ENOSPC;
	if (fstat(fd, &st) == 0 && st.st_size >= COW_EVENTS_FILE_MAX)
		return rotate(dir);
	return 0;
}

int cow_store_event(struct cow_store *s, const char *kind, ...)
{
	struct cow_fields f;
	const char *key;
	va_list ap;

	cow_fields_begin(&f, kind);
	cow_fields_add_u64(&f, "v", 1);
	cow_fields_add_u64(&f, "time", (uint64_t)cow_realtime_s());
	va_start(ap, kind);
	while ((key = va_arg(ap, const char *)) != NULL)
		cow_fields_add(&f, key, va_arg(ap, const char *));
	va_end(ap);
	int n = cow_fields_end(&f);

	return n < 0 ? n : append(s, f.line, (size_t)n);
}

/* ---------------------------------------------------------------- reading */

struct cow_events {
	struct cow_store *store;
	int dir, fd;
	char buf[2 * COW_FIELDS_LINE_MAX];
	size_t len;
	bool skip; /* in the middle of a line that is too long */
};

int cow_events_open(struct cow_store *s, struct cow_events **ret)
{
	struct cow_events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->store = s;
	e->fd = -1;
	e->dir = open_dir(s, 0);
	if (e->dir < 0 && e->dir != -ENOENT) {
		int r = e->dir;

		free(e);
		return r;
	}
	if (e->dir >= 0)
		e->fd = openat(e->dir, OLD_LOG, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	*ret = e;
	return 0;
}

void cow_events_close(struct cow_events *e)
{
	if (!e)
		return;
	if (e->fd >= 0)
		(void)close(e->fd);
	if (e->dir >= 0)
		(void)close(e->dir);
	free(e);
}

/* A line with its version, its time and nothing that was torn. */
static bool is_event(const char *line)
{
	uint64_t v, when;

	return cow_fields_get_u64(line, "v", 1, &v) == 0 && v == 1 &&
	       cow_fields_get_u64(line, "time", INT64_MAX, &when) == 0;
}

static int take_lines(struct cow_events *e, cow_event_fn fn, void *ctx)
{
	char *at = e->buf, *nl;
	int r = 0;

	e->buf[e->len] = '\0';
	while (r == 0 && (nl = memchr(at, '\n', e->len - (size_t)(at - e->buf))) != NULL) {
		*nl = '\0';
		if (!e->skip && is_event(at))
			r = fn(ctx, at);
		e->skip = false;
		at = nl + 1;
	}
	e->len -= (size_t)(at - e->buf);
	memmove(e->buf, at, e->len);
	if (e->len >= COW_FIELDS_LINE_MAX) { /* no line of ours is that long */
		e->skip = true;
		e->len = 0;
	}
	return r;
}

/* The log may have been moved away: what was written meanwhile is in a new one. 1: there is another. */
static int next_file(struct cow_events *e)
{
	struct stat now, have;

	if (e->dir < 0) { /* there was no event yet */
		e->dir = open_dir(e->store, 0);
		if (e->dir < 0)
			return e->dir == -ENOENT ? 0 : e->dir;
	}
	int fd = openat(e->dir, LOG, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (e->fd >= 0 && fstat(e->fd, &have) == 0 && fstat(fd, &now) == 0 &&
	    have.st_ino == now.st_ino && have.st_dev == now.st_dev) {
		(void)close(fd);
		return 0;
	}
	if (e->fd >= 0)
		(void)close(e->fd);
	e->fd = fd;
	e->len = 0;
	e->skip = false;
	return 1;
}

int cow_events_read(struct cow_events *e, cow_event_fn fn, void *ctx)
{
	int r;

	do {
		ssize_t n;

		while (e->fd >= 0 &&
		       (n = read(e->fd, e->buf + e->len, sizeof(e->buf) - 1 - e->len)) != 0) {
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			e->len += (size_t)n;
			r = take_lines(e, fn, ctx);
			if (r != 0)
				return r;
		}
		r = next_file(e);
	} while (r > 0);
	return r;
}
