/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Thresholds of free room. Clients that run write until the disk is full, as on a disk of their own; what is
 * refused before that is new roots and versions, so that there is room left for those that run.
 */
#include "snapshot/space.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/checked.h"
#include "store_internal.h"

int cow_space_limit_parse(const char *s, struct cow_space_limit *ret)
{
	struct cow_space_limit l = {0};
	size_t len = strlen(s);
	uint64_t n;
	if (strcmp(s, "0") == 0) {
		*ret = l;
		return 0;
	}
	if (len > 1 && s[len - 1] == '%') {
		if (cow_parse_u64n(s, len - 1, 0, 99, &n) < 0)
			return -EINVAL;
		l.percent = (unsigned)n;
	} else if (cow_parse_size(s, &l.bytes) < 0) {
		return -EINVAL;
	}
	*ret = l;
	return 0;
}

void cow_store_set_space(struct cow_store *s, const struct cow_space_limit *warn,
			 const struct cow_space_limit *refuse)
{
	s->space_warn = *warn;
	s->space_refuse = *refuse;
}

const char *cow_space_level_name(enum cow_space_level level)
{
	static const char *const names[] = {"ok", "warn", "refuse"};
	return names[level];
}

static int is_below(const struct cow_space *now, const struct cow_space_limit *l)
{
	if (l->bytes)
		return now->free < l->bytes;
	return now->free / 100 < now->total / 10000 * l->percent;
}

int cow_store_space(const struct cow_store *s, struct cow_space *ret)
{
	struct statvfs v;
	if (fstatvfs(s->fd, &v) < 0)
		return -errno;
	struct cow_space now = {
	    .total = (uint64_t)v.f_blocks * v.f_frsize,
	    .free = (uint64_t)v.f_bavail * v.f_frsize,
	};
	now.level = is_below(&now, &s->space_refuse) ? COW_SPACE_REFUSE
		    : is_below(&now, &s->space_warn) ? COW_SPACE_WARN
						     : COW_SPACE_OK;
	*ret = now;
	return 0;
}

int cow_store_check_space(const struct cow_store *s, struct cow_err *err)
{
	struct cow_space now = {0};
	char limit[32];
	int r = cow_store_space(s, &now);
	if (r < 0)
		return cow_err_set(err, r, "ask '%s' for free space", s->path);
	if (now.level != COW_SPACE_REFUSE)
		return 0;
	if (s->space_refuse.bytes)
		(void)snprintf(limit, sizeof(limit), "%llu MiB",
			       (unsigned long long)(s->space_refuse.bytes >> 20));
	else
		(void)snprintf(limit, sizeof(limit), "%u%%", s->space_refuse.percent);
	cow_err_say(err, COW_ERR_REFUSED, -ENOSPC,
		    "store '%s' has %llu MiB of %llu MiB free, less than [store] space_refuse (%s)",
		    s->path, (unsigned long long)(now.free >> 20),
		    (unsigned long long)(now.total >> 20), limit);
	return cow_err_hint(
	    err, -ENOSPC,
	    "'cowherd gc' removes versions nobody needs, 'cowherd status --space' shows "
	    "what uses how much");
}
