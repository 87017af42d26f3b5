/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "rebase_rule.h"

#include <sys/stat.h>

#define OBJECT ((unsigned)COW_CHANGED_DATA | COW_CHANGED_TYPE)
/* Attributes that are worth a word when two changes of them clash; times are not. */
#define WORTHY ((unsigned)COW_CHANGED_MODE | COW_CHANGED_OWNER | COW_CHANGED_XATTRS)
#define FIELDS (WORTHY | COW_CHANGED_MTIME)

static struct cow_rebase_verdict verdict(enum cow_rebase_result result, enum cow_rebase_act act,
					 const char *why)
{
	return (struct cow_rebase_verdict){.result = result, .act = act, .why = why};
}

static struct cow_rebase_verdict kept(enum cow_rebase_act act, const char *why)
{
	return verdict(COW_REBASE_KEPT, act, why);
}

static struct cow_rebase_verdict dropped(const char *why)
{
	return verdict(COW_REBASE_DROPPED, COW_ACT_THEIRS, why);
}

/* Both changed it: @act keeps the client's. */
static struct cow_rebase_verdict conflict(const struct cow_rebase_case *c, enum cow_rebase_act act,
					  const char *why)
{
	if (c->policy == COW_POLICY_THEIRS)
		return dropped("the new version's, as asked");
	struct cow_rebase_verdict v = verdict(COW_REBASE_CONFLICT, act, why);
	v.save = c->policy == COW_POLICY_BOTH && c->their_type != 0;
	return v;
}

/* ---------------------------------------------------------------- attributes */

/* Both changed an attribute, and not to the same. */
static unsigned clashes(const struct cow_rebase_case *c)
{
	unsigned both = c->what & c->their_what;
	return (both & (COW_CHANGED_MODE | COW_CHANGED_OWNER) & ~c->agree) |
	       (c->xattrs_clash ? (unsigned)COW_CHANGED_XATTRS : 0);
}

/* v2's object with what the client changed of its attributes. @act: FIELDS, or MOVE. */
static struct cow_rebase_verdict merge_onto_theirs(const struct cow_rebase_case *c,
						   enum cow_rebase_act act)
{
	unsigned clash = clashes(c);
	struct cow_rebase_verdict v = kept(act, "");
	v.fields = c->what & FIELDS & ~c->agree;
	if (c->their_what & (OBJECT | COW_CHANGED_MTIME)) /* the time is the data's */
		v.fields &= ~(unsigned)COW_CHANGED_MTIME;
	if (clash && c->policy == COW_POLICY_THEIRS) {
		v.prefer_theirs = true;
		v.fields &= ~(clash & ~(unsigned)COW_CHANGED_XATTRS);
		v.result = COW_REBASE_MERGED;
		v.why = "attributes of the new version, as asked";
	} else if (clash) {
		v.result = COW_REBASE_CONFLICT;
		v.why = "both changed the same attribute";
	} else if (act == COW_ACT_FIELDS && !v.fields) {
		v.result = COW_REBASE_DROPPED;
		v.why = "the new version has the same, or a newer time";
	} else if (c->their_what & ~(unsigned)COW_CHANGED_MTIME) {
		v.result = COW_REBASE_MERGED;
		v.why = act == COW_ACT_MOVE ? "moved, the rest is the new version's"
					    : "the new version's, with attributes of the client";
	}
	return v;
}

/* The client's object with what v2 changed of its attributes. */
static struct cow_rebase_verdict merge_onto_ours(const struct cow_rebase_case *c)
{
	unsigned clash = clashes(c);
	struct cow_rebase_verdict v = kept(COW_ACT_OURS, "");
	v.fields = c->their_what & WORTHY & ~(c->what & ~(unsigned)COW_CHANGED_XATTRS) & ~c->agree;
	if (clash && c->policy == COW_POLICY_THEIRS) {
		v.prefer_theirs = true;
		v.fields |= clash;
	} else if (clash) {
		v.result = COW_REBASE_CONFLICT;
		v.why = "both changed the same attribute";
	}
	if (v.fields && v.result == COW_REBASE_KEPT) {
		v.result = COW_REBASE_MERGED;
		v.why = "the client's, with attributes of the new version";
	}
	return v;
}

/* ---------------------------------------------------------------- rows */

static struct cow_rebase_verdict judge_added(const struct cow_rebase_case *c)
{
	if (c->theirs != COW_THEIRS_NEW)
		return kept(COW_ACT_OURS, "");
	if (S_ISDIR(c->type) && S_ISDIR(c->their_type)) {
		if (!(WORTHY & ~c->agree))
			return dropped("the new version has the same");
		return c->policy == COW_POLICY_THEIRS
			   ? dropped("the new version's, as asked")
			   : verdict(COW_REBASE_MERGED, COW_ACT_OURS,
				     "the new version has a directory there, too");
	}
	if ((c->agree & OBJECT) == OBJECT)
		return dropped("the new version has the same");
	return conflict(c, COW_ACT_OURS, "the new version has something else there");
}

/* v2 has it no more: the client's stays by itself. */
static struct cow_rebase_verdict judge_gone(const struct cow_rebase_case *c)
{
	return c->policy == COW_POLICY_THEIRS
		   ? dropped("the new version has it no more, as asked")
		   : kept(COW_ACT_OURS, "the new version has it no more");
}

static struct cow_rebase_verdict judge_modified(const struct cow_rebase_case *c)
{
	if (c->needed)
		return conflict(c, COW_ACT_TREE,
				"no directory in the new version: kept as the client had it");
	if (c->theirs == COW_THEIRS_GONE)
		return judge_gone(c);
	if (c->below)
		return conflict(c, COW_ACT_OURS, "the new version changed what was in it");
	if (c->theirs != COW_THEIRS_CHANGED)
		return kept(COW_ACT_OURS, "");
	if (!(c->their_what & OBJECT))
		return c->what & COW_CHANGED_TYPE ? kept(COW_ACT_OURS, "") : merge_onto_ours(c);
	if ((c->agree & OBJECT) == OBJECT)
		return merge_onto_theirs(c, COW_ACT_FIELDS);
	return conflict(c, COW_ACT_OURS, "both changed it");
}

static struct cow_rebase_verdict judge_attributes(const struct cow_rebase_case *c)
{
	if (c->theirs == COW_THEIRS_GONE)
		return dropped("the new version has it no more");
	if (c->their_what & COW_CHANGED_TYPE)
		return dropped("of another type in the new version");
	return merge_onto_theirs(c, COW_ACT_FIELDS);
}

static struct cow_rebase_verdict judge_deleted(const struct cow_rebase_case *c)
{
	if (c->theirs == COW_THEIRS_GONE || c->theirs == COW_THEIRS_NOTHING)
		return dropped("the new version has it no more");
	if (c->anew)
		return conflict(c, COW_ACT_REMOVE, "new in a directory that the client made anew");
	if (c->below)
		return conflict(c, COW_ACT_REMOVE, "the new version changed what was in it");
	if (c->their_what & ~(unsigned)COW_CHANGED_MTIME)
		return conflict(c, COW_ACT_REMOVE, "the new version changed it");
	return kept(COW_ACT_REMOVE, "");
}

static struct cow_rebase_verdict judge_moved_file(const struct cow_rebase_case *c)
{
	unsigned both = c->what & c->their_what & COW_CHANGED_DATA;
	if (both && !(c->agree & COW_CHANGED_DATA) && c->policy != COW_POLICY_THEIRS)
		return conflict(c, COW_ACT_OURS, "both changed it");
	if (c->what & COW_CHANGED_DATA && !both)
		return merge_onto_ours(c);
	return merge_onto_theirs(c, COW_ACT_MOVE);
}

static struct cow_rebase_verdict judge_moved_from(const struct cow_rebase_case *c)
{
	bool gone = c->theirs == COW_THEIRS_GONE || c->their_what & COW_CHANGED_TYPE;
	if (gone && S_ISDIR(c->type))
		return conflict(c, COW_ACT_TREE,
				"the new version has it no more: kept as the client had it");
	if (gone)
		return judge_gone(c);
	struct cow_rebase_verdict v =
	    S_ISDIR(c->type) ? merge_onto_theirs(c, COW_ACT_MOVE) : judge_moved_file(c);
	if (c->their_move && v.result != COW_REBASE_CONFLICT) {
		v.result = COW_REBASE_CONFLICT;
		v.why = "the new version moved it, too";
	}
	return v;
}

static struct cow_rebase_verdict judge_moved(const struct cow_rebase_case *c)
{
	struct cow_rebase_verdict v = judge_moved_from(c);
	if (!c->taken || v.act == COW_ACT_THEIRS)
		return v;
	struct cow_rebase_verdict clash =
	    conflict(c, v.act, "the new version has something else at its new place");
	if (clash.act == COW_ACT_THEIRS)
		return clash;
	v.result = clash.result;
	v.why = clash.why;
	v.save = c->policy == COW_POLICY_BOTH;
	return v;
}

struct cow_rebase_verdict cow_rebase_judge(const struct cow_rebase_case *c)
{
	if (c->identity)
		return dropped("made anew for every root");
	if (c->package)
		return dropped("of packages: the new version's");
	switch (c->kind) {
	case COW_CHANGE_ADDED:
		return judge_added(c);
	case COW_CHANGE_MODIFIED:
		return judge_modified(c);
	case COW_CHANGE_ATTRIBUTES:
		return judge_attributes(c);
	case COW_CHANGE_DELETED:
		return judge_deleted(c);
	case COW_CHANGE_MOVED:
		return judge_moved(c);
	}
	return dropped("");
}
