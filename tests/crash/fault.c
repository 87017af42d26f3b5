/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A program's own definition of a function comes before the C library's, and the engine is linked
 * into this program: so these are what it calls.
 */
#include "fault.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/fs.h>

_Thread_local void (*fault_hook)(void *ctx, const char *call);
_Thread_local void *fault_ctx;
void (*fault_hook_all)(void *ctx, const char *call);
void *fault_ctx_all;
bool fault_nosync;

static void tell(const char *call)
{
	static _Thread_local bool telling;
	if (telling)
		return;
	telling = true;
	if (fault_hook)
		fault_hook(fault_ctx, call);
	else if (fault_hook_all)
		fault_hook_all(fault_ctx_all, call);
	telling = false;
}

#define CALL(name, ...) (tell(#name), syscall(SYS_##name, __VA_ARGS__))

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		tell("openat");
	return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

int linkat(int from, const char *a, int to, const char *b, int flags)
{
	return (int)CALL(linkat, from, a, to, b, flags);
}

int renameat(int from, const char *a, int to, const char *b)
{
	return (int)CALL(renameat2, from, a, to, b, 0);
}

int renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
	return (int)CALL(renameat2, from, a, to, b, flags);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	return (int)CALL(unlinkat, dirfd, path, flags);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	return (int)CALL(mkdirat, dirfd, path, mode);
}

int mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	return (int)CALL(mknodat, dirfd, path, mode, dev);
}

int symlinkat(const char *target, int dirfd, const char *path)
{
	return (int)CALL(symlinkat, target, dirfd, path);
}

int setxattr(const char *path, const char *name, const void *value, size_t len, int flags)
{
	return (int)CALL(setxattr, path, name, value, len, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
	return (int)CALL(fsetxattr, fd, name, value, len, flags);
}

int removexattr(const char *path, const char *name)
{
	return (int)CALL(removexattr, path, name);
}

int fremovexattr(int fd, const char *name)
{
	return (int)CALL(fremovexattr, fd, name);
}

int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
	return (int)CALL(fchownat, dirfd, path, uid, gid, flags);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return (int)CALL(fchown, fd, uid, gid);
}

int chmod(const char *path, mode_t mode)
{
	tell("chmod");
	return (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
}

int fchmod(int fd, mode_t mode)
{
	return (int)CALL(fchmod, fd, mode);
}

int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
	return (int)CALL(utimensat, dirfd, path, times, flags);
}

int futimens(int fd, const struct timespec times[2])
{
	return (int)CALL(utimensat, fd, NULL, times, 0);
}

int ftruncate(int fd, off_t size)
{
	return (int)CALL(ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	return (int)CALL(fallocate, fd, mode, off, len);
}

ssize_t copy_file_range(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags)
{
	return CALL(copy_file_range, in, in_off, out, out_off, len, flags);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return CALL(pwrite64, fd, buf, len, off);
}

ssize_t pwritev(int fd, const struct iovec *iov, int iovcnt, off_t off)
{
	return CALL(pwritev, fd, iov, iovcnt, (long)off, 0L);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return CALL(write, fd, buf, len);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (request == FICLONE || request == FICLONERANGE)
		tell("ioctl");
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

static int sync_fd(const char *name, long call, int fd)
{
	tell(name);
	return fault_nosync ? 0 : (int)syscall(call, fd);
}

int fsync(int fd)
{
	return sync_fd("fsync", SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_fd("fdatasync", SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	return sync_fd("syncfs", SYS_syncfs, fd);
}
