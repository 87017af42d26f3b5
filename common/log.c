/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One write(2) per line, bounded, with a syslog level prefix for the service manager.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static const char *log_ident;
static enum cow_log_level log_max = COW_LOG_INFO;
static int log_prefix = -1; /* 1: stderr is not a terminal */
static int log_syslog;

static const struct {
	const char *name;
	enum cow_log_level level;
} level_names[] = {
	{"error", COW_LOG_ERROR}, {"warning", COW_LOG_WARNING}, {"notice", COW_LOG_NOTICE},
	{"info", COW_LOG_INFO},	  {"debug", COW_LOG_DEBUG},
};

void cow_log_init(const char *ident, enum cow_log_level max_level)
{
	log_ident = ident;
	log_max = max_level;
	log_prefix = !isatty(STDERR_FILENO);
}

void cow_log_to_syslog(void)
{
	openlog(log_ident, LOG_PID, LOG_DAEMON);
	log_syslog = 1;
}

enum cow_log_level cow_log_max(void)
{
	return log_max;
}

int cow_log_level_parse(const char *s, enum cow_log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(s, level_names[i].name) == 0) {
			*ret_level = level_names[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

void cow_log(enum cow_log_level level, const char *fmt, ...)
{
	if (level > log_max)
		return;
	int saved_errno = errno;
	char line[2048];
	int at = 0;
	va_list ap;

	if (log_syslog) {
		va_start(ap, fmt);
		vsyslog((int)level, fmt, ap);
		va_end(ap);
		errno = saved_errno;
		return;
	}
	if (log_prefix != 0)
		at = snprintf(line, sizeof(line), "<%d>", (int)level);
	if (log_ident && at >= 0)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "%.64s: ", log_ident);
	va_start(ap, fmt);
	int n = vsnprintf(line + at, sizeof(line) - (size_t)at, fmt, ap);
	va_end(ap);
	size_t len = n < 0 ? (size_t)at : (size_t)at + (size_t)n;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	line[len++] = '\n';
	/* There is nowhere to report a log line that cannot be written. */
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written;
	errno = saved_errno;
}

/* Length of the valid UTF-8 sequence at @s (1..4), 0: none. RFC 3629, without surrogates. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (n > left || s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0; /* C1 control characters move terminals */
	return n;
}

struct cow_quoted cow_quote(const char *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	struct cow_quoted q;
	const unsigned char *s = (const unsigned char *)bytes;
	size_t at = 0;

	q.s[at++] = '\'';
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(s + i, len - i);

		if (at + 4 + 5 > sizeof(q.s)) { /* longest piece, then "...'" and NUL */
			memcpy(q.s + at, "...", 3);
			at += 3;
			break;
		}
		if (n == 0 || s[i] < 0x20 || s[i] == 0x7f || s[i] == '\'' || s[i] == '\\') {
			q.s[at++] = '\\';
			q.s[at++] = 'x';
			q.s[at++] = hex[s[i] >> 4];
			q.s[at++] = hex[s[i] & 15];
			i++;
			continue;
		}
		memcpy(q.s + at, s + i, n);
		at += n;
		i += n;
	}
	q.s[at++] = '\'';
	q.s[at] = '\0';
	return q;
}
