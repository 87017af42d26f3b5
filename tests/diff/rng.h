/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Random numbers that are the same for the same seed on every machine: splitmix64.
 */
#ifndef COW_TESTS_DIFF_RNG_H
#define COW_TESTS_DIFF_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0..n-1 */
static inline unsigned rng_below(struct rng *r, unsigned n)
{
	return (unsigned)(rng_next(r) % n);
}

static inline bool rng_chance(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

/* A stream of its own for part @n of what @seed stands for. */
static inline struct rng rng_part(uint64_t seed, uint64_t n)
{
	struct rng r = {seed};
	r.state = rng_next(&r) ^ (n * 0xd1342543de82ef95u);
	(void)rng_next(&r);
	return r;
}

#define RNG_PICK(r, array) ((array)[rng_below((r), sizeof(array) / sizeof(*(array)))])

#endif
