/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * SQLite as a database of dbloop, with a write-ahead log or a rollback journal, synced at each commit.
 */
#include "dbloop.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

struct db {
	sqlite3 *h;
	sqlite3_stmt *insert, *remove, *mark;
};

/* A damaged file is what the test looks for, all else is a file system that went away. */
static void __attribute__((noreturn)) failed(struct db *db, const char *what)
{
	int code = sqlite3_errcode(db->h);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		damaged("%s: %s", what, sqlite3_errmsg(db->h));
	gone("%s: %s (%d)", what, sqlite3_errmsg(db->h), sqlite3_extended_errcode(db->h));
}

static void run_sql(struct db *db, const char *sql)
{
	if (sqlite3_exec(db->h, sql, NULL, NULL, NULL) != SQLITE_OK)
		failed(db, sql);
}

static sqlite3_stmt *prepare(struct db *db, const char *sql)
{
	sqlite3_stmt *s;
	if (sqlite3_prepare_v2(db->h, sql, -1, &s, NULL) != SQLITE_OK)
		failed(db, sql);
	return s;
}

static struct db *sql_open(const char *dir, const char *mode)
{
	static struct db db;
	char path[4096], sql[64];
	(void)snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	if (sqlite3_open(path, &db.h) != SQLITE_OK)
		failed(&db, "open");
	(void)sqlite3_busy_timeout(db.h, 5000);
	(void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", mode);
	run_sql(&db, sql);
	run_sql(&db, "PRAGMA synchronous=FULL");
	run_sql(&db, "PRAGMA wal_autocheckpoint=100");
	run_sql(
	    &db,
	    "CREATE TABLE IF NOT EXISTS rows(n INTEGER, k INTEGER, data BLOB, PRIMARY KEY(n, k))");
	run_sql(&db, "CREATE INDEX IF NOT EXISTS by_length ON rows(length(data))");
	run_sql(&db, "CREATE TABLE IF NOT EXISTS last(one INTEGER PRIMARY KEY, n INTEGER)");
	db.insert = prepare(&db, "INSERT INTO rows VALUES(?1, ?2, ?3)");
	db.remove = prepare(&db, "DELETE FROM rows WHERE n = ?1");
	db.mark = prepare(&db, "INSERT OR REPLACE INTO last VALUES(1, ?1)");
	return &db;
}

static uint64_t sql_last(struct db *db)
{
	sqlite3_stmt *s = prepare(db, "SELECT n FROM last");
	int r = sqlite3_step(s);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		failed(db, "read the last number");
	uint64_t n = r == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
	(void)sqlite3_finalize(s);
	return n;
}

static void step(struct db *db, sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE)
		failed(db, sqlite3_sql(s));
	(void)sqlite3_reset(s);
}

static void sql_put(struct db *db, uint64_t n)
{
	uint8_t data[ROW_MAX];
	run_sql(db, "BEGIN IMMEDIATE");
	for (unsigned k = 0; k < row_count(n); k++) {
		size_t len = row_fill(n, k, data);
		(void)sqlite3_bind_int64(db->insert, 1, (sqlite3_int64)n);
		(void)sqlite3_bind_int(db->insert, 2, (int)k);
		(void)sqlite3_bind_blob(db->insert, 3, data, (int)len, SQLITE_TRANSIENT);
		step(db, db->insert);
	}
	if (n > DB_KEPT) {
		(void)sqlite3_bind_int64(db->remove, 1, (sqlite3_int64)(n - DB_KEPT));
		step(db, db->remove);
	}
	(void)sqlite3_bind_int64(db->mark, 1, (sqlite3_int64)n);
	step(db, db->mark);
	run_sql(db, "COMMIT");
}

static void sql_check(struct db *db)
{
	int r;
	sqlite3_stmt *s = prepare(db, "PRAGMA integrity_check");
	if (sqlite3_step(s) != SQLITE_ROW)
		failed(db, "integrity check");
	if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
		damaged("integrity check: %s", (const char *)sqlite3_column_text(s, 0));
	(void)sqlite3_finalize(s);
	check_begin(sql_last(db));
	s = prepare(db, "SELECT n, k, data FROM rows");
	while ((r = sqlite3_step(s)) == SQLITE_ROW)
		check_row((uint64_t)sqlite3_column_int64(s, 0), (unsigned)sqlite3_column_int(s, 1),
			  sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2));
	if (r != SQLITE_DONE)
		failed(db, "read the rows");
	(void)sqlite3_finalize(s);
	check_end();
}

const struct db_kind sqlite_kinds[] = {
    {"sqlite-wal", sql_open, "WAL", sql_last, sql_put, sql_check},
    {"sqlite-rollback", sql_open, "DELETE", sql_last, sql_put, sql_check},
    {NULL},
};
