/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Whose turn it is to take the next request.
 *
 * To wake a thread that sleeps in the kernel costs several times what most requests cost to answer. So
 * one thread at a time waits for requests, and it looks a little longer before it goes to sleep: who
 * asked once mostly asks again at once. Names and attributes it answers itself before it waits on;
 * before anything that may take long it gives the turn to another thread, and likewise when requests
 * come faster than it answers them.
 */
#ifndef COW_FUSE_TURN_H
#define COW_FUSE_TURN_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cow_turn {
	sem_t free;			/* the turn, while nobody has it */
	bool look;			/* more than one processor */
	atomic_int worth;		/* whether looking has paid of late */
	_Atomic uint64_t crowded_until; /* clock: others compute on these processors */
};

/* Return: 0 or -errno. */
int cow_turn_init(struct cow_turn *t);
void cow_turn_done(struct cow_turn *t);

/* This request takes longer than it looked like: another thread goes on. */
void cow_turn_slow(struct cow_turn *t);

/* read(2) of the next request on this thread's own descriptor. A point of cancellation. */
ssize_t cow_turn_read(struct cow_turn *t, int fd, void *buf, size_t len);

#endif
