/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Has the kernel mounted our upper as an overlay? Then it changes it behind our back, and we behind
 * its. The mount table names the upper by the path it was mounted with, so that path is looked up and
 * compared. What cannot be found this way: a mount in a namespace we do not see, and a path that
 * has been moved since; overlay.md 4.10 leaves those to the lock and to the administrator.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "internal.h"

#define MOUNTINFO "/proc/self/mountinfo"
#define READ_FIRST 65536
#define MOUNTINFO_MAX (64u << 20) /* some 300 000 mounts; the kernel's own limit is 100 000 */

/* The table as one text; a file of /proc says nothing of its size. */
static int read_table(char **ret)
{
	cow_autoclose int fd = COW_FD_TRY(open(MOUNTINFO, O_RDONLY | O_CLOEXEC));
	if (fd < 0)
		return cow_nerr();
	cow_autofree char *buf = NULL;
	size_t room = READ_FIRST, len = 0;
	for (;;) {
		char *bigger = realloc(buf, room + 1);
		if (!bigger)
			return -ENOMEM;
		buf = bigger;
		ssize_t got = cow_read_full(fd, buf + len, room - len);
		if (got < 0)
			return (int)got;
		len += (size_t)got;
		if (len < room)
			break;
		if (room >= MOUNTINFO_MAX)
			return -EFBIG;
		room *= 2;
	}
	buf[len] = '\0';
	*ret = cow_steal_ptr(&buf);
	return 0;
}

/* "\040" and the like, in place. */
static void unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static bool is_dir(const char *path, const struct stat *dir)
{
	struct stat st;
	return stat(path, &st) == 0 && st.st_dev == dir->st_dev && st.st_ino == dir->st_ino;
}

/* The path as it was given to mount(2), where a backslash takes the meaning from what follows. */
static void unquote(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] != '\0')
			s++;
		*out++ = *s;
	}
	*out = '\0';
}

/* Options of an overlay: is its upperdir this directory? */
static bool names_dir(char *options, const struct stat *dir)
{
	static const char upper[] = "upperdir=";
	for (char *save = NULL, *o = strtok_r(options, ",", &save); o;
	     o = strtok_r(NULL, ",", &save)) {
		char *path = o + strlen(upper);
		if (strncmp(o, upper, strlen(upper)) != 0)
			continue;
		unescape(path); /* a comma in it is escaped too */
		if (is_dir(path, dir))
			return true;
		unquote(path);
		if (is_dir(path, dir))
			return true;
	}
	return false;
}

/* "36 35 98:0 /root /point rw,... [optional...] - overlay source rw,lowerdir=...". proc(5) */
static bool line_is(char *line, const struct stat *dir)
{
	static const char type[] = " - overlay ";
	char *at = strstr(line, type);
	if (!at)
		return false;
	char *options = strrchr(at, ' ');
	return options && names_dir(options + 1, dir);
}

int cow_kernel_mounted(int dirfd)
{
	struct stat dir;
	cow_autofree char *table = NULL;
	if (fstat(dirfd, &dir) < 0)
		return cow_nerr();
	int r = read_table(&table);
	if (r == -ENOENT || r == -EACCES) /* no /proc here: nothing can be said */
		return 0;
	if (r < 0)
		return r;
	for (char *save = NULL, *l = strtok_r(table, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save))
		if (line_is(l, &dir))
			return 1;
	return 0;
}
