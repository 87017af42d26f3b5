/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Extended attributes, without the engine's own and the kernel overlay's. Objects of every type are
 * reached through /proc/self/fd, since an O_PATH fd takes no fgetxattr(2). Those of an object that is
 * as the image has it are answered from the manifest.
 *
 * A client that is itself an overlay sets trusted.overlay.* on its own account. Those are kept as the
 * kernel's overlay keeps them, under a name that means nothing to it: trusted.overlay.X as
 * trusted.overlay.overlay.X, so each nesting adds one "overlay.".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/fs.h"
#include "internal.h"

#define XA_OVERLAY "trusted.overlay."
#define XA_ESCAPED "trusted.overlay.overlay." /* + what followed XA_OVERLAY */
#define XA_OURS "trusted.cowherd."

static bool starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Of stored names: those nobody outside sees. */
bool cow_xattr_hidden(const char *stored)
{
	return starts(stored, XA_OURS) || cow_xattr_of_xfs(stored) ||
	       (starts(stored, XA_OVERLAY) && !starts(stored, XA_ESCAPED));
}

/* The name an attribute is stored under. */
struct stored {
	char name[COW_XATTR_NAME_MAX + 1];
};

static int store_name(const char *name, struct stored *ret)
{
	size_t len = strnlen(name, COW_XATTR_NAME_MAX + 1);
	if (len == 0)
		return -EINVAL;
	if (len > COW_XATTR_NAME_MAX)
		return -ERANGE;
	if (!starts(name, XA_OVERLAY)) {
		memcpy(ret->name, name, len + 1);
		return 0;
	}
	int n =
	    snprintf(ret->name, sizeof(ret->name), "%s%s", XA_ESCAPED, name + strlen(XA_OVERLAY));
	return n < 0 || (size_t)n >= sizeof(ret->name) ? -EOPNOTSUPP : 0; /* as the kernel says */
}

/* A stored name as its owner knows it. Return: its length with the NUL. @ret may be @stored. */
static size_t show_name(const char *stored, char *ret)
{
	size_t keep = strlen(XA_OVERLAY), drop = strlen(XA_ESCAPED) - keep;
	size_t len = strlen(stored) + 1;
	if (!starts(stored, XA_ESCAPED)) {
		memmove(ret, stored, len);
		return len;
	}
	memmove(ret, stored, keep);
	memmove(ret + keep, stored + keep + drop, len - keep - drop);
	return len - drop;
}

static int lower_alive(struct cow_ovl_node *n)
{
	return atomic_load(&n->gone) && !cow_node_used(n) ? -ESTALE : 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static ssize_t get_lower(struct cow_ovl_node *n, const char *name, void *buf, size_t len)
{
	int r = lower_alive(n);
	if (r < 0)
		return r;
	for (size_t k = 0; k < cow_man_nxattr(n->inst->img, n->low); k++) {
		const char *have;
		const void *value;
		size_t value_len;
		cow_man_xattr(n->inst->img, n->low, k, &have, &value, &value_len);
		if (strcmp(have, name) != 0)
			continue;
		if (len != 0 && value_len > len)
			return -ERANGE;
		if (len != 0)
			memcpy(buf, value, value_len);
		return (ssize_t)value_len;
	}
	return S_ISLNK(n->type) && is_acl(name) ? -EOPNOTSUPP : -ENODATA;
}

static ssize_t list_lower(struct cow_ovl_node *n, char *buf, size_t len)
{
	size_t total = 0;
	int r = lower_alive(n);
	if (r < 0)
		return r;
	for (size_t k = 0; k < cow_man_nxattr(n->inst->img, n->low); k++) {
		const char *name;
		const void *value;
		size_t value_len, one;
		cow_man_xattr(n->inst->img, n->low, k, &name, &value, &value_len);
		one = strlen(name) + 1;
		if (cow_xattr_hidden(name))
			continue;
		if (len != 0 && total + one > len)
			return -ERANGE;
		if (len != 0)
			memcpy(buf + total, name, one);
		total += one;
	}
	return (ssize_t)total;
}

/* Only files and directories have attributes of users. Source: xattr(7). */
static int may_change(const struct cow_ovl_node *n, const char *name)
{
	if (cow_xattr_hidden(name))
		return -EPERM;
	return starts(name, "user.") && !S_ISREG(n->type) && !S_ISDIR(n->type) ? -EPERM : 0;
}

/* The object, alive, and a path that leads to it while the fd is held. */
static int reach(struct cow_ovl_node *n, struct cow_fd **ret, char ret_path[COW_PROC_PATH_LEN])
{
	cow_autofd f = NULL;
	struct cow_ovl_attr attr;
	int r = cow_fd_get(n, COW_FD_PATH, &f);
	if (r == 0)
		r = cow_attr_of(n, f->fd, &attr);
	if (r < 0)
		return r;
	cow_proc_path(f->fd, ret_path);
	*ret = cow_steal_ptr(&f);
	return 0;
}

static ssize_t get_entered(struct cow_ovl_node *n, const char *name, void *buf, size_t len)
{
	char path[COW_PROC_PATH_LEN];
	struct stored s;
	cow_autofd f = NULL;
	int r = store_name(name, &s);
	if (r == 0 && cow_xattr_hidden(s.name))
		r = -ENODATA;
	if (r == 0 && !atomic_load(&n->has_up))
		return get_lower(n, s.name, buf, len);
	if (r == 0)
		r = reach(n, &f, path);
	if (r < 0)
		return r;
	/* Asked for before a first write; the way through /proc takes several times as long. */
	ssize_t got = f->level == COW_FD_PATH ? getxattr(path, s.name, buf, len)
					      : fgetxattr(f->fd, s.name, buf, len);
	return got < 0 ? cow_nerr() : got;
}

ssize_t cow_ovl_getxattr(struct cow_ovl_node *n, const char *name, void *buf, size_t len)
{
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	ssize_t got = get_entered(n, name, buf, len);
	cow_inst_leave(n->inst);
	return got;
}

/* An access ACL is a chmod too: setgid goes when the caller is not in the file's group. */
static int strip_after_acl(const struct cow_fd *f, const struct cow_ovl_cred *cred,
			   const char *name)
{
	struct stat st;
	if (strcmp(name, "system.posix_acl_access") != 0 || cow_cred_is_root(cred))
		return 0;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): set where reach() returned 0 */
	if (fstat(f->fd, &st) < 0)
		return cow_nerr();
	if (!(st.st_mode & S_ISGID) || cow_cred_has_group(cred, st.st_gid))
		return 0;
	return cow_fd_chmod(f, st.st_mode & 07777 & ~(mode_t)S_ISGID);
}

static int set_entered(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const char *name,
		       const void *value, size_t len, int flags)
{
	char path[COW_PROC_PATH_LEN];
	struct stored s;
	cow_autofd f = NULL;
	int r = store_name(name, &s);
	if (r == 0 && len > COW_XATTR_SIZE_MAX)
		r = -E2BIG;
	if (r == 0 && flags & ~(XATTR_CREATE | XATTR_REPLACE))
		r = -EINVAL;
	if (r == 0)
		r = may_change(n, s.name);
	if (r == 0)
		r = cow_bring_up(n, NULL, NULL, NULL);
	if (r == 0)
		r = reach(n, &f, path);
	if (r < 0)
		return r;
	if (setxattr(path, s.name, value, len, flags) < 0)
		return cow_nerr();
	cow_node_bump(n);
	r = strip_after_acl(f, cred, name);
	return r < 0 ? r : cow_inst_commit(n->inst);
}

int cow_ovl_setxattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const char *name,
		     const void *value, size_t len, int flags)
{
	int r = cow_inst_enter_change(n->inst);
	if (r < 0)
		return r;
	r = set_entered(n, cred, name, value, len, flags);
	cow_inst_leave(n->inst);
	return r;
}

/* A default access list is something of directories; taking one from others is no error. */
static int missing(const struct cow_ovl_node *n, const char *name)
{
	return strcmp(name, "system.posix_acl_default") == 0 && !S_ISDIR(n->type) ? 0 : -ENODATA;
}

static int remove_entered(struct cow_ovl_node *n, const char *name)
{
	char path[COW_PROC_PATH_LEN];
	struct stored s;
	cow_autofd f = NULL;
	int r = store_name(name, &s);
	if (r == 0)
		r = may_change(n, s.name);
	if (r == 0 && !atomic_load(&n->has_up)) {
		ssize_t got = get_lower(n, s.name, NULL, 0);
		if (got < 0) /* nothing to remove: no copy */
			return got == -ENODATA ? missing(n, name) : (int)got;
	}
	if (r == 0)
		r = cow_bring_up(n, NULL, NULL, NULL);
	if (r == 0)
		r = reach(n, &f, path);
	if (r < 0)
		return r;
	if (removexattr(path, s.name) < 0)
		return cow_nerr();
	cow_node_bump(n);
	return cow_inst_commit(n->inst);
}

int cow_ovl_removexattr(struct cow_ovl_node *n, const struct cow_ovl_cred *cred, const char *name)
{
	int r = cow_inst_enter_change(n->inst);
	if (r < 0)
		return r;
	r = remove_entered(n, name);
	cow_inst_leave(n->inst);
	return r;
}

/* Drop hidden names in place, show the others as their owner knows them. The kernel ends the list with
 * the NUL of its last name. */
static size_t filter(char *list, size_t len)
{
	size_t out = 0;
	for (size_t in = 0; in < len;) {
		size_t one = strlen(list + in) + 1;
		if (!cow_xattr_hidden(list + in))
			out += show_name(list + in, list + out);
		in += one;
	}
	return out;
}

static ssize_t list_entered(struct cow_ovl_node *n, char *buf, size_t len)
{
	char path[COW_PROC_PATH_LEN];
	cow_autofd f = NULL;
	if (!atomic_load(&n->has_up))
		return list_lower(n, buf, len);
	int r = reach(n, &f, path);
	if (r < 0)
		return r;
	cow_autofree char *all = malloc(COW_XATTR_LIST_MAX);
	if (!all)
		return -ENOMEM;
	ssize_t got = listxattr(path, all, COW_XATTR_LIST_MAX);
	if (got < 0)
		return cow_nerr();
	size_t visible = filter(all, (size_t)got);
	if (len != 0 && visible > len)
		return -ERANGE;
	if (len != 0)
		memcpy(buf, all, visible);
	return (ssize_t)visible;
}

ssize_t cow_ovl_listxattr(struct cow_ovl_node *n, char *buf, size_t len)
{
	int r = cow_node_enter(n);
	if (r < 0)
		return r;
	ssize_t got = list_entered(n, buf, len);
	cow_inst_leave(n->inst);
	return got;
}
