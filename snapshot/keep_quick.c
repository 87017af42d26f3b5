/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Is there nothing to carry? For two roots of backend overlay on the same version that is told by their upper layers
 * alone: what a client has not touched is the image's in both. So a reset of a client that has changed nothing
 * of what is kept does not load the image, whatever its size.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/fs.h"
#include "keep.h"
#include "names.h"

#define FILE_MAX ((size_t)64 << 10) /* those that every root gets are small */

/* Return of the functions below: 1 nothing to carry; 0 perhaps; -errno. */
static int look(int from, int to, const char *rest);

/* Attributes that are no marks of the engine's. */
static bool has_attributes(int fd)
{
	char names[1024];
	ssize_t len = flistxattr(fd, names, sizeof(names));
	if (len < 0)
		return errno != EOPNOTSUPP;
	for (const char *x = names; x < names + len; x += strlen(x) + 1)
		if (strncmp(x, "trusted.overlay.", 16) != 0)
			return true;
	return false;
}

/* Times differ, since each root has its own from when it was made. */
static int same_file(int from, int to, const char *name)
{
	struct stat a, b;
	cow_autofree char *x = malloc(FILE_MAX);
	cow_autofree char *y = malloc(FILE_MAX);
	cow_autoclose int f = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cow_autoclose int t = openat(to, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (!x || !y)
		return -ENOMEM;
	if (f < 0 || t < 0 || fstat(f, &a) < 0 || fstat(t, &b) < 0)
		return 0;
	if (!S_ISREG(a.st_mode) || a.st_mode != b.st_mode || a.st_uid != b.st_uid ||
	    a.st_gid != b.st_gid || a.st_size != b.st_size || a.st_size > (off_t)FILE_MAX ||
	    a.st_nlink != 1 || has_attributes(f) || has_attributes(t))
		return 0;
	size_t len = (size_t)a.st_size;
	return cow_pread_full(f, x, len, 0) == (ssize_t)len &&
	       cow_pread_full(t, y, len, 0) == (ssize_t)len && memcmp(x, y, len) == 0;
}

/* A directory that shows what the image has below it, or none (-ENOENT); -EXDEV it stands for another. */
static int open_merged(int dir, const char *name)
{
	cow_autoclose int fd =
	    dir < 0 ? -ENOENT : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return dir < 0 || errno == ENOENT ? -ENOENT : -EXDEV;
	if (fgetxattr(fd, "trusted.overlay.opaque", NULL, 0) >= 0 ||
	    fgetxattr(fd, "trusted.overlay.redirect", NULL, 0) >= 0)
		return -EXDEV;
	return cow_steal_fd(&fd);
}

/* @rest: what follows; NULL: @name is the last. */
static int look_at(int from, int to, const char *name, const char *rest)
{
	bool mine = from >= 0 && cow_exists_at(from, name) != 0;
	bool its = to >= 0 && cow_exists_at(to, name) != 0;
	if (!mine && !its)
		return 1;
	if (!rest)
		return mine && its ? same_file(from, to, name) : 0;
	cow_autoclose int a = open_merged(from, name);
	cow_autoclose int b = open_merged(to, name);
	return a == -EXDEV || b == -EXDEV ? 0 : look(a, b, rest);
}

static int match(int from, int to, const char *pattern, const char *rest)
{
	const int dirs[] = {from, to};
	int r = 1;
	for (size_t k = 0; k < 2 && r > 0; k++) {
		cow_autonames struct cow_names names = COW_NAMES_EMPTY;
		if (dirs[k] < 0)
			continue;
		r = cow_names_read(dirs[k], ".", &names);
		if (r < 0)
			return r;
		r = 1;
		for (size_t i = 0; i < names.n && r > 0; i++)
			if (fnmatch(pattern, names.name[i], FNM_PERIOD) == 0)
				r = look_at(from, to, names.name[i], rest);
	}
	return r;
}

static int look(int from, int to, const char *rest)
{
	char name[COW_NAME_MAX + 1];
	size_t len = strcspn(rest, "/");
	if (from < 0 && to < 0)
		return 1;
	if (len > COW_NAME_MAX)
		return 0;
	memcpy(name, rest, len);
	name[len] = 0;
	const char *next = rest[len] ? rest + len + 1 : NULL;
	return strpbrk(name, "*?[\\") ? match(from, to, name, next) : look_at(from, to, name, next);
}

/* Files of the image with several names, one of which was written: the others show it without being there. */
static int has_index(int root)
{
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	int r = cow_names_read(root, "work/index", &names);
	return r == -ENOENT ? 0 : r < 0 ? r : names.n > 0;
}

int cow_keep_is_idle(const struct cow_keep *k, int from_root, int to_root)
{
	int r = has_index(from_root);
	if (r != 0)
		return r < 0 ? r : 0;
	cow_autoclose int from = cow_opendir_at(from_root, "upper");
	cow_autoclose int to = cow_opendir_at(to_root, "upper");
	if (from < 0 || to < 0)
		return from < 0 ? from : to;
	r = 1;
	for (size_t i = 0; i < k->n && r > 0; i++)
		r = look(from, to, k->path[i]);
	return r;
}
