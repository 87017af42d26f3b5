/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Random lower trees, as operations that make them: a few names everywhere, so that scripts meet
 * them; every type, odd modes, owners and times, extended attributes, ACLs, holes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "script.h"
#include "util.h"
#include "values.h"

#define OBJECTS_MAX 36
#define DEPTH 4

struct lower {
	struct rng rng;
	struct ops *ops;
	bool links;
	unsigned objects;
	char files[OBJECTS_MAX][PATH_LEN], paths[OBJECTS_MAX][PATH_LEN];
	unsigned nfiles, npaths;
};

static struct op *add(struct lower *l, enum op_kind kind, const char *path)
{
	struct op op = {.kind = kind};
	(void)snprintf(op.path, sizeof(op.path), "%s", path);
	ops_add(l->ops, &op);
	return &l->ops->v[l->ops->n - 1];
}

static void add_attributes(struct lower *l, const char *path, bool is_link)
{
	struct rng *r = &l->rng;
	if (rng_chance(r, 35)) {
		struct op *op = add(l, OP_CHOWN, path);
		op->uid = rng_chance(r, 50) ? 1000 : 1001;
		op->gid = 1000 + rng_below(r, 4);
	}
	if (!is_link && rng_chance(r, 70))
		add(l, OP_CHMOD, path)->mode = gen_mode(r);
	while (rng_chance(r, 30)) {
		struct op op = {.kind = OP_SETXATTR};
		(void)snprintf(op.path, sizeof(op.path), "%s", path);
		gen_xattr(r, &op);
		op.flags = XATTR_ANY;
		ops_add(l->ops, &op);
	}
}

static void add_file(struct lower *l, const char *path)
{
	struct rng *r = &l->rng;
	add(l, OP_CREATE, path)->mode = 0644;
	(void)snprintf(l->files[l->nfiles++], PATH_LEN, "%s", path);
	if (rng_chance(r, 20))
		return; /* empty */
	struct op *op = add(l, OP_WRITE, path);
	op->fill = rng_below(r, 256);
	op->len = gen_size(r) + 1;
	if (rng_chance(r, 15)) { /* holes before and behind */
		op->off = 4096u * rng_below(r, 100);
		op = add(l, OP_TRUNCATE, path);
		op->len = 1 + rng_below(r, 600000);
	}
}

static void add_node(struct lower *l, const char *path)
{
	static const mode_t types[] = {S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK};
	struct op *op = add(l, OP_MKNOD, path);
	op->mode = RNG_PICK(&l->rng, types) | 0640;
	op->rdev = 1 + rng_below(&l->rng, 100);
}

static void add_symlink(struct lower *l, const char *path)
{
	struct op *op = add(l, OP_SYMLINK, path);
	unsigned n = rng_below(&l->rng, 10);
	const char *name = gen_names[rng_below(&l->rng, GEN_NAMES)];
	/* To things there are, to nothing; a long one, which needs a block of its own. */
	if (n == 0)
		(void)snprintf(op->path2, PATH_LEN, "%0200d", 7);
	else
		(void)snprintf(op->path2, PATH_LEN, "%s%s", n < 6 ? "" : "/a/", name);
}

static void fill_dir(struct lower *l, const char *dir, unsigned depth)
{
	struct rng *r = &l->rng;
	for (unsigned n = 0; n < GEN_NAMES + gen_rare; n++) {
		char path[PATH_LEN];
		if (!rng_chance(r, n >= GEN_NAMES ? 3
				   : depth == 1	  ? 90
						  : 65) ||
		    l->objects == OBJECTS_MAX)
			continue;
		if (strlen(dir) + strlen(gen_names[n]) + 2 > 400)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", gen_names[n]);
		l->objects++;
		(void)snprintf(l->paths[l->npaths++], PATH_LEN, "%s", path);
		unsigned what = rng_below(r, 100);
		if (what < 45 && depth < DEPTH) {
			add(l, OP_MKDIR, path)->mode = 0755;
			if (rng_chance(r, 85))
				fill_dir(l, path, depth + 1);
		} else if (what < 85) {
			if (l->links && l->nfiles > 0 && rng_chance(r, 40))
				(void)snprintf(
				    add(l, OP_LINK, l->files[rng_below(r, l->nfiles)])->path2,
				    PATH_LEN, "%s", path);
			else
				add_file(l, path);
		} else if (what < 93) {
			add_symlink(l, path);
		} else {
			add_node(l, path);
		}
		add_attributes(l, path, what >= 85 && what < 93);
	}
}

void generate_lower(uint64_t seed, bool links, struct ops *ret)
{
	struct lower *l = must(calloc(1, sizeof(*l)));
	l->rng = rng_part(seed, 1);
	l->ops = ret;
	l->links = links;
	if (rng_chance(&l->rng, 30))
		add(l, OP_CHMOD, "/")->mode = 0751;
	fill_dir(l, "", 1);
	for (unsigned k = l->npaths; k-- > 0;) { /* children before their directory */
		struct op *op = add(l, OP_UTIMENS, l->paths[k]);
		op->flags = TIMES_A | TIMES_M;
		op->time = rng_below(&l->rng, OLD_SPAN);
	}
	free(l);
}
