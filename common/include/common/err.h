/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Errors. Functions return 0 (or a count) or a negative errno. Operations an administrator starts
 * also take a last `struct cow_err *`, which lives on the caller's stack, may be NULL, and carries
 * the exit status and a message built outward: what was tried, on which name, why, what to do next.
 */
#ifndef COW_COMMON_ERR_H
#define COW_COMMON_ERR_H

#include <stddef.h>

/* The numbers are the exit status of the command line tools (architecture: a contract). */
enum cow_err_code {
	COW_OK = 0,
	COW_ERR_FAILED = 1,
	COW_ERR_USAGE = 2,
	COW_ERR_NOT_FOUND = 3,
	COW_ERR_BUSY = 4,
	COW_ERR_REFUSED = 5,
};

#define COW_ERR_TEXT_MAX 1024

struct cow_err {
	enum cow_err_code code;
	int errnum;                  /* positive errno; 0: none */
	char text[COW_ERR_TEXT_MAX]; /* always terminated; cut at the end when too long */
};

#define COW_ERR_INIT ((struct cow_err){.code = COW_OK})

/*
 * cow_err_set - fill in an error and return its number.
 * @r: negative errno. The code is derived from it (ENOENT: not found; EBUSY, EWOULDBLOCK: busy;
 *     EEXIST, EPERM, EACCES: refused; else failed); cow_err_code_set() changes it.
 * The text is "<message>: <strerror>"; existing text is replaced. errno is kept.
 * Return: @r, so that callers can write `return cow_err_set(err, -errno, "open '%s'", name)`.
 * Threads: any, one thread per object.
 */
int cow_err_set(struct cow_err *err, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without the system's text for @r: the message says it all. */
int cow_err_say(struct cow_err *err, enum cow_err_code code, int r, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Put context in front: "<message>: <text so far>". Keeps code and errnum. Returns @r. */
int cow_err_prefix(struct cow_err *err, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Add a sentence behind the text: what to do next. Returns @r. */
int cow_err_hint(struct cow_err *err, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Never NULL. */
const char *cow_err_str(const struct cow_err *err);

/* Exit status for main(): the code, or 1 where a negative @r came without one. */
int cow_err_exit_status(const struct cow_err *err, int r);

#endif
