/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What a root changed of its image: one walk over the upper layer, with the manifest beside it.
 *
 * A whiteout, or a name that an opaque directory hides, is a deletion. What stands on a name of the
 * image and is that object (it carries an origin, or is a directory merged with the image's) or took
 * its place is compared with it. What carries the mark of an object of the image away from its home
 * was moved. Everything else was added. Two kinds of mark are read that only the kernel writes:
 * redirects relative to the parent, and whiteouts that are empty files.
 */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/fs.h"
#include "common/growpath.h"
#include "grow.h"
#include "idattr.h"
#include "internal.h"
#include "names_each.h"
#include "seed.h"

#define BUF_SIZE (256u << 10)

struct diff {
	const struct cow_ovl_image *img;
	struct cow_diff_list list;
	EVP_MD_CTX *md;
	uint8_t *buf;		  /* BUF_SIZE: file content, attribute values */
	char *xnames;		  /* COW_XATTR_LIST_MAX */
	struct cow_growpath path; /* of the object at hand */
	unsigned depth;
	int index;  /* work/index */
	int failed; /* -errno: an attribute could not be read */
};

/* A directory of the upper layer and what the image has below it. */
struct dir {
	int fd;
	uint32_t lower;	     /* its counterpart in the image; 0: none */
	bool opaque;	     /* the counterpart is hidden: only compared with, not shown */
	uint32_t hidden_top; /* opaque: uppermost directory that is hidden here */
	bool xwhiteouts;     /* empty files with an attribute may be whiteouts */
};

/* ---------------------------------------------------------------- comparing */

/* "/proc/self/fd/N" of an O_PATH descriptor is the object itself, a symbolic link too. */
struct object {
	int fd; /* O_PATH */
	char proc[COW_PROC_PATH_LEN];
	struct stat st;
	int *failed; /* the walk's: an attribute could not be read */
};

static ssize_t read_xattr(const struct object *o, const char *name, void *buf, size_t len)
{
	ssize_t n = getxattr(o->proc, name, buf, len);
	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != ERANGE)
		*o->failed = cow_nerr(); /* not the same as having none: visit() ends with it */
	return n < 0 ? cow_nerr() : n;
}

static bool has_value(struct diff *d, const struct object *o, const char *name, const void *want,
		      size_t len)
{
	ssize_t n = read_xattr(o, name, d->buf, BUF_SIZE);
	return n >= 0 && (size_t)n == len && memcmp(d->buf, want, len) == 0;
}

/* 1: the same attributes; 0: others. */
static int same_xattrs(struct diff *d, const struct object *o, uint32_t ino)
{
	size_t count = 0, want = 0, all = cow_man_nxattr(d->img, ino);
	ssize_t len = listxattr(o->proc, d->xnames, COW_XATTR_LIST_MAX);
	if (len < 0 && errno != EOPNOTSUPP)
		return cow_nerr();
	for (const char *x = d->xnames; len > 0 && x < d->xnames + len; x += strlen(x) + 1)
		count += !cow_xattr_hidden(x);
	for (size_t k = 0; k < all; k++) {
		const char *name;
		const void *value;
		size_t value_len;
		cow_man_xattr(d->img, ino, k, &name, &value, &value_len);
		if (cow_xattr_hidden(name)) /* in manifests of older versions */
			continue;
		if (!has_value(d, o, name, value, value_len))
			return 0;
		want++;
	}
	return count == want;
}

static int digest_fd(struct diff *d, int fd, uint8_t ret[COW_OVM_ID_LEN])
{
	unsigned len = COW_OVM_ID_LEN;
	if (EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	for (;;) {
		ssize_t n = cow_read_full(fd, d->buf, BUF_SIZE);
		if (n < 0)
			return (int)n;
		if (n > 0 && EVP_DigestUpdate(d->md, d->buf, (size_t)n) != 1)
			return -ENOMEM;
		if (n < (ssize_t)BUF_SIZE)
			break;
	}
	return EVP_DigestFinal_ex(d->md, ret, &len) == 1 ? 0 : -ENOMEM;
}

static int same_content(struct diff *d, const struct object *o, uint32_t ino,
			const struct cow_ovl_attr *want)
{
	uint8_t have[COW_OVM_ID_LEN];
	if ((uint64_t)o->st.st_size != want->size)
		return 0;
	cow_autoclose int fd = open(o->proc, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOATIME);
	if (fd < 0)
		return cow_nerr();
	int r = digest_fd(d, fd, have);
	return r < 0 ? r : memcmp(have, cow_man_digest(d->img, ino), sizeof(have)) == 0;
}

static int same_target(struct diff *d, const struct object *o, uint32_t ino)
{
	size_t len;
	const char *want = cow_man_target(d->img, ino, &len);
	ssize_t n = readlinkat(o->fd, "", (char *)d->buf, COW_SYMLINK_MAX + 1);
	if (n < 0)
		return cow_nerr();
	return (size_t)n == len && memcmp(d->buf, want, len) == 0;
}

/* Data of an object whose type is the image's: 1 the same, 0 not. */
static int same_data(struct diff *d, const struct object *o, uint32_t ino,
		     const struct cow_ovl_attr *want)
{
	switch (o->st.st_mode & S_IFMT) {
	case S_IFREG:
		return same_content(d, o, ino, want);
	case S_IFLNK:
		return same_target(d, o, ino);
	case S_IFCHR:
	case S_IFBLK:
		return o->st.st_rdev == want->rdev;
	default:
		return 1;
	}
}

static unsigned attributes_differ(const struct object *o, const struct cow_ovl_attr *want)
{
	unsigned what = 0;
	if (!S_ISLNK(o->st.st_mode) && ((o->st.st_mode ^ want->mode) & 07777))
		what |= COW_CHANGED_MODE;
	if (o->st.st_uid != want->uid || o->st.st_gid != want->gid)
		what |= COW_CHANGED_OWNER;
	if (!S_ISDIR(o->st.st_mode) && (o->st.st_mtim.tv_sec != want->mtime.tv_sec ||
					o->st.st_mtim.tv_nsec != want->mtime.tv_nsec))
		what |= COW_CHANGED_MTIME;
	return what;
}

static int compare(struct diff *d, const struct object *o, uint32_t ino, unsigned *ret_what)
{
	struct cow_ovl_attr want;
	cow_man_attr(d->img, ino, &want);
	*ret_what = COW_CHANGED_TYPE;
	if ((want.mode & S_IFMT) != (o->st.st_mode & S_IFMT))
		return 0;
	*ret_what = attributes_differ(o, &want);
	int r = same_xattrs(d, o, ino);
	if (r == 0)
		*ret_what |= COW_CHANGED_XATTRS;
	if (r >= 0)
		r = same_data(d, o, ino, &want);
	if (r == 0)
		*ret_what |= COW_CHANGED_DATA;
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- entries */

/* What the image has at the entry's place. @gone: it is not that object which stands there now. */
static void set_home(struct cow_diff_entry *e, const struct dir *dir,
		     const struct cow_man_ent *below, bool gone)
{
	if (!below)
		return;
	e->home = (struct cow_diff_name){.parent = dir->lower, .cookie = below->cookie};
	e->gone = gone;
	if (dir->opaque) {
		e->hidden = dir->lower;
		e->hidden_top = dir->hidden_top;
	}
}

/* The entry of a name of the image that nothing in the upper layer stands on. */
static int add_deleted(struct diff *d, const struct dir *dir, const struct cow_man_ent *ent)
{
	size_t old;
	int r = cow_growpath_push(&d->path, ent->name, &old);
	if (r < 0)
		return r;
	struct cow_diff_entry *e = cow_diff_add(&d->list, d->path.s);
	cow_growpath_pop(&d->path, old);
	if (!e)
		return -ENOMEM;
	e->kind = COW_CHANGE_DELETED;
	e->type = ent->type;
	set_home(e, dir, ent, true);
	return 0;
}

/* Number in the object's own mark; 0: it has none that counts. */
static uint32_t marked_number(struct diff *d, const struct object *o)
{
	struct cow_id_attr mark;
	ssize_t n = read_xattr(o, COW_XA_ID, &mark, sizeof(mark));
	if (n != (ssize_t)sizeof(mark) ||
	    memcmp(mark.lineage, cow_man_lineage(d->img), sizeof(mark.lineage)) != 0)
		return 0;
	uint32_t ino = cow_get_le32(mark.number);
	return cow_man_has(d->img, ino) && cow_man_type(d->img, ino) == (o->st.st_mode & S_IFMT)
		   ? ino
		   : 0;
}

static bool is_home(uint32_t ino, const struct dir *dir, const struct cow_man_ent *below)
{
	return below && dir->lower && below->ino == ino;
}

/*
 * One object that is no directory. @below: the image's name at this place, NULL none.
 * An object with an origin on a name of its own type is the image's object, copied up: its name is
 * not gone. Whatever else stands there took the name.
 */
static int visit_object(struct diff *d, const struct dir *dir, const struct object *o,
			const struct cow_man_ent *below)
{
	unsigned what = 0;
	uint32_t ino = marked_number(d, o);
	bool home = ino ? is_home(ino, dir, below)
			: below && below->type == (o->st.st_mode & S_IFMT) &&
			      read_xattr(o, COW_XA_ORIGIN, NULL, 0) >= 0;
	uint32_t with = ino && !home ? ino : below ? below->ino : 0;
	int r = with ? compare(d, o, with, &what) : 0;
	if (r < 0)
		return r;
	struct cow_diff_entry *e = cow_diff_add(&d->list, d->path.s);
	if (!e)
		return -ENOMEM;
	e->kind = COW_CHANGE_ADDED;
	e->type = o->st.st_mode & S_IFMT;
	if (with)
		cow_diff_judge(e, what);
	if (ino && !home)
		e->moved = ino;
	set_home(e, dir, below, !home || dir->opaque);
	return 0;
}

/* ---------------------------------------------------------------- directories */

static int read_opaque(const struct object *o)
{
	char value = 0;
	return read_xattr(o, COW_XA_OPAQUE, &value, 1) == 1 ? value : 0;
}

/* The directory of the image an upper directory says it is; 0: it says nothing, or nothing true. */
static uint32_t redirect_of(struct diff *d, const struct dir *parent, const struct object *o)
{
	char to[COW_PATH_MAX + 1];
	struct cow_man_ent ent;
	uint32_t ino = 0;
	ssize_t n = read_xattr(o, COW_XA_REDIRECT, to, COW_PATH_MAX);
	if (n <= 0)
		return 0;
	to[n] = 0;
	if (to[0] == '/')
		ino = cow_man_lookup_path(d->img, to + 1);
	else if (parent->lower && cow_man_find(d->img, parent->lower, to, (size_t)n, &ent))
		ino = ent.ino;
	return ino && S_ISDIR(cow_man_type(d->img, ino)) ? ino : 0;
}

static int walk(struct diff *d, struct dir *dir);

static int descend(struct diff *d, const struct object *o, struct dir *child)
{
	if (d->depth == COW_DEPTH_MAX)
		return -ELOOP;
	child->fd = openat(o->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (child->fd < 0)
		return errno == ENOENT ? 0 : errno == EMFILE ? -ELOOP : cow_nerr();
	d->depth++;
	int r = walk(d, child);
	d->depth--;
	return r;
}

static int add_directory(struct diff *d, const struct dir *dir, const struct object *o,
			 const struct cow_man_ent *below, uint32_t with, bool moved, bool taken)
{
	unsigned what = 0;
	int r = with ? compare(d, o, with, &what) : 0;
	if (r < 0)
		return r;
	struct cow_diff_entry *e = cow_diff_add(&d->list, d->path.s);
	if (!e)
		return -ENOMEM;
	e->kind = COW_CHANGE_ADDED;
	e->type = S_IFDIR;
	if (with)
		cow_diff_judge(e, what);
	if (moved)
		e->moved = with;
	set_home(e, dir, below, taken);
	return 0;
}

static int visit_directory(struct diff *d, const struct dir *dir, const struct object *o,
			   const struct cow_man_ent *below)
{
	int opaque = read_opaque(o);
	uint32_t there = below && S_ISDIR(below->type) ? below->ino : 0;
	uint32_t redirect = opaque == 'y' ? 0 : redirect_of(d, dir, o);
	struct dir child = {.fd = -1, .xwhiteouts = opaque == 'x'};
	bool moved = redirect && (redirect != there || dir->opaque);
	if (redirect) {
		child.lower = redirect;
	} else {
		child.lower = there;
		child.opaque = there && (opaque == 'y' || dir->opaque);
		child.hidden_top = dir->opaque ? dir->hidden_top : there;
	}
	uint32_t with = redirect ? redirect : below ? below->ino : 0;
	bool taken = moved || child.opaque || !there;
	int r = add_directory(d, dir, o, below, with, moved, taken);
	if (r == 0)
		r = descend(d, o, &child);
	if (child.fd >= 0)
		(void)close(child.fd);
	return r;
}

/* ---------------------------------------------------------------- one directory */

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **list;
	size_t n, room;
};

static void names_done(struct names *n)
{
	for (size_t k = 0; k < n->n; k++)
		free(n->list[k]);
	free(n->list);
}

static int names_add(struct names *n, const char *name)
{
	if (cow_grow(&n->list, &n->room, n->n + 1) < 0)
		return -ENOMEM;
	n->list[n->n] = strdup(name);
	return n->list[n->n] ? (n->n++, 0) : -ENOMEM;
}

/* All names at once: one descriptor a level, and the order the same at every call. */
static int names_read(int fd, struct names *ret)
{
	int again = dup(fd);
	if (again < 0)
		return errno == EMFILE ? -ELOOP : cow_nerr();
	cow_autodir DIR *stream = fdopendir(again);
	if (!stream) {
		int failed = cow_nerr();
		(void)close(again);
		return failed;
	}
	const struct dirent *de = NULL;
	int r;
	while ((r = cow_readdir(stream, &de)) > 0) {
		r = names_add(ret, de->d_name);
		if (r < 0)
			return r;
	}
	if (ret->n)
		qsort(ret->list, ret->n, sizeof(*ret->list), name_cmp);
	return r;
}

static bool is_whiteout(const struct dir *dir, const struct object *o)
{
	if (S_ISCHR(o->st.st_mode) && o->st.st_rdev == 0)
		return true;
	return dir->xwhiteouts && S_ISREG(o->st.st_mode) && o->st.st_size == 0 &&
	       read_xattr(o, COW_XA_WHITEOUT, NULL, 0) >= 0;
}

/* Return: 1 it shows something; 0 it is a whiteout or gone. */
static int visit(struct diff *d, const struct dir *dir, const char *name)
{
	struct object o = {.fd = -1, .failed = &d->failed};
	struct cow_man_ent ent;
	const struct cow_man_ent *below =
	    dir->lower && cow_man_find(d->img, dir->lower, name, strlen(name), &ent) ? &ent : NULL;
	size_t old;
	cow_autoclose int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno == EMFILE ? -ELOOP : cow_nerr();
	if (fstat(fd, &o.st) < 0)
		return cow_nerr();
	o.fd = fd;
	cow_proc_path(fd, o.proc);
	bool whiteout = is_whiteout(dir, &o);
	if (d->failed < 0)
		return d->failed;
	if (whiteout)
		return below && !dir->opaque ? add_deleted(d, dir, below) : 0;
	int r = cow_growpath_push(&d->path, name, &old);
	if (r < 0)
		return r;
	r = S_ISDIR(o.st.st_mode) ? visit_directory(d, dir, &o, below)
				  : visit_object(d, dir, &o, below);
	if (r == 0)
		r = d->failed;
	if (r < 0)
		return r; /* the path stays, for the message */
	cow_growpath_pop(&d->path, old);
	return 1;
}

/* What an opaque directory hides and does not have again. */
static int add_hidden(struct diff *d, const struct dir *dir, const struct names *shown)
{
	struct cow_man_ent ent;
	size_t n = cow_man_nchild(d->img, dir->lower);
	for (size_t k = 0; k < n; k++) {
		cow_man_child(d->img, dir->lower, k, &ent);
		const char *name = ent.name;
		if (shown->n &&
		    bsearch(&name, shown->list, shown->n, sizeof(*shown->list), name_cmp))
			continue;
		int r = add_deleted(d, dir, &ent);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_names(struct diff *d, struct dir *dir, struct names *all, struct names *shown)
{
	int r = names_read(dir->fd, all);
	for (size_t k = 0; r >= 0 && k < all->n; k++) {
		r = visit(d, dir, all->list[k]);
		if (r > 0 && dir->opaque)
			r = names_add(shown, all->list[k]); /* in order */
	}
	if (r >= 0 && dir->opaque)
		r = add_hidden(d, dir, shown);
	return r < 0 ? r : 0;
}

static int walk(struct diff *d, struct dir *dir)
{
	struct names all = {0}, shown = {0};
	int r = walk_names(d, dir, &all, &shown);
	names_done(&all);
	names_done(&shown);
	return r;
}

/* ---------------------------------------------------------------- anchors */

/* One that is the only link of its object: its names in the image show it, but for those that are gone. */
static int visit_anchor(void *ctx, const char *name)
{
	struct diff *d = ctx;
	struct object o = {.fd = -1, .failed = &d->failed};
	unsigned what = 0;
	cow_autoclose int fd = openat(d->index, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : cow_nerr();
	if (fstat(fd, &o.st) < 0)
		return cow_nerr();
	if (S_ISDIR(o.st.st_mode) || o.st.st_nlink > 1)
		return 0;
	o.fd = fd;
	cow_proc_path(fd, o.proc);
	uint32_t ino = marked_number(d, &o);
	int r = ino ? compare(d, &o, ino, &what) : 0;
	if (r == 0)
		r = d->failed;
	return r < 0 || !what ? r : cow_diff_add_nameless(&d->list, ino, what);
}

/* A root that was never attached has none. */
static int visit_anchors(struct diff *d, int dirfd)
{
	cow_autoclose int work = cow_opendir_at(dirfd, COW_WORK_NAME);
	cow_autoclose int index = work < 0 ? work : cow_opendir_at(work, COW_INDEX_NAME);
	if (index < 0)
		return index == -ENOENT ? 0 : index;
	d->index = index;
	return cow_names_each(index, visit_anchor, d);
}

/* ---------------------------------------------------------------- the whole */

/* The root directory itself: it is always there and always the image's. */
static int visit_root(struct diff *d, int upper)
{
	struct object o = {.fd = upper, .failed = &d->failed};
	struct dir root = {.lower = COW_MAN_ROOT};
	unsigned what;
	if (fstat(upper, &o.st) < 0)
		return cow_nerr();
	cow_proc_path(upper, o.proc);
	int r = compare(d, &o, COW_MAN_ROOT, &what);
	if (r < 0)
		return r;
	struct cow_diff_entry *e = cow_diff_add(&d->list, "");
	if (!e)
		return -ENOMEM;
	e->type = S_IFDIR;
	cow_diff_judge(e, what);
	root.xwhiteouts = read_opaque(&o) == 'x';
	root.fd = upper;
	return d->failed < 0 ? d->failed : walk(d, &root);
}

static int report(const struct cow_diff_list *l, cow_ovl_diff_fn fn, void *ctx)
{
	for (size_t k = 0; k < l->n; k++) {
		const struct cow_diff_entry *e = &l->entries[k];
		struct cow_ovl_change change = {
		    .kind = e->kind,
		    .what = e->what,
		    .type = e->type,
		    .path = e->path,
		    .old_path = e->old_path,
		};
		int r = fn(ctx, &change);
		if (r)
			return r;
	}
	return 0;
}

static int diff_begin(struct diff *d, const struct cow_ovl_image *img)
{
	*d = (struct diff){.img = img, .list.img = img};
	d->md = EVP_MD_CTX_new();
	d->buf = malloc(BUF_SIZE);
	d->xnames = malloc(COW_XATTR_LIST_MAX);
	int r = cow_growpath_init(&d->path);
	return d->md && d->buf && d->xnames ? r : -ENOMEM;
}

static void diff_end(struct diff *d)
{
	cow_diff_done(&d->list);
	EVP_MD_CTX_free(d->md);
	free(d->buf);
	free(d->xnames);
	cow_growpath_done(&d->path);
}

int cow_ovl_inst_diff(int dirfd, const struct cow_ovl_image *img, cow_ovl_diff_fn fn, void *ctx,
		      struct cow_err *err)
{
	struct diff d;
	cow_autoclose int upper = cow_opendir_at(dirfd, COW_UPPER_NAME);
	if (upper < 0)
		return cow_err_set(err, upper, "open the root's directory '%s'", COW_UPPER_NAME);
	int r = diff_begin(&d, img);
	if (r == 0)
		r = visit_root(&d, upper);
	if (r == 0)
		r = visit_anchors(&d, dirfd);
	if (r == -ELOOP)
		r = cow_err_say(err, COW_ERR_FAILED, r,
				"the root has directories too deep to be compared");
	else if (r < 0)
		r = cow_err_set(err, r, "compare the root with its image, at '/%s'",
				d.path.s ? d.path.s : "");
	if (r == 0) {
		r = cow_diff_finish(&d.list);
		if (r < 0)
			r = cow_err_set(err, r, "compare the root with its image");
	}
	if (r == 0)
		r = report(&d.list, fn, ctx);
	diff_end(&d);
	return r;
}
