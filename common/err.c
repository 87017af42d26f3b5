/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * An error gains context while it climbs; the text is built in place, cut at its end when too long.
 */
#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum cow_err_code code_of(int r)
{
	switch (-r) {
	case 0:
		return COW_OK;
	case ENOENT:
		return COW_ERR_NOT_FOUND;
	case EBUSY:
	case EWOULDBLOCK:
		return COW_ERR_BUSY;
	case EEXIST:
	case EPERM:
	case EACCES:
		return COW_ERR_REFUSED;
	default:
		return COW_ERR_FAILED;
	}
}

/* Appends at @at; returns the new end, at most the last byte. */
static size_t append(struct cow_err *err, size_t at, const char *s)
{
	size_t room = sizeof(err->text) - 1 - at;
	size_t n = strnlen(s, room);

	memcpy(err->text + at, s, n);
	err->text[at + n] = '\0';
	return at + n;
}

__attribute__((format(printf, 2, 0))) static size_t format(struct cow_err *err, const char *fmt,
							    va_list ap)
{
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);

	if (n < 0) {
		err->text[0] = '\0';
		return 0;
	}
	return (size_t)n < sizeof(err->text) ? (size_t)n : sizeof(err->text) - 1;
}

int cow_err_set(struct cow_err *err, int r, const char *fmt, ...)
{
	if (!err)
		return r;
	int saved_errno = errno;
	va_list ap;
	va_start(ap, fmt);
	size_t at = format(err, fmt, ap);
	va_end(ap);
	if (r < 0) {
		char buf[128];
		at = append(err, at, ": ");
		append(err, at, strerror_r(-r, buf, sizeof(buf)));
	}
	err->code = code_of(r);
	err->errnum = -r;
	errno = saved_errno;
	return r;
}

int cow_err_say(struct cow_err *err, enum cow_err_code code, int r, const char *fmt, ...)
{
	if (!err)
		return r;
	va_list ap;
	va_start(ap, fmt);
	format(err, fmt, ap);
	va_end(ap);
	err->code = code;
	err->errnum = -r;
	return r;
}

int cow_err_prefix(struct cow_err *err, int r, const char *fmt, ...)
{
	if (!err)
		return r;
	char old[COW_ERR_TEXT_MAX];
	memcpy(old, err->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	size_t at = format(err, fmt, ap);
	va_end(ap);
	at = append(err, at, ": ");
	append(err, at, old);
	return r;
}

int cow_err_hint(struct cow_err *err, int r, const char *fmt, ...)
{
	if (!err)
		return r;
	char hint[COW_ERR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(hint, sizeof(hint), fmt, ap) < 0)
		hint[0] = '\0';
	va_end(ap);
	size_t at = append(err, strlen(err->text), "; ");
	append(err, at, hint);
	return r;
}

const char *cow_err_str(const struct cow_err *err)
{
	return err && err->text[0] ? err->text : "unknown error";
}

int cow_err_exit_status(const struct cow_err *err, int r)
{
	if (r >= 0)
		return 0;
	if (err && err->code != COW_OK)
		return (int)err->code;
	return (int)code_of(r);
}
