/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * dbloop - transactions without end on a database, to be killed; and the look at what is left.
 *
 *	dbloop run KIND DIR ACKS [N]   go on behind the last transaction, N or for ever; the number of
 *	                               each that was committed is appended to ACKS, outside of the mount
 *	dbloop check KIND DIR ACKS     the database is whole, all transactions in ACKS are in it and at
 *	                               most one more
 *
 * KIND: sqlite-wal, sqlite-rollback, lmdb, lmdb-writemap.
 * Exit status: 0; 1 damaged; 2 trouble; 3 a call failed: the file system is gone.
 */
#include "dbloop.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "rng.h"
#include "util.h"

static void __attribute__((format(printf, 2, 0))) say(const char *what, const char *fmt, va_list ap)
{
	(void)printf("%s: ", what);
	(void)vprintf(fmt, ap);
	(void)printf("\n");
	(void)fflush(stdout);
}

void damaged(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say("DAMAGED", fmt, ap);
	va_end(ap);
	_exit(1);
}

void gone(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say("failed", fmt, ap);
	va_end(ap);
	_exit(3);
}

static void on_sigbus(int sig)
{
	_exit(sig == SIGBUS ? 3 : 2); /* a mapped page that cannot be read any more */
}

/* ---------------------------------------------------------------- rows */

unsigned row_count(uint64_t n)
{
	struct rng r = rng_part(n, 1);
	return 1 + rng_below(&r, ROWS_MAX);
}

size_t row_fill(uint64_t n, unsigned k, uint8_t buf[ROW_MAX])
{
	struct rng r = rng_part(n, 2 + k);
	size_t len = rng_chance(&r, 80) ? 1 + rng_below(&r, 300) : 1 + rng_below(&r, ROW_MAX);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)rng_next(&r);
	return len;
}

static struct {
	uint64_t first, last;
	bool seen[DB_KEPT][ROWS_MAX];
} found;

void check_begin(uint64_t last)
{
	memset(&found, 0, sizeof(found));
	found.last = last;
	found.first = last > DB_KEPT ? last - DB_KEPT + 1 : 1;
}

void check_row(uint64_t n, unsigned k, const void *data, size_t len)
{
	uint8_t want[ROW_MAX];
	if (n < found.first || n > found.last || k >= row_count(n))
		damaged("row %" PRIu64 ".%u, but the last transaction is %" PRIu64, n, k,
			found.last);
	if (found.seen[n % DB_KEPT][k])
		damaged("row %" PRIu64 ".%u twice", n, k);
	if (len != row_fill(n, k, want) || memcmp(want, data, len) != 0)
		damaged("row %" PRIu64 ".%u has other content", n, k);
	found.seen[n % DB_KEPT][k] = true;
}

void check_end(void)
{
	for (uint64_t n = found.first; n <= found.last; n++)
		for (unsigned k = 0; k < row_count(n); k++)
			if (!found.seen[n % DB_KEPT][k])
				damaged("row %" PRIu64
					".%u is missing; the last transaction is %" PRIu64,
					n, k, found.last);
}

/* ---------------------------------------------------------------- the two uses */

static uint64_t last_ack(const char *path)
{
	uint64_t n = 0;
	struct stat st;
	cow_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		trouble("look at %s", path);
	off_t whole = st.st_size / 8;
	if (whole && cow_pread_full(fd, &n, sizeof(n), (whole - 1) * 8) != sizeof(n))
		trouble("read %s", path);
	return n;
}

static void run(const struct db_kind *kind, struct db *db, const char *acks, uint64_t count)
{
	cow_autoclose int fd = open(acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		trouble("open %s", acks);
	uint64_t n = kind->last(db);
	for (uint64_t k = 0; k < count; k++) {
		kind->put(db, ++n);
		if (cow_write_full(fd, &n, sizeof(n)) < 0)
			trouble("write %s", acks);
	}
}

static void check(const struct db_kind *kind, struct db *db, const char *acks)
{
	uint64_t acked = last_ack(acks), last = kind->last(db);
	kind->check(db);
	if (last < acked || last > acked + 1)
		damaged("%" PRIu64 " was acknowledged, the last one is %" PRIu64, acked, last);
	(void)printf("%s: %" PRIu64 " transactions, whole\n", kind->name, last);
}

static const struct db_kind *kind_of(const char *name)
{
	for (const struct db_kind *k = sqlite_kinds; k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	for (const struct db_kind *k = lmdb_kinds; k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t count = UINT64_MAX;
	const struct db_kind *kind = argc > 2 ? kind_of(argv[2]) : NULL;
	bool running = argc > 1 && strcmp(argv[1], "run") == 0;
	if (argc < 5 || !kind || (!running && strcmp(argv[1], "check") != 0) ||
	    (argc > 5 && cow_parse_u64(argv[5], 1, UINT64_MAX, &count) < 0)) {
		(void)fprintf(stderr, "usage: dbloop run|check KIND DIR ACKS [N]\n");
		return EXIT_TROUBLE;
	}
	(void)signal(SIGBUS, on_sigbus);
	struct db *db = kind->open(argv[3], kind->mode);
	if (running)
		run(kind, db, argv[4], count);
	else
		check(kind, db, argv[4]);
	return 0; /* left open: as if it were killed */
}
