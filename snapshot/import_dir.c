/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Import of a directory tree. The source may change underneath (a running root): every object is
 * opened without following links, looked at through its descriptor, and a name that has gone is
 * left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "fill.h"
#include "leave_out.h"

struct walk {
	struct cow_fill *f;
	struct cow_err *err;
	const char *what;
	dev_t store_dev; /* the store itself is not imported into itself */
	ino_t store_ino;
	struct cow_leave_out leave_out;
	struct cow_fill_copier copier;
	struct cow_fill_links links;
	char *xnames; /* COW_XATTR_LIST_MAX */
	char *xvalue; /* COW_XATTR_SIZE_MAX */
	char *path;   /* of the object at hand, relative to the root */
	size_t path_len, path_cap;
};

static int fail(struct walk *w, int r, const char *doing)
{
	if (r == -EINTR)
		return cow_err_set(w->err, r, "import of '%s' was stopped", w->what);
	return cow_err_set(w->err, r, "%s %s of '%s'", doing, COW_Q(w->path), w->what);
}

/* ---------------------------------------------------------------- path of the object at hand */

static int path_push(struct walk *w, const char *name, size_t *ret_old)
{
	size_t len = strlen(name), old = w->path_len;
	if (old + len + 2 > w->path_cap) {
		size_t cap = (old + len + 2) * 2;
		char *grown = realloc(w->path, cap);
		if (!grown)
			return -ENOMEM;
		w->path = grown;
		w->path_cap = cap;
	}
	if (old)
		w->path[w->path_len++] = '/';
	memcpy(w->path + w->path_len, name, len + 1);
	w->path_len += len;
	*ret_old = old;
	return 0;
}

static void path_pop(struct walk *w, size_t old)
{
	w->path_len = old;
	w->path[old] = 0;
}

/* ---------------------------------------------------------------- attributes */

/* @src, @dst: descriptors, or -1 for what is not opened (links, devices) and lives at @name. */
static ssize_t src_list(struct walk *w, int src, const char *proc)
{
	return src >= 0 ? flistxattr(src, w->xnames, COW_XATTR_LIST_MAX)
			: llistxattr(proc, w->xnames, COW_XATTR_LIST_MAX);
}

static int copy_xattrs(struct walk *w, int src, int src_dir, int dst, int dst_dir, const char *name)
{
	char proc[64 + NAME_MAX];
	if (src < 0)
		(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", src_dir, name);
	ssize_t len = src_list(w, src, proc);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (char *x = w->xnames; x < w->xnames + len; x += strlen(x) + 1) {
		ssize_t n = src >= 0 ? fgetxattr(src, x, w->xvalue, COW_XATTR_SIZE_MAX)
				     : lgetxattr(proc, x, w->xvalue, COW_XATTR_SIZE_MAX);
		if (n < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
			continue; /* gone meanwhile, or listed for show */
		if (n < 0)
			return -errno;
		int r = cow_fill_xattr(w->f, dst, dst_dir, name, w->path, x, w->xvalue, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct cow_meta meta_of(const struct stat *st)
{
	return (struct cow_meta){
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .rdev = st->st_rdev,
	    .times = {st->st_atim, st->st_mtim},
	};
}

/* ---------------------------------------------------------------- objects */

/* It is not there any more, or not for the image. */
static int gone(struct walk *w)
{
	w->f->inodes--;
	return 0;
}

static int import_file(struct walk *w, int src_dir, int dst_dir, const char *name)
{
	struct stat st;
	cow_autoclose int src =
	    openat(src_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	if (src < 0 || fstat(src, &st) < 0)
		return errno == ENOENT ? gone(w) : fail(w, -errno, "open");
	if (cow_leave_out_file(&w->leave_out, src, &st)) {
		cow_fill_note(w->f, "left out: /%s is swap space", w->path);
		return gone(w);
	}
	if (!S_ISREG(st.st_mode))
		return fail(w, -ESTALE, "open (it has changed its type)");
	struct cow_meta m = meta_of(&st);
	cow_autofillout struct cow_fill_out out = COW_FILL_OUT_EMPTY;
	int plain = flistxattr(src, NULL, 0) <= 0; /* where there are none of any kind too */
	int r = cow_fill_out_begin(w->f, dst_dir, name, w->path, plain ? &m : NULL,
				   (uint64_t)st.st_size, &out);
	if (r < 0)
		return fail(w, r, "make");
	r = cow_fill_out_data(&w->copier, src, &out, &st);
	if (r < 0)
		return fail(w, r, "copy the data of");
	if (r > 0)
		return 0;
	r = cow_fill_owner(out.fd, &m);
	if (r == 0)
		r = copy_xattrs(w, src, -1, out.fd, -1, name);
	if (r == 0)
		r = cow_fill_finish_fd(out.fd, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

static int is_plain(int src_dir, const char *name)
{
	char proc[64 + NAME_MAX];
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", src_dir, name);
	return llistxattr(proc, NULL, 0) <= 0;
}

static int import_node(struct walk *w, int src_dir, int dst_dir, const char *name,
		       const struct stat *st)
{
	char target[COW_SYMLINK_MAX + 1] = "";
	struct cow_meta m = meta_of(st);
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(src_dir, name, target, COW_SYMLINK_MAX);
		if (n < 0)
			return errno == ENOENT ? gone(w) : fail(w, -errno, "read the link");
		target[n] = 0;
	}
	int r = cow_fill_node_at(w->f, dst_dir, name, w->path, &m, target,
				 w->f->base && is_plain(src_dir, name));
	if (r != 0)
		return r < 0 ? fail(w, r, "make") : 0;
	r = copy_xattrs(w, -1, src_dir, -1, dst_dir, name);
	if (r == -ENOENT) /* the source has no descriptor that would hold it */
		return unlinkat(dst_dir, name, 0) < 0 ? fail(w, -errno, "take back") : gone(w);
	if (r == 0)
		r = cow_fill_finish_at(dst_dir, name, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

static int import_children(struct walk *w, int src, int dst, dev_t dev, unsigned depth);

/* Return: 1 the directory is made but stays empty (another file system, the store). */
static int stays_empty(struct walk *w, int src, const struct stat *st, dev_t parent_dev)
{
	if (st->st_dev == w->store_dev && st->st_ino == w->store_ino) {
		cow_fill_note(w->f, "left out: /%s is this store", w->path);
		return 1;
	}
	if (st->st_dev == parent_dev)
		return 0;
	struct statfs sfs;
	if (fstatfs(src, &sfs) < 0)
		return -errno;
	const char *why = cow_leave_out_mount(&w->leave_out, w->path, (unsigned long)sfs.f_type);
	if (why)
		cow_fill_note(w->f, "left out: what is mounted on /%s, of %s", w->path, why);
	return why != NULL;
}

static int fill_dir(struct walk *w, int src, int dst, dev_t parent_dev, unsigned depth)
{
	struct stat st;
	if (fstat(src, &st) < 0)
		return fail(w, -errno, "look at");
	struct cow_meta m = meta_of(&st);
	int r = stays_empty(w, src, &st, parent_dev);
	if (r < 0)
		return fail(w, r, "look at");
	if (r == 0) {
		r = import_children(w, src, dst, st.st_dev, depth);
		if (r < 0)
			return r;
	}
	r = cow_fill_owner(dst, &m);
	if (r == 0)
		r = copy_xattrs(w, src, -1, dst, -1, "");
	if (r == 0)
		r = cow_fill_finish_dir(dst, &m);
	return r < 0 ? fail(w, r, "set the attributes of") : 0;
}

static int import_subdir(struct walk *w, int src_dir, int dst_dir, const char *name, dev_t dev,
			 unsigned depth)
{
	if (depth > COW_DEPTH_MAX)
		return fail(w, -ELOOP, "enter");
	cow_autoclose int src = cow_opendir_at(src_dir, name);
	if (src == -ENOENT)
		return gone(w);
	if (src < 0)
		return fail(w, src, "open");
	int r = cow_fill_dir(w->f, dst_dir, name);
	if (r < 0)
		return fail(w, r, "make");
	cow_autoclose int dst = cow_opendir_at(dst_dir, name);
	if (dst < 0)
		return fail(w, dst, "open the copy of");
	return fill_dir(w, src, dst, dev, depth);
}

static int import_one(struct walk *w, int src_dir, int dst_dir, const char *name, dev_t dev,
		      unsigned depth)
{
	struct stat st;
	if (fstatat(src_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(w, -errno, "look at");
	w->f->inodes++;
	int r = cow_fill_progress(w->f);
	if (r < 0)
		return fail(w, r, "copy");
	if (S_ISDIR(st.st_mode))
		return import_subdir(w, src_dir, dst_dir, name, dev, depth);
	if (st.st_nlink > 1) {
		r = cow_fill_link_earlier(&w->links, w->f, st.st_dev, st.st_ino, w->path, dst_dir,
					  name);
		if (r < 0)
			return fail(w, r, "make the link");
		if (r > 0) {
			w->f->inodes--; /* a name, not an inode */
			return 0;
		}
	}
	return S_ISREG(st.st_mode) ? import_file(w, src_dir, dst_dir, name)
				   : import_node(w, src_dir, dst_dir, name, &st);
}

/* ---------------------------------------------------------------- directories */

struct listed {
	ino_t ino;
	char *name;
};

static int listed_cmp(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void listed_free(struct listed *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].name);
	free(list);
}

static int listed_add(struct listed **list, size_t *n, size_t *cap, const struct dirent *e)
{
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 32;
		struct listed *grown = reallocarray(*list, more, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		*cap = more;
	}
	char *name = strdup(e->d_name);
	if (!name)
		return -ENOMEM;
	(*list)[(*n)++] = (struct listed){.ino = e->d_ino, .name = name};
	return 0;
}

/* By inode number: on a cold disk the inodes then come in the order they lie in. */
static int listed_read(int fd, struct listed **ret, size_t *ret_n)
{
	struct listed *list = NULL;
	size_t n = 0, cap = 0;
	int r = 0;
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (again < 0)
		return -errno;
	cow_autodir DIR *d = fdopendir(again);
	if (!d) {
		r = -errno;
		(void)close(again);
		return r;
	}
	for (;;) {
		errno = 0;
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread per DIR */
		struct dirent *e = readdir(d);
		if (!e) {
			r = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = listed_add(&list, &n, &cap, e);
		if (r < 0)
			break;
	}
	if (r < 0) {
		listed_free(list, n);
		return r;
	}
	if (n)
		qsort(list, n, sizeof(*list), listed_cmp);
	*ret = list;
	*ret_n = n;
	return 0;
}

static int import_children(struct walk *w, int src, int dst, dev_t dev, unsigned depth)
{
	struct listed *list = NULL;
	size_t n = 0, old;
	int r = listed_read(src, &list, &n);
	if (r < 0)
		return fail(w, r, "list");
	for (size_t i = 0; i < n && r == 0; i++) {
		r = path_push(w, list[i].name, &old);
		if (r < 0) {
			r = fail(w, r, "copy");
			break;
		}
		if (!cow_leave_out(&w->leave_out, w->path))
			r = import_one(w, src, dst, list[i].name, dev, depth + 1);
		path_pop(w, old);
	}
	listed_free(list, n);
	return r;
}

/* One line for all, since a running root has many. */
static void note_left_out(struct walk *w)
{
	char list[COW_KV_LINE_MAX / 2] = "";
	const char *rule;
	for (unsigned i = 0; (rule = cow_leave_out_matched(&w->leave_out, i)); i++) {
		size_t len = strlen(list);
		(void)snprintf(list + len, sizeof(list) - len, "%s/%s", i ? " " : "", rule);
	}
	if (*list)
		cow_fill_note(w->f, "left out of this machine's root: %s", list);
}

/* The root of a file system has what is in use there; of another directory nobody knows. */
static uint64_t expected_bytes(int fd, const struct stat *st)
{
	struct stat above;
	struct statfs sfs;
	if (fstatat(fd, "..", &above, 0) < 0 || fstatfs(fd, &sfs) < 0 ||
	    (above.st_dev == st->st_dev && above.st_ino != st->st_ino))
		return 0;
	return (uint64_t)(sfs.f_blocks - sfs.f_bfree) * (uint64_t)sfs.f_bsize;
}

int cow_import_dir(struct cow_fill *f, int fd, const char *what, dev_t store_dev, ino_t store_ino,
		   struct cow_err *err)
{
	struct stat st;
	cow_autofree char *xnames = malloc(COW_XATTR_LIST_MAX);
	cow_autofree char *xvalue = malloc(COW_XATTR_SIZE_MAX);
	struct walk w = {
	    .f = f,
	    .err = err,
	    .what = what,
	    .store_dev = store_dev,
	    .store_ino = store_ino,
	    .xnames = xnames,
	    .xvalue = xvalue,
	    .path = calloc(1, 256),
	    .path_cap = 256,
	};
	int r = cow_fill_copier_init(&w.copier, f);
	if (r < 0 || !xnames || !xvalue || !w.path)
		r = cow_err_set(err, -ENOMEM, "import '%s'", what);
	else if (fstat(fd, &st) < 0)
		r = cow_err_set(err, -errno, "look at '%s'", what);
	else {
		w.leave_out = (struct cow_leave_out){
		    .patterns = f->opts ? f->opts->exclude : NULL,
		    .running = !(f->opts && f->opts->everything) && cow_leave_out_is_running(&st),
		};
		f->bytes_total = expected_bytes(fd, &st);
		f->inodes++;
		r = fill_dir(&w, fd, f->tree, st.st_dev, 0);
		note_left_out(&w);
		if (r == 0)
			r = cow_fill_base_end(f, what, err);
	}
	cow_fill_links_done(&w.links);
	cow_fill_copier_done(&w.copier);
	free(w.path);
	return r;
}
