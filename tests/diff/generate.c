/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Random scripts. Few names, so that operations meet each other's objects and the lower tree's; a
 * pool of paths that probably exist, with what is probably there; and now and then a short sequence
 * in which single steps of chance would seldom come together.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "script.h"
#include "util.h"
#include "values.h"

/* 255 bytes */
#define N85 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG_NAME N85 N85 N85

const char *const gen_names[] = {"a", "b", "c", "d", "e", ".wh.a", "#1", "A", LONG_NAME};
const unsigned gen_rare = sizeof(gen_names) / sizeof(*gen_names) - GEN_NAMES;

#define POOL_MAX 160
#define SET_MAX 40
#define PATH_USUAL 500 /* paths are not made longer than that */

struct known {
	char path[PATH_LEN];
	char what; /* d directory, f file, l link, n node, x probably gone */
};

struct gen {
	struct rng rng;
	struct ops *ops;
	struct known pool[POOL_MAX];
	unsigned npool;
	bool open[SLOTS], held[SLOTS];
	struct op set[SET_MAX]; /* attributes there probably are */
	unsigned nset;
};

/* ---------------------------------------------------------------- values */

/* Never setuid and setgid without the group's x: what a chown leaves of the second depends on the
 * first, and in overlayfs, which asks as root, otherwise than elsewhere. */
unsigned gen_mode(struct rng *r)
{
	static const unsigned modes[] = {0644,	0600, 0755, 0777, 04755, 02755, 06755,
					 01777, 0000, 0400, 0111, 02770, 0775,	02640};
	return RNG_PICK(r, modes);
}

uint64_t gen_size(struct rng *r)
{
	static const unsigned sizes[] = {0,    1,    10,   100,	 511,  1000,  4000,  4095,
					 4096, 4097, 5000, 8192, 9000, 12288, 16000, 30000};
	return RNG_PICK(r, sizes);
}

void gen_xattr(struct rng *r, struct op *op)
{
	op->xattr = rng_below(r, xattr_count);
	op->fill = rng_below(r, 1u << 17);
	if (op->xattr < XATTR_CAPABILITY)
		op->fill |= ACL_GROUP_X; /* see gen_mode() */
	op->len = rng_chance(r, 80) ? rng_below(r, 24) : rng_below(r, 300);
	op->flags = rng_chance(r, 60) ? XATTR_ANY : 1 + rng_below(r, 2);
}

/* ---------------------------------------------------------------- the pool */

static void know(struct gen *g, const char *path, char what)
{
	unsigned k = 0;
	if (strlen(path) > PATH_USUAL || path[0] == '@' || path[0] == '%')
		return;
	while (k < g->npool && strcmp(g->pool[k].path, path) != 0)
		k++;
	if (k == POOL_MAX)
		k = rng_below(&g->rng, POOL_MAX);
	else if (k == g->npool)
		g->npool++;
	(void)snprintf(g->pool[k].path, PATH_LEN, "%s", path);
	g->pool[k].what = what;
}

static char what_of(const struct gen *g, const char *path)
{
	for (unsigned k = 0; k < g->npool; k++)
		if (strcmp(g->pool[k].path, path) == 0)
			return g->pool[k].what;
	return 'f';
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static void know_gone(struct gen *g, const char *path)
{
	if (path[0] == '@')
		return;
	for (unsigned k = 0; k < g->npool; k++)
		if (is_below(g->pool[k].path, path))
			g->pool[k].what = 'x';
	know(g, path, 'x');
}

/* What was below the old name is probably below the new one. */
static void know_moved(struct gen *g, const char *from, const char *to)
{
	char what = what_of(g, from);
	for (unsigned k = 0, n = g->npool; k < n; k++) {
		char path[2 * PATH_LEN];
		if (!is_below(g->pool[k].path, from))
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", to, g->pool[k].path + strlen(from));
		know(g, path, g->pool[k].what);
	}
	know_gone(g, from);
	know(g, to, what);
}

static void know_lower(struct gen *g, const struct ops *lower)
{
	for (size_t k = 0; k < lower->n; k++)
		switch ((int)lower->v[k].kind) {
		case OP_CREATE:
			know(g, lower->v[k].path, 'f');
			break;
		case OP_MKDIR:
			know(g, lower->v[k].path, 'd');
			break;
		case OP_SYMLINK:
			know(g, lower->v[k].path, 'l');
			break;
		case OP_MKNOD:
			know(g, lower->v[k].path, 'n');
			break;
		case OP_LINK:
			know(g, lower->v[k].path2, 'f');
			break;
		case OP_SETXATTR:
			if (g->nset < SET_MAX)
				g->set[g->nset++] = lower->v[k];
			break;
		default:
			break;
		}
}

/* ---------------------------------------------------------------- paths */

static const char *random_name(struct gen *g)
{
	unsigned n = rng_chance(&g->rng, 96) ? rng_below(&g->rng, GEN_NAMES)
					     : GEN_NAMES + rng_below(&g->rng, gen_rare);
	return gen_names[n];
}

static const char *known_path(struct gen *g, char what)
{
	for (unsigned tries = 0; g->npool && tries < 12; tries++) {
		const struct known *k = &g->pool[rng_below(&g->rng, g->npool)];
		if ((what == '?' && k->what != 'x') || k->what == what)
			return k->path;
	}
	return NULL;
}

/* A directory: the root, a known or a held one. */
static void pick_dir(struct gen *g, char ret[PATH_LEN])
{
	unsigned slot = rng_below(&g->rng, SLOTS);
	const char *known = known_path(g, 'd');
	if (g->held[slot] && rng_chance(&g->rng, 60))
		(void)snprintf(ret, PATH_LEN, "@%u", slot);
	else
		(void)snprintf(ret, PATH_LEN, "%s", known && rng_chance(&g->rng, 75) ? known : "");
}

static void join(const char *dir, const char *name, char ret[PATH_LEN])
{
	(void)snprintf(ret, PATH_LEN, "%.900s%s%s", dir, *dir ? "/" : "", name);
}

/* A name for something new, often one that was used before, and sometimes one that is taken. */
static void pick_new(struct gen *g, char ret[PATH_LEN])
{
	char dir[PATH_LEN];
	const char *known = known_path(g, rng_chance(&g->rng, 70) ? 'x' : '?');
	if (known && rng_chance(&g->rng, 45)) {
		(void)snprintf(ret, PATH_LEN, "%s", known);
		return;
	}
	pick_dir(g, dir);
	join(dir, random_name(g), ret);
}

/* Something that is probably there and of this type. */
static void pick_old(struct gen *g, char what, char ret[PATH_LEN])
{
	unsigned slot = rng_below(&g->rng, SLOTS);
	const char *known = known_path(g, rng_chance(&g->rng, 85) ? what : '?');
	if (what == 'f' && g->open[slot] && rng_chance(&g->rng, 50))
		(void)snprintf(ret, PATH_LEN, "%%%u", slot);
	else if (known && rng_chance(&g->rng, 90))
		(void)snprintf(ret, PATH_LEN, "%s", known);
	else
		pick_new(g, ret);
}

/* Anything with attributes, the root too. */
static void pick_any(struct gen *g, char ret[PATH_LEN])
{
	static const char what[] = "?ffdd";
	if (rng_chance(&g->rng, 3))
		(void)snprintf(ret, PATH_LEN, "/");
	else
		pick_old(g, what[rng_below(&g->rng, 5)], ret);
}

/* Never an open slot: what has no name cannot get one, and has none to lose. */
static void pick_named(struct gen *g, char what, char ret[PATH_LEN])
{
	do
		pick_old(g, what, ret);
	while (ret[0] == '%');
}

/* ---------------------------------------------------------------- operations */

static struct op *add(struct gen *g, enum op_kind kind)
{
	struct op op = {.kind = kind, .fill = rng_below(&g->rng, 256)};
	if (op_has_user(kind) && rng_chance(&g->rng, 30))
		op.user = 1 + rng_below(&g->rng, user_count - 1);
	ops_add(g->ops, &op);
	return &g->ops->v[g->ops->n - 1];
}

static struct op *add_at(struct gen *g, enum op_kind kind, const char *path)
{
	struct op *op = add(g, kind);
	(void)snprintf(op->path, PATH_LEN, "%s", path);
	return op;
}

static void add_create(struct gen *g, const char *path)
{
	add_at(g, OP_CREATE, path)->mode = gen_mode(&g->rng);
	know(g, path, 'f');
}

static void add_mkdir(struct gen *g, const char *path)
{
	/* mkdir(2) drops setuid and setgid, the engine's interface does not. */
	add_at(g, OP_MKDIR, path)->mode = gen_mode(&g->rng) & 01777;
	know(g, path, 'd');
}

static void add_remove(struct gen *g, enum op_kind kind, const char *path)
{
	(void)add_at(g, kind, path);
	if (kind != OP_RMDIR)
		know_gone(g, path);
}

static void add_write(struct gen *g, enum op_kind kind, const char *path)
{
	struct op *op = add_at(g, kind, path);
	op->off = rng_chance(&g->rng, 95) ? gen_size(&g->rng) : 70000;
	op->len = 1 + gen_size(&g->rng);
	if (op->len > 9000 && rng_chance(&g->rng, 70))
		op->len = 17;
}

static void add_rename(struct gen *g, const char *from, const char *to)
{
	struct op *op = add_at(g, OP_RENAME, from);
	(void)snprintf(op->path2, PATH_LEN, "%s", to);
	op->flags = rng_chance(&g->rng, 65) ? RENAME_PLAIN : 1 + rng_below(&g->rng, 2);
	if (op->flags != RENAME_XCHG && !is_below(to, from) && strcmp(from, to) != 0)
		know_moved(g, from, to);
}

static void gen_rename(struct gen *g)
{
	char from[PATH_LEN], to[PATH_LEN];
	unsigned how = rng_below(&g->rng, 20);
	pick_named(g, how < 9 ? 'd' : how < 15 ? 'f' : '?', from);
	if (how == 0) /* into itself */
		join(from, random_name(g), to);
	else if (how == 1)
		(void)snprintf(to, PATH_LEN, "%s", from);
	else if (how < 8)
		pick_named(g, what_of(g, from), to);
	else
		pick_new(g, to);
	add_rename(g, from, to);
}

static void gen_mknod(struct gen *g, const char *path)
{
	static const mode_t types[] = {S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK};
	struct op *op = add_at(g, OP_MKNOD, path);
	op->mode = RNG_PICK(&g->rng, types) | gen_mode(&g->rng);
	op->rdev = rng_chance(&g->rng, 90) ? 1 + rng_below(&g->rng, 100) : 0;
	know(g, path, 'n');
}

static void gen_open(struct gen *g, const char *path)
{
	static const unsigned flags[] = {OPEN_R,	  OPEN_W,
					 OPEN_R | OPEN_W, OPEN_R | OPEN_W,
					 OPEN_W | OPEN_T, OPEN_R | OPEN_W | OPEN_T};
	struct op *op = add_at(g, OP_OPEN, path);
	op->slot = rng_below(&g->rng, SLOTS);
	op->flags = RNG_PICK(&g->rng, flags);
	g->open[op->slot] = true;
}

/* ---------------------------------------------------------------- sequences */

/* Remove a tree and build something of the same names. */
static void seq_rebuild(struct gen *g)
{
	char dir[PATH_LEN], path[PATH_LEN];
	pick_named(g, 'd', dir);
	add_remove(g, OP_RMTREE, dir);
	add_mkdir(g, dir);
	for (unsigned n = rng_below(&g->rng, 3); n > 0; n--) {
		join(dir, random_name(g), path);
		if (rng_chance(&g->rng, 50))
			add_create(g, path);
		else
			add_mkdir(g, path);
	}
	if (rng_chance(&g->rng, 40)) {
		pick_new(g, path);
		add_rename(g, dir, path);
	}
}

/* A file loses its name while it is open. */
static void seq_orphan(struct gen *g)
{
	char path[PATH_LEN], other[PATH_LEN], open[8];
	pick_named(g, 'f', path);
	gen_open(g, path);
	(void)snprintf(open, sizeof(open), "%%%u", g->ops->v[g->ops->n - 1].slot);
	if (rng_chance(&g->rng, 60)) {
		add_remove(g, OP_UNLINK, path);
	} else {
		pick_named(g, 'f', other);
		add_rename(g, other, path);
	}
	if (rng_chance(&g->rng, 50))
		add_write(g, OP_WRITE, open);
	if (rng_chance(&g->rng, 30))
		add_at(g, OP_TRUNCATE, open)->len = gen_size(&g->rng);
	add_at(g, OP_READ, open)->len = 20000;
	(void)add_at(g, OP_STAT, open);
	if (rng_chance(&g->rng, 50))
		add_create(g, path);
}

/* A name goes away and comes back as something else, perhaps with the directory moved between. */
static void seq_replace(struct gen *g)
{
	char path[PATH_LEN];
	pick_named(g, '?', path);
	add_remove(g, what_of(g, path) == 'd' ? OP_RMTREE : OP_UNLINK, path);
	switch (rng_below(&g->rng, 5)) {
	case 0:
		add_create(g, path);
		break;
	case 1:
		add_mkdir(g, path);
		break;
	case 2:
		(void)snprintf(add_at(g, OP_SYMLINK, path)->path2, PATH_LEN, "b");
		know(g, path, 'l');
		break;
	case 3:
		gen_mknod(g, path);
		break;
	default: {
		char from[PATH_LEN];
		pick_named(g, 'f', from);
		(void)snprintf(add_at(g, OP_LINK, from)->path2, PATH_LEN, "%s", path);
		know(g, path, 'f');
		break;
	}
	}
}

/* A directory moves, and its children are used at the new place. */
static void seq_moved(struct gen *g)
{
	char from[PATH_LEN], to[PATH_LEN], child[PATH_LEN];
	pick_named(g, 'd', from);
	pick_new(g, to);
	add_rename(g, from, to);
	for (unsigned n = 1 + rng_below(&g->rng, 2); n > 0; n--) {
		join(to, random_name(g), child);
		switch (rng_below(&g->rng, 4)) {
		case 0:
			add_at(g, OP_CHMOD, child)->mode = gen_mode(&g->rng) & 01777;
			break;
		case 1:
			add_remove(g, OP_UNLINK, child);
			break;
		case 2:
			add_write(g, OP_WRITE, child);
			break;
		default:
			add_create(g, child);
			break;
		}
	}
	if (rng_chance(&g->rng, 40))
		add_mkdir(g, from);
	else if (rng_chance(&g->rng, 40))
		add_rename(g, to, from);
}

/* ---------------------------------------------------------------- one of all */

static const struct {
	enum op_kind kind;
	unsigned weight;
} weights[] = {
    {OP_CREATE, 9},   {OP_MKDIR, 8},   {OP_SYMLINK, 3},	 {OP_MKNOD, 3},	    {OP_LINK, 7},
    {OP_RENAME, 17},  {OP_UNLINK, 9},  {OP_RMDIR, 5},	 {OP_RMTREE, 3},    {OP_WRITE, 8},
    {OP_APPEND, 3},   {OP_REWRITE, 3}, {OP_TRUNCATE, 5}, {OP_FALLOCATE, 3}, {OP_CLONE, 2},
    {OP_CHMOD, 5},    {OP_CHOWN, 4},   {OP_UTIMENS, 4},	 {OP_SETXATTR, 6},  {OP_REMOVEXATTR, 3},
    {OP_GETXATTR, 1}, {OP_READ, 2},    {OP_STAT, 2},	 {OP_READLINK, 1},  {OP_LIST, 1},
    {OP_OPEN, 5},     {OP_CLOSE, 3},   {OP_HOLD, 2},	 {OP_DROP, 1},	    {OP_RESTART, 1},
};

static enum op_kind pick_kind(struct gen *g)
{
	unsigned total = 0, n;
	for (size_t k = 0; k < sizeof(weights) / sizeof(*weights); k++)
		total += weights[k].weight;
	n = rng_below(&g->rng, total);
	for (size_t k = 0;; k++) {
		if (n < weights[k].weight)
			return weights[k].kind;
		n -= weights[k].weight;
	}
}

static void gen_change(struct gen *g, enum op_kind kind)
{
	char path[PATH_LEN];
	pick_any(g, path);
	struct op *op = add_at(g, kind, path);
	switch ((int)kind) {
	case OP_CHMOD:
		op->mode = gen_mode(&g->rng);
		break;
	case OP_CHOWN:
		op->uid = rng_chance(&g->rng, 40) ? 0 : 1000 + rng_below(&g->rng, 2);
		op->gid = rng_chance(&g->rng, 30) ? 0 : 1000 + rng_below(&g->rng, 4);
		break;
	case OP_UTIMENS:
		op->flags = rng_chance(&g->rng, 15) ? TIMES_NOW : 1 + rng_below(&g->rng, 3);
		op->time = rng_below(&g->rng, OLD_SPAN);
		break;
	default:
		gen_xattr(&g->rng, op);
		if (kind != OP_SETXATTR && g->nset && rng_chance(&g->rng, 70)) {
			const struct op *set = &g->set[rng_below(&g->rng, g->nset)];
			(void)snprintf(op->path, PATH_LEN, "%s", set->path);
			op->xattr = set->xattr;
		} else if (kind == OP_SETXATTR && g->nset < SET_MAX) {
			g->set[g->nset++] = *op;
		}
		break;
	}
}

static void gen_slot(struct gen *g, enum op_kind kind)
{
	char path[PATH_LEN];
	unsigned slot = rng_below(&g->rng, SLOTS);
	if (kind == OP_HOLD) {
		pick_named(g, 'd', path);
		add_at(g, kind, path)->slot = slot;
		g->held[slot] = true;
		return;
	}
	bool *used = kind == OP_CLOSE ? g->open : g->held;
	for (unsigned n = 0; n < SLOTS && !used[slot]; n++)
		slot = (slot + 1) % SLOTS;
	if (!used[slot])
		return;
	used[slot] = false;
	add(g, kind)->slot = slot;
}

static void gen_data(struct gen *g, enum op_kind kind)
{
	char path[PATH_LEN], path2[PATH_LEN];
	pick_old(g, 'f', path);
	pick_old(g, 'f', path2);
	if (kind == OP_WRITE || kind == OP_APPEND || kind == OP_REWRITE) {
		add_write(g, kind, path);
		return;
	}
	struct op *op = add_at(g, kind, path);
	(void)snprintf(op->path2, PATH_LEN, "%s", path2);
	op->off = gen_size(&g->rng);
	op->len = gen_size(&g->rng) + (kind != OP_TRUNCATE);
	op->flags = rng_below(&g->rng, 4);
}

static void gen_one(struct gen *g)
{
	char path[PATH_LEN], from[PATH_LEN];
	enum op_kind kind = pick_kind(g);
	switch (kind) {
	case OP_CREATE:
		pick_new(g, path);
		add_create(g, path);
		break;
	case OP_MKDIR:
		pick_new(g, path);
		add_mkdir(g, path);
		break;
	case OP_SYMLINK:
		pick_new(g, path);
		(void)snprintf(add_at(g, kind, path)->path2, PATH_LEN, "%s", random_name(g));
		know(g, path, 'l');
		break;
	case OP_MKNOD:
		pick_new(g, path);
		gen_mknod(g, path);
		break;
	case OP_LINK:
		pick_named(g, rng_chance(&g->rng, 80) ? 'f' : '?', from);
		pick_new(g, path);
		(void)snprintf(add_at(g, kind, from)->path2, PATH_LEN, "%s", path);
		know(g, path, what_of(g, from));
		break;
	case OP_RENAME:
		gen_rename(g);
		break;
	case OP_UNLINK:
		pick_named(g, rng_chance(&g->rng, 70) ? 'f' : '?', path);
		add_remove(g, kind, path);
		break;
	case OP_RMDIR:
	case OP_RMTREE:
		pick_named(g, 'd', path);
		add_remove(g, kind, path);
		break;
	case OP_WRITE:
	case OP_APPEND:
	case OP_REWRITE:
	case OP_TRUNCATE:
	case OP_FALLOCATE:
	case OP_CLONE:
	case OP_READ:
		gen_data(g, kind);
		break;
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMENS:
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
	case OP_GETXATTR:
		gen_change(g, kind);
		break;
	case OP_STAT:
		pick_any(g, path);
		(void)add_at(g, kind, path);
		break;
	case OP_READLINK:
		pick_old(g, 'l', path);
		(void)add_at(g, kind, path);
		break;
	case OP_LIST:
		pick_old(g, 'd', path);
		(void)add_at(g, kind, path);
		break;
	case OP_OPEN:
		pick_named(g, 'f', path);
		gen_open(g, path);
		break;
	case OP_CLOSE:
	case OP_HOLD:
	case OP_DROP:
		gen_slot(g, kind);
		break;
	case OP_RESTART:
	case OP_KINDS:
		(void)add(g, OP_RESTART);
		memset(g->open, 0, sizeof(g->open));
		break;
	}
}

void generate_script(const struct generate *how, struct script *ret)
{
	static void (*const sequences[])(struct gen *) = {seq_rebuild, seq_orphan, seq_replace,
							  seq_moved};
	struct gen *g = must(calloc(1, sizeof(*g)));
	*ret = (struct script){0};
	if (how->lower)
		generate_lower(how->seed + how->number / how->group * 0x10001, how->lower_links,
			       &ret->lower);
	g->rng = rng_part(how->seed, 1000 + how->number);
	g->ops = &ret->ops;
	ret->keep = rng_chance(&g->rng, 40);
	ret->durability = (enum cow_ovl_durability)rng_below(&g->rng, COW_OVL_VOLATILE + 1);
	ret->batch = how->ops / 2 + 1 + rng_below(&g->rng, how->ops);
	know_lower(g, &ret->lower);
	while (ret->ops.n < how->ops) {
		if (rng_chance(&g->rng, 12))
			sequences[rng_below(&g->rng, 4)](g);
		else
			gen_one(g);
	}
	free(g);
}
