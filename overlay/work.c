/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * work/work: where things are made before they get their name, and where what has lost it is taken
 * apart; all of it is swept at attach (I3). Here also the instance's whiteout, one inode (a
 * character device 0/0) that every deleted name is a link of.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"
#include "names_each.h"

#define XA_DEFAULT_ACL "system.posix_acl_default"
#define WHITEOUT_TRIES 3

void cow_temp_name(struct cow_ovl_inst *i, char ret[COW_TEMP_LEN])
{
	(void)snprintf(ret, COW_TEMP_LEN, "#%llx",
		       (unsigned long long)atomic_fetch_add(&i->temps, 1));
}

void cow_work_drop(struct cow_ovl_inst *i, const char *name)
{
	if (unlinkat(i->workfd, name, 0) < 0 && errno == EISDIR)
		(void)cow_rm_rf_at(i->workfd, name, 0); /* else swept at the next attach */
}

static int sweep_one(void *ctx, const char *name)
{
	struct cow_ovl_inst *i = ctx;
	if (strcmp(name, COW_WHITEOUT_NAME) == 0)
		return 0;
	return cow_rm_rf_at(i->workfd, name, 0);
}

int cow_work_sweep(struct cow_ovl_inst *i)
{
	return cow_names_each(i->workfd, sweep_one, i);
}

/* ---------------------------------------------------------------- whiteouts */

bool cow_is_whiteout(mode_t mode, dev_t rdev)
{
	return S_ISCHR(mode) && rdev == makedev(0, 0);
}

/* Make the shared one where it is missing, or replace it where it has all the links it can have. */
static int whiteout_renew(struct cow_ovl_inst *i, int why)
{
	char temp[COW_TEMP_LEN];
	if (why == -ENOENT)
		return mknodat(i->workfd, COW_WHITEOUT_NAME, S_IFCHR, makedev(0, 0)) < 0 &&
			       errno != EEXIST
			   ? cow_nerr()
			   : 0;
	cow_temp_name(i, temp);
	if (mknodat(i->workfd, temp, S_IFCHR, makedev(0, 0)) < 0 ||
	    renameat(i->workfd, temp, i->workfd, COW_WHITEOUT_NAME) < 0)
		return cow_nerr();
	return 0;
}

int cow_whiteout_link(struct cow_ovl_inst *i, int dirfd, const char *name)
{
	int r = -ENOENT;
	for (int n = 0; n < WHITEOUT_TRIES; n++) {
		r = linkat(i->workfd, COW_WHITEOUT_NAME, dirfd, name, 0) < 0 ? cow_nerr() : 0;
		if (r != -ENOENT && r != -EMLINK)
			return r;
		pthread_mutex_lock(&i->whiteout_m);
		int made = whiteout_renew(i, r);
		pthread_mutex_unlock(&i->whiteout_m);
		if (made < 0)
			return made;
	}
	return r; /* -ENOENT: the directory itself is gone */
}

int cow_whiteout_temp(struct cow_ovl_inst *i, char ret[COW_TEMP_LEN])
{
	cow_temp_name(i, ret);
	return cow_whiteout_link(i, i->workfd, ret);
}

/* ---------------------------------------------------------------- stage */

/* Return: length of the default ACL, 0 without one. */
static ssize_t default_acl(int dirfd, void *buf, size_t len)
{
	char path[COW_PROC_PATH_LEN];
	cow_proc_path(dirfd, path);
	ssize_t got = getxattr(path, XA_DEFAULT_ACL, buf, len);
	if (got < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
		return 0;
	return got < 0 ? cow_nerr() : got;
}

static int stage_fill(int fd, const struct stat *like, const void *acl, size_t acl_len)
{
	if (fchown(fd, 0, like->st_gid) < 0 || fchmod(fd, 0700 | (like->st_mode & S_ISGID)) < 0)
		return cow_nerr();
	if (acl_len > 0 && fsetxattr(fd, XA_DEFAULT_ACL, acl, acl_len, 0) < 0)
		return cow_nerr();
	return 0;
}

int cow_stage_begin(struct cow_ovl_inst *i, int dirfd, struct cow_stage *ret)
{
	struct stat st;
	*ret = (struct cow_stage){.fd = i->workfd};
	if (fstat(dirfd, &st) < 0)
		return cow_nerr();
	ssize_t acl_len = default_acl(dirfd, NULL, 0);
	if (acl_len < 0)
		return (int)acl_len;
	if (acl_len == 0 && !(st.st_mode & S_ISGID))
		return 0;
	cow_autofree void *acl = malloc((size_t)acl_len + 1);
	if (!acl)
		return -ENOMEM;
	if (acl_len > 0)
		acl_len = default_acl(dirfd, acl, (size_t)acl_len);
	if (acl_len < 0)
		return (int)acl_len;
	cow_temp_name(i, ret->name);
	if (mkdirat(i->workfd, ret->name, 0700) < 0)
		return cow_nerr();
	ret->fd = COW_FD_TRY(openat(i->workfd, ret->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int r = ret->fd < 0 ? cow_nerr() : stage_fill(ret->fd, &st, acl, (size_t)acl_len);
	if (r < 0)
		cow_stage_end(i, ret);
	return r;
}

void cow_stage_end(struct cow_ovl_inst *i, struct cow_stage *s)
{
	if (!s->name[0])
		return;
	if (s->fd >= 0)
		(void)close(s->fd); /* a directory: nothing to lose */
	cow_work_drop(i, s->name);
}
