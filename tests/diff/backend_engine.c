/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The engine through its interface, as a front end uses it: paths are walked name by name. Around
 * each operation it is watched for what no comparison of trees shows: an object keeps its id and
 * its handle through every change, rename and link.
 */
#include "backend_engine.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util.h"
#include "values.h"

static void cred_of(unsigned user, struct cow_ovl_cred *ret)
{
	const struct user *u = &users[user];
	*ret = (struct cow_ovl_cred){u->uid, u->gid, u->groups, u->ngroups};
}

/* ---------------------------------------------------------------- identity */

void engine_complain(struct engine *e, const char *fmt, ...)
{
	size_t n = strlen(e->complaint);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->complaint + n, sizeof(e->complaint) - n, fmt, ap);
	va_end(ap);
	n = strlen(e->complaint);
	(void)snprintf(e->complaint + n, sizeof(e->complaint) - n, "\n");
}

struct ident ident_of(const struct cow_ovl_node *n)
{
	struct ident id = {.id = cow_ovl_id(n), .type = cow_ovl_type(n)};
	id.len = cow_ovl_handle(n, id.handle);
	return id;
}

static bool same_handle(const struct ident *a, const struct ident *b)
{
	return a->len == b->len && memcmp(a->handle, b->handle, a->len) == 0;
}

bool ident_same(const struct ident *a, const struct ident *b)
{
	return a->id == b->id && a->type == b->type && same_handle(a, b);
}

void engine_seen(struct engine *e, const struct ident *id, const char *where)
{
	for (size_t k = 0; k < e->nseen; k++) {
		if (!same_handle(&e->seen[k], id))
			continue;
		if (!ident_same(&e->seen[k], id))
			engine_complain(e, "/%s: one handle, ids %llu and %llu, types %o and %o",
					where, (unsigned long long)e->seen[k].id,
					(unsigned long long)id->id, e->seen[k].type, id->type);
		return;
	}
	if (e->nseen == e->seen_room) {
		e->seen_room = e->seen_room ? 2 * e->seen_room : 128;
		e->seen = must(reallocarray(e->seen, e->seen_room, sizeof(*e->seen)));
	}
	e->seen[e->nseen++] = *id;
}

/* ---------------------------------------------------------------- paths */

static int head_node(struct engine *e, const struct path_head *h, struct cow_ovl_node **ret)
{
	struct cow_ovl_node *n = e->root;
	struct cow_ovl_attr a;
	if (h->from == FROM_OPEN) {
		if (!e->open[h->slot].o)
			return -EBADF;
		n = cow_ovl_open_node(e->open[h->slot].o);
	}
	if (h->from == FROM_HELD) {
		if (!e->held[h->slot].used)
			return -EBADF;
		n = e->held[h->slot].node;
		int r = n ? cow_ovl_getattr(n, &a) : -ESTALE;
		if (r < 0)
			return r;
	}
	*ret = cow_ovl_get(n);
	return 0;
}

static void keep(struct engine *e, struct cow_ovl_node *n)
{
	if (e->how.keep && e->nkept < KEPT_MAX)
		e->kept[e->nkept++] = cow_ovl_get(n);
}

/* As walk() of backend_kernel.c. Caller puts. */
static int walk(struct engine *e, const char *path, char ret_name[PATH_LEN],
		struct cow_ovl_node **ret)
{
	struct path_head h = path_head(path);
	char name[PATH_LEN];
	const char *p = h.rest;
	struct cow_ovl_node *n;
	if (ret_name && !*p)
		return -EINVAL;
	int r = head_node(e, &h, &n);
	if (r < 0)
		return r;
	while (path_next(&p, name)) {
		struct cow_ovl_node *next;
		if (ret_name && !*p) {
			memcpy(ret_name, name, strlen(name) + 1);
			break;
		}
		r = cow_ovl_lookup(n, name, strlen(name), &next, NULL);
		cow_ovl_put(n);
		if (r < 0)
			return r;
		n = next;
	}
	keep(e, n);
	*ret = n;
	return 0;
}

static bool identify(struct engine *e, const char *path, struct ident *ret)
{
	cow_autonode n = NULL;
	if (walk(e, path, NULL, &n) < 0)
		return false;
	*ret = ident_of(n);
	engine_seen(e, ret, path);
	return true;
}

static void expect_same(struct engine *e, const char *what, const struct ident *was,
			const char *path)
{
	struct ident is;
	if (!identify(e, path, &is))
		engine_complain(e, "%s: nothing is found at %s", what, path);
	else if (!ident_same(was, &is))
		engine_complain(e, "%s: %s was %s %llu, is %llu", what, path,
				was->id == is.id ? "another handle of" : "id",
				(unsigned long long)was->id, (unsigned long long)is.id);
}

/* ---------------------------------------------------------------- names */

static int make_object(struct engine *e, const struct op *op)
{
	char name[PATH_LEN];
	struct cow_ovl_cred cred;
	struct cow_ovl_create how = {.mode = op->mode & 07777};
	struct cow_ovl_attr a;
	cow_autonode dir = NULL;
	cow_autonode n = NULL;
	int r = walk(e, op->path, name, &dir);
	if (r < 0)
		return r;
	cred_of(op->user, &cred);
	how.type = op->kind == OP_CREATE    ? S_IFREG
		   : op->kind == OP_MKDIR   ? S_IFDIR
		   : op->kind == OP_SYMLINK ? S_IFLNK
					    : op->mode & S_IFMT;
	how.rdev = op->rdev ? makedev(7, op->rdev) : makedev(0, 0);
	how.target = op->kind == OP_SYMLINK ? op->path2 : NULL;
	r = cow_ovl_create(dir, name, strlen(name), &cred, &how, &n, &a);
	if (r < 0)
		return r;
	struct ident made = ident_of(n);
	if (a.id != made.id || (a.mode & S_IFMT) != how.type)
		engine_complain(e, "create: attributes of another object");
	keep(e, n);
	expect_same(e, "create", &made, op->path);
	return 0;
}

static int make_link(struct engine *e, const struct op *op)
{
	char name[PATH_LEN];
	cow_autonode n = NULL;
	cow_autonode dir = NULL;
	int r = walk(e, op->path, NULL, &n);
	if (r == 0)
		r = walk(e, op->path2, name, &dir);
	if (r < 0)
		return r;
	struct ident was = ident_of(n);
	r = cow_ovl_link(n, dir, name, strlen(name), &cow_ovl_root_cred);
	if (r == 0) {
		expect_same(e, "link", &was, op->path);
		expect_same(e, "link", &was, op->path2);
	}
	return r;
}

static int rename_object(struct engine *e, const struct op *op)
{
	static const unsigned flags[] = {
	    [RENAME_PLAIN] = 0,
	    [RENAME_NOREPL] = RENAME_NOREPLACE,
	    [RENAME_XCHG] = RENAME_EXCHANGE,
	};
	char from[PATH_LEN], to[PATH_LEN];
	struct ident id1, id2;
	cow_autonode d1 = NULL;
	cow_autonode d2 = NULL;
	int r = walk(e, op->path, from, &d1);
	if (r == 0)
		r = walk(e, op->path2, to, &d2);
	if (r < 0)
		return r;
	bool had1 = identify(e, op->path, &id1), had2 = identify(e, op->path2, &id2);
	r = cow_ovl_rename(d1, from, strlen(from), d2, to, strlen(to), flags[op->flags],
			   &cow_ovl_root_cred);
	if (r < 0) {
		if (had1)
			expect_same(e, "failed rename", &id1, op->path);
		if (had2)
			expect_same(e, "failed rename", &id2, op->path2);
		return r;
	}
	/* Through the directories: a path through what has moved leads elsewhere now. */
	cow_autonode n1 = NULL;
	cow_autonode n2 = NULL;
	struct ident is;
	if (had1 && cow_ovl_lookup(d2, to, strlen(to), &n2, NULL) == 0) {
		is = ident_of(n2);
		if (!ident_same(&id1, &is))
			engine_complain(e, "rename: %s became id %llu, was %llu", op->path,
					(unsigned long long)is.id, (unsigned long long)id1.id);
	}
	if (had2 && op->flags == RENAME_XCHG &&
	    cow_ovl_lookup(d1, from, strlen(from), &n1, NULL) == 0) {
		is = ident_of(n1);
		if (!ident_same(&id2, &is))
			engine_complain(e, "exchange: %s became id %llu, was %llu", op->path2,
					(unsigned long long)is.id, (unsigned long long)id2.id);
	}
	return 0;
}

static int remove_object(struct engine *e, const struct op *op)
{
	char name[PATH_LEN];
	struct cow_ovl_node *none;
	cow_autonode dir = NULL;
	int r = walk(e, op->path, name, &dir);
	if (r < 0)
		return r;
	r = cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred,
			   op->kind == OP_RMDIR ? COW_REMOVE_DIR : COW_REMOVE_FILE);
	if (r == 0 && cow_ovl_lookup(dir, name, strlen(name), &none, NULL) != -ENOENT)
		engine_complain(e, "%s: still found after its removal", op->path);
	return r;
}

/* As a client's rm -r: list a little, remove it, go on behind it. */
static int empty_dir(struct engine *e, struct cow_ovl_node *dir, unsigned depth)
{
	uint64_t cookie = 0;
	int r = 0, eof = 0;
	if (depth > DEPTH_MAX)
		trouble("a deep tree");
	while (r == 0 && !eof) {
		struct entries l = {0};
		r = engine_chunk(dir, 0, &cookie, 3, &l, &eof);
		for (size_t k = 0; r == 0 && k < l.n; k++) {
			const char *name = l.v[k].name;
			cow_autonode sub = NULL;
			if (S_ISDIR(l.v[k].type))
				r = cow_ovl_lookup(dir, name, strlen(name), &sub, NULL);
			if (r == 0 && sub)
				r = empty_dir(e, sub, depth + 1);
			if (r == 0)
				r = cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred,
						   COW_REMOVE_FILE | COW_REMOVE_DIR);
		}
		entries_free(&l);
	}
	return r;
}

static int remove_tree(struct engine *e, const struct op *op)
{
	char name[PATH_LEN];
	cow_autonode dir = NULL;
	cow_autonode n = NULL;
	int r = walk(e, op->path, name, &dir);
	if (r == 0)
		r = cow_ovl_lookup(dir, name, strlen(name), &n, NULL);
	if (r < 0)
		return r;
	if (!S_ISDIR(cow_ovl_type(n)))
		return -ENOTDIR;
	r = empty_dir(e, n, 0);
	if (r == 0)
		r = cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred, COW_REMOVE_DIR);
	return r;
}

/* ---------------------------------------------------------------- data */

/* The open slot's own, or a new open of what the path leads to. */
static int open_file(struct engine *e, const char *path, unsigned user, unsigned flags,
		     struct cow_ovl_open **ret, bool *ret_own)
{
	struct cow_ovl_cred cred;
	cow_autonode n = NULL;
	*ret_own = true;
	if (path_is_open(path)) {
		unsigned slot = path_head(path).slot;
		*ret_own = false;
		if (!e->open[slot].o)
			return -EBADF;
		*ret = e->open[slot].o;
		return 0; /* whether it was opened for this is the engine's to say */
	}
	int r = walk(e, path, NULL, &n);
	if (r < 0)
		return r;
	cred_of(user, &cred);
	return cow_ovl_open(n, &cred, flags, ret);
}

static int write_open(struct cow_ovl_open *o, const struct op *op)
{
	uint64_t off = op->off;
	struct cow_ovl_attr a;
	if (op->kind == OP_APPEND) {
		int r = cow_ovl_getattr(cow_ovl_open_node(o), &a);
		if (r < 0)
			return r;
		off = a.size;
	}
	if (op->kind == OP_REWRITE)
		off = 0;
	/* In two pieces, as iovecs come. */
	const uint8_t *data = data_of(op, off);
	struct iovec iov[2] = {
	    {.iov_base = (void *)(uintptr_t)data, .iov_len = op->len / 3},
	    {.iov_base = (void *)(uintptr_t)(data + op->len / 3), .iov_len = op->len - op->len / 3},
	};
	ssize_t n = cow_ovl_write(o, iov, 2, off, 0);
	return n < 0 ? (int)n : n == (ssize_t)op->len ? 0 : -EIO;
}

static int write_file(struct engine *e, const struct op *op)
{
	struct cow_ovl_open *o;
	bool own;
	/* Truncation of what is open in a slot does not happen on the other side either. */
	int r = open_file(e, op->path, op->user,
			  COW_OPEN_WRITE | (op->kind == OP_REWRITE ? COW_OPEN_TRUNC : 0), &o, &own);
	if (r < 0)
		return r;
	r = write_open(o, op);
	if (own)
		cow_ovl_close(o);
	return r;
}

static int read_file(struct engine *e, const struct op *op, struct result *ret)
{
	struct cow_ovl_open *o;
	bool own;
	int r = open_file(e, op->path, 0, COW_OPEN_READ, &o, &own);
	if (r < 0)
		return r;
	struct iovec iov = {.iov_base = ret->data, .iov_len = op->len < IO_MAX ? op->len : IO_MAX};
	ssize_t n = cow_ovl_read(o, &iov, 1, op->off);
	if (own)
		cow_ovl_close(o);
	ret->len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

static int truncate_file(struct engine *e, const struct op *op)
{
	struct cow_ovl_cred cred;
	struct cow_ovl_attr a;
	struct cow_ovl_set set = {.mask = COW_SET_SIZE, .size = op->len};
	cow_autonode n = NULL;
	/* The engine's setattr asks for no open file; ftruncate(2) wants a writable one. */
	if (path_is_open(op->path)) {
		unsigned slot = path_head(op->path).slot;
		if (!e->open[slot].o || !(e->open[slot].flags & OPEN_W))
			return -EBADF;
	}
	int r = walk(e, op->path, NULL, &n);
	if (r < 0)
		return r;
	cred_of(op->user, &cred);
	r = cow_ovl_setattr(n, &cred, &set, &a);
	if (r == 0 && a.size != op->len)
		engine_complain(e, "truncate: size %llu after it", (unsigned long long)a.size);
	return r;
}

static int allocate_file(struct engine *e, const struct op *op)
{
	static const int modes[] = {
	    [FALLOC_EXTEND] = 0,
	    [FALLOC_KEEP] = FALLOC_FL_KEEP_SIZE,
	    [FALLOC_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    [FALLOC_ZERO] = FALLOC_FL_ZERO_RANGE,
	};
	struct cow_ovl_open *o;
	bool own;
	int r = open_file(e, op->path, op->user, COW_OPEN_WRITE, &o, &own);
	if (r < 0)
		return r;
	r = cow_ovl_fallocate(o, modes[op->flags], op->off, op->len);
	if (r == 0 && fallocate_forgets) {
		struct iovec iov = {.iov_base = (char[]){'f'}, .iov_len = 1};
		ssize_t n = cow_ovl_write(o, &iov, 1, 0, 0);
		r = n < 0 ? (int)n : 0;
	}
	if (own)
		cow_ovl_close(o);
	return r;
}

static int clone_file(struct engine *e, const struct op *op)
{
	struct cow_ovl_open *in, *out;
	bool own_in, own_out;
	/* Said before the other path is looked at, as on the other side. */
	if (path_is_open(op->path) && e->open[path_head(op->path).slot].o &&
	    !(e->open[path_head(op->path).slot].flags & OPEN_R))
		return -EBADF;
	int r = open_file(e, op->path, 0, COW_OPEN_READ, &in, &own_in);
	if (r < 0)
		return r;
	r = open_file(e, op->path2, 0, COW_OPEN_WRITE, &out, &own_out);
	if (r == 0) {
		r = cow_ovl_clone(in, 0, out, 0, 0);
		if (own_out)
			cow_ovl_close(out);
	}
	if (own_in)
		cow_ovl_close(in);
	return r;
}

static int open_slot(struct engine *e, const struct op *op)
{
	bool own;
	if (e->open[op->slot].o)
		return -EBUSY;
	if (path_is_open(op->path))
		return -EINVAL;
	unsigned flags = (op->flags & OPEN_R ? COW_OPEN_READ : 0) |
			 (op->flags & OPEN_W ? COW_OPEN_WRITE : 0) |
			 (op->flags & OPEN_T ? COW_OPEN_TRUNC : 0);
	int r = open_file(e, op->path, op->user, flags, &e->open[op->slot].o, &own);
	e->open[op->slot].flags = op->flags;
	return r;
}

static int close_slot(struct engine *e, unsigned slot)
{
	if (!e->open[slot].o)
		return -EBADF;
	cow_ovl_close(cow_steal_ptr(&e->open[slot].o));
	return 0;
}

static int hold_dir(struct engine *e, const struct op *op)
{
	cow_autonode n = NULL;
	if (e->held[op->slot].used)
		return -EBUSY;
	int r = walk(e, op->path, NULL, &n);
	if (r < 0)
		return r;
	if (!S_ISDIR(cow_ovl_type(n)))
		return -ENOTDIR;
	e->held[op->slot].ident = ident_of(n);
	e->held[op->slot].node = cow_steal_ptr(&n);
	e->held[op->slot].used = true;
	return 0;
}

static int drop_dir(struct engine *e, unsigned slot)
{
	if (!e->held[slot].used)
		return -EBADF;
	cow_ovl_put(cow_steal_ptr(&e->held[slot].node));
	e->held[slot].used = false;
	return 0;
}

/* ---------------------------------------------------------------- attributes */

static void times_of(const struct op *op, struct cow_ovl_set *set)
{
	if (op->flags & TIMES_NOW)
		set->mask |= COW_SET_ATIME_NOW | COW_SET_MTIME_NOW;
	if (op->flags & TIMES_A)
		set->mask |= COW_SET_ATIME;
	if (op->flags & TIMES_M)
		set->mask |= COW_SET_MTIME;
	set->atime = old_atime(op->time);
	set->mtime = old_mtime(op->time);
}

static int set_xattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const struct op *op)
{
	static const int flags[] = {
	    [XATTR_ANY] = 0, [XATTR_NEW] = XATTR_CREATE, [XATTR_OLD] = XATTR_REPLACE};
	uint8_t value[VALUE_MAX];
	size_t len = xattr_value(op->xattr, op->fill, op->len, value);
	return cow_ovl_setxattr(n, cred, xattr_names[op->xattr], value, len, flags[op->flags]);
}

static int change(struct engine *e, const struct op *op)
{
	struct cow_ovl_cred cred;
	struct cow_ovl_set set = {0};
	struct cow_ovl_attr before, after;
	cow_autonode n = NULL;
	int r = walk(e, op->path, NULL, &n);
	if (r < 0)
		return r;
	cred_of(op->user, &cred);
	if (op->kind == OP_SETXATTR)
		return set_xattr(n, &cred, op);
	if (op->kind == OP_REMOVEXATTR)
		return cow_ovl_removexattr(n, &cred, xattr_names[op->xattr]);
	if (op->kind == OP_CHMOD)
		set = (struct cow_ovl_set){.mask = COW_SET_MODE, .mode = op->mode};
	else if (op->kind == OP_CHOWN)
		set = (struct cow_ovl_set){
		    .mask = COW_SET_UID | COW_SET_GID, .uid = op->uid, .gid = op->gid};
	else
		times_of(op, &set);
	if (cow_ovl_getattr(n, &before) < 0)
		engine_complain(e, "%s: found, and no attributes", op->path);
	r = cow_ovl_setattr(n, &cred, &set, &after);
	if (r == 0 && before.change == after.change && !S_ISLNK(before.mode))
		engine_complain(e, "%s: its change attribute is as before", op->path);
	return r;
}

static int list_dir(struct cow_ovl_node *n, struct result *ret)
{
	struct listing text = {.n = 0};
	struct entries l;
	int r = engine_list(n, 0, 0, &l);
	for (size_t k = 0; k < l.n; k++)
		listing_add(&text, l.v[k].name, l.v[k].type);
	entries_free(&l);
	listing_result(&text, ret);
	return r;
}

static int look(struct engine *e, const struct op *op, struct result *ret)
{
	struct cow_ovl_attr a;
	ssize_t n = 0;
	cow_autonode node = NULL;
	int r = walk(e, op->path, NULL, &node);
	if (r < 0)
		return r;
	if (op->kind == OP_STAT) {
		r = cow_ovl_getattr(node, &a);
		if (r < 0)
			return r;
		struct attr attr = attr_of_engine(&a);
		result_attr(ret, &attr, path_is_open(op->path) ? 0 : ATTR_NLINK);
		return 0;
	}
	if (op->kind == OP_LIST)
		return list_dir(node, ret);
	if (op->kind == OP_READLINK)
		n = cow_ovl_readlink(node, (char *)ret->data, IO_MAX);
	else
		n = cow_ovl_getxattr(node, xattr_names[op->xattr], ret->data, IO_MAX);
	ret->len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

/* ---------------------------------------------------------------- one operation */

static int apply_op(struct engine *e, const struct op *op, struct result *ret)
{
	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_SYMLINK:
	case OP_MKNOD:
		return make_object(e, op);
	case OP_LINK:
		return make_link(e, op);
	case OP_RENAME:
		return rename_object(e, op);
	case OP_UNLINK:
	case OP_RMDIR:
		return remove_object(e, op);
	case OP_RMTREE:
		return remove_tree(e, op);
	case OP_WRITE:
	case OP_APPEND:
	case OP_REWRITE:
		return write_file(e, op);
	case OP_TRUNCATE:
		return truncate_file(e, op);
	case OP_FALLOCATE:
		return allocate_file(e, op);
	case OP_CLONE:
		return clone_file(e, op);
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMENS:
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return change(e, op);
	case OP_READ:
		return read_file(e, op, ret);
	case OP_STAT:
	case OP_READLINK:
	case OP_GETXATTR:
	case OP_LIST:
		return look(e, op, ret);
	case OP_OPEN:
		return open_slot(e, op);
	case OP_CLOSE:
		return close_slot(e, op->slot);
	case OP_HOLD:
		return hold_dir(e, op);
	case OP_DROP:
		return drop_dir(e, op->slot);
	case OP_RESTART:
	case OP_KINDS:
		break;
	}
	engine_restart(&e->side);
	return 0;
}

/* Those that change an object and leave every name where it is. */
static bool changes_in_place(enum op_kind kind)
{
	return (kind >= OP_WRITE && kind <= OP_REMOVEXATTR) || kind == OP_OPEN;
}

static void engine_apply(struct side *s, const struct op *op, struct result *ret)
{
	struct engine *e = (struct engine *)s;
	struct ident was;
	const char *path = op->kind == OP_CLONE ? op->path2 : op->path;
	bool watch = changes_in_place(op->kind) && identify(e, path, &was);
	ret->len = 0;
	ret->err = apply_op(e, op, ret);
	if (watch)
		expect_same(e, op_name(op->kind), &was, path);
}

/* ---------------------------------------------------------------- handles */

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void check_visible(struct engine *e, const struct object *o)
{
	struct cow_ovl_attr a;
	struct ident was = {.id = o->attr.id, .type = o->attr.mode & S_IFMT, .len = o->handle_len};
	cow_autonode n = NULL;
	memcpy(was.handle, o->handle, o->handle_len);
	int r = cow_ovl_from_handle(e->inst, o->handle, o->handle_len, &n);
	if (r == 0)
		r = cow_ovl_getattr(n, &a);
	if (r < 0) {
		engine_complain(e, "/%s: its handle answers %s", o->path, errname(r));
		return;
	}
	struct ident is = ident_of(n);
	if (!ident_same(&was, &is) || a.id != was.id || (a.mode & S_IFMT) != was.type)
		engine_complain(e, "/%s: its handle leads to id %llu, was %llu", o->path,
				(unsigned long long)is.id, (unsigned long long)was.id);
	else if (a.mode != o->attr.mode || a.uid != o->attr.uid || a.gid != o->attr.gid ||
		 a.nlink != o->attr.nlink || (!S_ISDIR(a.mode) && a.size != o->attr.size) ||
		 !times_equal(&a.mtime, &o->attr.mtime))
		engine_complain(e, "/%s: other attributes by its handle than by its name", o->path);
}

static void check_gone(struct engine *e, const struct ident *was)
{
	cow_autonode n = NULL;
	int r = cow_ovl_from_handle(e->inst, was->handle, was->len, &n);
	if (r != -ESTALE)
		engine_complain(e, "the handle of a deleted object, id %llu, type %06o, answers %s",
				(unsigned long long)was->id, was->type, errname(r));
}

static bool visible(const struct tree *now, const struct ident *id)
{
	for (size_t k = 0; k < now->n; k++)
		if (now->v[k].handle_len == id->len &&
		    memcmp(now->v[k].handle, id->handle, id->len) == 0)
			return true;
	return false;
}

void engine_check_handles(struct side *s, const struct tree *now)
{
	struct engine *e = (struct engine *)s;
	struct cow_ovl_attr a;
	for (size_t k = 0; k < now->n; k++)
		check_visible(e, &now->v[k]);
	for (size_t k = 0; k < e->nseen; k++)
		if (!visible(now, &e->seen[k]))
			check_gone(e, &e->seen[k]);
	for (size_t k = 0; k < e->nkept; k++) {
		struct ident id = ident_of(e->kept[k]);
		int r = cow_ovl_getattr(e->kept[k], &a);
		if (r != (visible(now, &id) ? 0 : -ESTALE))
			engine_complain(e, "a node held, id %llu, answers %s",
					(unsigned long long)id.id, errname(r));
	}
}

/* ---------------------------------------------------------------- life */

static void attach(struct engine *e)
{
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_inst_open(e->how.dirfd, e->how.img, 0, &e->inst, &err);
	if (r == 0)
		r = cow_ovl_root(e->inst, &e->root);
	if (r < 0) {
		errno = -r;
		trouble("attach: %s", cow_err_str(&err));
	}
}

void engine_attach(struct side *s)
{
	attach((struct engine *)s);
}

static void close_opens(struct engine *e)
{
	for (unsigned n = 0; n < SLOTS; n++)
		(void)close_slot(e, n);
}

static void put_nodes(struct engine *e)
{
	for (size_t k = 0; k < e->nkept; k++)
		cow_ovl_put(e->kept[k]);
	e->nkept = 0;
	for (unsigned n = 0; n < SLOTS; n++)
		cow_ovl_put(cow_steal_ptr(&e->held[n].node));
}

static void engine_close_slots(struct side *s)
{
	struct engine *e = (struct engine *)s;
	close_opens(e);
	for (unsigned n = 0; n < SLOTS; n++)
		(void)drop_dir(e, n);
}

void engine_detach(struct side *s)
{
	struct engine *e = (struct engine *)s;
	struct cow_ovl_stats st;
	if (!e->inst)
		return;
	close_opens(e);
	put_nodes(e);
	cow_ovl_stats(e->inst, &st);
	if (st.opens != 0 || st.nodes > 1)
		engine_complain(e, "everything given back, and %llu opens, %llu nodes are left",
				(unsigned long long)st.opens, (unsigned long long)st.nodes);
	cow_ovl_put(cow_steal_ptr(&e->root));
	int r = cow_ovl_inst_close(cow_steal_ptr(&e->inst));
	if (r < 0)
		engine_complain(e, "detach: %s", errname(r));
}

/* Held directories are found again by their handles, as an NFS server would. */
void engine_restart(struct side *s)
{
	struct engine *e = (struct engine *)s;
	uint64_t epoch = cow_ovl_inst_epoch(e->inst);
	engine_detach(s);
	attach(e);
	if (cow_ovl_inst_epoch(e->inst) != epoch)
		engine_complain(e, "restart: another epoch");
	for (unsigned n = 0; n < SLOTS; n++) {
		if (!e->held[n].used)
			continue;
		struct ident *id = &e->held[n].ident;
		int r = cow_ovl_from_handle(e->inst, id->handle, id->len, &e->held[n].node);
		if (r < 0 && r != -ESTALE)
			engine_complain(e, "restart: the handle of a directory answers %s",
					errname(r));
	}
}

static void engine_free(struct side *s)
{
	struct engine *e = (struct engine *)s;
	engine_detach(s);
	free(e->seen);
	free(e);
}

const char *engine_complaint(struct side *s)
{
	static char text[sizeof(((struct engine *)s)->complaint)];
	struct engine *e = (struct engine *)s;
	if (!*e->complaint)
		return NULL;
	memcpy(text, e->complaint, sizeof(text));
	*e->complaint = '\0';
	return text;
}

static const struct side_ops engine_ops = {
    .apply = engine_apply,
    .snapshot = engine_snapshot,
    .close_slots = engine_close_slots,
    .free = engine_free,
};

struct side *engine_side_new(const struct engine_options *how)
{
	struct cow_ovl_create_opts opts = {.durability = how->durability};
	struct cow_err err = COW_ERR_INIT;
	struct engine *e = must(calloc(1, sizeof(*e)));
	e->side.ops = &engine_ops;
	e->how = *how;
	int r = cow_ovl_inst_create(how->dirfd, how->img, &opts, &err);
	if (r == -EOPNOTSUPP) {
		free(e);
		return NULL;
	}
	if (r < 0) {
		errno = -r;
		trouble("make an instance: %s", cow_err_str(&err));
	}
	attach(e);
	return &e->side;
}

/* ---------------------------------------------------------------- images */

/* An engine without them still runs the other modes. */
#pragma weak cow_ovl_image_build
#pragma weak cow_ovl_image_open
#pragma weak cow_ovl_image_close

bool engine_has_images(void)
{
	return cow_ovl_image_build && cow_ovl_image_open && cow_ovl_image_close;
}

struct cow_ovl_image *engine_image(int dirfd)
{
	struct cow_ovl_image_build how = {0};
	struct cow_ovl_image_info info;
	struct cow_ovl_image *img;
	struct cow_err err = COW_ERR_INIT;
	int r = cow_ovl_image_build(dirfd, &how, &info, &err);
	if (r == 0)
		r = cow_ovl_image_open(dirfd, &img, &err);
	if (r < 0) {
		errno = -r;
		trouble("make an image: %s", cow_err_str(&err));
	}
	return img;
}

void engine_image_close(struct cow_ovl_image *img)
{
	if (img)
		cow_ovl_image_close(img);
}
