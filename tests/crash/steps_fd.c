/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Steps as system calls on a mount: the counterpart of step_run().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "history.h"
#include "util.h"
#include "values.h"

static int done(long r)
{
	return r < 0 ? -errno : 0;
}

/* Not by this program's own fsync(2), which may be told to do nothing: that is for the server. */
static int commit(int fd)
{
	return done(syscall(SYS_fsync, fd));
}

struct run {
	int root;
	const struct step *s;
	char path[PATH_LEN + 64], path2[PATH_LEN + 64];
	char full[PATH_LEN + 100]; /* of path, for calls that take no directory */
};

static int create(const struct run *run)
{
	cow_autoclose int fd =
	    openat(run->root, run->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, run->s->arg);
	return done(fd);
}

static int put_data(const struct run *run)
{
	const struct step *s = run->s;
	const int how = s->kind == K_REWRITE ? O_TRUNC : s->kind == K_STABLE ? O_DSYNC : 0;
	cow_autoclose int fd = openat(run->root, run->path, O_WRONLY | O_CLOEXEC | how);
	if (fd < 0)
		return -errno;
	if (s->kind == K_ALLOC)
		return done(fallocate(fd, 0, (off_t)s->off, (off_t)s->len));
	cow_autofree uint8_t *buf = must(malloc(s->len + 1));
	fill_bytes(buf, s->len, s->arg, s->off);
	int r = cow_pwrite_full(fd, buf, s->len, (off_t)s->off); /* a cut may come half way */
	if (r < 0)
		return r;
	return s->kind == K_WRITE || s->kind == K_REWRITE ? commit(fd) : 0;
}

static int set_times(const struct run *run)
{
	const struct timespec times[2] = {old_atime(run->s->arg), old_mtime(run->s->arg)};
	return done(utimensat(run->root, run->path, times, AT_SYMLINK_NOFOLLOW));
}

static int take_away(const struct run *run)
{
	struct stat st;
	if (fstatat(run->root, run->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return done(unlinkat(run->root, run->path, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0));
}

static int name_step(const struct run *run)
{
	const struct step *s = run->s;
	switch (s->kind) {
	case K_CREATE:
		return create(run);
	case K_MKDIR:
		return done(mkdirat(run->root, run->path, s->arg));
	case K_SYMLINK:
		return done(symlinkat(s->path2, run->root, run->path));
	case K_FIFO:
		return done(mknodat(run->root, run->path, S_IFIFO | s->arg, 0));
	case K_LINK:
		return done(linkat(run->root, run->path, run->root, run->path2, 0));
	case K_RENAME:
	case K_EXCHANGE:
		return done(renameat2(run->root, run->path, run->root, run->path2,
				      s->kind == K_EXCHANGE ? RENAME_EXCHANGE : 0));
	default:
		return take_away(run);
	}
}

static int attr_step(const struct run *run)
{
	const struct step *s = run->s;
	switch (s->kind) {
	case K_CHMOD:
		return done(chmod(run->full, s->arg));
	case K_CHOWN:
		return done(
		    fchownat(run->root, run->path, s->arg, s->arg + 1, AT_SYMLINK_NOFOLLOW));
	case K_UTIMES:
		return set_times(run);
	case K_SETXATTR:
		return done(setxattr(run->full, "trusted.t", &s->arg, sizeof(s->arg), 0));
	case K_REMOVEXATTR:
		return done(removexattr(run->full, "trusted.t"));
	default:
		return done(truncate(run->full, (off_t)s->len));
	}
}

int step_run_at(int root, const char *top, const struct step *s)
{
	struct run run = {.root = root, .s = s};
	(void)snprintf(run.path, sizeof(run.path), "%s%s%s", top, *s->path ? "/" : "", s->path);
	(void)snprintf(run.path2, sizeof(run.path2), "%s/%s", top, s->path2);
	(void)snprintf(run.full, sizeof(run.full), "/proc/self/fd/%d/%s", root, run.path);
	if (s->kind <= K_REMOVE)
		return name_step(&run);
	return s->kind < K_WRITE ? attr_step(&run) : put_data(&run);
}
