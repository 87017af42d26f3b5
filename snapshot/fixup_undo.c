/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Taking back what a fix-up changed in a tree that nobody else sees. Files are made anew and get their names by
 * rename, never written to: other versions share them (I1).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "fixup.h"
#include "fixup_internal.h"
#include "tree.h"

#define FILE_MAX ((size_t)1 << 30) /* read as a whole: an initramfs */

struct undo {
	struct cow_fix fix; /* its words */
	struct cow_fixlog_change *c;
	struct cow_tree_place p;
	struct stat now;
	bool there;
	char in_the_way[256]; /* the first that cannot be taken back, and why */
	unsigned nways;
};

/* ---------------------------------------------------------------- what is there now */

static int read_file(const struct cow_tree_place *p, const char *name, uint64_t size,
		     struct cow_fixlog_bytes *ret)
{
	if (size > FILE_MAX)
		return -EFBIG;
	cow_autoclose int fd =
	    openat(p->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	cow_autofree char *buf = malloc((size_t)size + 1);
	if (fd < 0)
		return -errno;
	if (!buf)
		return -ENOMEM;
	ssize_t n = cow_pread_full(fd, buf, (size_t)size, 0);
	if (n < 0)
		return (int)n;
	buf[n] = 0;
	*ret = (struct cow_fixlog_bytes){cow_steal_ptr(&buf), (size_t)n};
	return 0;
}

/* 1, 0 or -errno. */
static int is_link_to(const struct undo *u, const char *target)
{
	char is[COW_SYMLINK_MAX + 1];
	if (!S_ISLNK(u->now.st_mode))
		return 0;
	ssize_t n = readlinkat(u->p.dir, u->p.name, is, sizeof(is) - 1);
	if (n < 0)
		return -errno;
	return strlen(target) == (size_t)n && memcmp(is, target, (size_t)n) == 0;
}

/* What to make of the path, as cow_fixlog_before(). */
static int judge(const struct undo *u, struct cow_fixlog_bytes *ret)
{
	struct cow_fixlog_bytes now = {.p = NULL};
	const struct cow_fixlog_change *c = u->c;
	if (c->now.kind == COW_FIXLOG_NONE || c->now.kind == COW_FIXLOG_LINK) {
		int same = c->now.kind == COW_FIXLOG_NONE ? !u->there
			   : u->there			  ? is_link_to(u, c->now.target)
							  : 0;
		int r = same > 0 ? cow_fixlog_bytes_set(ret, c->cut.p, c->cut.len) : 0;
		return r < 0 ? r : same;
	}
	if (!u->there || !S_ISREG(u->now.st_mode))
		return 0;
	int r = read_file(&u->p, u->p.name, (uint64_t)u->now.st_size, &now);
	if (r == -EFBIG)
		return 0;
	if (r == 0)
		r = cow_fixlog_before(c, &now, ret);
	free(now.p);
	return r;
}

/* ---------------------------------------------------------------- what was there */

static int restore_xattrs(const struct undo *u, int fd, const char *name)
{
	struct cow_fill fill = {.tree = -1};
	int r = 0;
	for (size_t i = 0; r == 0 && i < u->c->nxattr; i++)
		r = cow_fill_xattr(&fill, fd, u->p.dir, name, u->c->path, u->c->xattr[i].name,
				   u->c->xattr[i].value.p ? u->c->xattr[i].value.p : "",
				   u->c->xattr[i].value.len);
	cow_fill_done(&fill);
	return r;
}

static int make_file(const struct undo *u, const char *temp, const struct cow_meta *m,
		     const struct cow_fixlog_bytes *content, uint64_t size)
{
	cow_autoclose int fd = cow_fill_file(u->p.dir, temp);
	if (fd < 0)
		return fd;
	int r = cow_write_full(fd, content->p, content->len);
	if (r == 0 && size > content->len && ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	if (r == 0)
		r = cow_fill_owner(fd, m);
	if (r == 0)
		r = restore_xattrs(u, fd, temp);
	return r < 0 ? r : cow_fill_finish_fd(fd, m);
}

static int make_node(const struct undo *u, const char *temp, const char *target)
{
	int r = cow_fill_node(u->p.dir, temp, &u->c->meta, target);
	if (r == 0)
		r = restore_xattrs(u, -1, temp);
	return r < 0 ? r : cow_fill_finish_at(u->p.dir, temp, &u->c->meta);
}

static bool same_attr(const struct stat *st, const struct cow_fixlog_change *c)
{
	return st->st_mode == c->meta.mode && st->st_uid == c->meta.uid &&
	       st->st_gid == c->meta.gid && (uint64_t)st->st_size == c->size &&
	       st->st_mtim.tv_sec == c->meta.times[1].tv_sec &&
	       st->st_mtim.tv_nsec == c->meta.times[1].tv_nsec;
}

/* Return: 1, 0 or -errno. */
static int has_content(const struct cow_tree_place *p, const struct stat *st,
		       const struct cow_fixlog_bytes *content)
{
	struct cow_fixlog_bytes is = {.p = NULL};
	int r = read_file(p, p->name, (uint64_t)st->st_size, &is);
	if (r < 0)
		return r == -EFBIG ? 0 : r;
	r = is.len >= content->len && (!content->len || memcmp(is.p, content->p, content->len) == 0);
	free(is.p);
	return r;
}

/* Another name that is still what this one was: 1 @temp is one more link of it; 0 a file by itself, then;
 * -errno. */
static int link_to(const struct undo *u, const char *also, const char *temp,
		   const struct cow_fixlog_bytes *content)
{
	struct cow_tree_place p = {.dir = -1};
	struct stat st;
	int r = cow_tree_place_open(u->fix.tree, also, &p);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? 0 : r;
	if (fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = errno == ENOENT ? 0 : -errno;
	else
		r = same_attr(&st, u->c);
	if (r > 0 && S_ISREG(st.st_mode))
		r = has_content(&p, &st, content);
	if (r > 0 && linkat(p.dir, p.name, u->p.dir, temp, 0) < 0)
		r = errno == EMLINK ? 0 : -errno;
	cow_tree_place_close(&p);
	return r;
}

static int make_whole(const struct undo *u, const char *temp, const struct cow_fixlog_bytes *content)
{
	struct cow_fixlog_change *c = u->c;
	for (size_t i = 0; i < c->nalso; i++) {
		int r = link_to(u, c->also[i], temp, content);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (c->kind != COW_FIXLOG_FILE)
		return make_node(u, temp, content->p);
	struct cow_meta m = c->meta;
	if (c->now.kind == COW_FIXLOG_FILE && ((u->now.st_mode & 07777) != c->now.mode ||
					      u->now.st_uid != c->now.uid || u->now.st_gid != c->now.gid)) {
		m.mode = u->now.st_mode; /* others have set them since */
		m.uid = u->now.st_uid;
		m.gid = u->now.st_gid;
	}
	return make_file(u, temp, &m, content, c->size);
}

/* Lines of a file that others have changed in other lines. */
static int make_lines(const struct undo *u, const char *temp, const struct cow_fixlog_bytes *content)
{
	const struct cow_meta m = {
	    .mode = u->now.st_mode,
	    .uid = u->now.st_uid,
	    .gid = u->now.st_gid,
	    .times = {u->now.st_atim, u->now.st_mtim},
	};
	return make_file(u, temp, &m, content, content->len);
}

static int put_back(const struct undo *u, int how, const struct cow_fixlog_bytes *content)
{
	char hex[COW_HEX64_LEN + 1], temp[sizeof(".cowherd-") + COW_HEX64_LEN];
	if (u->c->kind == COW_FIXLOG_NONE)
		return unlinkat(u->p.dir, u->p.name, 0) < 0 ? -errno : 0;
	int r = cow_random_hex(hex);
	if (r < 0)
		return r;
	(void)snprintf(temp, sizeof(temp), ".cowherd-%s", hex);
	r = how == 2 ? make_lines(u, temp, content) : make_whole(u, temp, content);
	if (r == 0 && renameat(u->p.dir, temp, u->p.dir, u->p.name) < 0)
		r = -errno;
	/* Two names of one file: such a rename does nothing. */
	(void)unlinkat(u->p.dir, temp, 0);
	return r;
}

/* ---------------------------------------------------------------- one change */

static void in_the_way(struct undo *u, const char *why)
{
	if (u->nways++ == 0)
		(void)snprintf(u->in_the_way, sizeof(u->in_the_way), "/%s %s", u->c->path, why);
}

static int undo_dir(struct undo *u)
{
	if (!u->there || unlinkat(u->p.dir, u->p.name, AT_REMOVEDIR) == 0)
		return 0;
	/* Others have put something there, or something else in its place. */
	return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? 0 : -errno;
}

static int undo_at(struct undo *u)
{
	struct cow_fixlog_bytes content = {.p = NULL};
	const struct cow_fixlog_change *c = u->c;
	u->there = fstatat(u->p.dir, u->p.name, &u->now, AT_SYMLINK_NOFOLLOW) == 0;
	if (!u->there && errno != ENOENT)
		return -errno;
	if (c->kind == COW_FIXLOG_DIR)
		return undo_dir(u);
	if (!u->there && c->now.kind != COW_FIXLOG_NONE) {
		if (c->kind != COW_FIXLOG_NONE)
			cow_fix_did(&u->fix, "left /%s: it was removed since", c->path);
		return 0;
	}
	int r = judge(u, &content);
	if (r == 0)
		in_the_way(u, "was changed since");
	else if (r > 0 && c->lost)
		in_the_way(u, "was not kept");
	else if (r > 0) {
		int how = r;
		r = put_back(u, how, &content);
		if (r == 0)
			cow_fix_did(&u->fix, "%s /%s",
				    c->kind == COW_FIXLOG_NONE ? "removed"
				    : how == 2		       ? "put back lines of"
							       : "put back",
				    c->path);
	}
	free(content.p);
	return r < 0 ? r : 0;
}

static int undo_one(struct undo *u)
{
	int r = cow_tree_place_open(u->fix.tree, u->c->path, &u->p);
	if (r == -ENOENT || r == -ENOTDIR) {
		if (u->c->kind != COW_FIXLOG_NONE && u->c->kind != COW_FIXLOG_DIR)
			cow_fix_did(&u->fix, "left /%s: its directory was removed since",
				    u->c->path);
		return 0;
	}
	if (r < 0)
		return r;
	r = undo_at(u);
	int as_before = cow_tree_place_as_before(&u->p);
	return r < 0 ? r : as_before;
}

/* ---------------------------------------------------------------- a fix-up */

static int refuse(const struct undo *u, const char *name, struct cow_err *err)
{
	char more[48] = "";
	if (u->nways > 1)
		(void)snprintf(more, sizeof(more), " (and %u more)", u->nways - 1);
	return cow_err_hint(err,
			    cow_err_say(err, COW_ERR_REFUSED, -EPERM,
					"fix-up %s cannot be taken back as a whole: %s%s", name,
					u->in_the_way, more),
			    "--force takes back the rest and leaves that as it is");
}

int cow_fixup_undo(int tree, struct cow_fixlog *log, const char *name, unsigned flags,
		   cow_fixup_report report, void *ctx, struct cow_err *err)
{
	struct undo u = {.fix = {.tree = tree}};
	const struct cow_fixlog_step *s = cow_fixlog_find(log, name);
	bool force = flags & COW_FIXUP_FORCE;
	if (!s || (s->n == 0 && !s->lost)) {
		report(ctx, name, "not needed", "");
		return 0;
	}
	if (s->lost) {
		u.nways = 1;
		(void)snprintf(u.in_the_way, sizeof(u.in_the_way), "not all of it was recorded");
	}
	for (size_t i = s->n; i-- > 0;) {
		u.c = &s->change[i];
		int r = undo_one(&u);
		if (r < 0)
			return cow_err_set(err, r, "take back fix-up %s: '/%s'", name, u.c->path);
	}
	if (u.nways && !force)
		return refuse(&u, name, err);
	if (u.nways)
		cow_fix_did(&u.fix, "left what was in the way: %s", u.in_the_way);
	cow_fixlog_drop(log, name);
	report(ctx, name, COW_FIXUP_UNDONE, u.fix.what);
	return 1;
}
