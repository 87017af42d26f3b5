/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Leases: see leases.h. Read again when the file has changed; sorted, since a class room has hundreds.
 */
#include "leases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "snapshot/leases.h"

#define FRESH_MS 1000u

struct cow_tftp_leases {
	const char *path;
	uint64_t looked_ms; /* 0: never */
	struct timespec mtime;
	off_t size;
	size_t n;
	struct cow_lease lease[COW_TFTP_LEASES_MAX];
};

static int by_addr(const void *a, const void *b)
{
	const struct cow_lease *x = a, *y = b;

	return x->addr.s_addr < y->addr.s_addr ? -1 : x->addr.s_addr > y->addr.s_addr;
}

static int take(void *ctx, const struct cow_lease *one)
{
	struct cow_tftp_leases *l = ctx;

	l->lease[l->n++] = *one;
	return l->n == COW_TFTP_LEASES_MAX;
}

static void look(struct cow_tftp_leases *l, uint64_t now_ms)
{
	cow_autofree char *text = NULL;
	struct stat st;
	size_t len;

	if (l->looked_ms != 0 && now_ms - l->looked_ms < FRESH_MS)
		return;
	l->looked_ms = now_ms ? now_ms : 1;
	if (stat(l->path, &st) < 0) {
		l->n = 0;
		return;
	}
	if (st.st_size == l->size && st.st_mtim.tv_sec == l->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == l->mtime.tv_nsec)
		return;
	l->n = 0;
	if (cow_read_file_at(AT_FDCWD, l->path, COW_LEASES_FILE_MAX, &text, &len) < 0)
		return; /* tried again at the next look */
	l->size = st.st_size;
	l->mtime = st.st_mtim;
	(void)cow_leases_each(text, cow_realtime_s(), take, l); /* stops when there is no room */
	qsort(l->lease, l->n, sizeof(l->lease[0]), by_addr);
}

int cow_tftp_leases_find(struct cow_tftp_leases *l, struct in_addr addr, uint64_t now_ms,
			 struct cow_mac *ret)
{
	const struct cow_lease key = {.addr = addr};

	look(l, now_ms);
	const struct cow_lease *found = bsearch(&key, l->lease, l->n, sizeof(l->lease[0]), by_addr);

	if (!found)
		return -ENOENT;
	*ret = found->mac;
	return 0;
}

int cow_tftp_leases_new(const char *path, struct cow_tftp_leases **ret)
{
	struct cow_tftp_leases *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->path = path;
	*ret = l;
	return 0;
}

void cow_tftp_leases_free(struct cow_tftp_leases *l)
{
	free(l);
}
