/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A database that dbloop writes to and looks through: what each kind of database has to offer, and
 * the rows of a transaction, which follow from its number.
 *
 * Transaction N: rows (N, k) for k below row_count(N) with row_fill(N, k); "last" is N; the rows of
 * transaction N - DB_KEPT are removed. The database is whole when "last" is L, all rows of the
 * transactions behind L - DB_KEPT up to L are there as they should be, and there are no others.
 */
#ifndef COW_TESTS_DBLOOP_H
#define COW_TESTS_DBLOOP_H

#include <stddef.h>
#include <stdint.h>

#define DB_KEPT 200
#define ROWS_MAX 12
#define ROW_MAX 6000

struct db; /* of its kind */

struct db_kind {
	const char *name;
	/* The directory is there; makes the database when there is none. */
	struct db *(*open)(const char *dir, const char *mode);
	const char *mode;
	uint64_t (*last)(struct db *db); /* 0: none yet */
	void (*put)(struct db *db, uint64_t n);
	void (*check)(struct db *db); /* own idea of integrity, then check_begin() and so on */
};
extern const struct db_kind sqlite_kinds[], lmdb_kinds[]; /* end with name NULL */

unsigned row_count(uint64_t n);
/* Return: length. */
size_t row_fill(uint64_t n, unsigned k, uint8_t buf[ROW_MAX]);

/* All rows, in any order. */
void check_begin(uint64_t last);
void check_row(uint64_t n, unsigned k, const void *data, size_t len);
void check_end(void);

/* The database is damaged: says why, exit status 1. */
void __attribute__((noreturn, format(printf, 1, 2))) damaged(const char *fmt, ...);
/* A call failed (the file system is gone): exit status 3. */
void __attribute__((noreturn, format(printf, 1, 2))) gone(const char *fmt, ...);

#endif
