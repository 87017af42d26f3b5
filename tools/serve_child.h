/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * One supervised program: started, watched through a pidfd, started again with growing pauses when
 * it dies, stopped with SIGTERM and a deadline.
 */
#ifndef COW_TOOLS_SERVE_CHILD_H
#define COW_TOOLS_SERVE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "serve_loop.h"

#define COW_CHILD_PAUSE_MIN_MS 200
#define COW_CHILD_PAUSE_MAX_MS 30000
#define COW_CHILD_GOOD_MS 60000 /* a life this long makes the next pause the shortest again */

#define COW_CHILD_ARGS 48
#define COW_CHILD_FDS 6

enum cow_child_state {
	COW_CHILD_OFF,	   /* not wanted, or ended while stopping */
	COW_CHILD_WAITING, /* to be started at the end of a pause, or when may_start() says so */
	COW_CHILD_RUNNING,
	COW_CHILD_STOPPING,
};

struct cow_child {
	/* Set by the owner before the first start; strings are borrowed. */
	const char *name;
	const char *argv[COW_CHILD_ARGS + 1]; /* argv[0]: absolute path */
	const char *env[COW_CHILD_ARGS + 1];  /* "NAME=value", added to ours or replacing */
	int fds[COW_CHILD_FDS];		      /* become 3, 4, … in the child */
	unsigned n_fds;
	bool listen_fds;  /* tell it about them by LISTEN_FDS (sd_listen_fds(3)) */
	unsigned stop_ms; /* SIGKILL after this */
	struct cow_loop *loop;
	pid_t group;			 /* process group it joins; 0: its own */
	bool (*may_start)(void *ctx);	 /* NULL: always */
	void (*before_start)(void *ctx); /* NULL: nothing; e.g. write its configuration */
	void (*changed)(void *ctx, struct cow_child *c); /* state changed; look at it */
	void *ctx;

	/* To be read by the owner. */
	enum cow_child_state state;
	bool ready; /* owner's: it answers */
	pid_t pid;  /* 0: none */
	unsigned restarts;
	char reason[128]; /* why it ended last; "": never did */
	uint64_t started_ms;

	/* Private. */
	int pidfd;
	uint64_t pause_ms;
	struct cow_watch watch;
	struct cow_timer timer;
	bool wants_stop;
	bool has_reason; /* reason was given before the end */
};

/* Start now or as soon as may_start() allows. */
void cow_child_start(struct cow_child *c);

/* Ask to end; changed() is called with COW_CHILD_OFF when it has. Nothing to do: called at once. */
void cow_child_stop(struct cow_child *c);

/* End it now, to be started again; @why goes into the log and `reason`. */
void cow_child_kick(struct cow_child *c, const char *why);

/* "running", "starting", "waiting", "stopping", "off". */
const char *cow_child_state_name(const struct cow_child *c);

/* Pause before the next start, given the last one and how long the program lived. */
uint64_t cow_child_next_pause(uint64_t last_ms, uint64_t lived_ms);

/*
 * cow_guard_start - a process that ends the group it leads when we die in whatever way. A program
 * that drops privileges loses its parent-death signal, so that alone would not do.
 * Return: its pid, which is also the process group for the children; -errno. *ret_fd keeps it
 * quiet: close it, and the group gets SIGTERM, two seconds later SIGKILL.
 */
pid_t cow_guard_start(int *ret_fd);

#endif
