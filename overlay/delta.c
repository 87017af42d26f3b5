/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The delta of a directory of the image that has an upper: every name in the upper directory, sorted
 * by cookie, whiteouts too. Read once with getdents(2), exact from then on, since nobody else
 * changes the upper. A sorted array cut into blocks, so that an insertion moves little.
 *
 * The cookie of a name is that of the image's name if it has it, else the name's hash, or the next
 * value that no other name of the directory has; which one depends on the names alone but for the
 * order in which colliding ones were made, and there are no collisions that anybody can arrange.
 *
 * Guarded by node->names: shared to look, exclusive to change.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "internal.h"

#define BLOCK_MAX 128
#define PROBES 64 /* cookies tried for one name */

struct block {
	size_t n; /* > 0 */
	struct cow_dent *e[BLOCK_MAX];
};

struct cow_delta {
	struct block **block;
	size_t nblock, room;
	size_t count, visible, covers;
};

int cow_delta_new(struct cow_delta **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void cow_delta_free(struct cow_delta *d)
{
	if (!d)
		return;
	for (size_t b = 0; b < d->nblock; b++) {
		for (size_t k = 0; k < d->block[b]->n; k++)
			free(d->block[b]->e[k]);
		free(d->block[b]);
	}
	free(d->block);
	free(d);
}

size_t cow_delta_count(const struct cow_delta *d)
{
	return d->count;
}

size_t cow_delta_visible(const struct cow_delta *d)
{
	return d->visible;
}

size_t cow_delta_covers(const struct cow_delta *d)
{
	return d->covers;
}

/* ---------------------------------------------------------------- places */

struct place {
	size_t b, k; /* b == nblock: behind everything */
};

/* First entry with a cookie of at least @cookie. */
static struct place lower_bound(const struct cow_delta *d, uint64_t cookie)
{
	size_t lo = 0, hi = d->nblock;
	while (lo < hi) { /* first block whose last entry is not below */
		size_t mid = lo + (hi - lo) / 2;
		const struct block *b = d->block[mid];
		if (b->e[b->n - 1]->cookie < cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	struct place p = {.b = lo};
	if (lo == d->nblock)
		return p;
	const struct block *b = d->block[lo];
	for (lo = 0, hi = b->n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (b->e[mid]->cookie < cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	p.k = lo;
	return p;
}

static struct cow_dent *at(const struct cow_delta *d, struct place p)
{
	return p.b < d->nblock ? d->block[p.b]->e[p.k] : NULL;
}

const struct cow_dent *cow_delta_after(const struct cow_delta *d, uint64_t cookie)
{
	return at(d, lower_bound(d, cookie + 1)); /* cookies are below 2^63 */
}

static bool is_named(const struct cow_dent *e, const char *name, size_t len)
{
	return e->len == len && memcmp(e->name, name, len) == 0;
}

/* Where the name is, or -ENOENT. */
static int find(const struct cow_ovl_node *dir, const struct cow_delta *d, const char *name,
		size_t len, struct place *ret)
{
	struct cow_man_ent low;
	uint64_t first = cow_man_find(dir->inst->img, dir->low, name, len, &low)
			     ? low.cookie
			     : cow_man_hash(dir->inst->img, name, len);
	for (uint64_t cookie = first; cookie < first + PROBES; cookie++) {
		*ret = lower_bound(d, cookie);
		const struct cow_dent *e = at(d, *ret);
		if (!e || e->cookie >= first + PROBES)
			return -ENOENT;
		cookie = e->cookie;
		if (is_named(e, name, len))
			return 0;
	}
	return -ENOENT;
}

struct cow_dent *cow_delta_find(struct cow_ovl_node *dir, const char *name, size_t len)
{
	struct place p;
	return find(dir, dir->delta, name, len, &p) == 0 ? at(dir->delta, p) : NULL;
}

/* ---------------------------------------------------------------- changes */

static void count(struct cow_delta *d, const struct cow_dent *e, int by)
{
	d->count += (size_t)by;
	if (!e->whiteout)
		d->visible += (size_t)by;
	if (e->low)
		d->covers += (size_t)by;
}

/* Room for one more block at @b. */
static int make_block(struct cow_delta *d, size_t b)
{
	if (d->nblock == d->room) {
		size_t room = d->room ? d->room * 2 : 1;
		struct block **p = reallocarray(d->block, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		d->block = p;
		d->room = room;
	}
	struct block *fresh = malloc(sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->n = 0;
	memmove(d->block + b + 1, d->block + b, (d->nblock - b) * sizeof(*d->block));
	d->block[b] = fresh;
	d->nblock++;
	return 0;
}

/* A full block gives its upper half to a new one behind it. */
static int split(struct cow_delta *d, size_t b)
{
	int r = make_block(d, b + 1);
	if (r < 0)
		return r;
	struct block *from = d->block[b], *to = d->block[b + 1];
	to->n = from->n / 2;
	from->n -= to->n;
	memcpy(to->e, from->e + from->n, to->n * sizeof(*to->e));
	return 0;
}

static int insert(struct cow_delta *d, struct cow_dent *e)
{
	struct place p = lower_bound(d, e->cookie);
	int r = 0;
	if (d->nblock == 0)
		r = make_block(d, 0);
	if (r == 0 && p.b == d->nblock)
		p = (struct place){.b = d->nblock - 1, .k = d->block[d->nblock - 1]->n};
	if (r == 0 && d->block[p.b]->n == BLOCK_MAX) {
		r = split(d, p.b);
		if (r == 0 && p.k > d->block[p.b]->n) {
			p.k -= d->block[p.b]->n;
			p.b++;
		}
	}
	if (r < 0)
		return r;
	struct block *b = d->block[p.b];
	memmove(b->e + p.k + 1, b->e + p.k, (b->n - p.k) * sizeof(*b->e));
	b->e[p.k] = e;
	b->n++;
	count(d, e, 1);
	return 0;
}

static void erase(struct cow_delta *d, struct place p)
{
	struct block *b = d->block[p.b];
	count(d, b->e[p.k], -1);
	free(b->e[p.k]);
	b->n--;
	memmove(b->e + p.k, b->e + p.k + 1, (b->n - p.k) * sizeof(*b->e));
	if (b->n > 0)
		return;
	free(b);
	d->nblock--;
	memmove(d->block + p.b, d->block + p.b + 1, (d->nblock - p.b) * sizeof(*d->block));
}

/* A cookie nobody else in the directory has, in either layer. */
static int choose_cookie(const struct cow_ovl_node *dir, const struct cow_delta *d,
			 struct cow_dent *e)
{
	struct cow_man_ent low;
	e->low = cow_man_find(dir->inst->img, dir->low, e->name, e->len, &low);
	if (e->low) {
		e->cookie = low.cookie;
		return 0;
	}
	uint64_t first = cow_man_hash(dir->inst->img, e->name, e->len);
	for (e->cookie = first; e->cookie < first + PROBES && e->cookie <= INT64_MAX; e->cookie++) {
		const struct cow_dent *other = at(d, lower_bound(d, e->cookie));
		if ((!other || other->cookie != e->cookie) &&
		    !cow_man_at_cookie(dir->inst->img, dir->low, e->cookie, &low))
			return 0;
	}
	return -EOVERFLOW;
}

static int put(const struct cow_ovl_node *dir, struct cow_delta *d, const char *name, size_t len,
	       const struct cow_dent *like)
{
	struct place p;
	struct cow_dent *e = malloc(sizeof(*e) + len + 1);
	if (!e)
		return -ENOMEM;
	*e = (struct cow_dent){
	    .ino = like->ino,
	    .number = like->number,
	    .known = like->known,
	    .whiteout = like->whiteout,
	    .type = like->type,
	    .len = (uint8_t)len,
	};
	memcpy(e->name, name, len);
	e->name[len] = '\0';
	if (d->nblock > 0 && find(dir, d, name, len, &p) == 0)
		erase(d, p);
	int r = choose_cookie(dir, d, e);
	if (r == 0)
		r = insert(d, e);
	if (r < 0)
		free(e);
	return r;
}

static void drop(struct cow_ovl_node *dir)
{
	cow_delta_free(dir->delta);
	dir->delta = NULL;
}

void cow_delta_put(struct cow_ovl_node *dir, const char *name, const struct cow_dent *like)
{
	if (dir->delta && put(dir, dir->delta, name, strlen(name), like) < 0)
		drop(dir);
}

void cow_delta_whiteout(struct cow_ovl_node *dir, const char *name)
{
	static const struct cow_dent whiteout = {.whiteout = true, .known = true, .type = S_IFCHR};
	cow_delta_put(dir, name, &whiteout);
}

void cow_delta_remove(struct cow_ovl_node *dir, const char *name)
{
	struct place p;
	if (dir->delta && find(dir, dir->delta, name, strlen(name), &p) == 0)
		erase(dir->delta, p);
}

/* ---------------------------------------------------------------- loading */

/* What is no name of the image is born here, unless the directory holds what came from elsewhere. */
static bool is_born_here(struct cow_ovl_node *dir, const char *name, bool impure)
{
	struct cow_man_ent low;
	return !impure && !cow_man_find(dir->inst->img, dir->low, name, strlen(name), &low);
}

static int load_one(struct cow_ovl_node *dir, int fd, const struct dirent *de, bool impure,
		    struct cow_delta *d)
{
	struct stat st;
	struct cow_dent like = {.ino = de->d_ino, .type = (mode_t)DTTOIF(de->d_type)};
	if (de->d_type == DT_CHR || de->d_type == DT_UNKNOWN) {
		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return cow_nerr();
		like.type = st.st_mode & S_IFMT;
		like.whiteout = cow_is_whiteout(st.st_mode, st.st_rdev);
	}
	like.known = like.whiteout || is_born_here(dir, de->d_name, impure);
	return put(dir, d, de->d_name, strlen(de->d_name), &like);
}

int cow_delta_load(struct cow_ovl_node *dir, int dirfd, struct cow_delta **ret)
{
	struct cow_delta *d;
	int fd = COW_FD_TRY(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	if (fd < 0)
		return cow_nerr();
	cow_autodir DIR *stream = fdopendir(fd);
	if (!stream) {
		int r = cow_nerr();
		(void)close(fd);
		return r;
	}
	int impure = cow_impure_is(dir, dirfd);
	if (impure < 0)
		return impure;
	int r = cow_delta_new(&d);
	while (r == 0) {
		const struct dirent *de;
		r = cow_readdir(stream, &de);
		if (r <= 0)
			break;
		r = load_one(dir, fd, de, impure, d);
	}
	if (r < 0) {
		cow_delta_free(d);
		return r;
	}
	*ret = d;
	return 0;
}
