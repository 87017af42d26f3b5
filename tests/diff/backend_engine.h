/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Shared by the two files of the engine's side: operations, and what is seen afterwards.
 */
#ifndef COW_TESTS_DIFF_BACKEND_ENGINE_H
#define COW_TESTS_DIFF_BACKEND_ENGINE_H

#include "side.h"

#define KEPT_MAX 64

/* What tells one object from another, for ever. */
struct ident {
	uint64_t id;
	mode_t type;
	size_t len;
	uint8_t handle[COW_OVL_HANDLE_MAX];
};

struct engine {
	struct side side;
	struct engine_options how;
	struct cow_ovl_inst *inst;
	struct cow_ovl_node *root;
	struct {
		struct cow_ovl_open *o;
		unsigned flags;
	} open[SLOTS];
	struct {
		bool used;
		struct cow_ovl_node *node; /* NULL: gone, found at a restart */
		struct ident ident;
	} held[SLOTS];
	struct cow_ovl_node *kept[KEPT_MAX];
	size_t nkept;
	struct ident *seen; /* every object there was */
	size_t nseen, seen_room;
	unsigned snapshots;
	char complaint[2048];
};

void engine_complain(struct engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct ident ident_of(const struct cow_ovl_node *n);
bool ident_same(const struct ident *a, const struct ident *b);
/* Remember that it exists; complains when its id is another one than before. */
void engine_seen(struct engine *e, const struct ident *id, const char *where);

/* engine_tree.c */
void engine_snapshot(struct side *s, struct tree *ret);
struct entries {
	struct entry {
		char *name;
		uint64_t id, cookie;
		mode_t type;
		struct cow_ovl_node *node;
		struct cow_ovl_attr attr;
	} * v;
	size_t n, room;
};
/* At most @max entries behind *cookie, 0: all; added to @l. Moves the cookie. */
int engine_chunk(struct cow_ovl_node *dir, unsigned flags, uint64_t *cookie, size_t max,
		 struct entries *l, int *ret_eof);
/* All names; @step > 0: that many a call. */
int engine_list(struct cow_ovl_node *dir, unsigned flags, size_t step, struct entries *ret);
void entries_free(struct entries *l);

#endif
