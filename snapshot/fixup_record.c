/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The one place where fix-ups change a tree: what was there is recorded first (fixlog.h), and directories
 * keep their times. For the machines of the herd nothing has happened in them, and a change that is taken back
 * leaves no trace.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/growpath.h"
#include "fixup_internal.h"
#include "tree.h"

#define KEEP_MAX ((off_t)1 << 20) /* of content */

/* ---------------------------------------------------------------- what is there */

struct seen {
	struct stat st;
	enum cow_fixlog_kind kind;
	struct cow_fixlog_bytes content; /* of a file; of a link its target */
	bool ours;			 /* the content, to be freed */
	bool lost;			 /* a file with more than is kept */
};

static enum cow_fixlog_kind kind_of(mode_t mode)
{
	if (S_ISREG(mode))
		return COW_FIXLOG_FILE;
	if (S_ISLNK(mode))
		return COW_FIXLOG_LINK;
	return S_ISDIR(mode) ? COW_FIXLOG_DIR : COW_FIXLOG_NODE;
}

/* Of a swap area what tells of it: the pages themselves were the memory of another machine. 0: it is none. */
static size_t swap_head(int fd)
{
	static const char *const marks[] = {"SWAPSPACE2", "SWAP-SPACE"};
	char mark[10];
	for (size_t page = 4096; page <= 65536; page *= 2)
		for (size_t i = 0; i < 2; i++)
			if (cow_pread_full(fd, mark, sizeof(mark),
					   (off_t)(page - sizeof(mark))) == sizeof(mark) &&
			    memcmp(mark, marks[i], sizeof(mark)) == 0)
				return page;
	return 0;
}

static int read_content(int fd, struct seen *s)
{
	size_t len = (size_t)s->st.st_size;
	if (s->st.st_size > KEEP_MAX) {
		int is_hole = lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
		len = is_hole ? 0 : swap_head(fd);
		s->lost = (!is_hole && len == 0) || (uint64_t)s->st.st_size > COW_FIXLOG_SIZE_MAX;
	}
	char *buf = malloc(len + 1);
	if (!buf)
		return -ENOMEM;
	ssize_t n = cow_pread_full(fd, buf, len, 0);
	if (n < 0) {
		free(buf);
		return (int)n;
	}
	while (n > 0 && !buf[n - 1])
		n--;
	buf[n] = 0;
	s->content = (struct cow_fixlog_bytes){buf, (size_t)n}; /* zeros at its end need not be kept */
	s->ours = true;
	return 0;
}

static int read_link(int dir, const char *name, struct seen *s)
{
	char target[COW_SYMLINK_MAX + 1];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	s->ours = true;
	return n < 0 ? -errno : cow_fixlog_bytes_set(&s->content, target, (size_t)n);
}

/* @known: its content, if the caller has it; NULL. */
static int look(const struct cow_tree_place *p, const struct cow_fixlog_bytes *known, struct seen *s)
{
	if (fstatat(p->dir, p->name, &s->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	s->kind = kind_of(s->st.st_mode);
	if (s->kind == COW_FIXLOG_LINK)
		return read_link(p->dir, p->name, s);
	if (s->kind != COW_FIXLOG_FILE)
		return 0;
	if (known) {
		s->content = *known;
		return 0;
	}
	cow_autoclose int fd =
	    openat(p->dir, p->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	return fd < 0 ? -errno : read_content(fd, s);
}

/* ---------------------------------------------------------------- the change */

static int take_xattr(const char *path, const char *name, char *value, struct cow_fixlog_change *c)
{
	ssize_t n = lgetxattr(path, name, value, COW_XATTR_SIZE_MAX);
	if (n < 0)
		return -errno;
	struct cow_fixlog_xattr *grown = reallocarray(c->xattr, c->nxattr + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->xattr = grown;
	grown[c->nxattr] = (struct cow_fixlog_xattr){.name = strdup(name)};
	if (!grown[c->nxattr].name)
		return -ENOMEM;
	return cow_fixlog_bytes_set(&grown[c->nxattr++].value, value, (size_t)n);
}

static int take_xattrs(const struct cow_tree_place *p, struct cow_fixlog_change *c)
{
	char path[64 + COW_NAME_MAX];
	cow_autofree char *names = malloc(COW_XATTR_LIST_MAX);
	cow_autofree char *value = malloc(COW_XATTR_SIZE_MAX);
	if (!names || !value)
		return -ENOMEM;
	/* The magic link leads to our own directory; there is no llistxattrat(2) yet. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", p->dir, p->name);
	ssize_t len = llistxattr(path, names, COW_XATTR_LIST_MAX);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	int r = 0;
	for (const char *x = names; r == 0 && x < names + len; x += strlen(x) + 1)
		if (!cow_xattr_of_xfs(x))
			r = take_xattr(path, x, value, c);
	return r;
}

static int take_seen(const struct cow_tree_place *p, const struct seen *s, struct cow_fixlog_change *c)
{
	c->kind = s->kind;
	c->lost = s->lost;
	if (s->kind == COW_FIXLOG_NONE)
		return 0;
	c->meta = (struct cow_meta){
	    .mode = s->st.st_mode,
	    .uid = s->st.st_uid,
	    .gid = s->st.st_gid,
	    .rdev = s->st.st_rdev,
	    .times = {s->st.st_atim, s->st.st_mtim},
	};
	c->size = s->kind == COW_FIXLOG_FILE ? (uint64_t)s->st.st_size : 0;
	c->dev = s->st.st_dev;
	c->ino = s->st.st_ino;
	c->linked = s->st.st_nlink > 1;
	return take_xattrs(p, c);
}

/* The attributes of what was there before the earlier change. */
static int take_earlier(const struct cow_fixlog_change *e, struct cow_fixlog_change *c)
{
	c->kind = e->kind;
	c->lost = e->lost;
	c->meta = e->meta;
	c->dev = e->dev;
	c->ino = e->ino;
	c->linked = e->linked;
	for (size_t i = 0; i < e->nalso; i++) {
		c->also[i] = strdup(e->also[i]);
		if (!c->also[i])
			return -ENOMEM;
		c->nalso++;
	}
	if (!e->nxattr)
		return 0;
	c->xattr = calloc(e->nxattr, sizeof(*c->xattr));
	if (!c->xattr)
		return -ENOMEM;
	for (size_t i = 0; i < e->nxattr; i++) {
		const struct cow_fixlog_xattr *x = &e->xattr[i];
		c->xattr[i].name = strdup(x->name);
		c->nxattr++;
		if (!c->xattr[i].name ||
		    cow_fixlog_bytes_set(&c->xattr[i].value, x->value.p, x->value.len) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool is_as_left(const struct cow_fixlog_change *e, const struct seen *s)
{
	return e->now.kind == s->kind &&
	       (s->kind == COW_FIXLOG_NONE ||
		(s->kind == COW_FIXLOG_LINK && strcmp(e->now.target, s->content.p) == 0));
}

/* How much of an earlier change of the same path still tells what was before it. */
enum earlier {
	EARLIER_NOTHING, /* what is there now is what counts */
	EARLIER_CONTENT, /* the content; others have changed the file since */
	EARLIER_ALL,
};

/* The fix-up changed the path before, in this version or an earlier one. -> enum earlier; -errno */
static int before_earlier(const struct cow_fixlog_change *e, const struct seen *s,
			  struct cow_fixlog_change *c, struct cow_fixlog_bytes *was)
{
	int r = 0;
	if (e->kind == COW_FIXLOG_NONE) /* it is ours, whatever was made of it */
		return EARLIER_ALL;
	if (is_as_left(e, s)) {
		c->size = e->size;
		r = cow_fixlog_bytes_set(was, e->cut.p, e->cut.len);
		if (r == 0)
			r = take_earlier(e, c);
		return r < 0 ? r : EARLIER_ALL;
	}
	if (s->kind != COW_FIXLOG_FILE || s->lost || e->lost)
		return EARLIER_NOTHING;
	r = cow_fixlog_before(e, &s->content, was);
	if (r == 1) {
		c->size = e->size;
		r = take_earlier(e, c);
		return r < 0 ? r : EARLIER_ALL;
	}
	return r < 0 ? r : r == 2 ? EARLIER_CONTENT : EARLIER_NOTHING;
}

/* Return: 1 its content was @earlier; 0 as seen; -errno. */
static int take_before(const struct cow_fix *f, const char *path, const struct cow_tree_place *p,
		       const struct seen *s, struct cow_fixlog_change *c,
		       struct cow_fixlog_bytes *earlier)
{
	const struct cow_fixlog_change *e =
	    cow_fixlog_find_path(cow_fixlog_find(f->log, f->name), path);
	c->path = strdup(path);
	if (!c->path)
		return -ENOMEM;
	int how = e ? before_earlier(e, s, c, earlier) : EARLIER_NOTHING;
	if (how < 0 || how == EARLIER_ALL)
		return how < 0 ? how : 1;
	int r = take_seen(p, s, c);
	if (how == EARLIER_CONTENT)
		c->size = earlier->len;
	return r < 0 ? r : how == EARLIER_CONTENT;
}

static int take_now(struct cow_fixlog_change *c, const struct cow_tree_place *p,
		    const struct cow_fix_to *to)
{
	struct stat st;
	c->now.kind = to->kind;
	if (to->kind == COW_FIXLOG_LINK) {
		c->now.target = strdup(to->target);
		return c->now.target ? 0 : -ENOMEM;
	}
	if (to->kind != COW_FIXLOG_FILE)
		return 0;
	if (fstatat(p->dir, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	c->now.mode = st.st_mode & 07777;
	c->now.uid = st.st_uid;
	c->now.gid = st.st_gid;
	c->now.size = to->len;
	return cow_fixlog_sum(to->bytes, to->len, c->now.sum);
}

static int take_content(struct cow_fixlog_change *c, const struct cow_fixlog_bytes *was,
			const struct cow_fix_to *to)
{
	const struct cow_fixlog_bytes now = {(char *)(uintptr_t)to->bytes, to->len};
	if (c->kind != COW_FIXLOG_FILE && c->kind != COW_FIXLOG_LINK)
		return 0;
	if (c->lost)
		return 0;
	if (c->kind == COW_FIXLOG_FILE && to->kind == COW_FIXLOG_FILE && was->len == c->size)
		return cow_fixlog_compare(c, was, &now);
	return cow_fixlog_bytes_set(&c->cut, was->p, was->len);
}

/* ---------------------------------------------------------------- directories */

/* A directory that is made for more than one fix-up stays as long as one of them is done. */
static int note_dir(const struct cow_fix *f, const char *path, bool made)
{
	for (size_t i = 0; !made && i < f->log->n; i++) {
		const struct cow_fixlog_change *c = cow_fixlog_find_path(&f->log->step[i], path);
		made = c && c->kind == COW_FIXLOG_DIR;
	}
	if (!made || cow_fixlog_find_path(cow_fixlog_find(f->log, f->name), path))
		return 0;
	struct cow_fixlog_change c = {.path = strdup(path), .kind = COW_FIXLOG_DIR};
	int r = c.path ? cow_fixlog_put(f->log, f->name, &c) : -ENOMEM;
	cow_fixlog_change_done(&c);
	return r;
}

static int note_dirs(const struct cow_fix *f, const char *path, size_t have)
{
	char dir[COW_PATH_MAX + 1];
	int r = 0;
	for (const char *p = strchr(path, '/'); r == 0 && p; p = strchr(p + 1, '/')) {
		size_t len = (size_t)(p - path);
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)len, path);
		r = note_dir(f, dir, len > have);
	}
	return r;
}

/* The lowest directory of a path that is there. *ret_have: length of its path. */
static int open_lowest(int tree, const char *path, struct cow_tree_place *ret, size_t *ret_have)
{
	char above[COW_PATH_MAX + 1];
	*ret_have = strlen(path);
	if (*ret_have > COW_PATH_MAX)
		return -ENAMETOOLONG;
	for (;;) {
		(void)snprintf(above, sizeof(above), "%.*s", (int)*ret_have, path);
		const char *slash = strrchr(above, '/');
		int r = cow_tree_place_open(tree, above, ret);
		ret->name = path + (ret->name - above);
		*ret_have = slash ? (size_t)(slash - above) : 0;
		if (r != -ENOENT || !slash)
			return r;
	}
}

/* ---------------------------------------------------------------- doing it */

static int act(const struct cow_fix *f, const char *path, const struct cow_fix_to *to)
{
	switch (to->kind) {
	case COW_FIXLOG_FILE:
		return cow_tree_write(f->tree, path, to->bytes, to->len, to->mode);
	case COW_FIXLOG_LINK:
		return cow_tree_symlink(f->tree, path, to->target);
	default:
		return cow_tree_unlink(f->tree, path);
	}
}

/* @lowest: directory that is there; @is_whole: it is the one the path is in. */
static int change(const struct cow_fix *f, const char *path, const struct cow_fix_to *to,
		  const struct cow_tree_place *lowest, bool is_whole, struct cow_fixlog_change *c)
{
	struct seen s = {.kind = COW_FIXLOG_NONE};
	struct cow_fixlog_bytes earlier = {.p = NULL};
	if (!f->log)
		return act(f, path, to);
	int r = is_whole ? look(lowest, to->old.p ? &to->old : NULL, &s) : 0;
	if (r == 0)
		r = take_before(f, path, lowest, &s, c, &earlier);
	const struct cow_fixlog_bytes *was = r > 0 ? &earlier : &s.content;
	if (r >= 0)
		r = act(f, path, to);
	if (r == 0)
		r = take_content(c, was, to);
	if (s.ours)
		free(s.content.p);
	free(earlier.p);
	return r;
}

static int record(const struct cow_fix *f, const char *path, const struct cow_fix_to *to,
		  struct cow_fixlog_change *c)
{
	struct cow_tree_place p = {.dir = -1};
	int r = to->kind == COW_FIXLOG_FILE ? cow_tree_place_open(f->tree, path, &p) : 0;
	if (r == 0)
		r = take_now(c, &p, to);
	cow_tree_place_close(&p);
	return r < 0 ? r : cow_fixlog_put(f->log, f->name, c);
}

int cow_fix_change(struct cow_fix *f, const char *path, const struct cow_fix_to *to)
{
	struct cow_tree_place lowest = {.dir = -1};
	struct cow_fixlog_change c = {.path = NULL};
	size_t have = 0;
	int r = open_lowest(f->tree, path, &lowest, &have);
	if (r < 0)
		return r;
	bool is_whole = !strchr(lowest.name, '/');
	if (is_whole || to->kind != COW_FIXLOG_NONE)
		r = change(f, path, to, &lowest, is_whole, &c);
	else
		r = -ENOENT;
	int as_before = cow_tree_place_as_before(&lowest);
	if (r == 0)
		r = as_before;
	if (r == 0 && f->log && to->kind != COW_FIXLOG_NONE)
		r = note_dirs(f, path, have);
	if (r == 0 && f->log)
		r = record(f, path, to, &c);
	cow_fixlog_change_done(&c);
	f->changes += r == 0;
	return r;
}

/* ---------------------------------------------------------------- other names */

struct links {
	const struct cow_fix *f;
	struct cow_growpath path;
};

static int add_also(struct cow_fixlog_change *c, const char *path)
{
	if (c->nalso == COW_FIXLOG_ALSO_MAX || strcmp(c->path, path) == 0)
		return 0;
	for (size_t i = 0; i < c->nalso; i++)
		if (strcmp(c->also[i], path) == 0)
			return 0;
	c->also[c->nalso] = strdup(path);
	return c->also[c->nalso] ? (void)c->nalso++, 0 : -ENOMEM;
}

/* @ino is what a directory lists; what it is is asked only when that may be one. */
static int match(const struct cow_fixlog *log, int dir, const char *name, ino_t ino,
		 const char *path)
{
	struct stat st;
	int r = 0;
	for (size_t i = 0; i < log->n; i++)
		for (size_t k = 0; r == 0 && k < log->step[i].n; k++) {
			struct cow_fixlog_change *c = &log->step[i].change[k];
			if (!c->linked || c->ino != ino)
				continue;
			if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				return -errno;
			if (st.st_dev == c->dev && st.st_ino == ino && !S_ISDIR(st.st_mode))
				r = add_also(c, path);
		}
	return r;
}

static int walk(struct links *l, int dir, unsigned depth)
{
	const struct dirent *e;
	size_t old;
	int fd = depth > COW_DEPTH_MAX ? -ELOOP : cow_opendir_at(dir, "."), r = fd < 0 ? fd : 0;
	if (r < 0)
		return r;
	cow_autodir DIR *d = fdopendir(fd);
	if (!d) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	while (r == 0 && (r = cow_readdir(d, &e)) == 1) {
		r = cow_growpath_push(&l->path, e->d_name, &old);
		if (r < 0)
			break;
		r = match(l->f->log, fd, e->d_name, e->d_ino, l->path.s);
		if (r == 0 && e->d_type == DT_DIR) {
			cow_autoclose int sub = cow_opendir_at(fd, e->d_name);
			r = sub < 0 ? sub : walk(l, sub, depth + 1);
		}
		cow_growpath_pop(&l->path, old);
	}
	return r;
}

/* Of those that were changed, too: they may all be put back. */
static int match_changed(const struct cow_fixlog *log)
{
	int r = 0;
	for (size_t i = 0; i < log->n; i++)
		for (size_t k = 0; r == 0 && k < log->step[i].n; k++) {
			struct cow_fixlog_change *a = &log->step[i].change[k];
			for (size_t j = 0; r == 0 && a->linked && j < log->step[i].n; j++) {
				struct cow_fixlog_change *b = &log->step[i].change[j];
				if (b->ino != a->ino || b->dev != a->dev)
					continue;
				r = add_also(a, b->path);
				if (r == 0)
					r = add_also(b, a->path);
			}
		}
	return r;
}

int cow_fix_find_links(const struct cow_fix *f)
{
	struct links l = {.f = f};
	bool any = false;
	for (size_t i = 0; i < f->log->n; i++)
		for (size_t k = 0; k < f->log->step[i].n; k++)
			any = any || f->log->step[i].change[k].linked;
	if (!any)
		return 0;
	int r = match_changed(f->log);
	if (r == 0)
		r = cow_growpath_init(&l.path);
	if (r == 0)
		r = walk(&l, f->tree, 0);
	cow_growpath_done(&l.path);
	for (size_t i = 0; i < f->log->n; i++)
		for (size_t k = 0; k < f->log->step[i].n; k++) {
			f->log->step[i].change[k].ino = 0;
			f->log->step[i].change[k].linked = false;
		}
	cow_fixlog_count(f->log);
	return r;
}
