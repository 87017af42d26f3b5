/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Filling a tree that is not empty: a snapshot of the version before, on btrfs. What is there and is what is
 * to be made is taken over as it is, so that the two versions share not only its data but its names and attributes, too.
 * All else in the snapshot is a leftover: nobody sees it, it makes room for what needs its name, and what remains goes
 * at the end. So the tree ends as it would have from an empty one.
 *
 * Which is which, inode numbers tell: btrfs gives none twice in a subvolume, so all that came with the snapshot
 * have lower ones than all that is made, and a bit for each of the lower ones says that it was taken over. An object with several
 * names is never taken over: a name that is a leftover leads to an object that is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "fill.h"

#define NUMBER_MAX ((ino_t)1 << 31) /* 256 MiB of bits, of which only used pages take memory */

struct cow_fill_base {
	int golden; /* what the snapshot is of: to read links there changes no access time */
	dev_t dev;
	ino_t first_new; /* what came with the snapshot has lower numbers */
	uint8_t *kept;	 /* bit per lower number: taken over */
};

static size_t kept_len(const struct cow_fill_base *b)
{
	return (size_t)b->first_new / 8 + 1;
}

static int is_leftover(const struct cow_fill_base *b, const struct stat *st)
{
	return st->st_dev == b->dev && st->st_ino < b->first_new &&
	       !(b->kept[st->st_ino / 8] & 1u << st->st_ino % 8);
}

static void keep(struct cow_fill_base *b, ino_t ino)
{
	b->kept[ino / 8] |= (uint8_t)(1u << ino % 8);
}

static int same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* ---------------------------------------------------------------- beginning */

static int drop_xattrs(int fd)
{
	ssize_t len = flistxattr(fd, NULL, 0);
	if (len <= 0)
		return len < 0 && errno != EOPNOTSUPP ? -errno : 0;
	cow_autofree char *names = malloc(COW_XATTR_LIST_MAX);
	if (!names)
		return -ENOMEM;
	len = flistxattr(fd, names, COW_XATTR_LIST_MAX);
	if (len < 0)
		return -errno;
	for (const char *x = names; x < names + len; x += strlen(x) + 1)
		if (fremovexattr(fd, x) < 0 && errno != ENODATA)
			return -errno;
	return 0;
}

static int look_at_tree(int tree, struct cow_fill_base *b)
{
	struct stat root, st;
	cow_autoclose int temp = openat(tree, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (temp < 0 || fstat(temp, &st) < 0 || fstat(tree, &root) < 0)
		return -errno;
	if (st.st_ino > NUMBER_MAX)
		return -E2BIG;
	b->dev = st.st_dev;
	b->first_new = st.st_ino;
	void *bits = mmap(NULL, kept_len(b), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bits == MAP_FAILED)
		return -errno;
	b->kept = bits;
	keep(b, root.st_ino);
	return drop_xattrs(tree);
}

static void base_free(struct cow_fill_base *b)
{
	if (b && b->kept)
		(void)munmap(b->kept, kept_len(b));
	if (b && b->golden >= 0)
		(void)close(b->golden); /* a directory opened for reading */
	free(b);
}

int cow_fill_base_begin(struct cow_fill *f, int golden)
{
	struct cow_fill_base *b = calloc(1, sizeof(*b));
	int r = b ? b->golden = cow_opendir_at(golden, ".") : -ENOMEM;
	if (r >= 0)
		r = look_at_tree(f->tree, b);
	if (r < 0) {
		base_free(b);
		return r;
	}
	f->base = b;
	return 0;
}

void cow_fill_base_done(struct cow_fill *f)
{
	base_free(cow_steal_ptr(&f->base));
}

/* ---------------------------------------------------------------- names */

int cow_fill_lstat(const struct cow_fill *f, int dir, const char *name, struct stat *ret)
{
	if (fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return f->base && is_leftover(f->base, ret) ? -ENOENT : 0;
}

int cow_fill_room(struct cow_fill *f, int dir, const char *name)
{
	struct stat st;
	if (!f->base)
		return 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return is_leftover(f->base, &st) ? cow_rm_rf_at(dir, name, 0) : 0;
}

/* ---------------------------------------------------------------- taking over */

/* What lies in an inode, but for the access time, which nobody compares. */
static int same_inode(const struct stat *st, const struct cow_meta *m)
{
	return st->st_mode == m->mode && st->st_uid == m->uid && st->st_gid == m->gid &&
	       same_time(&st->st_mtim, &m->times[1]);
}

int cow_fill_base_file(const struct cow_fill *f, int dir, const char *name,
		       const struct cow_meta *m, uint64_t size, struct cow_fill_there *ret)
{
	struct stat st;
	if (!f->base)
		return -ENOENT;
	/* Look before opening for real: what lies there may be a device. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_leftover(f->base, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (uint64_t)st.st_size != size)
		return -ENOENT;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = (struct cow_fill_there){
	    .ino = st.st_ino,
	    .all = m && same_inode(&st, m) && flistxattr(fd, NULL, 0) == 0,
	};
	return fd;
}

int cow_fill_base_take(struct cow_fill *f, const struct cow_fill_there *t, int fd)
{
	int r = t->all ? 0 : drop_xattrs(fd);
	if (r < 0)
		return r == -EPERM || r == -EOPNOTSUPP ? -ENOENT : r;
	keep(f->base, t->ino);
	return t->all;
}

int cow_fill_base_reuse(struct cow_fill *f, int dir, const char *name, off_t len)
{
	struct stat st;
	if (!f->base)
		return -ENOENT;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_leftover(f->base, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -ENOENT;
	cow_autoclose int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = drop_xattrs(fd);
	if (r < 0)
		return r == -EPERM || r == -EOPNOTSUPP ? -ENOENT : r;
	if (ftruncate(fd, len) < 0)
		return -errno;
	keep(f->base, st.st_ino);
	return cow_steal_fd(&fd);
}

static int same_target(const struct cow_fill_base *b, const char *path, const char *target)
{
	char is[COW_SYMLINK_MAX + 1];
	ssize_t n = readlinkat(b->golden, path, is, sizeof(is));
	return n >= 0 && (size_t)n == strlen(target) && memcmp(is, target, (size_t)n) == 0;
}

/* But for its attributes. */
static int same_node(const struct cow_fill_base *b, int dir, const char *name, const char *path,
		     const struct stat *st, const struct cow_meta *m, const char *target)
{
	char proc[64 + NAME_MAX];
	if (st->st_nlink != 1 || (st->st_mode & S_IFMT) != (m->mode & S_IFMT))
		return 0;
	if (S_ISLNK(m->mode) ? !same_target(b, path, target) : st->st_rdev != m->rdev)
		return 0;
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", dir, name);
	return llistxattr(proc, NULL, 0) == 0;
}

int cow_fill_node_at(struct cow_fill *f, int dir, const char *name, const char *path,
		     const struct cow_meta *m, const char *target, int plain)
{
	struct stat st;
	int there = f->base && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    is_leftover(f->base, &st) &&
		    same_node(f->base, dir, name, path, &st, m, target);
	if (!there) {
		int r = cow_fill_room(f, dir, name);
		return r < 0 ? r : cow_fill_node(dir, name, m, target);
	}
	keep(f->base, st.st_ino);
	if (plain && same_inode(&st, m))
		return 1;
	if (st.st_uid == m->uid && st.st_gid == m->gid)
		return 0;
	return fchownat(dir, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Attributes a directory has are inherited by what is made in it: it starts without. Return: 1 taken; 0 not. */
static int take_dir(struct cow_fill *f, int dir, const char *name)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!is_leftover(f->base, &st) || !S_ISDIR(st.st_mode))
		return 0;
	cow_autoclose int fd = cow_opendir_at(dir, name);
	if (fd < 0)
		return fd;
	int r = drop_xattrs(fd);
	if (r < 0)
		return r == -EPERM || r == -EOPNOTSUPP ? 0 : r; /* another one is made */
	keep(f->base, st.st_ino);
	return 1;
}

int cow_fill_dir(struct cow_fill *f, int dir, const char *name)
{
	int r = f->base ? take_dir(f, dir, name) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	r = cow_fill_room(f, dir, name);
	if (r < 0)
		return r;
	return mkdirat(dir, name, 0700) < 0 ? -errno : 0;
}

int cow_fill_finish_dir(int fd, const struct cow_meta *m)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && same_inode(&st, m))
		return 0;
	return cow_fill_finish_fd(fd, m);
}

/* ---------------------------------------------------------------- the end */

struct sweep {
	struct cow_fill *f;
	unsigned depth;
};

static int sweep_dir(struct sweep *w, int dir);

/* Return: 1 it is gone; 0 it stays; -errno */
static int sweep_name(struct sweep *w, int dir, const struct dirent *e)
{
	struct stat st;
	if (e->d_ino >= w->f->base->first_new)
		return 0; /* made since */
	if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (is_leftover(w->f->base, &st)) {
		int r = cow_rm_rf_at(dir, e->d_name, 0);
		return r < 0 ? r : 1;
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	cow_autoclose int below = cow_opendir_at(dir, e->d_name);
	return below < 0 ? below : sweep_dir(w, below);
}

static int sweep_names(struct sweep *w, int dir, int *ret_gone)
{
	const struct dirent *e;
	int r, again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	if (again < 0)
		return -errno;
	cow_autodir DIR *d = fdopendir(again);
	if (!d) {
		r = -errno;
		(void)close(again);
		return r;
	}
	while ((r = cow_readdir(d, &e)) > 0) {
		r = sweep_name(w, dir, e);
		if (r < 0)
			return r;
		*ret_gone |= r;
	}
	return r;
}

/* A directory has its times already. */
static int sweep_dir(struct sweep *w, int dir)
{
	struct stat st;
	int gone = 0;
	if (++w->depth > COW_DEPTH_MAX)
		return -ELOOP;
	if (fstat(dir, &st) < 0)
		return -errno;
	int r = sweep_names(w, dir, &gone);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (r == 0 && gone && futimens(dir, times) < 0)
		r = -errno;
	if (r == 0)
		r = cow_fill_progress(w->f);
	w->depth--;
	return r;
}

int cow_fill_base_end(struct cow_fill *f, const char *what, struct cow_err *err)
{
	struct sweep w = {.f = f};
	if (!f->base)
		return 0;
	int r = sweep_dir(&w, f->tree);
	if (r == 0)
		cow_fill_base_done(f);
	if (r == -EINTR)
		return cow_err_set(err, r, "import of '%s' was stopped", what);
	return r < 0 ? cow_err_set(err, r, "remove what '%s' does not have", what) : 0;
}
