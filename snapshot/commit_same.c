/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A file that was brought up, and yet is what the image has: moved, or changed and changed back. On a
 * file system without reflinks the new version would hold its data once more.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "commit_internal.h"
#include "common/bounds.h"
#include "common/fs.h"

static int same_attr(const struct cow_ovl_attr *a, const struct stat *st)
{
	return a->mode == st->st_mode && a->uid == st->st_uid && a->gid == st->st_gid &&
	       a->size == (uint64_t)st->st_size && a->mtime.tv_sec == st->st_mtim.tv_sec &&
	       a->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

int cow_commit_same_data(int a, int b, off_t size, char *buf)
{
	size_t half = COW_COMMIT_SAME_BUF / 2;
	for (off_t off = 0; off < size; off += (off_t)half) {
		ssize_t n = cow_pread_full(a, buf, half, off);
		ssize_t m = n < 0 ? n : cow_pread_full(b, buf + half, half, off);
		if (m < 0)
			return (int)m;
		if (n != m || memcmp(buf, buf + half, (size_t)n) != 0)
			return 0;
		if (n == 0)
			break; /* shrunk under us, both */
	}
	return 1;
}

/* Everything in @names has the same value on both sides. */
static int same_values(struct cow_ovl_node *n, int golden, const char *names, ssize_t len,
		       char *buf)
{
	size_t half = COW_COMMIT_SAME_BUF / 2;
	for (const char *x = names; x < names + len; x += strlen(x) + 1) {
		ssize_t got = cow_ovl_getxattr(n, x, buf, half);
		ssize_t want = fgetxattr(golden, x, buf + half, half);
		if (got < 0 || want != got || memcmp(buf, buf + half, (size_t)got) != 0)
			return 0;
	}
	return 1;
}

/* Length of a list without the names of XFS for what it lists as access lists too: the engine does not show them. */
static ssize_t shown_len(const char *list, ssize_t len)
{
	ssize_t shown = len;
	for (const char *x = list; x < list + len; x += strlen(x) + 1)
		if (cow_xattr_of_xfs(x))
			shown -= (ssize_t)strlen(x) + 1;
	return shown;
}

static int same_xattrs(struct cow_ovl_node *n, int golden, char *buf)
{
	cow_autofree char *names = malloc((size_t)2 * COW_XATTR_LIST_MAX);
	if (!names)
		return -ENOMEM;
	ssize_t len = cow_ovl_listxattr(n, names, COW_XATTR_LIST_MAX);
	ssize_t want = flistxattr(golden, names + COW_XATTR_LIST_MAX, COW_XATTR_LIST_MAX);
	/* Equal lengths and every name found: the same names in whatever order. */
	if (len < 0 || want < 0 || len != shown_len(names + COW_XATTR_LIST_MAX, want))
		return 0;
	return same_values(n, golden, names, len, buf);
}

int cow_commit_same(struct cow_ovl_node *n, const struct cow_ovl_attr *attr, int golden, int now,
		    char *buf)
{
	struct stat st;
	if (fstat(golden, &st) < 0)
		return -errno;
	if (!same_attr(attr, &st))
		return 0;
	int r = same_xattrs(n, golden, buf);
	return r <= 0 ? r : cow_commit_same_data(golden, now, st.st_size, buf);
}
