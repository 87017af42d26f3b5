/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The rule of a rebase, row by row: what the client did, what v2 did, what becomes of it.
 */
#include "cow_test.h"

#include <sys/stat.h>

#include "rebase_rule.h"

enum {
	DATA = COW_CHANGED_DATA,
	TYPE = COW_CHANGED_TYPE,
	MODE = COW_CHANGED_MODE,
	OWNER = COW_CHANGED_OWNER,
	MTIME = COW_CHANGED_MTIME,
	XATTRS = COW_CHANGED_XATTRS,
	OBJECT = DATA | TYPE,
};

#define A .kind = COW_CHANGE_ADDED
#define M .kind = COW_CHANGE_MODIFIED
#define T .kind = COW_CHANGE_ATTRIBUTES
#define D .kind = COW_CHANGE_DELETED
#define R .kind = COW_CHANGE_MOVED
#define DIR .type = S_IFDIR /* else a file */

#define NOTHING .theirs = COW_THEIRS_NOTHING
#define SAME .theirs = COW_THEIRS_SAME, .their_type = S_IFREG
#define SAME_DIR .theirs = COW_THEIRS_SAME, .their_type = S_IFDIR
#define GONE .theirs = COW_THEIRS_GONE
#define NEW .theirs = COW_THEIRS_NEW, .their_type = S_IFREG
#define NEW_DIR .theirs = COW_THEIRS_NEW, .their_type = S_IFDIR
#define CHANGED(what) .theirs = COW_THEIRS_CHANGED, .their_type = S_IFREG, .their_what = (what)
#define THEIRS .policy = COW_POLICY_THEIRS
#define BOTH .policy = COW_POLICY_BOTH

enum {
	KEPT = COW_REBASE_KEPT,
	DROPPED = COW_REBASE_DROPPED,
	MERGED = COW_REBASE_MERGED,
	CONFLICT = COW_REBASE_CONFLICT,
};
enum {
	act_theirs = COW_ACT_THEIRS,
	act_ours = COW_ACT_OURS,
	act_tree = COW_ACT_TREE,
	act_fields = COW_ACT_FIELDS,
	act_move = COW_ACT_MOVE,
	act_remove = COW_ACT_REMOVE,
};

static const struct row {
	const char *name;
	struct cow_rebase_case c;
	int result, act;
	unsigned fields;
	bool save;
} rows[] = {
    /* New files. */
    {"new, nothing there", {A, NOTHING}, KEPT, act_ours, 0, 0},
    {"new, v2 adds the same", {A, NEW, .agree = OBJECT}, DROPPED, act_theirs, 0, 0},
    {"new, v2 adds another", {A, NEW, .agree = TYPE}, CONFLICT, act_ours, 0, 0},
    {"new, v2 adds another, theirs", {A, NEW, .agree = TYPE, THEIRS}, DROPPED, act_theirs, 0, 0},
    {"new, v2 adds another, both", {A, NEW, .agree = TYPE, BOTH}, CONFLICT, act_ours, 0, 1},
    {"new, both, but v2 has nothing", {A, NOTHING, BOTH}, KEPT, act_ours, 0, 0},
    {"new, theirs, but v2 has nothing", {A, NOTHING, THEIRS}, KEPT, act_ours, 0, 0},
    {"new file, v2 adds a directory", {A, NEW_DIR}, CONFLICT, act_ours, 0, 0},
    /* New directories. */
    {"new directory, nothing there", {A, DIR, NOTHING}, KEPT, act_ours, 0, 0},
    {"new directory, v2 adds the same", {A, DIR, NEW_DIR, .agree = ~0u}, DROPPED, act_theirs, 0, 0},
    {"new directory, v2 adds one, too", {A, DIR, NEW_DIR, .agree = TYPE}, MERGED, act_ours, 0, 0},
    {"new directory, v2 adds one, theirs", {A, DIR, NEW_DIR, THEIRS}, DROPPED, act_theirs, 0, 0},
    {"new directory, v2 adds a file", {A, DIR, NEW}, CONFLICT, act_ours, 0, 0},
    {"new directory, v2 adds a file, both", {A, DIR, NEW, BOTH}, CONFLICT, act_ours, 0, 1},
    /* Changed data. */
    {"changed, same", {M, .what = DATA | MTIME, SAME}, KEPT, act_ours, 0, 0},
    {"changed, same, theirs", {M, .what = DATA, SAME, THEIRS}, KEPT, act_ours, 0, 0},
    {"changed, gone", {M, .what = DATA, GONE}, KEPT, act_ours, 0, 0},
    {"changed, gone, theirs", {M, .what = DATA, GONE, THEIRS}, DROPPED, act_theirs, 0, 0},
    {"changed, changed", {M, .what = DATA, CHANGED(DATA)}, CONFLICT, act_ours, 0, 0},
    {"changed, changed, theirs",
     {M, .what = DATA, CHANGED(DATA), THEIRS},
     DROPPED,
     act_theirs,
     0,
     0},
    {"changed, changed, both", {M, .what = DATA, CHANGED(DATA), BOTH}, CONFLICT, act_ours, 0, 1},
    {"changed, changed to the same",
     {M, .what = DATA | MTIME, CHANGED(DATA | MTIME), .agree = OBJECT},
     DROPPED,
     act_fields,
     0,
     0},
    {"changed, changed to the same, and a mode of ours",
     {M, .what = DATA | MODE, CHANGED(DATA), .agree = OBJECT},
     MERGED,
     act_fields,
     MODE,
     0},
    {"changed, mode changed", {M, .what = DATA, CHANGED(MODE)}, MERGED, act_ours, MODE, 0},
    {"changed, touched", {M, .what = DATA | MTIME, CHANGED(MTIME)}, KEPT, act_ours, 0, 0},
    {"changed with its mode, mode changed",
     {M, .what = DATA | MODE, CHANGED(MODE)},
     CONFLICT,
     act_ours,
     0,
     0},
    {"changed with its mode, mode changed to the same",
     {M, .what = DATA | MODE, CHANGED(MODE), .agree = MODE},
     KEPT,
     act_ours,
     0,
     0},
    {"changed with its mode, mode changed, theirs",
     {M, .what = DATA | MODE, CHANGED(MODE), THEIRS},
     MERGED,
     act_ours,
     MODE,
     0},
    {"changed with its mode, owner changed",
     {M, .what = DATA | MODE, CHANGED(OWNER)},
     MERGED,
     act_ours,
     OWNER,
     0},
    {"changed with an attribute, another attribute changed",
     {M, .what = DATA | XATTRS, CHANGED(XATTRS)},
     MERGED,
     act_ours,
     XATTRS,
     0},
    /* Types. */
    {"a file that became a directory, same", {M, DIR, .what = TYPE, SAME}, KEPT, act_ours, 0, 0},
    {"a file that became a directory, changed",
     {M, DIR, .what = TYPE, CHANGED(DATA)},
     CONFLICT,
     act_ours,
     0,
     0},
    {"a file that became a directory, mode changed",
     {M, DIR, .what = TYPE, CHANGED(MODE)},
     KEPT,
     act_ours,
     0,
     0},
    {"a directory that became a file, same", {M, .what = TYPE, SAME_DIR}, KEPT, act_ours, 0, 0},
    {"a directory that became a file, changed below",
     {M, .what = TYPE, SAME_DIR, .below = true},
     CONFLICT,
     act_ours,
     0,
     0},
    {"a directory that became a file, changed below, both",
     {M, .what = TYPE, SAME_DIR, .below = true, BOTH},
     CONFLICT,
     act_ours,
     0,
     1},
    {"a directory that became a file, gone", {M, .what = TYPE, GONE}, KEPT, act_ours, 0, 0},
    {"both made a link of it",
     {M, .what = TYPE, CHANGED(TYPE), .agree = OBJECT},
     DROPPED,
     act_fields,
     0,
     0},
    {"a directory that holds changes, v2 has a link there",
     {M, DIR, CHANGED(TYPE), .needed = true},
     CONFLICT,
     act_tree,
     0,
     0},
    {"a directory that holds changes, v2 has a link there, theirs",
     {M, DIR, CHANGED(TYPE), .needed = true, THEIRS},
     DROPPED,
     act_theirs,
     0,
     0},
    /* Attributes alone; a copy identical to v1 is no change at all. */
    {"mode, same", {T, .what = MODE, SAME}, KEPT, act_fields, MODE, 0},
    {"mode, gone", {T, .what = MODE, GONE}, DROPPED, act_theirs, 0, 0},
    {"mode, data changed", {T, .what = MODE, CHANGED(DATA | MTIME)}, MERGED, act_fields, MODE, 0},
    {"mode, owner changed", {T, .what = MODE, CHANGED(OWNER)}, MERGED, act_fields, MODE, 0},
    {"mode, mode changed", {T, .what = MODE, CHANGED(MODE)}, CONFLICT, act_fields, MODE, 0},
    {"mode, mode changed to the same",
     {T, .what = MODE, CHANGED(MODE), .agree = MODE},
     DROPPED,
     act_fields,
     0,
     0},
    {"mode, mode changed, theirs",
     {T, .what = MODE, CHANGED(MODE), THEIRS},
     MERGED,
     act_fields,
     0,
     0},
    {"mode and owner, mode changed, theirs",
     {T, .what = MODE | OWNER, CHANGED(MODE), THEIRS},
     MERGED,
     act_fields,
     OWNER,
     0},
    {"time, same", {T, .what = MTIME, SAME}, KEPT, act_fields, MTIME, 0},
    {"time, data changed", {T, .what = MTIME, CHANGED(DATA | MTIME)}, DROPPED, act_fields, 0, 0},
    {"time, time changed", {T, .what = MTIME, CHANGED(MTIME)}, DROPPED, act_fields, 0, 0},
    {"time, mode changed", {T, .what = MTIME, CHANGED(MODE)}, MERGED, act_fields, MTIME, 0},
    {"an attribute, another attribute",
     {T, .what = XATTRS, CHANGED(XATTRS)},
     MERGED,
     act_fields,
     XATTRS,
     0},
    {"an attribute, the same attribute",
     {T, .what = XATTRS, CHANGED(XATTRS), .xattrs_clash = true},
     CONFLICT,
     act_fields,
     XATTRS,
     0},
    {"mode, of another type now", {T, .what = MODE, CHANGED(TYPE)}, DROPPED, act_theirs, 0, 0},
    {"mode of a directory, mode changed",
     {T, DIR, .what = MODE, CHANGED(MODE)},
     CONFLICT,
     act_fields,
     MODE,
     0},
    /* Whiteouts. */
    {"deleted, same", {D, SAME}, KEPT, act_remove, 0, 0},
    {"deleted, gone", {D, GONE}, DROPPED, act_theirs, 0, 0},
    {"deleted, changed", {D, CHANGED(DATA)}, CONFLICT, act_remove, 0, 0},
    {"deleted, changed, theirs", {D, CHANGED(DATA), THEIRS}, DROPPED, act_theirs, 0, 0},
    {"deleted, changed, both", {D, CHANGED(DATA), BOTH}, CONFLICT, act_remove, 0, 1},
    {"deleted, mode changed", {D, CHANGED(MODE)}, CONFLICT, act_remove, 0, 0},
    {"deleted, touched", {D, CHANGED(MTIME)}, KEPT, act_remove, 0, 0},
    {"deleted directory, same", {D, DIR, SAME_DIR}, KEPT, act_remove, 0, 0},
    {"deleted directory, changed below",
     {D, DIR, SAME_DIR, .below = true},
     CONFLICT,
     act_remove,
     0,
     0},
    {"directory made anew, v2 adds to it", {D, NEW, .anew = true}, CONFLICT, act_remove, 0, 0},
    {"directory made anew, v2 adds to it, theirs",
     {D, NEW, .anew = true, THEIRS},
     DROPPED,
     act_theirs,
     0,
     0},
    /* Moves. */
    {"moved directory, same", {R, DIR, SAME_DIR}, KEPT, act_move, 0, 0},
    {"moved directory with a mode, owner changed",
     {R, DIR, .what = MODE, CHANGED(OWNER)},
     MERGED,
     act_move,
     MODE,
     0},
    {"moved directory, gone", {R, DIR, GONE}, CONFLICT, act_tree, 0, 0},
    {"moved directory, no directory any more", {R, DIR, CHANGED(TYPE)}, CONFLICT, act_tree, 0, 0},
    {"moved directory, v2 moved it, too",
     {R, DIR, SAME_DIR, .their_move = true},
     CONFLICT,
     act_move,
     0,
     0},
    {"moved directory, v2 has something there",
     {R, DIR, SAME_DIR, .taken = true},
     CONFLICT,
     act_move,
     0,
     0},
    {"moved directory, v2 has something there, both",
     {R, DIR, SAME_DIR, .taken = true, BOTH},
     CONFLICT,
     act_move,
     0,
     1},
    {"moved directory, v2 has something there, theirs",
     {R, DIR, SAME_DIR, .taken = true, THEIRS},
     DROPPED,
     act_theirs,
     0,
     0},
    {"moved file, same", {R, SAME}, KEPT, act_move, 0, 0},
    {"moved file, changed", {R, CHANGED(DATA)}, MERGED, act_move, 0, 0},
    {"moved file, gone", {R, GONE}, KEPT, act_ours, 0, 0},
    {"moved and changed file, same", {R, .what = DATA, SAME}, KEPT, act_ours, 0, 0},
    {"moved and changed file, changed", {R, .what = DATA, CHANGED(DATA)}, CONFLICT, act_ours, 0, 0},
    {"moved and changed file, changed, theirs",
     {R, .what = DATA, CHANGED(DATA), THEIRS},
     MERGED,
     act_move,
     0,
     0},
    {"moved and changed file, changed, both",
     {R, .what = DATA, CHANGED(DATA), BOTH},
     CONFLICT,
     act_ours,
     0,
     1},
    /* What is not the client's to keep. */
    {"host name", {M, .what = DATA, CHANGED(DATA), .identity = true}, DROPPED, act_theirs, 0, 0},
    {"package database", {M, .what = DATA, SAME, .package = true}, DROPPED, act_theirs, 0, 0},
};

static void every_row_of_the_table(void **state)
{
	unsigned wrong = 0;
	(void)state;
	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		const struct row *r = &rows[k];
		struct cow_rebase_case c = r->c;
		c.type = c.type ? c.type : S_IFREG;
		struct cow_rebase_verdict v = cow_rebase_judge(&c);
		assert_non_null(v.why);
		if ((int)v.result == r->result && (int)v.act == r->act && v.fields == r->fields &&
		    v.save == r->save)
			continue;
		print_error("%s: result %d act %d fields %#x save %d\n", r->name, (int)v.result,
			    (int)v.act, v.fields, v.save);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* Whatever the case: a conflict has a reason, theirs never conflicts, and nothing is saved unasked. */
static void no_case_is_without_an_answer(void **state)
{
	(void)state;
	static const mode_t types[] = {S_IFREG, S_IFDIR};
	for (unsigned n = 0; n < 5 * 5 * 3 * 2 * 2 * 64 * 64; n++) {
		unsigned k = n;
		struct cow_rebase_case c = {0};
		c.kind = (enum cow_ovl_change_kind)(k % 5), k /= 5;
		c.theirs = (enum cow_rebase_theirs)(k % 5), k /= 5;
		c.policy = (enum cow_rebase_policy)(k % 3), k /= 3;
		c.type = types[k % 2], k /= 2;
		c.their_type = types[k % 2], k /= 2;
		c.what = k % 64, k /= 64;
		c.their_what = c.theirs == COW_THEIRS_CHANGED ? k : 0;
		struct cow_rebase_verdict v = cow_rebase_judge(&c);
		if (v.result == COW_REBASE_CONFLICT) {
			assert_true(*v.why);
			assert_true(v.act != COW_ACT_THEIRS);
			assert_true(c.policy != COW_POLICY_THEIRS);
		}
		assert_true(!v.save || c.policy == COW_POLICY_BOTH);
		if (v.act == COW_ACT_THEIRS)
			assert_int_equal(v.result, COW_REBASE_DROPPED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_row_of_the_table),
	    cmocka_unit_test(no_case_is_without_an_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
