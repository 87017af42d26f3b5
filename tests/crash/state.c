/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Looking at trees: through the engine's interface, and by system calls.
 */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "util.h"
#include "values.h"

#define FILE_MAX (4u << 20)
#define LIST_MAX 4096

/* ---------------------------------------------------------------- bytes */

static struct {
	struct item {
		uint8_t *data;
		size_t len;
		uint64_t hash;
	} * v;
	size_t n, room;
	uint32_t *slot; /* number + 1; twice as many as there is room for items */
} pool;

static uint64_t hash_of(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u ^ len;
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	for (; len > 0; p++, len--)
		h = (h ^ *p) * 0x100000001b3u;
	return h ^ h >> 32;
}

static uint32_t *slot_of(const uint8_t *data, size_t len, uint64_t hash)
{
	for (size_t at = hash;; at++) {
		uint32_t *s = &pool.slot[at % (2 * pool.room)];
		if (*s == 0)
			return s;
		const struct item *it = &pool.v[*s - 1];
		if (it->hash == hash && it->len == len &&
		    (len == 0 || memcmp(it->data, data, len) == 0))
			return s;
	}
}

static void pool_grow(void)
{
	pool.room = pool.room ? 2 * pool.room : 256;
	pool.v = must(reallocarray(pool.v, pool.room, sizeof(*pool.v)));
	free(pool.slot);
	pool.slot = must(calloc(2 * pool.room, sizeof(*pool.slot)));
	for (size_t k = 0; k < pool.n; k++)
		*slot_of(pool.v[k].data, pool.v[k].len, pool.v[k].hash) = (uint32_t)k + 1;
}

uint32_t bytes_put(const void *data, size_t len)
{
	uint64_t hash = hash_of(data, len);
	if (pool.n == pool.room)
		pool_grow();
	uint32_t *s = slot_of(data, len, hash);
	if (*s == 0) {
		struct item it = {.data = must(malloc(len + 1)), .len = len, .hash = hash};
		memcpy(it.data, data, len);
		pool.v[pool.n++] = it;
		*s = (uint32_t)pool.n;
	}
	return *s - 1;
}

const uint8_t *bytes_get(uint32_t number, size_t *ret_len)
{
	*ret_len = pool.v[number].len;
	return pool.v[number].data;
}

/* ---------------------------------------------------------------- states */

void state_free(struct state *s)
{
	free(s->v);
	*s = (struct state){0};
}

static void add(struct state *s, const struct obj *o)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 32;
		s->v = must(reallocarray(s->v, s->room, sizeof(*s->v)));
	}
	s->v[s->n++] = *o;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct obj *)a)->path, ((const struct obj *)b)->path);
}

static void sort(struct state *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_path);
}

const struct obj *state_find(const struct state *s, const char *path)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(s->v[mid].path, path);
		if (c == 0)
			return &s->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int __attribute__((format(printf, 3, 4))) say(char why[WHY_LEN], int r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, WHY_LEN, fmt, ap);
	va_end(ap);
	return r;
}

static int64_t mtime_of(mode_t mode, const struct timespec *ts)
{
	if (S_ISDIR(mode))
		return 0; /* of what was brought up and not changed it may be either */
	return is_old(ts) ? ts->tv_sec : MTIME_NOW;
}

/* Names of attributes that are compared, one after the other with its value, sorted. */
typedef ssize_t (*get_fn)(void *ctx, const char *name, void *buf, size_t len);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint32_t meta_of(const char *target, size_t target_len, char *list, size_t len, get_fn get,
			void *ctx)
{
	char text[2 * LIST_MAX], *names[64];
	size_t n = 0, at = target_len;
	memcpy(text, target, target_len);
	for (char *p = list; p < list + len && n < 64; p += strlen(p) + 1)
		if (strncmp(p, "trusted.cowherd.", 16) != 0 &&
		    strncmp(p, "trusted.overlay.", 16) != 0)
			names[n++] = p;
	if (n > 1)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t k = 0; k < n; k++) {
		size_t one = strlen(names[k]) + 1;
		if (at + one + 256 > sizeof(text))
			trouble("too many attributes");
		memcpy(text + at, names[k], one);
		at += one;
		ssize_t got = get(ctx, names[k], text + at, 255);
		at += got < 0 ? 0 : (size_t)got;
		text[at++] = got < 0 ? '!' : ';';
	}
	return bytes_put(text, at);
}

/* ---------------------------------------------------------------- through the engine */

struct look {
	struct cow_ovl_inst *i;
	who_fn who;
	void *ctx;
	struct state *s;
	char *why;
};

struct names {
	struct {
		char name[256];
		struct cow_ovl_node *node;
		uint64_t id;
		mode_t type;
	} v[128];
	size_t n;
};

static int take_name(void *ctx, const struct cow_ovl_dirent *ent)
{
	struct names *l = ctx;
	if (l->n == 128)
		return -E2BIG;
	memcpy(l->v[l->n].name, ent->name, ent->name_len + 1);
	l->v[l->n].node = cow_ovl_get(ent->node);
	l->v[l->n].id = ent->id;
	l->v[l->n++].type = ent->type;
	return 0;
}

static ssize_t get_of_node(void *ctx, const char *name, void *buf, size_t len)
{
	return cow_ovl_getxattr(ctx, name, buf, len);
}

static int read_node(struct cow_ovl_node *n, uint64_t size, uint32_t *ret)
{
	cow_autoopen o = NULL;
	if (size > FILE_MAX)
		return -EFBIG;
	cow_autofree uint8_t *buf = must(malloc(size + 1));
	struct iovec iov = {.iov_base = buf, .iov_len = size + 1};
	int r = cow_ovl_open(n, &cow_ovl_root_cred, COW_OPEN_READ, &o);
	if (r < 0)
		return r;
	ssize_t got = cow_ovl_read(o, &iov, 1, 0);
	if (got < 0)
		return (int)got;
	if ((uint64_t)got != size)
		return -EIO;
	*ret = bytes_put(buf, (size_t)got);
	return 0;
}

static int check_handle(struct look *l, const struct obj *o)
{
	cow_autonode n = NULL;
	int r = cow_ovl_from_handle(l->i, o->handle, o->handle_len, &n);
	if (r < 0)
		return say(l->why, r, "%s: its handle: %s", o->path, errname(r));
	uint8_t again[COW_OVL_HANDLE_MAX];
	size_t len = cow_ovl_handle(n, again);
	if (cow_ovl_id(n) != o->id || len != o->handle_len || memcmp(again, o->handle, len) != 0)
		return say(l->why, -EIO, "%s: its handle leads to another object", o->path);
	return 0;
}

static int look_at(struct look *l, struct cow_ovl_node *n, const char *path)
{
	struct cow_ovl_attr a;
	struct obj o = {.id = cow_ovl_id(n)};
	char list[LIST_MAX], target[LIST_MAX];
	ssize_t target_len = 0;
	int r = cow_ovl_getattr(n, &a);
	if (r < 0)
		return say(l->why, r, "%s: attributes: %s", path, errname(r));
	(void)snprintf(o.path, sizeof(o.path), "%s", path);
	o.mode = a.mode;
	o.uid = a.uid;
	o.gid = a.gid;
	o.nlink = S_ISDIR(a.mode) ? 0 : a.nlink;
	o.rdev = a.rdev;
	o.mtime = mtime_of(a.mode, &a.mtime);
	ssize_t len = cow_ovl_listxattr(n, list, sizeof(list));
	if (len >= 0 && S_ISLNK(a.mode))
		target_len = cow_ovl_readlink(n, target, sizeof(target));
	if (len < 0 || target_len < 0)
		return say(l->why, -EIO, "%s: extended attributes %zd, target %zd", path, len,
			   target_len);
	o.meta = meta_of(target, (size_t)target_len, list, (size_t)len, get_of_node, n);
	r = S_ISREG(a.mode) ? read_node(n, a.size, &o.data) : 0;
	if (r < 0)
		return say(l->why, r, "%s: data of %llu bytes: %s", path,
			   (unsigned long long)a.size, errname(r));
	o.handle_len = cow_ovl_handle(n, o.handle);
	o.who = o.handle[1] == 'L' ? o.id
		: l->who	   ? l->who(l->ctx, o.handle, o.handle_len)
				   : WHO_UNKNOWN;
	r = check_handle(l, &o);
	add(l->s, &o);
	return r;
}

static int look_below(struct look *l, struct cow_ovl_node *n, const char *path);

static int look_name(struct look *l, struct cow_ovl_node *dir, const char *path, const char *name,
		     uint64_t id, mode_t type, struct cow_ovl_node *listed)
{
	char sub[PATH_LEN];
	cow_autonode n = NULL;
	int len = snprintf(sub, sizeof(sub), "%s%s%s", path, *path ? "/" : "", name);
	if (len >= (int)sizeof(sub))
		return say(l->why, -ENAMETOOLONG, "%s: too long", path);
	int r = cow_ovl_lookup(dir, name, strlen(name), &n, NULL);
	if (r < 0)
		return say(l->why, r, "%s: listed, look-up says %s", sub, errname(r));
	if (n != listed || cow_ovl_id(n) != id || cow_ovl_type(n) != type)
		return say(l->why, -EIO, "%s: listed as another object", sub);
	r = look_at(l, n, sub);
	return r == 0 && S_ISDIR(type) ? look_below(l, n, sub) : r;
}

static int look_below(struct look *l, struct cow_ovl_node *n, const char *path)
{
	cow_autofree struct names *names = must(calloc(1, sizeof(*names)));
	int eof;
	int r = cow_ovl_readdir(n, 0, COW_READDIR_NODES, take_name, names, &eof);
	if (r < 0)
		(void)say(l->why, r, "%s: list: %s", path, errname(r));
	for (size_t k = 0; k < names->n; k++) {
		if (r == 0)
			r = look_name(l, n, path, names->v[k].name, names->v[k].id,
				      names->v[k].type, names->v[k].node);
		cow_ovl_put(names->v[k].node);
	}
	return r;
}

int node_at(struct cow_ovl_inst *i, const char *path, const char **ret_name,
	    struct cow_ovl_node **ret)
{
	cow_autonode n = NULL;
	int r = cow_ovl_root(i, &n);
	if (ret_name)
		*ret_name = "";
	while (r == 0 && *path) {
		size_t len = strcspn(path, "/");
		cow_autonode next = NULL;
		if (ret_name && !path[len]) {
			*ret_name = path;
			break;
		}
		r = cow_ovl_lookup(n, path, len, &next, NULL);
		if (r < 0)
			return r;
		cow_ovl_put(n);
		n = cow_steal_ptr(&next);
		path += path[len] ? len + 1 : len;
	}
	if (r == 0)
		*ret = cow_steal_ptr(&n);
	return r;
}

int state_of_engine(struct cow_ovl_inst *i, const char *path, who_fn who, void *ctx,
		    struct state *ret, char why[WHY_LEN])
{
	struct look l = {.i = i, .who = who, .ctx = ctx, .s = ret, .why = why};
	cow_autonode n = NULL;
	*ret = (struct state){0};
	int r = node_at(i, path, NULL, &n);
	if (r < 0)
		return say(why, r, "%s: %s", path, errname(r));
	r = look_at(&l, n, path);
	if (r == 0)
		r = look_below(&l, n, path);
	sort(ret);
	return r;
}

/* ---------------------------------------------------------------- by system calls */

static ssize_t get_of_path(void *ctx, const char *name, void *buf, size_t len)
{
	return lgetxattr(ctx, name, buf, len);
}

static int read_file(const char *path, size_t size, uint32_t *ret)
{
	cow_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	cow_autofree uint8_t *buf = must(malloc(size + 1));
	ssize_t got = cow_pread_full(fd, buf, size + 1, 0);
	if (got < 0 || (size_t)got != size)
		return got < 0 ? (int)got : -EIO;
	*ret = bytes_put(buf, size);
	return 0;
}

static int dir_below(int dirfd, const char *path, struct state *s, char why[WHY_LEN]);

static int dir_name(int dirfd, const char *path, const char *name, struct state *s, char *why)
{
	char sub[PATH_LEN], full[64 + 256], list[LIST_MAX], target[LIST_MAX];
	struct stat st;
	struct obj o = {0};
	ssize_t target_len = 0;
	(void)snprintf(sub, sizeof(sub), "%s%s%s", path, path[0] ? "/" : "", name);
	(void)snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", dirfd, name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return say(why, -errno, "%s: stat: %s", sub, errname(errno));
	(void)snprintf(o.path, sizeof(o.path), "%s", sub);
	o.mode = st.st_mode;
	o.uid = st.st_uid;
	o.gid = st.st_gid;
	o.nlink = S_ISDIR(st.st_mode) ? 0 : (uint32_t)st.st_nlink;
	o.rdev = st.st_rdev;
	o.mtime = mtime_of(st.st_mode, &st.st_mtim);
	o.who = WHO_UNKNOWN;
	ssize_t len = llistxattr(full, list, sizeof(list));
	if (S_ISLNK(st.st_mode))
		target_len = readlinkat(dirfd, name, target, sizeof(target));
	if (len < 0 || target_len < 0)
		return say(why, -EIO, "%s: extended attributes or target: %s", sub, errname(errno));
	o.meta = meta_of(target, (size_t)target_len, list, (size_t)len, get_of_path, full);
	int r = S_ISREG(st.st_mode) ? read_file(full, (size_t)st.st_size, &o.data) : 0;
	if (r < 0)
		return say(why, r, "%s: data: %s", sub, errname(r));
	add(s, &o);
	if (!S_ISDIR(st.st_mode))
		return 0;
	cow_autoclose int fd = cow_opendir_at(dirfd, name);
	return fd < 0 ? say(why, fd, "%s: open: %s", sub, errname(fd)) : dir_below(fd, sub, s, why);
}

static int dir_below(int dirfd, const char *path, struct state *s, char why[WHY_LEN])
{
	const struct dirent *e;
	int r, fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return say(why, -errno, "%s: list: %s", path, errname(errno));
	while ((r = cow_readdir(d, &e)) > 0) {
		r = dir_name(dirfd, path, e->d_name, s, why);
		if (r < 0)
			return r;
	}
	return r < 0 ? say(why, r, "%s: list: %s", path, errname(r)) : 0;
}

int state_of_dir(int dirfd, struct state *ret, char why[WHY_LEN])
{
	*ret = (struct state){0};
	int r = dir_below(dirfd, "", ret, why);
	sort(ret);
	return r;
}
