/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the parts of the torture share: a file with its model, a worker with its files, the ways to
 * fail. A file and all that is open on it belong to one worker (thread); workers share nothing but
 * the file system.
 */
#ifndef COW_TESTS_TORTURE_H
#define COW_TESTS_TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rng.h"

#define FILE_MAX (512u << 10) /* bytes of a file */
#define IO_LEN_MAX (128u << 10)
#define SLOTS 6 /* descriptors open at once on a file */
#define NAMES 3 /* hard links of a file */
#define NAME_ROOM 32
#define HISTORY 30
#define FILES_MAX 64 /* of a worker */
#define THREADS_MAX 64

struct slot {
	int fd; /* -1: free */
	int flags;
};

struct map {
	uint8_t *p; /* NULL: none */
	uint64_t off;
	size_t len;
	bool writable;
};

struct note {
	uint64_t at;
	const char *what;
	uint64_t off, len, size; /* size: before */
	int64_t result;
	char detail[NAME_ROOM * 2];
};

struct file {
	unsigned number;
	uint8_t *data; /* FILE_MAX bytes; zero from size on */
	uint64_t size;
	char names[NAMES][NAME_ROOM]; /* relative to the directory under test */
	unsigned nnames;	      /* 0: unlinked, or not there when nothing is open either */
	bool lower;		      /* golden and not yet opened for writing */
	struct slot slots[SLOTS];
	struct map map;
	struct note history[HISTORY];
	uint64_t nhistory;
};

struct worker {
	unsigned number;
	struct rng rng;
	struct file *files;
	uint64_t at; /* operation that runs, from 0 */
	uint64_t writes;
	struct file *now; /* file at hand */
	uint8_t *buf;	  /* IO_LEN_MAX and some more */
	uint64_t *counts; /* of operations */
};

extern struct options {
	uint64_t seed, ops, seconds, drop, inject;
	unsigned nfiles, threads; /* files of each thread */
	bool lower, links, tolerant, stats;
	const char *path, *dump;
	int dir; /* of the file system under test */
} opt;

/* ---------------------------------------------------------------- main.c */

/* Say what is wrong with the history of @f (NULL: none) and end with 1. */
void __attribute__((noreturn, format(printf, 3, 4)))
fail(struct worker *w, struct file *f, const char *fmt, ...);
/* A call that has to succeed did not: errno. */
void __attribute__((noreturn)) fail_call(struct worker *w, struct file *f, const char *call);
/* @n bytes read at @off are those of the model, or the end. */
void check_bytes(struct worker *w, struct file *f, const uint8_t *got, uint64_t off, size_t n,
		 const char *how);
struct note *note(struct worker *w, struct file *f, const char *what, uint64_t off, uint64_t len);
/* True the first time the file system refuses @what, which is then said; @slot: one for each. */
bool refused_once(bool *slot, const char *what);

/* ---------------------------------------------------------------- model.c */

void model_write(struct file *f, const uint8_t *from, uint64_t off, uint64_t len);
void model_zero(struct file *f, uint64_t off, uint64_t len); /* no further than the end */
void model_resize(struct file *f, uint64_t size);
/* Name @k of the pool of a worker: two directories, some more names than files. */
void pool_name(char ret[NAME_ROOM], unsigned worker, unsigned k);
unsigned pool_size(void);
/* Does file @k of a worker lie in the lower tree? Its name there is name @k of the pool. */
bool golden_has(unsigned k);
/* And has it a second one, which is name @k + opt.nfiles? */
bool golden_linked(unsigned k);
/* What it holds there: @data of FILE_MAX zero bytes is filled. Return: its size. */
uint64_t golden_fill(uint8_t *data, const char *name);
void lower_setup(void);
void state_dump(const struct worker *workers, const char *path);
/* Return: exit status. */
int state_verify(const char *path);

/* ---------------------------------------------------------------- slots.c */

enum need {
	NEED_READ,
	NEED_WRITE, /* at any offset */
	NEED_APPEND,
	NEED_MAP_WRITE, /* read and write */
};
/* One of the descriptors that can do it; opens one where there is none, and now and then so. */
struct slot *slot_for(struct worker *w, struct file *f, enum need need);
struct slot *slot_open(struct worker *w, struct file *f, int flags);
unsigned slot_count(const struct file *f);
void slot_close(struct worker *w, struct file *f, struct slot *s);
void slot_close_all(struct worker *w, struct file *f);
/* Before a change that copies the file up: what some file systems do not carry over is closed. */
void before_change(struct worker *w, struct file *f);
void map_drop(struct worker *w, struct file *f);
void file_create(struct worker *w, struct file *f);

/* ---------------------------------------------------------------- operations */

struct op {
	const char *name;
	unsigned weight;
	void (*run)(struct worker *w, struct file *f);
};
extern const struct op ops_data[], ops_space[], ops_name[]; /* end with name NULL */

/* Some place in a file and some length; @limit: nothing beyond it. Favours edges of pages and the end.
 * False: no room. */
bool pick_range(struct worker *w, const struct file *f, uint64_t limit, uint64_t *off, size_t *len);
void fill_random(struct worker *w, uint8_t *buf, size_t len);

#endif
