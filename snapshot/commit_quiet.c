/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Did a root stay as it was while it was read? Whoever changes an object of it, or its names, moves
 * the ctime of something in the upper, and nobody can set that back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commit_internal.h"
#include "common/bounds.h"
#include "common/clock.h"
#include "names.h"

/* Stamps of files are taken at a timer's ticks, 10 ms apart at most. */
#define TICK_NS 10000000
#define NS_PER_S 1000000000

struct timespec cow_commit_stamp(void)
{
	struct timespec t = {0};
	(void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail for this clock */
	t.tv_nsec -= TICK_NS;
	if (t.tv_nsec < 0) {
		t.tv_nsec += NS_PER_S;
		t.tv_sec--;
	}
	return t;
}

static int is_newer(const struct stat *st, const struct timespec *since)
{
	return st->st_ctim.tv_sec != since->tv_sec ? st->st_ctim.tv_sec > since->tv_sec
						   : st->st_ctim.tv_nsec >= since->tv_nsec;
}

static int look(int dir, const struct timespec *since, unsigned depth)
{
	struct stat st;
	cow_autonames struct cow_names names = COW_NAMES_EMPTY;
	if (depth > COW_DEPTH_MAX)
		return -ELOOP;
	if (fstat(dir, &st) < 0)
		return -errno;
	int r = is_newer(&st, since) ? 1 : cow_names_read(dir, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		if (fstatat(dir, names.name[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 1 : -errno;
		if (!S_ISDIR(st.st_mode)) {
			r = is_newer(&st, since);
			continue;
		}
		cow_autoclose int sub = cow_opendir_at(dir, names.name[i]);
		r = sub < 0 ? sub : look(sub, since, depth + 1);
	}
	return r == -ENOENT ? 1 : r;
}

int cow_commit_changed_since(int dir, const struct timespec *since)
{
	return look(dir, since, 0);
}
