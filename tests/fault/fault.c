/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The interposer. A call that releases something (close) does so and then says it failed, as the
 * kernel does.
 */
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <search.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct {
	bool armed, kill;
	pid_t pid; /* a process that it starts is not meant */
	int errnum; /* 0: allocations */
	atomic_bool fired;
	atomic_ulong left;
	const char *only; /* NULL: any */
	const char *where;
	void (*instead)(void); /* is called, and nothing fails; NULL: it fails */
} fault;

void fault_arm_at(const char *name, int errnum, unsigned long nth)
{
	fault_arm(errnum, nth);
	fault.only = name;
}

void fault_arm(int errnum, unsigned long nth)
{
	fault.only = NULL;
	fault.instead = NULL;
	fault.kill = false;
	fault.errnum = errnum;
	fault.left = nth;
	fault.fired = false;
	fault.pid = getpid();
	fault.where = "";
	fault.armed = true;
}

void fault_arm_kill(unsigned long nth)
{
	fault_arm(EIO, nth);
	fault.kill = true;
}

void fault_arm_before(const char *name, void (*fn)(void))
{
	fault_arm_at(name, EIO, 0);
	fault.instead = fn;
}

bool fault_disarm(void)
{
	fault.armed = false;
	return fault.fired;
}

const char *fault_where(void)
{
	return fault.where;
}

static bool due(bool alloc, const char *where)
{
	if (!fault.armed || fault.fired || alloc != (fault.errnum == 0))
		return false;
	if ((fault.only && strcmp(fault.only, where) != 0) || fault.pid != getpid())
		return false;
	if (atomic_fetch_sub(&fault.left, 1) > 0)
		return false;
	if (fault.kill)
		(void)raise(SIGKILL); /* and that was it */
	fault.fired = true;
	fault.where = where;
	if (fault.instead) {
		fault.instead();
		return false;
	}
	errno = alloc ? ENOMEM : fault.errnum;
	return true;
}

bool fault_due(bool alloc, const char *where)
{
	return due(alloc, where);
}

/* A function of the engine's that is wrapped: what the linker calls it by, and the real one. */
#define WRAP(type, name, params, args, failed)                                                     \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return due(false, #name) ? (failed) : __real_##name args;                          \
	}
#define WRAP_ALLOC(type, name, params, args)                                                       \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return due(true, #name) ? NULL : __real_##name args;                               \
	}
/* One optional argument of pointer size. */
#define WRAP_VARIADIC(name, fixed, args, last, vtype)                                              \
	int __real_##name(fixed, ...);                                                             \
	int __wrap_##name(fixed, ...);                                                             \
	int __wrap_##name(fixed, ...)                                                              \
	{                                                                                          \
		va_list ap;                                                                        \
		va_start(ap, last);                                                                \
		vtype arg = va_arg(ap, vtype);                                                     \
		va_end(ap);                                                                        \
		return due(false, #name) ? -1 : __real_##name(args, arg);                          \
	}
#define COMMA ,

WRAP_ALLOC(void *, malloc, (size_t n), (n))
WRAP_ALLOC(void *, calloc, (size_t n, size_t m), (n, m))
WRAP_ALLOC(void *, realloc, (void *p, size_t n), (p, n))
WRAP_ALLOC(void *, reallocarray, (void *p, size_t n, size_t m), (p, n, m))
WRAP_ALLOC(char *, strdup, (const char *s), (s))
WRAP_ALLOC(char *, strndup, (const char *s, size_t n), (s, n))
WRAP_ALLOC(void *, tsearch, (const void *key, void **root, __compar_fn_t order), (key, root, order))

int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int r = due(true, "asprintf") ? -1 : vasprintf(ret, format, ap);
	va_end(ap);
	return r;
}

WRAP_VARIADIC(open64, const char *path COMMA int flags, path COMMA flags, flags, mode_t)
WRAP_VARIADIC(openat64, int fd COMMA const char *path COMMA int flags, fd COMMA path COMMA flags,
	      flags, mode_t)
WRAP_VARIADIC(fcntl64, int fd COMMA int cmd, fd COMMA cmd, cmd, void *)
WRAP_VARIADIC(ioctl, int fd COMMA unsigned long request, fd COMMA request, request, void *)

long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	return due(false, "syscall") ? -1 : __real_syscall(nr, a, b, c, d, e, f);
}

WRAP(int, chmod, (const char *path, mode_t mode), (path, mode), -1)
WRAP(ssize_t, copy_file_range,
     (int in, off_t *from, int out, off_t *to, size_t len, unsigned flags),
     (in, from, out, to, len, flags), -1)
WRAP(int, dup, (int fd), (fd), -1)
WRAP(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags), -1)
WRAP(int, fallocate64, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len), -1)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
WRAP(int, fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags), -1)
WRAP(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), -1)
WRAP(int, fchownat, (int fd, const char *path, uid_t uid, gid_t gid, int flags),
     (fd, path, uid, gid, flags), -1)
WRAP(DIR *, fdopendir, (int fd), (fd), NULL)
WRAP(ssize_t, fgetxattr, (int fd, const char *name, void *buf, size_t len), (fd, name, buf, len),
     -1)
WRAP(ssize_t, flistxattr, (int fd, char *buf, size_t len), (fd, buf, len), -1)
WRAP(int, flock, (int fd, int what), (fd, what), -1)
WRAP(int, fremovexattr, (int fd, const char *name), (fd, name), -1)
WRAP(int, fsetxattr, (int fd, const char *name, const void *buf, size_t len, int flags),
     (fd, name, buf, len, flags), -1)
WRAP(int, fstat64, (int fd, struct stat *st), (fd, st), -1)
WRAP(int, fstatat64, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags),
     -1)
WRAP(int, fstatfs64, (int fd, struct statfs *st), (fd, st), -1)
WRAP(int, fstatvfs64, (int fd, struct statvfs *st), (fd, st), -1)
WRAP(int, ftruncate64, (int fd, off_t len), (fd, len), -1)
WRAP(int, futimens, (int fd, const struct timespec ts[2]), (fd, ts), -1)
WRAP(ssize_t, getdents64, (int fd, void *buf, size_t len), (fd, buf, len), -1)
WRAP(ssize_t, getrandom, (void *buf, size_t len, unsigned flags), (buf, len, flags), -1)
WRAP(int, getrlimit64, (int what, struct rlimit *rl), (what, rl), -1)
WRAP(ssize_t, getxattr, (const char *path, const char *name, void *buf, size_t len),
     (path, name, buf, len), -1)
WRAP(ssize_t, lgetxattr, (const char *path, const char *name, void *buf, size_t len),
     (path, name, buf, len), -1)
WRAP(int, linkat, (int fd, const char *path, int to, const char *name, int flags),
     (fd, path, to, name, flags), -1)
WRAP(ssize_t, listxattr, (const char *path, char *buf, size_t len), (path, buf, len), -1)
WRAP(ssize_t, llistxattr, (const char *path, char *buf, size_t len), (path, buf, len), -1)
WRAP(int, lsetxattr, (const char *path, const char *name, const void *buf, size_t len, int flags),
     (path, name, buf, len, flags), -1)
WRAP(off_t, lseek64, (int fd, off_t off, int whence), (fd, off, whence), -1)
WRAP(int, lstat64, (const char *path, struct stat *st), (path, st), -1)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1)
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), -1)
WRAP(int, mknodat, (int fd, const char *path, mode_t mode, dev_t dev), (fd, path, mode, dev), -1)
WRAP(void *, mmap64, (void *at, size_t len, int prot, int flags, int fd, off_t off),
     (at, len, prot, flags, fd, off), MAP_FAILED)
WRAP(int, mprotect, (void *at, size_t len, int prot), (at, len, prot), -1)
WRAP(int, name_to_handle_at,
     (int fd, const char *path, struct file_handle *h, int *mnt_id, int flags),
     (fd, path, h, mnt_id, flags), -1)
WRAP(int, open_by_handle_at, (int fd, struct file_handle *h, int flags), (fd, h, flags), -1)
WRAP(ssize_t, pread64, (int fd, void *buf, size_t len, off_t off), (fd, buf, len, off), -1)
WRAP(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off_t off), (fd, v, n, off), -1)
WRAP(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off_t off, int flags),
     (fd, v, n, off, flags), -1)
WRAP(int, pthread_create,
     (pthread_t * ret, const pthread_attr_t *how, void *(*fn)(void *), void *ctx),
     (ret, how, fn, ctx), EAGAIN)
WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t off), (fd, buf, len, off), -1)
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off_t off), (fd, v, n, off), -1)
WRAP(ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len), -1)
WRAP(struct dirent *, readdir64, (DIR * d), (d), NULL)
WRAP(ssize_t, readlinkat, (int fd, const char *path, char *buf, size_t len), (fd, path, buf, len),
     -1)
WRAP(int, removexattr, (const char *path, const char *name), (path, name), -1)
WRAP(int, rename, (const char *path, const char *to), (path, to), -1)
WRAP(int, renameat, (int fd, const char *path, int to, const char *name), (fd, path, to, name), -1)
WRAP(int, renameat2, (int fd, const char *path, int to, const char *name, unsigned flags),
     (fd, path, to, name, flags), -1)
WRAP(int, sched_getaffinity, (pid_t pid, size_t len, cpu_set_t *set), (pid, len, set), -1)
WRAP(int, setxattr, (const char *path, const char *name, const void *buf, size_t len, int flags),
     (path, name, buf, len, flags), -1)
WRAP(int, stat64, (const char *path, struct stat *st), (path, st), -1)
WRAP(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *st),
     (fd, path, flags, mask, st), -1)
WRAP(int, symlinkat, (const char *target, int fd, const char *path), (target, fd, path), -1)
WRAP(int, unlink, (const char *path), (path), -1)
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), -1)
WRAP(int, utimensat, (int fd, const char *path, const struct timespec ts[2], int flags),
     (fd, path, ts, flags), -1)
WRAP(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len), -1)

#define WRAP_SYNC(name)                                                                            \
	int __wrap_##name(int fd);                                                                 \
	int __wrap_##name(int fd)                                                                  \
	{                                                                                          \
		return due(false, #name) ? -1 : 0;                                                 \
	}
WRAP_SYNC(fsync)
WRAP_SYNC(fdatasync)
WRAP_SYNC(syncfs)

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	int r = __real_close(fd);
	return due(false, "close") ? -1 : r;
}

int __real_closedir(DIR *d);
int __wrap_closedir(DIR *d);
int __wrap_closedir(DIR *d)
{
	int r = __real_closedir(d);
	return due(false, "closedir") ? -1 : r;
}
