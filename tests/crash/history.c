/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Steps: made up, run, written down.
 */
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "util.h"
#include "values.h"

static const char *const kind_names[KINDS] = {
    [K_CREATE] = "create",
    [K_MKDIR] = "mkdir",
    [K_SYMLINK] = "symlink",
    [K_FIFO] = "mkfifo",
    [K_LINK] = "link",
    [K_RENAME] = "rename",
    [K_EXCHANGE] = "exchange",
    [K_REMOVE] = "remove",
    [K_CHMOD] = "chmod",
    [K_CHOWN] = "chown",
    [K_UTIMES] = "utimes",
    [K_SETXATTR] = "setxattr",
    [K_REMOVEXATTR] = "removexattr",
    [K_TRUNCATE] = "truncate",
    [K_WRITE] = "write+commit",
    [K_STABLE] = "write-stable",
    [K_REWRITE] = "rewrite+commit",
    [K_ALLOC] = "allocate",
    [K_SCRATCH] = "write-unstable",
    [K_SYNC] = "sync",
};

const char *step_text(const struct step *s, char buf[3 * PATH_LEN])
{
	(void)snprintf(buf, 3 * PATH_LEN, "%s %s %s arg=%#o off=%llu len=%llu", kind_names[s->kind],
		       s->path, s->path2, s->arg, (unsigned long long)s->off,
		       (unsigned long long)s->len);
	return buf;
}

/* ---------------------------------------------------------------- run */

uint64_t made_who(void *ctx, const uint8_t *handle, size_t len)
{
	const struct made *m = ctx;
	for (size_t k = 1; k <= STEPS_MAX; k++)
		if (m->v[k].len == len && memcmp(m->v[k].handle, handle, len) == 0)
			return WHO_MADE + k;
	return WHO_UNKNOWN;
}

struct run {
	struct cow_ovl_inst *i;
	const struct step *s;
	char path[PATH_LEN + 64], path2[PATH_LEN + 64];
};

static int make(const struct run *run, struct cow_ovl_node **ret)
{
	static const mode_t types[] = {
	    [K_CREATE] = S_IFREG, [K_MKDIR] = S_IFDIR, [K_SYMLINK] = S_IFLNK, [K_FIFO] = S_IFIFO};
	const struct step *s = run->s;
	struct cow_ovl_create how = {.type = types[s->kind], .mode = s->arg};
	const char *name;
	cow_autonode dir = NULL;
	if (s->kind == K_SYMLINK)
		how.target = s->path2;
	int r = node_at(run->i, run->path, &name, &dir);
	return r < 0 ? r
		     : cow_ovl_create(dir, name, strlen(name), &cow_ovl_root_cred, &how, ret, NULL);
}

static int link_or_rename(const struct run *run)
{
	const char *name, *name2;
	cow_autonode dir = NULL;
	cow_autonode dir2 = NULL;
	cow_autonode n = NULL;
	int r = node_at(run->i, run->path2, &name2, &dir2);
	if (r == 0)
		r = run->s->kind == K_LINK ? node_at(run->i, run->path, NULL, &n)
					   : node_at(run->i, run->path, &name, &dir);
	if (r < 0)
		return r;
	if (n)
		return cow_ovl_link(n, dir2, name2, strlen(name2), &cow_ovl_root_cred);
	return cow_ovl_rename(dir, name, strlen(name), dir2, name2, strlen(name2),
			      run->s->kind == K_EXCHANGE ? RENAME_EXCHANGE : 0, &cow_ovl_root_cred);
}

static int put_data(const struct run *run, struct cow_ovl_node *n)
{
	const struct step *s = run->s;
	cow_autoopen o = NULL;
	int r = cow_ovl_open(n, &cow_ovl_root_cred,
			     COW_OPEN_WRITE | (s->kind == K_REWRITE ? COW_OPEN_TRUNC : 0), &o);
	if (r < 0)
		return r;
	if (s->kind == K_ALLOC)
		return cow_ovl_fallocate(o, 0, s->off, s->len);
	cow_autofree uint8_t *buf = must(malloc(s->len + 1));
	fill_bytes(buf, s->len, s->arg, s->off);
	struct iovec iov = {.iov_base = buf, .iov_len = s->len};
	ssize_t got = cow_ovl_write(o, &iov, 1, s->off, s->kind == K_STABLE ? COW_WRITE_STABLE : 0);
	if (got != (ssize_t)s->len)
		return got < 0 ? (int)got : -EIO;
	return s->kind == K_WRITE || s->kind == K_REWRITE ? cow_ovl_commit(n) : 0;
}

static int set_attr(const struct run *run, struct cow_ovl_node *n)
{
	const struct step *s = run->s;
	struct cow_ovl_set set = {0};
	switch (s->kind) {
	case K_CHMOD:
		set.mask = COW_SET_MODE;
		set.mode = s->arg;
		break;
	case K_CHOWN:
		set.mask = COW_SET_UID | COW_SET_GID;
		set.uid = s->arg;
		set.gid = s->arg + 1;
		break;
	case K_UTIMES:
		set.mask = COW_SET_MTIME | COW_SET_ATIME;
		set.mtime = old_mtime(s->arg);
		set.atime = old_atime(s->arg);
		break;
	default:
		set.mask = COW_SET_SIZE;
		set.size = s->len;
	}
	return cow_ovl_setattr(n, &cow_ovl_root_cred, &set, NULL);
}

static int on_node(const struct run *run)
{
	const struct step *s = run->s;
	cow_autonode n = NULL;
	int r = node_at(run->i, run->path, NULL, &n);
	if (r < 0)
		return r;
	if (s->kind == K_SETXATTR)
		return cow_ovl_setxattr(n, &cow_ovl_root_cred, "trusted.t", &s->arg, sizeof(s->arg),
					0);
	if (s->kind == K_REMOVEXATTR)
		return cow_ovl_removexattr(n, &cow_ovl_root_cred, "trusted.t");
	return s->kind >= K_WRITE ? put_data(run, n) : set_attr(run, n);
}

static int on_name(const struct run *run)
{
	const char *name;
	cow_autonode dir = NULL;
	int r = node_at(run->i, run->path, &name, &dir);
	return r < 0 ? r
		     : cow_ovl_remove(dir, name, strlen(name), &cow_ovl_root_cred,
				      COW_REMOVE_FILE | COW_REMOVE_DIR);
}

int step_run(struct cow_ovl_inst *i, const char *top, const struct step *s, struct made *made,
	     size_t number)
{
	struct run run = {.i = i, .s = s};
	cow_autonode n = NULL;
	(void)snprintf(run.path, sizeof(run.path), "%s%s%s", top, *s->path ? "/" : "", s->path);
	(void)snprintf(run.path2, sizeof(run.path2), "%s/%s", top, s->path2);
	int r;
	switch (s->kind) {
	case K_CREATE:
	case K_MKDIR:
	case K_SYMLINK:
	case K_FIFO:
		r = make(&run, &n);
		if (r == 0 && made)
			made->v[number].len = cow_ovl_handle(n, made->v[number].handle);
		return r;
	case K_LINK:
	case K_RENAME:
	case K_EXCHANGE:
		return link_or_rename(&run);
	case K_REMOVE:
		return on_name(&run);
	case K_SYNC:
		return cow_ovl_inst_sync(i);
	default:
		return on_node(&run);
	}
}

/* ---------------------------------------------------------------- make up */

static const char *const fresh[] = {"n0", "n1", "n2", "f1", "d1", "d3", "x", "h1"};

/* An object of the state for which @fit holds; NULL: not found. Its path without the top. */
static const struct obj *pick(struct rng *r, const struct state *s, bool (*fit)(mode_t))
{
	for (int n = 0; n < 20; n++) {
		const struct obj *o = &s->v[rng_below(r, (unsigned)s->n)];
		if (fit(o->mode))
			return o;
	}
	return NULL;
}

static bool is_file(mode_t mode)
{
	return S_ISREG(mode);
}

static bool is_dir(mode_t mode)
{
	return S_ISDIR(mode);
}

static bool is_any(mode_t mode)
{
	return true;
}

static bool not_dir(mode_t mode)
{
	return !S_ISDIR(mode);
}

static bool has_xattr(mode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode);
}

static void below_top(const struct history *h, const struct obj *o, char ret[PATH_LEN])
{
	const char *p = o->path + strlen(h->top);
	(void)snprintf(ret, PATH_LEN, "%s", *p == '/' ? p + 1 : p);
}

static bool new_path(const struct history *h, struct rng *r, const struct state *s,
		     char ret[PATH_LEN])
{
	char dir[PATH_LEN];
	const struct obj *d = pick(r, s, is_dir);
	if (!d)
		return false;
	below_top(h, d, dir);
	if (strlen(d->path) > PATH_LEN / 2)
		return false;
	/* Half of the time where the image has a name, as often hidden as not. */
	(void)snprintf(ret, PATH_LEN, "%.*s%s%s", PATH_LEN - 10, dir, *dir ? "/" : "",
		       RNG_PICK(r, fresh));
	return true;
}

static bool make_up(const struct history *h, struct rng *r, const struct state *s, struct step *ret)
{
	static const struct {
		enum kind kind;
		unsigned weight;
	} kinds[] = {
	    {K_CREATE, 9},  {K_MKDIR, 6},    {K_SYMLINK, 3},	 {K_FIFO, 2},	  {K_LINK, 6},
	    {K_RENAME, 18}, {K_EXCHANGE, 4}, {K_REMOVE, 16},	 {K_CHMOD, 6},	  {K_CHOWN, 4},
	    {K_UTIMES, 3},  {K_SETXATTR, 4}, {K_REMOVEXATTR, 2}, {K_TRUNCATE, 5}, {K_WRITE, 9},
	    {K_STABLE, 6},  {K_REWRITE, 5},  {K_ALLOC, 2},	 {K_SCRATCH, 5},  {K_SYNC, 1},
	};
	static const uint64_t sizes[] = {1, 100, 4096, 5000, 20000, 70000, 200000};
	const struct obj *o = NULL;
	unsigned at = rng_below(r, 116);
	size_t k = 0;
	while (k + 1 < sizeof(kinds) / sizeof(*kinds) && at >= kinds[k].weight)
		at -= kinds[k++].weight;
	*ret = (struct step){.kind = kinds[k].kind};
	switch (ret->kind) {
	case K_CREATE:
	case K_MKDIR:
	case K_FIFO:
	case K_SYMLINK:
		ret->arg = rng_chance(r, 50) ? 0755 : 0640;
		if (ret->kind == K_SYMLINK) {
			ret->arg = 0777;
			(void)snprintf(ret->path2, PATH_LEN, "%0*u", rng_chance(r, 50) ? 5 : 100,
				       rng_below(r, 1000));
		}
		return new_path(h, r, s, ret->path);
	case K_LINK:
	case K_RENAME:
		o = pick(r, s, ret->kind == K_LINK || rng_chance(r, 50) ? not_dir : is_any);
		/* Onto what is there, or not. */
		if (ret->kind == K_RENAME && rng_chance(r, 35)) {
			const struct obj *to = pick(r, s, is_any);
			if (!to)
				return false;
			below_top(h, to, ret->path2);
			if (!*ret->path2)
				return false;
		} else if (!new_path(h, r, s, ret->path2)) {
			return false;
		}
		break;
	case K_EXCHANGE: {
		const struct obj *to = pick(r, s, is_any);
		o = pick(r, s, is_any);
		if (to)
			below_top(h, to, ret->path2);
		if (!to || !*ret->path2)
			return false;
		break;
	}
	case K_REMOVE:
		o = pick(r, s, rng_chance(r, 40) ? is_any : not_dir);
		break;
	case K_CHMOD:
		o = pick(r, s, is_any);
		if (o && S_ISLNK(o->mode))
			return false;
		ret->arg = 0600 | rng_below(r, 0200);
		break;
	case K_CHOWN:
		o = pick(r, s, is_any);
		ret->arg = 1000 + rng_below(r, 3);
		break;
	case K_UTIMES:
		o = pick(r, s, is_any);
		ret->arg = rng_below(r, OLD_SPAN);
		break;
	case K_SETXATTR:
	case K_REMOVEXATTR:
		o = pick(r, s, has_xattr);
		ret->arg = rng_below(r, 100);
		break;
	case K_TRUNCATE:
		o = pick(r, s, is_file);
		ret->len = rng_chance(r, 20) ? 0 : RNG_PICK(r, sizes);
		break;
	case K_SYNC:
		return true;
	default:
		o = pick(r, s, is_file);
		ret->arg = rng_below(r, 256);
		ret->len = RNG_PICK(r, sizes);
		/* Small changes inside are what a copy may lose without making the file larger. */
		ret->off = ret->kind == K_REWRITE || rng_chance(r, 50) ? 0 : RNG_PICK(r, sizes);
		break;
	}
	if (!o)
		return false;
	below_top(h, o, ret->path);
	return *ret->path || ret->kind == K_CHMOD || ret->kind == K_SETXATTR;
}

/* ---------------------------------------------------------------- write down */

static void note(struct history *h, struct cow_ovl_inst *i, struct made *made)
{
	char why[WHY_LEN];
	if (state_of_engine(i, h->top, made_who, made, &h->state[h->n], why) < 0)
		trouble("without a cut: %s", why);
}

void history_make(struct history *h, struct cow_ovl_inst *i, struct rng *gen, size_t n)
{
	struct made *made = must(calloc(1, sizeof(*made)));
	char text[3 * PATH_LEN];
	size_t steps = gen ? n : h->n;
	h->n = 0;
	note(h, i, made);
	while (h->n < steps) {
		struct step s;
		if (gen && !make_up(h, gen, &h->state[h->n], &s))
			continue;
		if (!gen)
			s = h->step[h->n + 1];
		int r = step_run(i, h->top, &s, made, h->n + 1);
		if (r < 0 && gen)
			continue; /* a client would not miss it */
		if (r < 0)
			trouble("%s: %s", step_text(&s, text), errname(r));
		h->step[++h->n] = s;
		note(h, i, made);
	}
	free(made);
}

void history_free(struct history *h)
{
	for (size_t k = 0; k <= h->n; k++)
		state_free(&h->state[k]);
	free(h);
}

/* ---------------------------------------------------------------- the golden image */

static void file(int dirfd, const char *name, mode_t mode, const uint64_t (*parts)[2], size_t n,
		 uint64_t size)
{
	int fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		trouble("make %s", name);
	for (size_t k = 0; k < n; k++) {
		uint8_t *buf = must(malloc(parts[k][1]));
		fill_bytes(buf, parts[k][1], 7, parts[k][0]);
		if (cow_pwrite_full(fd, buf, parts[k][1], (off_t)parts[k][0]) < 0)
			trouble("write %s", name);
		free(buf);
	}
	if (fchmod(fd, mode) < 0)
		trouble("mode of %s", name);
	(void)close(fd);
}

static void plain(int dirfd, const char *name, uint64_t size)
{
	file(dirfd, name, 0644, (const uint64_t[][2]){{0, size}}, size > 0, size);
}

static void age_all(int dirfd, unsigned *n)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;
	if (!d)
		trouble("list the golden tree");
	while (cow_readdir(d, &e) > 0) {
		const unsigned t = 100 * ++*n;
		const struct timespec ts[2] = {old_atime(t), old_mtime(t)};
		int fd = e->d_type == DT_DIR ? cow_opendir_at(dirfd, e->d_name) : -1;
		if (fd >= 0) {
			age_all(fd, n);
			(void)close(fd);
		}
		if (utimensat(dirfd, e->d_name, ts, AT_SYMLINK_NOFOLLOW) < 0)
			trouble("times of %s", e->d_name);
	}
	(void)closedir(d);
}

void lower_make(int dirfd)
{
	static const char *const dirs[] = {"d1", "d1/s", "d2", "d3", "d4", "d5", "d6"};
	const uint64_t sparse[][2] = {{0, 4096}, {200000, 10000}};
	unsigned n = 0;
	for (size_t k = 0; k < sizeof(dirs) / sizeof(*dirs); k++)
		if (mkdirat(dirfd, dirs[k], 0755) < 0)
			trouble("make %s", dirs[k]);
	plain(dirfd, "f0", 0);
	plain(dirfd, "f1", 100);
	plain(dirfd, "f2", 5000);
	plain(dirfd, "f3", 70000);
	file(dirfd, "f4", 0600, sparse, 2, 300000);
	file(dirfd, "f5", 04755, (const uint64_t[][2]){{0, 9000}}, 1, 9000);
	plain(dirfd, "f6", 1 << 20);
	plain(dirfd, "d1/x", 3000);
	plain(dirfd, "d1/n0", 10);
	plain(dirfd, "d1/s/f1", 20000);
	plain(dirfd, "d2/x", 0);
	plain(dirfd, "d2/y", 8192);
	plain(dirfd, "d4/x", 12);
	plain(dirfd, "d5/x", 4097);
	plain(dirfd, "h1", 6000);
	if (linkat(dirfd, "h1", dirfd, "h2", 0) < 0 || linkat(dirfd, "h1", dirfd, "d2/h3", 0) < 0 ||
	    symlinkat("f1", dirfd, "l1") < 0 ||
	    symlinkat(
		"a/long/target/that/needs/a/block/of/its/own/in/the/file/system/because/it/is/"
		"longer/than/what/fits",
		dirfd, "l2") < 0 ||
	    mknodat(dirfd, "p", S_IFIFO | 0620, 0) < 0 ||
	    mknodat(dirfd, "c", S_IFCHR | 0660, makedev(7, 9)) < 0 ||
	    fchownat(dirfd, "f3", 1000, 1001, 0) < 0 || fchownat(dirfd, "d5", 0, 1000, 0) < 0 ||
	    fchownat(dirfd, "l2", 1000, 1000, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, "d5", 02775, 0) < 0 || fchmodat(dirfd, "f3", 0640, 0) < 0)
		trouble("make the golden tree");
	cow_autoclose int fd = openat(dirfd, "f2", O_RDONLY | O_CLOEXEC);
	cow_autoclose int dir = openat(dirfd, "d1", O_RDONLY | O_CLOEXEC);
	if (fsetxattr(fd, "trusted.t", "lower", 5, 0) < 0 ||
	    fsetxattr(dir, "trusted.t", "dir", 3, 0) < 0)
		trouble("attributes of the golden tree");
	age_all(dirfd, &n);
}
