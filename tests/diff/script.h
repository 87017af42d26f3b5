/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A script: how the lower tree is made, what is then done to both sides. As text:
 *
 *	# comment
 *	keep 1			the engine's side holds on to nodes
 *	durability relaxed
 *	batch 13		trees are compared after so many operations, and at the end
 *	lower:
 *	<operations, errors ignored>
 *	script:
 *	<operations>
 */
#ifndef COW_TESTS_DIFF_SCRIPT_H
#define COW_TESTS_DIFF_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "op.h"
#include "overlay/overlay.h"
#include "rng.h"

struct ops {
	struct op *v;
	size_t n, room;
};

struct script {
	bool keep;
	enum cow_ovl_durability durability;
	unsigned batch;
	struct ops lower, ops;
};

void ops_add(struct ops *o, const struct op *op);
void ops_free(struct ops *o);
void script_free(struct script *s);
void script_print(FILE *out, const struct script *s);
/* Return: 0, or -EINVAL after a message on stderr. */
int script_parse(FILE *in, const char *name, struct script *ret);

/* ---- generate.c, lower.c */

struct generate {
	uint64_t seed;
	uint64_t number;  /* of the script */
	unsigned group;	  /* so many scripts share a lower tree */
	unsigned ops;	  /* about */
	bool lower;	  /* else the tree below is empty */
	bool lower_links; /* with hard links in it */
};
/* The same arguments give the same script. */
void generate_script(const struct generate *how, struct script *ret);
void generate_lower(uint64_t seed, bool links, struct ops *ret);

/* Random values both use. */
extern const char *const gen_names[];
#define GEN_NAMES 5 /* that many of them are common, the rest rare */
extern const unsigned gen_rare;
unsigned gen_mode(struct rng *r);
uint64_t gen_size(struct rng *r);
void gen_xattr(struct rng *r, struct op *op);

#endif
