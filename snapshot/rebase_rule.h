/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The rule of a rebase: what becomes of one change that a client made of version v1, given what v2 has
 * there. No file is looked at; the tables are those of cowherd-client(8), REBASE.
 */
#ifndef COW_SNAPSHOT_REBASE_RULE_H
#define COW_SNAPSHOT_REBASE_RULE_H

#include <stdbool.h>
#include <sys/types.h>

#include "overlay/overlay.h"
#include "snapshot/rebase.h"

/* What v2 has at the place, compared with v1. */
enum cow_rebase_theirs {
	COW_THEIRS_NOTHING, /* neither has anything */
	COW_THEIRS_SAME,
	COW_THEIRS_CHANGED, /* see @their_what */
	COW_THEIRS_GONE,
	COW_THEIRS_NEW, /* v1 had nothing */
};

enum cow_rebase_policy {
	COW_POLICY_OURS,
	COW_POLICY_THEIRS, /* where both changed something, v2's */
	COW_POLICY_BOTH,   /* the client's, and v2's beside it */
};

struct cow_rebase_case {
	enum cow_ovl_change_kind kind; /* the client's */
	unsigned what;		       /* COW_CHANGED_* it changed of v1 */
	mode_t type;		       /* S_IF* of what it has; DELETED: of what was */
	enum cow_rebase_theirs theirs; /* MOVED: at the old place */
	unsigned their_what;	       /* CHANGED: COW_CHANGED_* v2 changed of v1 */
	mode_t their_type;	       /* S_IF*; NOTHING, GONE: 0 */
	bool
	    below; /* a directory of v1 that is none any more, or gone: v2 changed something in it */
	unsigned agree;	   /* COW_CHANGED_* that the client and v2 have alike now */
	bool xattrs_clash; /* both changed one extended attribute, to different values */
	bool their_move;   /* MOVED: v2 has it at another place than v1 */
	bool taken;	   /* MOVED: v2 has something new where the client has moved it */
	bool anew;	   /* NEW in a directory that the client has removed and made again */
	bool
	    needed; /* a directory of v1 that the client has things in, and v2 has no directory there */
	bool identity; /* cowherd's own, new in every root */
	bool package;  /* of the package database, or of a package: not to be kept */
	enum cow_rebase_policy policy;
};

enum cow_rebase_act {
	COW_ACT_THEIRS, /* nothing to do: the new root has it */
	COW_ACT_OURS,	/* the client's object; of a directory itself alone */
	COW_ACT_TREE,	/* the client's directory with all that it shows in it */
	COW_ACT_FIELDS, /* v2's object, but for @fields */
	COW_ACT_MOVE,	/* the same, moved to the client's place */
	COW_ACT_REMOVE,
};

struct cow_rebase_verdict {
	enum cow_rebase_result result;
	enum cow_rebase_act act;
	/* COW_CHANGED_MODE, _OWNER, _MTIME, _XATTRS. FIELDS, MOVE: taken from the client; OURS: taken from v2.
	 * Extended attributes are merged one by one. */
	unsigned fields;
	bool prefer_theirs; /* an extended attribute that both changed gets v2's value */
	bool save;	    /* what v2 has there is kept beside it */
	const char *why;    /* static text; "" */
};

struct cow_rebase_verdict cow_rebase_judge(const struct cow_rebase_case *c);

#endif
