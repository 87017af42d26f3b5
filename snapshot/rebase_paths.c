/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Paths of a rebase: what the client, v1 and v2 call one place.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rebase_internal.h"

static char *join(const char *dir, const char *rest)
{
	char *path;
	return asprintf(&path, "%s%s", dir, rest) < 0 ? NULL : path;
}

/* The lowest directory above @path that the client moved. */
static const struct cow_rebase_entry *moved_above(const struct cow_rebase *rb, const char *path)
{
	for (size_t len = strlen(path); len > 0; len--) {
		if (path[len] != '/')
			continue;
		const struct cow_rebase_entry *e = cow_rebase_find(rb, path, len);
		if (e && e->line.change.kind == COW_CHANGE_MOVED)
			return e;
	}
	return NULL;
}

int cow_rebase_places(const struct cow_rebase *rb, const char *path, struct cow_rebase_places *ret)
{
	const struct cow_rebase_entry *up = moved_above(rb, path);
	const char *rest = up ? path + strlen(up->path) : path;
	*ret = (struct cow_rebase_places){
	    .base = join(up ? up->old_path : "", rest),
	    .theirs = up && !up->their_path ? NULL : join(up ? up->their_path : "", rest),
	};
	if (ret->base && (ret->theirs || (up && !up->their_path)))
		return 0;
	cow_rebase_places_done(ret);
	return -ENOMEM;
}

void cow_rebase_places_done(struct cow_rebase_places *p)
{
	free(p->base);
	free(p->theirs);
	*p = (struct cow_rebase_places){0};
}

char *cow_rebase_client_path(const struct cow_rebase *rb, const char *base)
{
	const struct cow_rebase_entry *best = NULL;
	size_t best_len = 0;
	for (size_t k = 0; k < rb->sorted; k++) {
		const struct cow_rebase_entry *e = &rb->entries[k];
		size_t len = e->old_path ? strlen(e->old_path) : 0;
		if (len > best_len && strncmp(base, e->old_path, len) == 0 && base[len] == '/') {
			best = e;
			best_len = len;
		}
	}
	return join(best ? best->path : "", base + best_len);
}

bool cow_rebase_changed_below(const struct cow_rebase *rb, const char *base)
{
	size_t len = strlen(base), low = 0, high = rb->nchanged;
	while (low < high) { /* the first that is not before "BASE/" */
		size_t mid = low + (high - low) / 2;
		int r = strncmp(rb->changed[mid], base, len);
		if (r == 0)
			r = (unsigned char)rb->changed[mid][len] < '/' ? -1 : 1;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < rb->nchanged && strncmp(rb->changed[low], base, len) == 0 &&
	       rb->changed[low][len] == '/';
}

static bool glob_matches(const char *glob, const char *path)
{
	char part[COW_PATH_MAX + 1];
	glob += strspn(glob, "/");
	for (size_t len = 0;; len++) {
		if (path[len] == '/' || !path[len]) {
			memcpy(part, path, len);
			part[len] = 0;
			if (fnmatch(glob, part, FNM_PATHNAME) == 0)
				return true;
		}
		if (!path[len] || len == COW_PATH_MAX)
			return false;
	}
}

bool cow_rebase_glob(const char *const *globs, const char *path)
{
	for (; globs && *globs; globs++)
		if (glob_matches(*globs, path))
			return true;
	return false;
}
