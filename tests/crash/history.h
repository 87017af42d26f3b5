/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A history: steps a client makes one after the other below a directory that is his alone, and what
 * the tree shows before and after each of them. What a cut may leave is judged by it.
 */
#ifndef COW_TESTS_CRASH_HISTORY_H
#define COW_TESTS_CRASH_HISTORY_H

#include "rng.h"
#include "state.h"

enum kind {
	K_CREATE,
	K_MKDIR,
	K_SYMLINK,
	K_FIFO,
	K_LINK,
	K_RENAME,
	K_EXCHANGE,
	K_REMOVE,
	K_CHMOD,
	K_CHOWN,
	K_UTIMES,
	K_SETXATTR,
	K_REMOVEXATTR,
	K_TRUNCATE,
	/* From here on of data: only the file's own is on disk after it. */
	K_WRITE,   /* write, commit */
	K_STABLE,  /* one stable write */
	K_REWRITE, /* open with truncation, write, commit */
	K_ALLOC,
	K_SCRATCH, /* write, no commit */
	K_SYNC,	   /* the whole instance */
	KINDS,
};

struct step {
	enum kind kind;
	unsigned arg; /* mode, owner, time, fill */
	uint64_t off, len;
	char path[PATH_LEN], path2[PATH_LEN]; /* below the top */
};

#define STEPS_MAX 400

struct history {
	char top[64]; /* directory */
	size_t n;
	struct step step[STEPS_MAX + 1];   /* from 1 on */
	struct state state[STEPS_MAX + 1]; /* state[k]: after step k */
};

/* Handles of what steps made, by step; in shared memory where a worker fills it. */
struct made {
	struct {
		size_t len;
		uint8_t handle[COW_OVL_HANDLE_MAX];
	} v[STEPS_MAX + 1];
};
uint64_t made_who(void *ctx, const uint8_t *handle, size_t len);

const char *step_text(const struct step *s, char buf[3 * PATH_LEN]);
/* Return: 0 or -errno. @made: where the handle of a new object goes, or NULL. */
int step_run(struct cow_ovl_inst *i, const char *top, const struct step *s, struct made *made,
	     size_t number);

/* ---- steps_fd.c: the same by system calls, but for K_SYNC. @root: where @top is. */
int step_run_at(int root, const char *top, const struct step *s);

/*
 * history_make - run steps on @i and note what they show. @gen NULL: those that are there, all of
 * which must succeed; else @n random ones.
 */
void history_make(struct history *h, struct cow_ovl_inst *i, struct rng *gen, size_t n);
void history_free(struct history *h);

/* What is below one of the tops of the golden image; made by system calls. */
void lower_make(int dirfd);

/* ---- judge.c */

struct judgement {
	const struct history *h;
	size_t acked,
	    started; /* steps that were answered before the cut, and begun before it ended */
	bool strict;
	bool fsync;   /* a commit is one */
	bool ordered; /* the file system's journal keeps the order of names and attributes */
};
/*
 * judge - may the cut have left @got? Return: the step after which it looks, exactly or but for data
 * and times that need not be there; -1: it may, but is no such state (relaxed); -2 no, @why.
 */
int judge(const struct judgement *j, const struct state *got, char why[WHY_LEN]);
/* Everything is as after step @k. */
bool judge_exact(const struct history *h, size_t k, const struct state *got, char why[WHY_LEN]);

#endif
