/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "fill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"

#define REPORT_EVERY_MS 100

void cow_fill_done(struct cow_fill *f)
{
	cow_fill_base_done(f);
	for (size_t i = 0; i < COW_FILL_CAPS_NAMED; i++)
		free(f->caps_names[i]);
	for (size_t i = 0; i < f->nnotes; i++)
		free(f->notes[i]);
}

int cow_fill_progress(struct cow_fill *f)
{
	if (!f->opts || !f->opts->progress)
		return 0;
	uint64_t now = cow_now_ms();
	if (now < f->next_report_ms)
		return 0;
	f->next_report_ms = now + REPORT_EVERY_MS;
	struct cow_import_progress p = {
	    .step = f->step,
	    .inodes = f->inodes,
	    .bytes = f->bytes,
	    .bytes_total = f->bytes_total,
	    .source_bytes = f->source_bytes,
	    .source_total = f->source_total,
	};
	int r = f->opts->progress(f->opts->ctx, &p);
	return r < 0 ? r : 0;
}

void cow_fill_note(struct cow_fill *f, const char *fmt, ...)
{
	if (f->nnotes == sizeof(f->notes) / sizeof(*f->notes))
		return;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&f->notes[f->nnotes], fmt, ap) >= 0)
		f->nnotes++;
	va_end(ap);
}

struct cow_meta cow_meta_of(const struct cow_ovl_attr *a)
{
	return (struct cow_meta){
	    .mode = a->mode,
	    .uid = a->uid,
	    .gid = a->gid,
	    .rdev = a->rdev,
	    .times = {a->atime, a->mtime},
	};
}

int cow_fill_node(int dir, const char *name, const struct cow_meta *m, const char *target)
{
	int r;
	if (S_ISLNK(m->mode))
		r = symlinkat(target, dir, name);
	else if (S_ISCHR(m->mode) && m->rdev == makedev(0, 0))
		return -EPERM;
	else
		r = mknodat(dir, name, (m->mode & S_IFMT) | 0600, m->rdev);
	if (r < 0)
		return -errno;
	if (fchownat(dir, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int cow_fill_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

void cow_fill_capability(struct cow_fill *f, const char *path)
{
	if (f->caps < COW_FILL_CAPS_NAMED)
		f->caps_names[f->caps] = strdup(path); /* NULL: counted, not named */
	f->caps++;
}

int cow_fill_xattr(struct cow_fill *f, int fd, int dir, const char *name, const char *path,
		   const char *xattr, const void *value, size_t len)
{
	char proc[64 + NAME_MAX];
	int r;

	/* Whiteouts and redirects mean something to whoever stacks on this tree: never from
	 * outside. */
	if (starts_with(xattr, "trusted.overlay.") || starts_with(xattr, "trusted.cowherd."))
		return 0;
	if (cow_xattr_of_xfs(xattr))
		return 0;
	if (fd >= 0) {
		r = fsetxattr(fd, xattr, value, len, 0);
	} else {
		/* There is no lsetxattrat(2) yet; the magic link leads to our own directory. */
		(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", dir, name);
		r = lsetxattr(proc, xattr, value, len, 0);
	}
	if (r == 0) {
		if (strcmp(xattr, "security.capability") == 0)
			cow_fill_capability(f, path);
		return 0;
	}
	if (errno != EOPNOTSUPP)
		return -errno;
	if (!f->xattrs_lost++)
		(void)snprintf(f->xattr_lost_name, sizeof(f->xattr_lost_name), "%s", xattr);
	return 0;
}

int cow_fill_owner(int fd, const struct cow_meta *m)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_uid == m->uid && st.st_gid == m->gid)
		return 0;
	return fchown(fd, m->uid, m->gid) < 0 ? -errno : 0;
}

int cow_fill_finish_fd(int fd, const struct cow_meta *m)
{
	if (fchmod(fd, m->mode & 07777) < 0 || futimens(fd, m->times) < 0)
		return -errno;
	return 0;
}

int cow_fill_finish_at(int dir, const char *name, const struct cow_meta *m)
{
	if (!S_ISLNK(m->mode) && fchmodat(dir, name, m->mode & 07777, 0) < 0)
		return -errno;
	return utimensat(dir, name, m->times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}
