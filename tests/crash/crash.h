/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What the parts of the crash test share.
 */
#ifndef COW_TESTS_CRASH_CRASH_H
#define COW_TESTS_CRASH_CRASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "disk.h"
#include "history.h"
#include "overlay/image.h"

#define THREADS 4 /* each with a directory of its own, TOP(k) */
#define TOP_FMT "a/b/t%u"
#define LOWER_LINKED_MAX 8
#define POINT_LEN 64

/* One file system type; the program works on one after the other. */
struct ground {
	const char *type;
	char base[40];
	char golden[POINT_LEN]; /* the image, on the tmpfs */
	struct cow_ovl_image *img;
	struct state golden_state;
	uint64_t seed;
	bool long_form;
	unsigned power_cuts, process_cuts, failures, max_failures;
	const char *keep; /* directory for images that failed, or NULL */
	/* Objects of the image with several names: the kernel without an index splits them. */
	uint64_t linked[LOWER_LINKED_MAX];
	size_t nlinked;
};

/* An attached instance. */
struct seat {
	int dirfd;
	struct cow_ovl_image *img;
	struct cow_ovl_inst *i;
};

/* Handles of the image's objects below a top, as they were at the beginning. */
struct known {
	size_t n;
	struct {
		size_t len;
		uint8_t handle[COW_OVL_HANDLE_MAX];
	} v[64];
};

/* What a worker tells; shared memory. */
struct report {
	struct made made[THREADS];
	struct known known[THREADS];
	char why[WHY_LEN]; /* not empty: it failed */
};

/* One cut: how far each thread was. */
struct moment {
	size_t acked[THREADS], started[THREADS];
};

/* ---- main.c */
void fail(struct ground *g, const char *what, const char *why);
void *shared_memory(size_t len);
/* Run in a process of its own; its report->why, or how it died, in @why. Return: true: well. */
bool in_child(void (*fn)(void *ctx), void *ctx, struct report *rep, char why[WHY_LEN]);

/* ---- verify.c */

/* @point/@name is the instance; @same_fs: the image is @point/image, else the golden one. */
int seat_open(const struct ground *g, const char *point, const char *name, bool same_fs,
	      struct seat *ret, char why[WHY_LEN]);
int seat_close(struct seat *s);
/* One of g->linked? */
bool is_split(const struct ground *g, uint64_t who);
void know(struct cow_ovl_inst *i, const char *top, struct known *ret);

struct verify {
	const struct ground *g;
	char point[POINT_LEN];
	const char *name; /* of the instance */
	bool same_fs, strict, ordered;
	struct history *const *h;
	unsigned threads;
	const struct moment *m;
	struct report *rep; /* of the worker that was cut */
	unsigned go_on;	    /* steps to make after it, where they can be compared */
	bool kernel;	    /* look at the layers with the kernel's overlay too */
	bool golden;	    /* compare the image with its manifest */
};
/* The instance after a cut, on a mounted file system. Return: true or @why. */
bool verify_instance(const struct verify *v, char why[WHY_LEN]);

/* ---- cases.c: each protocol in each situation */
extern const size_t case_count;
const char *case_text(size_t k);
/* The steps of a case, run on an instance of their own; the last one is what is cut. */
struct history *case_history(struct ground *g, size_t k);
/* An empty instance on the tmpfs to find out what steps do. */
void oracle_open(struct ground *g, struct seat *ret);
void oracle_close(struct ground *g, struct seat *s);

/* ---- process.c, power.c */
void process_cuts(struct ground *g, size_t from, size_t step);
void power_prepare(struct ground *g);
void power_cases(struct ground *g, size_t from, size_t step);
void power_round(struct ground *g, uint64_t round, unsigned max_cuts);

#endif
