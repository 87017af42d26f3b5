/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Logging of daemons: one line per event on stderr, with the "<N>" level prefix the service manager
 * understands (sd-daemon(3)) when stderr is not a terminal. Libraries stay silent above debug; the
 * program that ends an operation logs it once. Names from outside go through COW_Q().
 */
#ifndef COW_COMMON_LOG_H
#define COW_COMMON_LOG_H

#include <stddef.h>

enum cow_log_level {
	COW_LOG_ERROR = 3, /* numbers of syslog(3) */
	COW_LOG_WARNING = 4,
	COW_LOG_NOTICE = 5,
	COW_LOG_INFO = 6,
	COW_LOG_DEBUG = 7,
};

/* Threads: set before threads start. @ident is kept as pointer; NULL: none. */
void cow_log_init(const char *ident, enum cow_log_level max_level);
enum cow_log_level cow_log_max(void);

/* From now on to syslog(3): for a daemon that has left its terminal. */
void cow_log_to_syslog(void);

/* Writes one line with one write(2), so that lines of threads do not mix. errno is kept. */
void cow_log(enum cow_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Parse "error", "warning", "notice", "info", "debug". Return: 0, -EINVAL. */
int cow_log_level_parse(const char *s, enum cow_log_level *ret_level);

#define COW_QUOTE_MAX 512
struct cow_quoted {
	char s[COW_QUOTE_MAX];
};

/*
 * cow_quote - make bytes from outside safe to print: printable ASCII and valid UTF-8 stay, quote,
 * backslash, control and other bytes become \xHH; cut with "..." when too long. In quotes.
 */
struct cow_quoted cow_quote(const char *bytes, size_t len);
#define COW_Q(str) (cow_quote((str), __builtin_strlen(str)).s)

#endif
