/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * System calls on a directory: a mount of the kernel's overlay, or an ordinary tree. Where the
 * engine's interface differs from the system calls by design, the engine's rule is followed here
 * (data of regular files alone; a mode of symbolic links is ignored; what is gone is ESTALE); what
 * remains is in tolerate.c.
 *
 * The engine does not check permissions, so neither do we: an operation of another user runs under
 * his ids and groups with root's capabilities, without CAP_FSETID, which decides what is stripped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "side.h"
#include "util.h"
#include "values.h"

struct slot {
	int fd;
	unsigned flags, user;
};

struct kernel {
	struct side side;
	int root;
	struct slot open[SLOTS];
	int held[SLOTS];
};

#define PROC_LEN 40

static const char *proc_path(int fd, char buf[PROC_LEN])
{
	(void)snprintf(buf, PROC_LEN, "/proc/self/fd/%d", fd);
	return buf;
}

/* ---------------------------------------------------------------- deliberate mistakes */

static enum {
	INJECT_NONE,
	INJECT_CHMOD,
	INJECT_DATA,
	INJECT_LINK,
	INJECT_ERRNO,
	INJECT_CRASH
} inject;

int kernel_inject(const char *name)
{
	static const char *const names[] = {
	    [INJECT_CHMOD] = "chmod", [INJECT_DATA] = "data",	[INJECT_LINK] = "link",
	    [INJECT_ERRNO] = "errno", [INJECT_CRASH] = "crash",
	};
	for (unsigned k = 1; k < sizeof(names) / sizeof(*names); k++)
		if (strcmp(name, names[k]) == 0) {
			inject = k;
			return 0;
		}
	return -EINVAL;
}

/* ---------------------------------------------------------------- another user */

static void set_ids(const struct user *u, bool fsetid)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	/* The raw calls: of this thread, which is the only one. */
	if (syscall(SYS_setgroups, u->ngroups, u->groups) < 0)
		trouble("setgroups");
	(void)setfsgid(u->gid);
	(void)setfsuid(u->uid);
	if (syscall(SYS_capget, &head, caps) < 0)
		trouble("capget");
	for (size_t k = 0; k < _LINUX_CAPABILITY_U32S_3; k++)
		caps[k].effective = caps[k].permitted;
	if (!fsetid)
		caps[0].effective &= ~(1u << CAP_FSETID);
	if (syscall(SYS_capset, &head, caps) < 0)
		trouble("capset");
}

static void become(unsigned user)
{
	if (user)
		set_ids(&users[user], false);
}

static void become_root(unsigned user)
{
	if (user)
		set_ids(&users[0], true);
}

/* ---------------------------------------------------------------- paths */

/* A directory that was removed says so in its path; its link count does not tell in an overlay. */
static bool is_removed(int fd)
{
	static const char mark[] = " (deleted)";
	char proc[PROC_LEN], path[PATH_MAX];
	ssize_t n = readlink(proc_path(fd, proc), path, sizeof(path));
	size_t len = sizeof(mark) - 1;
	return n > 0 && (size_t)n >= len && memcmp(path + (size_t)n - len, mark, len) == 0;
}

static int head_fd(struct kernel *k, const struct path_head *h)
{
	int fd = h->from == FROM_HELD	? k->held[h->slot]
		 : h->from == FROM_OPEN ? k->open[h->slot].fd
					: k->root;
	if (fd < 0)
		return -EBADF;
	if (h->from == FROM_HELD && is_removed(fd))
		return -ESTALE;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		trouble("dup");
	return fd;
}

/*
 * Walk to the object of @path; with @ret_name to the directory its last component is in, which may
 * turn out to be none. Return: an fd to close, or -errno.
 */
static int walk(struct kernel *k, const char *path, char ret_name[PATH_LEN])
{
	struct path_head h = path_head(path);
	char name[PATH_LEN];
	const char *p = h.rest;
	if (ret_name && !*p)
		return -EINVAL;
	int fd = head_fd(k, &h);
	while (fd >= 0 && path_next(&p, name)) {
		if (ret_name && !*p) {
			memcpy(ret_name, name, strlen(name) + 1);
			return fd;
		}
		int next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		int saved = errno;
		(void)close(fd);
		fd = next < 0 ? -saved : next;
	}
	return fd;
}

static int nerr(int r)
{
	return r < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- names */

static int make_object(struct kernel *k, const struct op *op)
{
	char name[PATH_LEN];
	cow_autoclose int dir = walk(k, op->path, name);
	if (dir < 0)
		return dir;
	if (op->kind == OP_MKNOD && S_ISCHR(op->mode) && op->rdev == 0) {
		cow_autoclose int is_dir = openat(dir, ".", O_PATH | O_CLOEXEC);
		return is_dir < 0 ? -errno : -EPERM; /* reserved for deleted names, everywhere */
	}
	if (op->kind == OP_MKDIR)
		return nerr(mkdirat(dir, name, op->mode));
	if (op->kind == OP_SYMLINK)
		return nerr(symlinkat(op->path2, dir, name));
	if (op->kind == OP_MKNOD)
		return nerr(
		    mknodat(dir, name, op->mode, op->rdev ? makedev(7, op->rdev) : makedev(0, 0)));
	cow_autoclose int fd =
	    openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, op->mode);
	return nerr(fd);
}

static int make_link(struct kernel *k, const struct op *op)
{
	char name[PATH_LEN];
	cow_autoclose int fd = walk(k, op->path, NULL);
	if (fd < 0)
		return fd;
	cow_autoclose int dir = walk(k, op->path2, name);
	if (dir < 0)
		return dir;
	if (inject == INJECT_LINK) { /* a new file instead of a second name */
		cow_autoclose int new =
		    openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
		return nerr(new);
	}
	return nerr(linkat(fd, "", dir, name, AT_EMPTY_PATH));
}

static int rename_object(struct kernel *k, const struct op *op)
{
	static const unsigned flags[] = {
	    [RENAME_PLAIN] = 0,
	    [RENAME_NOREPL] = RENAME_NOREPLACE,
	    [RENAME_XCHG] = RENAME_EXCHANGE,
	};
	char from[PATH_LEN], to[PATH_LEN];
	cow_autoclose int d1 = walk(k, op->path, from);
	if (d1 < 0)
		return d1;
	cow_autoclose int d2 = walk(k, op->path2, to);
	if (d2 < 0)
		return d2;
	return nerr(renameat2(d1, from, d2, to, flags[op->flags]));
}

static int remove_object(struct kernel *k, const struct op *op)
{
	char name[PATH_LEN];
	cow_autoclose int dir = walk(k, op->path, name);
	if (dir < 0)
		return dir;
	int r = nerr(unlinkat(dir, name, op->kind == OP_RMDIR ? AT_REMOVEDIR : 0));
	if (inject == INJECT_ERRNO && r == -ENOTEMPTY)
		return -EBUSY;
	return r == -EEXIST ? -ENOTEMPTY : r;
}

static int remove_tree(struct kernel *k, const struct op *op)
{
	char name[PATH_LEN];
	struct stat st;
	cow_autoclose int dir = walk(k, op->path, name);
	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return cow_rm_rf_at(dir, name, 0);
}

/* ---------------------------------------------------------------- data */

/* The open slot's own file, or a new open of what the path leads to. */
static int open_file(struct kernel *k, const char *path, int flags, bool *ret_own, unsigned *user)
{
	char proc[PROC_LEN];
	struct stat st;
	*ret_own = true;
	if (path_is_open(path)) {
		struct slot *s = &k->open[path_head(path).slot];
		unsigned need = (flags & O_ACCMODE) == O_RDONLY ? OPEN_R : OPEN_W;
		*ret_own = false;
		*user = s->user;
		return s->fd < 0 || !(s->flags & need) ? -EBADF : s->fd;
	}
	cow_autoclose int at = walk(k, path, NULL);
	if (at < 0)
		return at;
	if (fstat(at, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	become(*user);
	int fd = open(proc_path(at, proc), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : fd;
	become_root(*user);
	return r;
}

static int write_all(int fd, const struct op *op, uint64_t off)
{
	int r = cow_pwrite_full(fd, data_of(op, off), op->len, (off_t)off);
	if (inject == INJECT_DATA && r == 0 && op->off == 4096)
		(void)!pwrite(fd, "?", 1, (off_t)(off + op->len - 1));
	return r;
}

static int write_file(struct kernel *k, const struct op *op)
{
	bool own;
	struct stat st;
	uint64_t off = op->off;
	unsigned user = op->user;
	int fd =
	    open_file(k, op->path, O_WRONLY | (op->kind == OP_REWRITE ? O_TRUNC : 0), &own, &user);
	if (fd < 0)
		return fd;
	if (op->kind == OP_APPEND) {
		if (fstat(fd, &st) < 0)
			trouble("fstat");
		off = (uint64_t)st.st_size;
	}
	if (op->kind == OP_REWRITE)
		off = 0;
	become(user);
	int r = write_all(fd, op, off);
	become_root(user);
	if (own)
		(void)close(fd);
	return r;
}

static int read_file(struct kernel *k, const struct op *op, struct result *ret)
{
	bool own;
	unsigned user = 0;
	int fd = open_file(k, op->path, O_RDONLY, &own, &user);
	if (fd < 0)
		return fd;
	ssize_t n =
	    cow_pread_full(fd, ret->data, op->len < IO_MAX ? op->len : IO_MAX, (off_t)op->off);
	if (own)
		(void)close(fd);
	ret->len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

static int truncate_file(struct kernel *k, const struct op *op)
{
	bool own;
	unsigned user = op->user;
	int fd = open_file(k, op->path, O_WRONLY, &own, &user);
	if (fd < 0)
		return fd;
	become(op->user);
	int r = nerr(ftruncate(fd, (off_t)op->len));
	become_root(op->user);
	if (own)
		(void)close(fd);
	return r;
}

static int allocate_file(struct kernel *k, const struct op *op)
{
	static const int modes[] = {
	    [FALLOC_EXTEND] = 0,
	    [FALLOC_KEEP] = FALLOC_FL_KEEP_SIZE,
	    [FALLOC_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    [FALLOC_ZERO] = FALLOC_FL_ZERO_RANGE,
	};
	bool own;
	unsigned user = op->user;
	int fd = open_file(k, op->path, O_WRONLY, &own, &user);
	if (fd < 0)
		return fd;
	become(user);
	int r = nerr(fallocate(fd, modes[op->flags], (off_t)op->off, (off_t)op->len));
	if (r == 0 && fallocate_forgets)
		r = cow_pwrite_full(fd, "f", 1, 0);
	become_root(user);
	if (own)
		(void)close(fd);
	return r;
}

/* What FICLONERANGE of a whole file does, by reading and writing. */
static int copy_all(int in, int out)
{
	static uint8_t buf[1 << 16];
	struct stat a, b;
	ssize_t n;
	if (fstat(in, &a) < 0 || fstat(out, &b) < 0)
		return -errno;
	if (a.st_size > 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return -EINVAL;
	for (off_t off = 0; (n = pread(in, buf, sizeof(buf), off)) > 0; off += n) {
		int r = cow_pwrite_full(out, buf, (size_t)n, off);
		if (r < 0)
			return r;
	}
	return n < 0 ? -errno : 0;
}

static int clone_file(struct kernel *k, const struct op *op)
{
	bool own_in, own_out;
	unsigned reader = 0, writer = 0;
	int in = open_file(k, op->path, O_RDONLY, &own_in, &reader);
	if (in < 0)
		return in;
	int out = open_file(k, op->path2, O_WRONLY, &own_out, &writer);
	become(writer);
	int r = out < 0 ? out : copy_all(in, out);
	become_root(writer);
	if (out >= 0 && own_out)
		(void)close(out);
	if (own_in)
		(void)close(in);
	return r;
}

static int open_slot(struct kernel *k, const struct op *op)
{
	static const int access[] = {
	    [OPEN_R] = O_RDONLY, [OPEN_W] = O_WRONLY, [OPEN_R | OPEN_W] = O_RDWR};
	struct slot *s = &k->open[op->slot];
	bool own;
	unsigned user = op->user;
	if (s->fd >= 0)
		return -EBUSY;
	if (path_is_open(op->path))
		return -EINVAL;
	int fd = open_file(
	    k, op->path, access[op->flags & (OPEN_R | OPEN_W)] | (op->flags & OPEN_T ? O_TRUNC : 0),
	    &own, &user);
	if (fd < 0)
		return fd;
	*s = (struct slot){.fd = fd, .flags = op->flags, .user = op->user};
	return 0;
}

static int close_slot(int *fd)
{
	if (*fd < 0)
		return -EBADF;
	(void)close(*fd);
	*fd = -1;
	return 0;
}

static int hold_dir(struct kernel *k, const struct op *op)
{
	struct stat st;
	if (k->held[op->slot] >= 0)
		return -EBUSY;
	cow_autoclose int fd = walk(k, op->path, NULL);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	k->held[op->slot] = cow_steal_fd(&fd);
	return 0;
}

/* ---------------------------------------------------------------- attributes */

static int set_times(int fd, const struct op *op)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
	if (op->flags & TIMES_A)
		ts[0] = old_atime(op->time);
	if (op->flags & TIMES_M)
		ts[1] = old_mtime(op->time);
	if (op->flags & TIMES_NOW)
		ts[0].tv_nsec = ts[1].tv_nsec = UTIME_NOW;
	return nerr(utimensat(fd, "", ts, AT_EMPTY_PATH));
}

static int set_xattr(const char *path, const struct op *op)
{
	static const int flags[] = {
	    [XATTR_ANY] = 0, [XATTR_NEW] = XATTR_CREATE, [XATTR_OLD] = XATTR_REPLACE};
	uint8_t value[VALUE_MAX];
	size_t len = xattr_value(op->xattr, op->fill, op->len, value);
	return nerr(setxattr(path, xattr_names[op->xattr], value, len, flags[op->flags]));
}

static int change(struct kernel *k, const struct op *op)
{
	char proc[PROC_LEN];
	struct stat st;
	cow_autoclose int fd = walk(k, op->path, NULL);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		trouble("fstat");
	(void)proc_path(fd, proc);
	switch ((int)op->kind) {
	case OP_CHMOD:
		if (S_ISLNK(st.st_mode))
			return 0;
		return nerr(
		    chmod(proc, inject == INJECT_CHMOD ? op->mode & ~(mode_t)020 : op->mode));
	case OP_CHOWN:
		return nerr(fchownat(fd, "", op->uid, op->gid, AT_EMPTY_PATH));
	case OP_UTIMENS:
		return set_times(fd, op);
	case OP_SETXATTR:
		return set_xattr(proc, op);
	default:
		return nerr(removexattr(proc, xattr_names[op->xattr]));
	}
}

static int list_dir(int at, struct result *ret)
{
	struct listing l = {.n = 0};
	const struct dirent *e;
	struct stat st;
	int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	if (fd < 0)
		return -errno;
	cow_autodir DIR *d = must(fdopendir(fd));
	while ((r = cow_readdir(d, &e)) > 0) {
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			trouble("look at a listed name");
		listing_add(&l, e->d_name, st.st_mode & S_IFMT);
	}
	listing_result(&l, ret);
	return r;
}

static int look(struct kernel *k, const struct op *op, struct result *ret)
{
	char proc[PROC_LEN];
	struct stat st;
	ssize_t n = 0;
	cow_autoclose int fd = walk(k, op->path, NULL);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		trouble("fstat");
	struct attr a = attr_of_stat(&st);
	switch ((int)op->kind) {
	case OP_STAT:
		result_attr(ret, &a, path_is_open(op->path) ? 0 : ATTR_NLINK);
		return 0;
	case OP_READLINK:
		n = S_ISLNK(st.st_mode) ? readlinkat(fd, "", (char *)ret->data, IO_MAX)
					: (errno = EINVAL, -1);
		break;
	case OP_GETXATTR:
		n = getxattr(proc_path(fd, proc), xattr_names[op->xattr], ret->data, IO_MAX);
		break;
	default:
		return S_ISDIR(st.st_mode) ? list_dir(fd, ret) : -ENOTDIR;
	}
	ret->len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- one operation */

static int as_user(struct kernel *k, const struct op *op,
		   int (*fn)(struct kernel *, const struct op *))
{
	become(op->user);
	int r = fn(k, op);
	become_root(op->user);
	return r;
}

static int apply_op(struct kernel *k, const struct op *op, struct result *ret)
{
	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_SYMLINK:
	case OP_MKNOD:
		return as_user(k, op, make_object);
	case OP_LINK:
		return make_link(k, op);
	case OP_RENAME:
		return rename_object(k, op);
	case OP_UNLINK:
	case OP_RMDIR:
		return remove_object(k, op);
	case OP_RMTREE:
		if (inject == INJECT_CRASH)
			abort();
		return remove_tree(k, op);
	case OP_WRITE:
	case OP_APPEND:
	case OP_REWRITE:
		return write_file(k, op);
	case OP_TRUNCATE:
		return truncate_file(k, op);
	case OP_FALLOCATE:
		return allocate_file(k, op);
	case OP_CLONE:
		return clone_file(k, op);
	case OP_CHMOD:
	case OP_CHOWN:
	case OP_UTIMENS:
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return as_user(k, op, change);
	case OP_READ:
		return read_file(k, op, ret);
	case OP_STAT:
	case OP_READLINK:
	case OP_GETXATTR:
	case OP_LIST:
		return look(k, op, ret);
	case OP_OPEN:
		return open_slot(k, op);
	case OP_CLOSE:
		return close_slot(&k->open[op->slot].fd);
	case OP_HOLD:
		return hold_dir(k, op);
	case OP_DROP:
		return close_slot(&k->held[op->slot]);
	case OP_RESTART:
	case OP_KINDS:
		break;
	}
	for (unsigned s = 0; s < SLOTS; s++)
		(void)close_slot(&k->open[s].fd);
	return 0;
}

static void kernel_apply(struct side *s, const struct op *op, struct result *ret)
{
	ret->len = 0;
	ret->err = apply_op((struct kernel *)s, op, ret);
}

/* ---------------------------------------------------------------- the tree */

static ssize_t get_xattr(void *ctx, const char *name, void *buf, size_t len)
{
	ssize_t n = lgetxattr(ctx, name, buf, len);
	return n < 0 ? -errno : n;
}

/* In the working directory. */
static ssize_t leave_out(char *names, ssize_t len, const char *prefix)
{
	ssize_t out = 0;
	for (ssize_t at = 0; at < len;) {
		ssize_t one = (ssize_t)strlen(names + at) + 1;
		if (strncmp(names + at, prefix, strlen(prefix)) != 0) {
			memmove(names + out, names + at, (size_t)one);
			out += one;
		}
		at += one;
	}
	return out;
}

static void take_object(struct tree *t, int dir, const char *name, const char *path)
{
	static char names[COW_XATTR_LIST_MAX];
	char target[PATH_MAX];
	struct stat st;
	struct object o = {.path = must(strdup(path))};
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		trouble("look at %s", path);
	o.attr = attr_of_stat(&st);
	ssize_t n = llistxattr(name, names, sizeof(names));
	if (n < 0)
		trouble("list attributes of %s", path);
	/* What the engine tells itself is in its upper for the kernel to show. */
	n = leave_out(names, n, "trusted.cowherd.");
	/* XFS tells root of the access lists twice; the engine, once. */
	n = leave_out(names, n, "trusted.SGI_ACL_");
	o.xattrs = xattrs_text(names, (size_t)n, get_xattr, (void *)(uintptr_t)name);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target));
		if (n < 0)
			trouble("read link %s", path);
		o.target = must(strndup(target, (size_t)n));
	}
	if (S_ISREG(st.st_mode)) {
		cow_autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		o.data_len = o.attr.size < DATA_MAX ? o.attr.size : DATA_MAX;
		o.data = must(malloc(o.data_len + 1));
		n = fd < 0 ? -1 : cow_pread_full(fd, o.data, o.data_len, 0);
		if (n != (ssize_t)o.data_len)
			trouble("read %s", path);
	}
	tree_add(t, &o);
}

static void take_dir(struct tree *t, int dirfd, const char *path, unsigned depth)
{
	const struct dirent *e;
	char child[PATH_MAX];
	int r;
	if (depth > DEPTH_MAX)
		trouble("a deep tree");
	cow_autodir DIR *d = must(fdopendir(dirfd));
	size_t first = t->n;
	if (fchdir(dirfd) < 0)
		trouble("enter %s", path);
	while ((r = cow_readdir(d, &e)) > 0) {
		(void)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", e->d_name);
		take_object(t, dirfd, e->d_name, child);
	}
	if (r < 0)
		trouble("list %s", path);
	for (size_t k = first, end = t->n; k < end; k++) {
		if (!S_ISDIR(t->v[k].attr.mode))
			continue;
		const char *slash = strrchr(t->v[k].path, '/');
		int sub = openat(dirfd, slash ? slash + 1 : t->v[k].path,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		(void)snprintf(child, sizeof(child), "%s", t->v[k].path);
		if (sub < 0)
			trouble("open %s", child);
		take_dir(t, sub, child, depth + 1);
	}
}

static void kernel_snapshot(struct side *s, struct tree *ret)
{
	struct kernel *k = (struct kernel *)s;
	*ret = (struct tree){0};
	int fd = openat(k->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fchdir(fd) < 0)
		trouble("open the root");
	take_object(ret, fd, ".", "");
	take_dir(ret, fd, "", 0);
	tree_sort(ret);
	if (chdir("/") < 0)
		trouble("chdir");
}

/* ---------------------------------------------------------------- life */

static void kernel_close_slots(struct side *s)
{
	struct kernel *k = (struct kernel *)s;
	for (unsigned n = 0; n < SLOTS; n++) {
		(void)close_slot(&k->open[n].fd);
		(void)close_slot(&k->held[n]);
	}
}

static void kernel_free(struct side *s)
{
	struct kernel *k = (struct kernel *)s;
	kernel_close_slots(s);
	(void)close_slot(&k->root);
	free(k);
}

static const struct side_ops kernel_ops = {
    .apply = kernel_apply,
    .snapshot = kernel_snapshot,
    .close_slots = kernel_close_slots,
    .free = kernel_free,
};

struct side *kernel_side_new(int dirfd)
{
	struct kernel *k = must(calloc(1, sizeof(*k)));
	k->side.ops = &kernel_ops;
	k->root = dirfd;
	for (unsigned n = 0; n < SLOTS; n++)
		k->open[n].fd = k->held[n] = -1;
	return &k->side;
}

void kernel_apply_all(int dirfd, const struct op *ops, size_t n)
{
	static struct result r;
	int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0), saved = (int)inject;
	if (fd < 0)
		trouble("dup");
	struct side *s = kernel_side_new(fd);
	inject = INJECT_NONE;
	for (size_t k = 0; k < n; k++)
		s->ops->apply(s, &ops[k], &r);
	inject = saved;
	s->ops->free(s);
}
