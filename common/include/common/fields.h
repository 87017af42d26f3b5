/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Lines of words, for reports between processes and for logs that are kept:
 *	KIND key=value key=value ...
 * one blank between words, LF at the end. KIND and keys: 1..32 of [a-z0-9_-]. In a value every byte but letters,
 * digits and ._:/@+,- is %HH (two upper-case hex digits); %00 is refused. So a value from the network
 * carries neither a blank nor a line end nor anything a terminal acts on, and a torn line has no LF.
 * Of a key that comes twice the first counts. Unknown keys and kinds are for newer programs.
 */
#ifndef COW_COMMON_FIELDS_H
#define COW_COMMON_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COW_FIELDS_LINE_MAX 2048 /* with its LF; below PIPE_BUF, so one write(2) is never torn */

/* A line being made. What does not fit makes cow_fields_end() fail. */
struct cow_fields {
	char line[COW_FIELDS_LINE_MAX];
	size_t len;
	bool full;
};

void cow_fields_begin(struct cow_fields *f, const char *kind);
void cow_fields_add(struct cow_fields *f, const char *key, const char *value); /* NULL: nothing */
void cow_fields_add_u64(struct cow_fields *f, const char *key, uint64_t value);
/* Append the LF and a NUL. Return: length without the NUL; -E2BIG. */
int cow_fields_end(struct cow_fields *f);

/* Is it a line of this kind? @line: without or with its LF. */
bool cow_fields_is(const char *line, const char *kind);

/* Value of a key, decoded. Return: 0; -ENOENT; -EINVAL malformed, or longer than @size - 1 bytes. */
int cow_fields_get(const char *line, const char *key, char *ret, size_t size);
/* -EINVAL also: no number, or above @max. */
int cow_fields_get_u64(const char *line, const char *key, uint64_t max, uint64_t *ret);

/*
 * cow_fields_next - walk the words after the kind. *pos starts as 0.
 * Return: 1 with key and decoded value; 0 at the end; -EINVAL a malformed or too long word, which is passed over.
 */
#define COW_FIELDS_KEY_MAX 32
int cow_fields_next(const char *line, size_t *pos, char key[COW_FIELDS_KEY_MAX + 1], char *ret,
		    size_t size);

#endif
