/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Records and configuration: `key = value` lines, optional `[section]` lines, `#` comments.
 *
 * Grammar, by line (LF; one CR before it is dropped):
 *	blank | '#' anything | '[' section ']' | key blank* '=' blank* value blank*
 * key and section: 1..64 of [A-Za-z0-9._-]. value: any bytes but NUL and LF, outer blanks are cut,
 * so a value cannot begin or end with a blank; it is not quoted. A key may be repeated where its
 * reader says so (lists); elsewhere the last one wins. A line longer than COW_KV_LINE_MAX, a file
 * longer than COW_KV_FILE_MAX, a NUL, a line of another form: refused with its number.
 * Unknown keys are kept and written back, so that an older program does not lose a newer one's.
 */
#ifndef COW_COMMON_KV_H
#define COW_COMMON_KV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"

struct cow_kv;

int cow_kv_new(struct cow_kv **ret);
void cow_kv_free(struct cow_kv *kv); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_kv, cow_kv_free)
#define cow_autokv COW_CLEANUP(cow_auto_cow_kv_free) struct cow_kv *

/* Parse memory. @what names it in messages. Return: 0; -EINVAL with line number; -EFBIG; -ENOMEM. */
int cow_kv_parse(const char *buf, size_t len, const char *what, struct cow_kv **ret,
		 struct cow_err *err);

/* Read a file below a directory. -ENOENT is passed on with a message. */
int cow_kv_read_at(int dirfd, const char *name, struct cow_kv **ret, struct cow_err *err);

/* Write atomically (cow_write_file_at). Comments of the file read are not kept. */
int cow_kv_write_at(int dirfd, const char *name, const struct cow_kv *kv, mode_t mode,
		    struct cow_err *err);

/*
 * Section "" is the part before the first section line. cow_kv_get returns a pointer into the
 * record, valid until it is changed; NULL: absent.
 */
const char *cow_kv_get(const struct cow_kv *kv, const char *section, const char *key);

/* Nth occurrence of a repeated key, from 0; NULL: no more. */
const char *cow_kv_get_nth(const struct cow_kv *kv, const char *section, const char *key, size_t n);

/* Nth entry of the record whatever its key; -ENOENT at the end. Any ret may be NULL. */
int cow_kv_entry(const struct cow_kv *kv, size_t n, const char **ret_section, const char **ret_key,
		 const char **ret_value);

/* Replace all occurrences by one; NULL value removes. -EINVAL: bad key, or a value the grammar
 * cannot carry (LF, NUL, outer blanks). */
int cow_kv_set(struct cow_kv *kv, const char *section, const char *key, const char *value);
int cow_kv_setf(struct cow_kv *kv, const char *section, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Add one more occurrence. */
int cow_kv_add(struct cow_kv *kv, const char *section, const char *key, const char *value);

/* Serialise into memory the caller frees. */
int cow_kv_format(const struct cow_kv *kv, char **ret, size_t *ret_len);

/* Number with bounds; *ret keeps its value when the key is absent. -EINVAL/-ERANGE fills @err. */
int cow_kv_get_u64(const struct cow_kv *kv, const char *section, const char *key, uint64_t min,
		   uint64_t max, uint64_t *ret, struct cow_err *err);

/* "yes|true|on|1" and "no|false|off|0"; *ret (0 or 1) keeps its value when absent. */
int cow_kv_get_switch(const struct cow_kv *kv, const char *section, const char *key, int *ret,
		      struct cow_err *err);

#endif
