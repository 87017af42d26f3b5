/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Filling a new tree with what a root shows. The engine is asked for names, attributes and extended
 * attributes, so its own marks stay behind; the data is taken from where it lies.
 *
 * An object of the image that nobody changed gets one more link (I1: such an inode is shared by all
 * versions that have it; it is never written, and nothing of it is set). That needs image and new tree
 * on one file system that is not btrfs, whose trees are subvolumes; there and where an object has all
 * the links it can have it is cloned.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commit_internal.h"
#include "common/bounds.h"
#include "common/growpath.h"
#include "common/log.h"
#include "entries.h"

struct walk {
	struct cow_commit_tree *t;
	struct cow_growpath path; /* of the object at hand */
	struct cow_fill_copier copier;
	struct cow_fill_links links;
	int cannot_link; /* learnt: other file system, or btrfs */
	char *xnames;	 /* COW_XATTR_LIST_MAX */
	char *xvalue;	 /* COW_XATTR_SIZE_MAX */
	char *same;	 /* COW_COMMIT_SAME_BUF */
};

static int fail(struct walk *w, int r, const char *doing)
{
	if (r == -EINTR)
		return cow_err_set(w->t->err, r, "%s was stopped", w->t->doing);
	return cow_err_set(w->t->err, r, "%s %s", doing, COW_Q(w->path.s));
}

static int vanished(const struct walk *w, int r)
{
	return w->t->leave_out && (r == -ENOENT || r == -ESTALE);
}

/* ---------------------------------------------------------------- attributes */

/* To an open file (@fd), or to @name in @dir. */
static int copy_xattrs(struct walk *w, struct cow_ovl_node *n, int fd, int dir, const char *name)
{
	ssize_t len = cow_ovl_listxattr(n, w->xnames, COW_XATTR_LIST_MAX);
	if (len < 0)
		return len == -EOPNOTSUPP ? 0 : (int)len;
	for (const char *x = w->xnames; x < w->xnames + len; x += strlen(x) + 1) {
		ssize_t got = cow_ovl_getxattr(n, x, w->xvalue, COW_XATTR_SIZE_MAX);
		if (got == -ENODATA || got == -EOPNOTSUPP)
			continue; /* gone meanwhile, or listed for show */
		if (got < 0)
			return (int)got;
		int r =
		    cow_fill_xattr(w->t->fill, fd, dir, name, w->path.s, x, w->xvalue, (size_t)got);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---------------------------------------------------------------- what the image has */

/* Return: 1 the name is one more link of the image's object; 0 it must be copied; -errno. */
static int link_golden(struct walk *w, const struct cow_entry *e, int golden, int dst)
{
	if (linkat(golden, "", dst, e->name, AT_EMPTY_PATH) < 0) {
		if (errno == EXDEV || errno == EOPNOTSUPP)
			w->cannot_link = 1;
		else if (errno != EMLINK && errno != EPERM)
			return -errno;
		return 0;
	}
	w->t->linked++;
	if (S_ISREG(e->attr.mode)) {
		w->t->fill->bytes += e->attr.size;
		if (cow_ovl_getxattr(e->node, "security.capability", NULL, 0) > 0)
			cow_fill_capability(w->t->fill, w->path.s);
	}
	return 1;
}

/* The same for what was brought up. Where data can be shared otherwise, bringing up has done that. */
static int link_origin(struct walk *w, const struct cow_entry *e, int now, int dst)
{
	if (!S_ISREG(e->attr.mode) || cow_ovl_number(e->node) == 0)
		return 0;
	cow_autoclose int golden = cow_ovl_origin(e->node);
	if (golden < 0) /* the copy needs it not */
		return golden == -ENOMEM ? golden : 0;
	int r = cow_commit_same(e->node, &e->attr, golden, now, w->same);
	return r <= 0 ? r : link_golden(w, e, golden, dst);
}

static int share(struct walk *w, const struct cow_entry *e, const struct cow_ovl_source *src,
		 int dst)
{
	if (w->cannot_link)
		return 0;
	return src->golden ? link_golden(w, e, src->fd, dst) : link_origin(w, e, src->fd, dst);
}

static int note_moved(struct walk *w, struct cow_ovl_node *dir, const struct cow_entry *e)
{
	struct cow_commit_tree *t = w->t;
	uint32_t number = cow_ovl_number(e->node);
	if (number == 0 || cow_ovl_at_home(dir, e->name, e->len, e->node))
		return 0;
	if (t->nmoved == t->moved_room) {
		size_t room = t->moved_room ? t->moved_room * 2 : 32;
		struct cow_commit_moved *grown = reallocarray(t->moved, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->moved = grown;
		t->moved_room = room;
	}
	char *path = strdup(w->path.s);
	if (!path)
		return -ENOMEM;
	t->moved[t->nmoved++] = (struct cow_commit_moved){.path = path, .number = number};
	return 0;
}

/* ---------------------------------------------------------------- objects */

static int copy_file(struct walk *w, const struct cow_entry *e, int src, int dst_dir)
{
	struct stat st;
	struct cow_meta m = cow_meta_of(&e->attr);
	if (fstat(src, &st) < 0)
		return fail(w, -errno, "look at");
	cow_autoclose int dst = cow_fill_file(dst_dir, e->name);
	if (dst < 0)
		return fail(w, dst, "make");
	int r = cow_fill_data(&w->copier, src, dst, &st);
	if (r < 0)
		return fail(w, r, "copy the data of");
	r = cow_fill_owner(dst, &m);
	if (r == 0)
		r = copy_xattrs(w, e->node, dst, -1, e->name);
	if (r == 0)
		r = cow_fill_finish_fd(dst, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

static int copy_node(struct walk *w, const struct cow_entry *e, int dst_dir)
{
	char target[COW_SYMLINK_MAX + 1] = "";
	struct cow_meta m = cow_meta_of(&e->attr);
	if (S_ISLNK(m.mode)) {
		ssize_t n = cow_ovl_readlink(e->node, target, COW_SYMLINK_MAX);
		if (n < 0)
			return fail(w, (int)n, "read the link");
		target[n] = 0;
	}
	int r = cow_fill_node(dst_dir, e->name, &m, target);
	if (r < 0)
		return fail(w, r, "make");
	r = copy_xattrs(w, e->node, -1, dst_dir, e->name);
	if (r == 0)
		r = cow_fill_finish_at(dst_dir, e->name, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

/* Anything but a directory. */
static int fill_object(struct walk *w, const struct cow_entry *e, int dst_dir)
{
	struct cow_ovl_source src;
	int r = e->attr.nlink > 1
		    ? cow_fill_link_earlier(&w->links, w->t->fill, 0, cow_ovl_id(e->node),
					    w->path.s, dst_dir, e->name)
		    : 0;
	if (r < 0) /* vanished: its first name was left out */
		return vanished(w, r) ? 0 : fail(w, r, "make the link");
	if (r > 0) {
		w->t->fill->inodes--; /* a name, not an object */
		return 0;
	}
	r = cow_ovl_source(e->node, &src);
	if (r < 0)
		return vanished(w, r) ? 0 : fail(w, r, "open");
	cow_autoclose int fd = src.fd;
	r = share(w, e, &src, dst_dir);
	if (r < 0)
		return fail(w, r, "share");
	if (r > 0)
		return 0;
	r = S_ISREG(e->attr.mode) ? copy_file(w, e, fd, dst_dir) : copy_node(w, e, dst_dir);
	if (!vanished(w, r))
		return r;
	(void)unlinkat(dst_dir, e->name, 0); /* most likely not even made */
	return 0;
}

static int fill_dir(struct walk *w, struct cow_ovl_node *dir, const struct cow_ovl_attr *attr,
		    int dst, unsigned depth);

static int fill_subdir(struct walk *w, const struct cow_entry *e, int dst_dir, unsigned depth)
{
	if (depth > COW_DEPTH_MAX)
		return fail(w, -ELOOP, "enter");
	if (mkdirat(dst_dir, e->name, 0700) < 0)
		return fail(w, -errno, "make");
	cow_autoclose int dst = cow_opendir_at(dst_dir, e->name);
	if (dst < 0)
		return fail(w, dst, "open the copy of");
	return fill_dir(w, e->node, &e->attr, dst, depth);
}

static int fill_one(struct walk *w, struct cow_ovl_node *dir, const struct cow_entry *e, int dst,
		    unsigned depth)
{
	w->t->fill->inodes++;
	int r = cow_fill_progress(w->t->fill);
	if (r == 0)
		r = note_moved(w, dir, e);
	if (r < 0)
		return fail(w, r, "copy");
	return S_ISDIR(e->attr.mode) ? fill_subdir(w, e, dst, depth + 1) : fill_object(w, e, dst);
}

static int fill_children(struct walk *w, struct cow_ovl_node *dir, int dst, unsigned depth)
{
	cow_autoentries e = COW_ENTRIES_EMPTY;
	size_t old;
	int r = cow_entries_read(dir, &e);
	if (r < 0)
		r = vanished(w, r) ? 0 : fail(w, r, "list");
	for (size_t i = 0; i < e.n && r == 0; i++) {
		r = cow_growpath_push(&w->path, e.list[i].name, &old);
		if (r < 0) {
			r = fail(w, r, "copy");
			break;
		}
		r = fill_one(w, dir, &e.list[i], dst, depth);
		cow_growpath_pop(&w->path, old);
	}
	return r;
}

static int fill_dir(struct walk *w, struct cow_ovl_node *dir, const struct cow_ovl_attr *attr,
		    int dst, unsigned depth)
{
	struct cow_meta m = cow_meta_of(attr);
	int r = fill_children(w, dir, dst, depth);
	if (r < 0)
		return r;
	r = cow_fill_owner(dst, &m);
	if (r == 0)
		r = copy_xattrs(w, dir, dst, -1, "");
	if (vanished(w, r))
		r = 0;
	if (r == 0)
		r = cow_fill_finish_fd(dst, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

int cow_commit_fill(struct cow_commit_tree *t, struct cow_ovl_inst *inst)
{
	struct cow_ovl_attr attr;
	cow_autonode root = NULL;
	cow_autofree char *xnames = malloc(COW_XATTR_LIST_MAX);
	cow_autofree char *xvalue = malloc(COW_XATTR_SIZE_MAX);
	cow_autofree char *same = malloc(COW_COMMIT_SAME_BUF);
	struct walk w = {.t = t, .xnames = xnames, .xvalue = xvalue, .same = same};
	int r = cow_growpath_init(&w.path);
	if (r == 0)
		r = cow_fill_copier_init(&w.copier, t->fill);
	if (r < 0 || !xnames || !xvalue || !same)
		r = cow_err_set(t->err, -ENOMEM, "%s", t->doing);
	if (r == 0) {
		r = cow_ovl_root(inst, &root);
		if (r == 0)
			r = cow_ovl_getattr(root, &attr);
		if (r < 0)
			r = cow_err_set(t->err, r, "%s: look at the root", t->doing);
	}
	if (r == 0) {
		t->fill->inodes++;
		r = fill_dir(&w, root, &attr, t->fill->tree, 0);
	}
	cow_fill_links_done(&w.links);
	cow_fill_copier_done(&w.copier);
	cow_growpath_done(&w.path);
	return r;
}

void cow_commit_tree_done(struct cow_commit_tree *t)
{
	for (size_t i = 0; i < t->nmoved; i++)
		free(t->moved[i].path);
	free(t->moved);
	t->moved = NULL;
	t->nmoved = 0;
}

int cow_commit_moved(const struct cow_commit_tree *t, struct cow_ovl_image_moved **ret,
		     size_t *ret_n)
{
	struct stat st;
	size_t n = 0;
	struct cow_ovl_image_moved *list = calloc(t->nmoved + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < t->nmoved; i++)
		/* What is gone, or replaced by another type, has no number to keep. */
		if (fstatat(t->fill->tree, t->moved[i].path, &st, AT_SYMLINK_NOFOLLOW) == 0)
			list[n++] = (struct cow_ovl_image_moved){.ino = st.st_ino,
								 .number = t->moved[i].number};
	*ret = list;
	*ret_n = n;
	return 0;
}
