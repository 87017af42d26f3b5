/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the commands share: finding the store, reporting errors, printing tables and JSON.
 */
#ifndef COW_TOOLS_CLI_H
#define COW_TOOLS_CLI_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"
#include "config.h"
#include "snapshot/store.h"

/*
 * Values of --store and --config as given; NULL: not given. The environment (COWHERD_STORE,
 * COWHERD_CONFIG) comes next, then the configuration's `[store] path`, then the defaults.
 * Options before the command are put into the environment by main(), so that commands see them too.
 */
struct cow_cli_where {
	const char *store;
	const char *config;
};

/* Path of the store; the caller frees it. */
int cow_cli_store_path(const struct cow_cli_where *w, char **ret, struct cow_err *err);

/* Open the store. With `[store] loop = FILE` a loop file that is not mounted yet (after a reboot)
 * is mounted first. */
int cow_cli_store_open(const struct cow_cli_where *w, struct cow_store **ret, struct cow_err *err);

/* Print "cowherd: <text>" on stderr. Return: exit status. */
int cow_cli_fail(const struct cow_err *err, int r);

/* Print "cowherd <command>: <message>" and how to get help on stderr. Return: COW_ERR_USAGE. */
int cow_cli_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Flush stdout. Return: exit status; a full disk or closed pipe is a failure that says so. */
int cow_cli_flush(void);

/* Print and release @obj. Return: as cow_cli_flush(). */
int cow_cli_json(struct json_object *obj);

/* Add to a JSON object; NULL strings become "". */
void cow_cli_json_str(struct json_object *obj, const char *key, const char *value);
void cow_cli_json_u64(struct json_object *obj, const char *key, uint64_t value);
/* Time as RFC 3339 text; 0: null. */
void cow_cli_json_time(struct json_object *obj, const char *key, int64_t realtime_s);

/*
 * Tables: columns as wide as their widest cell, two blanks between, none behind the last.
 * cow_table_row() copies its cells; the first row is the heading. Cells from outside are made safe
 * to print on a terminal.
 */
struct cow_table;
int cow_table_new(unsigned columns, struct cow_table **ret);
void cow_table_free(struct cow_table *t); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_table, cow_table_free)
#define cow_autotable COW_CLEANUP(cow_auto_cow_table_free) struct cow_table *
int cow_table_row(struct cow_table *t, const char *const *cells);
void cow_table_print(const struct cow_table *t);

/*
 * Print a path from an image or a root, with one '/' in front: as it is when that is safe on a terminal and
 * in one line, else in double quotes with C escapes (\n, \t, \", \\, \ooo), as git does.
 */
void cow_cli_path(FILE *out, const char *path);

/* The same as text for JSON, which cannot carry bytes that are not UTF-8: as it is when it is UTF-8,
 * else with \ooo for each such byte and \\ for a backslash; @ret_escaped tells which. */
char *cow_cli_json_path(const char *path, int *ret_escaped);

/* "4 s ago", "3 min ago", "2 h ago", "5 d ago", "never" for 0. */
#define COW_AGO_LEN 32
void cow_cli_ago(int64_t when_s, int64_t now_s, char ret[COW_AGO_LEN]);

/* "12.3 MiB". */
#define COW_BYTES_LEN 32
void cow_cli_bytes(uint64_t bytes, char ret[COW_BYTES_LEN]);

#endif
