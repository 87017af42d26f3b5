/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * LMDB as a database of dbloop: read through a mapping, written by pwrite(2) or through a writable
 * mapping, synced at each commit. Keys are N and k, big endian; N = 0 holds the last number.
 */
#include "dbloop.h"

#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "common/checked.h"
#include "util.h"

#define MAP_SIZE (64u << 20)
#define KEY_LEN 12

struct db {
	MDB_env *env;
	MDB_dbi dbi;
};

static void must_do(int r, const char *what)
{
	if (r == MDB_CORRUPTED || r == MDB_PAGE_NOTFOUND || r == MDB_INVALID ||
	    r == MDB_VERSION_MISMATCH || r == MDB_PANIC)
		damaged("%s: %s", what, mdb_strerror(r));
	if (r != 0)
		gone("%s: %s", what, mdb_strerror(r));
}

static void make_key(uint8_t key[KEY_LEN], uint64_t n, uint32_t k)
{
	for (unsigned i = 0; i < 8; i++)
		key[i] = (uint8_t)(n >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++)
		key[8 + i] = (uint8_t)(k >> (24 - 8 * i));
}

static void parse_key(const uint8_t *key, uint64_t *n, unsigned *k)
{
	*n = 0;
	*k = 0;
	for (unsigned i = 0; i < 8; i++)
		*n = *n << 8 | key[i];
	for (unsigned i = 8; i < KEY_LEN; i++)
		*k = *k << 8 | key[i];
}

static struct db *lm_open(const char *dir, const char *mode)
{
	static struct db db;
	MDB_txn *txn;
	must_do(mdb_env_create(&db.env), "env");
	must_do(mdb_env_set_mapsize(db.env, MAP_SIZE), "map size");
	must_do(mdb_env_open(db.env, dir, strcmp(mode, "writemap") == 0 ? MDB_WRITEMAP : 0, 0644),
		"open");
	must_do(mdb_txn_begin(db.env, NULL, 0, &txn), "begin");
	must_do(mdb_dbi_open(txn, NULL, 0, &db.dbi), "open the table");
	must_do(mdb_txn_commit(txn), "commit");
	return &db;
}

static uint64_t lm_last_in(struct db *db, MDB_txn *txn)
{
	uint8_t key[KEY_LEN];
	MDB_val value, name = {KEY_LEN, key};
	make_key(key, 0, 0);
	int r = mdb_get(txn, db->dbi, &name, &value);
	if (r == MDB_NOTFOUND)
		return 0;
	must_do(r, "read the last number");
	if (value.mv_size != 8)
		damaged("the last number has %zu bytes", value.mv_size);
	return cow_get_le64(value.mv_data);
}

static uint64_t lm_last(struct db *db)
{
	MDB_txn *txn;
	must_do(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn), "begin");
	uint64_t n = lm_last_in(db, txn);
	mdb_txn_abort(txn);
	return n;
}

static void lm_put(struct db *db, uint64_t n)
{
	uint8_t key[KEY_LEN], data[ROW_MAX];
	MDB_val name = {KEY_LEN, key}, value = {0, data};
	MDB_txn *txn;
	must_do(mdb_txn_begin(db->env, NULL, 0, &txn), "begin");
	for (unsigned k = 0; k < row_count(n); k++) {
		value.mv_size = row_fill(n, k, data);
		make_key(key, n, k);
		must_do(mdb_put(txn, db->dbi, &name, &value, MDB_NOOVERWRITE), "put");
	}
	for (unsigned k = 0; n > DB_KEPT && k < row_count(n - DB_KEPT); k++) {
		make_key(key, n - DB_KEPT, k);
		must_do(mdb_del(txn, db->dbi, &name, NULL), "remove");
	}
	cow_put_le64(data, n);
	value.mv_size = 8;
	make_key(key, 0, 0);
	must_do(mdb_put(txn, db->dbi, &name, &value, 0), "put");
	must_do(mdb_txn_commit(txn), "commit");
}

static void lm_check(struct db *db)
{
	MDB_txn *txn;
	MDB_cursor *c;
	MDB_val name, value;
	int r;
	must_do(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn), "begin");
	check_begin(lm_last_in(db, txn));
	must_do(mdb_cursor_open(txn, db->dbi, &c), "cursor");
	while ((r = mdb_cursor_get(c, &name, &value, MDB_NEXT)) == 0) {
		uint64_t n;
		unsigned k;
		if (name.mv_size != KEY_LEN)
			damaged("a key of %zu bytes", name.mv_size);
		parse_key(name.mv_data, &n, &k);
		if (n > 0)
			check_row(n, k, value.mv_data, value.mv_size);
	}
	if (r != MDB_NOTFOUND)
		must_do(r, "read the rows");
	mdb_cursor_close(c);
	mdb_txn_abort(txn);
	check_end();
}

const struct db_kind lmdb_kinds[] = {
    {"lmdb", lm_open, "", lm_last, lm_put, lm_check},
    {"lmdb-writemap", lm_open, "writemap", lm_last, lm_put, lm_check},
    {NULL},
};
