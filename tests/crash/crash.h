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
	bool mount; /* all through cowherd-fuse */
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
	      unsigned flags, struct seat *ret, char why[WHY_LEN]);
int seat_close(struct seat *s);
/* One of g->linked? */
bool is_split(const struct ground *g, uint64_t who);
void know(struct cow_ovl_inst *i, const char *top, struct known *ret);

struct verify {
	const struct ground *g;
	char point[POINT_LEN];
	const char *name; /* of the instance */
	bool same_fs, strict, fsync, ordered;
	struct history *const *h;
	unsigned threads;
	const struct moment *m;
	struct report *rep; /* of the worker that was cut */
	unsigned go_on;	    /* steps to make after it, where they can be compared */
	bool kernel;	    /* look at the layers with the kernel's overlay too */
	bool golden;	    /* compare the image with its manifest */
	bool remount;	    /* look through cowherd-fuse too */
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

/* An empty instance on the tmpfs and random steps for @threads, each below a top of its own. */
void make_histories(struct ground *g, uint64_t number, unsigned threads, size_t steps,
		    struct history *ret[THREADS]);

/* ---- mount.c: an instance through cowherd-fuse */

struct mount_how {
	const struct ground *g;
	const char *point, *name; /* of the instance, as of seat_open() */
	bool same_fs;
	/* In the server's threads before each system call by which something changes, or NULL. */
	void (*at_call)(void *ctx, const char *call);
	void *ctx;
};
void mount_point(const struct ground *g, char ret[POINT_LEN]);
/* As serve_start() and serve_stop() of tests/diff. */
pid_t mount_start(const struct mount_how *how);
int mount_stop(const struct ground *g, pid_t server);
/* A server that is to be dead, and the mount it leaves. Return: true: as it should be; else @why. */
bool mount_dead(const struct ground *g, pid_t server, char why[WHY_LEN]);
/* After a failure: what is left of a mount, and of the servers of a process that has ended. */
void mount_gone(const struct ground *g);

/* Who makes steps: by the engine's calls, or by system calls on a mount. */
struct client {
	struct seat seat; /* of a mount: an observer beside it */
	int mount,
	    below; /* of a mount: its root, and the file system the instance is on; else -1 */
};
void client_open(const struct mount_how *how, struct client *ret);
/* As step_run(). */
int client_step(const struct client *c, const char *top, const struct step *s, struct made *made,
		size_t number);
/* Is it what a call says whose server was killed? */
bool client_cut(const struct client *c, int r);

/* ---- process.c, process_mount.c, power.c */

/* Between those who are cut and those who cut; shared memory. */
struct lever {
	struct report rep;
	atomic_uint left; /* calls until the end; counted while it is armed */
	atomic_bool armed;
	atomic_size_t acked[THREADS], started[THREADS];
	bool completed; /* all steps were answered */
	bool killed;
};
/* Kill this process at the right call. @ctx: lever */
void count_down(void *ctx, const char *call);
void victim_make(const struct ground *g, const char *point);
void victim_drop(const char *point);

/*
 * kill_server - run histories through a server that is killed: with one thread at lever->left calls
 * of the last step, else at a random instant.
 * Return: true: lever->killed, lever->completed tell; else @why.
 */
bool kill_server(const struct mount_how *how, struct history *const *h, unsigned threads,
		 struct rng *rng, struct lever *l, char why[WHY_LEN]);
void process_cuts(struct ground *g, size_t from, size_t step);
/* Several threads on a mount whose server is killed, @cuts times. */
void process_round(struct ground *g, uint64_t round, unsigned cuts);
void power_prepare(struct ground *g);
void power_cases(struct ground *g, size_t from, size_t step);
void power_round(struct ground *g, uint64_t round, unsigned max_cuts);

#endif
